//! Video codecs behind two traits: H.264 with openh264, and VP8 with libvpx.

#[cfg(test)]
mod difficult;
mod h264;
mod sps;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod vp8;

use std::sync::Arc;

use crate::frame::{FramePool, I420};

/// A video codec that two ends can agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264 constrained baseline, packetization mode 1 (RFC 6184).
    H264,
    /// VP8 (RFC 6386, RFC 7741).
    Vp8,
}

/// One encoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// The bitstream: Annex B with start codes for H.264, one frame for VP8.
    pub data: Vec<u8>,
    /// Whether a decoder can start here.
    pub keyframe: bool,
}

/// What an encoder starts with. When frames of another size arrive, it follows them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderConfig {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: f32,
    /// Target bitrate in bits per second.
    pub bitrate_bps: u32,
    /// H.264 only: the largest NAL unit, in bytes. Pictures are cut into slices of about that size.
    pub max_nal_bytes: Option<u32>,
}

/// A codec failed or refused its input. The encoder or decoder stays usable; after a decoder error,
/// request a keyframe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The library did not start.
    #[error("the {codec} {part} does not start: {reason}")]
    Init {
        /// Codec name.
        codec: &'static str,
        /// `encoder` or `decoder`.
        part: &'static str,
        /// What the library reported.
        reason: String,
    },
    /// The encoder refused a frame.
    #[error("cannot encode a frame: {0}")]
    Encode(String),
    /// The bitstream is damaged, or the frames it refers to are missing.
    #[error("cannot decode a frame: {0}")]
    Decode(String),
}

/// Encodes frames. A call blocks for several milliseconds, so run it on a thread of its own.
pub trait VideoEncoder: Send {
    /// Encodes `image`, captured `timestamp_ms` after the stream started; timestamps must not go
    /// backwards. A frame of a new size restarts the encoder and comes out as a keyframe. `None`:
    /// rate control dropped the frame.
    ///
    /// # Errors
    /// [`CodecError::Encode`] for a frame smaller than 16 x 16, or when the library fails;
    /// [`CodecError::Init`] when it does not restart for a new size.
    fn encode(
        &mut self,
        image: &I420,
        timestamp_ms: u64,
        force_keyframe: bool,
    ) -> Result<Option<EncodedFrame>, CodecError>;

    /// Sets a new target, effective from the next frame.
    fn set_bitrate(&mut self, bitrate_bps: u32);
}

/// Decodes frames. A call blocks for several milliseconds, so run it on a thread of its own.
pub trait VideoDecoder: Send {
    /// Decodes one access unit. `None`: nothing to show yet.
    ///
    /// # Errors
    /// [`CodecError::Decode`] for a damaged access unit, and for every frame between a loss and the
    /// next keyframe.
    fn decode(&mut self, data: &[u8]) -> Result<Option<Arc<I420>>, CodecError>;
}

/// Makes an encoder for `codec`.
///
/// # Errors
/// [`CodecError::Init`] when the library does not start.
pub fn encoder(
    codec: VideoCodec,
    config: EncoderConfig,
) -> Result<Box<dyn VideoEncoder>, CodecError> {
    match codec {
        VideoCodec::H264 => Ok(Box::new(h264::H264Encoder::new(config)?)),
        VideoCodec::Vp8 => Ok(Box::new(vp8::Vp8Encoder::new(config)?)),
    }
}

/// Makes a decoder for `codec` that takes its pixel buffers from `pool`.
///
/// # Errors
/// [`CodecError::Init`] when the library does not start.
pub fn decoder(codec: VideoCodec, pool: FramePool) -> Result<Box<dyn VideoDecoder>, CodecError> {
    match codec {
        VideoCodec::H264 => Ok(Box::new(h264::H264Decoder::new(pool)?)),
        VideoCodec::Vp8 => Ok(Box::new(vp8::Vp8Decoder::new(pool)?)),
    }
}
