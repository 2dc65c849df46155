//! The STUN and TURN servers that the signaling server offers, and when to ask for fresh
//! credentials. Sans-IO: time is an argument.

use std::time::{Duration, Instant};

use tandem_signaling::message::IceServer;

use crate::peer;

/// Ask for fresh credentials after this fraction of their lifetime.
const RENEW_AT: f64 = 0.75;

/// Ask again after this long without an answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Never ask more often, however short the lifetime of the credentials.
const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// The servers on offer, and when to renew them.
#[derive(Debug, Default)]
pub(super) struct IceServers {
    servers: Vec<IceServer>,
    /// When to ask for fresh credentials. `None`: nothing expires, or the signaling server is away.
    ask_at: Option<Instant>,
}

impl IceServers {
    pub(super) fn servers(&self) -> &[IceServer] {
        &self.servers
    }

    /// Whether there is a TURN server with credentials that Tandem knows how to reach.
    pub(super) fn has_turn(&self) -> bool {
        self.servers.iter().any(|server| {
            let username = server.username.as_deref().unwrap_or_default();
            let credential = server.credential.as_deref().unwrap_or_default();
            peer::is_usable(&server.urls, username, credential)
        })
    }

    /// Whether there is a STUN or TURN server, so that this machine can learn its public address.
    pub(super) fn has_any(&self) -> bool {
        self.servers.iter().any(|server| !server.urls.is_empty())
    }

    /// The registration brought these servers. It does not say how long their credentials live, so
    /// ask at once.
    pub(super) fn on_registered(&mut self, now: Instant, servers: &[IceServer]) {
        self.servers = servers.to_vec();
        self.ask_at = self.expires().then_some(now);
    }

    /// A call begins, with servers of its own. If the signaling server does not say how long their
    /// credentials live, ask at once.
    pub(super) fn on_matched(
        &mut self,
        now: Instant,
        servers: &[IceServer],
        ttl: Option<Duration>,
    ) {
        match ttl {
            Some(ttl) => self.on_renewed(now, servers, ttl),
            None => self.on_registered(now, servers),
        }
    }

    /// The signaling server answered: fresh servers, whose credentials live for `ttl`.
    pub(super) fn on_renewed(&mut self, now: Instant, servers: &[IceServer], ttl: Duration) {
        self.servers = servers.to_vec();
        // A lifetime beyond a year is a mistake, or means that the credentials never expire.
        let ttl = ttl.min(Duration::from_secs(365 * 24 * 3_600));
        self.ask_at = self
            .expires()
            .then(|| now + ttl.mul_f64(RENEW_AT).max(MIN_INTERVAL));
    }

    /// The signaling server is away: there is nothing to ask until it is back.
    pub(super) fn on_signaling_lost(&mut self) {
        self.ask_at = None;
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Whether to ask the signaling server now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let due = self.ask_at.is_some_and(|at| at <= now);
        if due {
            self.ask_at = Some(now + RETRY_INTERVAL);
        }

        due
    }

    fn expires(&self) -> bool {
        self.servers
            .iter()
            .any(|server| server.credential.is_some())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

    use super::*;

    fn turn(credential: &str) -> Vec<IceServer> {
        vec![IceServer {
            urls: vec!["turn:192.0.2.1:3478?transport=udp".into()],
            username: Some("1:u".into()),
            credential: Some(credential.into()),
        }]
    }

    #[test]
    fn credentials_are_renewed_before_they_expire_every_time() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut servers = IceServers::default();
        assert_eq!(servers.poll_timeout(), None, "no signaling server yet");
        servers.on_registered(begin, &turn("a"));

        assert!(servers.has_turn());
        assert!(
            servers.handle_timeout(begin),
            "their lifetime is asked for at once"
        );
        assert!(!servers.handle_timeout(begin + second), "only once");
        let mut now = begin + second;

        for credential in ["b", "c", "d"] {
            servers.on_renewed(now, &turn(credential), 600 * second);
            assert_eq!(servers.servers()[0].credential.as_deref(), Some(credential));
            assert!(!servers.handle_timeout(now + 449 * second));
            now += 450 * second;

            assert!(
                servers.handle_timeout(now),
                "at three quarters of their lifetime"
            );
        }

        assert_eq!(
            servers.poll_timeout(),
            Some(now + RETRY_INTERVAL),
            "a request without an answer is repeated"
        );
    }

    #[test]
    fn the_servers_of_a_call_take_the_place_of_those_of_the_registration() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut servers = IceServers::default();
        servers.on_registered(begin, &turn("any"));
        servers.on_renewed(begin, &turn("any"), 120 * second);

        servers.on_matched(begin + second, &turn("call"), Some(3_600 * second));
        assert_eq!(servers.servers()[0].credential.as_deref(), Some("call"));
        assert_eq!(
            servers.poll_timeout(),
            Some(begin + 2_701 * second),
            "by their own lifetime"
        );

        servers.on_matched(begin + second, &turn("next"), None);
        assert_eq!(servers.servers()[0].credential.as_deref(), Some("next"));
        assert!(
            servers.handle_timeout(begin + second),
            "a lifetime that nobody knows is asked for"
        );
    }

    #[test]
    fn servers_without_credentials_do_not_expire() {
        let stun = vec![IceServer {
            urls: vec!["stun:192.0.2.1".into()],
            username: None,
            credential: None,
        }];
        let mut servers = IceServers::default();
        servers.on_registered(Instant::now(), &stun);

        assert_eq!(
            (servers.poll_timeout(), servers.has_turn()),
            (None, false),
            "a STUN server is not a TURN server"
        );

        servers.on_renewed(Instant::now(), &turn("a"), Duration::MAX);
        assert!(
            servers.poll_timeout().is_some(),
            "an absurd lifetime does not overflow"
        );

        servers.on_signaling_lost();
        assert_eq!(servers.poll_timeout(), None);
        assert!(servers.has_turn(), "the servers known so far stay usable");
    }

    #[test]
    fn a_turn_server_that_cannot_be_used_does_not_count() {
        let mut servers = IceServers::default();
        for (url, expected) in [
            ("turns:turn.example?transport=udp", false),
            ("turn:turn.example?transport=sctp", false),
            ("turn:", false),
            ("turns:turn.example", true),
            ("turn:turn.example?transport=tcp", true),
        ] {
            let mut offered = turn("a");
            offered[0].urls = vec![url.into()];
            servers.on_registered(Instant::now(), &offered);
            assert_eq!(servers.has_turn(), expected, "{url}");
        }

        let mut nameless = turn("a");
        nameless[0].username = None;
        servers.on_registered(Instant::now(), &nameless);
        assert!(!servers.has_turn(), "the server would refuse it");
    }

    #[test]
    fn a_very_short_lifetime_does_not_flood_the_signaling_server() {
        let (begin, mut servers) = (Instant::now(), IceServers::default());
        servers.on_renewed(begin, &turn("a"), Duration::ZERO);
        assert_eq!(servers.poll_timeout(), Some(begin + MIN_INTERVAL));
    }
}
