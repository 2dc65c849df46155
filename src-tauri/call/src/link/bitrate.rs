//! Bitrates, and the bounds of the bandwidth estimate.

use std::ops::{Add, Div, Mul};
use std::time::Duration;

/// Bits per second, as congestion control computes with them.
///
/// A plain `f64` inside, so it costs nothing. It exists so that a rate cannot be passed where a
/// share, a number of milliseconds or a number of bits is expected. At the crate's borders (the
/// session, the report) rates are integers with `_bps` in their name: see [`to_bps`](Self::to_bps).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Bitrate(f64);

impl Bitrate {
    /// Nothing at all.
    pub const ZERO: Self = Self(0.0);
    /// No limit.
    pub(crate) const INFINITY: Self = Self(f64::INFINITY);

    /// A rate of `bps` bits per second.
    #[must_use]
    pub const fn from_bps(bps: f64) -> Self {
        Self(bps)
    }

    /// The rate at which `bits` pass within `time`.
    pub(crate) fn from_bits_per(bits: f64, time: Duration) -> Self {
        Self(bits / time.as_secs_f64())
    }

    /// Bits per second.
    #[must_use]
    pub const fn as_bps(self) -> f64 {
        self.0
    }

    /// Whole bits per second, rounded down.
    #[must_use]
    pub const fn to_bps(self) -> u64 {
        self.0 as u64
    }

    /// How many bits pass within `time`.
    pub(crate) fn bits_in(self, time: Duration) -> f64 {
        self.0 * time.as_secs_f64()
    }

    /// The lower of two rates.
    pub(crate) fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The higher of two rates.
    pub(crate) fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// The nearest rate between `min` and `max`.
    pub(crate) fn clamp(self, min: Self, max: Self) -> Self {
        Self(self.0.clamp(min.0, max.0))
    }
}

impl Add for Bitrate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Mul<f64> for Bitrate {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self(self.0 * factor)
    }
}

impl Div<f64> for Bitrate {
    type Output = Self;

    fn div(self, divisor: f64) -> Self {
        Self(self.0 / divisor)
    }
}

/// The bounds of the bandwidth estimate, in bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitrateBounds {
    /// The first estimate.
    pub start_bps: u64,
    /// The estimate never falls below this.
    pub min_bps: u64,
    /// The estimate never rises above this.
    pub max_bps: u64,
}

impl BitrateBounds {
    /// Whether `0 < min ≤ start ≤ max`.
    pub(crate) fn is_in_order(&self) -> bool {
        self.min_bps > 0 && self.min_bps <= self.start_bps && self.start_bps <= self.max_bps
    }

    /// The first estimate.
    pub(crate) fn start(&self) -> Bitrate {
        Bitrate::from_bps(self.start_bps as f64)
    }

    /// The lower bound.
    pub(crate) fn min(&self) -> Bitrate {
        Bitrate::from_bps(self.min_bps as f64)
    }

    /// The upper bound.
    pub(crate) fn max(&self) -> Bitrate {
        Bitrate::from_bps(self.max_bps as f64)
    }
}

impl Default for BitrateBounds {
    /// A start that the smallest usable link carries, and a ceiling for 720p30.
    fn default() -> Self {
        Self {
            start_bps: 600_000,
            min_bps: 60_000,
            max_bps: 2_500_000,
        }
    }
}
