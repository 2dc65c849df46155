//! Where frames come from (camera, test pattern, file) and where they go (recording, snapshot).

mod camera;
pub mod convert;
mod file;
mod input;
pub mod record;
pub mod scale;
mod schedule;
mod shared;
pub mod snapshot;
mod spec;
pub mod test_pattern;
mod worker;
pub mod y4m;

pub use camera::{CameraFormat, CameraInfo, is_camera_listed, list_cameras};
pub use input::VideoInput;
pub use shared::{OpenVideo, SharedVideo, VideoRequest};
pub use snapshot::small_jpeg;
pub use spec::{CameraSelector, ParseVideoSpecError, VideoFormat, VideoSpec};
pub use worker::no_thread;
