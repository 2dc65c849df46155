//! Datagrams of strangers and TURN servers through what stands between sockets and the ICE agent, as
//! a function of bytes.
#![expect(clippy::disallowed_methods, reason = "any moment will do as the start")]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::gate::Gate;
use super::route_watch::RouteWatch;
use super::stun;

/// A series of datagrams: each has a byte for its way, one of time since the last one in milliseconds,
/// two of length (big-endian), and content. The lowest bit of the first byte is set for what leaves, and
/// the others name the address at the other end.
///
/// # Panics
/// If more is remembered than is allowed.
pub fn datagrams(mut input: &[u8]) {
    let mut now = Instant::now();
    let mut gate = Gate::new(false);
    let mut route = RouteWatch::default();
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));

    while let Some((&[way, wait, high, low], rest)) = input.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (datagram, rest) = rest.split_at(length);
        input = rest;
        now += Duration::from_millis(wait.into());

        let other = address(way >> 1);
        let message = stun::ice_message(other, datagram);
        if way & 1 == 1 {
            let may_leave = |(end, message)| gate.may_leave(now, (local, end), message);
            if message.is_none_or(may_leave) {
                route.on_datagram_sent(now, (local, other), datagram);
            }
        } else {
            let may_enter = |(end, message)| gate.may_enter(now, (local, end), message);
            if message.is_none_or(may_enter) {
                route.on_datagram_received(now, (local, other), datagram);
            }
        }

        let _ = (route.health(now), route.has_moved(now));
        gate.assert_bounded();
        route.assert_bounded();
    }
}

fn address(number: u8) -> SocketAddr {
    let port = 1_000 + u16::from(number);
    if number.is_multiple_of(2) {
        (Ipv4Addr::new(198, 51, 100, number), port).into()
    } else {
        (Ipv6Addr::from(u128::from(number)), port).into()
    }
}
