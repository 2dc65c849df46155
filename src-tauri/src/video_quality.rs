//! What the command line says about the video to send.

use tandem_media::codec::VideoCodec;
use tandem_media::video::VideoFormat;

use crate::values::DEFAULT_MAX_BITRATE_BPS;

/// Size, rate, codec and bitrate limit of the video to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoQuality {
    /// Size and rate of the frames. A camera picks its nearest format.
    pub format: VideoFormat,
    /// The codec to offer first.
    pub codec: VideoCodec,
    /// The most that the encoder may produce, in bits per second.
    pub max_bitrate_bps: u32,
}

impl Default for VideoQuality {
    /// 720p at 30 frames/s, H.264, at most 2.5 Mbit/s.
    fn default() -> Self {
        Self {
            format: VideoFormat {
                width: 1280,
                height: 720,
                fps: 30.0,
            },
            codec: VideoCodec::H264,
            max_bitrate_bps: DEFAULT_MAX_BITRATE_BPS,
        }
    }
}
