//! What the TURN servers of a connection have answered. Sans-IO: time is an argument.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::TurnProblem;
use crate::peer::checks::{Message, Transaction};

/// A server that has not answered after this long is out of reach: its answer takes two round trips.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(2_500);
/// The same for a server over TCP or TLS, from the moment at which its connection begins: that takes up
/// to four more, and a lost packet costs a second.
const STREAM_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that has not answered after this long is told to the user, who may have to wait longer: over
/// TLS, through a proxy and 300 ms away, an answer takes 1.8 s.
const TROUBLE_AFTER: Duration = Duration::from_secs(2);
/// More servers than this are not watched. A signaling server names a few.
const MAX_SERVERS: usize = 32;
/// How many requests to one server are remembered: one for each socket, and its repetitions.
const MAX_REQUESTS: usize = 64;

const ALLOCATE_REQUEST: u16 = 0x0003;
const ALLOCATE_SUCCESS: u16 = 0x0103;
const ALLOCATE_ERROR: u16 = 0x0113;

const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;

/// Forbidden and the errors of credentials (RFC 8489 §14.8, RFC 8656 §19): unauthenticated, forbidden,
/// stale nonce, wrong credentials.
const REFUSALS: [u16; 4] = [401, 403, 438, 441];

/// What is known about each server.
#[derive(Debug, Default)]
pub(super) struct TurnWatch {
    servers: HashMap<SocketAddr, Asked>,
}

#[derive(Debug)]
struct Asked {
    since: Instant,
    /// Requests with credentials. Without them every server refuses, once.
    proven: VecDeque<Transaction>,
    /// It has answered anything, or has taken a connection.
    is_there: bool,
    outcome: Outcome,
}

/// Of all allocations at one server: a later one counts more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Waiting,
    Unreachable,
    Failed,
    Refused,
    Allocated,
}

impl TurnWatch {
    /// A datagram leaves for `server`.
    pub(super) fn on_sent(&mut self, now: Instant, server: SocketAddr, datagram: &[u8]) {
        let Some(message) = allocate(datagram, ALLOCATE_REQUEST) else {
            return;
        };

        let is_full = self.servers.len() >= MAX_SERVERS;
        if is_full && !self.servers.contains_key(&server) {
            return;
        }

        let asked = self.servers.entry(server).or_insert_with(|| Asked {
            since: now,
            proven: VecDeque::new(),
            is_there: false,
            outcome: Outcome::Waiting,
        });
        if message.attribute(USERNAME).is_none() {
            return;
        }

        if asked.proven.len() == MAX_REQUESTS {
            asked.proven.pop_front();
        }

        asked.proven.push_back(message.transaction);
    }

    /// A datagram has come from `server`.
    pub(super) fn on_received(&mut self, server: SocketAddr, datagram: &[u8]) {
        let Some(asked) = self.servers.get_mut(&server) else {
            return;
        };

        let outcome = if allocate(datagram, ALLOCATE_SUCCESS).is_some() {
            Outcome::Allocated
        } else if let Some(error) = allocate(datagram, ALLOCATE_ERROR) {
            match code(&error) {
                // Every server refuses a request without credentials.
                _ if !asked.proven.contains(&error.transaction) => Outcome::Waiting,
                Some(code) if REFUSALS.contains(&code) => Outcome::Refused,
                _ => Outcome::Failed,
            }
        } else {
            return;
        };

        asked.is_there = true;

        asked.outcome = asked.outcome.max(outcome);
    }

    /// A connection to `server` begins: the better ones have had their head start.
    pub(super) fn on_connecting(&mut self, now: Instant, server: SocketAddr) {
        if let Some(asked) = self.servers.get_mut(&server) {
            asked.since = now;
        }
    }

    /// There is a connection to `server`.
    pub(super) fn on_connected(&mut self, server: SocketAddr) {
        if let Some(asked) = self.servers.get_mut(&server) {
            asked.is_there = true;
        }
    }

    /// `server` cannot be reached.
    pub(super) fn on_unreachable(&mut self, server: SocketAddr) {
        // What it has refused before says more; what it has given is gone.
        if let Some(asked) = self.servers.get_mut(&server)
            && matches!(asked.outcome, Outcome::Waiting | Outcome::Allocated)
        {
            asked.outcome = Outcome::Unreachable;
            asked.is_there = false;
        }
    }

    /// Other sockets ask from now on, perhaps in another network.
    pub(super) fn start_over(&mut self) {
        self.servers.clear();
    }

