//! When a relayed pair may be used. Sans-IO: time is an argument.
//!
//! The agent of rtc-ice 0.21.1 nominates one pair and keeps it until ICE restarts, so a relayed one that is
//! nominated too early costs a direct route. Its own wait for something better is a fixed one, of 2 s. So it
//! has none, and the answers of relayed pairs are kept from it instead, for as long as a direct pair may
//! still answer. It takes those for lost and checks again, 20 ms later.
//!
//! How long that is follows from the relayed pairs themselves. They come last: a TURN server takes two round
//! trips to give an address, and one more to let the partner's packets in. By the time a check through it is
//! answered, each side usually has the other's direct candidates and checks them. Their answers take no
//! longer than one through a TURN server, which is a detour.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::stun::End;

/// The least time in which a direct pair is to answer, from its first check: six checks of each side
/// leave in it, so that at a loss of 20 % one pair in 400 is missed.
const DIRECT_TIME: Duration = Duration::from_millis(200);
/// A STUN request that got lost is repeated after 300 ms, by this side's library and by the partner's, and its
/// answer may name the only direct route. So nothing relayed is used before that can have come, been passed on
/// and been checked: this long and two round trips after ICE began.
const STUN_TIME: Duration = Duration::from_millis(400);
/// The longest that a relayed pair waits after its first answer, whatever the partner still names. The
/// agent gives up a pair after 1.8 s.
const MAX_HOLD: Duration = Duration::from_secs(1);
/// Relay candidates of the partner that are remembered: those of four descriptions.
const MAX_RELAYS: usize = 256;

/// What a pair goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PairKind {
    Direct,
    /// The partner's TURN server alone.
    RemoteRelay,
    /// This side's TURN server, and perhaps the partner's.
    LocalRelay,
}

/// Keeps the answers of relayed pairs from an agent that controls ICE.
#[derive(Debug, Default)]
pub(super) struct RelayHold {
    /// There is nothing better to wait for.
    is_relay_only: bool,
    /// The addresses of the partner's relay candidates.
    relays: HashSet<SocketAddr>,
    /// When ICE began, or last restarted.
    began: Option<Instant>,
    /// When the newest direct pair was first checked, or first showed that the partner is there.
    newest_direct: Option<Instant>,
    /// When the first answer came through a TURN server, and its round-trip time.
    first_answer: Option<(Instant, Duration)>,
    /// A pair through the partner's TURN server alone has answered.
    has_remote_relay: bool,
    /// The agent has got such an answer.
    has_passed_remote_relay: bool,
    /// No direct pair is waited for any more.
    is_over: bool,
}

impl RelayHold {
    /// `is_relay_only`: this side uses relay candidates only.
    pub(super) fn new(is_relay_only: bool) -> Self {
        Self {
            is_relay_only,
            ..Self::default()
        }
    }

    /// The partner has a relay candidate with this address.
    pub(super) fn on_relay_candidate(&mut self, address: SocketAddr) {
        if self.relays.len() >= MAX_RELAYS {
            self.relays.clear();
        }

        self.relays.insert(address);
    }

    /// ICE has begun, or has restarted.
    pub(super) fn begin_generation(&mut self, now: Instant) {
        *self = Self {
            began: Some(now),
            is_relay_only: self.is_relay_only,
            relays: std::mem::take(&mut self.relays),
            ..Self::default()
        };
    }

    /// What a pair with this end goes through, as far as the partner's candidates say.
    pub(super) fn kind(&self, end: End) -> PairKind {
        match end {
            End::Direct(address) if self.relays.contains(&address) => PairKind::RemoteRelay,
            End::Direct(_) => PairKind::Direct,
            End::Relayed { .. } | End::Channel { .. } => PairKind::LocalRelay,
        }
    }

    /// A pair is checked for the first time, or for the first time since the partner has checked it.
    pub(super) fn on_first_check(&mut self, now: Instant, kind: PairKind) {
        if kind == PairKind::Direct {
            self.newest_direct = Some(now);
        }
    }

