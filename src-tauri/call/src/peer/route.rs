//! The route that media takes.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it asks a live connection for its statistics"
)]

use std::time::{Duration, Instant};

use serde::Serialize;
use webrtc::peer_connection::{
    PeerConnection, RTCIceCandidateType, RTCStatsReportEntry, StatsSelector,
};

use super::candidates::Candidates;
use super::workarounds::selected_pair;

/// The route that media takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Type of the local candidate: `host`, `srflx`, `prflx`, `relay` (RFC 8839 §5.1).
    pub local: String,
    /// Type of the remote candidate.
    pub remote: String,
    /// `udp` or `tcp`.
    pub protocol: String,
    /// How packets reach this side's TURN server: `udp`, `tcp` or `tls`. `None` if they go through none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_transport: Option<&'static str>,
    /// Round-trip time, ms.
    pub rtt_ms: Option<f32>,
    /// The DTLS cipher suite.
    pub dtls: String,
    /// The SRTP protection profile.
    pub srtp: String,
}

/// The selected candidate pair and the ciphers over it; `None` until there is one. `rtt` is what
/// congestion control measured, which is better than ICE's sparse checks.
pub(super) async fn route(
    connection: &dyn PeerConnection,
    candidates: &Candidates,
    rtt: Option<Duration>,
) -> Option<Route> {
    let pair = selected_pair(connection).await?;
    let remote = pair.remote();
    let announced = match remote.typ {
        RTCIceCandidateType::Prflx => candidates.type_of(&remote.address, remote.port),
        _ => None,
    };

    let report = connection
        .get_stats(Instant::now(), StatsSelector::None)
        .await;
    let ciphers = report.iter().find_map(|entry| match entry {
        RTCStatsReportEntry::Transport(transport) => Some(transport),
        _ => None,
    })?;

    Some(Route {
        local: pair.local().typ.to_string(),
        remote: announced.map_or_else(|| remote.typ.to_string(), str::to_owned),
        protocol: pair.local().protocol.to_string(),
        relay_transport: None,
        rtt_ms: rtt.map(|rtt| rtt.as_secs_f32() * 1e3),
        dtls: ciphers.dtls_cipher.clone(),
        srtp: ciphers.srtp_cipher.clone(),
    })
}
