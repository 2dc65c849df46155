//! The settings of every peer connection: ICE's pace, the DTLS roles, where to bind.

use std::net::SocketAddr;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::certificate::RTCCertificate;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::transport::RTCDtlsRole;
use webrtc::peer_connection::{
    RTCConfiguration, RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy, SettingEngine,
    SettingEngineBuilder,
};

use super::workarounds::LinkLocal;

/// Time between ICE checks. A connection takes 26–47 ms to come up with this, 205–410 ms with the
/// library's default of 200 ms.
const ICE_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Checks per pair: 90 × 20 ms, slightly longer than the default 7 × 200 ms.
const ICE_CHECKS: u16 = 90;

/// Time between checks of the route that is used, which also ask for the partner's consent (RFC 7675).
/// They show early that the route is lost (`checks/route_watch.rs`); the library has 2 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_millis(400);

/// Minimum wait before accepting a server-reflexive pair, in case a host pair succeeds; that rarely
/// takes longer. The library waits 500 ms, and 1 s for a peer-reflexive pair.
const SRFLX_WAIT: Duration = Duration::from_millis(100);
/// Minimum wait before accepting a peer-reflexive pair if there are TURN servers: the address may
/// belong to the partner's TURN server, and the partner's direct addresses deserve some time.
const PRFLX_WAIT_WITH_TURN: Duration = Duration::from_millis(400);

/// How long a `.local` name may take to be resolved: a neighbor answers in a moment.
const MDNS_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest message that is taken from a data channel, bytes.
const MAX_CHANNEL_MESSAGE: u32 = 4_096;

/// How ICE and DTLS work.
pub(super) fn settings(relay_only: bool, has_turn: bool, mdns: MulticastDnsMode) -> SettingEngine {
    // In relay-only mode nothing better than a relayed pair can come, so there is nothing to wait
    // for. With TURN, the partner's relayed address may show up as peer-reflexive before its
    // candidate does.
    let (srflx_wait, prflx_wait) = match (relay_only, has_turn) {
        (true, _) => (Duration::ZERO, Duration::ZERO),
        (false, true) => (SRFLX_WAIT, PRFLX_WAIT_WITH_TURN),
        (false, false) => (SRFLX_WAIT, SRFLX_WAIT),
    };

    SettingEngineBuilder::new()
        .with_ice_connection_attempts(Some(ICE_CHECK_INTERVAL), Some(ICE_CHECKS))
        .with_ice_timeouts(None, None, Some(KEEPALIVE_INTERVAL))
        .with_include_loopback_candidate(true)
        // The addresses may have changed: that is why ICE restarts.
        .with_discard_local_candidates_during_ice_restart(true)
        // The offering side nominates and so connects last: when it then begins the handshake, the
        // other side is ready. The other way round, one ClientHello in thirty came too early and
        // was repeated only after a second.
        .with_answering_dtls_role(RTCDtlsRole::Server)
        .with_multicast_dns_mode(mdns)
        // Otherwise a name that nobody has is asked for every second until the end of the call.
        .with_multicast_dns_timeout(Some(MDNS_TIMEOUT))
        // A report of the partner has less than a hundred bytes.
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_CHANNEL_MESSAGE))
        .with_srflx_acceptance_min_wait(Some(srflx_wait))
        .with_prflx_acceptance_min_wait(Some(prflx_wait))
        // `checks/relay_hold.rs` knows better how long.
        .with_relay_acceptance_min_wait(Some(Duration::ZERO))
        .build()
}

/// Where to bind: the configured addresses, or every address of this machine and `link_local`;
/// without loopback, which reaches nobody, if no local address may be named.
pub(super) fn addresses(
    configured: &[SocketAddr],
    link_local: &LinkLocal,
    hide_local: bool,
) -> Vec<String> {
    if !configured.is_empty() {
        return configured.iter().map(SocketAddr::to_string).collect();
    }

    let mut all = vec!["0.0.0.0:0".to_owned()];
    if !hide_local {
        all.push("127.0.0.1:0".to_owned());
    }

    if std::net::UdpSocket::bind("[::]:0").is_ok() {
        all.push("[::]:0".to_owned());
    }

    all.extend(link_local.to_bind().map(|address| address.to_string()));
    all
}

/// The [`configuration`] of a new connection, with its certificate, which cannot be changed later.
pub(super) fn first_configuration(
    servers: &[RTCIceServer],
    relay_only: bool,
    certificate: RTCCertificate,
) -> RTCConfiguration {
    builder(servers, relay_only)
        .with_certificates(vec![certificate])
        .build()
}

/// The servers, and whether only relay candidates may be used.
pub(super) fn configuration(servers: &[RTCIceServer], relay_only: bool) -> RTCConfiguration {
    builder(servers, relay_only).build()
}

fn builder(servers: &[RTCIceServer], relay_only: bool) -> RTCConfigurationBuilder {
    let policy = if relay_only {
        RTCIceTransportPolicy::Relay
    } else {
        RTCIceTransportPolicy::All
    };

    RTCConfigurationBuilder::new()
        .with_ice_servers(servers.to_vec())
        .with_ice_transport_policy(policy)
}