    /// A check that was sent at `sent` has been answered. Whether the agent must not know yet.
    pub(super) fn holds(&mut self, now: Instant, kind: PairKind, sent: Instant) -> bool {
        let is_late = self.began.is_some_and(|began| sent < began);
        if kind == PairKind::Direct || self.is_relay_only || is_late {
            return false;
        }

        let round_trip = now.saturating_duration_since(sent);
        let (since, round_trip) = *self.first_answer.get_or_insert((now, round_trip));
        self.has_remote_relay |= kind == PairKind::RemoteRelay;
        let latest = since + MAX_HOLD;
        let direct_time = DIRECT_TIME.max(2 * round_trip);
        let direct = self.newest_direct.map(|newest| newest + direct_time);
        let stun = self.began.map(|began| began + STUN_TIME + 2 * round_trip);
        let until = direct.unwrap_or(since).max(since + round_trip);
        let until = until.max(stun.unwrap_or(since));
        self.is_over |= now >= until.min(latest);
        if !self.is_over {
            return true;
        }

        // Two TURN servers are worse than one. The agent takes the best pair that it knows at its next
        // interval, so it gets to know the better one first.
        self.has_passed_remote_relay |= kind == PairKind::RemoteRelay;
        self.has_remote_relay && !self.has_passed_remote_relay && now < latest
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

    use PairKind::{Direct, LocalRelay, RemoteRelay};

    /// When the agent gets the first answer of a pair of this kind, if one comes at every tick from `first`
    /// on.
    fn passes(
        hold: &mut RelayHold,
        first: Instant,
        kind: PairKind,
        round_trip: Duration,
    ) -> Instant {
        let answers = (0..200).map(|tick| first + TICK * tick);
        let mut passing = answers.filter(|now| !hold.holds(*now, kind, *now - round_trip));
        passing.next().expect("it is not held for ever")
    }

    #[test]
    fn a_relayed_pair_waits_while_a_direct_one_may_answer() {
        let start = Instant::now();
        let mut hold = RelayHold::new(false);
        hold.on_first_check(start, Direct);
        assert!(!hold.holds(start + 5 * MS, Direct, start), "a direct one");
        let passed = passes(&mut hold, start + 30 * MS, LocalRelay, 5 * MS);
        assert_eq!(passed - start, 210 * MS, "the first answer after 200 ms");
        assert!(
            !hold.holds(passed + MS, LocalRelay, passed),
            "and all others"
        );
    }

    #[test]
    fn one_that_comes_late_waits_one_round_trip() {
        let start = Instant::now();
        let mut hold = RelayHold::new(false);
        hold.on_first_check(start, Direct);
        let late = start + 300 * MS;
        assert_eq!(passes(&mut hold, late, LocalRelay, 5 * MS) - late, TICK);
    }

    #[test]
    fn on_a_slow_link_direct_pairs_have_more_time() {
        let start = Instant::now();
        let mut hold = RelayHold::new(false);
        hold.on_first_check(start, Direct);
        let first = start + 300 * MS;
        let passed = passes(&mut hold, first, LocalRelay, 300 * MS);
        assert_eq!(passed - start, 600 * MS, "two round trips");

        let mut hold = RelayHold::new(false);
        hold.on_first_check(start, Direct);
        let first = start + 900 * MS;
        let passed = passes(&mut hold, first, LocalRelay, 300 * MS);
        assert_eq!(passed - first, 300 * MS, "one after the first answer");
    }

    #[test]
    fn new_direct_addresses_do_not_hold_it_back_for_ever() {
        let start = Instant::now();
        let mut hold = RelayHold::new(false);
        let mut now = start;
        while hold.holds(now, LocalRelay, now - 5 * MS) {
            now += TICK;
            hold.on_first_check(now, Direct);
        }
        assert_eq!(now - start, MAX_HOLD);
    }

    #[test]
    fn without_direct_pairs_there_is_little_to_wait_for() {
        let start = Instant::now();
        let mut hold = RelayHold::new(false);
        hold.on_first_check(start, LocalRelay);
        assert_eq!(passes(&mut hold, start, LocalRelay, 5 * MS) - start, TICK);

        let mut hold = RelayHold::new(true);
        assert!(
            !hold.holds(start, LocalRelay, start - 5 * MS),
            "relay-only mode"
        );
    }

    #[test]
    fn a_stun_request_that_got_lost_has_time_to_be_repeated() {
        let start = Instant::now();
        let mut hold = RelayHold::new(false);
        hold.begin_generation(start);
        hold.on_first_check(start + 80 * MS, Direct);
        let passed = passes(&mut hold, start + 100 * MS, LocalRelay, 20 * MS);
        assert_eq!(passed - start, STUN_TIME + 40 * MS);

        let mut hold = RelayHold::new(false);
        hold.begin_generation(start);
        let late = start + 600 * MS;
        let passed = passes(&mut hold, late, LocalRelay, 20 * MS);
        assert_eq!(passed - late, TICK, "that time is over");
    }

    #[test]
    fn one_turn_server_is_better_than_two() {
        let start = Instant::now();
        let mut hold = RelayHold::new(false);
        assert!(hold.holds(start, RemoteRelay, start - 5 * MS));
        assert!(
            hold.holds(start + 20 * MS, LocalRelay, start + 15 * MS),
            "the worse one"
        );
        assert!(!hold.holds(start + 21 * MS, RemoteRelay, start + 16 * MS));
        assert!(!hold.holds(start + 40 * MS, LocalRelay, start + 35 * MS));

        let mut hold = RelayHold::new(false);
        assert!(hold.holds(start, RemoteRelay, start - 5 * MS));
        let passed = passes(&mut hold, start, LocalRelay, 5 * MS);
        assert_eq!(passed - start, MAX_HOLD, "the better one answers no more");
    }

    #[test]
    fn a_restart_begins_anew_and_keeps_the_partners_relays() {
        let start = Instant::now();
        let mut hold = RelayHold::new(false);
        let relay = SocketAddr::from(([203, 0, 113, 5], 50_000));
        hold.on_relay_candidate(relay);
        passes(&mut hold, start, RemoteRelay, 5 * MS);
        hold.begin_generation(start + MAX_HOLD - 10 * MS);
        assert!(
            !hold.holds(start + MAX_HOLD, RemoteRelay, start),
            "from before"
        );
        assert!(hold.first_answer.is_none());
        assert_eq!(hold.kind(End::Direct(relay)), RemoteRelay);
        assert!(hold.holds(start + MAX_HOLD, RemoteRelay, start + MAX_HOLD - MS));
    }

    proptest! {
        #[test]
        fn any_sequence_passes_in_time_and_stays_open(
            steps in prop::collection::vec((0..60_u64, 0..3_u8, any::<bool>(), 0..2_000_u64), 1..300)
        ) {
            let mut hold = RelayHold::new(false);
            let (mut now, mut first) = (Instant::now(), None);
            for (wait, kind, is_answer, round_trip) in steps {
                now += MS * wait as u32;
                let kind = [Direct, LocalRelay, RemoteRelay][usize::from(kind)];
                if !is_answer {
                    hold.on_first_check(now, kind);
                    continue;
                }

                let was_over = hold.is_over;
                let held = hold.holds(now, kind, now - MS * round_trip as u32);
                prop_assert!(!(held && kind == Direct), "direct pairs are never held");
                if kind != Direct {
                    let since = *first.get_or_insert(now);
                    prop_assert!(!held || now < since + MAX_HOLD);
                    prop_assert!(!was_over || hold.is_over);
                }
            }
        }
    }
}
