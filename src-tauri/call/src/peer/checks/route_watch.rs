//! Watches the route that media takes, datagram by datagram: whether anything still comes back, and
//! whether the partner has moved to another address. Sans-IO: time is an argument.
//!
//! The ICE agent of webrtc 0.21.1 keeps a selected pair until ICE restarts. If a NAT on the way has
//! given the partner another port, the partner's packets arrive from there, but the agent goes on
//! sending to the old one.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::stun::{IceMessage, Transaction, ice_message};

/// A check without an answer for this time, or for two round trips if that is longer, is lost. The
/// agent makes one in 0.4 to 0.6 s.
const CHECK_TIMEOUT: Duration = Duration::from_millis(300);
/// With a longer round trip than half of this, checks say nothing about the route.
const MAX_CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Where media has been arriving steadily, this time without anything is a silence. A partner whose
/// microphone is on sends a packet in 20 ms.
const MEDIA_TIMEOUT: Duration = Duration::from_millis(400);
/// Media that arrives with a longer mean gap than this is not steady: RTCP alone comes once a second.
const STEADY_GAP: Duration = Duration::from_millis(60);
/// The weight of the newest gap in the mean.
const GAP_WEIGHT: f64 = 1.0 / 16.0;
/// After so many checks in a row without an answer, the route was lost for a while. On a path that loses
/// a tenth of all packets, that happens by chance once in six minutes.
const LOST_CHECKS: usize = 4;
/// Checks whose answers are awaited: those of the longest timeout and many more.
const MAX_CHECKS: usize = 32;
/// A partner who moves again and again is followed after this time, then after twice as long each time.
const FIRST_FOLLOW: Duration = Duration::from_secs(2);
/// The longest of these times. After it, all is as at first.
const LAST_FOLLOW: Duration = Duration::from_secs(64);

/// One of this machine's sockets, and where media is sent from there: the partner or a TURN server.
pub(super) type MediaRoute = (SocketAddr, SocketAddr);

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    /// RTP or RTCP, or what a TURN server forwards.
    Media,
    Check(Transaction),
    Answer(Transaction),
    /// Handshakes, and what a TURN server says itself.
    Other,
}

