//! What the audio engine counts and measures.

use std::time::Instant;

use super::jitter_buffer::JitterStats;
use super::percentile::Percentiles;

/// The level reported for digital silence, in dB of full scale.
pub const SILENCE_DBFS: f32 = -100.0;

/// A snapshot of an [`super::AudioEngine`]'s counters since its start, or since
/// [`super::AudioEngine::next_partner`].
#[derive(Debug, Clone)]
pub struct AudioStats {
    /// Opus packets passed to the network.
    pub sent_packets: u64,
    /// Bytes in those packets, without headers.
    pub sent_bytes: u64,
    /// What the jitter buffer received, lost, concealed and restored.
    pub jitter: JitterStats,
    /// Mouth-to-ear delay in milliseconds: from the moment the partner's test signal is generated
    /// until it is heard here, measured from the audio alone. `None` without
    /// [`super::AudioConfig::measure`] or before the first measurement.
    pub mouth_to_ear_ms: Option<Percentiles>,
    /// Loudness (RMS) of the latest block sent to the encoder, in dB of full scale; −100 is
    /// silence.
    pub input_level_dbfs: f32,
    /// Loudness (RMS) of the latest block played, in dB of full scale; −100 is silence.
    pub output_level_dbfs: f32,
    /// When the first received audio was heard.
    pub first_audio_at: Option<Instant>,
    /// Glitches between the microphone and the engine.
    pub capture: DeviceCounts,
    /// Glitches between the engine and the speaker.
    pub playback: DeviceCounts,
    /// Received packets dropped because the engine's inbox was full.
    pub inbox_overflows: u64,
    /// 10 ms ticks that the engine skipped because the machine had suspended it for too long.
    pub skipped_ticks: u64,
    /// Delay from the sound at the microphone to the engine, in milliseconds, if known.
    pub capture_delay_ms: Option<f32>,
    /// Delay from the engine to the sound at the speaker, in milliseconds, if known.
    pub playback_delay_ms: Option<f32>,
}

impl Default for AudioStats {
    /// Nothing sent, nothing received, silence in both directions.
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

/// Glitches between a device and the engine that did not end the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceCounts {
    /// How often the next audio was not there in time: a short gap.
    pub underruns: u64,
    /// How often audio was dropped because nothing fetched it in time.
    pub overruns: u64,
    /// Glitches that the device itself reported.
    pub glitches: u64,
}

impl DeviceCounts {
    /// What has been counted since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            underruns: self.underruns.saturating_sub(before.underruns),
            overruns: self.overruns.saturating_sub(before.overruns),
            glitches: self.glitches.saturating_sub(before.glitches),
        }
    }
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
    fn loudness_is_measured_against_full_scale() {
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
            "a constant tenth of full scale has −20 dBFS"
        );
    }
}
