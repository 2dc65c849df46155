//! Finds out whether the TURN server that media goes through is still there when nothing comes through it
//! any more. Sans-IO: time and transactions are arguments.
//!
//! A server that vanishes looks like a partner who is offline, and that ends by itself. So the server
//! is asked (a Binding request, RFC 8489 §3), by the socket that has the allocation. If it does not
//! answer while the signaling server does, it is gone, or the way to it is. One that has never answered
//! such a request is not judged by it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::peer::checks::Transaction;

/// How often a server is asked that does not answer.
const INTERVAL: Duration = Duration::from_millis(100);
/// The same for one that has answered, if the silence goes on.
const AGAIN: Duration = Duration::from_millis(500);
/// A request without an answer for this time has got none, or for a round trip to the partner or what a
/// connection needs if that is longer.
const TIMEOUT: Duration = Duration::from_millis(200);
/// So many of them in a row are no accident: where a tenth of all packets is lost each way, that happens
/// in one of 150 silences.
const ENOUGH: usize = 3;
/// After so many, nobody is asked any more until the silence ends: 10 s, when ICE restarts anyway.
const MAX_REQUESTS: usize = 100;
/// How often a server is asked at first. One that does not answer is not asked in a silence, either.
const INTRODUCTIONS: usize = 5;

const HEADER: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_ANSWERS: [[u8; 2]; 2] = [[0x01, 0x01], [0x01, 0x11]];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// A socket of this machine, and a server.
pub(super) type Way = (SocketAddr, SocketAddr);

/// How the server that media goes through is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnHealth {
    /// As far as is known, it is there, or media goes through none.
    Well,
    /// It has not answered yet. If it does not, that may be this side's network, so the signaling server
    /// should be asked now.
    Doubtful,
    /// It does not answer, and the signaling server does. Returned once.
    Gone,
}

/// What is known about the server that media goes through.
#[derive(Debug, Default)]
pub(super) struct ServerProbe {
    /// The server that has answered last.
    known: Option<SocketAddr>,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    way: Way,
    /// Nothing comes through the server. Otherwise, it is asked in order to know whether it answers.
    is_silent: bool,
    next: Instant,
    /// Requests without an answer, and how many there were in all.
    open: Vec<(Transaction, Instant)>,
    /// When the signaling server was first heard after the first of them.
    heard: Option<Instant>,
    is_reported: bool,
}

impl ServerProbe {
    /// Media goes this `way`, or through no server, and `is_silent` if nothing comes back.
    pub(super) fn on_route(&mut self, now: Instant, way: Option<Way>, is_silent: bool) {
        let Some(way) = way else {
            self.asked = None;
            return;
        };

        let is_known = self.known == Some(way.1);
        let is_same = |asked: &Asked| asked.way == way && asked.is_silent == is_silent;
        if is_silent != is_known {
            // There is nothing to find out.
            self.asked.take_if(|asked| asked.way != way || is_known);
        } else if !self.asked.as_ref().is_some_and(is_same) {
            self.asked = Some(Asked {
                way,
                is_silent,
                next: now,
                open: Vec::new(),
                heard: None,
                is_reported: false,
            });
        }
    }

    /// Whether requests may be due.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Something is about to be sent this `way`: the request to send before it, if one is due.
    pub(super) fn request(
        &mut self,
        now: Instant,
        way: Way,
        transaction: Transaction,
    ) -> Option<[u8; HEADER]> {
        let asked = self.asked.as_mut().filter(|asked| asked.way == way)?;
        let limit = if asked.is_silent {
            MAX_REQUESTS
        } else {
            INTRODUCTIONS
        };
        if now < asked.next || asked.open.len() >= limit {
            return None;
        }

        asked.next = now + INTERVAL;
        asked.open.push((transaction, now));
        let mut request = [0; HEADER];
        request[..2].copy_from_slice(&BINDING_REQUEST);
        request[4..8].copy_from_slice(&COOKIE);
        request[8..].copy_from_slice(&transaction);
        Some(request)
    }

