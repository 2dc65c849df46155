//! The path that media takes, out of the peer connection's transport.

use std::time::{Duration, Instant};

use webrtc::peer_connection::{
    PeerConnection, RTCIceCandidateType, RTCStatsReportEntry, StatsSelector,
};

use super::told_candidates::ToldCandidates;
use crate::session::Route;

/// The selected candidate pair and the ciphers over it; `None` before there is one. `rtt`: as congestion control measured
/// it, better than the sparse checks of ICE.
///
/// A partner's address that showed itself by a check counts as what its candidate was `told` as, if one was.
///
/// The pair is taken from the transport, because the statistics know candidates under other ids than pairs do.
pub(super) async fn route(
    connection: &dyn PeerConnection,
    told: &ToldCandidates,
    rtt: Option<Duration>,
) -> Option<Route> {
    let mut transport = None;
    for receiver in connection.get_receivers().await {
        transport = transport.or(receiver.transport().await.ok().flatten());
    }

    for sender in connection.get_senders().await {
        transport = transport.or(sender.transport().await.ok().flatten());
    }

    let pair = transport?
        .ice_transport()
        .get_selected_candidate_pair()
        .await
        .ok()
        .flatten()?;

    let remote = match pair.remote().typ {
        RTCIceCandidateType::Prflx => told.type_of(&pair.remote().address, pair.remote().port),
        _ => None,
    };

    let remote = remote.map_or_else(|| pair.remote().typ.to_string(), str::to_owned);
    let report = connection
        .get_stats(Instant::now(), StatsSelector::None)
        .await;
    let ciphers = report.iter().find_map(|entry| match entry {
        RTCStatsReportEntry::Transport(transport) => Some(transport),
        _ => None,
    })?;

    Some(Route {
        local: pair.local().typ.to_string(),
        remote,
        protocol: pair.local().protocol.to_string(),
        rtt_ms: rtt.map(|rtt| rtt.as_secs_f32() * 1e3),
        dtls: ciphers.dtls_cipher.clone(),
        srtp: ciphers.srtp_cipher.clone(),
    })
}
