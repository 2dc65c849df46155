//! What a link does to packets.

use std::time::Duration;

use super::random::SeededRandom;

/// How a link loses packets.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Loss {
    /// Not at all.
    #[default]
    None,
    /// Each packet with this probability, independently.
    Random(f64),
    /// In bursts (Gilbert 1960, Elliott 1963): a good state without loss, and a bad one that loses
    /// `bad_loss` of the packets.
    GilbertElliott {
        /// Probability per packet to enter the bad state.
        to_bad: f64,
        /// Probability per packet to return to the good state; bursts last 1/`to_good` packets on
        /// average.
        to_good: f64,
        /// Loss probability in the bad state.
        bad_loss: f64,
    },
}

impl Loss {
    /// Whether to lose a packet. `bad` is the state of the Gilbert–Elliott chain.
    pub(super) fn drops(&self, random: &mut SeededRandom, bad: &mut bool) -> bool {
        match *self {
            Self::None => false,
            Self::Random(probability) => random.chance(probability),
            Self::GilbertElliott {
                to_bad,
                to_good,
                bad_loss,
            } => {
                let turn = if *bad { to_good } else { to_bad };
                *bad ^= random.chance(turn);
                *bad && random.chance(bad_loss)
            }
        }
    }
}

/// A token bucket that drops what exceeds its rate and delays nothing, as some providers limit
/// their customers (Flach et al.: An Internet-Wide Analysis of Traffic Policing, SIGCOMM 2016).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policer {
    /// How fast the bucket fills, bits per second.
    pub rate_bps: u64,
    /// What the bucket holds: a burst of this many bytes passes.
    pub bucket_bytes: usize,
}

/// The state of one direction of a route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// What the bottleneck carries, bits per second; `None` means no bottleneck.
    pub rate_bps: Option<u64>,
    /// What fits into the queue before the bottleneck, bytes. A packet that does not fit is
    /// dropped.
    pub queue_bytes: usize,
    /// A limit before the queue, without a queue of its own.
    pub policer: Option<Policer>,
    /// Propagation delay.
    pub delay: Duration,
    /// Up to this much additional delay per packet, uniformly distributed. Packets keep their
    /// order, as on a single path.
    pub jitter: Duration,
    /// Loss after the queue.
    pub loss: Loss,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// Probability that a packet is held back by [`reorder_by`](Self::reorder_by) and overtaken.
    pub reorder: f64,
    /// How long a reordered packet is held back.
    pub reorder_by: Duration,
    /// Whether the link carries anything at all.
    pub up: bool,
}

impl Default for Conditions {
    /// A perfect link.
    fn default() -> Self {
        Self {
            rate_bps: None,
            queue_bytes: usize::MAX,
            policer: None,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::None,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(20),
            up: true,
        }
    }
}

impl Conditions {
    /// A link of `rate_bps` with a one-way `delay`, whose queue holds `queue` worth of that rate.
    pub fn bottleneck(rate_bps: u64, delay: Duration, queue: Duration) -> Self {
        let queue_bytes = (rate_bps as f64 / 8.0 * queue.as_secs_f64()) as usize;
        Self {
            rate_bps: Some(rate_bps),
            queue_bytes,
            delay,
            ..Self::default()
        }
    }

    /// A link with a one-way `delay` and no bottleneck.
    pub fn delayed(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    /// The same conditions with `loss`.
    pub fn with_loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }
}
