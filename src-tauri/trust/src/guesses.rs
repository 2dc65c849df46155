//! How often a code may be tried.
//!
//! Each handshake by code gives a partner without the code one guess. Both sides of an invite count
//! them, each for itself, and stop after [`MAX_GUESSES`]: so a server has ten for each invite, out of
//! 4,194,304 codes.

/// How many guesses void a code. People who mistype have a few calls; a server does not have many.
pub const MAX_GUESSES: u32 = 5;

/// The guesses at one code, in all calls with it.
#[derive(Debug, Default)]
pub struct Guesses {
    spent: u32,
}

impl Guesses {
    /// The partner of a call may try a code from now on: see
    /// [`Handshake::spent_a_guess`](crate::Handshake::spent_a_guess).
    pub fn spend(&mut self) {
        self.spent = self.spent.saturating_add(1);
    }

    /// The partner of a call, for which [`spend`](Self::spend) counted one, knows the code.
    pub fn take_back(&mut self) {
        self.spent = self.spent.saturating_sub(1);
    }

    /// How many were spent.
    #[must_use]
    pub fn spent(&self) -> u32 {
        self.spent
    }

    /// Whether the code must not be used any more.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.spent >= MAX_GUESSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_guesses_void_a_code_and_honest_calls_cost_none() {
        let mut guesses = Guesses::default();
        for _ in 0..100 {
            guesses.spend();
            guesses.take_back();
        }

        for spent in 0..MAX_GUESSES {
            assert!(!guesses.is_void(), "{spent} of {MAX_GUESSES}");
            guesses.spend();
        }
        assert!(guesses.is_void());
    }
}
