//! Decides which checks may leave and which may come in. Sans-IO: time is an argument.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::nomination::Nomination;
use super::queue::MAX_CANDIDATES;
use super::relay_hold::RelayHold;
use super::stun::{End, IceMessage, Transaction};
use crate::bucket::{Bucket, Rate};

/// One check of all pairs together leaves in this time (RFC 8445 §14.2: at least 5 ms).
const PACE: Duration = Duration::from_millis(5);
/// The number of checks that may leave at once: one for each pair of two ordinary computers.
const BURST: f64 = 12.0;
/// The first checks of a pair follow each other after this time: the partner may get this side's
/// description a moment after the first one.
const FIRST_INTERVAL: Duration = Duration::from_millis(20);
/// How many do. Then the time doubles.
const QUICK_CHECKS: u32 = 4;
/// How often it doubles: up to 640 ms.
const DOUBLINGS: u32 = 5;
/// A pair that does not answer is given up after this number of checks (RFC 8489 §6.2.1 sends seven).
const CHECKS_PER_PAIR: u32 = 10;

/// All checks of a call to addresses that have never answered. 100 pairs (RFC 8445 §6.1.2.5) get
/// three each.
const BUDGET: f64 = 300.0;
/// A check leaves as many for each pair that may still come as its own pair has had, up to so many.
/// Without that, dead candidates that come early would take everything before the last one is checked
/// at all.
const FIRST_CHECKS: u32 = 2;
/// But no more than half of the budget: so many sockets and candidates are rare.
const MAX_RESERVE: f64 = BUDGET / 2.0;
/// The budget grows back by so many a second: a long call may change networks many times.
const BUDGET_PER_SECOND: f64 = 2.0;

/// A pair that once answered is like any other after this number of checks without an answer.
const CREDIT: u32 = 30;

/// The number of addresses that may send checks without having been asked; each becomes a candidate.
const SOURCES: f64 = 32.0;
const SOURCES_PER_SECOND: f64 = 1.0;

/// Checks from one address in a second: each costs a digest and an answer. Our own kind sends less than
/// half of that, and only when it begins.
const HEARD_PER_SECOND: u32 = 400;

/// Pairs that are remembered: 16 sockets, 64 candidates.
const MAX_PAIRS: usize = 1_024;
/// Checks whose answers are recognized: those of four seconds, when the agent forgets them.
const MAX_PENDING: usize = 1_024;

/// One of this machine's sockets, and an end.
pub(super) type Pair = (SocketAddr, End);

/// The state of all pairs of a call. It outlives ICE restarts, so that they are counted, too.
#[derive(Debug)]
pub(in crate::peer) struct Gate {
    pairs: HashMap<Pair, State>,
    seen: Seen,
    pending: VecDeque<Pending>,
    /// The user name of the newest check: another one begins another generation.
    generation: Vec<u8>,
    nomination: Nomination,
    relay_hold: RelayHold,
    /// This side controls ICE, as its newest check says.
    controls: bool,
    pace: Bucket,
    budget: Bucket,
    sources: Bucket,
    /// When a pair's first check last found no place in the pace.
    first_waits: Option<Instant>,
}

/// The sockets and ends that were checked in this generation. There are no more than pairs.
#[derive(Debug, Default)]
struct Seen {
    sockets: HashSet<SocketAddr>,
    ends: HashSet<End>,
}

impl Seen {
    fn add(&mut self, (socket, end): Pair) {
        self.sockets.insert(socket);
        self.ends.insert(end);
    }

    /// How much of the budget a check of a pair that already had so many must leave: as many for each
    /// pair that may still come.
    fn reserve(&self, checks: u32) -> f64 {
        let candidates = MAX_CANDIDATES.saturating_sub(self.ends.len());
        let pairs = self.sockets.len() * candidates;
        let reserve = f64::from(checks.min(FIRST_CHECKS)) * pairs as f64;
        reserve.min(MAX_RESERVE)
    }
}

