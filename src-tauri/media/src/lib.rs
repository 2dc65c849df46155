//! Everything in Tandem that touches pictures and sound, and nothing that touches a network: cameras, microphones,
//! speakers, codecs, echo cancellation, the audio jitter buffer and the clock that keeps voice and lips together.

pub mod audio;
pub mod codec;
pub mod error;
pub mod frame;
pub mod priority;
pub mod slot;
pub mod sync;
pub mod video;

pub use error::{DeviceError, MediaEvent};
pub use frame::{FramePool, I420, VideoFrame};
pub use slot::NewestSlot;
