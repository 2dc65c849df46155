//! How good a call is at the moment, for a badge: a function of its figures, with hysteresis.

use std::time::{Duration, Instant};

use serde::Serialize;

/// How good a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Quality {
    /// Hard to follow: video freezes, or the partner answers late.
    Poor = 1,
    /// The network noticeably disturbs the call.
    Fair = 2,
    /// Nothing disturbs the call.
    Good = 3,
}

/// The recent figures that a rating is based on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct QualityFigures {
    /// Fraction of the sent packets that did not reach the partner, 0 to 1.
    pub(super) loss: f32,
    /// Round-trip time in ms.
    pub(super) rtt_ms: Option<f32>,
    /// Fraction of the last interval during which the partner's video was frozen, 0 to 1.
    pub(super) frozen: f32,
    /// The estimator's target in bits per second. `None`: not known.
    pub(super) target_bps: Option<u64>,
}

impl QualityFigures {
    /// The quality according to these figures alone, without hysteresis.
    #[must_use]
    pub(super) fn quality(&self) -> Quality {
        let rtt_ms = self.rtt_ms.unwrap_or(0.0);
        let target_bps = self.target_bps.unwrap_or(u64::MAX);

        // ITU-T G.114: a one-way delay up to 150 ms goes unnoticed, beyond 400 ms it is
        // unacceptable. The network is about half of it.
        if self.loss > 0.10 || rtt_ms > 500.0 || self.frozen > 0.10 || target_bps < 150_000 {
            Quality::Poor
        } else if self.loss > 0.03 || rtt_ms > 250.0 || self.frozen > 0.01 || target_bps < 400_000 {
            Quality::Fair
        } else {
            Quality::Good
        }
    }
}

/// How long figures must be worse before the rating falls.
const WORSE_AFTER: Duration = Duration::from_secs(1);

/// How long figures must be better before the rating rises.
const BETTER_AFTER: Duration = Duration::from_secs(4);

/// No rating before this: a new connection is still finding out what the route carries.
const WARM_UP: Duration = Duration::from_secs(5);

/// Turns figures into a rating that does not flicker: quick to fall, slow to rise.
#[derive(Debug, Clone, Default)]
pub(super) struct QualityRating {
    started: Option<Instant>,
    rating: Option<Quality>,
    /// Since when the figures have differed from the rating, and the smallest difference since
    /// then.
    pending: Option<(Instant, Quality)>,
}

