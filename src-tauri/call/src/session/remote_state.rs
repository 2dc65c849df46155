//! Whether the partner's microphone and camera are on: what the partner reports, or else what the
//! video shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;
use webrtc::data_channel::DataChannel;

use super::state_channel::{self, Meeting, MeetingRoom, ReportedState};
use crate::link::LinkState;
use crate::partner_state::{CHANNEL, CameraWatch, PartnerState, Share};

/// A partner has use for one data channel.
const MAX_CHANNELS: usize = 4;

/// The state of one partner.
#[derive(Default)]
pub(super) struct RemoteState {
    reported: ReportedState,
    /// For a partner that reports nothing.
    watch: CameraWatch,
    /// What the user was last notified of.
    notified: PartnerState,
    /// There is the one for reports.
    has_channel: Arc<AtomicBool>,
    /// How many data channels there were in all.
    channels: usize,
    /// This side's share of a room to meet again, if it wants one.
    share: Option<Share>,
    /// That room.
    meeting_room: Arc<Mutex<MeetingRoom>>,
}

impl RemoteState {
    /// The state of a new partner. `share`: this side's share of a room to meet again, if it wants
    /// one.
    pub(super) fn new(share: Option<Share>) -> Self {
        Self {
            share,
            ..Self::default()
        }
    }

    /// The room to meet again in, once both sides have agreed on it. Returned once.
    pub(super) fn new_meeting_room(&mut self) -> Option<String> {
        self.meeting_room.lock().take()
    }

    /// A fresh connection has a channel of its own. What the partner has reported stays, until it
    /// reports again. This side's share goes over it once more: the one before may have got lost with its
    /// connection, and then the room would be this side's only.
    pub(super) fn on_fresh_connection(&mut self) {
        self.has_channel = Arc::default();
        self.channels = 0;
    }

    /// The partner opened a data channel, or this side's is ready. The first one of the right name
    /// carries the reports of both sides. Any other is closed: the library would keep what arrives on
    /// it. Returns `false` if there were more than a call has use for.
    pub(super) fn on_channel(
        &mut self,
        channel: Arc<dyn DataChannel>,
        local: watch::Receiver<PartnerState>,
        link: Arc<LinkState>,
    ) -> bool {
        self.channels += 1;
        if self.channels > MAX_CHANNELS {
            return false;
        }

        let has_channel = Arc::clone(&self.has_channel);
        let reported = Arc::clone(&self.reported);
        let meeting = Meeting {
            share: self.share,
            room: Arc::clone(&self.meeting_room),
        };
        // The library may let it wait, and the call must not.
        tokio::spawn(async move {
            let is_ours = channel.label().await.is_ok_and(|label| label == CHANNEL);
            if is_ours && !has_channel.swap(true, Relaxed) {
                state_channel::run(channel, local, reported, meeting, link).await;
            } else {
                tracing::debug!("the partner opened another data channel: closing it");
                // Fails if it is closed already.
                let _ = channel.close().await;
            }
        });
        true
    }

    /// The state at `now`, if it has changed. `last_packet` is when the newest packet of any kind
    /// arrived, `last_video` the newest packet of video.
    pub(super) fn update(
        &mut self,
        now: Instant,
        last_packet: Option<Instant>,
        last_video: Option<Instant>,
    ) -> Option<PartnerState> {
        let camera_on = self.watch.observe(now, last_packet, last_video);
        let inferred = PartnerState {
            muted: false,
            camera_on,
        };

        let state = self.reported.lock().unwrap_or(inferred);
        let before = std::mem::replace(&mut self.notified, state);

        (before != state).then_some(state)
    }

    /// What the partner reported last, for other threads.
    pub(super) fn shared(&self) -> ReportedState {
        Arc::clone(&self.reported)
    }

    /// What the partner reported last; without a report, microphone and camera count as on.
    pub(super) fn reported(&self) -> PartnerState {
        self.reported.lock().unwrap_or_default()
    }
}
