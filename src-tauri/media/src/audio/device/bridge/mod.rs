//! Connects a device's ring, which fills or drains in bursts of the device's own size by the
//! device's clock, to the engine, which takes and gives 10 ms at a time by ours.
//!
//! The fill of a ring is a sawtooth. Adding what the device must have moved since its last callback
//! gives a smooth *level*, which a [`DriftController`] keeps at a target by converting slightly
//! faster or slower. The target is what one callback moves plus a margin that grows when the device
//! proves unsteady.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer};

use super::callback::{FADE_OUT, FADE_OUT_S, LastCall, StreamClock};
use crate::audio::resample::{DriftController, RateConverter, RateError};
use crate::audio::stats::DeviceCounts;
use crate::audio::{BLOCK_SAMPLES, SAMPLE_RATE};

/// The initial margin, what an underrun adds to it, and its limit, in seconds.
const MARGIN_S: f64 = 0.005;
const MARGIN_STEP_S: f64 = 0.010;
const MARGIN_MAX_S: f64 = 0.060;
/// Seconds in which an unneeded margin shrinks by half.
const MARGIN_HALF_LIFE_S: f64 = 60.0;
/// A level this far above its target, in seconds, is cut at once instead of gradually.
const SURPLUS_S: f64 = 0.060;
/// Duration of a block in seconds.
const BLOCK_S: f64 = BLOCK_SAMPLES as f64 / SAMPLE_RATE as f64;
/// Length of the fade around a cut or a gap, in samples at 48 kHz: 2.5 ms.
const FADE_SAMPLES: usize = 120;
/// The most audio that a ring holds, in seconds: enough for the largest device buffers.
pub const RING_S: f64 = 0.5;

/// The target of a ring's level.
#[derive(Debug)]
struct Target {
    margin_s: f64,
}

impl Target {
    fn on_underrun(&mut self) {
        self.margin_s = (self.margin_s + MARGIN_STEP_S).min(MARGIN_MAX_S);
    }

    fn on_block_without_underrun(&mut self) {
        let surplus = self.margin_s - MARGIN_S;
        self.margin_s -= surplus * BLOCK_S * std::f64::consts::LN_2 / MARGIN_HALF_LIFE_S;
    }

    /// The level to keep, in seconds, for a device that moves `period_s` at a time.
    fn level_s(&self, period_s: f64) -> f64 {
        period_s + BLOCK_S + self.margin_s
    }
}

/// Connects a microphone's ring to the engine's blocks.
#[derive(Debug)]
pub struct CaptureBridge {
    ring: Consumer<f32>,
    clock: Arc<StreamClock>,
    rate: f64,
    converter: RateConverter,
    controller: DriftController,
    target: Target,
    input: Vec<f32>,
    /// Audio flows. Otherwise the ring is still filling up to its target.
    running: bool,
    fade_in: bool,
    last: f32,
    delay: Duration,
    counts: DeviceCounts,
}

impl CaptureBridge {
    /// A bridge for a device that captures `rate` frames per second into `ring`.
    ///
    /// # Errors
    /// The rate cannot be converted.
    pub fn new(ring: Consumer<f32>, clock: Arc<StreamClock>, rate: u32) -> Result<Self, RateError> {
        let converter = RateConverter::to_blocks(rate)?;
        Ok(Self {
            ring,
            clock,
            rate: f64::from(rate),
            input: vec![0.0; converter.input_len_max()],
            converter,
            controller: DriftController::new(),
            target: Target { margin_s: MARGIN_S },
            running: false,
            fade_in: true,
            last: 0.0,
            delay: Duration::ZERO,
            counts: DeviceCounts::default(),
        })
    }

