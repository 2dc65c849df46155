//! Counters that the media threads write and the statistics read.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tandem_media::audio::percentile::PercentileWindow;

use super::stats::{VideoReceived, VideoSent};
use crate::rtp::{AssemblerStats, FreezeDetector};

/// How many of the newest values percentiles are computed over: 20 s at 30 frames per second.
const WINDOW: usize = 600;

/// Bytes of RTP payload that came, audio and video.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: AtomicU64,
}

/// The mean rate from the first event to the newest.
#[derive(Debug, Default)]
struct Rate {
    first: Option<Instant>,
    newest: Option<Instant>,
    count: u64,
}

impl Rate {
    fn on_event(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.newest = Some(now);
        self.count += 1;
    }

    fn per_second(&self) -> f32 {
        let (Some(first), Some(newest)) = (self.first, self.newest) else {
            return 0.0;
        };

        let seconds = newest.saturating_duration_since(first).as_secs_f32();
        if seconds > 0.0 {
            (self.count - 1) as f32 / seconds
        } else {
            0.0
        }
    }
}

/// Figures of the video that is sent.
#[derive(Debug)]
pub(super) struct SendRecorder {
    totals: VideoSent,
    rate: Rate,
    encode_ms: PercentileWindow,
}

impl Default for SendRecorder {
    fn default() -> Self {
        Self {
            totals: VideoSent::default(),
            rate: Rate::default(),
            encode_ms: PercentileWindow::new(WINDOW),
        }
    }
}

/// One frame that was sent.
pub(super) struct SentFrame {
    pub(super) at: Instant,
    pub(super) keyframe: bool,
    /// Bytes of bitstream.
    pub(super) bytes: usize,
    /// Width and height in pixels.
    pub(super) size: (u32, u32),
    /// How long encoding took.
    pub(super) encoding: Duration,
}

impl SendRecorder {
    pub(super) fn on_frame(&mut self, frame: &SentFrame) {
        self.rate.on_event(frame.at);
        self.totals.frames += 1;
        self.totals.keyframes += u64::from(frame.keyframe);
        self.totals.bytes += frame.bytes as u64;
        (self.totals.width, self.totals.height) = frame.size;
        self.encode_ms.push(frame.encoding.as_secs_f32() * 1e3);
    }

    pub(super) fn on_skipped(&mut self) {
        self.totals.skipped += 1;
    }

    pub(super) fn on_target(&mut self, target_bps: u32) {
        self.totals.target_bps = target_bps;
    }

    pub(super) fn stats(&self) -> VideoSent {
        let times = self.encode_ms.percentiles();
        VideoSent {
            fps: self.rate.per_second(),
            encode_ms_p50: times.map(|times| times.p50),
            encode_ms_p95: times.map(|times| times.p95),
            ..self.totals
        }
    }
}

/// One stream of video from the partner, and its assembler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StreamId(u64);

/// Figures of the video that is received.
#[derive(Debug)]
pub(super) struct ReceiveRecorder {
    first_frame: Option<Instant>,
    newest_packet: Option<Instant>,
    size: (u32, u32),
    keyframes: u64,
    rate: Rate,
    bytes: u64,
    /// Keyframe requests, those after decoder errors included.
    keyframe_requests: u64,
    decode_ms: PercentileWindow,
    freezes: FreezeDetector,
    /// The newest stream, and what its assembler has counted.
    stream: StreamId,
    packets: AssemblerStats,
    /// Packets that came, and those that did not, of the streams before.
    packets_before: (u64, u64),
    lip_sync_ms: PercentileWindow,
    has_ended: bool,
}

impl Default for ReceiveRecorder {
    fn default() -> Self {
        Self {
            first_frame: None,
            newest_packet: None,
            size: (0, 0),
            keyframes: 0,
            rate: Rate::default(),
            bytes: 0,
            keyframe_requests: 0,
            decode_ms: PercentileWindow::new(WINDOW),
            freezes: FreezeDetector::default(),
            stream: StreamId::default(),
            packets: AssemblerStats::default(),
            packets_before: (0, 0),
            lip_sync_ms: PercentileWindow::new(WINDOW),
            has_ended: false,
        }
    }
}

impl ReceiveRecorder {
    /// The call's figures are about to be read for the last time: what is decoded from now on is not
    /// counted, and must not be shown.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// A packet of video with `payload_bytes` arrived.
    pub(super) fn on_packet(&mut self, at: Instant, payload_bytes: usize) {
        self.newest_packet = Some(at);
        self.bytes += payload_bytes as u64;
    }

    /// A frame was decoded. Returns `false` if the call's figures have been read, so that nobody may get
    /// it.
    pub(super) fn on_decoded(
        &mut self,
        at: Instant,
        keyframe: bool,
        size: (u32, u32),
        decoding: Duration,
    ) -> bool {
        if self.has_ended {
            return false;
        }

        self.first_frame.get_or_insert(at);
        self.rate.on_event(at);
        self.keyframes += u64::from(keyframe);
        self.size = size;
        self.decode_ms.push(decoding.as_secs_f32() * 1e3);
        true
    }