impl Traffic {
    /// What `datagram` carries that goes to `address` or comes from there (RFC 7983 §7).
    pub(super) fn of(address: SocketAddr, datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(128..=191) => Self::Media,
            Some(0..=3 | 0x40..=0x4f) => match ice_message(address, datagram) {
                Some((_, IceMessage::Check { transaction, .. })) => Self::Check(transaction),
                Some((_, IceMessage::Answer { transaction })) => Self::Answer(transaction),
                None if datagram[0] >= 0x40 => Self::Media,
                None => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// The state of the route that media takes. It begins anew when media takes another one.
#[derive(Debug, Default)]
pub(crate) struct RouteWatch {
    used: Option<Used>,
    /// What is sent arrives again: see [`take_recovery`](Self::take_recovery).
    has_recovered: bool,
    /// When a move was reported last, and how long no other is after that. Anyone can send from another
    /// address, and each report costs a restart of ICE.
    followed: Option<(Instant, Duration)>,
}

/// How the route that media takes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RouteHealth {
    /// Nothing comes back: checks have no answers, or media that came steadily has ended. A partner who
    /// sends nothing is not silent, because the checks are answered.
    pub(crate) is_silent: bool,
    /// A check is lost: what is sent may not arrive, though something comes back. One check can be lost
    /// on any network.
    pub(crate) is_unanswered: bool,
}

#[derive(Debug)]
struct Used {
    route: MediaRoute,
    /// The newest datagram from the other end, or the first one to it.
    received: Instant,
    /// The newest media from there.
    media: Option<Instant>,
    /// The mean time between media from there, seconds.
    gap: f64,
    /// The newest checks without an answer since the last one that has one.
    checks: VecDeque<(Transaction, Instant)>,
    /// When the first of them was sent, and how many are not in `checks` any more.
    unanswered: Option<(Instant, usize)>,
    /// When the last answer arrived.
    answered: Option<Instant>,
    /// How long that took.
    rtt: Duration,
    /// Media that came steadily has paused since the last answer to a check.
    has_paused: bool,
    /// A check has been answered.
    is_proven: bool,
    /// The newest media or check from another address.
    elsewhere: Option<Instant>,
    /// The move has been reported.
    is_reported: bool,
}

impl RouteWatch {
    /// `traffic` leaves on `route`.
    pub(super) fn on_sent(&mut self, now: Instant, route: MediaRoute, traffic: Traffic) {
        match traffic {
            Traffic::Media if self.used.as_ref().is_none_or(|used| used.route != route) => {
                let is_first = self.used.is_none();
                self.used = Some(Used::new(now, route, is_first));
            }
            Traffic::Check(transaction) => {
                if let Some(used) = self.used.as_mut().filter(|used| used.route == route) {
                    used.on_check(now, transaction);
                }
            }
            _ => {}
        }
    }

    /// `traffic` has arrived on `route`.
    pub(super) fn on_received(&mut self, now: Instant, route: MediaRoute, traffic: Traffic) {
        let Some(used) = &mut self.used else {
            return;
        };

        if used.route == route {
            self.has_recovered |= used.on_received(now, traffic);
        } else if matches!(traffic, Traffic::Media | Traffic::Check(_)) {
            used.elsewhere = Some(now);
        }
    }

    /// Whether what is sent arrives again, on this route or another. True once each time. What was
    /// sent meanwhile is lost, so the partner needs a keyframe: browsers ask for one after three
    /// seconds.
    pub(crate) fn take_recovery(&mut self) -> bool {
        std::mem::take(&mut self.has_recovered)
    }

    /// How the route is.
    pub(crate) fn health(&self, now: Instant) -> RouteHealth {
        let health = self.used.as_ref().map(|used| used.health(now));
        health.unwrap_or_default()
    }

    /// When a check of the route was last answered.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.used.as_ref()?.answered
    }

    /// The addresses at the two ends: this machine's, and the partner's or that of a TURN server.
    pub(crate) fn ends(&self) -> Option<(IpAddr, IpAddr)> {
        let (local, remote) = self.used.as_ref()?.route;
        Some((local.ip(), remote.ip()))
    }

    /// Whether the partner now sends from another address, and can no longer be reached where media is
    /// sent. True once for each route, and less often if it happens again and again.
    pub(crate) fn has_moved(&mut self, now: Instant) -> bool {
        let Some(used) = &mut self.used else {
            return false;
        };

        let is_heard_elsewhere = used
            .elsewhere
            .is_some_and(|at| used.first_unanswered().is_some_and(|check| at >= check));
        let has_moved = used.is_dead(now) && is_heard_elsewhere && !used.is_reported;
        if !has_moved {
            return false;
        }

        let since = |at| now.saturating_duration_since(at);
        let pause = match self.followed {
            Some((at, pause)) if since(at) < pause => return false,
            Some((at, pause)) if since(at) < LAST_FOLLOW => LAST_FOLLOW.min(2 * pause),
            _ => FIRST_FOLLOW,
        };
        used.is_reported = true;
        self.followed = Some((now, pause));
        true
    }
}

impl Used {
    fn new(now: Instant, route: MediaRoute, is_first: bool) -> Self {
        Self {
            route,
            received: now,
            media: None,
            gap: f64::INFINITY,
            checks: VecDeque::new(),
            unanswered: None,
            answered: None,
            rtt: Duration::ZERO,
            has_paused: false,
            is_proven: is_first,
            elsewhere: None,
            is_reported: false,
        }
    }

    fn on_check(&mut self, now: Instant, transaction: Transaction) {
        let (_, forgotten) = self.unanswered.get_or_insert((now, 0));
        if self.checks.len() == MAX_CHECKS {
            self.checks.pop_front();
            *forgotten += 1;
        }

        self.checks.push_back((transaction, now));
    }

    /// Returns whether that shows that what is sent arrives again.
    fn on_received(&mut self, now: Instant, traffic: Traffic) -> bool {
        self.has_paused |= self.is_paused(now);
        self.received = now;
        match traffic {
            Traffic::Media => self.on_media(now),
            Traffic::Answer(transaction) => {
                return self.on_answer(now, transaction);
            }
            Traffic::Check(_) | Traffic::Other => {}
        }

        false
    }

