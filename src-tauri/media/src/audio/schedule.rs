//! When each 10 ms block is due, and which wall-clock time that is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The duration of a block.
pub const BLOCK_DURATION: Duration = Duration::from_millis(10);

/// How late the engine may run and still catch up block by block. Beyond this it skips blocks.
const MAX_LATENESS: Duration = Duration::from_millis(100);

/// A grid of deadlines 10 ms apart. It does not drift: each deadline is computed from the start,
/// not from the one before.
#[derive(Debug, Clone)]
pub struct Schedule {
    start: Instant,
    next: u64,
    skipped: u64,
}

/// A block that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Index of the block on the grid; skipped blocks count.
    pub index: u64,
    /// When the block is due: the moment of its last captured sample and of its first played one.
    pub due: Instant,
}

impl Schedule {
    /// A grid whose first block is due at `start`.
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            next: 0,
            skipped: 0,
        }
    }

    /// Returns the tick that is due at `now`, or as `Err` how long to wait for it. If the machine
    /// was stopped for long, the missed blocks are skipped and counted, so that their audio does
    /// not play in a burst.
    pub fn poll(&mut self, now: Instant) -> Result<Tick, Duration> {
        let mut due = self.due(self.next);
        if now < due {
            return Err(due - now);
        }

        if now - due > MAX_LATENESS {
            let missed = ((now - due).as_micros() / BLOCK_DURATION.as_micros()) as u64;
            self.next += missed;
            self.skipped += missed;
            due = self.due(self.next);
        }

        let tick = Tick {
            index: self.next,
            due,
        };

        self.next += 1;
        Ok(tick)
    }

    /// How many blocks have been skipped.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn due(&self, index: u64) -> Instant {
        self.start + Duration::from_micros(index * BLOCK_DURATION.as_micros() as u64)
    }
}

/// Converts monotonic time to Unix time. It follows the wall clock only when that is set, so that a
/// signal generated from it does not click.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    instant: Instant,
    unix_us: i64,
}

/// Difference between wall clock and monotonic clock, in microseconds, above which the wall clock
/// counts as set.
const STEP_US: i64 = 2_000;

impl WallClock {
    /// Reads both clocks.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads both clocks together"
    )]
    pub fn now() -> Self {
        let instant = Instant::now();
        let unix_us = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as i64);
        Self { instant, unix_us }
    }

    /// Takes over `fresh`, a new reading of both clocks, if the wall clock was set in between.
    pub fn follow(&mut self, fresh: Self) {
        if (self.unix_us_at(fresh.instant) - fresh.unix_us).abs() > STEP_US {
            *self = fresh;
        }
    }

    /// Unix time in microseconds at `instant`.
    pub fn unix_us_at(&self, instant: Instant) -> i64 {
        match instant.checked_duration_since(self.instant) {
            Some(after) => self.unix_us + after.as_micros() as i64,
            None => self.unix_us - (self.instant - instant).as_micros() as i64,
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests start from the current time"
)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_due_every_ten_milliseconds() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        assert_eq!(
            schedule.poll(start),
            Ok(Tick {
                index: 0,
                due: start
            }),
            "the first block is due at once"
        );

        assert_eq!(
            schedule.poll(start + Duration::from_millis(3)),
            Err(Duration::from_millis(7)),
            "the second is due 10 ms after the first, not after the call"
        );

        let late = schedule.poll(start + Duration::from_millis(35)).unwrap();
        assert_eq!(
            late.due,
            start + BLOCK_DURATION,
            "a late block keeps its deadline"
        );

        assert_eq!(
            schedule
                .poll(start + Duration::from_millis(35))
                .unwrap()
                .index,
            2,
            "a small delay is caught up block by block"
        );
    }

    #[test]
    fn blocks_missed_in_a_long_stop_are_skipped() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        let now = start + Duration::from_millis(5_004);
        let tick = schedule.poll(now).unwrap();

        assert_eq!(
            tick.index, 500,
            "the schedule continues with the current block"
        );
        assert_eq!(
            tick.due,
            start + Duration::from_secs(5),
            "its deadline is on the grid"
        );
        assert_eq!(schedule.skipped(), 500, "skipped blocks are counted");
        assert!(
            schedule.poll(now).is_err(),
            "missed blocks do not play in a burst"
        );
    }

    #[test]
    fn the_wall_clock_is_followed_only_when_it_is_set() {
        let mut clock = WallClock {
            instant: Instant::now(),
            unix_us: 1_000_000_000,
        };

        let later = clock.instant + Duration::from_secs(1);
        clock.follow(WallClock {
            instant: later,
            unix_us: 1_001_000_500,
        });

        assert_eq!(
            clock.unix_us_at(later),
            1_001_000_000,
            "half a millisecond is measurement noise"
        );

        clock.follow(WallClock {
            instant: later,
            unix_us: 900_000_000,
        });

        assert_eq!(clock.unix_us_at(later), 900_000_000, "a step is followed");
        assert_eq!(
            clock.unix_us_at(later - Duration::from_millis(2)),
            899_998_000,
            "instants before the anchor work as well"
        );
    }
}
