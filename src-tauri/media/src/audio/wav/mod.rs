//! `.wav` files, as an audio source and as a recording.

mod format;
mod reader;
mod recorder;

pub use reader::{WavReader, WavSource};
pub use recorder::WavRecorder;
