//! What every peer connection is set up with: ICE's pace, who does what in DTLS, where to bind.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::transport::RTCDtlsRole;
use webrtc::peer_connection::{
    RTCConfiguration, RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy, SettingEngine,
    SettingEngineBuilder,
};

/// With the default of 200 ms a connection takes 205–410 ms to come up, with this 26–47.
const ICE_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// So many checks a pair gets: as long as the default's 7 of 200 ms, and a little.
const ICE_CHECKS: u16 = 90;

/// So long after its start a connection does not settle for a way through NATs, because a way inside one network may
/// come up yet; that rarely takes longer. The library waits 500 ms, and 1 s for an address that only a check has shown.
const NAT_WAIT: Duration = Duration::from_millis(100);
/// The same for an address that only a check has shown, where there are TURN servers: it may be a relay's, and the
/// partner's direct addresses deserve some time.
const UNTOLD_WAIT: Duration = Duration::from_millis(400);

/// How ICE and DTLS work.
pub(super) fn settings(relay_only: bool, has_turn: bool) -> SettingEngine {
    // Names are asked for on the local network, which is none of its business in relay-only mode.
    let mdns = if relay_only {
        MulticastDnsMode::Disabled
    } else {
        multicast_dns()
    };

    // Waiting for something better than a relay makes no sense when nothing better may come. The partner's relay may
    // show itself (as peer reflexive) before its candidate arrives.
    let (nat_wait, untold_wait) = match (relay_only, has_turn) {
        (true, _) => (Duration::ZERO, Duration::ZERO),
        (false, true) => (NAT_WAIT, UNTOLD_WAIT),
        (false, false) => (NAT_WAIT, NAT_WAIT),
    };

    SettingEngineBuilder::new()
        .with_ice_connection_attempts(Some(ICE_CHECK_INTERVAL), Some(ICE_CHECKS))
        .with_include_loopback_candidate(true)
        // The side that offers nominates and so connects last: when it then begins the handshake, the other is ready.
        // The other way round one ClientHello in thirty came too early and was repeated only after a second.
        .with_answering_dtls_role(RTCDtlsRole::Server)
        .with_multicast_dns_mode(mdns)
        .with_srflx_acceptance_min_wait(Some(nat_wait))
        .with_prflx_acceptance_min_wait(Some(untold_wait))
        .with_relay_acceptance_min_wait(relay_only.then_some(Duration::ZERO))
        .build()
}

/// Where to bind: what was asked for, or every address of this machine.
pub(super) fn addresses(configured: &[SocketAddr]) -> Vec<String> {
    if !configured.is_empty() {
        return configured.iter().map(SocketAddr::to_string).collect();
    }

    let mut all = vec!["0.0.0.0:0".to_owned(), "127.0.0.1:0".to_owned()];
    if std::net::UdpSocket::bind("[::]:0").is_ok() {
        all.push("[::]:0".to_owned());
    }

    all
}

/// The servers, and whether anything but a relay may be used.
pub(super) fn configuration(servers: &[RTCIceServer], relay_only: bool) -> RTCConfiguration {
    let policy = if relay_only {
        RTCIceTransportPolicy::Relay
    } else {
        RTCIceTransportPolicy::All
    };

    RTCConfigurationBuilder::new()
        .with_ice_servers(servers.to_vec())
        .with_ice_transport_policy(policy)
        .build()
}

/// Names that browsers give instead of addresses are looked up, where this machine can ask.
///
/// One without any network but loopback cannot join the group, and then the whole connection would fail to start.
fn multicast_dns() -> MulticastDnsMode {
    /// RFC 6762 §3.
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
    let joined = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED));

    if joined.is_ok() {
        MulticastDnsMode::QueryOnly
    } else {
        MulticastDnsMode::Disabled
    }
}