/// A check on its way.
#[derive(Debug, Clone, Copy)]
struct Pending {
    transaction: Transaction,
    pair: Pair,
    sent: Instant,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// Checks without an answer since the last one, or since the generation began.
    unanswered: u32,
    /// Not earlier than this.
    due: Option<Instant>,
    /// It has answered, so it wants to be checked.
    answered: bool,
    /// A check has come from there.
    heard: bool,
    /// When the present second of checks from there began, and how many came in it.
    second: Option<(Instant, u32)>,
}

impl State {
    /// A check has come from there. Whether there is a place for it.
    fn count(&mut self, now: Instant) -> bool {
        let (began, count) = match self.second {
            Some((began, count))
                if now.saturating_duration_since(began) < Duration::from_secs(1) =>
            {
                (began, count.saturating_add(1))
            }
            _ => (now, 1),
        };
        self.second = Some((began, count));
        count <= HEARD_PER_SECOND
    }
}

impl Gate {
    /// Nothing has been sent yet. `is_relay_only`: this side uses relay candidates only.
    pub(in crate::peer) fn new(is_relay_only: bool) -> Self {
        let bucket = |capacity, per_second| {
            Bucket::new(Rate {
                capacity,
                per_second,
            })
        };
        Self {
            pairs: HashMap::new(),
            seen: Seen::default(),
            pending: VecDeque::new(),
            generation: Vec::new(),
            nomination: Nomination::default(),
            relay_hold: RelayHold::new(is_relay_only),
            controls: false,
            pace: bucket(BURST, 1.0 / PACE.as_secs_f64()),
            budget: bucket(BUDGET, BUDGET_PER_SECOND),
            sources: bucket(SOURCES, SOURCES_PER_SECOND),
            first_waits: None,
        }
    }

    /// The partner's description has come. `is_lite`: it never checks (RFC 8445 §2.5).
    pub(in crate::peer) fn on_description(&mut self, is_lite: bool) {
        self.nomination.on_description(is_lite);
    }

    /// The partner has a relay candidate with this address, which is about to be checked.
    pub(in crate::peer) fn on_relay_candidate(&mut self, address: SocketAddr) {
        self.relay_hold.on_relay_candidate(address);
    }

    /// Whether the partner has answered a check of this generation or an earlier one.
    pub(in crate::peer) fn has_answer(&self) -> bool {
        self.pairs.values().any(|state| state.answered)
    }

    /// Whether `message` may leave for `pair`.
    pub(super) fn may_leave(&mut self, now: Instant, pair: Pair, message: IceMessage<'_>) -> bool {
        let IceMessage::Check {
            transaction,
            username,
            nominates,
            controls,
        } = message
        else {
            return true;
        };

        // A socket that was not ready gets the same one again.
        let newest = self.pending.back();
        if newest.is_some_and(|newest| (newest.transaction, newest.pair) == (transaction, pair)) {
            return true;
        }

        if self.generation != username {
            self.begin_generation(now, username);
        }

        let is_early = nominates && !self.nomination.may_leave(now);
        if is_early || !self.take(now, pair) {
            return false;
        }

        if self.pending.len() == MAX_PENDING {
            self.pending.pop_front();
        }

        self.controls = controls;
        self.pending.push_back(Pending {
            transaction,
            pair,
            sent: now,
        });
        true
    }

    /// Whether `message`, which came from `pair`, may come in.
    pub(super) fn may_enter(&mut self, now: Instant, pair: Pair, message: IceMessage<'_>) -> bool {
        let transaction = match message {
            IceMessage::Check { username, .. } => return self.hear(now, pair, username),
            IceMessage::Answer { transaction } => transaction,
        };

        // Only who received the check can know its transaction, so that nobody answers in the name
        // of an address that is not theirs.
        let mut pending = self.pending.iter();
        let at = pending.position(|check| check.transaction == transaction);
        let Some(check) = at.and_then(|at| self.pending.remove(at)) else {
            return true;
        };

        if let Some(state) = self.pairs.get_mut(&check.pair) {
            state.answered = true;
            state.unanswered = 0;
        }

        let kind = self.relay_hold.kind(check.pair.1);
        !(self.controls && self.relay_hold.holds(now, kind, check.sent))
    }

