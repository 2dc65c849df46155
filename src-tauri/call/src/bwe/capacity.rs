//! What the path carried when it was congested: mean and spread, after libwebrtc's link capacity estimator.

/// Weight of a new observation.
const ALPHA: f64 = 0.3;
/// Bounds on the normalized variance, kbit/s.
const MIN_VARIANCE: f64 = 0.4;
const MAX_VARIANCE: f64 = 2.5;

/// The capacity estimate; unknown until the first congestion.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkCapacity {
    known: Option<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    mean_kbps: f64,
    variance: f64,
}

impl LinkCapacity {
    /// The path was congested while it carried `bps`.
    pub fn observe(&mut self, bps: f64) {
        let sample = bps / 1e3;
        let Some(known) = &mut self.known else {
            self.known = Some(Known {
                mean_kbps: sample,
                variance: MIN_VARIANCE,
            });
            return;
        };

        // Far below what was known: the path changed, the mean has nothing to say about it.
        if sample < known.mean_kbps - 3.0 * known.deviation() {
            *known = Known {
                mean_kbps: sample,
                variance: MIN_VARIANCE,
            };

            return;
        }

        let error = sample - known.mean_kbps;
        known.mean_kbps += ALPHA * error;
        let normalized = error * error / known.mean_kbps.max(1.0);
        known.variance =
            ((1.0 - ALPHA) * known.variance + ALPHA * normalized).clamp(MIN_VARIANCE, MAX_VARIANCE);
    }

    /// Whether congestion was seen.
    pub fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// The path that carries more than this, bits per second, has become wider than it was.
    pub fn upper_bound(&self) -> Option<f64> {
        self.known
            .map(|known| (known.mean_kbps + 3.0 * known.deviation()) * 1e3)
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

        capacity.observe(1e6);
        let bound = capacity.upper_bound().expect("observed");
        assert!((1.02e6..1.1e6).contains(&bound), "got {bound}");
        capacity.observe(0.4e6);
        let bound = capacity.upper_bound().expect("observed");

        assert!(
            bound < 0.5e6,
            "a path that shrank is known at once, got {bound}"
        );
    }
}
