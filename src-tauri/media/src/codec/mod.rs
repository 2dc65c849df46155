//! Video codecs behind two traits: H.264 by openh264 always, VP8 by libvpx with the cargo feature `vp8`.

mod h264;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(feature = "vp8")]
mod vp8;

use std::sync::Arc;

use crate::frame::{FramePool, I420};

/// A video codec that both sides may agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264 constrained baseline, packetization mode 1 (RFC 6184).
    H264,
    /// VP8 (RFC 6386, RFC 7741).
    Vp8,
}

/// An encoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// The bitstream: Annex B with start codes for H.264, one frame for VP8.
    pub data: Vec<u8>,
    /// Whether a decoder can start here.
    pub keyframe: bool,
}

/// What an encoder is made for. The size follows the pictures; this is where it starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderConfig {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: f32,
    /// Target bitrate in bits a second.
    pub bitrate_bps: u32,
}

/// A codec refused its input. The encoder or decoder stays usable; after a decoder error ask for a keyframe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The library could not be started.
    #[error("the {codec} {part} could not be started: {reason}")]
    Init {
        /// Codec name.
        codec: &'static str,
        /// `encoder` or `decoder`.
        part: &'static str,
        /// What the library said.
        reason: String,
    },
    /// A picture could not be encoded.
    #[error("a picture could not be encoded: {0}")]
    Encode(String),
    /// A bitstream could not be decoded: broken, or its reference pictures are missing.
    #[error("a picture could not be decoded: {0}")]
    Decode(String),
}

/// Compresses pictures. Calls block for a few milliseconds: keep it on a thread of its own.
pub trait VideoEncoder: Send {
    /// Encodes `image`, taken `timestamp_ms` after the stream began (must not go back). A picture of a new size
    /// reconfigures the encoder and comes out as a keyframe. `None`: dropped by rate control.
    fn encode(
        &mut self,
        image: &I420,
        timestamp_ms: u64,
        force_keyframe: bool,
    ) -> Result<Option<EncodedFrame>, CodecError>;

    /// Follows a new target, from the next picture on.
    fn set_bitrate(&mut self, bitrate_bps: u32);
}

/// Restores pictures. Calls block for a few milliseconds: keep it on a thread of its own.
pub trait VideoDecoder: Send {
    /// Decodes one access unit. `None`: nothing to show yet.
    fn decode(&mut self, data: &[u8]) -> Result<Option<Arc<I420>>, CodecError>;
}

/// An encoder of `codec`.
///
/// # Errors
/// [`CodecError::Init`] when the library cannot start, or is not built in (VP8 without the cargo feature `vp8`).
pub fn encoder(
    codec: VideoCodec,
    config: EncoderConfig,
) -> Result<Box<dyn VideoEncoder>, CodecError> {
    match codec {
        VideoCodec::H264 => Ok(Box::new(h264::H264Encoder::new(config)?)),
        #[cfg(feature = "vp8")]
        VideoCodec::Vp8 => Ok(Box::new(vp8::Vp8Encoder::new(config)?)),
        #[cfg(not(feature = "vp8"))]
        VideoCodec::Vp8 => Err(not_built_in("encoder")),
    }
}

/// A decoder of `codec` that takes its images from `pool`.
///
/// # Errors
/// [`CodecError::Init`] when the library cannot start, or is not built in (VP8 without the cargo feature `vp8`).
pub fn decoder(codec: VideoCodec, pool: FramePool) -> Result<Box<dyn VideoDecoder>, CodecError> {
    match codec {
        VideoCodec::H264 => Ok(Box::new(h264::H264Decoder::new(pool)?)),
        #[cfg(feature = "vp8")]
        VideoCodec::Vp8 => Ok(Box::new(vp8::Vp8Decoder::new(pool)?)),
        #[cfg(not(feature = "vp8"))]
        VideoCodec::Vp8 => Err(not_built_in("decoder")),
    }
}

#[cfg(not(feature = "vp8"))]
fn not_built_in(part: &'static str) -> CodecError {
    CodecError::Init {
        codec: "VP8",
        part,
        reason: "this build lacks the cargo feature `vp8`".to_owned(),
    }
}
