//! Frames from packets that arrive in any order, twice or never.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tandem_media::codec::VideoCodec;

use super::depacketize::{self, PayloadRole};
use super::sequence::{StreamSequence, Unwrapped};

/// One received packet of a video stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPacket {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// RTP marker bit: the last packet of its frame.
    pub marker: bool,
    /// What follows the RTP header. Empty for padding, which only uses up a sequence number.
    pub payload: Bytes,
}

/// How long to wait and how much to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssemblerConfig {
    /// How long a missing packet may hold up the frames behind it.
    pub wait: Duration,
    /// How often a keyframe is requested again until one arrives.
    pub request_interval: Duration,
    /// At most this many packets are kept.
    pub max_packets: usize,
    /// At most this many bytes of payload are kept.
    pub max_bytes: usize,
}

impl Default for AssemblerConfig {
    /// Waits for four retransmissions over a path with a round-trip time of 50 ms; keeps 4 s of a
    /// 2.5 Mbit/s stream.
    fn default() -> Self {
        Self {
            wait: Duration::from_millis(300),
            request_interval: Duration::from_millis(300),
            max_packets: 1_024,
            max_bytes: 2 << 20,
        }
    }
}

/// One frame as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssembledFrame {
    /// Annex B with four-byte start codes for H.264, one frame for VP8.
    pub data: Vec<u8>,
    /// Whether a decoder can start here.
    pub keyframe: bool,
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
}

/// What has happened to a stream so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AssemblerStats {
    /// Packets accepted, each sequence number once.
    pub packets: u64,
    /// Sequence numbers between the first and the newest that are missing. Falls when a late packet
    /// arrives.
    pub lost: u64,
    /// Packets that arrived after a later one and filled a gap: reordered or sent again.
    pub late: u64,
    /// Packets that arrived a second time.
    pub duplicates: u64,
    /// Packets that arrived too late for their frame, or were dropped to stay within the bounds.
    pub discarded: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// How often a keyframe was requested.
    pub keyframe_requests: u64,
    /// Frames whose payloads break the rules of their format.
    pub broken_frames: u64,
}

/// Puts the packets of one video stream back in order and assembles frames from them.
///
/// Frames come out in order and without gaps, so that every reference frame is there. When a packet
/// is missing for longer than [`AssemblerConfig::wait`], the assembler drops everything up to the
/// next keyframe and requests one.
#[derive(Debug)]
pub struct FrameAssembler {
    codec: VideoCodec,
    config: AssemblerConfig,
    sequence: StreamSequence,
    packets: BTreeMap<i64, Kept>,
    bytes: usize,
    /// The first packet of the next frame; `None` if only a keyframe will do.
    next: Option<i64>,
    /// The last number that was delivered or given up.
    passed: i64,
    /// The last number that was delivered.
    delivered: i64,
    /// The first number of the stream.
    first: Option<i64>,
    /// Since when a missing packet has been holding up a frame.
    stalled_since: Option<Instant>,
    /// A keyframe has brought parameter sets.
    has_parameters: bool,
    request_due: Option<Instant>,
    request_pending: bool,
    ready: VecDeque<AssembledFrame>,
    stats: AssemblerStats,
}

#[derive(Debug)]
struct Kept {
    timestamp: u32,
    marker: bool,
    role: PayloadRole,
    payload: Bytes,
}

impl FrameAssembler {
    /// An assembler that waits for its first keyframe.
    #[must_use]
    pub fn new(codec: VideoCodec, config: AssemblerConfig) -> Self {
        Self {
            codec,
            config,
            sequence: StreamSequence::default(),
            packets: BTreeMap::new(),
            bytes: 0,
            next: None,
            passed: i64::MIN,
            delivered: i64::MIN,
            first: None,
            stalled_since: None,
            has_parameters: false,
            request_due: None,
            request_pending: false,
            ready: VecDeque::new(),
            stats: AssemblerStats::default(),
        }
    }

    /// Adapts the wait to the path: four retransmissions, each a round trip and a NACK interval,
    /// but between 150 and 600 ms. At 10 % loss one packet in a thousand needs the fourth, and a
    /// keyframe takes longer.
    pub fn set_rtt(&mut self, rtt: Duration) {
        let tries = 4 * (rtt + Duration::from_millis(25));
        self.config.wait = tries.clamp(Duration::from_millis(150), Duration::from_millis(600));
    }

