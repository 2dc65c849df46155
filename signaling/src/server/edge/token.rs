//! JWT bearer tokens: identify clients by a key that the operator trusts.
//!
//! A token is a JWT (RFC 7519) with `sub` (who; 1–256 characters) and `exp`; if it has `nbf`, that
//! is checked too. The key file decides which one algorithm is accepted: EdDSA for an Ed25519
//! public key in PEM, HS256 for anything else. The algorithm in the token's own header is never
//! trusted.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use ring::{hmac, signature};
use serde::Deserialize;
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_tungstenite::tungstenite::http::HeaderMap;

use crate::server::http::subprotocols;
use crate::server::hub::guests::GUEST_TOKEN;

/// RFC 7518 §3.2: a key for HS256 must have at least 256 bits.
const MIN_SECRET_BYTES: usize = 32;
/// How far the clocks of issuer and server may differ.
const LEEWAY_SECONDS: u64 = 30;
const MAX_SUBJECT_CHARS: usize = 256;
/// RFC 8410 §4: the DER in front of the 32 bytes of an Ed25519 public key.
const ED25519_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Who a client is, whatever its connection: the `sub` of its bearer token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity(Arc<str>);

impl Identity {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of(subject: &str) -> Self {
        Self(subject.into())
    }
}

impl fmt::Debug for Identity {
    /// Without the `sub`, which may be a name or an address: it must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Why a token does not identify a client. The text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("This server requires a bearer token: sign in first.")]
    Missing,
    #[error("The token has expired: sign in again.")]
    Expired,
    #[error("The token is not valid for this server: sign in again.")]
    Invalid,
}

/// Checks tokens against one key.
pub(crate) struct TokenVerifier {
    key: DecodingKey,
    validation: Validation,
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier")
            .field("algorithms", &self.validation.algorithms)
            .finish_non_exhaustive()
    }
}

impl TokenVerifier {
    /// Reads the key from this file.
    ///
    /// # Errors
    /// A sentence with the name of the file and the cause.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text =
            fs::read(path).map_err(|error| format!("cannot read the key {name}: {error}"))?;
        Self::new(&text).map_err(|error| format!("the key {name} {error}"))
    }

    fn new(text: &[u8]) -> Result<Self, String> {
        // Fails if an earlier server in this process has done it.
        let _ = RING.install_default();
        let secret = text.trim_ascii();
        let (key, algorithm) = if secret.starts_with(b"-----BEGIN") {
            let info = SubjectPublicKeyInfoDer::from_pem_slice(secret).map_err(|error| {
                format!(
                    "does not hold a public key ({error}): give an Ed25519 public key in PEM, or a secret"
                )
            })?;
            let raw = info
                .strip_prefix(&ED25519_PREFIX)
                .filter(|raw| raw.len() == 32);
            let raw =
                raw.ok_or("is not an Ed25519 key, the only kind of public key that is supported")?;

            (DecodingKey::from_ed_der(raw), Algorithm::EdDSA)
        } else {
            if secret.len() < MIN_SECRET_BYTES {
                return Err(format!(
                    "is too short: a secret for HS256 needs at least {MIN_SECRET_BYTES} bytes"
                ));
            }

            (DecodingKey::from_secret(secret), Algorithm::HS256)
        };

        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "sub"]);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        // A token may be meant for other services too.
        validation.validate_aud = false;

        Ok(Self { key, validation })
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// The client only learns whether to sign in again; the log gets the kind of fault.
    pub(crate) fn identity(&self, token: Option<&str>) -> Result<Identity, TokenError> {
        #[derive(Deserialize)]
        struct Claims {
            sub: String,
        }

        let token = token.ok_or(TokenError::Missing)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).map_err(
            |error| {
                tracing::debug!(fault = describe(error.kind()), "bearer token rejected");

                match error.kind() {
                    ErrorKind::ExpiredSignature => TokenError::Expired,
                    _ => TokenError::Invalid,
                }
            },
        )?;
        let subject = claims.claims.sub;

        match subject.chars().count() {
            1..=MAX_SUBJECT_CHARS => Ok(Identity(subject.into())),
            _ => Err(TokenError::Invalid),
        }
    }
}

