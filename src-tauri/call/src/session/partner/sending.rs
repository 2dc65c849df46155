//! The tasks that send to one partner: what the audio and encode threads make goes to the tracks of a
//! connection, and the partner's requests for keyframes come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp::packet::Packet;
use tokio::sync::mpsc::UnboundedReceiver;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};

use crate::peer::LocalTrack;
#[cfg(doc)]
use crate::session::audio_bridge::AudioOutput;
use crate::session::video_sender::VideoOutput;

/// Sends audio packets until the [`AudioOutput`] is gone.
pub(super) async fn send_audio(local: LocalTrack, mut packets: UnboundedReceiver<Packet>) {
    while let Some(packet) = packets.recv().await {
        if let Err(error) = local.track.write_rtp(packet).await {
            tracing::debug!(%error, "dropped an audio packet: the connection refused it");
        }
    }
}

/// Sends the packets of each frame until the [`VideoOutput`] is gone, so it must not keep that
/// alive.
pub(super) async fn send_video(
    local: LocalTrack,
    mut frames: UnboundedReceiver<Vec<Packet>>,
    in_flight: Arc<AtomicUsize>,
) {
    while let Some(packets) = frames.recv().await {
        for packet in packets {
            if let Err(error) = local.track.write_rtp(packet).await {
                tracing::debug!(%error, "dropped a frame: the connection refused it");
                break;
            }
        }

        in_flight.fetch_sub(1, Relaxed);
    }
}

/// Passes the partner's PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1) to the encode thread.
pub(super) async fn watch_keyframe_requests(local: LocalTrack, output: Arc<VideoOutput>) {
    while let Some(TrackLocalEvent::OnRtcpPacket(packets)) = local.track.poll().await {
        let is_request = |packet: &dyn std::any::Any| {
            packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
        };

        if packets.iter().any(|packet| is_request(packet.as_any())) {
            output.keyframe_requested.store(true, Relaxed);
        }
    }
}
