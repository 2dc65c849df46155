//! Lets a sender follow the codec that the answer chose.
//!
//! **The library** makes a sender for the codec of its track, the first that was offered, and binds
//! its stream to the interceptors with that codec when the answer is applied. If the answer prefers
//! another codec, the sender does not change (rtc 0.21.1, `rtp_transceiver/rtp_sender/internal.rs`:
//! `send_encodings` come from the track and are not reconciled with the answer). A browser takes
//! the answer's codec (W3C webrtc, `[[SendCodecs]]`).
//!
//! **We** replace the track by one of the answer's codec, with the same SSRC, before the answer is
//! applied.
//!
//! **Upstream:** no upstream issue known; to be filed: "RTCRtpSender keeps the first offered codec
//! although the answer chose another". Related: webrtc-rs/webrtc#737 (the same on the answering
//! side, closed).
//!
//! **It can go** when `either_side_may_prefer_vp8` in `tests/call.rs` passes without the call to
//! [`follow_answer`].

use std::sync::Arc;

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use webrtc::error::Result;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::peer_connection::PeerConnection;

use crate::peer::formats::Format;
use crate::peer::track::LocalTrack;

/// Makes the sender of the video track `local` send `chosen`. Call it before the answer is applied.
pub(in crate::peer) async fn follow_answer(
    connection: &dyn PeerConnection,
    local: &LocalTrack,
    chosen: &Format,
) -> Result<()> {
    let replacement = LocalTrack::new(RtpCodecKind::Video, chosen, local.ssrc);
    for sender in connection.get_senders().await {
        if sender.track().ssrcs().await.contains(&local.ssrc) {
            let track: Arc<dyn TrackLocal> = Arc::clone(&replacement.track) as _;
            sender.replace_track(track).await?;
        }
    }

    Ok(())
}
