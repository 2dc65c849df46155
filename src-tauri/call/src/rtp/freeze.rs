//! How often and for how long the video stood still.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Number of frames over which the duration is averaged.
const AVERAGED_FRAMES: usize = 30;
/// Fewer frames than this give no average.
const MIN_FRAMES: usize = 5;
/// A frame shown for this much longer than the average is a freeze.
const FREEZE_MARGIN: Duration = Duration::from_millis(150);
/// After more than this the video counts as paused: nothing is being sent.
const PAUSE: Duration = Duration::from_secs(5);

/// Counts freezes as W3C webrtc-stats defines `freezeCount` and `totalFreezesDuration`: a frame was
/// shown for at least max(3 × average, average + 150 ms), where the average is that of the last 30
/// frames. More than 5 s without a frame is a pause, not a freeze.
#[derive(Debug, Clone, Default)]
pub(crate) struct FreezeDetector {
    last: Option<Instant>,
    durations: VecDeque<Duration>,
    freezes: u64,
    frozen: Duration,
}

impl FreezeDetector {
    /// A frame was shown at `now`.
    pub(crate) fn on_frame(&mut self, now: Instant) {
        let Some(last) = self.last.replace(now) else {
            return;
        };

        let duration = now.saturating_duration_since(last);
        if duration > PAUSE {
            self.durations.clear();
            return;
        }

        if self.durations.len() >= MIN_FRAMES {
            let average = self.durations.iter().sum::<Duration>() / self.durations.len() as u32;
            if duration >= (3 * average).max(average + FREEZE_MARGIN) {
                self.freezes += 1;
                self.frozen += duration;
            }
        }

        self.durations.push_back(duration);
        if self.durations.len() > AVERAGED_FRAMES {
            self.durations.pop_front();
        }
    }

    /// Number of freezes.
    pub(crate) fn freezes(&self) -> u64 {
        self.freezes
    }

    /// How long all freezes lasted together.
    pub(crate) fn frozen(&self) -> Duration {
        self.frozen
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Shows a second of even 30 fps, then frames with these gaps.
    fn after_gaps(gaps_ms: &[u32]) -> FreezeDetector {
        let mut detector = FreezeDetector::default();
        let mut now = Instant::now();

        for gap in std::iter::repeat_n(&33, 31).chain(gaps_ms) {
            now += *gap * MS;
            detector.on_frame(now);
        }

        detector
    }

    #[test]
    fn even_frames_never_freeze() {
        let detector = after_gaps(&[33; 100]);
        assert_eq!((detector.freezes(), detector.frozen()), (0, Duration::ZERO));
    }

    #[test]
    fn a_gap_is_a_freeze_from_150_ms_above_the_average() {
        assert_eq!(after_gaps(&[182]).freezes(), 0, "1 ms less than 33 + 150");
        let detector = after_gaps(&[183, 33, 33]);
        assert_eq!(
            (detector.freezes(), detector.frozen()),
            (1, 183 * MS),
            "the whole gap is frozen time"
        );
    }

    #[test]
    fn at_a_low_rate_three_times_the_average_counts() {
        let mut detector = FreezeDetector::default();
        let mut now = Instant::now();

        for gap in std::iter::repeat_n(200, 31).chain([599, 200]) {
            now += gap * MS;
            detector.on_frame(now);
        }

        assert_eq!(
            detector.freezes(),
            0,
            "599 ms is less than three times 200 ms"
        );

        now += 700 * MS;
        detector.on_frame(now);
        assert_eq!(detector.freezes(), 1);
    }

    #[test]
    fn a_pause_is_not_a_freeze() {
        let detector = after_gaps(&[5_001, 33]);
        assert_eq!(
            (detector.freezes(), detector.frozen()),
            (0, Duration::ZERO),
            "nothing was sent for more than 5 s"
        );
    }
}
