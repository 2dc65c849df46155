//! How often and for how long the video stood still.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Number of frames over which the duration is averaged.
const AVERAGED_FRAMES: usize = 30;
/// Fewer frames than this give no average.
const MIN_FRAMES: usize = 5;
/// A frame shown for this much longer than the average is a freeze.
const FREEZE_MARGIN: Duration = Duration::from_millis(150);
/// After more than this the video counts as paused.
const PAUSE: Duration = Duration::from_secs(5);
/// A gap that has not ended yet counts from here: the end of a call is no freeze.
const OPEN_GAP: Duration = Duration::from_secs(1);

/// Counts freezes as W3C webrtc-stats defines `freezeCount` and `totalFreezesDuration`: a frame was
/// shown for at least max(3 × average, average + 150 ms), where the average is that of the last 30
/// frames. More than 5 s without a frame is a pause, not a freeze (`pauseCount`,
/// `totalPausesDuration`).
#[derive(Debug, Clone, Default)]
pub(crate) struct FreezeDetector {
    last: Option<Instant>,
    durations: VecDeque<Duration>,
    stalls: Stalls,
}

/// How often and for how long the video stood still.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stalls {
    /// Freezes.
    pub(crate) freezes: u64,
    /// How long all of them lasted together.
    pub(crate) frozen: Duration,
    /// Pauses.
    pub(crate) pauses: u64,
    /// How long all of them lasted together.
    pub(crate) paused: Duration,
}

impl Stalls {
    fn freeze(&mut self, duration: Duration) {
        self.freezes += 1;
        self.frozen += duration;
    }

    fn pause(&mut self, duration: Duration) {
        self.pauses += 1;
        self.paused += duration;
    }
}

impl FreezeDetector {
    /// A frame was shown at `now`.
    pub(crate) fn on_frame(&mut self, now: Instant) {
        let Some(last) = self.last.replace(now) else {
            return;
        };

        let duration = now.saturating_duration_since(last);
        if duration > PAUSE {
            self.stalls.pause(duration);
            self.durations.clear();
            return;
        }

        if self.is_freeze(duration) {
            self.stalls.freeze(duration);
        }

        self.durations.push_back(duration);
        if self.durations.len() > AVERAGED_FRAMES {
            self.durations.pop_front();
        }
    }

    /// Whether a frame that is shown for so long is a freeze.
    fn is_freeze(&self, duration: Duration) -> bool {
        if self.durations.len() < MIN_FRAMES {
            return false;
        }

        let average = self.durations.iter().sum::<Duration>() / self.durations.len() as u32;
        duration >= (3 * average).max(average + FREEZE_MARGIN)
    }

    /// All stalls, with the one that lasts until `now` if that is given.
    pub(crate) fn stalls(&self, now: Option<Instant>) -> Stalls {
        let mut stalls = self.stalls;
        let open = now.zip(self.last).map_or(Duration::ZERO, |(now, last)| {
            now.saturating_duration_since(last)
        });
        if open > PAUSE {
            stalls.pause(open);
        } else if open > OPEN_GAP && self.is_freeze(open) {
            stalls.freeze(open);
        }

        stalls
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
        assert_eq!(detector.stalls(None), Stalls::default());
    }

    #[test]
    fn a_gap_is_a_freeze_from_150_ms_above_the_average() {
        assert_eq!(
            after_gaps(&[182]).stalls(None).freezes,
            0,
            "1 ms less than 33 + 150"
        );
        let detector = after_gaps(&[183, 33, 33]);
        assert_eq!(
            (detector.stalls(None).freezes, detector.stalls(None).frozen),
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
            detector.stalls(None).freezes,
            0,
            "599 ms is less than three times 200 ms"
        );

        now += 700 * MS;
        detector.on_frame(now);
        assert_eq!(detector.stalls(None).freezes, 1);
    }

    #[test]
    fn a_pause_is_not_a_freeze() {
        let detector = after_gaps(&[5_001, 33]);
        let paused = Stalls {
            pauses: 1,
            paused: 5_001 * MS,
            ..Stalls::default()
        };
        assert_eq!(detector.stalls(None), paused);
    }

    #[test]
    fn a_stall_that_lasts_to_the_end_counts() {
        let detector = after_gaps(&[33]);
        let end = |ms: u32| detector.stalls(detector.last.map(|last| last + ms * MS));
        assert_eq!(
            end(1_000),
            Stalls::default(),
            "the call may just have ended"
        );

        let frozen = Stalls {
            freezes: 1,
            frozen: 1_001 * MS,
            ..Stalls::default()
        };
        assert_eq!(end(1_001), frozen);
        assert_eq!((end(5_001).freezes, end(5_001).pauses), (0, 1));
        assert_eq!(end(5_001).paused, 5_001 * MS);
        assert_eq!(
            FreezeDetector::default().stalls(detector.last),
            Stalls::default()
        );
    }
}
