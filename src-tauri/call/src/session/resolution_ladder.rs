//! Which size and rate of frames to send at a bitrate: a small sharp frame looks better than a
//! large blurred one.

use std::time::{Duration, Instant};

/// Bits that one pixel of one frame needs to look right in real-time H.264 baseline or VP8: 0.55
/// Mbit/s for 720p30, 0.14 Mbit/s for 360p30.
const BITS_PER_PIXEL: f64 = 0.02;

/// A larger step needs this much more than its bitrate, so that it is not given up again at once.
const HEADROOM: f64 = 1.35;

/// How long the bitrate must be too low before a step down.
const STEP_DOWN_AFTER: Duration = Duration::from_millis(1_000);

/// How long the bitrate must be high enough before a step up.
const STEP_UP_AFTER: Duration = Duration::from_secs(3);

/// No step before this: the bitrate of a new connection is still ramping up.
const WARM_UP: Duration = Duration::from_secs(2);

/// No step makes frames narrower than this, in pixels.
const MIN_WIDTH: u32 = 160;

/// How frames are reduced before they are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Width and height in eighths of the source's.
    pub(super) eighths: u32,
    /// One of this many frames is sent.
    pub(super) every: u32,
}

/// From the full size to a quarter of it at half the rate.
const STEPS: [Step; 6] = [
    Step {
        eighths: 8,
        every: 1,
    },
    Step {
        eighths: 6,
        every: 1,
    },
    Step {
        eighths: 4,
        every: 1,
    },
    Step {
        eighths: 3,
        every: 1,
    },
    Step {
        eighths: 2,
        every: 1,
    },
    Step {
        eighths: 2,
        every: 2,
    },
];

impl Step {
    /// The size to send of a frame that is `width` x `height` at the source; reduced sizes are
    /// even, for 4:2:0 chroma.
    pub(super) fn size(self, width: u32, height: u32) -> (u32, u32) {
        if self.eighths == 8 {
            return (width, height);
        }

        let scale = |side: u32| (side * self.eighths / 16).max(1) * 2;
        (scale(width), scale(height))
    }

    fn needed_bps(self, source: SourceFormat) -> f64 {
        let (width, height) = self.size(source.width, source.height);
        f64::from(width) * f64::from(height) * f64::from(source.fps) / f64::from(self.every)
            * BITS_PER_PIXEL
    }
}

/// Size (pixels) and rate of the frames that come from the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SourceFormat {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fps: f32,
}

/// Adapts the size of frames to the bitrate, and on the last step their rate. Slowly, because each
/// change of size costs a keyframe.
#[derive(Debug, Default)]
pub(super) struct ResolutionLadder {
    step: usize,
    started: Option<Instant>,
    too_low_since: Option<Instant>,
    enough_since: Option<Instant>,
}

impl ResolutionLadder {
    /// The step for a frame at `now`, while the encoder may produce `target_bps`.
    pub(super) fn step(&mut self, now: Instant, source: SourceFormat, target_bps: u32) -> Step {
        let started = *self.started.get_or_insert(now);
        let target = f64::from(target_bps);
        let larger = self.step.checked_sub(1);
        let smaller = (self.step + 1 < STEPS.len())
            .then_some(self.step + 1)
            .filter(|step| STEPS[*step].size(source.width, source.height).0 >= MIN_WIDTH);
        let too_low = smaller.is_some() && target < STEPS[self.step].needed_bps(source);
        let enough = larger.is_some_and(|step| target >= HEADROOM * STEPS[step].needed_bps(source));

        if now.saturating_duration_since(started) >= WARM_UP {
            if let Some(smaller) =
                smaller.filter(|_| held(&mut self.too_low_since, too_low, now, STEP_DOWN_AFTER))
            {
                self.go_to(smaller);
            } else if let Some(larger) =
                larger.filter(|_| held(&mut self.enough_since, enough, now, STEP_UP_AFTER))
            {
                self.go_to(larger);
            }
        }

        STEPS[self.step]
    }

    fn go_to(&mut self, step: usize) {
        self.step = step;
        (self.too_low_since, self.enough_since) = (None, None);
    }
}

/// Whether `condition` has held for `time` without a break.
fn held(since: &mut Option<Instant>, condition: bool, now: Instant, time: Duration) -> bool {
    if !condition {
        *since = None;
        return false;
    }

    now.saturating_duration_since(*since.get_or_insert(now)) >= time
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

    use super::*;

    const HD: SourceFormat = SourceFormat {
        width: 1280,
        height: 720,
        fps: 30.0,
    };

    /// Runs a plan of bitrates (bits per second), each for a number of seconds. Returns the step
    /// after each.
    fn steps_after(source: SourceFormat, plan: &[(u32, u32)]) -> Vec<Step> {
        let (mut ladder, mut now) = (ResolutionLadder::default(), Instant::now());
        let mut steps = Vec::new();

        for (target_bps, seconds) in plan {
            let mut step = ladder.step(now, source, *target_bps);
            for _ in 0..30 * seconds {
                now += Duration::from_millis(1_000) / 30;
                step = ladder.step(now, source, *target_bps);
            }

            steps.push(step);
        }

        steps
    }

    #[test]
    fn a_bitrate_that_is_enough_keeps_the_full_size() {
        assert_eq!(
            steps_after(HD, &[(2_500_000, 10), (600_000, 60)]),
            [STEPS[0]; 2]
        );
    }

    #[test]
    fn ramping_up_from_a_low_start_keeps_the_full_size() {
        assert_eq!(
            steps_after(HD, &[(300_000, 1), (1_000_000, 5)])[1],
            STEPS[0],
            "the first two seconds do not count"
        );
    }

    #[test]
    fn a_low_bitrate_makes_frames_smaller_and_a_very_low_one_fewer() {
        let steps = steps_after(
            HD,
            &[(350_000, 20), (150_000, 20), (60_000, 20), (10_000, 20)],
        );

        assert_eq!(
            steps,
            [STEPS[1], STEPS[2], STEPS[4], STEPS[5]],
            "three quarters, a half, a quarter, every second"
        );
    }

    #[test]
    fn a_step_up_needs_headroom() {
        let steps = steps_after(HD, &[(350_000, 20), (600_000, 20), (800_000, 20)]);
        assert_eq!(
            steps,
            [STEPS[1], STEPS[1], STEPS[0]],
            "0.6 Mbit/s keeps the full size but does not restore it"
        );
    }

    #[test]
    fn a_bitrate_that_swings_around_a_limit_does_not_flap() {
        let plan: Vec<(u32, u32)> = (0..40)
            .map(|round| (if round % 2 == 0 { 450_000 } else { 700_000 }, 1))
            .collect();
        let steps = steps_after(HD, &plan);
        let changes = steps.windows(2).filter(|pair| pair[0] != pair[1]).count();

        assert!(changes <= 1, "{changes} changes of size in 40 s");
    }

    #[test]
    fn frames_never_become_narrower_than_the_minimum() {
        let small = SourceFormat {
            width: 320,
            height: 180,
            fps: 30.0,
        };

        let last = steps_after(small, &[(1_000, 60)])[0];
        assert!(last.size(320, 180).0 >= MIN_WIDTH, "{last:?}");
    }

    #[test]
    fn reduced_sizes_are_even() {
        for step in &STEPS[1..] {
            let (width, height) = step.size(1278, 718);
            assert!(
                width % 2 == 0 && height % 2 == 0,
                "{step:?}: {width} x {height}"
            );
        }

        assert_eq!(
            STEPS[0].size(1279, 719),
            (1279, 719),
            "the full size is left as it is"
        );
    }
}
