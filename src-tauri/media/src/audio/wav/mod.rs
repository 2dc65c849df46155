//! `.wav` files as a source, and as a recording.

mod reader;
mod recorder;

pub use reader::{WavReader, WavSource};
pub use recorder::WavRecorder;