    /// Adds a packet that arrived at `now`.
    pub fn insert(&mut self, now: Instant, packet: VideoPacket) {
        let mut newest = self.sequence.newest();
        let number = match self.sequence.unwrap(packet.sequence) {
            Unwrapped::Number(number) => number,
            Unwrapped::Stale => {
                self.stats.discarded += 1;
                return;
            }
            Unwrapped::Restart(number) => {
                self.restart(number);
                newest = None;
                number
            }
        };

        // Numbers before the first packet were never waited for, so they are neither lost nor late.
        let first = *self.first.get_or_insert(number);
        if self.packets.contains_key(&number) {
            self.stats.duplicates += 1;
            return;
        }

        if number <= self.passed {
            self.stats.discarded += 1;
            return;
        }

        self.stats.packets += 1;
        if newest.is_some_and(|newest| number < newest) && number > first {
            self.stats.late += 1;
            self.stats.lost = self.stats.lost.saturating_sub(1);
        } else if let Some(newest) = newest.filter(|newest| number > *newest) {
            self.stats.lost += u64::try_from(number - newest - 1).unwrap_or(0);
        }

        self.bytes += packet.payload.len();
        let role = depacketize::role(self.codec, &packet.payload);

        if newest.is_none() && role.starts_keyframe {
            // The rest of it is on its way: no need to request another one yet.
            self.request_due = Some(now + self.config.request_interval);
        }

        let VideoPacket {
            timestamp,
            marker,
            payload,
            ..
        } = packet;

        self.packets.insert(
            number,
            Kept {
                timestamp,
                marker,
                role,
                payload,
            },
        );
        self.advance(now);

        if self.packets.len() > self.config.max_packets || self.bytes > self.config.max_bytes {
            self.give_up(now);
            self.shrink();
        }
    }

    /// The next frame, if it is complete.
    pub fn poll_frame(&mut self) -> Option<AssembledFrame> {
        self.ready.pop_front()
    }

    /// Whether to request a keyframe from the sender now. True once per request.
    pub fn poll_keyframe_request(&mut self) -> bool {
        std::mem::take(&mut self.request_pending)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let give_up = self.stalled_since.map(|since| since + self.config.wait);
        [give_up, self.request_due].into_iter().flatten().min()
    }

    /// Gives up packets that have been missing for too long, and repeats the request for a keyframe
    /// that has not arrived.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self
            .stalled_since
            .is_some_and(|since| now >= since + self.config.wait)
        {
            self.give_up(now);
        }

