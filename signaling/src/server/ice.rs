//! The STUN and TURN servers that clients are told about, with credentials that run out.
//!
//! The credentials are those of coturn's `use-auth-secret` ("TURN REST API", draft-uberti-behave-turn-rest-00 §2.2):
//! the name is `expiry:userId` with the expiry in Unix seconds, the password the name's HMAC-SHA1 under a secret that
//! relay and TURN server share, in base64. The TURN server needs to know no user.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::message::{IceServer, IceServers, UserId};

/// How long an answer without credentials is good for: it never expires, a day bounds a later change.
const WITHOUT_CREDENTIALS: Duration = Duration::from_secs(24 * 60 * 60);

/// Where `iceServers` come from.
#[derive(Debug, Clone)]
pub(super) struct IceSource {
    stun_urls: Vec<String>,
    turn: Option<Turn>,
    /// The wall clock: the TURN server compares it with its own.
    clock: fn() -> SystemTime,
}

/// The TURN servers and what they and this relay share.
#[derive(Clone)]
pub(super) struct Turn {
    pub(super) urls: Vec<String>,
    pub(super) secret: String,
    /// How long credentials are good for.
    pub(super) ttl: Duration,
}

impl fmt::Debug for Turn {
    /// Without the secret.
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
            clock: SystemTime::now,
        }
    }

    /// What one user is told at this moment.
    pub(super) fn for_user(&self, user: &UserId) -> IceServers {
        let mut ice_servers = Vec::with_capacity(2);
        if !self.stun_urls.is_empty() {
            ice_servers.push(IceServer {
                urls: self.stun_urls.clone(),
                username: None,
                credential: None,
            });
        }

        let Some(turn) = &self.turn else {
            return IceServers {
                ice_servers,
                ttl: WITHOUT_CREDENTIALS.as_secs(),
            };
        };

        // A clock before 1970 makes credentials that the TURN server refuses, which is what they deserve.
        let now = (self.clock)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let username = format!("{}:{}", (now + turn.ttl).as_secs(), user.as_str());
        let credential = credential(&turn.secret, &username);
        let urls = turn.urls.clone();
        ice_servers.push(IceServer {
            urls,
            username: Some(username),
            credential: Some(credential),
        });

        IceServers {
            ice_servers,
            ttl: turn.ttl.as_secs(),
        }
    }
}

fn credential(secret: &str, username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, username.as_bytes()))
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
    fn the_credential_is_the_one_that_openssl_computes() {
        // printf 1700000600:x | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(
            credential("north", "1700000600:x"),
            "sBE/FOZj4klWwcaVssvogqbt/AM="
        );
    }

    #[test]
    fn the_name_holds_the_end_and_the_user() {
        let mut source = IceSource::new(vec!["stun:a".into()], Some(turn()));
        source.clock = || UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        let user = UserId::from(uuid::Uuid::from_u128(7).to_string());
        let IceServers { ice_servers, ttl } = source.for_user(&user);

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
            Some(credential("north", name).as_str())
        );
    }

    #[test]
    fn without_servers_there_are_none() {
        let IceServers { ice_servers, ttl } =
            IceSource::new(Vec::new(), None).for_user(&UserId::from("x"));
        assert!(ice_servers.is_empty() && ttl == 86_400);
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert!(!format!("{:?}", IceSource::new(Vec::new(), Some(turn()))).contains("north"));
    }
}
