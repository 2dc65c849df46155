//! How many searches, rooms and reports one person may send, over all the connections that were opened
//! with its bearer token.
//!
//! Sans-IO. Every node of a cluster counts for itself.

use std::time::{Duration, Instant};

use super::table::UsageTable;
use super::token::Identity;
use super::traffic::{RequestMeter, TrafficLimits};
use crate::message::ClientMessage;

/// What each person has used. It outlives the connection: reconnecting does not give a person more.
#[derive(Debug)]
pub(crate) struct Identities {
    table: UsageTable<Identity, RequestMeter>,
}

impl Identities {
    pub(crate) fn new() -> Self {
        Self {
            table: UsageTable::new(),
        }
    }

    /// Counts the request in a message of `identity`.
    ///
    /// # Errors
    /// How long to wait before trying again.
    pub(crate) fn request(
        &mut self,
        identity: &Identity,
        limits: &TrafficLimits,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        if !limits.limits_request(message) {
            return Ok(());
        }

        self.table.entry(identity, now).take(limits, message, now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use super::super::table::MIN_SWEEP;
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
            snapshot: None,
        }
    }

    #[test]
    fn each_person_has_a_limit_of_its_own_for_each_kind() {
        let limits = TrafficLimits::new(0, 0, 2, 1, 0);
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
            "another person has its own limit"
        );

        assert!(
            table.request(&ann, &limits, &report(), now).is_ok(),
            "searches do not count as reports"
        );

        assert!(
            table.request(&ann, &limits, &report(), now).is_err(),
            "a second report is not allowed"
        );

        assert!(
            table
                .request(&ann, &limits, &ClientMessage::Bye, now)
                .is_ok(),
            "other messages do not count"
        );

        assert!(
            table.request(&ann, &limits, &find(), now + wait).is_ok(),
            "waiting as long as returned is enough"
        );
    }

    #[test]
    fn without_limits_nothing_is_remembered() {
        let limits = TrafficLimits::new(0, 0, 0, 0, 0);
        let (mut table, now) = (Identities::new(), Instant::now());
        assert!((0..1000).all(|_| {
            table
                .request(&Identity::of("ann"), &limits, &find(), now)
                .is_ok()
        }));
        assert!(table.table.entries().is_empty());
    }

    #[test]
    fn a_person_tries_a_few_rooms_however_many_connections_they_open() {
        let limits = TrafficLimits::new(0, 0, 0, 0, 60);
        let (mut table, now) = (Identities::new(), Instant::now());
        let found = (0..100)
            .filter(|n| {
                let search = ClientMessage::FindPartner(FindPartner {
                    room: Some(format!("r{n}")),
                    ..FindPartner::default()
                });
                let ann = Identity::of("ann");
                table.request(&ann, &limits, &search, now).is_ok()
            })
            .count();
        assert_eq!(found, 20);
    }

    #[test]
    fn idle_persons_are_forgotten() {
        let limits = TrafficLimits::new(0, 0, 60, 10, 0);
        let (mut table, mut now) = (Identities::new(), Instant::now());

        for n in 0..50_000u32 {
            now += Duration::from_millis(10);
            table
                .request(&Identity::of(&n.to_string()), &limits, &find(), now)
                .expect("its first search");
        }

        assert!(
            table.table.entries().len() <= 2 * MIN_SWEEP,
            "{} entries for 50,000 persons",
            table.table.entries().len()
        );
    }
}
