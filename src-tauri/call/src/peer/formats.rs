//! The media formats of a call: which are registered, offered and accepted.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind,
};
use tandem_media::codec::VideoCodec;
use webrtc::error::Result;
use webrtc::peer_connection::MediaEngine;

use super::negotiation::{H264, Packetization, Profile, parameter};

/// A stream has one of each kind, and more only with several spatial layers.
const MAX_PARAMETER_SETS: usize = 8;

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
    /// What both sides must have in common, if it is H.264.
    pub(super) h264: Option<H264>,
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

    /// Whether a NAL unit must fit into one packet.
    pub(crate) fn single_nal(&self) -> bool {
        self.h264
            .is_some_and(|h264| h264.packetization == Packetization::SingleNal)
    }

    /// The parameter sets that the description has instead of the stream (RFC 6184 §8.1,
    /// `sprop-parameter-sets`), as an Annex B byte stream. Empty if there are none.
    pub(crate) fn parameter_sets(&self) -> Vec<u8> {
        const START_CODE: [u8; 4] = [0, 0, 0, 1];
        const PARAMETER_SETS: [u8; 2] = [7, 8];

        let sets = self
            .h264
            .and_then(|_| parameter(&self.parameters, "sprop-parameter-sets"))
            .unwrap_or_default();
        sets.split(',')
            .take(MAX_PARAMETER_SETS)
            .filter_map(|set| BASE64_STANDARD.decode(set.trim()).ok())
            .filter(|set| {
                let kind = set.first().map(|header| header & 0x1f);
                kind.is_some_and(|kind| PARAMETER_SETS.contains(&kind))
            })
            .flat_map(|set| [&START_CODE[..], &set].concat())
            .collect()
    }

    /// Parses `a=rtpmap` (`map`) and `a=fmtp`. `None` if Tandem cannot use the format. Names are
    /// compared without regard to case (RFC 8866 §6.6).
    pub(super) fn parse(
        kind: MediaKind,
        payload_type: u8,
        map: &str,
        parameters: &str,
    ) -> Option<Self> {
        let mut parts = map.trim().split('/');
        let (name, clock) = (parts.next()?, parts.next()?);
        let h264 = H264::parse(parameters);
        let codec = match (kind, name.to_ascii_lowercase().as_str(), clock) {
            (MediaKind::Audio, "opus", "48000") => Codec::Opus,
            (MediaKind::Video, "h264", "90000") if h264.is_some() => Codec::Video(VideoCodec::H264),
            (MediaKind::Video, "vp8", "90000") => Codec::Video(VideoCodec::Vp8),
            _ => return None,
        };

        Some(Self {
            payload_type,
            codec,
            h264: h264.filter(|_| codec == Codec::Video(VideoCodec::H264)),
            parameters: parameters.to_owned(),
        })
    }

    /// Whether both are the same codec in the same configuration, whatever their payload types.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.codec == other.codec && self.h264 == other.h264
    }

    /// Whether every partner that has the codec has this configuration of it.
    pub(super) fn is_simple(&self) -> bool {
        use Profile::{Baseline, ConstrainedBaseline};

        self.h264.is_none_or(|h264| {
            h264.packetization == Packetization::NonInterleaved
                && matches!(h264.profile, ConstrainedBaseline | Baseline)
        })
    }

    /// The same format in Tandem's own words.
    pub(super) fn own(&self) -> Self {
        Self {
            parameters: self.own_parameters(),
            ..self.clone()
        }
    }

    /// The parameters under which the library knows this format.
    pub(super) fn own_parameters(&self) -> String {
        match (self.codec, self.h264) {
            (Codec::Opus, _) => opus().parameters,
            (Codec::Video(_), Some(h264)) => h264.parameters(),
            (Codec::Video(_), None) => String::new(),
        }
    }

    /// The encoding name and clock rate, as in SDP's `a=rtpmap`.
    pub(super) fn map(&self) -> &'static str {
        match self.codec {
            Codec::Opus => "opus/48000/2",
            Codec::Video(VideoCodec::H264) => "H264/90000",
            Codec::Video(VideoCodec::Vp8) => "VP8/90000",
        }
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

/// Opus with in-band FEC and DTX (RFC 7587 §6.1).
pub(super) fn opus() -> Format {
    Format {
        payload_type: 111,
        codec: Codec::Opus,
        h264: None,
        parameters: "minptime=10;useinbandfec=1;usedtx=1".into(),
    }
}

/// The payload types of H.264, in the order of [`H264::ALL`].
const H264_PAYLOAD_TYPES: [u8; 10] = [102, 106, 112, 114, 116, 108, 118, 120, 122, 124];

