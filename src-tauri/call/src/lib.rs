//! One call of Tandem: how it starts and ends, the peer connection, congestion control, RTP in both
//! directions, and what the call measures about itself.
//!
//! [`Call::start`] takes [`CallOptions`] and returns a handle and a stream of [`CallEvent`]s:
//!
//! ```no_run
//! use tandem_call::{Call, CallEventKind, CallOptions};
//! use tandem_media::video::VideoSpec;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = CallOptions {
//!     room: Some("blue-heron".to_owned()),
//!     video: VideoSpec::Test,
//!     ..CallOptions::new("ws://127.0.0.1:9000".parse()?)
//! };
//!
//! let (call, mut events) = Call::start(options);
//!
//! while let Some(event) = events.recv().await {
//!     match event.kind {
//!         CallEventKind::FirstRemoteFrame => call.set_muted(true),
//!         CallEventKind::Ended { reason } => println!("{}: {}", reason.code.as_str(), reason.message),
//!         other => println!("{other:?}"),
//!     }
//! }
//!
//! // Every device and socket is released from here on.
//! call.finished().await;
//! # Ok(())
//! # }
//! ```
//!
//! Inside, `machine` is the life of a call, `rtp` turns encoded frames into packets and back, `bwe`
//! and `pacer` decide how much is sent and when. None of these touches a socket or a clock. `peer`
//! is the connection to the partner, and `session` runs a whole call with devices, threads and the
//! signaling server around these parts.

// Lints run with every feature. Without `internals`, what is there for benchmarks and tests only
// is neither used nor reachable.
#![cfg_attr(
    not(feature = "internals"),
    allow(
        dead_code,
        unused_imports,
        unreachable_pub,
        reason = "serves `internals`"
    )
)]

mod bucket;
mod bwe;
mod congestion;
#[cfg(feature = "internals")]
mod fuzzing;
mod interceptors;
pub mod interfaces;
mod link;
mod machine;
mod pacer;
mod partner_state;
mod peer;
mod rtp;
mod session;
#[cfg(feature = "simnet")]
pub mod simnet;
#[cfg(feature = "link")]
mod simulated_link;

pub use machine::{CallTimeouts, ConnectProblem, EndCode, EndReason};
pub use peer::Refused;
pub use session::{
    BitrateSample, BlockOutcome, Call, CallCode, CallEvent, CallEventKind, CallOptions, CallStats,
    DEFAULT_MAX_BITRATE_BPS, MIN_BITRATE_BPS, OnRemoteFrame, Profile, Quality, Registration,
    Report, ReportOutcome, Route, SharedGuesses, SharedLine, SignalingLine, StrangerRoute,
    VerificationState, VideoReceived, VideoSent,
};

#[cfg(feature = "link")]
pub use simulated_link::LinkRuntime;

/// Parts of a call by themselves, for benchmarks, fuzz targets and tests. Not for programs: it
/// changes without notice.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    /// What a partner's bytes reach.
    pub mod fuzzing {
        pub use crate::fuzzing::{channel_message, datagrams, description, rtcp, turn_stream};
    }

    pub use crate::bwe::Estimator;
    pub use crate::congestion::{
        BitrateBounds, CongestionError, register as register_interceptors,
    };
    pub use crate::link::{Bitrate, LinkState, RepairCounters};
    pub use crate::machine::PeerFault;
    pub use crate::pacer::{Class, Pacer, PacerConfig};
    pub use crate::partner_state::{
        PartnerState, Share, StateMessage, StateMessageError, parse, to_json,
    };
    pub use crate::peer::{MediaKind, Peer, PeerConfig, PeerError, PeerEvent, WarmConnections};
    pub use crate::rtp::{
        AssemblerConfig, AssemblerStats, FrameAssembler, PacketPayload, Packetizer, VideoPacket,
    };
}
