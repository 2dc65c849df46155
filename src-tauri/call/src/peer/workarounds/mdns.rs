//! Switches mDNS off on machines without multicast.
//!
//! **The library** opens its mDNS socket before anything else and gives up the whole connection if
//! that fails (webrtc 0.21.1, `peer_connection/driver.rs`, `MulticastSocket::new().into_std()?`).
//! On a machine with no network but loopback, joining 224.0.0.251 fails with "No such device".
//!
//! **We** try to join the group first, and disable mDNS if it does not work.
//!
//! **Upstream:** no upstream issue known; to be filed: "A machine without multicast cannot start a
//! peer connection with mDNS on".
//!
//! **It can go** when [`Peer::new`](crate::peer::Peer::new) succeeds with
//! `MulticastDnsMode::QueryOnly` in a network namespace that has only loopback (`unshare -n`).

use std::net::{Ipv4Addr, UdpSocket};

use rtc::ice::mdns::MulticastDnsMode;

/// The mDNS group (RFC 6762 §3).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Resolves the `.local` names that browsers give instead of addresses, if this machine can ask for
/// them.
pub(in crate::peer) fn multicast_dns() -> MulticastDnsMode {
    let joined = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED));

    if joined.is_ok() {
        MulticastDnsMode::QueryOnly
    } else {
        MulticastDnsMode::Disabled
    }
}
