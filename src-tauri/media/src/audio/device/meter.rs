//! From a microphone's callback to a meter on the screen: only the level passes, and no thread waits for sound.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpal::FromSample;

use super::callback::{CaptureSink, LastCall, StreamClock, mixed};
use crate::audio::level::{AudioLevel, LevelMeter, SharedLevel};

/// How old the newest sound may be: longer than the longest periods of devices.
const FRESH: Duration = Duration::from_millis(500);

/// The level of an open microphone.
#[derive(Debug)]
pub struct MeterBridge {
    level: Arc<SharedLevel>,
    clock: Arc<StreamClock>,
}

impl MeterBridge {
    /// Zero so far.
    pub fn new(clock: Arc<StreamClock>) -> Self {
        Self {
            level: Arc::default(),
            clock,
        }
    }

    /// How loud the microphone is now; zero when it has not been heard of for a while.
    pub fn level(&self, now: Instant) -> AudioLevel {
        let is_fresh = |call: LastCall| now.saturating_duration_since(call.at) < FRESH;
        if self.clock.last_call().is_some_and(is_fresh) {
            self.level.get()
        } else {
            AudioLevel::default()
        }
    }

    /// What the stream's callbacks tell.
    pub fn clock(&self) -> &StreamClock {
        &self.clock
    }
}

/// Measures what a microphone captures, mixed to one channel, inside the device's callback.
#[derive(Debug)]
pub struct MeterCallback {
    meter: LevelMeter,
    level: Arc<SharedLevel>,
    clock: Arc<StreamClock>,
    channels: usize,
}

impl MeterCallback {
    /// For a device that captures `rate` frames a second of `channels` interleaved channels.
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
mod tests {
    use super::*;

    #[test]
    fn the_level_is_that_of_all_channels_together() {
        let start = Instant::now();
        let clock = Arc::new(StreamClock::new(start));
        let bridge = MeterBridge::new(Arc::clone(&clock));
        let mut callback = MeterCallback::new(&bridge, 44_100, 2);

        assert_eq!(
            bridge.level(start),
            AudioLevel::default(),
            "nothing was heard yet"
        );

        // Two callbacks fill 10 ms: 441 frames.
        callback.run(&[16_384i16, 0].repeat(300), start, Duration::ZERO);
        assert_eq!(
            bridge.level(start),
            AudioLevel::default(),
            "10 ms are not full yet"
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
            "and the stream is seen to live"
        );

        assert_eq!(
            bridge.level(start + FRESH),
            AudioLevel::default(),
            "a device that says no more is not loud"
        );
    }
}
