//! Fewer, larger pixels are better than many blurred ones: how large pictures are sent, and how often, for a bitrate.

use std::time::{Duration, Instant};

/// Bits that one pixel of one picture needs to look right, in H.264 baseline or VP8 in real time: 720p30 from
/// 0.55 Mbit/s, 360p30 from 0.14.
const BITS_PER_PIXEL: f64 = 0.02;
/// A larger step is taken only with this much more than it needs, so that it does not have to be given up at once.
const HEADROOM: f64 = 1.35;
/// How long the bitrate must be too small, or large enough.
const PATIENCE_DOWN: Duration = Duration::from_millis(1_000);
const PATIENCE_UP: Duration = Duration::from_secs(3);
/// The bitrate of a new connection says nothing yet: it is being ramped up.
const WARM_UP: Duration = Duration::from_secs(2);
/// Pictures are never made narrower than this.
const MIN_WIDTH: u32 = 160;

/// What is sent of the pictures that come from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Width and height in eighths of the source's.
    pub(super) eighths: u32,
    /// Every how many pictures one is sent.
    pub(super) every: u32,
}

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
    /// The size of a picture that is `width` x `height` at the source; even, as 4:2:0 likes it.
    pub(super) fn size(self, width: u32, height: u32) -> (u32, u32) {
        if self.eighths == 8 {
            return (width, height);
        }

        let scale = |side: u32| (side * self.eighths / 16).max(1) * 2;
        (scale(width), scale(height))
    }

    fn needed_bps(self, source: Source) -> f64 {
        let (width, height) = self.size(source.width, source.height);
        f64::from(width) * f64::from(height) * f64::from(source.fps) / f64::from(self.every)
            * BITS_PER_PIXEL
    }
}

/// Size and rate of the pictures at their source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Source {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fps: f32,
}

/// Follows the bitrate with the size of the pictures, and with their rate at the very end; slowly, because every change of
/// size costs a keyframe.
#[derive(Debug, Default)]
pub(super) struct QualityLadder {
    step: usize,
    begin: Option<Instant>,
    too_little_since: Option<Instant>,
    enough_since: Option<Instant>,
}

impl QualityLadder {
    /// The step for a picture at `now`, while the encoder may produce `target_bps`.
    pub(super) fn step(&mut self, now: Instant, source: Source, target_bps: u32) -> Step {
        let begin = *self.begin.get_or_insert(now);
        let target = f64::from(target_bps);
        let larger = self.step.checked_sub(1);
        let smaller = (self.step + 1 < STEPS.len())
            .then_some(self.step + 1)
            .filter(|step| STEPS[*step].size(source.width, source.height).0 >= MIN_WIDTH);
        let too_little = smaller.is_some() && target < STEPS[self.step].needed_bps(source);
        let enough = larger.is_some_and(|step| target >= HEADROOM * STEPS[step].needed_bps(source));

        if now.saturating_duration_since(begin) >= WARM_UP {
            if let Some(smaller) =
                smaller.filter(|_| held(&mut self.too_little_since, too_little, now, PATIENCE_DOWN))
            {
                self.take(smaller);
            } else if let Some(larger) =
                larger.filter(|_| held(&mut self.enough_since, enough, now, PATIENCE_UP))
            {
                self.take(larger);
            }
        }

        STEPS[self.step]
    }

    fn take(&mut self, step: usize) {
        self.step = step;
        (self.too_little_since, self.enough_since) = (None, None);
    }
}

/// Whether `condition` has held for `time`.
fn held(since: &mut Option<Instant>, condition: bool, now: Instant, time: Duration) -> bool {
    if !condition {
        *since = None;
        return false;
    }

    now.saturating_duration_since(*since.get_or_insert(now)) >= time
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD: Source = Source {
        width: 1280,
        height: 720,
        fps: 30.0,
    };

    /// Feeds each bitrate for so many seconds; returns the step after each.
    fn after(source: Source, plan: &[(u32, u32)]) -> Vec<Step> {
        let (mut ladder, mut now) = (QualityLadder::default(), Instant::now());
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
    fn enough_for_full_size_stays_there() {
        assert_eq!(after(HD, &[(2_500_000, 10), (600_000, 60)]), [STEPS[0]; 2]);
    }

    #[test]
    fn a_ramp_from_a_low_start_costs_no_size() {
        assert_eq!(
            after(HD, &[(300_000, 1), (1_000_000, 5)])[1],
            STEPS[0],
            "the first moments say nothing"
        );
    }

    #[test]
    fn a_small_bitrate_makes_small_pictures_and_a_tiny_one_fewer() {
        let steps = after(
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
    fn the_way_back_needs_headroom() {
        let steps = after(HD, &[(350_000, 20), (600_000, 20), (800_000, 20)]);
        assert_eq!(
            steps,
            [STEPS[1], STEPS[1], STEPS[0]],
            "0.6 Mbit/s holds full size but does not bring it back"
        );
    }

    #[test]
    fn a_bitrate_that_swings_around_the_limit_does_not_flap() {
        let plan: Vec<(u32, u32)> = (0..40)
            .map(|round| (if round % 2 == 0 { 450_000 } else { 700_000 }, 1))
            .collect();
        let steps = after(HD, &plan);
        let changes = steps.windows(2).filter(|pair| pair[0] != pair[1]).count();

        assert!(changes <= 1, "{changes} changes of size in 40 s");
    }

    #[test]
    fn small_sources_are_not_made_smaller_than_a_face_needs() {
        let small = Source {
            width: 320,
            height: 180,
            fps: 30.0,
        };

        let last = after(small, &[(1_000, 60)])[0];
        assert!(last.size(320, 180).0 >= MIN_WIDTH, "{last:?}");
    }

    #[test]
    fn sizes_are_even() {
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
            "full size is left as it is"
        );
    }
}
