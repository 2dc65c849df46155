//! What one person has taken of the limits, over all the connections that its bearer token opened here.
//!
//! Sans-IO. Each relay counts for itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::conduct::{ConductLimits, Requests};
use super::token::Identity;
use crate::message::ClientMessage;
use crate::server::tighten::Tighten;

/// The table is swept when it has grown to twice what the last sweep left, and never below this.
const SWEEP_FROM: usize = 1024;

/// Meters by identity. Who comes back after a while finds its own again, whatever the connection.
#[derive(Debug)]
pub(crate) struct Identities {
    entries: HashMap<Identity, Requests>,
    sweep_at: usize,
}

impl Identities {
    pub(crate) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            sweep_at: SWEEP_FROM,
        }
    }

    /// What a message asks for in the name of `identity`.
    ///
    /// # Errors
    /// When to try again.
    pub(crate) fn request(
        &mut self,
        identity: &Identity,
        limits: &ConductLimits,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        if !limits.concern(message) {
            return Ok(());
        }

        if !self.entries.contains_key(identity) {
            if self.entries.len() >= self.sweep_at {
                self.entries.retain(|_, requests| !requests.is_idle(now));
                self.entries.tighten();
                self.sweep_at = SWEEP_FROM.max(self.entries.len() * 2);
            }

            self.entries.insert(identity.clone(), Requests::default());
        }

        self.entries
            .get_mut(identity)
            .map_or(Ok(()), |requests| requests.take(limits, message, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FindPartner, ReportCategory, SessionId};

    fn find() -> ClientMessage {
        ClientMessage::FindPartner(FindPartner::default())
    }

    fn report() -> ClientMessage {
        ClientMessage::Report {
            session_id: SessionId::from("x"),
            category: ReportCategory::Spam,
            text: None,
        }
    }

    #[test]
    fn each_identity_has_its_own_limit_of_each_kind() {
        let limits = ConductLimits::new(0, 0, 2, 1);
        let (mut table, now) = (Identities::new(), Instant::now());
        let (ann, bob) = (Identity::of("ann"), Identity::of("bob"));

        assert!(
            (0..2).all(|_| table.request(&ann, &limits, &find(), now).is_ok()),
            "two searches are allowed"
        );

        let wait = table
            .request(&ann, &limits, &find(), now)
            .expect_err("a third is not");
        assert!(
            table.request(&bob, &limits, &find(), now).is_ok(),
            "another person is not concerned"
        );

        assert!(
            table.request(&ann, &limits, &report(), now).is_ok(),
            "searches are no reports"
        );

        assert!(
            table.request(&ann, &limits, &report(), now).is_err(),
            "one report is allowed"
        );

        assert!(
            table
                .request(&ann, &limits, &ClientMessage::Bye, now)
                .is_ok(),
            "the rest is not counted"
        );

        assert!(
            table.request(&ann, &limits, &find(), now + wait).is_ok(),
            "the time that was told is enough"
        );
    }

    #[test]
    fn without_limits_nobody_is_remembered() {
        let limits = ConductLimits::new(0, 0, 0, 0);
        let (mut table, now) = (Identities::new(), Instant::now());
        assert!((0..1000).all(|_| {
            table
                .request(&Identity::of("ann"), &limits, &find(), now)
                .is_ok()
        }));
        assert!(table.entries.is_empty());
    }

    #[test]
    fn who_has_paid_is_forgotten() {
        let limits = ConductLimits::new(0, 0, 60, 10);
        let (mut table, mut now) = (Identities::new(), Instant::now());

        for n in 0..50_000u32 {
            now += Duration::from_millis(10);
            table
                .request(&Identity::of(&n.to_string()), &limits, &find(), now)
                .expect("its first search");
        }

        assert!(
            table.entries.len() <= 2 * SWEEP_FROM,
            "{} entries of 50,000 people",
            table.entries.len()
        );
    }
}
