//! The streams that this side sends.

use std::sync::Arc;

use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::formats::Format;

/// A stream that this side sends.
#[derive(Clone)]
pub(crate) struct LocalTrack {
    /// Where to write its packets.
    pub(crate) track: Arc<TrackLocalStaticRTP>,
    /// The SSRC that its packets must carry.
    pub(crate) ssrc: u32,
}

impl LocalTrack {
    /// A track that sends `format` with this SSRC.
    pub(super) fn new(kind: RtpCodecKind, format: &Format, ssrc: u32) -> Self {
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                ..RTCRtpCodingParameters::default()
            },
            codec: format.to_rtc().rtp_codec,
            ..RTCRtpEncodingParameters::default()
        };

        // Unique on both sides: feedback finds its track by this id.
        let id = uuid::Uuid::new_v4().to_string();
        let track =
            MediaStreamTrack::new("tandem".into(), id, kind.to_string(), kind, vec![encoding]);

        Self {
            track: Arc::new(TrackLocalStaticRTP::new(track)),
            ssrc,
        }
    }
}