    /// Writes the next block and returns when its first sample was in the air. Where the ring runs
    /// empty, the audio fades to silence.
    pub fn pull(&mut self, now: Instant, out: &mut [f32; BLOCK_SAMPLES]) -> Instant {
        let Some((call, fill)) = self.observe() else {
            out.fill(0.0);
            return now;
        };

        let period_s = call.frames as f64 / self.rate;
        let since_s = now
            .saturating_duration_since(call.at)
            .as_secs_f64()
            .min(2.0 * period_s);
        let mut level_s = fill as f64 / self.rate + since_s;
        let target_s = self.target.level_s(period_s);

        if self.running && level_s > target_s + SURPLUS_S {
            level_s -= self.discard(level_s - target_s);
        }

        if !self.running && level_s >= target_s {
            self.fade_in = true;
            self.controller.restart();
            // What piled up before audio flowed is too old.
            level_s -= self.discard(level_s - target_s);
            self.running = true;
        }

        // The oldest sample waited in the ring for everything behind it, and in the device before
        // that.
        let in_device_s = call.latency.as_secs_f64().min(RING_S) - period_s;
        let filter_s = self.converter.delay() as f64 / f64::from(SAMPLE_RATE);
        self.delay = Duration::from_secs_f64((level_s + in_device_s + filter_s).max(0.0));

        let needed = self.converter.input_len();
        if !self.running || self.ring.slots() < needed {
            if self.running {
                self.counts.underruns += 1;
                self.target.on_underrun();
                self.running = false;
            }

            self.fade_out(out);
            return now.checked_sub(self.delay).unwrap_or(now);
        }

        let correction = self.controller.update(level_s, target_s);
        self.converter.set_speed(1.0 - correction);
        // Gliding to a new speed may change the input length by one sample at most; the margin
        // covers it.
        let needed = self.converter.input_len().min(self.input.len());

        if self
            .ring
            .pop_entire_slice(&mut self.input[..needed])
            .is_err()
        {
            self.input[..needed].fill(0.0);
        }

        self.converter.convert(&self.input[..needed], out);
        self.target.on_block_without_underrun();

        if std::mem::take(&mut self.fade_in) {
            fade(out, true);

            // The audio from before the cut fades out under it.
            for sample in out.iter_mut().take(FADE_SAMPLES) {
                self.last *= FADE_OUT;
                *sample += self.last;
            }
        }

        self.last = out[BLOCK_SAMPLES - 1];
        now.checked_sub(self.delay).unwrap_or(now)
    }

    /// The latest callback and the ring's fill right after it.
    fn observe(&self) -> Option<(LastCall, usize)> {
        let mut call = self.clock.last_call()?;

        // If a callback ran between the two reads, read again.
        for _ in 0..3 {
            let fill = self.ring.slots();
            let again = self.clock.last_call()?;

            if again.at == call.at {
                return Some((call, fill));
            }

            call = again;
        }

        Some((call, self.ring.slots()))
    }

    /// Drops the oldest `seconds` of the ring, arranges a fade around the cut, and returns how much
    /// was dropped.
    fn discard(&mut self, seconds: f64) -> f64 {
        let frames = ((seconds * self.rate) as usize).min(self.ring.slots());
        if frames == 0 {
            return 0.0;
        }

        if let Ok(chunk) = self.ring.read_chunk(frames) {
            chunk.commit_all();
        }

        if self.running {
            self.counts.overruns += 1;
        }

        self.fade_in = true;
        self.controller.restart();
        frames as f64 / self.rate
    }

    fn fade_out(&mut self, out: &mut [f32; BLOCK_SAMPLES]) {
        for sample in out.iter_mut() {
            self.last *= FADE_OUT;
            *sample = self.last;
        }
    }

    /// Delay from the air to the engine.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Glitches so far.
    pub fn counts(&self) -> DeviceCounts {
        DeviceCounts {
            glitches: self.clock.glitches(),
            ..self.counts
        }
    }

    /// What the stream's callbacks report.
    pub fn clock(&self) -> &StreamClock {
        &self.clock
    }
}

/// Connects the engine's blocks to a speaker's ring.
#[derive(Debug)]
pub struct PlaybackBridge {
    ring: Producer<f32>,
    clock: Arc<StreamClock>,
    rate: f64,
    converter: RateConverter,
    controller: DriftController,
    target: Target,
    output: Vec<f32>,
    /// The device has been fed. Otherwise the ring must first be filled to its target.
    running: bool,
    starved: u64,
    cut: bool,
    delay: Duration,
    counts: DeviceCounts,
}

impl PlaybackBridge {
    /// A bridge for a device that plays `rate` frames per second from `ring`.
    ///
    /// # Errors
    /// The rate cannot be converted.
    pub fn new(ring: Producer<f32>, clock: Arc<StreamClock>, rate: u32) -> Result<Self, RateError> {
        let converter = RateConverter::from_blocks(rate)?;
        Ok(Self {
            ring,
            clock,
            rate: f64::from(rate),
            output: vec![0.0; converter.output_len_max()],
            converter,
            controller: DriftController::new(),
            target: Target { margin_s: MARGIN_S },
            running: false,
            starved: 0,
            cut: false,
            delay: Duration::ZERO,
            counts: DeviceCounts::default(),
        })
    }

