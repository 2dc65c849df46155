//! Processes a voice before it is sent: echo cancellation, noise suppression, gain control.

use std::time::Duration;

use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate,
    NoiseSuppression, NoiseSuppressionLevel, Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};

use super::config::Processing;
use super::{BLOCK_SAMPLES, SAMPLE_RATE};

/// The processing chain of a microphone: sonora, a port of WebRTC's audio processing module.
pub struct VoiceProcessor {
    apm: AudioProcessing,
    processing: Processing,
}

impl std::fmt::Debug for VoiceProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VoiceProcessor")
            .field("processing", &self.processing)
            .finish_non_exhaustive()
    }
}

impl VoiceProcessor {
    /// A chain with the stages that `processing` selects. Rumble below 80 Hz is always removed.
    pub fn new(processing: Processing) -> Self {
        let stream = StreamConfig::new(SAMPLE_RATE, 1);
        let apm = AudioProcessing::builder()
            .config(config(processing))
            .capture_config(stream)
            .render_config(stream)
            .build();
        Self { apm, processing }
    }

    /// Switches stages on or off. The other stages keep what they have learned.
    pub fn set_processing(&mut self, processing: Processing) {
        if processing != self.processing {
            self.apm.apply_config(config(processing));
            self.processing = processing;
        }
    }

    /// Shows the echo canceller the block that goes to the speaker. Call it before
    /// [`capture`](Self::capture) for the same 10 ms.
    pub fn render(&mut self, block: &[i16; BLOCK_SAMPLES]) {
        if self.processing.echo_cancellation {
            let mut unused = [0; BLOCK_SAMPLES];
            // Cannot fail: the chain was built for one channel of 10 ms.
            let _ = self.apm.process_render_i16(block, &mut unused);
        }
    }

    /// Sets how long audio takes from [`render`](Self::render) through the air to
    /// [`capture`](Self::capture), as far as the devices report it. The canceller starts its search
    /// for the echo there.
    pub fn set_delay(&mut self, delay: Duration) {
        // Clamped at 500 ms; beyond that the canceller searches on its own.
        let _ = self
            .apm
            .set_stream_delay_ms(delay.as_millis().min(500) as i32);
    }

    /// Processes a block of the microphone in place. Full scale is ±1.
    pub fn capture(&mut self, block: &mut [f32; BLOCK_SAMPLES]) {
        let mut processed = [0.0; BLOCK_SAMPLES];
        if self
            .apm
            .process_capture_f32(&[&block[..]], &mut [&mut processed[..]])
            .is_ok()
        {
            *block = processed;
        }
    }
}

fn config(processing: Processing) -> Config {
    Config {
        // The default of 32 kHz would cut the voice off at 16 kHz.
        pipeline: Pipeline {
            maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
            ..Pipeline::default()
        },
        high_pass_filter: Some(HighPassFilter::default()),
        echo_canceller: processing.echo_cancellation.then(EchoCanceller::default),
        noise_suppression: processing.noise_suppression.then(|| NoiseSuppression {
            level: NoiseSuppressionLevel::High,
            ..NoiseSuppression::default()
        }),
        gain_controller2: processing.gain_control.then(|| GainController2 {
            adaptive_digital: Some(AdaptiveDigital::default()),
            ..GainController2::default()
        }),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests;
