//! Is the path over-used? The delay trend against an adaptive threshold (draft-ietf-rmcat-gcc-02 §5.4).

use super::trendline::Trend;

const INITIAL_THRESHOLD_MS: f64 = 12.5;
const MIN_THRESHOLD_MS: f64 = 6.0;
const MAX_THRESHOLD_MS: f64 = 600.0;
/// How fast the threshold follows a trend above it, per ms.
const K_UP: f64 = 0.0087;
/// How fast it follows a trend below it, per ms.
const K_DOWN: f64 = 0.039;
/// A trend so far above the threshold is an outlier, from which the threshold does not learn.
const OUTLIER_MS: f64 = 15.0;
/// The trend must stay above the threshold for so long.
const OVERUSE_MS: f64 = 10.0;

/// What the detector says of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Usage {
    /// The queue neither grows nor shrinks.
    #[default]
    Normal,
    /// The queue grows.
    Over,
    /// The queue shrinks.
    Under,
}

/// The over-use detector with its adaptive threshold.
#[derive(Debug)]
pub struct OveruseDetector {
    threshold_ms: f64,
    updated_ms: Option<f64>,
    over_for_ms: f64,
    over_count: u32,
    previous_slope: f64,
}

impl Default for OveruseDetector {
    fn default() -> Self {
        let threshold_ms = INITIAL_THRESHOLD_MS;
        Self {
            threshold_ms,
            updated_ms: None,
            over_for_ms: 0.0,
            over_count: 0,
            previous_slope: 0.0,
        }
    }
}

impl OveruseDetector {
    /// Judges the trend at `arrival_ms`, the arrival of the newest group.
    pub fn detect(&mut self, trend: Trend, arrival_ms: f64) -> Usage {
        let elapsed_ms = self
            .updated_ms
            .map_or(0.0, |then| (arrival_ms - then).clamp(0.0, 100.0));
        self.updated_ms = Some(arrival_ms);
        let usage = self.compare(trend, elapsed_ms);
        self.previous_slope = trend.slope;
        self.adapt(trend.modified_ms, elapsed_ms);

        usage
    }

    fn compare(&mut self, trend: Trend, elapsed_ms: f64) -> Usage {
        if trend.modified_ms > self.threshold_ms {
            // The first time above, half the spacing is assumed to have passed above.
            self.over_for_ms += if self.over_count == 0 {
                elapsed_ms / 2.0
            } else {
                elapsed_ms
            };

            self.over_count += 1;
            let lasting = self.over_for_ms > OVERUSE_MS && self.over_count > 1;

            if lasting && trend.slope >= self.previous_slope {
                self.over_for_ms = 0.0;
                self.over_count = 0;
                return Usage::Over;
            }

            return Usage::Normal;
        }

        self.over_for_ms = 0.0;
        self.over_count = 0;

        if trend.modified_ms < -self.threshold_ms {
            Usage::Under
        } else {
            Usage::Normal
        }
    }

    fn adapt(&mut self, modified_ms: f64, elapsed_ms: f64) {
        let distance = modified_ms.abs() - self.threshold_ms;
        if distance > OUTLIER_MS {
            return;
        }

        let k = if distance < 0.0 { K_DOWN } else { K_UP };
        self.threshold_ms = (self.threshold_ms + k * distance * elapsed_ms)
            .clamp(MIN_THRESHOLD_MS, MAX_THRESHOLD_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(modified_ms: f64) -> Trend {
        Trend {
            slope: modified_ms / 240.0,
            modified_ms,
        }
    }

    #[test]
    fn one_spike_is_not_overuse_but_a_lasting_trend_is() {
        let mut detector = OveruseDetector::default();
        assert_eq!(
            detector.detect(trend(40.0), 0.0),
            Usage::Normal,
            "the first group above"
        );
        assert_eq!(detector.detect(trend(0.0), 10.0), Usage::Normal, "a spike");
        let usages: Vec<_> = (2..6)
            .map(|i| detector.detect(trend(40.0), f64::from(i) * 10.0))
            .collect();

        assert!(
            usages.contains(&Usage::Over),
            "40 ms of trend over 40 ms of time: {usages:?}"
        );

        assert_eq!(
            detector.detect(trend(-40.0), 70.0),
            Usage::Under,
            "a draining queue"
        );
    }

    #[test]
    fn the_threshold_learns_the_jitter_of_the_path() {
        let mut detector = OveruseDetector::default();
        for i in 0..1000 {
            detector.detect(
                trend(if i % 2 == 0 { 20.0 } else { -20.0 }),
                f64::from(i) * 10.0,
            );
        }

        assert!(
            detector.threshold_ms > 15.0,
            "swings of 20 ms are this path's normal: {}",
            detector.threshold_ms
        );

        for i in 1000..2000 {
            detector.detect(trend(0.0), f64::from(i) * 10.0);
        }

        assert_eq!(
            detector.threshold_ms, MIN_THRESHOLD_MS,
            "on a quiet path it becomes sensitive again"
        );
    }
}