    /// Whether one of the servers that match `of` has shown that it is there.
    pub(super) fn has_answered(&self, of: impl Fn(SocketAddr) -> bool) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|(server, asked)| asked.is_there && of(*server))
    }

    /// Whether one of the servers that match `of` has given this side an address.
    pub(super) fn has_allocated(&self, of: impl Fn(SocketAddr) -> bool) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|(server, asked)| asked.outcome == Outcome::Allocated && of(*server))
    }

    /// Whether any server was asked.
    pub(super) fn has_asked(&self) -> bool {
        !self.servers.is_empty()
    }

    /// Why no server has given this side an address. `None` if one has, one may still, or none was
    /// asked. `is_stream`: whether a server is reached over TCP or TLS.
    pub(super) fn problem(
        &self,
        now: Instant,
        is_stream: impl Fn(SocketAddr) -> bool,
    ) -> Option<TurnProblem> {
        self.problem_after(now, |server| {
            if is_stream(server) {
                STREAM_ANSWER_TIMEOUT
            } else {
                ANSWER_TIMEOUT
            }
        })
    }

    /// The same as far as it is worth telling, though a server that is silent may still answer.
    pub(super) fn trouble(&self, now: Instant) -> Option<TurnProblem> {
        self.problem_after(now, |_| TROUBLE_AFTER)
    }

    /// The same with the time that each server has for its answer.
    fn problem_after(
        &self,
        now: Instant,
        limit: impl Fn(SocketAddr) -> Duration,
    ) -> Option<TurnProblem> {
        let outcome = |(server, asked): (&SocketAddr, &Asked)| {
            let waited = now.saturating_duration_since(asked.since);
            match asked.outcome {
                Outcome::Waiting if waited < limit(*server) => None,
                Outcome::Waiting => Some(Outcome::Unreachable),
                outcome => Some(outcome),
            }
        };

        // A server that refuses is one that can be reached, so that says more.
        let outcomes: Option<Vec<Outcome>> = self.servers.iter().map(outcome).collect();
        match outcomes?.into_iter().max()? {
            Outcome::Allocated | Outcome::Waiting => None,
            Outcome::Refused => Some(TurnProblem::Refused),
            Outcome::Failed => Some(TurnProblem::Failed),
            Outcome::Unreachable => Some(TurnProblem::Unreachable),
        }
    }
}

/// The message in a datagram, if it is of this kind.
fn allocate(datagram: &[u8], kind: u16) -> Option<Message<'_>> {
    // The first bytes tell: most datagrams are media.
    if datagram.get(..2)? != kind.to_be_bytes() {
        return None;
    }

    Message::parse(datagram)
}

