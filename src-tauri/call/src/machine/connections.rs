//! The peer connections of one session: the first one, and fresh ones in its place where restarting
//! ICE cannot help.
//!
//! Each has a number, which descriptions and candidates carry (`connection` in the protocol): a higher
//! one than the present one begins a fresh connection, a lower one belongs to one that is gone. A
//! description without a number is one of a partner that knows only its first connection.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use crate::bucket::{Bucket, Rate};

/// This side makes one fresh connection in this time: long enough for an answer, and for the first
/// packet after it.
const MADE_EVERY: Duration = Duration::from_secs(10);
/// The partner's are taken at that pace, a few of them at once: an honest one may have waited for its
/// server. Each costs this side sockets and a handshake.
const TAKEN: Rate = Rate {
    per_second: 0.1,
    capacity: 6.0,
};

/// After so many restarts of ICE in a row that were answered and brought no packet, the connection
/// itself is broken, or the partner's is: two, because the network may have changed during the first.
const FUTILE_RESTARTS: u32 = 2;
/// A restart that has brought nothing this long after its answer was one of them. Media takes less than
/// half a second.
const FUTILE_AFTER: Duration = Duration::from_secs(5);
/// A fresh connection that breaks this soon is as bad as the one before.
const SHORT_LIVED: Duration = Duration::from_secs(30);
/// After so many of them in a row, another one would not help either.
const MAX_SHORT_LIVED: u32 = 10;
/// After so many restarts in a row that could not be made, the reason lasts.
const FAILED_RESTARTS: u32 = 2;

/// Which connection is the present one, and whether another one has to take its place.
#[derive(Debug)]
pub(super) struct Connections {
    number: u32,
    /// The partner has said that it can take a fresh connection.
    partner_can: bool,
    /// The present one cannot be used any more.
    is_broken: bool,
    /// When the last restart of ICE was answered, if nothing has been heard since.
    answered_at: Option<Instant>,
    futile_restarts: u32,
    failed_restarts: u32,
    /// This side makes no fresh connection before.
    earliest: Instant,
    taken: Bucket,
    /// When the present one was begun.
    begun_at: Instant,
    /// Connections in a row that broke soon after they were begun.
    short_lived: u32,
}

impl Connections {
    /// The first connection, of a partner that was found at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            number: 0,
            partner_can: false,
            is_broken: false,
            answered_at: None,
            futile_restarts: 0,
            failed_restarts: 0,
            earliest: now,
            taken: Bucket::new(TAKEN),
            begun_at: now,
            short_lived: 0,
        }
    }

    /// The number of the present connection.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// How the number of a message is to that of the present connection.
    pub(super) fn compare(&self, number: Option<u32>) -> Ordering {
        number.unwrap_or(0).cmp(&self.number)
    }

    /// A description of the partner with this number is used.
    pub(super) fn on_description(&mut self, number: Option<u32>) {
        self.partner_can |= number.is_some();
    }

    /// Whether a fresh connection may take the place of the present one.
    pub(super) fn can_be_replaced(&self) -> bool {
        self.partner_can && self.number < u32::MAX && self.short_lived < MAX_SHORT_LIVED
    }

    /// Whether one has to: restarting ICE does not help.
    pub(super) fn must_be_replaced(&self) -> bool {
        let restarts_are_vain = self.futile_restarts >= FUTILE_RESTARTS;
        let restarts_fail = self.failed_restarts >= FAILED_RESTARTS;
        self.can_be_replaced() && (self.is_broken || restarts_are_vain || restarts_fail)
    }

    /// When this side may make a fresh one.
    pub(super) fn earliest(&self) -> Instant {
        self.earliest
    }

    /// The present one cannot be used any more.
    pub(super) fn on_broken(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_broken, true) {
            return;
        }

        let is_short = now.saturating_duration_since(self.begun_at) < SHORT_LIVED;
        self.short_lived = if is_short { self.short_lived + 1 } else { 0 };
    }

    /// A packet of the partner has arrived.
    pub(super) fn on_heard(&mut self) {
        self.answered_at = None;
        self.futile_restarts = 0;
        self.failed_restarts = 0;
    }

    /// ICE is about to restart.
    pub(super) fn on_restart(&mut self, now: Instant) {
        let was_futile = |at: Instant| now.saturating_duration_since(at) >= FUTILE_AFTER;
        if self.answered_at.take().is_some_and(was_futile) {
            self.futile_restarts += 1;
        }
    }

    /// A restart of ICE was answered.
    pub(super) fn on_answer(&mut self, now: Instant) {
        self.answered_at = Some(now);
        self.failed_restarts = 0;
    }

    /// A restart of ICE could not be made.
    pub(super) fn on_restart_failed(&mut self) {
        self.failed_restarts += 1;
    }

    /// This side makes a fresh connection.
    pub(super) fn make(&mut self, now: Instant) {
        self.begin(now, self.number.saturating_add(1));
    }

    /// The partner makes one with this number. Returns `false` if there were more than an honest one
    /// has use for.
    #[must_use]
    pub(super) fn take(&mut self, now: Instant, number: u32) -> bool {
        let may_take = self.taken.take(now, 1.0);
        if may_take {
            self.begin(now, number);
        }

        may_take
    }

    fn begin(&mut self, now: Instant, number: u32) {
        self.number = number;
        self.begun_at = now;
        self.is_broken = false;
        self.on_heard();
        self.earliest = now + MADE_EVERY;
    }
}