    /// A datagram has come from `server`. Returns whether it answers one of these requests, of which the
    /// library knows nothing.
    pub(super) fn on_received(
        &mut self,
        now: Instant,
        server: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.way.1 == server) else {
            return false;
        };

        let transaction = datagram.get(8..HEADER);
        let is_answer = can_be_answer(datagram)
            && asked
                .open
                .iter()
                .any(|(open, _)| Some(&open[..]) == transaction);
        if is_answer {
            self.known = Some(server);
            asked.next = now + AGAIN;
            asked.open.clear();
            asked.heard = None;
        }

        is_answer
    }

    /// How the server is. `heard`: when the signaling server was last heard. `patience`: how long an
    /// answer may take, at least [`TIMEOUT`].
    pub(super) fn health(
        &mut self,
        now: Instant,
        heard: Option<Instant>,
        patience: Duration,
    ) -> TurnHealth {
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.is_silent) else {
            return TurnHealth::Well;
        };

        let timeout = TIMEOUT.max(patience);
        let is_lost = |sent: Instant| now.saturating_duration_since(sent) >= timeout;
        let Some((_, first)) = asked.open.first().copied() else {
            return TurnHealth::Well;
        };

        if asked.heard.is_none() {
            asked.heard = heard.filter(|heard| *heard >= first);
        }

        // What was sent before may have been lost in this side's own network.
        let counts = |sent: Instant| asked.heard.is_some_and(|heard| sent >= heard);
        let lost = asked
            .open
            .iter()
            .filter(|(_, sent)| counts(*sent) && is_lost(*sent));
        if lost.count() < ENOUGH {
            TurnHealth::Doubtful
        } else if std::mem::replace(&mut asked.is_reported, true) {
            TurnHealth::Well
        } else {
            TurnHealth::Gone
        }
    }
}

