//! One call of Tandem: how it begins and ends, the peer connection, congestion control, RTP in and out, and what it
//! measures of itself.
//!
//! [`machine`] is the life of a call, [`rtp`] turns encoded pictures into packets and back, [`bwe`] and [`pacer`] decide
//! how much is sent and when; none of them touches a socket or a clock. [`peer`] is the connection to the partner, and
//! [`session`] runs a whole call with devices, threads and the relay around these parts.

pub mod bwe;
pub mod congestion;
pub mod interceptors;
pub mod link;
pub mod machine;
pub mod pacer;
pub mod partner_state;
pub mod peer;
pub mod rtp;
pub mod session;
#[cfg(feature = "simnet")]
pub mod simnet;
