//! The pacer's queues and its schedule.
//!
//! A token bucket in debt form: a packet may leave while the budget is positive, and its size is
//! taken off afterwards, so that the budget never has to reach a packet's size first. The bucket
//! holds [`PacerConfig::burst`] worth of the rate. An ordinary frame fits into it and leaves at
//! once; a keyframe drains it and is spread.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::link::Bitrate;

/// How urgent a packet is, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Leaves at once and does not use up the budget: about 40 kbit/s, out of 2.5 times the target.
    Audio,
    /// A packet that the partner requested again; its frame cannot be decoded without it.
    Retransmission,
    /// Fresh video.
    Video,
}

/// The bounds that the schedule keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PacerConfig {
    /// The size of the bucket, as time at the pacing rate.
    pub burst: Duration,
    /// The bucket is never smaller than this, in bytes.
    pub min_burst_bytes: usize,
    /// The rate rises as far as needed for every video packet to leave within this time.
    pub max_delay: Duration,
    /// Further retransmissions are dropped while this many wait, so that a flood of NACKs does not
    /// grow the queue.
    pub max_retransmissions: usize,
}

impl Default for PacerConfig {
    fn default() -> Self {
        Self {
            burst: Duration::from_millis(10),
            min_burst_bytes: 3 * 1200,
            max_delay: Duration::from_millis(150),
            max_retransmissions: 256,
        }
    }
}

/// The lowest pacing rate, so that nothing is divided by zero.
const MIN_RATE: Bitrate = Bitrate::from_bps(1.0);

#[derive(Debug)]
struct Queued<T> {
    bits: f64,
    entered: Instant,
    item: T,
}

/// Holds packets and decides when each may leave. `T` is the packet; only its size and class matter
/// here.
#[derive(Debug)]
pub struct Pacer<T> {
    config: PacerConfig,
    rate: Bitrate,
    /// The rate at which everything queued leaves within `max_delay`; zero if nothing is queued.
    drain_rate: Bitrate,
    /// Bits that may leave now; negative after a packet larger than what was left.
    budget: f64,
    refilled: Option<Instant>,
    audio: VecDeque<Queued<T>>,
    retransmissions: VecDeque<Queued<T>>,
    video: VecDeque<Queued<T>>,
    /// Bits in `retransmissions` and `video`.
    queued_bits: f64,
}

impl<T> Pacer<T> {
    /// An empty pacer that sends at `rate`.
    pub fn new(config: PacerConfig, rate: Bitrate) -> Self {
        let mut pacer = Self {
            config,
            rate: rate.max(MIN_RATE),
            drain_rate: Bitrate::ZERO,
            budget: 0.0,
            refilled: None,
            audio: VecDeque::new(),
            retransmissions: VecDeque::new(),
            video: VecDeque::new(),
            queued_bits: 0.0,
        };

        pacer.budget = pacer.bucket();
        pacer
    }

    /// Changes the pacing rate from `now` on.
    pub fn set_rate(&mut self, now: Instant, rate: Bitrate) {
        self.refill(now);
        self.rate = rate.max(MIN_RATE);
        self.budget = self.budget.min(self.bucket());
    }

    /// Changes the bound on the delay of packets that enter from now on.
    pub fn set_max_delay(&mut self, max_delay: Duration) {
        self.config.max_delay = max_delay;
    }

    /// Queues a packet of `bytes`. Returns `false` if it was dropped, which only happens to
    /// retransmissions.
    pub fn enqueue(&mut self, now: Instant, class: Class, bytes: usize, item: T) -> bool {
        let queued = Queued {
            bits: bytes as f64 * 8.0,
            entered: now,
            item,
        };

        match class {
            Class::Audio => {
                self.audio.push_back(queued);
                return true;
            }
            Class::Retransmission
                if self.retransmissions.len() >= self.config.max_retransmissions =>
            {
                return false;
            }
            Class::Retransmission | Class::Video => {}
        }

        self.refill(now);
        self.queued_bits += queued.bits;
        // Everything queued now is gone within `max_delay`, because the drain rate only rises until
        // the queue is empty.
        let needed = Bitrate::from_bits_per(self.queued_bits, self.config.max_delay);
        self.drain_rate = self.drain_rate.max(needed);

        let queue = if class == Class::Video {
            &mut self.video
        } else {
            &mut self.retransmissions
        };
        queue.push_back(queued);

        true
    }

