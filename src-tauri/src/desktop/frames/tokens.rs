//! Tokens for the frame socket. Each opens one connection, soon after it was issued.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a token is valid.
const LIFETIME: Duration = Duration::from_secs(30);
/// The most unused tokens. Another one replaces the oldest.
const MAX_UNUSED: usize = 16;

/// The tokens that were issued and not used.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    unused: VecDeque<(String, Instant)>,
}

impl Tokens {
    /// Issues a token made of 128 random bits.
    pub(super) fn issue(&mut self, now: Instant, random: u128) -> String {
        self.drop_expired(now);
        if self.unused.len() == MAX_UNUSED {
            self.unused.pop_front();
        }

        let token = format!("{random:032x}");
        self.unused.push_back((token.clone(), now + LIFETIME));
        token
    }

    /// Whether `token` opens a connection. It never does a second time.
    pub(super) fn redeem(&mut self, now: Instant, token: &str) -> bool {
        self.drop_expired(now);
        let index = self.unused.iter().position(|(unused, _)| unused == token);
        index.and_then(|index| self.unused.remove(index)).is_some()
    }

    fn drop_expired(&mut self, now: Instant) {
        self.unused.retain(|(_, expires_at)| now < *expires_at);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use super::*;

    #[test]
    fn a_token_opens_one_connection() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue(now, 5);
        assert!(
            !tokens.redeem(now, "") && !tokens.redeem(now, &token[1..]),
            "only the whole token opens"
        );
        assert!(tokens.redeem(now, &token), "the token opens");
        assert!(!tokens.redeem(now, &token), "but only once");
    }

    #[test]
    fn a_token_expires() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue(now, 5);
        assert!(!tokens.redeem(now + LIFETIME, &token), "too late");
    }

    #[test]
    fn a_page_that_requests_tokens_without_end_uses_bounded_memory() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let first = tokens.issue(now, 0);
        let last = (1..1_000)
            .map(|random| tokens.issue(now, random))
            .last()
            .unwrap();

        assert_eq!(tokens.unused.len(), MAX_UNUSED, "bounded");
        assert!(
            !tokens.redeem(now, &first) && tokens.redeem(now, &last),
            "the newest tokens are valid"
        );
    }
}
