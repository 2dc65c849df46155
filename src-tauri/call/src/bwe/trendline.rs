//! The slope of the one-way delay over the newest packet groups: is a queue growing?
//!
//! After libwebrtc's `TrendlineEstimator`: least squares over the smoothed accumulated delay, in
//! place of the Kalman filter of draft-ietf-rmcat-gcc-02 §5.3.

use std::collections::VecDeque;

use super::groups::GroupDelta;

/// Groups in the regression.
const WINDOW: usize = 20;
/// Weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// Scales the slope to the units of the detector's threshold.
const GAIN: f64 = 4.0;
/// The slope is multiplied by the number of groups seen, up to this many.
const MAX_GROUPS: u32 = 60;

/// Computes the delay gradient.
#[derive(Debug, Default)]
pub(super) struct Trendline {
    groups: u32,
    accumulated_ms: f64,
    smoothed_ms: f64,
    first_arrival_ms: Option<f64>,
    /// Arrival and smoothed delay of the newest groups, ms.
    points: VecDeque<(f64, f64)>,
}

/// A slope in the two forms that the detector compares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trend {
    /// Delay per time, ms per ms.
    pub(super) slope: f64,
    /// The slope times the number of groups (at most 60) times the gain, ms. The detector compares
    /// it with its threshold.
    pub(super) modified_ms: f64,
}

impl Trendline {
    /// Adds a group. Returns `None` until the window is full.
    pub(super) fn on_group(&mut self, delta: GroupDelta) -> Option<Trend> {
        let first = *self.first_arrival_ms.get_or_insert(delta.arrival_ms);
        self.groups = (self.groups + 1).min(MAX_GROUPS);

        self.accumulated_ms += delta.delay_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        self.points
            .push_back((delta.arrival_ms - first, self.smoothed_ms));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }

        if self.points.len() < WINDOW {
            return None;
        }

        let slope = slope(&self.points);
        Some(Trend {
            slope,
            modified_ms: slope * f64::from(self.groups) * GAIN,
        })
    }
}

/// Least-squares slope; 0 if all points share one x.
fn slope(points: &VecDeque<(f64, f64)>) -> f64 {
    let n = points.len() as f64;
    let (sum_x, sum_y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (covariance, variance) =
        points
            .iter()
            .fold((0.0, 0.0), |(covariance, variance), (x, y)| {
                (
                    covariance + (x - mean_x) * (y - mean_y),
                    variance + (x - mean_x).powi(2),
                )
            });

    if variance > 0.0 {
        covariance / variance
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(delay_ms: f64) -> Option<Trend> {
        let mut line = Trendline::default();
        (0..100)
            .map(|i| {
                line.on_group(GroupDelta {
                    delay_ms,
                    arrival_ms: f64::from(i) * 10.0,
                })
            })
            .last()
            .flatten()
    }

    #[test]
    fn the_slope_is_how_fast_the_queue_grows() {
        let trend = run(1.0).expect("100 groups fill the window");
        assert!(
            (trend.slope - 0.1).abs() < 0.01,
            "1 ms of queue every 10 ms, got {}",
            trend.slope
        );

        assert!(
            (trend.modified_ms - trend.slope * 240.0).abs() < 1e-9,
            "60 groups times a gain of 4"
        );
    }

    #[test]
    fn a_steady_delay_has_no_slope() {
        assert_eq!(
            run(0.0).map(|trend| trend.slope),
            Some(0.0),
            "no variation, no slope"
        );
    }
}
