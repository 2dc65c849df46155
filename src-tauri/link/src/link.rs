//! One direction of a route: a policer, a drop-tail queue, a bottleneck, loss, propagation.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Conditions;
use super::random::SeededRandom;

/// What happened to the packets. `sent` + `duplicated` = `delivered` + `lost` + `dropped` + those
/// still under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets that entered the link.
    pub sent: u64,
    /// Lost by [`Loss`](super::Loss) or an outage.
    pub lost: u64,
    /// Dropped because the queue was full, or by the policer.
    pub dropped: u64,
    /// Extra copies made.
    pub duplicated: u64,
    /// Packets that came out.
    pub delivered: u64,
    /// Bytes that came out.
    pub delivered_bytes: u64,
}

/// A simulated link. `T` is the packet.
#[derive(Debug)]
pub struct Link<T> {
    conditions: Conditions,
    random: SeededRandom,
    /// State of the Gilbert–Elliott chain.
    bad: bool,
    /// What is in the policer's bucket, bytes, and when that was so.
    tokens: f64,
    filled: Instant,
    queue: VecDeque<(usize, T)>,
    queued_bytes: usize,
    /// Bits of the first packet in the queue that are still to be sent.
    head_bits: f64,
    /// The time up to which the bottleneck's work has been simulated.
    served: Instant,
    last_arrival: Instant,
    /// Packets behind the bottleneck, by arrival and serial number.
    under_way: BTreeMap<(Instant, u64), (usize, T)>,
    serial: u64,
    counters: LinkCounters,
}

impl<T: Clone> Link<T> {
    /// An empty link at `now`.
    pub fn new(now: Instant, conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            random: SeededRandom::new(seed),
            bad: false,
            tokens: full_bucket(&conditions),
            filled: now,
            queue: VecDeque::new(),
            queued_bytes: 0,
            head_bits: 0.0,
            served: now,
            last_arrival: now,
            under_way: BTreeMap::new(),
            serial: 0,
            counters: LinkCounters::default(),
        }
    }

    /// The present conditions.
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }

    /// Changes the conditions. What is queued stays queued and leaves at the new rate.
    pub fn set_conditions(&mut self, now: Instant, conditions: Conditions) {
        self.serve(now);
        if conditions.policer != self.conditions.policer {
            (self.tokens, self.filled) = (full_bucket(&conditions), now);
        }

        self.conditions = conditions;
    }

    /// Sends a packet of `bytes` into the link.
    pub fn send(&mut self, now: Instant, bytes: usize, packet: T) {
        self.serve(now);
        self.counters.sent += 1;

        if !self.conditions.up {
            self.counters.lost += 1;
        } else if !self.passes_policer(now, bytes) {
            self.counters.dropped += 1;
        } else if self.conditions.rate_bps.is_none() {
            self.propagate(now, bytes, packet);
        } else if self.queued_bytes + bytes > self.conditions.queue_bytes && !self.queue.is_empty()
        {
            self.counters.dropped += 1;
        } else {
            if self.queue.is_empty() {
                self.head_bits = bytes as f64 * 8.0;
            }

            self.queued_bytes += bytes;
            self.queue.push_back((bytes, packet));
        }
    }

    /// The next packet that has arrived by `now`.
    pub fn poll(&mut self, now: Instant) -> Option<(Instant, T)> {
        self.serve(now);
        let entry = self
            .under_way
            .first_entry()
            .filter(|entry| entry.key().0 <= now)?;
        let ((arrival, _), (bytes, packet)) = entry.remove_entry();
        self.counters.delivered += 1;
        self.counters.delivered_bytes += bytes as u64;

        Some((arrival, packet))
    }

    /// When the next packet arrives or leaves the queue.
    pub fn next_event(&self) -> Option<Instant> {
        let leaves = (!self.queue.is_empty())
            .then(|| self.head_leaves())
            .flatten();
        let arrives = self
            .under_way
            .first_key_value()
            .map(|((arrival, _), _)| *arrival);
        leaves.into_iter().chain(arrives).min()
    }

    /// How long a packet sent now would wait for the bottleneck.
    pub fn queue_delay(&mut self, now: Instant) -> Duration {
        self.serve(now);
        let Some(rate) = self.conditions.rate_bps else {
            return Duration::ZERO;
        };

        let behind: usize = self.queue.iter().skip(1).map(|(bytes, _)| bytes).sum();
        let bits = if self.queue.is_empty() {
            0.0
        } else {
            self.head_bits + behind as f64 * 8.0
        };

        Duration::from_secs_f64(bits / rate as f64)
    }

    /// What has happened to the packets so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Takes a packet's bytes out of the policer's bucket. `false` if there are too few.
    fn passes_policer(&mut self, now: Instant, bytes: usize) -> bool {
        let Some(policer) = self.conditions.policer else {
            return true;
        };

        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * policer.rate_bps as f64 / 8.0)
            .min(policer.bucket_bytes as f64);
        self.filled = self.filled.max(now);

        let passes = self.tokens >= bytes as f64;
        if passes {
            self.tokens -= bytes as f64;
        }

        passes
    }

    /// When the first packet in the queue leaves it; `None` if that is too far away to compute
    /// with.
    fn head_leaves(&self) -> Option<Instant> {
        let seconds = self
            .conditions
            .rate_bps
            .map_or(0.0, |rate| self.head_bits / rate as f64);
        (seconds < 1e6)
            .then(|| self.served + Duration::from_secs_f64(seconds) + Duration::from_nanos(1))
    }

    /// Simulates the bottleneck up to `now`.
    fn serve(&mut self, now: Instant) {
        while !self.queue.is_empty() {
            let Some(leaves) = self.head_leaves().filter(|leaves| *leaves <= now) else {
                break;
            };

            if let Some((bytes, packet)) = self.queue.pop_front() {
                self.queued_bytes -= bytes;
                self.served = leaves;
                self.propagate(leaves, bytes, packet);
            }

            self.head_bits = self
                .queue
                .front()
                .map_or(0.0, |(bytes, _)| *bytes as f64 * 8.0);
        }

        let elapsed = now.saturating_duration_since(self.served).as_secs_f64();
        if let (Some(rate), false) = (self.conditions.rate_bps, self.queue.is_empty()) {
            self.head_bits = (self.head_bits - elapsed * rate as f64).max(0.0);
        }

        self.served = self.served.max(now);
    }

    fn propagate(&mut self, left: Instant, bytes: usize, packet: T) {
        let conditions = self.conditions;
        if !conditions.up || conditions.loss.drops(&mut self.random, &mut self.bad) {
            self.counters.lost += 1;
            return;
        }

        let jitter = conditions.jitter.mul_f64(self.random.unit());
        let in_order = (left + conditions.delay + jitter).max(self.last_arrival);
        let arrival = if self.random.chance(conditions.reorder) {
            in_order + conditions.reorder_by
        } else {
            self.last_arrival = in_order;
            in_order
        };

        if self.random.chance(conditions.duplicate) {
            self.counters.duplicated += 1;
            self.arrive(arrival, bytes, packet.clone());
        }

        self.arrive(arrival, bytes, packet);
    }

    fn arrive(&mut self, arrival: Instant, bytes: usize, packet: T) {
        self.serial += 1;
        self.under_way
            .insert((arrival, self.serial), (bytes, packet));
    }
}

