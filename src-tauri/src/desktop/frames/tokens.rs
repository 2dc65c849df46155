//! Tokens that open the frame socket: each once, and soon.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A token that nobody used by then is worth nothing.
const LIFETIME: Duration = Duration::from_secs(30);
/// So many may wait to be used; the oldest gives way.
const MAX_WAITING: usize = 16;

/// The tokens that were given out and not used yet.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    waiting: VecDeque<(String, Instant)>,
}

impl Tokens {
    /// A new token, of 128 random bits.
    pub(super) fn issue(&mut self, now: Instant, random: u128) -> String {
        self.forget_old(now);
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }

        let token = format!("{random:032x}");
        self.waiting.push_back((token.clone(), now + LIFETIME));
        token
    }

    /// Whether `token` opens a connection; it never does again.
    pub(super) fn redeem(&mut self, now: Instant, token: &str) -> bool {
        self.forget_old(now);
        let place = self
            .waiting
            .iter()
            .position(|(waiting, _)| waiting == token);
        place.and_then(|place| self.waiting.remove(place)).is_some()
    }

    fn forget_old(&mut self, now: Instant) {
        self.waiting.retain(|(_, until)| now < *until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_once() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue(now, 5);
        assert!(
            !tokens.redeem(now, "") && !tokens.redeem(now, &token[1..]),
            "nothing but the token will do"
        );
        assert!(tokens.redeem(now, &token), "the token opens");
        assert!(!tokens.redeem(now, &token), "but once");
    }

    #[test]
    fn a_token_does_not_wait_for_ever() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue(now, 5);
        assert!(!tokens.redeem(now + LIFETIME, &token), "too late");
    }

    #[test]
    fn a_page_that_asks_without_end_costs_nothing() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let first = tokens.issue(now, 0);
        let last = (1..1_000)
            .map(|random| tokens.issue(now, random))
            .last()
            .unwrap();

        assert_eq!(tokens.waiting.len(), MAX_WAITING, "bounded");
        assert!(
            !tokens.redeem(now, &first) && tokens.redeem(now, &last),
            "the newest are good"
        );
    }
}
