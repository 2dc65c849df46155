//! What the audio engine counts and measures.

use std::time::Instant;

use super::jitter_buffer::JitterStats;
use super::percentile::Percentiles;

/// What is shown for digital silence.
pub const SILENCE_DBFS: f32 = -100.0;

/// A snapshot of an [`super::AudioEngine`]'s counters since its start.
#[derive(Debug, Clone)]
pub struct AudioStats {
    /// Opus packets handed out.
    pub sent_packets: u64,
    /// Bytes in them, without headers.
    pub sent_bytes: u64,
    /// What the jitter buffer received, lost, concealed and repaired.
    pub jitter: JitterStats,
    /// Delay in milliseconds from the partner's test signal being made to its being heard here, measured from the sound
    /// alone. `None` without [`super::AudioConfig::measure`] or before the first measurement.
    pub mouth_to_ear_ms: Option<Percentiles>,
    /// Loudness (RMS) of the newest block that went to the encoder, in dB of full scale; −100 is silence.
    pub input_level_dbfs: f32,
    /// Loudness of the newest block that was played, likewise.
    pub output_level_dbfs: f32,
    /// When the first received sound was heard.
    pub first_audio_at: Option<Instant>,
    /// Glitches on the way from the microphone.
    pub capture: DeviceCounts,
    /// Glitches on the way to the speaker.
    pub playback: DeviceCounts,
    /// Received packets that found the engine's inbox full and were dropped.
    pub inbox_overflows: u64,
    /// 10 ms ticks that the engine left out because the machine had stopped it for too long.
    pub skipped_ticks: u64,
    /// Delay of the microphone's path from the air to the engine in milliseconds, as far as it is known.
    pub capture_delay_ms: Option<f32>,
    /// Delay of the speaker's path from the engine to the air in milliseconds, as far as it is known.
    pub playback_delay_ms: Option<f32>,
}

impl Default for AudioStats {
    /// Nothing sent, nothing received, silence on both ways.
    fn default() -> Self {
        Self {
            sent_packets: 0,
            sent_bytes: 0,
            jitter: JitterStats::default(),
            mouth_to_ear_ms: None,
            input_level_dbfs: SILENCE_DBFS,
            output_level_dbfs: SILENCE_DBFS,
            first_audio_at: None,
            capture: DeviceCounts::default(),
            playback: DeviceCounts::default(),
            inbox_overflows: 0,
            skipped_ticks: 0,
            capture_delay_ms: None,
            playback_delay_ms: None,
        }
    }
}

/// What went wrong between a device and the engine, without ending the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceCounts {
    /// How often the next sound was not there in time: a short gap.
    pub underruns: u64,
    /// How often sound was thrown away because it was not fetched in time.
    pub overruns: u64,
    /// Glitches that the device itself reported.
    pub glitches: u64,
}

/// Loudness (RMS) in dB of full scale of samples between −1 and 1.
pub(super) fn level_dbfs(samples: impl ExactSizeIterator<Item = f32>) -> f32 {
    let count = samples.len().max(1) as f32;
    let power = samples.map(|sample| sample * sample).sum::<f32>() / count;
    (10.0 * power.max(1e-10).log10()).max(SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loudness_is_relative_to_full_scale() {
        assert_eq!(
            level_dbfs([0.0f32; 480].into_iter()),
            SILENCE_DBFS,
            "silence has the lowest level"
        );

        assert!(
            level_dbfs([1.0f32, -1.0].into_iter()).abs() < 1e-4,
            "a full-scale square wave has 0 dBFS"
        );

        assert!(
            (level_dbfs([0.1f32; 480].into_iter()) + 20.0).abs() < 1e-3,
            "a tenth of that has −20 dBFS"
        );
    }
}
