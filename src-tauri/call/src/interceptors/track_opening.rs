//! Holds the first packets of a stream until the library has a track for them.
//!
//! **The library** learns of a stream with its first packet, and queues that a track begins and the
//! packet. What came through a TURN server it reads in the step that also delivers packets (webrtc 0.21.1,
//! `peer_connection/driver.rs`, `poll_reads`, 3.a and 3.b), while tracks begin in the step before
//! (`poll_events`). So it has no track for the first packets and drops them: "Failed to get
//! track_remote". The first keyframe is among them.
//!
//! **We** hold the packets of a stream that begins until the library's next look at its timers. The steps
//! begin anew after that, so the track is there, and less than a millisecond has passed.
//!
//! **Upstream:** to be filed: "The first packets of a track are lost through TURN".
//!
//! **It can go** when `tests/firewalls.rs` passes without it.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

/// An interceptor that holds what arrives for streams that have just begun.
#[derive(Default)]
pub(crate) struct TrackOpening {
    /// Streams that have begun since the timers were last looked at.
    opening: HashSet<u32>,
    /// Their packets, and since when the first of them waits.
    held: VecDeque<TaggedPacket>,
    since: Option<Instant>,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for TrackOpening {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let is_opening = match &packet.message.packet {
            Packet::Rtp(rtp) => self.opening.contains(&rtp.header.ssrc),
            _ => false,
        };

        if is_opening {
            self.since.get_or_insert(packet.now);
            self.held.push_back(packet);
        } else {
            self.inbound.push_back(packet);
        }

        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), Error> {
        self.opening.clear();
        self.since = None;
        self.inbound.append(&mut self.held);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.since
    }
}

impl Interceptor for TrackOpening {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.opening.insert(info.ssrc);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.opening.remove(&info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "any moment will do")]

    use rtc::interceptor::AttributedPacket;
    use rtc::rtp;
    use rtc::shared::TransportContext;

    use super::*;

    fn packet(now: Instant, ssrc: u32, sequence_number: u16) -> TaggedPacket {
        let mut packet = rtp::Packet::default();
        (packet.header.ssrc, packet.header.sequence_number) = (ssrc, sequence_number);
        TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtp(packet)),
        }
    }

    fn begin(opening: &mut TrackOpening, ssrc: u32) {
        opening.bind_remote_stream(&StreamInfo {
            ssrc,
            ..StreamInfo::default()
        });
    }

    fn delivered(opening: &mut TrackOpening) -> Vec<(u32, u16)> {
        let packets = std::iter::from_fn(|| opening.poll_read());
        packets
            .filter_map(|packet| match packet.message.packet {
                Packet::Rtp(rtp) => Some((rtp.header.ssrc, rtp.header.sequence_number)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_first_packets_wait_for_the_timers_and_keep_their_order() {
        let (mut opening, now) = (TrackOpening::default(), Instant::now());
        begin(&mut opening, 1);
        for number in [1, 3, 2] {
            opening.handle_read(packet(now, 1, number)).unwrap();
        }

        assert_eq!(delivered(&mut opening), [], "there is no track yet");
        assert_eq!(opening.poll_timeout(), Some(now), "at once");
        opening.handle_timeout(now).unwrap();
        opening.handle_read(packet(now, 1, 4)).unwrap();
        assert_eq!(delivered(&mut opening), [(1, 1), (1, 3), (1, 2), (1, 4)]);
        assert_eq!(opening.poll_timeout(), None, "nothing waits");
    }

    #[test]
    fn other_streams_do_not_wait() {
        let (mut opening, now) = (TrackOpening::default(), Instant::now());
        begin(&mut opening, 1);
        opening.handle_timeout(now).unwrap();
        begin(&mut opening, 2);
        opening.handle_read(packet(now, 2, 7)).unwrap();
        opening.handle_read(packet(now, 1, 8)).unwrap();
        assert_eq!(delivered(&mut opening), [(1, 8)]);
        opening.handle_timeout(now).unwrap();
        assert_eq!(delivered(&mut opening), [(2, 7)]);
    }
}