/// The code of an error response (RFC 8489 §14.8).
fn code(error: &Message<'_>) -> Option<u16> {
    let [_, _, class, number, ..] = error.attribute(ERROR_CODE)? else {
        return None;
    };
    Some(u16::from(class & 7) * 100 + u16::from(*number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;

    use super::*;
    use crate::peer::turn::refusal;

    fn over_udp(_: SocketAddr) -> bool {
        false
    }

    fn server(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 3478))
    }

    /// A request with this number, with or without credentials.
    fn request(number: u8, is_proven: bool) -> Vec<u8> {
        let mut message = vec![0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.resize(20, number);
        if is_proven {
            message[3] = 8;
            message.extend_from_slice(&[0, 6, 0, 4, b'1', b':', b'u', b'u']);
        }

        message
    }

    fn success(number: u8) -> Vec<u8> {
        let mut message = request(number, false);
        message[0] = 1;
        message
    }

    fn error(number: u8, code: u16) -> Vec<u8> {
        refusal::error(&[number; 12], code)
    }

    #[test]
    fn refused_credentials_are_known_with_the_answer() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        watch.on_sent(now, server(1), &request(1, false));
        watch.on_received(server(1), &error(1, 401));
        assert_eq!(
            watch.problem(now, over_udp),
            None,
            "every server refuses the first request"
        );

        watch.on_sent(now, server(1), &request(2, true));
        watch.on_received(server(1), &error(2, 401));
        assert_eq!(watch.problem(now, over_udp), Some(TurnProblem::Refused));
    }

    #[test]
    fn silence_is_a_problem_after_a_while() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        assert_eq!(watch.problem(now, over_udp), None, "nobody was asked");
        watch.on_sent(now, server(1), &request(1, false));
        let before = now + ANSWER_TIMEOUT - Duration::from_millis(1);
        assert_eq!(watch.problem(before, over_udp), None);
        // The request is repeated meanwhile, which is no new one.
        watch.on_sent(before, server(1), &request(1, false));
        assert_eq!(
            watch.problem(now + ANSWER_TIMEOUT, over_udp),
            Some(TurnProblem::Unreachable)
        );
    }

    #[test]
    fn a_connection_may_take_longer_than_an_answer() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        watch.on_sent(now, server(1), &request(1, false));
        let problem = |at, is_stream: bool| watch.problem(at, |_| is_stream);
        assert!(problem(now + ANSWER_TIMEOUT, false).is_some());
        assert!(problem(now + ANSWER_TIMEOUT, true).is_none());
        assert!(problem(now + STREAM_ANSWER_TIMEOUT, true).is_some());
    }

    #[test]
    fn a_silence_is_told_before_it_is_given_up() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        assert!(!watch.has_asked());
        watch.on_sent(now, server(1), &request(1, false));
        assert!(watch.has_asked());
        let before = now + TROUBLE_AFTER - Duration::from_millis(1);
        assert_eq!(watch.trouble(before), None);
        let at = now + TROUBLE_AFTER;
        assert_eq!(watch.trouble(at), Some(TurnProblem::Unreachable));
        assert_eq!(watch.problem(at, over_udp), None, "it may still answer");
        watch.on_received(server(1), &success(1));
        assert_eq!(watch.trouble(at), None);
    }

    #[test]
    fn a_connection_is_timed_from_its_own_beginning() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        watch.on_sent(now, server(1), &request(1, false));
        let head_start = Duration::from_millis(500);
        watch.on_connecting(now + head_start, server(1));
        assert_eq!(watch.trouble(now + TROUBLE_AFTER), None, "of that server");
        let at = now + head_start + TROUBLE_AFTER;
        assert_eq!(watch.trouble(at), Some(TurnProblem::Unreachable));
        let problem = |at| watch.problem(at, |_| true);
        assert_eq!(problem(now + STREAM_ANSWER_TIMEOUT), None);
        assert!(problem(now + head_start + STREAM_ANSWER_TIMEOUT).is_some());
    }

    #[test]
    fn an_address_counts_until_its_server_is_gone_or_the_network_another() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        let has_allocated = |watch: &TurnWatch| watch.has_allocated(|_| true);
        watch.on_sent(now, server(1), &request(1, true));
        watch.on_received(server(1), &success(1));
        assert!(has_allocated(&watch));
        watch.on_unreachable(server(1));
        assert!(!has_allocated(&watch));

        watch.on_received(server(1), &success(1));
        assert!(has_allocated(&watch));
        watch.start_over();
        assert!(!has_allocated(&watch));
        watch.on_received(server(1), &success(1));
        assert!(!has_allocated(&watch), "an answer to another socket");
    }

    #[test]
    fn any_answer_is_a_sign_of_life() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        let has_answered = |watch: &TurnWatch| watch.has_answered(|of| of == server(1));
        watch.on_sent(now, server(1), &request(1, false));
        watch.on_sent(now, server(2), &request(2, false));
        watch.on_received(server(2), &error(2, 401));
        assert!(!has_answered(&watch), "another server's");
        watch.on_received(server(1), &error(1, 401));
        assert!(has_answered(&watch));
        watch.on_unreachable(server(1));
        assert!(!has_answered(&watch));
        watch.on_connected(server(1));
        assert!(has_answered(&watch), "a connection is one, too");
    }

    #[test]
    fn one_address_is_enough() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        for number in 1..=3 {
            watch.on_sent(now, server(number), &request(number, true));
        }

        watch.on_unreachable(server(1));
        watch.on_received(server(2), &error(2, 441));
        assert_eq!(
            watch.problem(now, over_udp),
            None,
            "the third may still answer"
        );
        watch.on_received(server(3), &success(3));
        assert_eq!(watch.problem(now + ANSWER_TIMEOUT, over_udp), None);
        let has_allocated =
            |watch: &TurnWatch, number| watch.has_allocated(|of| of == server(number));
        assert!(has_allocated(&watch, 3) && !has_allocated(&watch, 2));

        watch.on_received(server(3), &error(3, 401));
        assert!(has_allocated(&watch, 3), "another socket's answer");
    }

    #[test]
    fn a_server_without_room_is_told_from_one_that_refuses() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        watch.on_sent(now, server(1), &request(1, true));
        watch.on_received(server(1), &error(1, 486));
        assert_eq!(watch.problem(now, over_udp), Some(TurnProblem::Failed));
    }

    #[test]
    fn nobody_answers_for_another_server() {
        let (mut watch, now) = (TurnWatch::default(), Instant::now());
        watch.on_sent(now, server(1), &request(1, true));
        watch.on_received(server(2), &success(1));
        watch.on_received(server(1), &error(9, 401));
        assert_eq!(watch.problem(now, over_udp), None, "it still waits");
    }

    proptest! {
        #[test]
        fn any_datagrams_keep_it_small(
            datagrams in prop::collection::vec(
                (any::<u8>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)),
                0..200,
            )
        ) {
            let (mut watch, now) = (TurnWatch::default(), Instant::now());
            for (number, is_sent, mut datagram) in datagrams {
                if let [first, second, ..] = &mut datagram[..] {
                    (*first, *second) = (u8::from(!is_sent), if is_sent { 3 } else { 0x13 });
                }

                watch.on_sent(now, server(number), &datagram);
                watch.on_received(server(number), &datagram);
                watch.on_sent(now, server(number), &request(number, true));
                prop_assert!(watch.servers.len() <= MAX_SERVERS);
            }

            let mut proven = watch.servers.values().map(|asked| asked.proven.len());
            prop_assert!(proven.all(|requests| requests <= MAX_REQUESTS));
            let _ = watch.problem(now, over_udp);
        }
    }
}