    /// The next packet that may leave at `now`, if any.
    pub fn poll(&mut self, now: Instant) -> Option<(Class, T)> {
        if let Some(queued) = self.audio.pop_front() {
            return Some((Class::Audio, queued.item));
        }

        self.refill(now);
        if self.budget <= 0.0 && !self.overdue(now) {
            return None;
        }

        let (class, queue) = if self.retransmissions.is_empty() {
            (Class::Video, &mut self.video)
        } else {
            (Class::Retransmission, &mut self.retransmissions)
        };

        let queued = queue.pop_front()?;
        self.budget -= queued.bits;
        self.queued_bits -= queued.bits;

        if self.retransmissions.is_empty() && self.video.is_empty() {
            self.queued_bits = 0.0;
            self.drain_rate = Bitrate::ZERO;
        }

        Some((class, queued.item))
    }

    /// When [`poll`](Self::poll) will return the next packet; `None` if nothing is queued. May lie
    /// in the past.
    pub fn next_release(&self) -> Option<Instant> {
        if let Some(queued) = self.audio.front() {
            return Some(queued.entered);
        }

        let oldest = self.oldest()?;
        let refilled = self.refilled.unwrap_or(oldest);
        if self.budget > 0.0 {
            return Some(refilled);
        }

        // One bit more than the debt, rounded up, so that the budget really is positive at that
        // instant.
        let wait = Duration::from_secs_f64((1.0 - self.budget) / self.send_rate().as_bps())
            + Duration::from_nanos(1);
        Some((refilled + wait).min(oldest + self.config.max_delay))
    }

    /// How long a video packet that enters now would wait.
    pub fn queue_delay(&self) -> Duration {
        let debt = self.queued_bits - self.budget;
        Duration::from_secs_f64((debt / self.send_rate().as_bps()).max(0.0))
    }

    fn send_rate(&self) -> Bitrate {
        self.rate.max(self.drain_rate)
    }

    /// The size of the bucket, bits.
    fn bucket(&self) -> f64 {
        let min = self.config.min_burst_bytes as f64 * 8.0;
        self.rate.bits_in(self.config.burst).max(min)
    }

    fn oldest(&self) -> Option<Instant> {
        [self.retransmissions.front(), self.video.front()]
            .into_iter()
            .flatten()
            .map(|queued| queued.entered)
            .min()
    }

