//! The STUN and TURN servers that clients get, with credentials that expire.
//!
//! The credentials are those of coturn's `use-auth-secret` ("TURN REST API",
//! draft-uberti-behave-turn-rest-00 §2.2). The username is `expiry:userId`, with the expiry in Unix
//! seconds. The password is the username's HMAC-SHA1, in base64, with a secret that the signaling
//! server shares with the TURN server, which therefore needs no list of users.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::message::{IceServer, IceServers, UserId};

/// The lifetime to announce for servers without credentials. Nothing about them expires, but after
/// a day clients ask again and learn of a change.
const TTL_WITHOUT_CREDENTIALS: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes the `iceServers` for each client.
#[derive(Debug, Clone)]
pub(super) struct IceSource {
    stun_urls: Vec<String>,
    turn: Option<Turn>,
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
        Self { stun_urls, turn }
    }

    /// The servers for one user, with credentials that are valid from `now`. The TURN server
    /// compares the expiry with its own clock.
    pub(super) fn for_user(&self, user: &UserId, now: SystemTime) -> IceServers {
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
                ttl: TTL_WITHOUT_CREDENTIALS.as_secs(),
            };
        };

        // With a clock before 1970, the TURN server refuses the credentials.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let username = format!("{}:{}", (now + turn.ttl).as_secs(), user.as_str());
        let credential = credential(&turn.secret, &username);

        ice_servers.push(IceServer {
            urls: turn.urls.clone(),
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
    fn the_credential_is_what_openssl_computes() {
        // printf 1700000600:x | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(
            credential("north", "1700000600:x"),
            "sBE/FOZj4klWwcaVssvogqbt/AM="
        );
    }

    #[test]
    fn the_username_holds_the_expiry_and_the_user() {
        let source = IceSource::new(vec!["stun:a".into()], Some(turn()));
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        let user = UserId::from(uuid::Uuid::from_u128(7).to_string());
        let IceServers { ice_servers, ttl } = source.for_user(&user, now);

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
    fn without_configured_servers_the_list_is_empty() {
        let IceServers { ice_servers, ttl } =
            IceSource::new(Vec::new(), None).for_user(&UserId::from("x"), UNIX_EPOCH);
        assert!(ice_servers.is_empty() && ttl == 86_400);
    }

    #[test]
    fn the_secret_does_not_show_in_debug_output() {
        assert!(!format!("{:?}", IceSource::new(Vec::new(), Some(turn()))).contains("north"));
    }
}
