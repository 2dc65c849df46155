//! One call of Tandem: the peer connection, congestion control, RTP and the call's state.

pub mod bwe;
pub mod congestion;
pub mod interceptors;
pub mod link;
pub mod pacer;
#[cfg(feature = "simnet")]
pub mod simnet;