    fn on_answer(&mut self, now: Instant, transaction: Transaction) -> bool {
        let mut checks = self.checks.iter();
        let Some(at) = checks.position(|(other, _)| *other == transaction) else {
            return false;
        };

        let (_, sent) = self.checks[at];
        self.answered = Some(now);
        self.rtt = now.saturating_duration_since(sent);
        self.checks.drain(..=at);
        let lost = at + self.unanswered.map_or(0, |(_, forgotten)| forgotten);
        self.unanswered = self.checks.front().map(|(_, sent)| (*sent, 0));

        let was_proven = std::mem::replace(&mut self.is_proven, true);
        let has_paused = std::mem::take(&mut self.has_paused);
        !was_proven || lost >= LOST_CHECKS || (has_paused && lost > 0)
    }

    fn on_media(&mut self, now: Instant) {
        if let Some(before) = self.media.replace(now) {
            let gap = now.saturating_duration_since(before).as_secs_f64();
            self.gap = if self.gap.is_finite() {
                self.gap + (gap - self.gap) * GAP_WEIGHT
            } else {
                gap
            };
        }
    }

    fn first_unanswered(&self) -> Option<Instant> {
        self.unanswered.map(|(sent, _)| sent)
    }

    fn health(&self, now: Instant) -> RouteHealth {
        RouteHealth {
            is_silent: self.is_dead(now) || self.is_paused(now),
            is_unanswered: self.is_unanswered(now),
        }
    }

    /// Media that came steadily has ended.
    fn is_paused(&self, now: Instant) -> bool {
        let is_steady = self.gap < STEADY_GAP.as_secs_f64();
        is_steady && now.saturating_duration_since(self.received) >= MEDIA_TIMEOUT
    }

    fn is_unanswered(&self, now: Instant) -> bool {
        let timeout = (2 * self.rtt).max(CHECK_TIMEOUT);
        timeout <= MAX_CHECK_TIMEOUT
            && self
                .first_unanswered()
                .is_some_and(|sent| now.saturating_duration_since(sent) >= timeout)
    }

    /// Nothing comes from the other end, not even the answer to a check.
    fn is_dead(&self, now: Instant) -> bool {
        self.is_unanswered(now) && now.saturating_duration_since(self.received) >= CHECK_TIMEOUT
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;

    use super::super::stun::examples;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn route(port: u16) -> MediaRoute {
        (address(5_000), address(port))
    }

    fn transaction(number: u128) -> Transaction {
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&number.to_be_bytes()[4..]);
        bytes
    }

    /// A call whose partner is at port 1.
    struct Rig {
        watch: RouteWatch,
        start: Instant,
        ms: u32,
        /// How long an answer takes, milliseconds. `None`: there is none.
        rtt: Option<u32>,
        /// Where the partner sends from.
        port: u16,
        /// Milliseconds between the partner's packets.
        every: u32,
        lost_at: Option<u32>,
        moved_at: Option<u32>,
    }

    impl Rig {
        fn new(every: u32, rtt: u32) -> Self {
            Self {
                watch: RouteWatch::default(),
                start: Instant::now(),
                ms: 0,
                rtt: Some(rtt),
                port: 1,
                every,
                lost_at: None,
                moved_at: None,
            }
        }

        /// Lets this time pass, and remembers when the watch first found something.
        fn pass(&mut self, ms: u32) {
            for _ in 0..ms {
                self.ms += 1;
                let now = self.start + MS * self.ms;
                if self.ms.is_multiple_of(20) {
                    self.watch.on_sent(now, route(1), Traffic::Media);
                }

                if self.ms.is_multiple_of(self.every) {
                    self.watch
                        .on_received(now, route(self.port), Traffic::Media);
                }

                if self.ms.is_multiple_of(400) {
                    let check = Traffic::Check(transaction(self.ms.into()));
                    self.watch.on_sent(now, route(1), check);
                }

                if let Some(sent) = self.rtt.and_then(|rtt| self.ms.checked_sub(rtt))
                    && sent.is_multiple_of(400)
                {
                    let answer = Traffic::Answer(transaction(sent.into()));
                    self.watch.on_received(now, route(1), answer);
                }

                if self.watch.health(now).is_silent {
                    self.lost_at.get_or_insert(self.ms);
                }

                if self.watch.has_moved(now) {
                    assert_eq!(self.moved_at, None, "it is reported once");
                    self.moved_at = Some(self.ms);
                }
            }
        }
    }

