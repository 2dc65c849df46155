//! Counts what leaves.

use std::sync::Arc;

use parking_lot::Mutex;
use rtc::interceptor::{Packet, TaggedPacket};

use super::Tap;

/// The most streams that are told apart: audio and video, each with another SSRC now and then.
const MAX_STREAMS: usize = 16;

/// RTP of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Packets, those that were sent again included.
    pub(crate) packets: u64,
    /// Bytes of payload.
    pub(crate) bytes: u64,
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

    fn add(&self, ssrc: u32, bytes: usize) {
        let mut streams = self.0.lock();
        let known = streams.iter().position(|(other, _)| *other == ssrc);
        let index = match known {
            Some(index) => index,
            None if streams.len() == MAX_STREAMS => return,
            None => {
                streams.push((ssrc, Sent::default()));
                streams.len() - 1
            }
        };

        streams[index].1.packets += 1;
        streams[index].1.bytes += bytes as u64;
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
            self.sent.add(rtp.header.ssrc, rtp.payload.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_apart_and_not_without_end() {
        let sent = SentStreams::default();
        sent.add(1, 100);
        sent.add(2, 10);
        sent.add(1, 50);
        let expected = Sent {
            packets: 2,
            bytes: 150,
        };
        assert_eq!(sent.of(1), expected);
        assert_eq!(sent.of(3), Sent::default());

        for ssrc in 0..1_000 {
            sent.add(ssrc, 1);
        }
        assert_eq!(sent.0.lock().len(), MAX_STREAMS);
    }
}
