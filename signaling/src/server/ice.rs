//! The STUN and TURN servers that clients get, with credentials that expire.
//!
//! The credentials are those of coturn's `use-auth-secret` ("TURN REST API",
//! draft-uberti-behave-turn-rest-00 §2.2). The username is `expiry:userId`, with the expiry in Unix
//! seconds. The password is the username's HMAC-SHA1, in base64, with a secret that the signaling
//! server shares with the TURN server, which therefore needs no list of users.
//!
//! The TURN server in this program takes the same credentials. For a client that is in a call, their
//! user name is `expiry:userId:sessionId`. Everybody else, known or not, gets some that are valid for
//! two minutes: they are for a call that begins now.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::message::{IceServer, IceServers, SessionId, UserId};

/// The lifetime to announce for servers without credentials. Nothing about them expires, but after
/// a day clients ask again and learn of a change.
const TTL_WITHOUT_CREDENTIALS: Duration = Duration::from_secs(24 * 60 * 60);

/// How long credentials for the TURN server in this program are valid outside of a call.
const TTL_WITHOUT_CALL: Duration = Duration::from_secs(120);

/// Makes the `iceServers` for each client.
#[derive(Debug, Clone)]
pub(super) struct IceSource {
    stun_urls: Vec<String>,
    turn: Option<Turn>,
    /// The TURN server in this program.
    own_turn: Option<Turn>,
}

/// The TURN servers, and the secret that they share with this server.
#[derive(Clone)]
pub(super) struct Turn {
    pub(super) urls: Vec<String>,
    pub(super) secret: String,
    /// How long credentials are valid.
    pub(super) ttl: Duration,
}

impl fmt::Debug for Turn {
    /// Without the secret: it must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("urls", &self.urls)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

impl IceSource {
    pub(super) fn new(stun_urls: Vec<String>, turn: Option<Turn>) -> Self {
        Self {
            stun_urls,
            turn,
            own_turn: None,
        }
    }

    /// The same with the TURN server in this program.
    pub(super) fn with_own_turn(mut self, turn: Option<Turn>) -> Self {
        self.own_turn = turn;
        self
    }

    /// Whether a call has credentials of its own.
    pub(super) fn binds_to_calls(&self) -> bool {
        self.own_turn.is_some()
    }

    /// How long these are valid.
    pub(super) fn ttl_of_calls(&self) -> Option<Duration> {
        self.own_turn.as_ref().map(|turn| turn.ttl)
    }

    /// The servers for one user, with credentials that are valid from `now`, and for the call that
    /// the user is in. The TURN server compares the expiry with its own clock.
    pub(super) fn for_user(
        &self,
        user: &UserId,
        session: Option<&SessionId>,
        now: SystemTime,
    ) -> IceServers {
        // With a clock before 1970, the TURN server refuses the credentials.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut ice_servers = Vec::with_capacity(3);
        if !self.stun_urls.is_empty() {
            ice_servers.push(IceServer {
                urls: self.stun_urls.clone(),
                username: None,
                credential: None,
            });
        }

        let mut ttl = None;
        if let Some(turn) = &self.own_turn {
            let (lifetime, name) = match session {
                Some(session) => {
                    let name = format!("{}:{}", user.as_str(), session.as_str());
                    (turn.ttl, name)
                }
                None => (turn.ttl.min(TTL_WITHOUT_CALL), user.as_str().to_owned()),
            };
            ice_servers.push(turn.entry(&name, now + lifetime));
            ttl = Some(lifetime);
        }

        if let Some(turn) = &self.turn {
            ice_servers.push(turn.entry(user.as_str(), now + turn.ttl));
            ttl = Some(ttl.map_or(turn.ttl, |ttl: Duration| ttl.min(turn.ttl)));
        }

        IceServers {
            ice_servers,
            ttl: ttl.unwrap_or(TTL_WITHOUT_CREDENTIALS).as_secs(),
        }
    }
}

impl Turn {
    /// The entry for a user, with a password that is valid until `expiry`, since 1970.
    fn entry(&self, name: &str, expiry: Duration) -> IceServer {
        let username = format!("{}:{name}", expiry.as_secs());
        let credential = tandem_turn::password(&self.secret, &username);
        IceServer {
            urls: self.urls.clone(),
            username: Some(username),
            credential: Some(credential),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn() -> Turn {
        Turn {
            urls: vec!["turn:a:3478".into()],
            secret: "north".into(),
            ttl: Duration::from_secs(600),
        }
    }

    #[test]
    fn the_username_holds_the_expiry_and_the_user() {
        let source = IceSource::new(vec!["stun:a".into()], Some(turn()));
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        let user = UserId::from(uuid::Uuid::from_u128(7).to_string());
        let IceServers { ice_servers, ttl } = source.for_user(&user, None, now);

        assert_eq!(ttl, 600);
        assert_eq!(
            ice_servers[0].urls,
            ["stun:a"],
            "STUN servers come without credentials"
        );
        assert_eq!(ice_servers[0].username, None);
        let name = ice_servers[1].username.as_deref().unwrap();

        assert_eq!(name, "1700000600:00000000-0000-0000-0000-000000000007");
        assert_eq!(
            ice_servers[1].credential.as_deref(),
            Some(tandem_turn::password("north", name).as_str())
        );
    }

    #[test]
    fn without_configured_servers_the_list_is_empty() {
        let IceServers { ice_servers, ttl } =
            IceSource::new(Vec::new(), None).for_user(&UserId::from("x"), None, UNIX_EPOCH);
        assert!(ice_servers.is_empty() && ttl == 86_400);
    }

    #[test]
    fn the_own_turn_server_gives_two_minutes_and_a_call_its_time() {
        let own = Turn {
            urls: vec!["turn:b:3478".into()],
            secret: "own".into(),
            ttl: Duration::from_secs(3600),
        };
        let source = IceSource::new(Vec::new(), Some(turn())).with_own_turn(Some(own));
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let names = |servers: &IceServers| -> Vec<String> {
            servers
                .ice_servers
                .iter()
                .filter_map(|server| server.username.clone())
                .collect()
        };

        let idle = source.for_user(&UserId::from("ann"), None, now);
        assert_eq!(names(&idle), ["1000120:ann", "1000600:ann"]);
        assert_eq!(idle.ttl, 120, "the shorter one");

        let call = SessionId::from("call");
        let in_call = source.for_user(&UserId::from("ann"), Some(&call), now);
        assert_eq!(names(&in_call), ["1003600:ann:call", "1000600:ann"]);
        assert_eq!(in_call.ttl, 600);
    }

    #[test]
    fn the_secret_does_not_show_in_debug_output() {
        assert!(!format!("{:?}", IceSource::new(Vec::new(), Some(turn()))).contains("north"));
    }
}
