//! Frames from packets that arrive in any order, twice or never.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tandem_media::codec::VideoCodec;

use super::depacketize::{self, PayloadRole};
use super::requests::KeyframeRequests;
use super::runs::{Place, Run, Runs};
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
    /// How soon a keyframe is requested again until one arrives. After a few requests it takes
    /// longer and longer.
    pub request_interval: Duration,
    /// The longest time between two requests.
    pub max_request_interval: Duration,
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
            max_request_interval: Duration::from_secs(2),
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
    /// The same packets, as what may be frames.
    runs: Runs,
    /// The first number of each run that is a complete keyframe. It is looked at again before use.
    keyframes: BTreeSet<i64>,
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
    requests: KeyframeRequests,
    ready: VecDeque<AssembledFrame>,
    stats: AssemblerStats,
}

#[derive(Debug)]
struct Kept {
    timestamp: u32,
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
            runs: Runs::default(),
            keyframes: BTreeSet::new(),
            bytes: 0,
            next: None,
            passed: i64::MIN,
            delivered: i64::MIN,
            first: None,
            stalled_since: None,
            has_parameters: false,
            requests: KeyframeRequests::new(config.request_interval, config.max_request_interval),
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
            self.requests.expect(now);
        }

        let VideoPacket {
            timestamp,
            marker,
            payload,
            ..
        } = packet;

        self.runs.insert(
            number,
            Place {
                timestamp,
                marker,
                starts_keyframe: role.starts_keyframe && role.has_parameters,
            },
        );
        self.packets.insert(
            number,
            Kept {
                timestamp,
                role,
                payload,
            },
        );
        self.note_keyframes_near(number);
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

    /// The decoder has parameter sets already: keyframes need not bring any.
    pub fn set_has_parameters(&mut self) {
        self.has_parameters = true;
    }

    /// Whether to request a keyframe from the sender now. True once per request.
    pub fn poll_keyframe_request(&mut self) -> bool {
        self.requests.poll()
    }

    /// Whether the sender is expected to send: nobody answers a request while its camera is off.
    /// When it is back, a keyframe that is still needed is requested at once.
    pub fn set_expected(&mut self, now: Instant, expected: bool) {
        self.requests.set_expected(now, expected);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let give_up = self.stalled_since.map(|since| since + self.config.wait);
        [give_up, self.requests.due()].into_iter().flatten().min()
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

        self.requests.handle_timeout(now);
    }

    /// The decoder could not decode a frame: only a keyframe helps.
    pub fn decoder_failed(&mut self, now: Instant) {
        self.ready.clear();
        self.give_up(now);
    }

    /// A keyframe was decoded.
    pub fn keyframe_decoded(&mut self) {
        self.requests.decoded();
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> AssemblerStats {
        AssemblerStats {
            keyframe_requests: self.requests.count(),
            ..self.stats
        }
    }

    /// How many packets are kept.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.packets.len()
    }

    /// Steps taken so far to find frames.
    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.runs.steps()
    }

    fn restart(&mut self, number: i64) {
        self.stats.discarded += self.packets.len() as u64;
        self.packets.clear();
        self.runs.clear();
        self.keyframes.clear();
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
                self.requests.need(now);
                return;
            }

            let Some(start) = self.next.map(|next| self.skip_padding(next)) else {
                return;
            };

            self.next = Some(start);
            let Some(end) = self.runs.frame_end(start) else {
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
            number += 1;
            self.remove_before(number);
        }

        number
    }

    /// Whether every packet from `start`, the first of the next frame, to `end`, the newest, is there.
    fn is_whole(&self, start: i64, end: i64) -> bool {
        // Nothing before `start` is kept, and nothing after `end`.
        let expected = usize::try_from(end - start + 1).unwrap_or(0);
        expected == 0 || self.packets.len() == expected
    }

    /// Finds the first complete keyframe, and drops what lies before it.
    fn jump_to_keyframe(&mut self) -> bool {
        while let Some(first) = self.keyframes.pop_first() {
            self.runs.count_steps(1);
            let run = self.runs.at(first);
            if let Some(start) = run.and_then(|run| self.keyframe_start(&run)) {
                self.stats.discarded += self.remove_before(start);
                self.next = Some(start);
                return true;
            }
        }

        false
    }

    /// Remembers the keyframes that the packet `number` may have completed: the run that it belongs
    /// to, the one before, which it ends, and the one after, before which nothing is missing now.
    fn note_keyframes_near(&mut self, number: i64) {
        let Some(run) = self.runs.at(number) else {
            return;
        };

        for number in [run.first - 1, run.first, run.last + 1] {
            self.note_keyframe_at(number);
        }
    }

    /// Remembers the run that contains `number` if it is a complete keyframe.
    fn note_keyframe_at(&mut self, number: i64) {
        self.runs.count_steps(1);
        if let Some(run) = self.runs.at(number)
            && self.keyframe_start(&run).is_some()
        {
            self.keyframes.insert(run.first);
        }
    }

    /// A keyframe brought parameter sets: those without are keyframes now, too.
    fn note_parameters(&mut self) {
        if !std::mem::replace(&mut self.has_parameters, true) {
            let all: Vec<i64> = self.runs.iter().map(|run| run.first).collect();
            for first in all {
                self.note_keyframe_at(first);
            }
        }
    }

    /// Where a complete keyframe starts in `run`. Without parameter sets it only does if an earlier
    /// keyframe brought some and nothing of this frame can be missing before it.
    fn keyframe_start(&self, run: &Run) -> Option<i64> {
        if !self.runs.is_complete(run) {
            return None;
        }

        let follows_a_frame =
            || run.first - 1 == self.delivered || self.packets.contains_key(&(run.first - 1));
        let is_keyframe = self
            .packets
            .get(&run.first)
            .is_some_and(|packet| packet.role.starts_keyframe);
        if is_keyframe && self.has_parameters && follows_a_frame() {
            return Some(run.first);
        }

        run.keyframe
    }

    /// Removes every packet before `number`. Returns how many there were.
    fn remove_before(&mut self, number: i64) -> u64 {
        let mut removed = 0;
        while let Some(entry) = self.packets.first_entry() {
            if *entry.key() >= number {
                break;
            }

            self.bytes -= entry.remove().payload.len();
            removed += 1;
        }

        let packets = &self.packets;
        let mut steps = removed;
        self.runs.drop_before(number, |from, to| {
            packets
                .range(from..=to)
                .inspect(|_| steps += 1)
                .find(|(_, packet)| packet.role.starts_keyframe && packet.role.has_parameters)
                .map(|(&number, _)| number)
        });
        self.runs.count_steps(steps);
        self.passed = self.passed.max(number - 1);
        self.keyframes = self.keyframes.split_off(&number);
        self.note_keyframe_at(number);
        removed
    }

    fn deliver(&mut self, start: i64, end: i64) {
        let kept = self.packets.range(start..=end).map(|(_, packet)| packet);
        let payloads: Vec<Bytes> = kept
            .clone()
            .map(|packet| packet.payload.clone())
            .filter(|payload| !payload.is_empty())
            .collect();
        let brings_parameters = kept.clone().any(|packet| packet.role.has_parameters);
        let timestamp = self
            .packets
            .get(&start)
            .map_or(0, |packet| packet.timestamp);

        (self.delivered, self.next) = (end, Some(end + 1));
        self.remove_before(end + 1);

        let payloads: Vec<&[u8]> = payloads.iter().map(|payload| &payload[..]).collect();
        let size: usize = payloads.iter().map(|payload| payload.len()).sum();
        let keyframe = depacketize::is_keyframe(self.codec, &payloads);
        let mut data = Vec::with_capacity(size + 64);

        if let Err(error) = depacketize::depacketize(self.codec, &payloads, &mut data) {
            tracing::debug!(%error, "dropped a broken frame: waiting for a keyframe");
            self.stats.broken_frames += 1;
            self.next = None;
            return;
        }

        if brings_parameters {
            self.note_parameters();
        }

        if keyframe {
            self.requests.fulfilled();
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
            let Some((&oldest, _)) = self.packets.first_key_value() else {
                return;
            };

            self.stats.discarded += self.remove_before(oldest + 1);
        }
    }
}
