//! Is the path overused? Compares the delay trend with an adaptive threshold.
//!
//! draft-ietf-rmcat-gcc-02 §5.4, with the constants of libwebrtc's `TrendlineEstimator::Detect` and
//! `UpdateThreshold`.

use super::trendline::Trend;

/// The threshold at the start, and its bounds.
const INITIAL_THRESHOLD_MS: f64 = 12.5;
const MIN_THRESHOLD_MS: f64 = 6.0;
const MAX_THRESHOLD_MS: f64 = 600.0;
/// How fast the threshold follows a trend above it, per ms.
const K_UP: f64 = 0.0087;
/// How fast the threshold follows a trend below it, per ms.
const K_DOWN: f64 = 0.039;
/// A trend this far above the threshold is an outlier: the threshold does not learn from it.
const OUTLIER_MS: f64 = 15.0;
/// How long the trend must stay above the threshold.
const OVERUSE_MS: f64 = 10.0;
/// The threshold adapts for at most this much time between two groups.
const MAX_ELAPSED_MS: f64 = 100.0;

/// The detector's verdict on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    /// The queue neither grows nor shrinks.
    #[default]
    Normal,
    /// The queue grows.
    Over,
    /// The queue shrinks.
    Under,
}

/// The overuse detector with its adaptive threshold.
#[derive(Debug)]
pub(super) struct OveruseDetector {
    threshold_ms: f64,
    updated_ms: Option<f64>,
    /// How long, and for how many groups, the trend has been above the threshold.
    over_for_ms: f64,
    over_count: u32,
    previous_slope: f64,
}

impl Default for OveruseDetector {
    fn default() -> Self {
        Self {
            threshold_ms: INITIAL_THRESHOLD_MS,
            updated_ms: None,
            over_for_ms: 0.0,
            over_count: 0,
            previous_slope: 0.0,
        }
    }
}

impl OveruseDetector {
    /// Judges the trend at `arrival_ms`, when the newest group arrived.
    pub(super) fn detect(&mut self, trend: Trend, arrival_ms: f64) -> Usage {
        let elapsed_ms = self
            .updated_ms
            .map_or(0.0, |then| (arrival_ms - then).clamp(0.0, MAX_ELAPSED_MS));
        self.updated_ms = Some(arrival_ms);

        let usage = self.compare(trend, elapsed_ms);
        self.previous_slope = trend.slope;
        self.adapt(trend.modified_ms, elapsed_ms);

        usage
    }

    fn compare(&mut self, trend: Trend, elapsed_ms: f64) -> Usage {
        if trend.modified_ms > self.threshold_ms {
            // For the first group above, assume that half of the time since the last was above.
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
            "a trend of 40 ms that lasts 40 ms: {usages:?}"
        );

        assert_eq!(
            detector.detect(trend(-40.0), 70.0),
            Usage::Under,
            "a draining queue"
        );
    }

    #[test]
    fn the_threshold_adapts_to_the_jitter_of_the_path() {
        let mut detector = OveruseDetector::default();
        for i in 0..1000 {
            detector.detect(
                trend(if i % 2 == 0 { 20.0 } else { -20.0 }),
                f64::from(i) * 10.0,
            );
        }

        assert!(
            detector.threshold_ms > 15.0,
            "swings of 20 ms are normal on this path: {}",
            detector.threshold_ms
        );

        for i in 1000..2000 {
            detector.detect(trend(0.0), f64::from(i) * 10.0);
        }

        assert_eq!(
            detector.threshold_ms, MIN_THRESHOLD_MS,
            "on a quiet path the detector becomes sensitive again"
        );
    }
}
