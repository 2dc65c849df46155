//! When pictures are due: an exact rate that never drifts, sans-IO.

use std::time::{Duration, Instant};

/// The due times of a stream with a constant rate. Picture n is due n / fps after the start, however late the ones
/// before were; what a stall made impossible is left out, not caught up in a burst.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    fps: f64,
    next: u64,
}

impl Schedule {
    /// A schedule whose first picture is due at `start`. `fps` must be positive.
    pub(super) fn new(start: Instant, fps: f64) -> Self {
        Self {
            start,
            fps,
            next: 0,
        }
    }

    /// When the next picture is due, and how many were left out before it because `now` is too late for them.
    pub(super) fn next(&mut self, now: Instant) -> (Instant, u64) {
        let elapsed = now.saturating_duration_since(self.start).as_secs_f64();
        // A picture may come late by less than one interval; older ones are gone.
        let current = (elapsed * self.fps) as u64;
        let skipped = current.saturating_sub(self.next);
        let number = self.next + skipped;
        self.next = number + 1;

        (
            self.start + Duration::from_secs_f64(number as f64 / self.fps),
            skipped,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_at_29_97_does_not_drift() {
        let start = Instant::now();
        let fps = 30_000.0 / 1001.0;
        let mut schedule = Schedule::new(start, fps);
        let (mut now, mut last) = (start, start);
        let pictures = (3600.0 * fps) as u32;

        for _ in 0..pictures {
            let (due, skipped) = schedule.next(now);
            assert_eq!(skipped, 0, "a punctual thread leaves nothing out");
            // Every wake-up is a little late, as with a real clock.
            (now, last) = (due + Duration::from_micros(700), due);
        }

        let ideal = f64::from(pictures - 1) / fps;
        let drift = (last.duration_since(start).as_secs_f64() - ideal).abs();
        assert!(drift < 1e-6, "after an hour the picture is {drift} s off");
    }

    #[test]
    fn a_stall_leaves_pictures_out_and_keeps_the_beat() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 10.0);
        assert_eq!(
            schedule.next(start),
            (start, 0),
            "the first picture is due at once"
        );

        let (due, skipped) = schedule.next(start + Duration::from_millis(1050));
        assert_eq!(skipped, 9, "the pictures 1 to 9 came too late");
        assert_eq!(
            due,
            start + Duration::from_secs(1),
            "the beat of the start is kept"
        );

        let (due, skipped) = schedule.next(due + Duration::from_millis(50));
        assert_eq!(
            (due, skipped),
            (start + Duration::from_millis(1100), 0),
            "no burst follows the stall"
        );
    }
}
