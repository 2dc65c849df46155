//! Bearer tokens as an operator's login service would make them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

/// A JSON web token (RFC 7519) for `subject`, signed with HMAC-SHA256, valid for ten minutes: longer
/// than a test on a busy machine.
#[must_use]
pub fn token(secret: &[u8], subject: &str) -> String {
    let in_ten_minutes = SystemTime::now() + Duration::from_secs(600);
    let expires = in_ten_minutes
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());

    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(&json!({ "alg": "HS256", "typ": "JWT" }));
    let content = format!(
        "{head}.{}",
        encode(&json!({ "sub": subject, "exp": expires }))
    );

    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, content.as_bytes());
    format!("{content}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
