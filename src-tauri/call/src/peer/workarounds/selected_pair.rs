//! Finds the selected candidate pair without the statistics.
//!
//! **The library** registers a local candidate in its statistics as `RTCLocalIceCandidate_…` (rtc
//! 0.21.1, `peer_connection/internal.rs`), while a candidate pair names it without that prefix. So
//! the pair of `get_stats` leads to no candidate and to no type.
//!
//! **We** ask the ICE transport for the pair, which holds both candidates.
//!
//! **Upstream:** no upstream issue known; to be filed: "get_stats: candidate pairs refer to ids
//! that no candidate has".
//!
//! **It can go** when `local_candidate_id` of the nominated pair in `get_stats` is the id of an
//! entry in the same report.

use rtc::peer_connection::transport::RTCIceCandidatePair;
use webrtc::peer_connection::PeerConnection;

/// The candidate pair that carries media; `None` until one is selected.
pub(in crate::peer) async fn selected_pair(
    connection: &dyn PeerConnection,
) -> Option<RTCIceCandidatePair> {
    // Any transport will do: all media is bundled onto one (RFC 8843).
    let mut transport = None;
    for receiver in connection.get_receivers().await {
        transport = transport.or(receiver.transport().await.ok().flatten());
    }

    for sender in connection.get_senders().await {
        transport = transport.or(sender.transport().await.ok().flatten());
    }

    transport?
        .ice_transport()
        .get_selected_candidate_pair()
        .await
        .ok()
        .flatten()
}