impl QualityRating {
    /// Updates the rating with the figures at `now`; call it several times a second. `None`: not
    /// known yet.
    pub(super) fn update(&mut self, now: Instant, figures: &QualityFigures) -> Option<Quality> {
        let started = *self.started.get_or_insert(now);
        if now.saturating_duration_since(started) < WARM_UP {
            return None;
        }

        let current = figures.quality();
        let Some(rating) = self.rating else {
            self.rating = Some(current);
            return self.rating;
        };

        if current == rating {
            self.pending = None;
            return self.rating;
        }

        let (since, nearest) = match self.pending {
            // The same direction as before: the step nearest to the rating that has held
            // throughout.
            Some((since, pending)) if (pending < rating) == (current < rating) => (
                since,
                if current < rating {
                    pending.max(current)
                } else {
                    pending.min(current)
                },
            ),
            _ => (now, current),
        };

        let hold = if current < rating {
            WORSE_AFTER
        } else {
            BETTER_AFTER
        };

        if now.saturating_duration_since(since) >= hold {
            self.rating = Some(nearest);
            self.pending = None;
        } else {
            self.pending = Some((since, nearest));
        }

        self.rating
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

    use proptest::prelude::*;

    use super::*;

    const GOOD: QualityFigures = QualityFigures {
        loss: 0.0,
        rtt_ms: Some(30.0),
        frozen: 0.0,
        target_bps: Some(2_000_000),
    };

    const FAIR: QualityFigures = QualityFigures { loss: 0.05, ..GOOD };

    const POOR: QualityFigures = QualityFigures {
        frozen: 0.3,
        ..GOOD
    };

    /// Runs a plan of phases, each with its length in ms. Returns when the rating changed (ms), and
    /// to what.
    fn changes(plan: &[(u64, QualityFigures)]) -> Vec<(u64, Quality)> {
        let (start, mut rating) = (Instant::now(), QualityRating::default());
        let (mut ms, mut last, mut changes) = (0, None, Vec::new());

        for (length, figures) in plan {
            let end = ms + length;
            while ms < end {
                let quality = rating.update(start + Duration::from_millis(ms), figures);
                if let Some(quality) = quality.filter(|quality| Some(*quality) != last) {
                    last = Some(quality);
                    changes.push((ms, quality));
                }

                ms += 100;
            }
        }

        changes
    }

    #[test]
    fn one_bad_figure_is_enough_to_lower_the_quality() {
        assert_eq!(GOOD.quality(), Quality::Good);
        assert_eq!(
            QualityFigures::default().quality(),
            Quality::Good,
            "unknown figures do not lower it"
        );

        for (figures, expected) in [
            (QualityFigures { loss: 0.05, ..GOOD }, Quality::Fair),
            (QualityFigures { loss: 0.2, ..GOOD }, Quality::Poor),
            (
                QualityFigures {
                    rtt_ms: Some(300.0),
                    ..GOOD
                },
                Quality::Fair,
            ),
            (
                QualityFigures {
                    rtt_ms: Some(700.0),
                    ..GOOD
                },
                Quality::Poor,
            ),
            (
                QualityFigures {
                    frozen: 0.05,
                    ..GOOD
                },
                Quality::Fair,
            ),
            (
                QualityFigures {
                    frozen: 0.5,
                    ..GOOD
                },
                Quality::Poor,
            ),
            (
                QualityFigures {
                    target_bps: Some(300_000),
                    ..GOOD
                },
                Quality::Fair,
            ),
            (
                QualityFigures {
                    target_bps: Some(100_000),
                    ..GOOD
                },
                Quality::Poor,
            ),
        ] {
            assert_eq!(figures.quality(), expected, "{figures:?}");
        }
    }

    #[test]
    fn the_rating_falls_after_one_second_and_rises_after_four() {
        let seen = changes(&[(8_000, GOOD), (3_000, POOR), (10_000, GOOD)]);
        assert_eq!(
            seen,
            [
                (5_000, Quality::Good),
                (9_000, Quality::Poor),
                (15_000, Quality::Good)
            ]
        );
    }

    #[test]
    fn short_drops_and_short_recoveries_do_not_change_the_rating() {
        let mut plan = vec![(6_000, GOOD)];
        plan.extend([(900, POOR), (2_000, GOOD)].repeat(10));
        assert_eq!(
            changes(&plan),
            [(5_000, Quality::Good)],
            "an occasional hiccup"
        );

        let mut plan = vec![(7_000, FAIR)];
        plan.extend([(3_000, GOOD), (500, FAIR)].repeat(10));
        assert_eq!(
            changes(&plan),
            [(5_000, Quality::Fair)],
            "not yet recovered"
        );
    }

    #[test]
    fn poor_and_fair_in_turns_are_rated_fair() {
        let mut plan = vec![(6_000, GOOD)];
        plan.extend([(400, POOR), (400, FAIR)].repeat(2));
        assert_eq!(
            changes(&plan)[1].1,
            Quality::Fair,
            "the nearest step that held throughout"
        );
    }

    proptest! {
        #[test]
        fn the_rating_is_always_one_that_the_figures_had(
            plan in proptest::collection::vec((0..3_u8, 1..60_u64), 1..40)
        ) {
            let kinds = [POOR, FAIR, GOOD];
            let plan: Vec<(u64, QualityFigures)> =
                plan.iter().map(|(kind, steps)| (steps * 100, kinds[usize::from(*kind)])).collect();
            let changes = changes(&plan);

            for (_, quality) in &changes {
                prop_assert!(plan.iter().any(|(_, figures)| figures.quality() == *quality));
            }

            prop_assert!(changes.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1_000), "no flicker: {:?}", changes);
        }
    }
}
