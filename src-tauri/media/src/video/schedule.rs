//! When frames are due: a constant rate that never drifts, sans-IO.

use std::time::{Duration, Instant};

/// The due times of a stream at a constant rate. Frame n is due n / fps seconds after the start, no
/// matter how late the frames before it were. After a stall the missed frames are skipped instead
/// of following in a burst.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    fps: f64,
    next: u64,
}

impl Schedule {
    /// A schedule whose first frame is due at `start`. `fps` must be positive.
    pub(super) fn new(start: Instant, fps: f64) -> Self {
        Self {
            start,
            fps,
            next: 0,
        }
    }

    /// When the next frame is due, and how many frames before it are skipped because it is too late
    /// for them at `now`.
    pub(super) fn next(&mut self, now: Instant) -> (Instant, u64) {
        let elapsed = now.saturating_duration_since(self.start).as_secs_f64();
        // A frame may be late by less than one interval; older ones are skipped.
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
    #![allow(
        clippy::disallowed_methods,
        reason = "tests need some instant to start from"
    )]

    use super::*;

    #[test]
    fn an_hour_at_29_97_fps_does_not_drift() {
        let start = Instant::now();
        let fps = 30_000.0 / 1001.0;
        let mut schedule = Schedule::new(start, fps);
        let (mut now, mut last) = (start, start);
        let frames = (3600.0 * fps) as u32;

        for _ in 0..frames {
            let (due, skipped) = schedule.next(now);
            assert_eq!(skipped, 0, "a punctual thread skips nothing");
            // Every wake-up is a little late, as with a real clock.
            (now, last) = (due + Duration::from_micros(700), due);
        }

        let ideal = f64::from(frames - 1) / fps;
        let drift = (last.duration_since(start).as_secs_f64() - ideal).abs();
        assert!(drift < 1e-6, "after an hour the due time is {drift} s off");
    }

    #[test]
    fn a_stall_skips_frames_and_keeps_the_rhythm() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 10.0);
        assert_eq!(
            schedule.next(start),
            (start, 0),
            "the first frame is due at once"
        );

        let (due, skipped) = schedule.next(start + Duration::from_millis(1050));
        assert_eq!(skipped, 9, "frames 1 to 9 are too late");
        assert_eq!(
            due,
            start + Duration::from_secs(1),
            "due times still count from the start"
        );

        let (due, skipped) = schedule.next(due + Duration::from_millis(50));
        assert_eq!(
            (due, skipped),
            (start + Duration::from_millis(1100), 0),
            "no burst follows the stall"
        );
    }
}