    fn overdue(&self, now: Instant) -> bool {
        self.oldest()
            .is_some_and(|entered| now >= entered + self.config.max_delay)
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = self
            .refilled
            .map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        self.refilled = Some(self.refilled.map_or(now, |then| then.max(now)));
        self.budget = (self.budget + self.send_rate().bits_in(elapsed)).min(self.bucket());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A packet that left the pacer. Times in ms since the start.
    #[derive(Debug, Clone, Copy)]
    struct Left {
        entered: u64,
        left: u64,
        class: Class,
        bytes: usize,
        number: usize,
    }

    /// Plays `packets` (ms since the previous one, class, bytes) through a pacer of `rate` bits per
    /// second whose timer ticks every millisecond.
    fn play(packets: &[(u64, Class, usize)], rate: f64, config: PacerConfig) -> Vec<Left> {
        let start = Instant::now();
        let mut pacer = Pacer::new(config, Bitrate::from_bps(rate));
        let (mut out, mut time) = (Vec::new(), 0);
        let mut due = packets.iter().enumerate().peekable();
        let mut next_entry = due.peek().map_or(0, |(_, packet)| packet.0);

        while due.peek().is_some() || pacer.next_release().is_some() {
            let now = start + MS * u32::try_from(time).expect("short plans");
            while let Some((number, &(_, class, bytes))) = due.next_if(|_| next_entry <= time) {
                pacer.enqueue(now, class, bytes, (time, bytes, number));
                next_entry += due.peek().map_or(0, |(_, packet)| packet.0);
            }

            while let Some((class, (entered, bytes, number))) = pacer.poll(now) {
                out.push(Left {
                    entered,
                    left: time,
                    class,
                    bytes,
                    number,
                });
            }

            if let Some(next) = pacer.next_release() {
                assert!(
                    pacer.poll(now).is_none(),
                    "the loop above polled everything"
                );
                assert!(next > now, "a deadline in the past is a busy loop");
            }

            time += 1;
        }

        out
    }

    fn class() -> impl Strategy<Value = Class> {
        prop_oneof![
            Just(Class::Audio),
            Just(Class::Retransmission),
            Just(Class::Video)
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_reordered_or_late(
            packets in prop::collection::vec((0_u64..20, class(), 50_usize..1300), 1..200),
            rate in 100_000.0..5_000_000.0_f64,
        ) {
            let config = PacerConfig::default();
            let out = play(&packets, rate, config);
            prop_assert_eq!(out.len(), packets.len(), "every packet leaves");

            for class in [Class::Audio, Class::Retransmission, Class::Video] {
                let numbers: Vec<_> = out
                    .iter()
                    .filter(|left| left.class == class)
                    .map(|left| left.number)
                    .collect();
                prop_assert!(numbers.is_sorted(), "{:?} leaves in its order", class);
            }

            for left in &out {
                let wait = left.left - left.entered;
                let bound = if left.class == Class::Audio {
                    0
                } else {
                    config.max_delay.as_millis() as u64 + 1
                };
                prop_assert!(wait <= bound, "{:?} waited {} ms", left.class, wait);
            }
        }

        #[test]
        fn no_window_carries_more_than_the_rate_and_the_bucket(
            packets in prop::collection::vec((0_u64..20, 50_usize..1300), 1..200),
            rate in 500_000.0..5_000_000.0_f64,
        ) {
            // A delay bound that is never reached, so that it does not raise the rate.
            let config = PacerConfig {
                max_delay: Duration::from_secs(3600),
                ..PacerConfig::default()
            };

            let packets: Vec<_> = packets
                .into_iter()
                .map(|(after, bytes)| (after, Class::Video, bytes))
                .collect();
            let out = play(&packets, rate, config);
            let bucket =
                (rate * config.burst.as_secs_f64()).max(config.min_burst_bytes as f64 * 8.0);

            for (i, first) in out.iter().enumerate() {
                let mut bits = 0.0;
                for left in &out[i..] {
                    bits += left.bytes as f64 * 8.0;
                    let window = (left.left - first.left) as f64 / 1e3;
                    // The last packet may leave on the last bit of the budget.
                    let allowed = bucket + rate * window + 1300.0 * 8.0;
                    prop_assert!(bits <= allowed, "{} bits within {} s at {}", bits, window, rate);
                }
            }
        }
    }

    #[test]
    fn an_ordinary_frame_leaves_within_five_milliseconds() {
        // 1.5 Mbit/s at 30 frames per second: 6,250 bytes per frame, paced at 2.5 times the rate.
        let frame = [
            (33, Class::Video, 1250),
            (0, Class::Video, 1250),
            (0, Class::Video, 1250),
            (0, Class::Video, 1250),
            (0, Class::Video, 1250),
        ];
        let out = play(&frame.repeat(30), 2.5 * 1.5e6, PacerConfig::default());
        let worst = out
            .iter()
            .map(|left| left.left - left.entered)
            .max()
            .expect("packets left");

        assert!(
            worst <= 5,
            "a frame leaves at once or almost, took {worst} ms"
        );
    }

    #[test]
    fn a_keyframe_is_spread() {
        let keyframe = vec![(0, Class::Video, 1250); 60];
        let out = play(&keyframe, 2.5 * 1.5e6, PacerConfig::default());
        let at_once = out.iter().filter(|left| left.left == 0).count();

        assert!(
            at_once < 8,
            "60 packets must not leave in one burst, {at_once} did"
        );

        let last = out.last().expect("packets left").left;
        assert!(
            (100..=151).contains(&last),
            "75 kB at 3.75 Mbit/s take 150 ms, took {last} ms"
        );
    }

    #[test]
    fn a_retransmission_overtakes_fresh_video() {
        let mut packets = vec![(0, Class::Video, 1250); 30];
        packets.push((5, Class::Retransmission, 1250));
        let out = play(&packets, 1e6, PacerConfig::default());
        let repaired = out
            .iter()
            .find(|left| left.class == Class::Retransmission)
            .expect("it left")
            .left;

        let last = out
            .iter()
            .filter(|left| left.class == Class::Video)
            .map(|left| left.left)
            .max()
            .expect("they left");

        assert!(
            repaired < 20 && last > 100,
            "the retransmission left after {repaired} ms, the last video packet after {last} ms"
        );
    }

    #[test]
    fn a_flood_of_retransmissions_is_bounded() {
        let rate = Bitrate::from_bps(1e5);
        let (mut pacer, now) = (Pacer::new(PacerConfig::default(), rate), Instant::now());
        let taken = (0..10_000)
            .filter(|&i| pacer.enqueue(now, Class::Retransmission, 1200, i))
            .count();
        assert_eq!(
            taken,
            PacerConfig::default().max_retransmissions,
            "the rest is dropped, and the caller learns it"
        );
    }
}
