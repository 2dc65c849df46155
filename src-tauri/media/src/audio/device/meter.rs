//! From a microphone's callback to a meter on the screen: only the level passes, and no thread
//! waits for audio.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpal::FromSample;

use super::callback::{CaptureSink, LastCall, StreamClock, mixed};
use crate::audio::level::{AudioLevel, LevelMeter, SharedLevel};

/// Oldest callback whose level still counts: longer than the longest period of any device.
const MAX_AGE: Duration = Duration::from_millis(500);

/// The level of an open microphone.
#[derive(Debug)]
pub struct MeterBridge {
    level: Arc<SharedLevel>,
    clock: Arc<StreamClock>,
}

impl MeterBridge {
    /// A bridge whose level is zero so far.
    pub fn new(clock: Arc<StreamClock>) -> Self {
        Self {
            level: Arc::default(),
            clock,
        }
    }

    /// The current level; zero if the microphone has not called back for a while.
    pub fn level(&self, now: Instant) -> AudioLevel {
        let is_fresh = |call: LastCall| now.saturating_duration_since(call.at) < MAX_AGE;
        if self.clock.last_call().is_some_and(is_fresh) {
            self.level.get()
        } else {
            AudioLevel::default()
        }
    }

    /// What the stream's callbacks report.
    pub fn clock(&self) -> &StreamClock {
        &self.clock
    }
}

/// Measures inside the device's callback what a microphone captures, mixed to one channel.
#[derive(Debug)]
pub struct MeterCallback {
    meter: LevelMeter,
    level: Arc<SharedLevel>,
    clock: Arc<StreamClock>,
    channels: usize,
}

impl MeterCallback {
    /// A callback for a device that captures `rate` frames per second of `channels` interleaved
    /// channels.
    pub fn new(bridge: &MeterBridge, rate: u32, channels: u16) -> Self {
        let (level, clock) = (Arc::clone(&bridge.level), Arc::clone(&bridge.clock));
        Self {
            meter: LevelMeter::new(rate),
            level,
            clock,
            channels: usize::from(channels.max(1)),
        }
    }
}

impl CaptureSink for MeterCallback {
    fn run<T: Copy>(&mut self, data: &[T], now: Instant, latency: Duration)
    where
        f32: FromSample<T>,
    {
        let frames = mixed(data, self.channels);
        let count = frames.len();

        for sample in frames {
            self.meter.push(sample);
        }

        self.level.set(self.meter.level());
        self.clock.record(now, count, latency);
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests start from the current time"
)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_that_of_the_mixed_channels() {
        let start = Instant::now();
        let clock = Arc::new(StreamClock::new(start));
        let bridge = MeterBridge::new(Arc::clone(&clock));
        let mut callback = MeterCallback::new(&bridge, 44_100, 2);

        assert_eq!(
            bridge.level(start),
            AudioLevel::default(),
            "nothing has been heard yet"
        );

        // 10 ms are 441 frames: it takes two callbacks.
        callback.run(&[16_384i16, 0].repeat(300), start, Duration::ZERO);
        assert_eq!(
            bridge.level(start),
            AudioLevel::default(),
            "10 ms are not complete yet"
        );

        callback.run(&[16_384i16, 0].repeat(141), start, Duration::ZERO);
        let level = bridge.level(start);
        assert!(
            (level.rms - 0.25).abs() < 1e-4 && (level.peak - 0.25).abs() < 1e-4,
            "{level:?}"
        );

        assert_eq!(
            clock.last_call().map(|call| call.frames),
            Some(141),
            "the callback is recorded"
        );

        assert_eq!(
            bridge.level(start + MAX_AGE),
            AudioLevel::default(),
            "a device without callbacks has no level"
        );
    }
}