    #[cfg(feature = "internals")]
    pub(super) fn assert_bounded(&self) {
        assert!(self.pairs.len() <= MAX_PAIRS, "pairs are bounded");
        assert!(self.pending.len() <= MAX_PENDING, "checks are bounded");
    }

    /// Takes one check of `pair` from pace and budget.
    fn take(&mut self, now: Instant, pair: Pair) -> bool {
        let is_full = self.pairs.len() >= MAX_PAIRS;
        let mut state = match self.pairs.get(&pair) {
            Some(state) => *state,
            None if is_full => return false,
            None => State::default(),
        };

        let is_trusted = state.answered && state.unanswered < CREDIT;
        if !is_trusted && !self.pay(now, &state) {
            return false;
        }

        if state.due.is_none() {
            let kind = self.relay_hold.kind(pair.1);
            self.relay_hold.on_first_check(now, kind);
        }

        let doublings = (state.unanswered + 1).saturating_sub(QUICK_CHECKS);
        let interval = FIRST_INTERVAL * 2_u32.pow(doublings.min(DOUBLINGS));
        state.due = Some(now + interval);
        state.unanswered += 1;
        self.pairs.insert(pair, state);
        self.seen.add(pair);
        true
    }

    /// Takes one check out of pace and budget, if the pair's own schedule has one now.
    fn pay(&mut self, now: Instant, state: &State) -> bool {
        let is_due = state.due.is_none_or(|due| now >= due);
        let is_given_up = state.unanswered >= CHECKS_PER_PAIR && !state.answered;
        // Few addresses may send checks, and who does is there: those are not paid for.
        let is_free = state.heard;
        let reserve = self.seen.reserve(state.unanswered);
        if !is_due || is_given_up || !(is_free || self.budget.has(now, 1.0 + reserve)) {
            return false;
        }

        // The agent asks for all pairs in the same order at each interval. Without this, the first
        // ones would be checked again and again before the last ones were at all.
        let is_first = state.unanswered == 0;
        let others_wait = self
            .first_waits
            .is_some_and(|waits| now.saturating_duration_since(waits) <= 2 * FIRST_INTERVAL);
        if !is_first && others_wait && !state.heard {
            return false;
        }

        let has_place = self.pace.take(now, 1.0);
        if has_place && !is_free {
            self.budget.take(now, 1.0);
        } else if !has_place && is_first {
            self.first_waits = Some(now);
        }

        has_place
    }

    /// A check came from `pair`: the partner is there now, so that a check in return is worth more
    /// than its place in the schedule.
    fn hear(&mut self, now: Instant, pair: Pair, username: &[u8]) -> bool {
        let is_full = self.pairs.len() >= MAX_PAIRS;
        let state = match self.pairs.get_mut(&pair) {
            Some(state) => state,
            None if is_full || !self.sources.take(now, 1.0) => return false,
            None => self.pairs.entry(pair).or_default(),
        };

        if !state.count(now) {
            return false;
        }

        if !state.heard {
            state.heard = true;
            state.due = None;
            state.unanswered = state.unanswered.min(1);
        }

        self.nomination.on_check(username);
        true
    }

