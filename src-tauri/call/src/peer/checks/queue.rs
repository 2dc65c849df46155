//! The partner's candidates, handed to the ICE agent by priority and a few at a time. Sans-IO: time
//! is an argument.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Candidates of one description that are taken; of more, those with the highest priority. A
/// browser sends about ten.
pub(in crate::peer) const MAX_CANDIDATES: usize = 64;
/// How many are handed over at once: those of an ordinary computer.
const AT_ONCE: usize = 10;
/// Then one more in this time, and only if there is no connection yet.
const INTERVAL: Duration = Duration::from_millis(100);

/// Names that mDNS resolves in a call: each is a question to everybody on the local network, which
/// the library repeats every second. A browser has one for each network.
const MAX_NAMES: usize = 8;
const LOCAL: &str = ".local";

/// The driver of webrtc 0.21.1 takes everything that leaves for this port for mDNS.
const MDNS_PORT: u16 = 5353;

/// Waits for its turn.
#[derive(Debug)]
struct Waiting<C> {
    priority: u32,
    address: (String, u16),
    candidate: C,
}

/// Names that may still be resolved in a call. Clones share the number.
#[derive(Debug, Clone)]
pub(in crate::peer) struct NamesLeft(Arc<AtomicUsize>);

impl Default for NamesLeft {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(MAX_NAMES)))
    }
}

impl NamesLeft {
    /// Takes one, if there is one.
    fn take(&self) -> bool {
        let taken = self
            .0
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        taken.is_ok()
    }
}

/// The candidates of one description. `C` is what the agent gets.
#[derive(Debug)]
pub(in crate::peer) struct CandidateQueue<C> {
    /// By falling priority.
    waiting: Vec<Waiting<C>>,
    /// The addresses of those that were handed over.
    given: Vec<(String, u16)>,
    /// When the next one may be handed over, after the first [`AT_ONCE`].
    next: Option<Instant>,
    names_left: NamesLeft,
}

impl<C> CandidateQueue<C> {
    /// No candidate yet. `names_left`: for all connections of the call.
    pub(in crate::peer) fn new(names_left: NamesLeft) -> Self {
        Self {
            waiting: Vec::new(),
            given: Vec::new(),
            next: None,
            names_left,
        }
    }

    /// Another description has come: its candidates come, too.
    pub(in crate::peer) fn clear(&mut self) {
        *self = Self::new(self.names_left.clone());
    }

    /// Adds a candidate, `line` in the form of RFC 8839 §5.1. Returns `false` if it is none that can
    /// be checked, or there are enough of higher priority.
    pub(in crate::peer) fn add(&mut self, line: &str, candidate: C) -> bool {
        let Some((priority, address)) = checkable(line) else {
            return false;
        };

        let is_known = self.given.contains(&address)
            || self.waiting.iter().any(|other| other.address == address);
        if is_known {
            return true;
        }

        if address.0.ends_with(LOCAL) && !self.names_left.take() {
            return false;
        }

        let at = self
            .waiting
            .partition_point(|other| other.priority >= priority);
        let new = Waiting {
            priority,
            address,
            candidate,
        };
        self.waiting.insert(at, new);

        let room = MAX_CANDIDATES.saturating_sub(self.given.len());
        let is_kept = at < room;
        self.waiting.truncate(room);
        is_kept
    }

    /// The next candidate for the agent, if it is time for one.
    pub(in crate::peer) fn take(&mut self, now: Instant) -> Option<C> {
        let is_time = self.given.len() < AT_ONCE || self.next.is_none_or(|next| now >= next);
        if self.waiting.is_empty() || !is_time {
            return None;
        }

        let first = self.waiting.remove(0);
        self.given.push(first.address);
        self.next = Some(now + INTERVAL);
        Some(first.candidate)
    }

    /// When [`take`](Self::take) will return a candidate. `None` if there is none left.
    pub(in crate::peer) fn due(&self) -> Option<Instant> {
        self.next.filter(|_| !self.waiting.is_empty())
    }
}

/// The priority and the address of a candidate that can be checked: UDP, to one host, by its address
/// or by a name that mDNS resolves (RFC 8828). The library would open a connection to any address of
/// a TCP candidate.
fn checkable(line: &str) -> Option<(u32, (String, u16))> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(6).collect();
    let [_, _, transport, priority, host, port] = fields[..] else {
        return None;
    };

    let port: u16 = port.parse().ok()?;
    let is_host = match host.parse::<IpAddr>() {
        // From 224.0.0.0 on: groups, and what is reserved (RFC 1112 §4).
        Ok(IpAddr::V4(ip)) => !ip.is_unspecified() && ip.octets()[0] < 224,
        Ok(IpAddr::V6(ip)) => {
            !(ip.is_unspecified() || ip.is_multicast() || ip.to_ipv4_mapped().is_some())
        }
        Err(_) => is_local_name(host),
    };

    let can_be_checked =
        transport.eq_ignore_ascii_case("udp") && is_host && !matches!(port, 0 | MDNS_PORT);
    can_be_checked.then_some((priority.parse().ok()?, (host.to_ascii_lowercase(), port)))
}

