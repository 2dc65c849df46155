//! Spreads outgoing packets over time: audio at once, retransmissions before fresh video, keyframes without a burst.
//!
//! [`Pacer`] is the sans-IO queue and its schedule, [`PacerInterceptor`] its place in the chain.

mod interceptor;
mod schedule;

pub use interceptor::PacerInterceptor;
pub use schedule::{Class, Pacer, PacerConfig};
