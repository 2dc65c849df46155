//! Everything in Tandem that handles video and audio and nothing that uses a network: cameras,
//! microphones, speakers, codecs, echo cancellation, the audio jitter buffer and lip sync.
//!
//! - [`video`] opens a camera, a file or the test pattern and puts frames into a [`NewestSlot`].
//! - [`codec`] encodes and decodes them (H.264 and VP8).
//! - [`audio`] runs microphone, processing, Opus, jitter buffer and speaker in one engine.
//! - [`sync`] computes when to show a frame so that lips match the voice.
//! - [`error`] has the published error codes, and [`recovery`] says when a device that failed is opened
//!   again.
//!
//! Devices and drivers block, so each source runs on threads of its own. Frames never queue: a slow
//! reader gets the newest one.
//!
//! # Example
//!
//! Encodes the test pattern, decodes it, and reads the frame number back from the pixels:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use tandem_media::codec::{self, EncoderConfig, VideoCodec};
//! use tandem_media::video::{VideoFormat, VideoInput, VideoSpec, test_pattern};
//! use tandem_media::{FramePool, MediaEvent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let format = VideoFormat { width: 640, height: 360, fps: 30.0 };
//! let on_failure = Arc::new(|event: MediaEvent| eprintln!("{event:?}"));
//! let input = VideoInput::open(&VideoSpec::Test, format, on_failure)?.ok_or("no source")?;
//!
//! let config = EncoderConfig { width: 640, height: 360, fps: 30.0, bitrate_bps: 800_000, max_nal_bytes: None };
//! let mut encoder = codec::encoder(VideoCodec::H264, config)?;
//! let mut decoder = codec::decoder(VideoCodec::H264, FramePool::new())?;
//!
//! let frame = input.frames().take(Duration::from_secs(5)).ok_or("no frame in time")?;
//! let encoded = encoder.encode(&frame.image, 0, true)?.ok_or("dropped by rate control")?;
//! let decoded = decoder.decode(&encoded.data)?.ok_or("nothing to show")?;
//!
//! assert!(encoded.keyframe);
//! assert_eq!(test_pattern::read(&decoded), test_pattern::read(&frame.image));
//! # Ok(())
//! # }
//! ```

pub mod audio;
pub mod codec;
pub mod error;
pub mod frame;
pub mod priority;
mod range;
pub mod recovery;
pub mod slot;
pub mod sync;
pub mod video;

pub use error::{DeviceError, MediaErrorCode, MediaEvent};
pub use frame::{FramePool, I420, VideoFrame};
pub use slot::{NewestSlot, Observer};
