//! The media formats of a call: which are registered, offered and accepted.

use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind,
};
use tandem_media::codec::VideoCodec;
use webrtc::error::Result;
use webrtc::peer_connection::MediaEngine;

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Audio, always Opus.
    Audio,
    /// Video, H.264 or VP8.
    Video,
}

/// A codec that Tandem can send and receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Opus (RFC 7587).
    Opus,
    /// A video codec.
    Video(VideoCodec),
}

/// A codec with its payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    /// RTP payload type.
    pub(crate) payload_type: u8,
    /// Which codec the payload type stands for.
    pub(crate) codec: Codec,
    /// The codec's parameters, as in SDP's `a=fmtp`.
    pub(crate) parameters: String,
}

impl Format {
    /// The video codec, if it is one.
    pub(crate) fn video(&self) -> Option<VideoCodec> {
        match self.codec {
            Codec::Video(codec) => Some(codec),
            Codec::Opus => None,
        }
    }

    /// Parses `a=rtpmap` (`map`) and `a=fmtp`. `None` if Tandem cannot use the format.
    pub(super) fn parse(
        kind: MediaKind,
        payload_type: u8,
        map: &str,
        parameters: &str,
    ) -> Option<Self> {
        let mut parts = map.split('/');
        let (name, clock) = (parts.next()?, parts.next()?);
        let codec = match (kind, name.to_ascii_lowercase().as_str(), clock) {
            (MediaKind::Audio, "opus", "48000") => Codec::Opus,
            (MediaKind::Video, "h264", "90000") if is_baseline(parameters) => {
                Codec::Video(VideoCodec::H264)
            }
            (MediaKind::Video, "vp8", "90000") => Codec::Video(VideoCodec::Vp8),
            _ => return None,
        };

        Some(Self {
            payload_type,
            codec,
            parameters: parameters.to_owned(),
        })
    }

    fn mime_type(&self) -> &'static str {
        match self.codec {
            Codec::Opus => "audio/opus",
            Codec::Video(VideoCodec::H264) => "video/H264",
            Codec::Video(VideoCodec::Vp8) => "video/VP8",
        }
    }

    /// The form that webrtc uses.
    pub(super) fn to_rtc(&self) -> RTCRtpCodecParameters {
        let (clock_rate, channels) = match self.codec {
            Codec::Opus => (48_000, 2),
            Codec::Video(_) => (90_000, 0),
        };

        // NACK, PLI and transport-wide feedback are added where their interceptors are registered.
        let rtcp_feedback = match self.codec {
            Codec::Opus => vec![],
            Codec::Video(_) => vec![RTCPFeedback {
                typ: "ccm".into(),
                parameter: "fir".into(),
            }],
        };

        RTCRtpCodecParameters {
            rtp_codec: RTCRtpCodec {
                mime_type: self.mime_type().into(),
                clock_rate,
                channels,
                sdp_fmtp_line: self.parameters.clone(),
                rtcp_feedback,
            },
            payload_type: self.payload_type,
        }
    }
}

/// The retransmissions of a video format, on a stream of their own (RTX, RFC 4588). `None` for audio.
///
/// Only received: without RTX, a browser takes sequence numbers of the video for the padding with
/// which it probes the path. It does not send lost padding again, and a receiver cannot tell it from
/// a lost part of a frame.
pub(super) fn retransmissions(format: &Format) -> Option<RTCRtpCodecParameters> {
    format.video()?;
    Some(RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: "video/rtx".into(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: format!("apt={}", format.payload_type),
            rtcp_feedback: vec![],
        },
        payload_type: format.payload_type + 1,
    })
}

/// Whether openh264 can decode this H.264: baseline (`4200`) or constrained baseline (`42e0`) at
/// any level, in packetization mode 1 (RFC 6184 §8.1).
fn is_baseline(parameters: &str) -> bool {
    let parameter = |name: &str| {
        let pairs = parameters
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        pairs
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };

    let profile = parameter("profile-level-id")
        .unwrap_or_default()
        .to_ascii_lowercase();
    parameter("packetization-mode") == Some("1")
        && (profile.starts_with("42e0") || profile.starts_with("4200"))
}

/// Opus with in-band FEC and DTX (RFC 7587 §6.1).
pub(super) fn opus() -> Format {
    Format {
        payload_type: 111,
        codec: Codec::Opus,
        parameters: "minptime=10;useinbandfec=1;usedtx=1".into(),
    }
}

/// The video formats in the order of the offer, `preferred` first. Older browsers answer with the
/// second H.264 entry.
pub(super) fn video(preferred: VideoCodec) -> Vec<Format> {
    let h264 = |payload_type, profile: &str| Format {
        payload_type,
        codec: Codec::Video(VideoCodec::H264),
        parameters: format!(
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"
        ),
    };

    let vp8 = Format {
        payload_type: 96,
        codec: Codec::Video(VideoCodec::Vp8),
        parameters: String::new(),
    };

    let mut formats = vec![h264(102, "42e01f"), h264(106, "42001f"), vp8];
    formats.sort_by_key(|format| format.video() != Some(preferred));
    formats
}

/// Registers the retransmissions of the video formats. Feedback must have been registered before: it
/// attaches to codecs, and there is none for retransmissions.
pub(super) fn register_retransmissions(engine: &mut MediaEngine, video: &[Format]) -> Result<()> {
    for codec in video.iter().filter_map(retransmissions) {
        engine.register_codec(codec, RtpCodecKind::Video)?;
    }

    Ok(())
}

/// Registers all formats.
pub(super) fn register(engine: &mut MediaEngine, video: &[Format]) -> Result<()> {
    engine.register_codec(opus().to_rtc(), RtpCodecKind::Audio)?;
    for format in video {
        engine.register_codec(format.to_rtc(), RtpCodecKind::Video)?;
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_codec_comes_first() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            assert_eq!(video(codec)[0].video(), Some(codec));
        }
    }

    #[test]
    fn only_decodable_formats_are_accepted() {
        for (parameters, good) in [
            ("packetization-mode=1;profile-level-id=42e01f", true),
            (" packetization-mode=1; Profile-Level-Id=42001F", true),
            ("packetization-mode=0;profile-level-id=42e01f", false),
            ("profile-level-id=42e01f", false),
            ("packetization-mode=1;profile-level-id=640c1f", false),
            ("packetization-mode=1", false),
            ("", false),
        ] {
            let format = Format::parse(MediaKind::Video, 100, "H264/90000", parameters);
            assert_eq!(format.is_some(), good, "{parameters:?}");
        }

        assert!(Format::parse(MediaKind::Audio, 0, "PCMU/8000", "").is_none());
        assert!(
            Format::parse(MediaKind::Video, 0, "opus/48000", "").is_none(),
            "an audio codec is no video format"
        );

        assert!(
            Format::parse(MediaKind::Audio, 0, "opus", "").is_none(),
            "the map must have a clock rate"
        );
    }
}
