//! The relay's STUN and TURN servers, and when their credentials have to be asked for anew.

use std::time::{Duration, Instant};

use tandem_signaling::message::IceServer;

/// Fresh credentials are asked for when this much of their life is over.
const RENEW_AT: f64 = 0.75;
/// A question that was not answered, or not sent, is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// No relay is asked more often, whatever life it gives its credentials.
const SHORTEST: Duration = Duration::from_secs(5);

/// What the relay offers. Time comes in as an argument.
#[derive(Debug, Default)]
pub(super) struct IceServers {
    servers: Vec<IceServer>,
    /// When to ask for fresh credentials; `None`: nothing expires, or the relay is away.
    ask_at: Option<Instant>,
}

impl IceServers {
    pub(super) fn servers(&self) -> &[IceServer] {
        &self.servers
    }

    /// Whether media can go through a server.
    pub(super) fn has_turn(&self) -> bool {
        let is_turn = |url: &String| url.starts_with("turn:") || url.starts_with("turns:");
        self.servers
            .iter()
            .any(|server| server.credential.is_some() && server.urls.iter().any(is_turn))
    }

    /// The relay registered us and named these. How long credentials live is not said there, so it is asked at once.
    pub(super) fn on_registered(&mut self, now: Instant, servers: &[IceServer]) {
        self.servers = servers.to_vec();
        self.ask_at = self.expires().then_some(now);
    }

    /// The answer of the relay: fresh servers, whose credentials live for `ttl`.
    pub(super) fn on_renewed(&mut self, now: Instant, servers: &[IceServer], ttl: Duration) {
        self.servers = servers.to_vec();
        // A life beyond a year is a mistake, or as good as endless.
        let ttl = ttl.min(Duration::from_secs(365 * 24 * 3_600));
        self.ask_at = self
            .expires()
            .then(|| now + ttl.mul_f64(RENEW_AT).max(SHORTEST));
    }

    /// Nobody can be asked until the relay is back.
    pub(super) fn on_relay_lost(&mut self) {
        self.ask_at = None;
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Whether the relay is to be asked now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let due = self.ask_at.is_some_and(|at| at <= now);
        if due {
            self.ask_at = Some(now + ASK_AGAIN);
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
    use super::*;

    fn turn(credential: &str) -> Vec<IceServer> {
        vec![IceServer {
            urls: vec!["turn:192.0.2.1:3478?transport=udp".into()],
            username: Some("1:u".into()),
            credential: Some(credential.into()),
        }]
    }

    #[test]
    fn credentials_are_renewed_before_they_expire_again_and_again() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut servers = IceServers::default();
        assert_eq!(servers.poll_timeout(), None, "no relay yet");
        servers.on_registered(begin, &turn("a"));

        assert!(servers.has_turn());
        assert!(
            servers.handle_timeout(begin),
            "how long they live is asked at once"
        );
        assert!(!servers.handle_timeout(begin + second), "once");
        let mut now = begin + second;

        for credential in ["b", "c", "d"] {
            servers.on_renewed(now, &turn(credential), 600 * second);
            assert_eq!(servers.servers()[0].credential.as_deref(), Some(credential));
            assert!(!servers.handle_timeout(now + 449 * second));
            now += 450 * second;

            assert!(
                servers.handle_timeout(now),
                "at three quarters of their life"
            );
        }

        assert_eq!(
            servers.poll_timeout(),
            Some(now + ASK_AGAIN),
            "a question without answer is repeated"
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
            "STUN is no TURN"
        );

        servers.on_renewed(Instant::now(), &turn("a"), Duration::MAX);
        assert!(
            servers.poll_timeout().is_some(),
            "an absurd life overflows nothing"
        );

        servers.on_relay_lost();
        assert_eq!(servers.poll_timeout(), None);
        assert!(servers.has_turn(), "what is known stays usable");
    }

    #[test]
    fn a_relay_with_a_very_short_life_is_not_flooded() {
        let (begin, mut servers) = (Instant::now(), IceServers::default());
        servers.on_renewed(begin, &turn("a"), Duration::ZERO);
        assert_eq!(servers.poll_timeout(), Some(begin + SHORTEST));
    }
}