/// A full bucket of the policer, bytes.
fn full_bucket(conditions: &Conditions) -> f64 {
    conditions
        .policer
        .map_or(0.0, |policer| policer.bucket_bytes as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::super::{Loss, Policer};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends `packets` of 1,250 bytes at intervals of `every`. Returns when each packet that came
    /// out was sent and arrived, and its number.
    fn run(
        conditions: Conditions,
        packets: u32,
        every: Duration,
    ) -> (Vec<(Duration, Duration, u32)>, LinkCounters) {
        let start = Instant::now();
        let (mut link, mut out) = (Link::new(start, conditions, 7), Vec::new());

        for i in 0..packets {
            link.send(start + every * i, 1250, i);
        }

        let end = start + every * packets + Duration::from_secs(60);
        while let Some((arrived, i)) = link.poll(end) {
            out.push((every * i, arrived - start, i));
        }

        (out, link.counters())
    }

    #[test]
    fn the_delay_is_as_configured() {
        let (out, _) = run(Conditions::delayed(MS * 25), 100, MS * 10);
        assert!(
            out.iter()
                .all(|(sent, arrived, _)| *arrived - *sent == MS * 25),
            "25 ms each"
        );

        let (out, _) = run(
            Conditions {
                jitter: MS * 10,
                ..Conditions::delayed(MS * 25)
            },
            10_000,
            MS * 20,
        );

        let mean = out
            .iter()
            .map(|(sent, arrived, _)| (*arrived - *sent).as_secs_f64() * 1e3)
            .sum::<f64>()
            / 1e4;

        assert!(
            (mean - 30.0).abs() < 0.2,
            "25 ms and half of 10 ms of jitter, got {mean}"
        );
    }

    #[test]
    fn rate_and_queue_are_as_configured() {
        let conditions = Conditions::bottleneck(1_000_000, MS * 20, MS * 300);
        // 2 Mbit/s into 1 Mbit/s for 10 s.
        let (out, counters) = run(conditions, 2_000, MS * 5);
        let span = out.last().expect("packets came out").1 - out[0].1;
        let rate = (out.len() - 1) as f64 * 10_000.0 / span.as_secs_f64();

        assert!((rate - 1e6).abs() < 1e3, "1 Mbit/s comes out, got {rate}");
        let worst = out
            .iter()
            .map(|(sent, arrived, _)| *arrived - *sent)
            .max()
            .expect("packets came out");

        assert!(
            (MS * 310..=MS * 321).contains(&worst),
            "a full queue of 300 ms and 20 ms of delay, got {worst:?}"
        );

        assert_eq!(
            counters.dropped + counters.delivered,
            2_000,
            "each packet was dropped or delivered"
        );
    }

    #[test]
    fn a_policer_passes_its_rate_and_one_bucket_and_delays_nothing() {
        let policer = Policer {
            rate_bps: 512_000,
            bucket_bytes: 16_000,
        };
        let conditions = Conditions {
            policer: Some(policer),
            ..Conditions::delayed(MS * 20)
        };

        // 2 Mbit/s into 512 kbit/s for 10 s.
        let (out, counters) = run(conditions, 2_000, MS * 5);
        let bytes = counters.delivered_bytes as f64;
        let expected = 16_000.0 + 512_000.0 / 8.0 * 10.0;
        assert!(
            (bytes - expected).abs() <= 1_250.0,
            "a full bucket and ten seconds of the rate: {expected} bytes, got {bytes}"
        );

        assert!(
            out.iter()
                .all(|(sent, arrived, _)| *arrived - *sent == MS * 20),
            "what passes is not delayed"
        );
        assert_eq!(counters.dropped + counters.delivered, 2_000);
    }

    #[test]
    fn a_change_of_rate_applies_to_queued_packets() {
        let start = Instant::now();
        let mut link = Link::new(
            start,
            Conditions::bottleneck(1_000_000, Duration::ZERO, MS * 500),
            7,
        );
        (0..20).for_each(|i| link.send(start, 1250, i)); // 200 ms of queue

        assert_eq!(
            link.queue_delay(start).as_millis(),
            200,
            "20 packets of 10 ms"
        );

        let half = start + MS * 100;
        link.set_conditions(
            half,
            Conditions {
                rate_bps: Some(500_000),
                ..link.conditions()
            },
        );

        assert_eq!(
            link.queue_delay(half).as_millis(),
            200,
            "10 packets of 20 ms are left"
        );

        let arrivals = std::iter::from_fn(|| link.poll(start + MS * 1000))
            .last()
            .map(|(arrived, _)| arrived - start);
        assert_eq!(
            arrivals.map(|last| last.as_millis()),
            Some(300),
            "100 ms at the old rate, 200 at the new"
        );
    }

    #[test]
    fn the_loss_is_as_configured() {
        for loss in [0.01, 0.05, 0.2] {
            let (_, counters) = run(
                Conditions::default().with_loss(Loss::Random(loss)),
                100_000,
                MS,
            );
            let lost = counters.lost as f64 / 1e5;
            assert!((lost - loss).abs() < 0.005, "configured {loss}, got {lost}");
        }
    }

    #[test]
    fn loss_bursts_are_as_long_and_as_frequent_as_configured() {
        let loss = Loss::GilbertElliott {
            to_bad: 0.01,
            to_good: 0.2,
            bad_loss: 1.0,
        };

        let (out, counters) = run(Conditions::default().with_loss(loss), 200_000, MS);
        let lost = counters.lost as f64 / 2e5;
        assert!(
            (lost - 0.01 / 0.21).abs() < 0.005,
            "the chain is bad 1/21 of the time, lost {lost}"
        );

        let bursts = out
            .windows(2)
            .filter(|pair| pair[1].2 - pair[0].2 > 1)
            .count() as f64;
        let length = counters.lost as f64 / bursts;
        assert!(
            (length - 5.0).abs() < 0.3,
            "bursts of 5 packets on average, got {length}"
        );
    }

    #[test]
    fn duplication_reordering_and_outages_are_as_configured() {
        let (_, counters) = run(
            Conditions {
                duplicate: 0.1,
                ..Conditions::default()
            },
            50_000,
            MS,
        );

        assert!(
            (counters.duplicated as f64 / 5e4 - 0.1).abs() < 0.01,
            "a tenth arrives twice: {counters:?}"
        );

        let (out, _) = run(
            Conditions {
                reorder: 0.05,
                ..Conditions::default()
            },
            50_000,
            MS,
        );
        let overtaken = out.windows(2).filter(|pair| pair[1].2 < pair[0].2).count() as f64 / 5e4;
        assert!(
            (overtaken - 0.05).abs() < 0.01,
            "a twentieth is overtaken, got {overtaken}"
        );

        let (out, counters) = run(
            Conditions {
                up: false,
                ..Conditions::default()
            },
            100,
            MS,
        );

        assert!(
            out.is_empty() && counters.lost == 100,
            "an outage loses everything: {counters:?}"
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_result() {
        let conditions = Conditions {
            jitter: MS * 5,
            reorder: 0.1,
            ..Conditions::default().with_loss(Loss::Random(0.1))
        };

        assert_eq!(
            run(conditions, 1_000, MS).0,
            run(conditions, 1_000, MS).0,
            "two runs with one seed have the same result"
        );
    }
}
