//! Interceptors of our own that neither pace nor estimate: taps that observe RTP and RTCP, and the NACK generator.

mod keyframe_tap;
mod nack;
mod passage;
mod repair_tap;
mod report_tap;

pub use keyframe_tap::KeyframeTap;
pub use nack::{NackGenerator, NackLog};
pub(crate) use passage::Passage;
pub use repair_tap::RepairTap;
#[cfg(feature = "simnet")]
pub(crate) use repair_tap::keyframe_requests;
pub use report_tap::ReportTap;
