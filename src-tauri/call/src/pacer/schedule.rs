//! The pacer's queues and its schedule.
//!
//! A token bucket in debt form: a packet may leave while the budget is positive, and its size is then taken off, so that
//! the budget never has to reach a packet's size first. The bucket holds [`PacerConfig::burst`] worth of the rate, which
//! lets an ordinary frame out at once; a keyframe drains it and is spread.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How urgent a packet is; the order is the order of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Leaves at once and does not use up the budget: some 40 kbit/s of the 2.5-fold rate.
    Audio,
    /// A packet the partner asked for again; its frame cannot be decoded without it.
    Retransmission,
    /// Fresh video.
    Video,
}

/// What the schedule promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PacerConfig {
    /// The bucket, as time at the pacing rate.
    pub burst: Duration,
    /// The bucket is never smaller than this, in bytes.
    pub min_burst_bytes: usize,
    /// The rate rises as far as needed for every video packet to leave within this time.
    pub max_delay: Duration,
    /// Waiting retransmissions beyond this many are dropped: a flood of NACKs must not grow the queue.
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

#[derive(Debug)]
struct Queued<T> {
    bits: f64,
    entered: Instant,
    item: T,
}

/// Holds packets and says when each may leave. `T` is the packet; only its size and class matter here.
#[derive(Debug)]
pub struct Pacer<T> {
    config: PacerConfig,
    /// Pacing rate, bits per second.
    rate: f64,
    /// The rate that keeps the promise of `max_delay` for what is queued; 0 with nothing queued.
    drain_rate: f64,
    budget: f64,
    refilled: Option<Instant>,
    audio: VecDeque<Queued<T>>,
    retransmissions: VecDeque<Queued<T>>,
    video: VecDeque<Queued<T>>,
    /// Bits in `retransmissions` and `video`.
    queued_bits: f64,
}

impl<T> Pacer<T> {
    /// A pacer with nothing queued that sends at `rate` bits per second.
    pub fn new(config: PacerConfig, rate: f64) -> Self {
        let mut pacer = Self {
            config,
            rate: rate.max(1.0),
            drain_rate: 0.0,
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

    /// Changes the pacing rate, bits per second, from `now` on.
    pub fn set_rate(&mut self, now: Instant, rate: f64) {
        self.refill(now);
        self.rate = rate.max(1.0);
        self.budget = self.budget.min(self.bucket());
    }

    /// Changes the bound on the delay of the packets that enter from now on.
    pub fn set_max_delay(&mut self, max_delay: Duration) {
        self.config.max_delay = max_delay;
    }

    /// Takes in a packet of `bytes`. Returns `false` if it was dropped, which happens to retransmissions only.
    pub fn enqueue(&mut self, now: Instant, class: Class, bytes: usize, item: T) -> bool {
        let queued = Queued { bits: bytes as f64 * 8.0, entered: now, item };
        match class {
            Class::Audio => {
                self.audio.push_back(queued);
                return true;
            }
            Class::Retransmission if self.retransmissions.len() >= self.config.max_retransmissions => return false,
            Class::Retransmission | Class::Video => {}
        }
        self.refill(now);
        self.queued_bits += queued.bits;
        // Everything queued now is gone within `max_delay`, because the drain rate only rises until the queue is empty.
        self.drain_rate = self.drain_rate.max(self.queued_bits / self.config.max_delay.as_secs_f64());
        let queue = if class == Class::Video { &mut self.video } else { &mut self.retransmissions };
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
            self.drain_rate = 0.0;
        }
        Some((class, queued.item))
    }

    /// When [`poll`](Self::poll) will yield the next packet; `None` with nothing queued. May lie in the past.
    pub fn next_release(&self) -> Option<Instant> {
        if let Some(queued) = self.audio.front() {
            return Some(queued.entered);
        }
        let oldest = self.oldest()?;
        let refilled = self.refilled.unwrap_or(oldest);
        if self.budget > 0.0 {
            return Some(refilled);
        }
        // One bit more than the debt, rounded up: at the instant returned the budget is truly positive.
        let wait = Duration::from_secs_f64((1.0 - self.budget) / self.send_rate()) + Duration::from_nanos(1);
        Some((refilled + wait).min(oldest + self.config.max_delay))
    }

    /// How long a video packet that enters now would wait.
    pub fn queue_delay(&self) -> Duration {
        let debt = self.queued_bits - self.budget;
        Duration::from_secs_f64((debt / self.send_rate()).max(0.0))
    }

    /// Packets waiting.
    pub fn len(&self) -> usize {
        self.audio.len() + self.retransmissions.len() + self.video.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn send_rate(&self) -> f64 {
        self.rate.max(self.drain_rate)
    }

    fn bucket(&self) -> f64 {
        (self.rate * self.config.burst.as_secs_f64()).max(self.config.min_burst_bytes as f64 * 8.0)
    }

    fn oldest(&self) -> Option<Instant> {
        [self.retransmissions.front(), self.video.front()].into_iter().flatten().map(|queued| queued.entered).min()
    }

    fn overdue(&self, now: Instant) -> bool {
        self.oldest().is_some_and(|entered| now >= entered + self.config.max_delay)
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = self.refilled.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        self.refilled = Some(self.refilled.map_or(now, |then| then.max(now)));
        self.budget = (self.budget + self.send_rate() * elapsed.as_secs_f64()).min(self.bucket());
    }
}
