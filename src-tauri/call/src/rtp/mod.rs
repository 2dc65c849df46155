//! Video frames to RTP packets and back: packetization of H.264 (RFC 6184) and VP8 (RFC 7741),
//! reassembly of frames from packets that arrive late, twice or never, and the count of freezes.
//!
//! Sans-IO: packets and time are arguments.

mod assembler;
mod depacketize;
mod freeze;
mod packetizer;
mod requests;
mod runs;
mod sequence;
#[cfg(test)]
mod tests;

pub(crate) use assembler::AssembledFrame;
pub use assembler::{AssemblerConfig, AssemblerStats, FrameAssembler, VideoPacket};
pub(crate) use depacketize::starts_keyframe;
pub(crate) use freeze::FreezeDetector;
pub(crate) use packetizer::MAX_PAYLOAD;
pub use packetizer::{PacketPayload, Packetizer};
pub(crate) use sequence::SequenceUnwrapper;

/// Ticks per second of the video RTP clock (RFC 6184 §8.2.1, RFC 7741 §6).
pub(crate) const VIDEO_CLOCK_HZ: u32 = 90_000;
