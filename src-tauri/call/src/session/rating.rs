//! How good a call is at the moment, for a badge: a pure function of its figures, with hysteresis.

use std::time::{Duration, Instant};

use serde::Serialize;

/// How good a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Quality {
    /// Hard to follow: the picture freezes, or the partner answers late.
    Poor = 1,
    /// One can tell that the network is not at its best.
    Fair = 2,
    /// As it should be.
    Good = 3,
}

/// What a rating is made of: figures of the last moments.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct QualityFigures {
    /// Fraction of the sent packets that the partner lost, 0 to 1.
    pub loss: f32,
    /// Round trip time in ms.
    pub rtt_ms: Option<f32>,
    /// Share of the last interval in which the partner's picture stood still, 0 to 1.
    pub frozen: f32,
    /// The estimate of what the path carries, in bits per second. `None`: nothing is known of it.
    pub target_bps: Option<u64>,
}

impl QualityFigures {
    /// The quality that these figures alone stand for.
    #[must_use]
    pub fn quality(&self) -> Quality {
        let rtt_ms = self.rtt_ms.unwrap_or(0.0);
        let target_bps = self.target_bps.unwrap_or(u64::MAX);

        // ITU-T G.114: one-way delay to 150 ms is not noticed, beyond 400 ms it is a nuisance; the network is half of it.
        if self.loss > 0.10 || rtt_ms > 500.0 || self.frozen > 0.10 || target_bps < 150_000 {
            Quality::Poor
        } else if self.loss > 0.03 || rtt_ms > 250.0 || self.frozen > 0.01 || target_bps < 400_000 {
            Quality::Fair
        } else {
            Quality::Good
        }
    }
}

/// So long figures must be worse before the rating falls.
const WORSE_AFTER: Duration = Duration::from_secs(1);
/// So long they must be better before it rises.
const BETTER_AFTER: Duration = Duration::from_secs(4);
/// A new connection has to find out what the path carries.
const WARM_UP: Duration = Duration::from_secs(5);

/// Turns figures into a rating that does not flicker: it falls soon and rises late.
#[derive(Debug, Clone, Default)]
pub struct QualityRating {
    begin: Option<Instant>,
    rating: Option<Quality>,
    /// Since when the figures have stood for something else, and the mildest of that.
    other: Option<(Instant, Quality)>,
}

impl QualityRating {
    /// Takes in the figures at `now`; several times a second. `None`: it is too early to tell.
    pub fn update(&mut self, now: Instant, figures: &QualityFigures) -> Option<Quality> {
        let begin = *self.begin.get_or_insert(now);
        if now.saturating_duration_since(begin) < WARM_UP {
            return None;
        }

        let current = figures.quality();
        let Some(rating) = self.rating else {
            self.rating = Some(current);
            return self.rating;
        };

        if current == rating {
            self.other = None;
            return self.rating;
        }

        let (since, mildest) = match self.other {
            // The same direction: the step nearest to the present rating that held all the time.
            Some((since, other)) if (other < rating) == (current < rating) => (
                since,
                if current < rating {
                    other.max(current)
                } else {
                    other.min(current)
                },
            ),
            _ => (now, current),
        };

        let patience = if current < rating {
            WORSE_AFTER
        } else {
            BETTER_AFTER
        };

        if now.saturating_duration_since(since) >= patience {
            self.rating = Some(mildest);
            self.other = None;
        } else {
            self.other = Some((since, mildest));
        }

        self.rating
    }
}

#[cfg(test)]
mod tests {
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

    /// Feeds figures for so many ms each; returns when the rating changed, and to what.
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
    fn each_figure_alone_can_spoil_a_call() {
        assert_eq!(GOOD.quality(), Quality::Good);
        assert_eq!(
            QualityFigures::default().quality(),
            Quality::Good,
            "what is unknown spoils nothing"
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
    fn it_falls_after_a_second_and_rises_after_four() {
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
    fn short_troubles_and_short_recoveries_change_nothing() {
        let mut plan = vec![(6_000, GOOD)];
        plan.extend([(900, POOR), (2_000, GOOD)].repeat(10));
        assert_eq!(
            changes(&plan),
            [(5_000, Quality::Good)],
            "a hiccup now and then"
        );

        let mut plan = vec![(7_000, FAIR)];
        plan.extend([(3_000, GOOD), (500, FAIR)].repeat(10));
        assert_eq!(changes(&plan), [(5_000, Quality::Fair)], "not yet well");
    }

    #[test]
    fn a_mixture_of_bad_and_worse_is_bad() {
        let mut plan = vec![(6_000, GOOD)];
        plan.extend([(400, POOR), (400, FAIR)].repeat(2));
        assert_eq!(
            changes(&plan)[1].1,
            Quality::Fair,
            "the mildest that held all the time"
        );
    }

    proptest! {
        #[test]
        fn the_rating_is_always_one_that_the_figures_stood_for(
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
