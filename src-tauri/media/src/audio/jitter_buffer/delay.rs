//! Estimates how long a packet should wait before it is played: long enough for nearly all slower
//! packets to arrive.
//!
//! A packet's *transit* is its arrival time minus its RTP time. Only differences of transits mean
//! anything, because the two clocks have unrelated origins. The smallest transit of the last two
//! seconds stands for a packet that met no queue, and a packet's relative delay is how much longer
//! it took. The largest relative delay of each half second goes into a histogram that forgets, and
//! the target is a high quantile of it. Taking the maximum of each interval rather than every
//! packet makes rare bursts count (ten packets held up together every few seconds are not "2 % of
//! packets").

use std::collections::VecDeque;

use super::SAMPLES_PER_MS;

/// Width of a histogram bin, ms.
const BIN_MS: i64 = 5;
/// Number of bins. Longer delays go into the last.
const BINS: usize = 100;
/// Length of the interval whose largest delay is one observation, ms.
const INTERVAL_MS: i64 = 500;
/// Share of an observation's weight that the next one leaves: a memory of about 16 s.
const RETENTION: f64 = 0.97;
/// Share of the intervals whose worst delay the target covers.
const QUANTILE: f64 = 0.95;
/// Slots of [`BASE_SLOT_MS`] over which the smallest transit is the base.
const BASE_SLOTS: usize = 8;
const BASE_SLOT_MS: i64 = 250;
/// A transit that differs from the last by more than this, in ms, means a new origin of RTP time,
/// not delay.
const NEW_ORIGIN_MS: i64 = 10_000;
/// Packets are decoded at ticks 10 ms apart, up to this long before their samples are due.
pub(super) const BLOCK_MS: i64 = 10;

/// Observes arrivals and estimates the delay that playout needs. Times are in samples at 48 kHz
/// since the buffer's first call.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    /// Weight of the observations in each bin. The weights sum to 1 once there is an observation.
    histogram: [f64; BINS],
    observations: u32,
    /// Slot number and smallest transit in that slot, oldest first.
    base: VecDeque<(i64, i64)>,
    last_transit: Option<i64>,
    /// The current interval: its number and the largest relative delay in it.
    interval: Option<(i64, i64)>,
}

impl DelayEstimator {
    pub(super) fn new() -> Self {
        Self {
            histogram: [0.0; BINS],
            observations: 0,
            base: VecDeque::with_capacity(BASE_SLOTS + 1),
            last_transit: None,
            interval: None,
        }
    }

    /// Takes a packet with RTP time `media` (samples, unwrapped) that arrived at `arrival`.
    pub(super) fn on_arrival(&mut self, arrival: i64, media: i64) {
        let transit = arrival - media;
        let moved = self
            .last_transit
            .is_some_and(|last| (transit - last).abs() > NEW_ORIGIN_MS * SAMPLES_PER_MS);

        if moved {
            self.base.clear();
            self.interval = None;
        }

        self.last_transit = Some(transit);

        let slot = arrival / (BASE_SLOT_MS * SAMPLES_PER_MS);
        match self.base.back_mut() {
            Some((newest, smallest)) if *newest == slot => *smallest = transit.min(*smallest),
            _ => self.base.push_back((slot, transit)),
        }

        while self
            .base
            .front()
            .is_some_and(|(oldest, _)| slot - oldest >= BASE_SLOTS as i64)
        {
            self.base.pop_front();
        }

        let delay = transit - self.base_transit().unwrap_or(transit);
        let number = arrival / (INTERVAL_MS * SAMPLES_PER_MS);
        self.interval = match self.interval {
            Some((current, largest)) if current == number => Some((current, largest.max(delay))),
            Some((_, largest)) => {
                self.observe(largest);
                Some((number, delay))
            }
            None => Some((number, delay)),
        };
    }

    /// The transit of a packet that met no queue, or `None` before the first packet.
    pub(super) fn base_transit(&self) -> Option<i64> {
        self.base.iter().map(|&(_, transit)| transit).min()
    }

    /// The delay in samples, from the arrival of a packet that met no queue until it is due, at
    /// which nearly all packets arrive in time. `None` before the first interval is complete.
    pub(super) fn target(&self) -> Option<i64> {
        if self.observations == 0 {
            return None;
        }

        let mut covered = 0.0;
        let bin = self.histogram.iter().position(|weight| {
            covered += weight;
            covered >= QUANTILE
        });

        let upper_edge_ms = (bin.unwrap_or(BINS - 1) as i64 + 1) * BIN_MS;
        Some((upper_edge_ms + BLOCK_MS) * SAMPLES_PER_MS)
    }

    fn observe(&mut self, delay: i64) {
        let bin = (delay / (BIN_MS * SAMPLES_PER_MS)).clamp(0, BINS as i64 - 1) as usize;
        self.observations = self.observations.saturating_add(1);
        // The first observations count equally, as in a plain average, until the steady rate takes
        // over.
        let retention = RETENTION.min(1.0 - 1.0 / f64::from(self.observations));

        for weight in &mut self.histogram {
            *weight *= retention;
        }

        self.histogram[bin] += 1.0 - retention;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: i64) -> i64 {
        value * SAMPLES_PER_MS
    }

    /// Feeds one packet every 20 ms from `from` to `to` ms, delayed by `delay(n)` ms.
    fn feed(estimator: &mut DelayEstimator, from: i64, to: i64, delay: impl Fn(i64) -> i64) {
        for n in from / 20..to / 20 {
            estimator.on_arrival(ms(n * 20 + delay(n)), ms(n * 20 + 7_000_000));
        }
    }

    #[test]
    fn steady_arrival_needs_one_block_and_one_bin() {
        let mut estimator = DelayEstimator::new();
        assert_eq!(estimator.target(), None, "there is no estimate yet");
        feed(&mut estimator, 0, 5_000, |_| 50);

        assert_eq!(
            estimator.target(),
            Some(ms(BIN_MS + BLOCK_MS)),
            "a constant delay is not jitter"
        );
    }

    #[test]
    fn rare_bursts_raise_the_target_and_are_forgotten() {
        let mut estimator = DelayEstimator::new();
        let burst = |n: i64| if n % 200 < 6 { 120 - 20 * (n % 200) } else { 0 };
        feed(&mut estimator, 0, 40_000, burst);

        let target = estimator.target().expect("an estimate") / SAMPLES_PER_MS;
        assert!(
            (120..=140).contains(&target),
            "one burst of 120 ms every 4 s is covered: {target} ms"
        );

        feed(&mut estimator, 40_000, 75_000, |_| 0);
        let target = estimator.target().expect("an estimate") / SAMPLES_PER_MS;
        assert!(target <= 20, "35 s later it is forgotten: {target} ms");
    }

    #[test]
    fn a_new_origin_of_rtp_time_is_not_delay() {
        let mut estimator = DelayEstimator::new();
        feed(&mut estimator, 0, 5_000, |_| 0);

        for n in 250..500 {
            estimator.on_arrival(ms(n * 20), ms(n * 20 - 90_000));
        }

        assert_eq!(
            estimator.target(),
            Some(ms(15)),
            "RTP time jumped by about two hours; the target did not"
        );
    }

    #[test]
    fn a_longer_route_becomes_the_new_base_within_two_seconds() {
        let mut estimator = DelayEstimator::new();
        feed(&mut estimator, 0, 5_000, |_| 0);
        feed(&mut estimator, 5_000, 8_000, |_| 100);

        assert_eq!(
            estimator.base_transit(),
            Some(ms(100 - 7_000_000)),
            "the old base has left the window"
        );
    }
}