/// The token of an upgrade request: from `Authorization: Bearer`, else from the query `?token=`,
/// else from an offered subprotocol `bearer.TOKEN`.
pub(crate) fn bearer<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<&'a str> {
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let scheme = authorization.and_then(|value| value.split_once(' '));

    if let Some((_, token)) = scheme.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
        return Some(token.trim());
    }

    let in_query = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("token="));
    in_query.or_else(|| subprotocols(headers).find_map(|offered| offered.strip_prefix("bearer.")))
}

/// The guest token that a page offers as a subprotocol. Nowhere else: proxies write queries into
/// their logs.
pub(crate) fn guest_token(headers: &HeaderMap) -> Option<&str> {
    subprotocols(headers)
        .filter_map(|offered| offered.strip_prefix("bearer."))
        .find(|token| token.starts_with(GUEST_TOKEN))
}

/// A fault for the log. The library's own text can quote the token's content, so it is not used.
fn describe(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "expired",
        ErrorKind::ImmatureSignature => "not valid yet",
        ErrorKind::InvalidSignature => "signed with another key",
        ErrorKind::InvalidAlgorithm => "signed with another algorithm",
        ErrorKind::MissingRequiredClaim(_) => "without `sub` or `exp`",
        _ => "not a JWT, or with a malformed claim",
    }
}