/// Whether a name is one that browsers make up in place of an address: a UUID (RFC 8828 §3.1.2.1).
fn is_local_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.strip_suffix(LOCAL).is_some_and(|id| {
        id.len() == 36
            && id
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;

    use super::*;

    fn line(priority: u32, address: &str) -> String {
        format!("candidate:1 1 udp {priority} {address} 4000 typ host")
    }

    #[test]
    fn the_highest_priority_goes_first_and_few_at_a_time() {
        let (mut queue, now) = (CandidateQueue::new(NamesLeft::default()), Instant::now());
        for priority in 0..30 {
            assert!(queue.add(
                &line(priority, &format!("192.0.2.{}", priority + 1)),
                priority
            ));
        }

        let first: Vec<u32> = std::iter::from_fn(|| queue.take(now)).collect();
        assert_eq!(first, (20..30).rev().collect::<Vec<_>>());

        let due = queue.due().expect("twenty are left");
        assert!(due > now && queue.take(due).is_some_and(|priority| priority == 19));
        assert_eq!(queue.take(due), None, "one at a time");
    }

    #[test]
    fn the_best_are_kept_however_late_they_come() {
        let (mut queue, now) = (CandidateQueue::new(NamesLeft::default()), Instant::now());
        for number in 0..100 {
            let address = format!("192.0.2.{number}");
            let is_kept = queue.add(&line(1_000 - number, &address), number);
            assert_eq!(is_kept, number < MAX_CANDIDATES as u32);
        }

        assert!(queue.add(&line(5_000, "198.51.100.1"), 777));
        assert_eq!(queue.waiting.len(), MAX_CANDIDATES);
        assert_eq!(queue.take(now), Some(777));
    }

    #[test]
    fn an_address_is_checked_once() {
        let (mut queue, now) = (CandidateQueue::new(NamesLeft::default()), Instant::now());
        assert!(queue.add(&line(1, "192.0.2.1"), 1) && queue.add(&line(2, "192.0.2.1"), 2));
        assert_eq!(queue.take(now), Some(1));
        assert!(queue.add(&line(3, "192.0.2.1"), 3), "it is no error");
        assert_eq!(queue.take(now), None);

        queue.clear();
        assert!(queue.add(&line(3, "192.0.2.1"), 3));
        assert_eq!(
            queue.take(now),
            Some(3),
            "after a restart it is checked again"
        );
    }

    #[test]
    fn few_names_are_resolved_in_a_call_whatever_restarts() {
        let mut queue = CandidateQueue::new(NamesLeft::default());
        let added = (0..40_u32).filter(|number| {
            queue.clear();
            let name = format!("9b36eaac-bb2e-49bb-bb78-21c41c49{number:04}.local");
            queue.add(&format!("1 1 udp 1 {name} 4000 typ host"), ())
        });
        assert_eq!(added.count(), MAX_NAMES);
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for good in [
            "candidate:1 1 udp 1 192.0.2.1 4000 typ host",
            "1 1 UDP 1 2001:db8::1 4000 typ relay raddr 0.0.0.0 rport 0",
            "candidate:1 1 udp 1 9B36EAAC-bb2e-49bb-bb78-21c41c499900.Local 4000 typ host",
        ] {
            assert!(
                CandidateQueue::new(NamesLeft::default()).add(good, ()),
                "{good:?}"
            );
        }

        for bad in [
            "",
            "candidate:1 1 udp 1 192.0.2.1",
            "candidate:1 1 tcp 1 192.0.2.1 4000 typ host tcptype passive",
            "candidate:1 1 udp 1 192.0.2.1 0 typ host",
            "candidate:1 1 udp 1 192.0.2.1 5353 typ host",
            "candidate:1 1 udp 1 224.0.0.251 4000 typ host",
            "candidate:1 1 udp 1 255.255.255.255 4000 typ host",
            "candidate:1 1 udp 1 0.0.0.0 4000 typ host",
            "candidate:1 1 udp 1 ff02::1 4000 typ host",
            "candidate:1 1 udp 1 ::ffff:127.0.0.1 4000 typ host",
            "candidate:1 1 udp 1 www.example.org 4000 typ host",
            "candidate:1 1 udp 1 printer.local 4000 typ host",
            "candidate:1 1 udp -1 192.0.2.1 4000 typ host",
        ] {
            assert!(
                !CandidateQueue::new(NamesLeft::default()).add(bad, ()),
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn memory_and_pace_are_bounded(
            steps in prop::collection::vec((any::<u32>(), any::<u8>(), 0..50_u64), 0..400)
        ) {
            let (mut queue, start) = (CandidateQueue::new(NamesLeft::default()), Instant::now());
            let (mut now, mut taken) = (start, 0);
            for (priority, address, wait) in steps {
                queue.add(&line(priority, &format!("192.0.2.{address}")), ());
                now += Duration::from_millis(wait);
                while queue.take(now).is_some() {
                    taken += 1;
                }

                let intervals = (now - start).as_millis() / INTERVAL.as_millis();
                prop_assert!(taken <= AT_ONCE + intervals as usize + 1);
                prop_assert!(queue.waiting.len() + queue.given.len() <= MAX_CANDIDATES);
            }
        }
    }
}
