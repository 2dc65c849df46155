//! Spreads outgoing packets over time: audio leaves at once, retransmissions leave before fresh
//! video, and keyframes leave without a burst.
//!
//! [`Pacer`] is the sans-IO queue with its schedule, `PacerInterceptor` its place in the
//! interceptor chain. Does the job of libwebrtc's `PacingController`, with priorities and a bound
//! on the delay as there; the schedule itself is ours.

mod interceptor;
mod schedule;

pub(crate) use interceptor::PacerInterceptor;
pub use schedule::{Class, Pacer, PacerConfig};