    #[test]
    fn a_partner_who_sends_hardly_anything_is_not_silent() {
        for rtt in [1, 300, 700] {
            let mut rig = Rig::new(1_000, rtt);
            rig.pass(20_000);
            assert_eq!((rig.lost_at, rig.moved_at), (None, None), "{rtt} ms");
        }
    }

    #[test]
    fn media_that_ends_is_a_silence() {
        let mut rig = Rig::new(20, 30);
        rig.pass(10_000);
        assert_eq!(rig.lost_at, None);

        (rig.every, rig.rtt) = (u32::MAX, None);
        rig.pass(1_000);
        let lost_at = rig.lost_at.expect("silent");
        assert!((10_300..=10_450).contains(&lost_at), "{lost_at}");
        assert_eq!(rig.moved_at, None, "nothing comes from elsewhere");
    }

    #[test]
    fn checks_without_answers_are_a_silence_where_no_media_comes() {
        let mut rig = Rig::new(1_000, 30);
        rig.pass(10_100);
        rig.rtt = None;
        rig.every = u32::MAX;
        rig.pass(1_000);
        let lost_at = rig.lost_at.expect("silent");
        assert!((10_400..=10_800).contains(&lost_at), "{lost_at}");
    }

    #[test]
    fn a_long_silence_ends_when_checks_are_answered_again() {
        let mut rig = Rig::new(20, 30);
        rig.pass(10_000);
        (rig.every, rig.rtt) = (u32::MAX, None);
        rig.pass(20_000);
        let now = rig.start + MS * rig.ms;
        assert!(rig.watch.health(now).is_unanswered);
        assert!(!rig.watch.take_recovery());

        (rig.every, rig.rtt) = (20, Some(30));
        rig.pass(1_000);
        assert!(rig.watch.take_recovery(), "the partner needs a keyframe");
        let now = rig.start + MS * rig.ms;
        assert!(!rig.watch.health(now).is_unanswered);
    }

    #[test]
    fn a_partner_who_moves_again_and_again_is_followed_less_and_less() {
        let (mut watch, start) = (RouteWatch::default(), Instant::now());
        let mut moves: Vec<u32> = Vec::new();
        for ms in (0..60_000_u32).step_by(20) {
            let (now, port) = (start + MS * ms, 1 + moves.len() as u16);
            watch.on_sent(now, route(port), Traffic::Media);
            if ms.is_multiple_of(400) {
                watch.on_sent(now, route(port), Traffic::Check(transaction(ms.into())));
            }

            watch.on_received(now, route(port + 1), Traffic::Media);
            if watch.has_moved(now) {
                moves.push(ms);
            }
        }

        let pauses: Vec<u32> = moves.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses, [2_000, 4_000, 8_000, 16_000], "{moves:?}");
    }

    #[test]
    fn a_partner_behind_another_port_has_moved() {
        for every in [20, 1_000] {
            let mut rig = Rig::new(every, 30);
            rig.pass(10_100);
            (rig.port, rig.rtt) = (2, None);
            rig.pass(5_000);
            assert!(!rig.watch.take_recovery(), "not yet");
            let moved_at = rig.moved_at.expect("moved");
            let latest = 10_100 + 400 + 300 + every;
            assert!((10_300..=latest).contains(&moved_at), "{moved_at}");
        }
    }

    #[test]
    fn who_sends_from_two_addresses_has_not_moved() {
        let mut rig = Rig::new(20, 30);
        rig.pass(5_000);
        // As a browser that prefers another pair: it still answers on this one.
        rig.port = 2;
        rig.pass(5_000);
        assert_eq!(rig.moved_at, None);
    }