    /// ICE has restarted: all pairs are checked anew.
    fn begin_generation(&mut self, now: Instant, username: &[u8]) {
        self.generation = username.to_vec();
        self.nomination.begin_generation(username);
        self.relay_hold.begin_generation(now);
        self.seen = Seen::default();
        self.pairs.retain(|_, state| state.answered);
        for state in self.pairs.values_mut() {
            *state = State {
                answered: true,
                unanswered: state.unanswered,
                second: state.second,
                ..State::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// How often the agent asks.
    const TICK: Duration = Duration::from_millis(20);

    fn pair(number: u16) -> Pair {
        let local = "192.0.2.1:5000".parse().unwrap();
        let to = SocketAddr::from(([198, 51, 100, 1], number));
        (local, End::Direct(to))
    }

    /// The gate, and an agent that makes checks.
    struct Rig {
        gate: Gate,
        made: u64,
        username: Vec<u8>,
    }

    impl Rig {
        fn new() -> Self {
            Self {
                gate: Gate::new(false),
                made: 0,
                username: b"a:b".to_vec(),
            }
        }

        /// Makes a check of `pair`; its transaction, if it may leave.
        fn check(&mut self, now: Instant, pair: Pair) -> Option<Transaction> {
            self.made += 1;
            let mut transaction = [0; 12];
            transaction[..8].copy_from_slice(&self.made.to_be_bytes());
            let message = IceMessage::Check {
                transaction,
                username: &self.username,
                nominates: false,
                controls: true,
            };
            self.gate
                .may_leave(now, pair, message)
                .then_some(transaction)
        }

        fn answer(&mut self, now: Instant, pair: Pair, transaction: Transaction) -> bool {
            self.gate
                .may_enter(now, pair, IceMessage::Answer { transaction })
        }

        /// A check from the partner.
        fn hear(&mut self, now: Instant, pair: Pair) -> bool {
            let message = IceMessage::Check {
                transaction: [0xff; 12],
                username: b"b:a",
                nominates: false,
                controls: false,
            };
            self.gate.may_enter(now, pair, message)
        }
    }

    /// How many checks leave in `time` if the agent checks `pairs` at every tick.
    fn leaving(rig: &mut Rig, start: Instant, time: Duration, pairs: u16) -> usize {
        let ticks = time.as_millis() / TICK.as_millis();
        let moments = (0..ticks as u32).map(|tick| start + TICK * tick);
        moments
            .map(|now| {
                let left = (0..pairs).filter(|number| rig.check(now, pair(*number)).is_some());
                left.count()
            })
            .sum()
    }

    #[test]
    fn the_pairs_of_two_computers_are_checked_at_once() {
        let now = Instant::now();
        let mut rig = Rig::new();
        for number in 0..12 {
            assert!(rig.check(now, pair(number)).is_some(), "pair {number}");
        }
    }

    #[test]
    fn every_pair_has_its_turn_before_the_first_is_repeated_much() {
        let start = Instant::now();
        let mut rig = Rig::new();
        let mut first = [None; 40];
        for tick in 0..20_u32 {
            let now = start + TICK * tick;
            for number in 0..40_u16 {
                if rig.check(now, pair(number)).is_some() {
                    first[usize::from(number)].get_or_insert(now - start);
                }
            }
        }

        let last = first.iter().map(|first| first.expect("checked")).max();
        assert!(last.unwrap() <= 160 * MS, "{first:?}");
    }

    #[test]
    fn dead_candidates_leave_checks_for_those_that_come_after_them() {
        for (sockets, candidates) in [(1, MAX_CANDIDATES), (4, 40)] {
            let start = Instant::now();
            let mut rig = Rig::new();
            let mut left = vec![[0; 4]; candidates];
            // As the queue hands them over: ten at once, then one every 100 ms.
            for tick in 0..320 {
                let given = (10 + tick / 5).min(candidates);
                for (number, left) in (0..).zip(&mut left[..given]) {
                    for (socket, left) in (0..sockets).zip(left) {
                        let (local, end) = pair(number);
                        let local = SocketAddr::new(local.ip(), local.port() + socket);
                        let check = rig.check(start + TICK * tick as u32, (local, end));
                        *left += u32::from(check.is_some());
                    }
                }

                let known = (10 + tick.saturating_sub(20) / 5).min(candidates);
                let is_checked =
                    |left: &[u32; 4]| left[..usize::from(sockets)].iter().all(|left| *left > 0);
                assert!(
                    tick < 20 || left[..known].iter().all(is_checked),
                    "after 400 ms, from {sockets}: {left:?}"
                );
            }

            let sum: u32 = left.iter().flatten().sum();
            assert!(sum <= 300 + 2 * 7, "{left:?}");
        }
    }

    #[test]
    fn the_pairs_of_ordinary_computers_are_checked_as_often_as_any() {
        let start = Instant::now();
        let mut rig = Rig::new();
        // 16 pairs, ten checks each, though they come from two sockets.
        let mut left = 0;
        for tick in 0..100 {
            for number in 0..16 {
                let (local, end) = pair(number / 2);
                let local = SocketAddr::new(local.ip(), local.port() + number % 2);
                left += u32::from(rig.check(start + TICK * tick, (local, end)).is_some());
            }
        }

        assert!(left >= 150, "{left}");
    }

    #[test]
    fn a_silent_pair_is_checked_at_growing_intervals_and_given_up() {
        let start = Instant::now();
        let mut rig = Rig::new();
        let sent: Vec<u128> = (0..500)
            .filter(|tick| rig.check(start + TICK * *tick, pair(1)).is_some())
            .map(|tick| (TICK * tick).as_millis())
            .collect();
        assert_eq!(sent, [0, 20, 40, 60, 80, 120, 200, 360, 680, 1_320]);
    }

    #[test]
    fn strangers_addresses_get_no_more_than_the_budget() {
        let start = Instant::now();
        let mut rig = Rig::new();
        let mut left = 0;
        // An offer every 1.9 s with new credentials, for a minute, each with 128 pairs.
        for round in 0..32_u32 {
            rig.username = format!("a:{round}").into_bytes();
            let at = start + Duration::from_millis(1_900) * round;
            left += leaving(&mut rig, at, Duration::from_millis(1_900), 128);
        }

        assert!((300..=300 + 2 * 61).contains(&left), "{left}");
    }

    #[test]
    fn a_flood_of_checks_does_not_come_in_and_holds_nobody_else_back() {
        let start = Instant::now();
        let mut rig = Rig::new();
        let flood = (0..50_000).filter(|_| rig.hear(start, pair(1))).count();
        assert_eq!(flood, 400);
        assert!(rig.hear(start, pair(2)));

        assert!(!rig.hear(start + 999 * MS, pair(1)));
        assert!(rig.hear(start + Duration::from_secs(1), pair(1)));
    }

    #[test]
    fn a_pair_that_answers_is_not_held_back() {
        let start = Instant::now();
        let mut rig = Rig::new();
        let partner = pair(200);
        let transaction = rig.check(start, partner).expect("the first one");
        rig.answer(start + MS, partner, transaction);
        leaving(&mut rig, start + MS, Duration::from_secs(3), 128);

        let now = start + Duration::from_secs(3);
        let transaction = rig.check(now, partner);
        assert!(transaction.is_some(), "though others have spent the budget");
        rig.answer(now, partner, transaction.unwrap());
        rig.username = b"restarted".to_vec();
        for tick in 0..CREDIT {
            let now = now + TICK * tick;
            assert!(rig.check(now, partner).is_some(), "also after a restart");
        }
    }

    #[test]
    fn nobody_answers_for_another_address() {
        let start = Instant::now();
        let mut rig = Rig::new();
        rig.check(start, pair(1)).expect("the first one");
        rig.answer(start, pair(1), [9; 12]);
        assert_eq!(leaving(&mut rig, start, Duration::from_secs(9), 2), 19);
    }

    #[test]
    fn a_pair_that_once_answered_falls_back_into_the_budget() {
        let start = Instant::now();
        let mut rig = Rig::new();
        let transaction = rig.check(start, pair(0)).expect("the first one");
        rig.answer(start, pair(0), transaction);
        let left = leaving(&mut rig, start, Duration::from_secs(120), 1);
        assert!(
            left <= CREDIT as usize + 120 * 1_000 / 640,
            "at the longest interval: {left}"
        );
        assert!(left > 100, "it is never given up: {left}");
    }

    #[test]
    fn a_check_from_the_partner_is_answered_with_a_check_at_once() {
        let start = Instant::now();
        let mut rig = Rig::new();
        leaving(&mut rig, start, 400 * MS, 1);
        let now = start + 401 * MS;
        assert!(rig.check(now, pair(0)).is_none(), "the next is due at 680");
        assert!(rig.hear(now, pair(0)));
        assert!(rig.check(now, pair(0)).is_some());
    }

    #[test]
    fn a_nomination_waits_for_the_partners_description() {
        let now = Instant::now();
        let mut rig = Rig::new();
        let nomination = IceMessage::Check {
            transaction: [1; 12],
            username: b"a:b",
            nominates: true,
            controls: true,
        };
        assert!(rig.check(now, pair(0)).is_some(), "other checks do not");
        assert!(!rig.gate.may_leave(now, pair(0), nomination));

        rig.hear(now, pair(0));
        assert!(rig.gate.may_leave(now, pair(0), nomination));
    }

    #[test]
    fn the_answer_of_a_relayed_pair_waits_for_direct_ones() {
        let start = Instant::now();
        let relay = SocketAddr::from(([203, 0, 113, 5], 50_000));
        let server = SocketAddr::from(([203, 0, 113, 5], 3_478));
        let through_own = End::Relayed {
            server,
            peer: relay,
        };
        for end in [End::Direct(relay), through_own] {
            let mut rig = Rig::new();
            rig.gate.on_relay_candidate(relay);
            let relayed = (pair(0).0, end);
            rig.check(start, pair(1)).expect("a direct one");
            let check = rig.check(start, relayed).expect("a relayed one");
            assert!(!rig.answer(start + 5 * MS, relayed, check), "{end:?}");

            let later = start + 450 * MS;
            let check = rig.check(later, relayed).expect("it has answered");
            assert!(rig.answer(later + 5 * MS, relayed, check), "{end:?}");
        }
    }

    #[test]
    fn a_side_that_does_not_control_ice_knows_relayed_pairs_at_once() {
        let now = Instant::now();
        let mut gate = Gate::new(false);
        let server = SocketAddr::from(([203, 0, 113, 5], 3_478));
        let number = 0x4000;
        let relayed = (pair(0).0, End::Channel { server, number });
        for pair in [pair(1), relayed] {
            let check = IceMessage::Check {
                transaction: [7; 12],
                username: b"a:b",
                nominates: false,
                controls: false,
            };
            assert!(gate.may_leave(now, pair, check));
        }

        let answer = IceMessage::Answer {
            transaction: [7; 12],
        };
        assert!(gate.may_enter(now + MS, relayed, answer));
    }

    #[test]
    fn checks_from_endless_addresses_do_not_come_in() {
        let now = Instant::now();
        let mut rig = Rig::new();
        let heard = (0..10_000).filter(|number| rig.hear(now, pair(*number)));
        assert_eq!(heard.count(), SOURCES as usize);
        assert!(rig.hear(now, pair(1)), "one that is known");
    }

    proptest! {
        #[test]
        fn no_sequence_exceeds_pace_and_budget(
            steps in prop::collection::vec((0..200_u16, 0..40_u64, 0..6_u8), 0..2_000)
        ) {
            let start = Instant::now();
            let mut rig = Rig::new();
            let (mut now, mut left) = (start, 0_u32);
            for (number, wait, what) in steps {
                now += MS * wait as u32;
                match what {
                    0 => { rig.hear(now, pair(number)); }
                    1 => rig.username = number.to_be_bytes().to_vec(),
                    2 => { rig.answer(now, pair(number), [number as u8; 12]); }
                    _ => left += u32::from(rig.check(now, pair(number)).is_some()),
                }

                let seconds = (now - start).as_secs_f64();
                prop_assert!(f64::from(left) <= BURST + seconds / PACE.as_secs_f64() + 1.0);
                let heard = (SOURCES + SOURCES_PER_SECOND * seconds) * f64::from(2 * CHECKS_PER_PAIR);
                let budget = BUDGET + BUDGET_PER_SECOND * seconds;
                prop_assert!(f64::from(left) <= budget + heard + 1.0);
                prop_assert!(rig.gate.pairs.len() <= MAX_PAIRS);
                prop_assert!(rig.gate.pending.len() <= MAX_PENDING);
            }
        }
    }
}
