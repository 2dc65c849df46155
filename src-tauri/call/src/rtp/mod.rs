//! Pictures to RTP packets and back: packetization of H.264 (RFC 6184) and VP8 (RFC 7741), reassembly of frames from
//! packets that come late, twice or never, and the count of freezes. No socket, no clock: packets and time are arguments.

mod assembler;
mod depacketize;
mod freeze;
mod packetizer;
mod sequence;
#[cfg(test)]
mod tests;

pub use assembler::{AssembledFrame, AssemblerConfig, AssemblerStats, FrameAssembler, VideoPacket};
pub use depacketize::BrokenPayload;
pub use freeze::FreezeDetector;
pub use packetizer::{MAX_PAYLOAD, PacketPayload, Packetizer};
pub use sequence::SequenceUnwrapper;

/// Ticks of the video RTP clock in a second (RFC 6184 §8.2.1, RFC 7741 §6).
pub const VIDEO_CLOCK_HZ: u32 = 90_000;
