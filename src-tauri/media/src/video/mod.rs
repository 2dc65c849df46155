//! Where pictures come from (camera, test pattern, file) and where they go (recording, snapshot).

mod input;
mod schedule;
mod spec;
pub mod test_pattern;
mod worker;

pub use input::VideoInput;
pub use spec::{CameraSelector, ParseVideoSpecError, VideoFormat, VideoSpec};
