//! Which packets are retransmissions on a stream of their own (RTX, RFC 4588).
//!
//! The library turns such a packet back into the original only behind the interceptors (rtc 0.21.1,
//! `peer_connection/handler/endpoint.rs`), so taps that count what is missing have to know.

use rtc::interceptor::StreamInfo;

use super::Declared;
use super::streams::Streams;

/// The streams of retransmissions, by what they retransmit.
#[derive(Debug, Default)]
pub(super) struct Retransmissions {
    /// From the SSRC of the retransmissions to that of the media.
    streams: Streams<u32>,
    /// The library says which streams belong together only if packets carry its own payload types.
    declared: Declared,
}

impl Retransmissions {
    pub(super) fn new(declared: Declared) -> Self {
        Self {
            streams: Streams::default(),
            declared,
        }
    }

    /// A stream of the partner begins. That of the media comes before that of its retransmissions,
    /// whose SSRC is returned.
    pub(super) fn bind(&mut self, info: &StreamInfo) -> Option<u32> {
        let ssrc = info
            .ssrc_rtx
            .or_else(|| self.declared.repair_of(info.ssrc))?;
        self.streams.begin(ssrc);
        if let Some(media) = self.streams.get_mut(ssrc) {
            *media = info.ssrc;
        }

        Some(ssrc)
    }

    /// A stream of the partner ends.
    pub(super) fn unbind(&mut self, info: &StreamInfo) {
        let of_this = self.streams.iter_mut();
        let repairs: Vec<u32> = of_this
            .filter(|(_, media)| **media == info.ssrc)
            .map(|(ssrc, _)| ssrc)
            .collect();
        for ssrc in repairs {
            self.streams.end(ssrc);
        }
    }

    /// Whether the stream with this SSRC carries retransmissions.
    pub(super) fn carries(&self, ssrc: u32) -> bool {
        self.streams.get(ssrc).is_some()
    }

    /// SSRC and sequence number of the packet that `packet` retransmits. `None` if it is none, or
    /// only padding.
    pub(super) fn original(&self, packet: &rtc::rtp::Packet) -> Option<(u32, u16)> {
        let media = self.streams.get(packet.header.ssrc)?;
        let number = packet.payload.first_chunk::<2>()?;
        Some((*media, u16::from_be_bytes(*number)))
    }
}

#[cfg(test)]
pub(super) mod testing {
    use rtc::interceptor::{RTCPFeedback, StreamInfo};
    use rtc::rtp;

    /// The video of a partner and its retransmissions, in the order in which the library binds them.
    pub(in super::super) fn streams(media: u32, retransmissions: u32) -> [StreamInfo; 2] {
        let nack = RTCPFeedback {
            typ: "nack".into(),
            parameter: String::new(),
        };

        let stream = |ssrc, ssrc_rtx| StreamInfo {
            ssrc,
            ssrc_rtx,
            // The library gives the second stream the codec of the first one, feedback included.
            rtcp_feedback: vec![nack.clone()],
            ..StreamInfo::default()
        };

        [
            stream(media, Some(retransmissions)),
            stream(retransmissions, None),
        ]
    }

    /// An RTP packet.
    pub(in super::super) fn packet(ssrc: u32, number: u16, payload: &[u8]) -> rtp::Packet {
        rtp::Packet {
            header: rtp::Header {
                ssrc,
                sequence_number: number,
                ..rtp::Header::default()
            },
            payload: payload.to_vec().into(),
        }
    }

    /// A packet that retransmits packet `original` of the media.
    pub(in super::super) fn retransmission(ssrc: u32, number: u16, original: u16) -> rtp::Packet {
        let payload = [&original.to_be_bytes()[..], &[1, 2, 3]].concat();
        packet(ssrc, number, &payload)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{packet, retransmission, streams};
    use super::*;

    #[test]
    fn a_retransmission_names_its_original() {
        let mut known = Retransmissions::default();
        let [media, repair] = streams(1, 2);
        known.bind(&media);
        known.bind(&repair);

        assert!(known.carries(2) && !known.carries(1));
        assert_eq!(known.original(&retransmission(2, 9, 700)), Some((1, 700)));
        assert_eq!(known.original(&packet(2, 10, &[])), None, "padding");
        assert_eq!(known.original(&packet(2, 11, &[7])), None, "cut off");
        assert_eq!(known.original(&retransmission(1, 12, 700)), None);

        known.unbind(&media);
        assert!(!known.carries(2));
    }

    #[test]
    fn streams_that_the_library_does_not_join_are_joined_by_the_description() {
        let declared = Declared::default();
        let mut known = Retransmissions::new(declared.clone());
        declared.set(vec![(1, Some(2)), (3, None)]);
        let stream = |ssrc| StreamInfo {
            ssrc,
            ..StreamInfo::default()
        };
        assert_eq!(known.bind(&stream(1)), Some(2));
        assert_eq!(known.bind(&stream(3)), None);
        assert_eq!(known.original(&retransmission(2, 9, 700)), Some((1, 700)));

        known.unbind(&stream(1));
        assert!(!known.carries(2));
    }
}
