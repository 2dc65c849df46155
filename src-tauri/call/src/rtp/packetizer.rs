//! One encoded frame to the payloads of its packets.

use bytes::Bytes;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader;
use tandem_media::codec::VideoCodec;

/// Bytes of payload per packet. With RTP header and extensions (20), SRTP tag (16), UDP and IPv6
/// (48) a packet stays below 1,280 bytes, which every IPv6 path carries (RFC 8200 §5).
pub(super) const MAX_PAYLOAD: usize = 1_180;

/// The payload of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketPayload {
    /// What follows the RTP header.
    pub data: Bytes,
    /// Whether it is the last of its frame: the RTP marker bit.
    pub marker: bool,
}

/// Cuts encoded frames into payloads. H.264 in packetization mode 1: single NAL units, STAP-A for
/// parameter sets, FU-A (RFC 6184 §5.6–5.8). VP8: payload descriptors with picture ids (RFC 7741
/// §4.2).
#[derive(Debug)]
pub struct Packetizer {
    payloader: Box<dyn Payloader>,
    codec: VideoCodec,
}

impl Packetizer {
    /// A packetizer for frames of `codec`.
    #[must_use]
    pub fn new(codec: VideoCodec) -> Self {
        Self {
            payloader: payloader(codec),
            codec,
        }
    }

    /// The payloads of `frame`, in order. Empty if there is nothing to send in it.
    pub fn packetize(&mut self, frame: Vec<u8>) -> Vec<PacketPayload> {
        let payloads = match self.payloader.payload(MAX_PAYLOAD, &Bytes::from(frame)) {
            Ok(payloads) => payloads,
            Err(error) => {
                tracing::warn!(%error, "cannot packetize an encoded frame: the partner misses it");
                self.payloader = payloader(self.codec);
                return Vec::new();
            }
        };

        let last = payloads.len().saturating_sub(1);
        let mark = |(index, data)| PacketPayload {
            data,
            marker: index == last,
        };

        payloads.into_iter().enumerate().map(mark).collect()
    }
}

fn payloader(codec: VideoCodec) -> Box<dyn Payloader> {
    match codec {
        VideoCodec::H264 => Box::new(H264Payloader::default()),
        VideoCodec::Vp8 => {
            let mut payloader = Vp8Payloader::default();
            payloader.enable_picture_id = true;
            Box::new(payloader)
        }
    }
}