/// Every video format that Tandem takes, `preferred` first.
pub(super) fn all_video(preferred: VideoCodec) -> Vec<Format> {
    let h264 = H264::ALL
        .into_iter()
        .zip(H264_PAYLOAD_TYPES)
        .map(|(h264, payload_type)| Format {
            payload_type,
            codec: Codec::Video(VideoCodec::H264),
            h264: Some(h264),
            parameters: h264.parameters(),
        });
    let vp8 = Format {
        payload_type: 96,
        codec: Codec::Video(VideoCodec::Vp8),
        h264: None,
        parameters: String::new(),
    };

    let mut formats: Vec<Format> = h264.chain([vp8]).collect();
    // Within a codec the order stays.
    formats.sort_by_key(|format| format.video() != Some(preferred));
    formats
}

/// The video formats of an offer, `preferred` first. Older browsers answer with the second H.264
/// entry, some devices only with packetization mode 0.
pub(super) fn video(preferred: VideoCodec) -> Vec<Format> {
    let (single, mut formats): (Vec<Format>, Vec<Format>) = all_video(preferred)
        .into_iter()
        .filter(is_offered)
        .partition(Format::single_nal);
    formats.extend(single);
    formats
}

/// Whether a format is offered: others are only accepted. What is sent is constrained baseline, and
/// a partner that has more has that, too.
fn is_offered(format: &Format) -> bool {
    use Packetization::{NonInterleaved, SingleNal};
    use Profile::{Baseline, ConstrainedBaseline};

    format.h264.is_none_or(|h264| {
        matches!(
            (h264.profile, h264.packetization),
            (ConstrainedBaseline, NonInterleaved | SingleNal) | (Baseline, NonInterleaved)
        )
    })
}

/// Registers the retransmissions of the video formats. Feedback must have been registered before: it
/// attaches to codecs, and there is none for retransmissions.
pub(super) fn register_retransmissions(
    engine: &mut MediaEngine,
    preferred: VideoCodec,
) -> Result<()> {
    for codec in all_video(preferred).iter().filter_map(retransmissions) {
        engine.register_codec(codec, RtpCodecKind::Video)?;
    }

    Ok(())
}

/// Registers all formats.
pub(super) fn register(engine: &mut MediaEngine, preferred: VideoCodec) -> Result<()> {
    engine.register_codec(opus().to_rtc(), RtpCodecKind::Audio)?;
    for format in all_video(preferred) {
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
    fn an_offer_has_what_every_partner_can_answer_and_few_more() {
        let offered: Vec<u8> = video(VideoCodec::H264)
            .iter()
            .map(|format| format.payload_type)
            .collect();
        assert_eq!(offered, [102, 106, 96, 108]);
    }

    #[test]
    fn payload_types_are_dynamic_and_unique() {
        let (video, audio) = (all_video(VideoCodec::H264), opus());
        let media = video
            .iter()
            .chain([&audio])
            .map(|format| format.payload_type);
        let repair = video.iter().filter_map(retransmissions);
        let mut types: Vec<u8> = media
            .chain(repair.map(|codec| codec.payload_type))
            .collect();
        assert!(types.iter().all(|number| (96..=127).contains(number)));
        types.sort_unstable();
        types.dedup();
        assert_eq!(types.len(), 23, "{types:?}");
    }

    #[test]
    fn parameter_sets_of_a_description_are_read() {
        let sets = |parameters: &str| {
            let format = Format::parse(MediaKind::Video, 100, "H264/90000", parameters);
            format.map(|format| format.parameter_sets())
        };

        assert_eq!(
            sets("packetization-mode=1;sprop-parameter-sets=Z0LAHg==, aM4G"),
            Some(vec![
                0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1e, 0, 0, 0, 1, 0x68, 0xce, 0x06
            ])
        );
        assert_eq!(
            sets("sprop-parameter-sets=ZQ==,!,,QUJD"),
            Some(vec![]),
            "a slice, and what is no base64"
        );
        assert_eq!(sets("packetization-mode=1"), Some(vec![]));
    }

    #[test]
    fn only_decodable_formats_are_accepted() {
        for (parameters, good) in [
            ("packetization-mode=1;profile-level-id=42e01f", true),
            (" packetization-mode=1; Profile-Level-Id=42C01F", true),
            ("packetization-mode=0;profile-level-id=42e01f", true),
            ("profile-level-id=42e01f", true),
            ("packetization-mode=1;profile-level-id=640c1f", true),
            ("packetization-mode=2;profile-level-id=42e01f", false),
            ("packetization-mode=1;profile-level-id=6e001f", false),
            ("", true),
        ] {
            let format = Format::parse(MediaKind::Video, 100, "H264/90000", parameters);
            assert_eq!(format.is_some(), good, "{parameters:?}");
        }

        assert!(Format::parse(MediaKind::Video, 96, "vp8/90000", "").is_some());
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