        if self.request_due.is_some_and(|due| now >= due) {
            self.request_keyframe(now);
        }
    }

    /// The decoder could not decode a frame: only a keyframe helps.
    pub fn decoder_failed(&mut self, now: Instant) {
        self.ready.clear();
        self.give_up(now);
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> AssemblerStats {
        self.stats
    }

    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.packets.len()
    }

    fn request_keyframe(&mut self, now: Instant) {
        self.request_pending = true;
        self.stats.keyframe_requests += 1;
        self.request_due = Some(now + self.config.request_interval);
    }

    fn restart(&mut self, number: i64) {
        self.stats.discarded += self.packets.len() as u64;
        self.packets.clear();
        self.bytes = 0;
        self.first = Some(number);
        self.passed = number - 1;
        self.has_parameters = false;
        self.next = None;
        self.stalled_since = None;
    }

    /// Delivers every complete frame. Requests a keyframe if nothing else helps.
    fn advance(&mut self, now: Instant) {
        loop {
            if self.next.is_none() && !self.jump_to_keyframe() {
                if self.request_due.is_none() {
                    self.request_keyframe(now);
                }

                return;
            }

            let Some(start) = self.next.map(|next| self.skip_padding(next)) else {
                return;
            };

            self.next = Some(start);
            let Some(end) = self.frame_end(start) else {
                let waits = self
                    .packets
                    .last_key_value()
                    .is_some_and(|(newest, _)| !self.is_whole(start, *newest));
                self.stalled_since = waits.then(|| self.stalled_since.unwrap_or(now));
                return;
            };

            self.stalled_since = None;
            self.deliver(start, end);
        }
    }

    /// Skips padding, which has a number and nothing else.
    fn skip_padding(&mut self, mut number: i64) -> i64 {
        while self
            .packets
            .get(&number)
            .is_some_and(|packet| packet.payload.is_empty())
        {
            self.packets.remove(&number);
            self.passed = number;
            number += 1;
        }

        number
    }

    /// Whether every packet from `start` to `end` is there.
    fn is_whole(&self, start: i64, end: i64) -> bool {
        let expected = usize::try_from(end - start + 1).unwrap_or(0);
        expected == 0 || self.packets.range(start..=end).count() == expected
    }

    /// The last packet of the frame that starts at `start`, if the frame is complete: the packet
    /// with the marker, or the last before another timestamp.
    fn frame_end(&self, start: i64) -> Option<i64> {
        let timestamp = self.packets.get(&start)?.timestamp;
        for (expected, (&number, packet)) in (start..).zip(self.packets.range(start..)) {
            if number != expected {
                return None;
            }

            if packet.timestamp != timestamp {
                return Some(number - 1);
            }

            if packet.marker {
                return Some(number);
            }
        }

        None
    }

    /// Finds the first complete keyframe, and drops what lies before it.
    fn jump_to_keyframe(&mut self) -> bool {
        let starts = self
            .packets
            .iter()
            .filter(|(number, packet)| self.is_keyframe_start(**number, packet));
        let Some(start) = starts
            .map(|(&number, _)| number)
            .find(|&number| self.frame_end(number).is_some())
        else {
            return false;
        };

        self.drop_before(start);
        self.next = Some(start);
        true
    }

    /// Whether a keyframe starts with this packet. Without parameter sets it only does if an
    /// earlier keyframe brought some and nothing of this frame can be missing before it.
    fn is_keyframe_start(&self, number: i64, packet: &Kept) -> bool {
        let follows_a_frame = || {
            let before = self.packets.get(&(number - 1));
            number - 1 == self.delivered
                || before
                    .is_some_and(|before| before.marker || before.timestamp != packet.timestamp)
        };

        packet.role.starts_keyframe
            && (packet.role.has_parameters || (self.has_parameters && follows_a_frame()))
    }

    fn drop_before(&mut self, number: i64) {
        let kept = self.packets.split_off(&number);
        self.stats.discarded += self.packets.len() as u64;
        self.packets = kept;
        self.bytes = self
            .packets
            .values()
            .map(|packet| packet.payload.len())
            .sum();
        self.passed = self.passed.max(number - 1);
    }

    fn deliver(&mut self, start: i64, end: i64) {
        let rest = self.packets.split_off(&(end + 1));
        let frame = std::mem::replace(&mut self.packets, rest);
        let payloads: Vec<&[u8]> = frame
            .values()
            .map(|packet| &packet.payload[..])
            .filter(|payload| !payload.is_empty())
            .collect();
        let size: usize = payloads.iter().map(|payload| payload.len()).sum();
        self.bytes = self.bytes.saturating_sub(size);
        (self.passed, self.delivered) = (end, end);
        self.next = Some(end + 1);
        let timestamp = frame.get(&start).map_or(0, |packet| packet.timestamp);
        let keyframe = depacketize::is_keyframe(self.codec, &payloads);
        let mut data = Vec::with_capacity(size + 64);

        if let Err(error) = depacketize::depacketize(self.codec, &payloads, &mut data) {
            tracing::debug!(%error, "dropped a broken frame: waiting for a keyframe");
            self.stats.broken_frames += 1;
            self.next = None;
            return;
        }

        self.has_parameters |= frame.values().any(|packet| packet.role.has_parameters);
        if keyframe {
            self.request_due = None;
            self.request_pending = false;
            self.stats.keyframes += 1;
        }

        self.stats.frames += 1;
        self.ready.push_back(AssembledFrame {
            data,
            keyframe,
            timestamp,
        });
    }

    /// Gives up waiting: from here on only a keyframe will do.
    fn give_up(&mut self, now: Instant) {
        self.next = None;
        self.stalled_since = None;
        self.advance(now);
    }

    /// Drops the oldest packets until half of the room is free.
    fn shrink(&mut self) {
        let (packets, bytes) = (self.config.max_packets / 2, self.config.max_bytes / 2);
        while self.packets.len() > packets || self.bytes > bytes {
            let Some((number, packet)) = self.packets.pop_first() else {
                return;
            };

            self.bytes -= packet.payload.len();
            self.passed = self.passed.max(number);
            self.stats.discarded += 1;
        }
    }
}
