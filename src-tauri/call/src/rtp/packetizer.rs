//! One encoded frame to the payloads of its packets.

use bytes::Bytes;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader;
use rtc::shared::error::Result;
use tandem_media::codec::VideoCodec;

/// Bytes of payload per packet. With RTP header and extensions (20), SRTP tag (16), UDP and IPv6
/// (48) a packet stays below 1,280 bytes, which every IPv6 path carries (RFC 8200 §5).
pub(crate) const MAX_PAYLOAD: usize = 1_180;

/// The payload of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketPayload {
    /// What follows the RTP header.
    pub data: Bytes,
    /// Whether it is the last of its frame: the RTP marker bit.
    pub marker: bool,
}

/// Cuts encoded frames into payloads. H.264 in packetization mode 1: single NAL units, STAP-A for
/// parameter sets, FU-A (RFC 6184 §5.6–5.8); in mode 0: single NAL units. VP8: payload descriptors
/// with picture ids (RFC 7741 §4.2).
#[derive(Debug)]
pub struct Packetizer {
    payloader: Box<dyn Payloader>,
    codec: VideoCodec,
}

impl Packetizer {
    /// A packetizer for frames of H.264 whose NAL units are small enough for a packet: see
    /// [`MAX_PAYLOAD`].
    #[must_use]
    pub(crate) fn single_nal() -> Self {
        Self {
            payloader: Box::new(SingleNal),
            codec: VideoCodec::H264,
        }
    }

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

/// Packetization mode 0 (RFC 6184 §6.2): every NAL unit of an Annex B access unit is a payload. One
/// that is larger than a packet should be is sent all the same, as most paths carry it.
#[derive(Debug, Clone, Copy)]
struct SingleNal;

impl Payloader for SingleNal {
    fn payload(&mut self, _mtu: usize, frame: &Bytes) -> Result<Vec<Bytes>> {
        const START_CODE: [u8; 3] = [0, 0, 1];
        const ACCESS_UNIT_DELIMITER: u8 = 9;

        let starts: Vec<usize> = frame
            .windows(START_CODE.len())
            .enumerate()
            .filter(|(_, window)| *window == START_CODE)
            .map(|(index, _)| index)
            .collect();
        let units = starts.iter().enumerate().map(|(number, start)| {
            let end = starts.get(number + 1).copied().unwrap_or(frame.len());
            let unit = frame.slice(start + START_CODE.len()..end);
            // A start code of four bytes begins with a zero, and a NAL unit never ends with one.
            let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
            unit.slice(..unit.len() - zeros)
        });

        Ok(units
            .filter(|unit| {
                unit.first()
                    .is_some_and(|header| header & 0x1f != ACCESS_UNIT_DELIMITER)
            })
            .collect())
    }

    fn clone_to(&self) -> Box<dyn Payloader> {
        Box::new(*self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use tandem_media::I420;
    use tandem_media::codec::{EncoderConfig, encoder};
    use tandem_media::video::test_pattern;

    use super::*;

    #[test]
    fn every_nal_unit_of_a_keyframe_fits_into_a_packet() {
        let config = EncoderConfig {
            width: 1280,
            height: 720,
            fps: 30.0,
            bitrate_bps: 2_500_000,
            max_nal_bytes: Some(MAX_PAYLOAD as u32),
        };
        let mut image = I420::new(config.width, config.height);
        test_pattern::draw(&mut image, 0, 0);
        let frame = encoder(VideoCodec::H264, config)
            .unwrap()
            .encode(&image, 0, true)
            .unwrap()
            .unwrap();
        let size = frame.data.len();

        let packets = Packetizer::single_nal().packetize(frame.data);
        assert!(packets.len() > 3, "{size} bytes are more than a packet");
        let largest = packets.iter().map(|packet| packet.data.len()).max();
        assert!(largest <= Some(MAX_PAYLOAD), "{largest:?}");

        let kinds: Vec<u8> = packets.iter().map(|packet| packet.data[0] & 0x1f).collect();
        assert_eq!(kinds[..2], [7, 8], "parameter sets");
        assert!(kinds[2..].iter().all(|kind| *kind == 5), "{kinds:?}");
        let marked: Vec<bool> = packets.iter().map(|packet| packet.marker).collect();
        assert_eq!(marked.iter().filter(|marker| **marker).count(), 1);
        assert_eq!(marked.last(), Some(&true));
    }

    #[test]
    fn start_codes_of_both_lengths_separate_units() {
        let frame = [
            0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65, 2, 3,
        ];
        let payloads = SingleNal
            .payload(0, &Bytes::copy_from_slice(&frame))
            .unwrap();
        assert_eq!(payloads, [&[0x67_u8, 1][..], &[0x65, 2, 3]]);
        assert!(SingleNal.payload(0, &Bytes::new()).unwrap().is_empty());
    }
}
