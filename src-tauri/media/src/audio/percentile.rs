//! Percentiles over the most recent values of a measurement.

use serde::Serialize;

/// Median and 95th percentile of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Percentiles {
    /// Half of the values are at or below this.
    pub p50: f32,
    /// 95 of 100 values are at or below this.
    pub p95: f32,
    /// How many values were measured in total, including those no longer in the window.
    pub count: u64,
}

/// Keeps the most recent `capacity` values. Memory does not grow.
#[derive(Debug, Clone)]
pub struct PercentileWindow {
    values: Vec<f32>,
    capacity: usize,
    next: usize,
    count: u64,
}

impl PercentileWindow {
    /// A window of the most recent `capacity` values (at least one).
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            values: Vec::with_capacity(capacity),
            capacity,
            next: 0,
            count: 0,
        }
    }

    /// Adds a value, replacing the oldest one if the window is full.
    pub fn push(&mut self, value: f32) {
        if self.values.len() < self.capacity {
            self.values.push(value);
        } else if let Some(slot) = self.values.get_mut(self.next) {
            *slot = value;
        }

        self.next = (self.next + 1) % self.capacity;
        self.count += 1;
    }

    /// How many values have ever been added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The nearest-rank percentiles of the window; `None` if it is empty. Copies and sorts the
    /// window.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let rank = |percent: usize| {
            sorted
                .get((sorted.len() * percent).div_ceil(100).saturating_sub(1))
                .copied()
        };

        Some(Percentiles {
            p50: rank(50)?,
            p95: rank(95)?,
            count: self.count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_use_the_nearest_rank() {
        let mut window = PercentileWindow::new(1000);
        assert_eq!(
            window.percentiles(),
            None,
            "an empty window has no percentiles"
        );

        for value in (1..=100).rev() {
            window.push(value as f32);
        }

        assert_eq!(
            window.percentiles(),
            Some(Percentiles {
                p50: 50.0,
                p95: 95.0,
                count: 100
            }),
            "the 50th and the 95th of a hundred values"
        );
    }

    #[test]
    fn new_values_replace_the_oldest() {
        let mut window = PercentileWindow::new(10);
        for value in 0..25 {
            window.push(value as f32);
        }

        assert_eq!(
            window.percentiles(),
            Some(Percentiles {
                p50: 19.0,
                p95: 24.0,
                count: 25
            }),
            "only 15 to 24 are left, but all 25 are counted"
        );
    }
}
