//! Watches the route that media takes, datagram by datagram: whether anything still comes back, and
//! whether the partner has moved to another address. Sans-IO: time is an argument.
//!
//! The ICE agent of webrtc 0.21.1 keeps a selected pair until ICE restarts. If a NAT on the way has
//! given the partner another port, the partner's packets arrive from there, but the agent goes on
//! sending to the old one.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::gate::Pair;
use super::stun::{self, End, IceMessage, Transaction};

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
/// For so long a restart of ICE may take, in which the partner is heard elsewhere as a matter of course.
const RESTART: Duration = Duration::from_secs(2);
/// A partner who moves again and again is followed after this time, then after twice as long each time.
const FIRST_FOLLOW: Duration = Duration::from_secs(2);
/// The longest of these times. After it, all is as at first.
const LAST_FOLLOW: Duration = Duration::from_secs(64);

/// Channels of TURN servers whose peers are remembered. There is one for each address of the partner, and
/// ICE restarts make new ones.
const MAX_CHANNELS: usize = 128;

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    /// RTP or RTCP.
    Media,
    Check(Transaction),
    Answer(Transaction),
    /// Handshakes, and what a TURN server says itself.
    Other,
}

impl Traffic {
    /// What these bytes are, out of what TURN put around them (RFC 7983 §7).
    pub(super) fn of(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(128..=191) => Self::Media,
            Some(0..=3) => match stun::check_or_answer(bytes) {
                Some(IceMessage::Check { transaction, .. }) => Self::Check(transaction),
                Some(IceMessage::Answer { transaction }) => Self::Answer(transaction),
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
    /// Channels of this machine's sockets, and the peers that they stand for, the newest last.
    channels: VecDeque<(Pair, SocketAddr)>,
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
    /// One of this machine's sockets, and the partner's end.
    route: Pair,
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
    /// When ICE began to look for another one.
    restarted: Option<Instant>,
}

impl RouteWatch {
    /// `datagram` leaves the socket `local` for `to`.
    pub(super) fn on_datagram_sent(
        &mut self,
        now: Instant,
        (local, to): (SocketAddr, SocketAddr),
        datagram: &[u8],
    ) {
        if let Some((channel, peer)) = stun::channel_request(to, datagram) {
            self.on_channel((local, channel), peer);
        } else if let Some((end, bytes)) = stun::carried(to, datagram) {
            let route = self.route((local, end));
            self.on_sent(now, route, Traffic::of(bytes));
        }
    }

    /// `datagram` from `from` has arrived at the socket `local`.
    pub(super) fn on_datagram_received(
        &mut self,
        now: Instant,
        (local, from): (SocketAddr, SocketAddr),
        datagram: &[u8],
    ) {
        if let Some((end, bytes)) = stun::carried(from, datagram) {
            let route = self.route((local, end));
            self.on_received(now, route, Traffic::of(bytes));
        }
    }

    #[cfg(feature = "internals")]
    pub(super) fn assert_bounded(&self) {
        let checks = self.used.as_ref().map_or(0, |used| used.checks.len());
        assert!(checks <= MAX_CHECKS, "checks are bounded");
        assert!(self.channels.len() <= MAX_CHANNELS, "channels are bounded");
    }

    /// `channel` stands for `peer` from now on.
    fn on_channel(&mut self, channel: Pair, peer: SocketAddr) {
        self.channels.retain(|(known, _)| *known != channel);
        if self.channels.len() == MAX_CHANNELS {
            self.channels.pop_front();
        }

        self.channels.push_back((channel, peer));
    }

    /// The same route by the partner's address. The server sends what comes from there in the one form
    /// or the other, and from another address of the partner in the other.
    fn route(&self, (local, end): Pair) -> Pair {
        let End::Channel { server, .. } = end else {
            return (local, end);
        };

        let mut channels = self.channels.iter();
        let known = channels.find(|(channel, _)| *channel == (local, end));
        let end = known.map_or(end, |(_, peer)| End::Relayed {
            server,
            peer: *peer,
        });
        (local, end)
    }

    /// `traffic` leaves on `route`.
    fn on_sent(&mut self, now: Instant, route: Pair, traffic: Traffic) {
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
    fn on_received(&mut self, now: Instant, route: Pair, traffic: Traffic) {
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
        Some((local.ip(), remote.address().ip()))
    }

    /// The TURN server of this side that media goes through.
    pub(in crate::peer) fn turn_server(&self) -> Option<SocketAddr> {
        let (_, end) = self.used.as_ref()?.route;
        (!matches!(end, End::Direct(_))).then(|| end.address())
    }

    /// The socket and the TURN server of this side that media goes through, and the round-trip time to the
    /// partner.
    pub(in crate::peer) fn way_to_turn(&self) -> Option<((SocketAddr, SocketAddr), Duration)> {
        let used = self.used.as_ref()?;
        let (local, end) = used.route;
        (!matches!(end, End::Direct(_))).then(|| ((local, end.address()), used.rtt))
    }

    /// Whether media goes through the TURN server at the second address, from the socket at the first.
    pub(in crate::peer) fn goes_through(&self, (local, server): (SocketAddr, SocketAddr)) -> bool {
        let Some((from, end)) = self.used.as_ref().map(|used| used.route) else {
            return false;
        };
        from == local && !matches!(end, End::Direct(_)) && end.address() == server
    }

    /// ICE restarts: the partner's checks come from elsewhere, and media goes where it went until another
    /// route is chosen.
    pub(in crate::peer) fn on_restart(&mut self, now: Instant) {
        if let Some(used) = &mut self.used {
            used.restarted = Some(now);
        }
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
        let since = |at| now.saturating_duration_since(at);
        let is_restarting = used.restarted.is_some_and(|at| since(at) < RESTART);
        let has_moved =
            used.is_dead(now) && is_heard_elsewhere && !used.is_reported && !is_restarting;
        if !has_moved {
            return false;
        }

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
    fn new(now: Instant, route: Pair, is_first: bool) -> Self {
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
            restarted: None,
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
#[path = "route_watch_tests.rs"]
mod tests;
