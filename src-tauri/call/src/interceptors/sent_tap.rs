//! Counts what leaves.

use std::sync::Arc;

use parking_lot::Mutex;
use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtp::header::Header;

use super::Tap;

/// The most streams that are told apart: audio and video, each with another SSRC now and then.
const MAX_STREAMS: usize = 16;

/// A frame that is no older than so many ticks (10 s of video) can be sent again.
const RESENT: u32 = 900_000;

/// RTP of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Packets, those that were sent again included.
    pub(crate) packets: u64,
    /// Bytes of payload.
    pub(crate) bytes: u64,
    /// Frames of video whose last packet has left, each counted once.
    pub(crate) frames: u64,
    /// The RTP timestamp of the newest of them.
    newest: Option<u32>,
}

impl Sent {
    fn add(&mut self, header: &Header, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;

        // The marker is on the last packet of a frame (RFC 6184 §5.1, RFC 7741 §4.1). One that is sent
        // again belongs to an older frame. A fresh connection has timestamps of its own.
        let is_again = |newest: u32| newest.wrapping_sub(header.timestamp) <= RESENT;
        if header.marker && !self.newest.is_some_and(is_again) {
            self.frames += 1;
            self.newest = Some(header.timestamp);
        }
    }
}

/// What has been sent so far. Readable from any thread.
#[derive(Debug, Default)]
pub(crate) struct SentStreams(Mutex<Vec<(u32, Sent)>>);

impl SentStreams {
    /// What has been sent of the stream with this SSRC.
    pub(crate) fn of(&self, ssrc: u32) -> Sent {
        let streams = self.0.lock();
        streams
            .iter()
            .find(|(other, _)| *other == ssrc)
            .map_or(Sent::default(), |(_, sent)| *sent)
    }

    fn add(&self, header: &Header, bytes: usize) {
        let mut streams = self.0.lock();
        let ssrc = header.ssrc;
        let known = streams.iter().position(|(other, _)| *other == ssrc);
        let index = match known {
            Some(index) => index,
            None if streams.len() == MAX_STREAMS => return,
            None => {
                streams.push((ssrc, Sent::default()));
                streams.len() - 1
            }
        };

        streams[index].1.add(header, bytes);
    }
}

/// Counts the packets that go to the socket, in [`SentStreams`]. Before the connection is up, and
/// while the partner wants nothing, none does.
pub(crate) struct SentTap {
    sent: Arc<SentStreams>,
}

impl SentTap {
    pub(crate) fn new(sent: Arc<SentStreams>) -> Self {
        Self { sent }
    }
}

impl Tap for SentTap {
    fn on_write(&mut self, packet: &TaggedPacket) {
        if let Packet::Rtp(rtp) = &packet.message.packet {
            self.sent.add(&rtp.header, rtp.payload.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ssrc: u32, timestamp: u32, marker: bool) -> Header {
        Header {
            ssrc,
            timestamp,
            marker,
            ..Header::default()
        }
    }

    #[test]
    fn streams_are_counted_apart_and_not_without_end() {
        let sent = SentStreams::default();
        sent.add(&header(1, 0, false), 100);
        sent.add(&header(2, 0, false), 10);
        sent.add(&header(1, 0, false), 50);
        let expected = Sent {
            packets: 2,
            bytes: 150,
            ..Sent::default()
        };
        assert_eq!(sent.of(1), expected);
        assert_eq!(sent.of(3), Sent::default());

        for ssrc in 0..1_000 {
            sent.add(&header(ssrc, 0, false), 1);
        }
        assert_eq!(sent.0.lock().len(), MAX_STREAMS);
    }

    #[test]
    fn a_frame_counts_once_when_its_last_packet_leaves() {
        let sent = SentStreams::default();
        // Near the end of the range, and with a packet that is sent again.
        let start = u32::MAX - 4_000;
        for (timestamp, marker) in [
            (0, false),
            (0, true),
            (3_000, false),
            (0, true),
            (3_000, true),
        ] {
            sent.add(&header(7, start.wrapping_add(timestamp), marker), 1_000);
        }
        sent.add(&header(7, start.wrapping_add(6_000), true), 1_000);
        sent.add(&header(7, start.wrapping_add(9_000), false), 1_000);
        assert_eq!(sent.of(7).frames, 3, "the fourth has not left whole");

        // Whatever timestamps a fresh connection begins with.
        for base in [u32::MAX / 2, start.wrapping_sub(RESENT)] {
            let before = sent.of(7).frames;
            sent.add(&header(7, start.wrapping_add(base), true), 1_000);
            assert_eq!(sent.of(7).frames, before + 1);
        }
    }
}