/// Makes `jsonwebtoken` use ring, which is in the program for TLS already.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    let bytes = key.try_get_as_bytes()?;
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, bytes)))),
        Algorithm::EdDSA => Ok(Box::new(EdDsa(bytes.to_vec()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct Hs256(hmac::Key);

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), SignatureError> {
        hmac::verify(&self.0, message, tag).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct EdDsa(Vec<u8>);

impl Verifier<Vec<u8>> for EdDsa {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), SignatureError> {
        let key = signature::UnparsedPublicKey::new(&signature::ED25519, &self.0);
        key.verify(message, tag).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for EdDsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "tests issue tokens for the present"
    )]

    use std::time::{SystemTime, UNIX_EPOCH};

    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

    fn seconds_from_now(seconds: i64) -> i64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        i64::try_from(now).unwrap() + seconds
    }

    fn token(algorithm: &str, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let body = format!(
            "{}.{}",
            part(&json!({ "alg": algorithm, "typ": "JWT" })),
            part(claims)
        );
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(sign(body.as_bytes())))
    }

    fn hs256(claims: &Value) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        token("HS256", claims, |body| {
            hmac::sign(&key, body).as_ref().to_vec()
        })
    }

    #[test]
    fn the_example_of_rfc_7515_is_accepted() {
        // Appendix A.1: the key, and a token that expired in 2011 and has no `sub`.
        let key = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
        let mut verifier = TokenVerifier::new(&key.unwrap()).unwrap();
        verifier.validation.validate_exp = false;
        verifier.validation.required_spec_claims.clear();
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6\
                     Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let checked = jsonwebtoken::decode::<Value>(token, &verifier.key, &verifier.validation);

        assert_eq!(
            checked.unwrap().claims["iss"],
            "joe",
            "the signature is valid"
        );
        let forged = token.replace("dBjft", "dBjfu");
        assert!(
            jsonwebtoken::decode::<Value>(&forged, &verifier.key, &verifier.validation).is_err()
        );
    }

    #[test]
    fn only_a_valid_token_identifies_its_bearer() {
        let verifier = TokenVerifier::new(SECRET).unwrap();
        let good =
            hs256(&json!({ "sub": "alice", "exp": seconds_from_now(60), "aud": "elsewhere" }));
        assert_eq!(verifier.identity(Some(&good)).unwrap().as_str(), "alice");
        assert_eq!(verifier.identity(None), Err(TokenError::Missing));
        let expired = hs256(&json!({ "sub": "alice", "exp": seconds_from_now(-60) }));

        assert_eq!(verifier.identity(Some(&expired)), Err(TokenError::Expired));
        for claims in [
            json!({ "sub": "alice" }),
            json!({ "exp": seconds_from_now(60) }),
            json!({ "sub": "", "exp": seconds_from_now(60) }),
            json!({ "sub": "x".repeat(257), "exp": seconds_from_now(60) }),
            json!({ "sub": 7, "exp": seconds_from_now(60) }),
            json!({ "sub": "alice", "exp": seconds_from_now(60), "nbf": seconds_from_now(120) }),
        ] {
            assert_eq!(
                verifier.identity(Some(&hs256(&claims))),
                Err(TokenError::Invalid),
                "{claims}"
            );
        }

        for text in [
            "",
            "x",
            "a.b.c",
            "..",
            &good[..good.len() - 2],
            &format!("{good}x"),
        ] {
            assert_eq!(
                verifier.identity(Some(text)),
                Err(TokenError::Invalid),
                "{text}"
            );
        }
    }

    #[test]
    fn the_key_decides_the_algorithm() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let der = [&ED25519_PREFIX[..], pair.public_key().as_ref()].concat();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        );
        let verifier = TokenVerifier::new(pem.as_bytes()).unwrap();
        let claims = json!({ "sub": "bob", "exp": seconds_from_now(60) });
        let good = token("EdDSA", &claims, |body| pair.sign(body).as_ref().to_vec());

        assert_eq!(verifier.identity(Some(&good)).unwrap().as_str(), "bob");

        // The classic attack: an HMAC with the public key, which is no secret.
        for secret in [pem.trim().as_bytes(), pair.public_key().as_ref()] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let confused = token("HS256", &claims, |body| {
                hmac::sign(&key, body).as_ref().to_vec()
            });

            assert_eq!(verifier.identity(Some(&confused)), Err(TokenError::Invalid));
        }

        let none = token("none", &claims, |_| Vec::new());
        assert_eq!(
            verifier.identity(Some(&none)),
            Err(TokenError::Invalid),
            "a token must be signed"
        );

        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let foreign = token("EdDSA", &claims, |body| other.sign(body).as_ref().to_vec());
        assert_eq!(
            verifier.identity(Some(&foreign)),
            Err(TokenError::Invalid),
            "signed with another key"
        );
    }

    #[test]
    fn unusable_keys_are_refused_with_the_reason() {
        assert!(
            TokenVerifier::new(b"short")
                .unwrap_err()
                .contains("32 bytes")
        );

        let broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert!(
            TokenVerifier::new(broken.as_bytes())
                .unwrap_err()
                .contains("Ed25519")
        );

        assert!(
            TokenVerifier::new(b"-----BEGIN NONSENSE")
                .unwrap_err()
                .contains("public key")
        );
    }

    #[test]
    fn the_token_is_found_in_each_place_where_it_may_be() {
        let headers = |pairs: &[(&'static str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };

        assert_eq!(
            bearer(&headers(&[("authorization", "Bearer a.b.c")]), None),
            Some("a.b.c")
        );

        assert_eq!(
            bearer(
                &headers(&[("authorization", "bearer a.b.c")]),
                Some("token=q")
            ),
            Some("a.b.c")
        );

        assert_eq!(
            bearer(
                &headers(&[("authorization", "Basic eDp5")]),
                Some("v=1&token=q.r.s")
            ),
            Some("q.r.s")
        );

        let offered = headers(&[("sec-websocket-protocol", "tandem, bearer.x.y.z")]);
        assert_eq!(bearer(&offered, None), Some("x.y.z"));
        assert!(subprotocols(&offered).any(|offered| offered == "tandem"));
        assert_eq!(bearer(&headers(&[]), Some("tokens=q")), None);
    }
}
