//! Our own interceptors that neither pace nor estimate: taps that observe RTP and RTCP on their way
//! through the chain, and the NACK generator.
//!
//! Each is a `Tap`; `PassThrough` makes an interceptor of it.

mod declared;
mod flood_guard;
mod idle_report_tap;
mod keyframe_tap;
mod last_heard_tap;
mod nack;
mod pass_through;
mod repair_tap;
mod report_tap;
mod retransmissions;
mod sent_tap;
mod streams;
mod track_opening;
mod undeclared_tap;

pub(crate) use declared::Declared;
pub(crate) use flood_guard::FloodGuard;
pub(crate) use idle_report_tap::IdleReportTap;
pub(crate) use keyframe_tap::{KeyframeTap, keyframe_requests};
pub(crate) use last_heard_tap::{LastHeard, LastHeardTap};
pub(crate) use nack::NackGenerator;
pub(crate) use pass_through::{PassThrough, Tap};
pub(crate) use repair_tap::RepairTap;
pub(crate) use report_tap::ReportTap;
use retransmissions::Retransmissions;
pub(crate) use sent_tap::{Sent, SentStreams, SentTap};
pub(crate) use track_opening::TrackOpening;
pub(crate) use undeclared_tap::UndeclaredTap;
