//! Sound: devices, files, processing, Opus and playout.

pub mod jitter_buffer;
pub mod opus;
pub mod time_stretch;
