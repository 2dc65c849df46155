//! Remembers the types of the partner's candidates.
//!
//! A check may arrive from an address before its candidate does. ICE then takes the address for
//! peer-reflexive (RFC 8445 §7.3.1.3); only the candidate says whether it belongs to a TURN server.
//!
//! **The library** keeps such a pair peer-reflexive: a candidate that arrives later becomes one
//! more candidate beside it (rtc-ice 0.21.1, `agent/mod.rs`, `trigger_request_connectivity_check`
//! compares with `equal`, which includes the type). RFC 8838 §11.4 wants it to replace the
//! peer-reflexive one.
//!
//! **We** remember every candidate's type by address, and report the route by it.
//!
//! **Upstream:** no upstream issue known; to be filed: "rtc-ice: a trickled candidate should
//! replace the peer-reflexive candidate of the same address (RFC 8838 §11.4)". pion did it in
//! pion/ice#877.
//!
//! **It can go** when `tests/late_candidates.rs` passes with `pair.remote().typ` alone.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use parking_lot::Mutex;

use crate::peer::checks::MAX_CANDIDATES;

/// All candidate types (RFC 8839 §5.1). A partner may write anything in their place.
const TYPES: [&str; 4] = ["host", "srflx", "prflx", "relay"];

/// The partner's candidates, as far as they matter here.
#[derive(Debug, Default)]
pub(in crate::peer) struct RemoteCandidates {
    candidates: Mutex<Candidates>,
}

#[derive(Debug, Default)]
struct Candidates {
    /// One of [`TYPES`] by address.
    types: HashMap<SocketAddr, &'static str>,
    /// The generation before, from when `types` became too large.
    older: HashMap<SocketAddr, &'static str>,
}

impl RemoteCandidates {
    /// Adds a `candidate-attribute` (RFC 8839 §5.1). Returns its address and type, unless it has a name in
    /// place of an address.
    pub(in crate::peer) fn add(&self, line: &str) -> Option<(SocketAddr, &'static str)> {
        let (address, kind) = address_and_type(line)?;
        self.candidates.lock().types.insert(address, kind);
        Some((address, kind))
    }

    /// ICE has restarted. The known types stay, because media continues over those addresses.
    pub(in crate::peer) fn on_restart(&self) {
        let mut candidates = self.candidates.lock();
        // A partner that restarts without end must not fill memory.
        if candidates.types.len() > MAX_CANDIDATES {
            candidates.older = std::mem::take(&mut candidates.types);
        }
    }

    /// The type that the partner gave for an address.
    pub(in crate::peer) fn type_of(&self, address: &str, port: u16) -> Option<&'static str> {
        let address = SocketAddr::new(address.parse().ok()?, port);
        let candidates = self.candidates.lock();
        candidates
            .types
            .get(&address)
            .or_else(|| candidates.older.get(&address))
            .copied()
    }
}

/// The address and the type of a UDP candidate. `None` for a host name, which says nothing here.
pub(in crate::peer) fn address_and_type(line: &str) -> Option<(SocketAddr, &'static str)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(8).collect();
    let [_, _, transport, _, address, port, "typ", kind] = fields[..] else {
        return None;
    };

    if !transport.eq_ignore_ascii_case("udp") {
        return None;
    }

    let kind = TYPES.into_iter().find(|known| *known == kind)?;
    let address = address.parse::<IpAddr>().ok()?;
    Some((SocketAddr::new(address, port.parse().ok()?), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str =
        "candidate:1 1 udp 41885439 203.0.113.5 50000 typ relay raddr 0.0.0.0 rport 0";

    #[test]
    fn an_address_has_the_type_of_its_candidate() {
        let candidates = RemoteCandidates::default();
        assert_eq!(
            candidates.type_of("203.0.113.5", 50_000),
            None,
            "no candidate has come yet"
        );
        candidates.add(RELAY);
        candidates.add("2 1 UDP 2130706431 2001:db8::5 4000 typ host");
        assert_eq!(candidates.type_of("203.0.113.5", 50_000), Some("relay"));
        assert_eq!(
            candidates.type_of("2001:DB8:0::5", 4_000),
            Some("host"),
            "however the address is written"
        );
        assert_eq!(
            candidates.type_of("203.0.113.5", 50_001),
            None,
            "the port counts"
        );
        candidates.on_restart();

        assert_eq!(
            candidates.type_of("203.0.113.5", 50_000),
            Some("relay"),
            "media continues over it"
        );
    }

    #[test]
    fn endless_restarts_do_not_fill_memory() {
        let candidates = RemoteCandidates::default();
        for round in 0..50_u32 {
            candidates.on_restart();
            for port in 0..60 {
                candidates.add(&format!(
                    "1 1 udp 1 192.0.2.1 {} typ host",
                    1_000 + round * 60 + port
                ));
            }
        }

        let known = candidates.candidates.lock();
        assert!(
            known.types.len() + known.older.len() <= 4 * MAX_CANDIDATES,
            "{known:?}"
        );

        drop(known);
        assert_eq!(
            candidates.type_of("192.0.2.1", 3_999),
            Some("host"),
            "the newest candidates are known"
        );
    }

    #[test]
    fn lines_without_an_address_or_type_are_ignored() {
        let candidates = RemoteCandidates::default();
        for line in [
            "",
            "candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
            "candidate:1 1 udp 2130706431 5a8e.local 4000 typ host",
            "candidate:1 1 udp 2130706431 192.0.2.1 70000 typ host",
            "candidate:1 1 udp 2130706431 192.0.2.1 4000 host typ",
            "candidate:1 1 udp 2130706431 192.0.2.1 4000 typ <b>",
        ] {
            candidates.add(line);
            assert!(candidates.candidates.lock().types.is_empty(), "{line:?}");
        }
    }
}
