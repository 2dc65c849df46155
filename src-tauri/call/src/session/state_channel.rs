//! The data channel on which the two sides tell each other what their microphones and cameras do.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use crate::partner_state::{self, CHANNEL, PartnerState};

/// What the partner has told, newest only: however often it changes its mind, nothing piles up here.
pub(super) type Told = Arc<Mutex<Option<PartnerState>>>;

/// Tells `own` on the channel, at first and with each change, and puts what the partner says into `told`, until the
/// channel or `own` ends. A channel of another name is not ours and is closed.
pub(super) async fn run(
    channel: Arc<dyn DataChannel>,
    mut own: watch::Receiver<PartnerState>,
    told: Told,
) {
    if !channel.label().await.is_ok_and(|label| label == CHANNEL) {
        tracing::debug!("the partner opened a data channel that nobody knows");
        // It may be closed already.
        let _ = channel.close().await;
        return;
    }

    let mut open = false;
    loop {
        let event = tokio::select! {
            event = channel.poll() => event,
            changed = own.changed(), if open => {
                if changed.is_err() || !tell(&*channel, &mut own).await {
                    return;
                }

                continue;
            }
        };

        match event {
            Some(DataChannelEvent::OnOpen) => {
                open = true;
                if !tell(&*channel, &mut own).await {
                    return;
                }
            }
            Some(DataChannelEvent::OnMessage(message)) => match partner_state::parse(&message.data)
            {
                Ok(Some(state)) => {
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(state)
                }

                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the partner's state was not understood"),
            },
            Some(DataChannelEvent::OnClose) | None => return,
            Some(_) => {}
        }
    }
}

/// False once the channel is closed.
async fn tell(channel: &dyn DataChannel, own: &mut watch::Receiver<PartnerState>) -> bool {
    let message = partner_state::to_json(*own.borrow_and_update());
    channel.send_text(&message).await.is_ok()
}
