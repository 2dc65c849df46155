//! What the partner told of its candidates.
//!
//! A check may arrive from an address before its candidate does. To ICE that address is peer reflexive then, and stays
//! so (RFC 8445 §7.3.1.3); only the candidate says whether it is a TURN server's.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A partner's candidates are checked against each of ours, so their number is bounded. A browser sends about ten.
const MAX_CANDIDATES: usize = 64;

/// All types of candidates (RFC 8839 §5.1). A partner may write anything there.
const TYPES: [&str; 4] = ["host", "srflx", "prflx", "relay"];

/// What is remembered of the partner's candidates.
#[derive(Debug, Default)]
pub(super) struct ToldCandidates {
    candidates: Mutex<Candidates>,
}

#[derive(Debug, Default)]
struct Candidates {
    /// How many there were since the last description, readable or not.
    count: usize,
    /// One of [`TYPES`] by address; and those before, when these became many.
    types: HashMap<SocketAddr, &'static str>,
    older: HashMap<SocketAddr, &'static str>,
}

impl ToldCandidates {
    /// Takes the next `candidate-attribute` (RFC 8839 §5.1); false if there were too many already.
    pub(super) fn take(&self, line: &str) -> bool {
        let mut candidates = self.lock();
        if candidates.count >= MAX_CANDIDATES {
            return false;
        }

        candidates.count += 1;
        if let Some((address, kind)) = address_and_type(line) {
            candidates.types.insert(address, kind);
        }

        true
    }

    /// The partner has sent a new description: its candidates are counted anew, first those inside it. What is known of
    /// addresses stays, because media goes on over them.
    pub(super) fn renew(&self, sdp: &str) {
        let mut candidates = self.lock();
        candidates.count = 0;

        // A partner that renews without end fills no memory.
        if candidates.types.len() > MAX_CANDIDATES {
            candidates.older = std::mem::take(&mut candidates.types);
        }

        drop(candidates);
        // Those beyond the limit are not remembered.
        let _ = sdp
            .lines()
            .filter_map(|line| line.trim().strip_prefix("a=candidate:"))
            .all(|line| self.take(line));
    }

    /// The type that was told for an address.
    pub(super) fn type_of(&self, address: &str, port: u16) -> Option<&'static str> {
        let address = SocketAddr::new(address.parse().ok()?, port);
        let candidates = self.lock();
        candidates
            .types
            .get(&address)
            .or_else(|| candidates.older.get(&address))
            .copied()
    }

    fn lock(&self) -> MutexGuard<'_, Candidates> {
        self.candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a candidate over UDP is reached, and its type. A name instead of an address says nothing here.
fn address_and_type(line: &str) -> Option<(SocketAddr, &'static str)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(8).collect();
    let [_, _, transport, _, address, port, "typ", kind] = fields[..] else {
        return None;
    };

    if !transport.eq_ignore_ascii_case("udp") {
        return None;
    }

    let kind = TYPES.into_iter().find(|known| *known == kind)?;
    Some((
        SocketAddr::new(address.parse::<IpAddr>().ok()?, port.parse().ok()?),
        kind,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str =
        "candidate:1 1 udp 41885439 203.0.113.5 50000 typ relay raddr 0.0.0.0 rport 0";

    #[test]
    fn an_address_has_the_type_it_was_told_with() {
        let told = ToldCandidates::default();
        assert_eq!(
            told.type_of("203.0.113.5", 50_000),
            None,
            "nothing was told yet"
        );
        assert!(told.take(RELAY) && told.take("2 1 UDP 2130706431 2001:db8::5 4000 typ host"));
        assert_eq!(told.type_of("203.0.113.5", 50_000), Some("relay"));
        assert_eq!(
            told.type_of("2001:DB8:0::5", 4_000),
            Some("host"),
            "however it is written"
        );
        assert_eq!(told.type_of("203.0.113.5", 50_001), None, "the port counts");
        told.renew("");

        assert_eq!(
            told.type_of("203.0.113.5", 50_000),
            Some("relay"),
            "media goes on over it"
        );
    }

    #[test]
    fn candidates_inside_a_description_count_too() {
        let told = ToldCandidates::default();
        told.renew(&format!(
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na={RELAY}\r\na=end-of-candidates\r\n"
        ));
        assert_eq!(told.type_of("203.0.113.5", 50_000), Some("relay"));
        assert_eq!(told.lock().count, 1, "one candidate");
    }

    #[test]
    fn partners_that_renew_without_end_fill_no_memory() {
        let told = ToldCandidates::default();
        for round in 0..50_u32 {
            told.renew("");
            for port in 0..60 {
                assert!(told.take(&format!(
                    "1 1 udp 1 192.0.2.1 {} typ host",
                    1_000 + round * 60 + port
                )));
            }
        }

        let candidates = told.lock();
        assert!(
            candidates.types.len() + candidates.older.len() <= 4 * MAX_CANDIDATES,
            "{candidates:?}"
        );

        drop(candidates);
        assert_eq!(
            told.type_of("192.0.2.1", 3_999),
            Some("host"),
            "the newest are known"
        );
    }

    #[test]
    fn what_says_nothing_of_an_address_is_passed_over() {
        let told = ToldCandidates::default();
        for line in [
            "",
            "candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
            "candidate:1 1 udp 2130706431 5a8e.local 4000 typ host",
            "candidate:1 1 udp 2130706431 192.0.2.1 70000 typ host",
            "candidate:1 1 udp 2130706431 192.0.2.1 4000 host typ",
            "candidate:1 1 udp 2130706431 192.0.2.1 4000 typ <b>",
        ] {
            assert!(told.take(line), "{line:?} is not too many");
            assert!(told.lock().types.is_empty(), "{line:?}");
        }
    }

    #[test]
    fn only_so_many_are_taken_between_descriptions() {
        let told = ToldCandidates::default();
        assert!(
            (0..MAX_CANDIDATES).all(|_| told.take("unreadable")),
            "a browser's ten and more"
        );
        assert!(!told.take(RELAY), "but not any number");
        assert_eq!(
            told.type_of("203.0.113.5", 50_000),
            None,
            "and nothing is kept of what is refused"
        );

        told.renew("");
        assert!(told.take(RELAY), "a new description begins anew");
    }
}
