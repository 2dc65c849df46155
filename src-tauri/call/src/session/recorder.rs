//! Counters that the media threads write and the statistics read.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tandem_media::audio::percentile::PercentileWindow;

use super::stats::{VideoReceived, VideoSent};
use crate::rtp::{AssemblerStats, FreezeDetector};

/// Timings are percentiles over so many of the newest values: 20 s at 30 pictures a second.
const WINDOW: usize = 600;

/// RTP payload bytes in both directions.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

/// The mean rate from a first event to the newest.
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

/// What happened to sent pictures.
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

/// One picture that was sent.
pub(super) struct SentPicture {
    pub(super) at: Instant,
    pub(super) keyframe: bool,
    pub(super) bytes: usize,
    pub(super) size: (u32, u32),
    pub(super) encoding: Duration,
}

impl SendRecorder {
    pub(super) fn on_picture(&mut self, picture: &SentPicture) {
        self.rate.on_event(picture.at);
        self.totals.frames += 1;
        self.totals.keyframes += u64::from(picture.keyframe);
        self.totals.bytes += picture.bytes as u64;
        (self.totals.width, self.totals.height) = picture.size;
        self.encode_ms.push(picture.encoding.as_secs_f32() * 1e3);
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

/// What happened to received pictures.
#[derive(Debug)]
pub(super) struct ReceiveRecorder {
    first_frame: Option<Instant>,
    newest_packet: Option<Instant>,
    size: (u32, u32),
    keyframes: u64,
    rate: Rate,
    bytes: u64,
    /// Every keyframe request, those after decoder errors included.
    requests: u64,
    decode_ms: PercentileWindow,
    freezes: FreezeDetector,
    packets: AssemblerStats,
    lip_sync_ms: PercentileWindow,
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
            requests: 0,
            decode_ms: PercentileWindow::new(WINDOW),
            freezes: FreezeDetector::default(),
            packets: AssemblerStats::default(),
            lip_sync_ms: PercentileWindow::new(WINDOW),
        }
    }
}

impl ReceiveRecorder {
    pub(super) fn on_packet(&mut self, at: Instant, payload: usize) {
        self.newest_packet = Some(at);
        self.bytes += payload as u64;
    }

    pub(super) fn on_decoded(
        &mut self,
        at: Instant,
        keyframe: bool,
        size: (u32, u32),
        decoding: Duration,
    ) {
        self.first_frame.get_or_insert(at);
        self.rate.on_event(at);
        self.keyframes += u64::from(keyframe);
        self.size = size;
        self.decode_ms.push(decoding.as_secs_f32() * 1e3);
    }

    pub(super) fn on_shown(&mut self, at: Instant, apart_ms: Option<i64>) {
        self.freezes.on_frame(at);
        if let Some(apart) = apart_ms {
            self.lip_sync_ms.push(apart.unsigned_abs() as f32);
        }
    }

    pub(super) fn on_keyframe_request(&mut self) {
        self.requests += 1;
    }

    pub(super) fn on_stream(&mut self, packets: AssemblerStats) {
        self.packets = packets;
    }

    /// When the newest packet of pictures came in.
    pub(super) fn newest_packet(&self) -> Option<Instant> {
        self.newest_packet
    }

    pub(super) fn first_frame(&self) -> Option<Instant> {
        self.first_frame
    }

    pub(super) fn lip_sync_ms_p95(&self) -> Option<f32> {
        self.lip_sync_ms.percentiles().map(|apart| apart.p95)
    }

    pub(super) fn stats(&self) -> VideoReceived {
        VideoReceived {
            frames: self.rate.count,
            keyframes: self.keyframes,
            width: self.size.0,
            height: self.size.1,
            fps: self.rate.per_second(),
            packets: self.packets.packets,
            bytes: self.bytes,
            lost: self.packets.lost,
            recovered: 0,
            nacks: 0,
            plis: self.requests,
            freezes: self.freezes.freezes(),
            frozen_ms: u64::try_from(self.freezes.frozen().as_millis()).unwrap_or(u64::MAX),
            decode_ms_p50: self.decode_ms.percentiles().map(|times| times.p50),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_counted_between_first_and_last() {
        let mut rate = Rate::default();
        let begin = Instant::now();
        assert_eq!(rate.per_second(), 0.0, "nothing happened");

        for step in 0..31 {
            rate.on_event(begin + Duration::from_millis(100) * step);
        }

        assert!(
            (rate.per_second() - 10.0).abs() < 1e-3,
            "30 steps of 100 ms are 10 a second"
        );
    }
}
