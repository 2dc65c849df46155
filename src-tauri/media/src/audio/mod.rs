//! Audio: devices, files, voice processing, Opus and playout.
//!
//! Inside this module audio is always 48 kHz mono, in blocks of 10 ms ([`BLOCK_SAMPLES`] samples).
//! Devices and files with another rate or channel count are converted where they enter or leave.

mod chime;
pub mod config;
pub mod device;
pub mod engine;
pub mod jitter_buffer;
pub mod level;
mod monitor;
pub mod opus;
pub mod percentile;
pub mod processing;
pub mod resample;
mod ring_tone;
pub mod schedule;
mod sound_player;
mod speaker_test;
pub mod stats;
pub mod test_signal;
pub mod time_stretch;
pub mod wav;

pub use config::{AudioConfig, AudioSink, AudioSource, ParseAudioError, Processing};
pub use device::{
    AudioDeviceInfo, AudioDeviceWatch, DevicesChanged, list_microphones, list_speakers,
};
pub use engine::{AudioEngine, OutgoingAudio};
pub use level::AudioLevel;
pub use monitor::{LevelCallback, MicrophoneMonitor};
pub use percentile::Percentiles;
pub use ring_tone::{Repeat, RingOptions, RingSound, RingTone};
pub use sound_player::SoundDone;
pub use speaker_test::SpeakerTest;
pub use stats::{AudioStats, DeviceCounts};

/// Samples per second of all audio inside the engine, and the RTP clock rate of Opus (RFC 7587
/// §4.1).
pub const SAMPLE_RATE: u32 = 48_000;

/// Samples in one block: 10 ms mono at 48 kHz.
pub const BLOCK_SAMPLES: usize = 480;

/// Samples in one Opus packet: 20 ms mono at 48 kHz, two blocks.
pub const PACKET_SAMPLES: usize = 2 * BLOCK_SAMPLES;