/// Whether a datagram can be an answer: the others are many.
pub(super) fn can_be_answer(datagram: &[u8]) -> bool {
    let kind = datagram.first_chunk::<2>();
    kind.is_some_and(|kind| BINDING_ANSWERS.contains(kind)) && datagram.len() >= HEADER
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// How often media leaves.
    const PACKET: Duration = Duration::from_millis(20);
    /// How often the driver asks.
    const TICK: u32 = 5;

    fn way() -> Way {
        let at = |text: &str| text.parse().expect("an address");
        (at("192.0.2.1:5000"), at("198.51.100.1:3478"))
    }

    /// A call through a server.
    struct Bench {
        probe: ServerProbe,
        now: Instant,
        packets: u32,
        /// When the signaling server was last heard.
        heard: Option<Instant>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                probe: ServerProbe::default(),
                now: Instant::now(),
                packets: 0,
                heard: None,
            }
        }

        /// Lets one packet leave, and returns what is known then. `answers`: the server is there.
        fn packet(&mut self, is_silent: bool, answers: bool) -> TurnHealth {
            self.now += PACKET;
            self.packets += 1;
            let mut transaction = [0; 12];
            transaction[..4].copy_from_slice(&self.packets.to_be_bytes());
            if let Some(mut answer) = self.probe.request(self.now, way(), transaction)
                && answers
            {
                answer[..2].copy_from_slice(&BINDING_ANSWERS[0]);
                assert!(self.probe.on_received(self.now, way().1, &answer));
            }

            if !self.packets.is_multiple_of(TICK) {
                return TurnHealth::Well;
            }

            self.probe.on_route(self.now, Some(way()), is_silent);
            self.probe.health(self.now, self.heard, 20 * MS)
        }

        /// The server has been asked, and answers.
        fn acquainted() -> Self {
            let mut bench = Self::new();
            for _ in 0..3 * TICK {
                bench.packet(false, true);
            }

            assert!(!bench.probe.is_asking(), "it is known to answer");
            bench
        }

        /// What a silence of this length leads to, and after how long.
        fn silence(&mut self, length: Duration, answers: bool) -> (Duration, TurnHealth) {
            let begin = self.now;
            let mut worst = TurnHealth::Well;
            while self.now < begin + length {
                match self.packet(true, answers) {
                    TurnHealth::Gone => return (self.now - begin, TurnHealth::Gone),
                    TurnHealth::Doubtful => {
                        // The signaling server is asked, and answers if it was heard before.
                        worst = TurnHealth::Doubtful;
                        self.heard = self.heard.map(|_| self.now);
                    }
                    TurnHealth::Well => {}
                }
            }

            (length, worst)
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_server_that_answers_no_more_is_gone_if_the_signaling_server_is_there() {
        let mut bench = Bench::acquainted();
        bench.heard = Some(bench.now);
        let (after, health) = bench.silence(5 * SECOND, false);
        assert_eq!(health, TurnHealth::Gone);
        assert!(
            after <= 700 * MS,
            "both servers are asked at once: {after:?}"
        );
        assert_ne!(bench.silence(5 * SECOND, false).1, TurnHealth::Gone, "once");
    }

    #[test]
    fn without_the_signaling_server_it_may_be_this_sides_network() {
        let mut bench = Bench::acquainted();
        assert_eq!(bench.silence(5 * SECOND, false).1, TurnHealth::Doubtful);

        // Both come back.
        bench.heard = Some(bench.now);
        assert_eq!(bench.silence(SECOND, true).1, TurnHealth::Well);
    }

    #[test]
    fn a_partner_who_is_offline_says_nothing_about_the_server() {
        let mut bench = Bench::acquainted();
        bench.heard = Some(bench.now);
        assert_eq!(bench.silence(60 * SECOND, true).1, TurnHealth::Well);
        let (_, health) = bench.silence(5 * SECOND, false);
        assert_eq!(health, TurnHealth::Gone, "it may still end");
    }

    #[test]
    fn a_server_that_knows_no_such_requests_is_not_judged_by_them() {
        let mut bench = Bench::new();
        bench.heard = Some(bench.now);
        for _ in 0..500 {
            assert_eq!(bench.packet(false, false), TurnHealth::Well);
        }

        let open = bench.probe.asked.as_ref().map(|asked| asked.open.len());
        assert_eq!(open, Some(INTRODUCTIONS), "it is asked a few times");
        assert_eq!(bench.silence(20 * SECOND, false).1, TurnHealth::Well);
    }

    #[test]
    fn nobody_answers_for_the_server_and_the_library_sees_the_rest() {
        let (mut probe, now) = (ServerProbe::default(), Instant::now());
        probe.on_route(now, Some(way()), false);
        let mut answer = probe.request(now, way(), [7; 12]).expect("it is due");
        answer[..2].copy_from_slice(&BINDING_ANSWERS[0]);
        assert!(!probe.on_received(now, way().0, &answer), "from elsewhere");
        let mut other = answer;
        other[8] ^= 1;
        for datagram in [
            &other[..],
            &answer[..8],
            &[],
            b"media, as it comes from a partner",
        ] {
            assert!(!probe.on_received(now, way().1, datagram), "{datagram:?}");
        }

        assert!(probe.on_received(now, way().1, &answer));
        assert!(!probe.on_received(now, way().1, &answer), "once");
    }

    proptest! {
        #[test]
        fn only_requests_that_were_lost_after_a_sign_of_life_count(
            steps in prop::collection::vec((0_u8..8, 0_u8..4, 0_u8..50), 1..2_000)
        ) {
            let mut bench = Bench::acquainted();
            for (noise, answer, life) in steps {
                if life == 0 {
                    bench.heard = Some(bench.now);
                }

                let is_silent = noise > 0;
                let health = bench.packet(is_silent, answer == 0);
                let open = bench.probe.asked.iter().flat_map(|asked| &asked.open);
                let sent: Vec<Instant> = open.map(|(_, sent)| *sent).collect();
                prop_assert!(sent.len() <= MAX_REQUESTS);
                if health == TurnHealth::Gone {
                    let first = sent.first().expect("it was asked");
                    let heard = bench.heard.expect("it is not this side's network");
                    prop_assert!(is_silent && heard >= *first);
                    let lost = sent.iter().filter(|sent| bench.now - **sent >= TIMEOUT);
                    prop_assert!(lost.count() >= ENOUGH);
                }
            }
        }
    }
}
