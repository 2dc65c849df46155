//! How many faults a connection may make within a time window before it is closed. Sans-IO.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Counts faults in a sliding window of time. It allocates nothing before the first fault.
#[derive(Debug)]
pub(crate) struct FaultWindow {
    limit: usize,
    window: Duration,
    faults: VecDeque<Instant>,
}

impl FaultWindow {
    /// The `limit`-th fault within `window` is one too many.
    pub(crate) fn new(limit: usize, window: Duration) -> Self {
        Self {
            limit,
            window,
            faults: VecDeque::new(),
        }
    }

    /// Records a fault at `now`; true if it is one too many.
    pub(crate) fn record(&mut self, now: Instant) -> bool {
        while self
            .faults
            .front()
            .is_some_and(|&at| now.saturating_duration_since(at) >= self.window)
        {
            self.faults.pop_front();
        }

        self.faults.push_back(now);
        self.faults.len() >= self.limit
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "tests need some moment to count from"
    )]

    use super::*;

    #[test]
    fn the_last_allowed_fault_is_the_one_before_the_limit() {
        let start = Instant::now();
        let mut window = FaultWindow::new(20, Duration::from_secs(10));

        for n in 0..19 {
            assert!(
                !window.record(start + Duration::from_millis(n)),
                "fault {n} is below the limit of 20"
            );
        }

        assert!(
            window.record(start + Duration::from_secs(9)),
            "the 20th fault within 10 s is one too many"
        );
    }

    #[test]
    fn old_faults_are_forgotten() {
        let start = Instant::now();
        let mut window = FaultWindow::new(20, Duration::from_secs(10));

        for n in 0..100u64 {
            let now = start + Duration::from_millis(n * 600);
            assert!(
                !window.record(now),
                "one fault every 600 ms is at most 17 in 10 s"
            );
        }

        assert!(
            window.faults.len() <= 17,
            "faults older than the window are dropped"
        );
    }
}