    /// Plays the next block and returns when its first sample will be in the air.
    pub fn push(&mut self, now: Instant, block: &[f32; BLOCK_SAMPLES]) -> Instant {
        // Before the first callback nothing drains the ring.
        let Some((call, fill)) = self.observe() else {
            return now;
        };

        let period_s = call.frames as f64 / self.rate;
        let since_s = now
            .saturating_duration_since(call.at)
            .as_secs_f64()
            .min(2.0 * period_s);
        // The frames of the last callback are playing now, so they count until their time is over.
        let mut level_s = fill as f64 / self.rate + period_s - since_s;
        let mut target_s = self.target.level_s(period_s);

        let starved = self.clock.starved();
        if self.running && starved != self.starved {
            // There is a gap already. Raise the margin, so that it is the last one.
            self.counts.underruns += 1;
            self.target.on_underrun();
            self.running = false;
            target_s = self.target.level_s(period_s);
        }

        self.starved = starved;
        if !self.running {
            self.running = true;
            self.controller.restart();
            level_s += self.push_silence(target_s - level_s);
        }

        let in_device_s = call.latency.as_secs_f64().min(RING_S);
        let filter_s = self.converter.delay() as f64 / self.rate;
        self.delay = Duration::from_secs_f64((level_s + in_device_s + filter_s).max(0.0));
        let heard_at = now + self.delay;

        let mut faded = *block;
        if level_s > target_s + SURPLUS_S {
            if self.cut {
                return heard_at;
            }

            // The last block before the cut fades out; the first one after it fades in.
            self.cut = true;
            self.counts.overruns += 1;
            fade(&mut faded, false);
        } else if self.cut && level_s <= target_s {
            self.cut = false;
            self.controller.restart();
            fade(&mut faded, true);
        } else if self.cut {
            return heard_at;
        }

        let correction = self.controller.update(level_s, target_s);
        self.converter.set_speed(1.0 - correction);

        let written = self.converter.convert(&faded, &mut self.output);
        if self
            .ring
            .push_entire_slice(&self.output[..written])
            .is_err()
        {
            self.counts.overruns += 1;
        }

        self.target.on_block_without_underrun();
        heard_at
    }

    /// The latest callback and the ring's fill right after it.
    fn observe(&self) -> Option<(LastCall, usize)> {
        let fill = |ring: &Producer<f32>| ring.buffer().capacity() - ring.slots();
        let mut call = self.clock.last_call()?;

        for _ in 0..3 {
            let filled = fill(&self.ring);
            let again = self.clock.last_call()?;

            if again.at == call.at {
                return Some((call, filled));
            }

            call = again;
        }

        Some((call, fill(&self.ring)))
    }

    /// Adds up to `seconds` of silence to the ring, as far as there is room, and returns how much
    /// was added.
    fn push_silence(&mut self, seconds: f64) -> f64 {
        let frames = ((seconds.max(0.0) * self.rate) as usize).min(self.ring.slots());
        if let Ok(chunk) = self.ring.write_chunk(frames) {
            // The chunk is initialized to zero, which is silence.
            chunk.commit_all();
        }

        frames as f64 / self.rate
    }

    /// Delay from the engine to the air.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Lets the device fade to silence at its next callback, for good, whatever the ring holds.
    /// Returns how soon nothing more is heard.
    pub fn silence(&self) -> Duration {
        self.clock.silence();
        self.clock.last_call().map_or(Duration::ZERO, |call| {
            let period_s = call.frames as f64 / self.rate;
            let in_device_s = call.latency.as_secs_f64().min(RING_S);
            Duration::from_secs_f64(period_s + in_device_s + FADE_OUT_S)
        })
    }

    /// Glitches so far.
    pub fn counts(&self) -> DeviceCounts {
        DeviceCounts {
            glitches: self.clock.glitches(),
            ..self.counts
        }
    }

    /// What the stream's callbacks report.
    pub fn clock(&self) -> &StreamClock {
        &self.clock
    }
}

/// Fades in the start of a block, or fades out its end.
fn fade(block: &mut [f32; BLOCK_SAMPLES], fade_in: bool) {
    for n in 0..FADE_SAMPLES {
        let gain = n as f32 / FADE_SAMPLES as f32;
        let index = if fade_in { n } else { BLOCK_SAMPLES - 1 - n };
        block[index] *= gain;
    }
}

#[cfg(test)]
mod tests;
