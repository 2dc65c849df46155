//! The data channel on which the two sides report to each other whether microphone and camera are
//! on.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use crate::partner_state::{self, CHANNEL, PartnerState};

/// What the partner reported last. Only the newest report is kept, so a partner that sends many
/// cannot fill memory.
pub(super) type ReportedState = Arc<Mutex<Option<PartnerState>>>;

/// Sends `local` on the channel, first when it opens and then with each change, and keeps the
/// partner's newest report in `reported`. Returns when the channel closes or the sender of `local`
/// is gone. A channel with another label is closed.
pub(super) async fn run(
    channel: Arc<dyn DataChannel>,
    mut local: watch::Receiver<PartnerState>,
    reported: ReportedState,
) {
    if !channel.label().await.is_ok_and(|label| label == CHANNEL) {
        tracing::debug!("the partner opened an unknown data channel: closing it");
        // Fails if it is closed already.
        let _ = channel.close().await;
        return;
    }

    let mut open = false;

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
            }
            Some(DataChannelEvent::OnMessage(message)) => {
                match partner_state::parse(&message.data) {
                    Ok(Some(state)) => *reported.lock() = Some(state),
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
    let message = partner_state::to_json(*local.borrow_and_update());

    channel.send_text(&message).await.is_ok()
}