    /// A frame is about to be shown, `offset_ms` from its audio. Returns `false` if it must not be.
    pub(super) fn on_shown(&mut self, at: Instant, offset_ms: Option<i64>) -> bool {
        if self.has_ended {
            return false;
        }

        self.freezes.on_frame(at);

        if let Some(offset) = offset_ms {
            self.lip_sync_ms.push(offset.unsigned_abs() as f32);
        }

        true
    }

    pub(super) fn on_keyframe_request(&mut self) {
        self.keyframe_requests += 1;
    }

    /// A stream begins, whose assembler counts from zero. The thread of the one before may live on for a
    /// moment.
    pub(super) fn on_stream(&mut self) -> StreamId {
        let AssemblerStats { packets, lost, .. } = std::mem::take(&mut self.packets);
        self.packets_before.0 += packets;
        self.packets_before.1 += lost;
        self.stream = StreamId(self.stream.0 + 1);
        self.stream
    }

    /// The counters of a stream's assembler changed. Those of an earlier one are counted already.
    pub(super) fn on_assembler(&mut self, stream: StreamId, packets: AssemblerStats) {
        if stream == self.stream {
            self.packets = packets;
        }
    }

    /// When the newest packet of video arrived.
    pub(super) fn newest_packet(&self) -> Option<Instant> {
        self.newest_packet
    }

    /// When the first frame was decoded.
    pub(super) fn first_frame(&self) -> Option<Instant> {
        self.first_frame
    }

    pub(super) fn lip_sync_ms_p95(&self) -> Option<f32> {
        self.lip_sync_ms.percentiles().map(|offsets| offsets.p95)
    }

    /// How long the video stood still in total, in ms, without pauses.
    pub(super) fn frozen_ms(&self) -> u64 {
        millis(self.freezes.stalls(None).frozen)
    }

    /// The figures so far, without those that only the link knows: `recovered` and `nacks`. If the
    /// partner should be sending, `now` makes a stall count that has not ended yet.
    pub(super) fn stats(&self, now: Option<Instant>) -> VideoReceived {
        let stalls = self.freezes.stalls(now);
        VideoReceived {
            frames: self.rate.count,
            keyframes: self.keyframes,
            width: self.size.0,
            height: self.size.1,
            fps: self.rate.per_second(),
            packets: self.packets_before.0 + self.packets.packets,
            bytes: self.bytes,
            lost: self.packets_before.1 + self.packets.lost,
            recovered: 0,
            nacks: 0,
            plis: self.keyframe_requests,
            freezes: stalls.freezes,
            frozen_ms: millis(stalls.frozen),
            pauses: stalls.pauses,
            paused_ms: millis(stalls.paused),
            decode_ms_p50: self.decode_ms.percentiles().map(|times| times.p50),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

    use super::*;

    fn counted(packets: u64, lost: u64) -> AssemblerStats {
        AssemblerStats {
            packets,
            lost,
            ..AssemblerStats::default()
        }
    }

    #[test]
    fn no_packet_counts_twice_while_the_thread_of_the_stream_before_lives() {
        let mut recorder = ReceiveRecorder::default();
        let figures = |recorder: &ReceiveRecorder| {
            let stats = recorder.stats(None);
            (stats.packets, stats.lost)
        };
        let first = recorder.on_stream();
        recorder.on_assembler(first, counted(100, 3));
        assert_eq!(figures(&recorder), (100, 3));

        let second = recorder.on_stream();
        recorder.on_assembler(first, counted(101, 3));
        assert_eq!(figures(&recorder), (100, 3), "they are counted");
        recorder.on_assembler(second, counted(10, 1));
        recorder.on_assembler(first, counted(102, 4));
        assert_eq!(figures(&recorder), (110, 4), "both streams, each once");
    }

    #[test]
    fn what_is_decoded_after_the_last_look_is_neither_counted_nor_shown() {
        let (mut recorder, now) = (ReceiveRecorder::default(), Instant::now());
        assert!(recorder.on_decoded(now, true, (320, 240), Duration::ZERO));
        assert!(recorder.on_shown(now, None));

        recorder.end();
        assert!(!recorder.on_decoded(now, false, (320, 240), Duration::ZERO));
        assert!(!recorder.on_shown(now, None), "no report would have it");
        assert_eq!(recorder.stats(None).frames, 1);
    }

    #[test]
    fn a_rate_is_measured_from_the_first_event_to_the_last() {
        let mut rate = Rate::default();
        let start = Instant::now();
        assert_eq!(rate.per_second(), 0.0, "nothing has happened yet");

        for step in 0..31 {
            rate.on_event(start + Duration::from_millis(100) * step);
        }

        assert!(
            (rate.per_second() - 10.0).abs() < 1e-3,
            "30 steps of 100 ms are 10 per second"
        );
    }
}
