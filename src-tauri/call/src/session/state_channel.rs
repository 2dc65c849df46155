//! The data channel on which the two sides report to each other whether microphone and camera are
//! on, and agree on a room to meet again.
#![expect(
    clippy::disallowed_methods,
    reason = "a task: it reads the clock for the guard of its channel"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use crate::bucket::{Bucket, Rate};
use crate::link::LinkState;
use crate::partner_state::{self, PartnerState, Share, StateMessage};

/// Messages of a partner: one for each press of a button.
const MESSAGES: Rate = Rate::with_burst(20.0, Duration::from_secs(10));
/// Their bytes. Ours have less than 100.
const BYTES: Rate = Rate::with_burst(16_384.0, Duration::from_secs(10));

/// What the partner reported last. Only the newest report is kept, so a partner that sends many
/// cannot fill memory.
pub(super) type ReportedState = Arc<Mutex<Option<PartnerState>>>;

/// The two sides' agreement on a room to meet again.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    /// This side's share; `None` if it does not want one.
    pub(super) share: Option<Share>,
    /// Where the room goes.
    pub(super) room: Arc<Mutex<MeetingRoom>>,
}

impl Meeting {
    /// The partner sent its share.
    fn on_share(&self, partner: Share) {
        if let Some(share) = self.share {
            self.room.lock().on_agreed(share.room(partner));
        }
    }
}

/// The room of one call, over all of its channels.
#[derive(Debug, Default)]
pub(super) struct MeetingRoom {
    /// The partner has sent its share. Each fresh connection brings it again, in case it was lost.
    is_agreed: bool,
    /// Until it is reported.
    room: Option<String>,
}

impl MeetingRoom {
    /// Both shares are known. The first room counts.
    fn on_agreed(&mut self, room: String) {
        if !std::mem::replace(&mut self.is_agreed, true) {
            self.room = Some(room);
        }
    }

    /// The room, if it has not been reported.
    pub(super) fn take(&mut self) -> Option<String> {
        self.room.take()
    }
}

/// Notices a partner that sends more messages than anybody has to say.
#[derive(Debug)]
struct MessageGuard {
    messages: Bucket,
    bytes: Bucket,
}

impl MessageGuard {
    fn new() -> Self {
        Self {
            messages: Bucket::new(MESSAGES),
            bytes: Bucket::new(BYTES),
        }
    }

    /// Whether a message of this size is one too many.
    fn is_flood(&mut self, now: Instant, bytes: usize) -> bool {
        !(self.messages.take(now, 1.0) && self.bytes.take(now, bytes as f64))
    }
}

/// Sends `local` on the channel, first when it opens and then with each change, and keeps the
/// partner's newest report in `reported`. Returns when the channel closes, the sender of `local` is gone,
/// or the partner floods the channel, which is published in `link`.
pub(super) async fn run(
    channel: Arc<dyn DataChannel>,
    mut local: watch::Receiver<PartnerState>,
    reported: ReportedState,
    meeting: Meeting,
    link: Arc<LinkState>,
) {
    let mut open = false;
    let mut guard = MessageGuard::new();

    loop {
        let event = tokio::select! {
            event = channel.poll() => event,
            changed = local.changed(), if open => {
                if changed.is_err() || !send(&*channel, &mut local).await {
                    return;
                }

                continue;
            }
        };

        match event {
            Some(DataChannelEvent::OnOpen) => {
                open = true;

                if !send(&*channel, &mut local).await {
                    return;
                }

                if let Some(share) = meeting.share {
                    let message = partner_state::to_json(StateMessage::MeetAgain(share));
                    if channel.send_text(&message).await.is_err() {
                        return;
                    }
                }
            }
            Some(DataChannelEvent::OnMessage(message)) => {
                if guard.is_flood(Instant::now(), message.data.len()) {
                    link.publish_flood();
                    return;
                }

                match partner_state::parse(&message.data) {
                    Ok(Some(StateMessage::State(state))) => *reported.lock() = Some(state),
                    Ok(Some(StateMessage::MeetAgain(share))) => meeting.on_share(share),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(%error, "unreadable state from the partner: ignoring it");
                    }
                }
            }
            Some(DataChannelEvent::OnClose) | None => return,
            Some(_) => {}
        }
    }
}

/// Sends the local state. False once the channel is closed.
async fn send(channel: &dyn DataChannel, local: &mut watch::Receiver<PartnerState>) -> bool {
    let state = *local.borrow_and_update();
    let message = partner_state::to_json(StateMessage::State(state));

    channel.send_text(&message).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_messages_or_large_ones_are_a_flood_and_an_afternoon_of_clicks_is_none() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let floods = |every: Duration, bytes| {
            let mut guard = MessageGuard::new();
            (0..3_000).any(|n| guard.is_flood(start + every * n, bytes))
        };
        assert!(!floods(second / 15, 100));
        assert!(floods(second / 25, 100), "one a frame");
        assert!(floods(second / 5, 65_536), "large ones");
        assert!(MessageGuard::new().is_flood(start, 1 << 20));
    }

    #[test]
    fn the_first_share_counts_and_the_local_one_can_still_be_sent() {
        let share = Share::new([1; 16]);
        let (first, second) = (Share::new([2; 16]), Share::new([3; 16]));
        let meeting = Meeting {
            share: Some(share),
            ..Meeting::default()
        };

        meeting.on_share(first);
        assert_eq!(meeting.room.lock().take(), Some(share.room(first)));
        assert_eq!(meeting.share, Some(share), "the partner may be faster");

        meeting.on_share(second);
        assert_eq!(meeting.room.lock().take(), None);
    }
}
