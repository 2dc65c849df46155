//! The path that media takes, out of the peer connection's statistics.

use crate::session::Route;
use std::time::Duration;
use webrtc::peer_connection::{RTCStatsReport, RTCStatsReportEntry};

/// The selected candidate pair and the ciphers over it. `rtt`: as congestion control measured it, better than the sparse
/// checks of ICE.
pub(super) fn route(report: &RTCStatsReport, rtt: Option<Duration>) -> Option<Route> {
    let transport = report.iter().find_map(|entry| match entry {
        RTCStatsReportEntry::Transport(transport) => Some(transport),
        _ => None,
    })?;
    let pair = report.iter().find_map(|entry| match entry {
        RTCStatsReportEntry::IceCandidatePair(pair)
            if pair.stats.id == transport.selected_candidate_pair_id || pair.nominated =>
        {
            Some(pair)
        }
        _ => None,
    })?;
    let candidate = |id: &str| match report.get(id) {
        Some(RTCStatsReportEntry::LocalCandidate(candidate) | RTCStatsReportEntry::RemoteCandidate(candidate)) => {
            Some(candidate)
        }
        _ => None,
    };
    let (local, remote) = (candidate(&pair.local_candidate_id)?, candidate(&pair.remote_candidate_id)?);
    let checks = Some(pair.current_round_trip_time).filter(|seconds| *seconds > 0.0);
    Some(Route {
        local: local.candidate_type.to_string(),
        remote: remote.candidate_type.to_string(),
        protocol: local.protocol.clone(),
        rtt_ms: rtt.map(|rtt| rtt.as_secs_f32() * 1e3).or(checks.map(|seconds| seconds as f32 * 1e3)),
        dtls: transport.dtls_cipher.clone(),
        srtp: transport.srtp_cipher.clone(),
    })
}
