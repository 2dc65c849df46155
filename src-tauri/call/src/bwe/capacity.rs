//! What the path carried when it was congested: mean and spread.
//!
//! After libwebrtc's `LinkCapacityEstimator`
//! (`modules/congestion_controller/goog_cc/link_capacity_estimator.cc`).

use crate::link::Bitrate;

/// Weight of a new observation.
const ALPHA: f64 = 0.3;
/// Bounds of the normalized variance, kbit/s.
const MIN_VARIANCE: f64 = 0.4;
const MAX_VARIANCE: f64 = 2.5;
/// The mean is trusted within this many standard deviations.
const DEVIATIONS: f64 = 3.0;

/// The capacity estimate; unknown until the first congestion.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkCapacity {
    known: Option<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    mean_kbps: f64,
    /// Variance divided by the mean, kbit/s.
    variance: f64,
}

impl LinkCapacity {
    /// The path was congested while it carried `rate`.
    pub(super) fn observe(&mut self, rate: Bitrate) {
        let sample = rate.as_bps() / 1e3;
        let fresh = Known {
            mean_kbps: sample,
            variance: MIN_VARIANCE,
        };

        let known = self.known.get_or_insert(fresh);
        // Far below the known capacity, the path has changed, and the old mean says nothing about
        // it.
        if sample < known.mean_kbps - DEVIATIONS * known.deviation() {
            *known = fresh;
            return;
        }

        let error = sample - known.mean_kbps;
        known.mean_kbps += ALPHA * error;

        let normalized = error * error / known.mean_kbps.max(1.0);
        known.variance =
            ((1.0 - ALPHA) * known.variance + ALPHA * normalized).clamp(MIN_VARIANCE, MAX_VARIANCE);
    }

    /// Whether congestion has been seen.
    pub(super) fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// A path that carries more than this has become wider.
    pub(super) fn upper_bound(&self) -> Option<Bitrate> {
        self.known.map(|known| {
            Bitrate::from_bps((known.mean_kbps + DEVIATIONS * known.deviation()) * 1e3)
        })
    }
}

impl Known {
    fn deviation(&self) -> f64 {
        (self.variance * self.mean_kbps).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_lies_a_few_percent_above_what_was_carried() {
        let mut capacity = LinkCapacity::default();
        assert!(
            capacity.upper_bound().is_none(),
            "no congestion, no capacity"
        );

        capacity.observe(Bitrate::from_bps(1e6));
        let bound = capacity.upper_bound().expect("observed").as_bps();
        assert!((1.02e6..1.1e6).contains(&bound), "got {bound}");

        capacity.observe(Bitrate::from_bps(0.4e6));
        let bound = capacity.upper_bound().expect("observed").as_bps();
        assert!(
            bound < 0.5e6,
            "a path that shrank is recognized at once, got {bound}"
        );
    }
}