    #[test]
    fn a_check_is_lost_where_only_the_way_there_is() {
        let mut rig = Rig::new(20, 30);
        rig.pass(10_100);
        rig.rtt = None;
        rig.pass(1_000);
        assert_eq!(rig.lost_at, None, "media still comes");
        assert!(rig.watch.health(rig.start + MS * rig.ms).is_unanswered);
    }

    #[test]
    fn a_route_that_was_lost_for_a_while_recovers_once() {
        let mut rig = Rig::new(20, 30);
        rig.pass(10_100);
        rig.rtt = None;
        rig.pass(2_000);
        assert!(!rig.watch.take_recovery());

        rig.rtt = Some(30);
        rig.pass(500);
        assert!(rig.watch.take_recovery());
        rig.pass(5_000);
        assert!(!rig.watch.take_recovery());
    }

    #[test]
    fn a_short_outage_is_a_recovery_and_a_lost_check_is_none() {
        for (every, is_recovery) in [(u32::MAX, true), (20, false)] {
            let mut rig = Rig::new(20, 30);
            rig.pass(10_100);
            (rig.every, rig.rtt) = (every, None);
            rig.pass(600);
            (rig.every, rig.rtt) = (20, Some(30));
            rig.pass(1_000);
            assert_eq!(rig.watch.take_recovery(), is_recovery);
        }
    }

    #[test]
    fn another_route_that_works_is_a_recovery() {
        let mut watch = RouteWatch::default();
        let now = Instant::now();
        let mut prove = |port| {
            watch.on_sent(now, route(port), Traffic::Media);
            watch.on_sent(now, route(port), Traffic::Check(transaction(1)));
            watch.on_received(now, route(port), Traffic::Answer(transaction(1)));
            watch.take_recovery()
        };
        assert!(!prove(1), "the first one of a call");
        assert!(prove(2));
    }

    #[test]
    fn another_route_is_judged_anew() {
        let mut rig = Rig::new(20, 30);
        rig.pass(5_000);
        rig.rtt = None;
        rig.pass(10);
        let now = rig.start + MS * rig.ms;
        rig.watch.on_sent(now, route(3), Traffic::Media);
        assert!(
            !rig.watch.health(now + 500 * MS).is_silent,
            "nothing is known yet"
        );
    }

    #[test]
    fn datagrams_are_told_apart() {
        let from = address(1);
        let channel = |inner: &[u8]| [&[0x40, 0, 0, inner.len() as u8], inner].concat();
        for (datagram, expected) in [
            (vec![0x80, 96, 0, 1], Traffic::Media),
            (channel(&[0x80, 96, 0, 1]), Traffic::Media),
            (examples::check(7), Traffic::Check([7; 12])),
            (channel(&examples::answer(7)), Traffic::Answer([7; 12])),
            (vec![22, 0xfe, 0xfd], Traffic::Other),
            (Vec::new(), Traffic::Other),
        ] {
            assert_eq!(Traffic::of(from, &datagram), expected, "{datagram:?}");
        }
    }

    proptest! {
        /// Whatever happens, a route that has just been heard is neither silent nor left.
        #[test]
        fn a_route_that_is_heard_is_kept(
            steps in prop::collection::vec((0..900_u32, 0..4_u16, 0..5_u128, any::<bool>()), 1..80),
        ) {
            let mut watch = RouteWatch::default();
            let mut now = Instant::now();
            for (ms, port, number, is_sent) in steps {
                now += MS * ms;
                let traffic = match number {
                    0 | 1 => Traffic::Media,
                    2 => Traffic::Check(transaction(number)),
                    3 => Traffic::Answer(transaction(number - 1)),
                    _ => Traffic::Other,
                };
                if is_sent {
                    watch.on_sent(now, route(port), traffic);
                } else {
                    watch.on_received(now, route(port), traffic);
                }

                let used = watch.used.as_ref().map(|used| used.route);
                if !is_sent && used == Some(route(port)) {
                    prop_assert!(!watch.health(now).is_silent);
                    prop_assert!(!watch.has_moved(now));
                }

                let checks = watch.used.as_ref().map_or(0, |used| used.checks.len());
                prop_assert!(checks <= MAX_CHECKS);
            }
        }
    }
}
