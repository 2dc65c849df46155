//! What congestion control knows about the path, shared with the encoder and the statistics.
//!
//! The peer connection takes ownership of its interceptors, so whatever they learn leaves the chain
//! through one [`LinkState`]: atomics that the driver task writes and that any thread reads without
//! waiting. Each value is a gauge or a counter that only grows. Values are read one by one; there
//! is no consistent snapshot of several.

mod bitrate;

pub use bitrate::{Bitrate, BitrateBounds};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Marks a duration that has not been measured yet.
const UNKNOWN: u64 = u64::MAX;

/// Share of the estimate left for payload after RTP headers and extensions (20 of 1,220 bytes),
/// with a little to spare.
const PAYLOAD_SHARE: f64 = 0.97;

/// Sender reports are kept for this many streams. A call has two; a partner that invents streams
/// must not grow the map.
const MAX_REPORTED_STREAMS: usize = 16;

/// An inbound RTCP sender report (RFC 3550 §6.4.1): one point on the line that maps the stream's
/// RTP clock to the sender's wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderReportClock {
    /// The stream it describes.
    pub(crate) ssrc: u32,
    /// The sender's wall clock: NTP seconds since 1900, 32.32 fixed point.
    pub(crate) ntp: u64,
    /// The same instant on the stream's RTP clock.
    pub(crate) rtp: u32,
    /// When the report arrived, on the local clock.
    pub(crate) received: Instant,
}

/// Loss and repair counters of one direction. Every field only grows, except `lost` of an inbound
/// stream, which falls when a late or retransmitted packet fills a gap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepairCounters {
    /// Sequence numbers requested again in NACKs sent from here; each retry counts.
    pub nacks_sent: u64,
    /// Sequence numbers that the partner requested again.
    pub nacks_received: u64,
    /// Retransmissions sent from here.
    pub retransmissions_sent: u64,
    /// Packets that arrived after they were requested again.
    pub recovered: u64,
    /// Inbound packets that never arrived, over all streams.
    pub lost: u64,
    /// Keyframe requests (PLI, FIR) sent from here.
    pub plis_sent: u64,
    /// Keyframe requests (PLI, FIR) from the partner.
    pub plis_received: u64,
}

impl RepairCounters {
    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            nacks_sent: self.nacks_sent + other.nacks_sent,
            nacks_received: self.nacks_received + other.nacks_received,
            retransmissions_sent: self.retransmissions_sent + other.retransmissions_sent,
            recovered: self.recovered + other.recovered,
            lost: self.lost + other.lost,
            plis_sent: self.plis_sent + other.plis_sent,
            plis_received: self.plis_received + other.plis_received,
        }
    }
}

/// What the estimator found after one batch of feedback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimate {
    /// What all RTP of this side together may send.
    pub(crate) target: Bitrate,
    /// What the partner received over the last half second.
    pub(crate) acked: Bitrate,
    /// Fraction of packets lost over the last second of feedback, 0 to 1.
    pub(crate) loss: f64,
    /// Whether no congestion has been met since the start.
    pub(crate) ramping: bool,
}

/// The path as congestion control sees it. The module's documentation says how to read it.
#[derive(Debug)]
pub struct LinkState {
    target_bps: AtomicU64,
    acked_bps: AtomicU64,
    audio_bps: AtomicU64,
    loss_ppm: AtomicU32,
    report_rtt_us: AtomicU64,
    feedback_rtt_us: AtomicU64,
    packets_sent: AtomicU64,
    pacer_queue_us: AtomicU64,
    skip_frame: AtomicBool,
    ramping: AtomicBool,
    flooded: AtomicBool,
    pub(crate) nacks_sent: AtomicU64,
    pub(crate) nacks_received: AtomicU64,
    pub(crate) retransmissions_sent: AtomicU64,
    pub(crate) recovered: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) plis_sent: AtomicU64,
    pub(crate) plis_received: AtomicU64,
    sender_reports: Mutex<HashMap<u32, SenderReportClock>>,
}

impl LinkState {
    /// A path about which nothing is known yet, with `start` as the first estimate.
    #[must_use]
    pub fn new(start: Bitrate) -> Self {
        Self {
            target_bps: AtomicU64::new(start.to_bps()),
            acked_bps: AtomicU64::new(0),
            audio_bps: AtomicU64::new(0),
            loss_ppm: AtomicU32::new(0),
            report_rtt_us: AtomicU64::new(UNKNOWN),
            feedback_rtt_us: AtomicU64::new(UNKNOWN),
            packets_sent: AtomicU64::new(0),
            pacer_queue_us: AtomicU64::new(0),
            skip_frame: AtomicBool::new(false),
            ramping: AtomicBool::new(true),
            flooded: AtomicBool::new(false),
            nacks_sent: AtomicU64::new(0),
            nacks_received: AtomicU64::new(0),
            retransmissions_sent: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            plis_sent: AtomicU64::new(0),
            plis_received: AtomicU64::new(0),
            sender_reports: Mutex::new(HashMap::new()),
        }
    }

    /// The estimate in bits per second: what all RTP of this side together may send.
    pub fn target_bps(&self) -> u64 {
        self.target_bps.load(Relaxed)
    }

    /// The estimate: what all RTP of this side together may send.
    pub(crate) fn target(&self) -> Bitrate {
        Bitrate::from_bps(self.target_bps() as f64)
    }

    /// What the video encoder should produce, in bits per second: the estimate less the audio that
    /// was actually sent in the last second, and less RTP headers.
    pub(crate) fn video_target_bps(&self) -> u64 {
        let rest = self
            .target_bps()
            .saturating_sub(self.audio_bps.load(Relaxed));
        (rest as f64 * PAYLOAD_SHARE) as u64
    }

    /// What the partner acknowledged over the last half second, in bits per second; 0 before the
    /// first feedback.
    #[cfg(feature = "simnet")]
    pub(crate) fn acked_bps(&self) -> u64 {
        self.acked_bps.load(Relaxed)
    }

    /// Fraction of packets lost over the last second of feedback, 0 to 1, before any repair.
    pub fn loss_fraction(&self) -> f64 {
        f64::from(self.loss_ppm.load(Relaxed)) / 1e6
    }

    /// Round-trip time: from RTCP reports (RFC 3550 §6.4.1) if there are any, otherwise from
    /// transport feedback, which adds up to one feedback interval. `None` until either has arrived.
    pub fn rtt(&self) -> Option<Duration> {
        [&self.report_rtt_us, &self.feedback_rtt_us]
            .into_iter()
            .map(|rtt| rtt.load(Relaxed))
            .find(|&us| us != UNKNOWN)
            .map(Duration::from_micros)
    }

    /// RTP packets that left the pacer.
    pub(crate) fn packets_sent(&self) -> u64 {
        self.packets_sent.load(Relaxed)
    }

    /// How long a video packet that enters the pacer now would wait.
    #[cfg(feature = "simnet")]
    pub(crate) fn pacer_queue(&self) -> Duration {
        Duration::from_micros(self.pacer_queue_us.load(Relaxed))
    }

    /// Whether the encoder should skip the next frame, because the pacer still holds too much of
    /// the previous ones.
    pub(crate) fn skip_frame(&self) -> bool {
        self.skip_frame.load(Relaxed)
    }

    /// Whether the estimate still rises freely: no congestion has been met since the start.
    pub(crate) fn ramping(&self) -> bool {
        self.ramping.load(Relaxed)
    }

    /// Whether the partner has sent more than any honest one does, for seconds.
    pub(crate) fn is_flooded(&self) -> bool {
        self.flooded.load(Relaxed)
    }

    pub(crate) fn publish_flood(&self) {
        self.flooded.store(true, Relaxed);
    }

    /// Loss, repair and keyframe request counters.
    pub fn repair(&self) -> RepairCounters {
        RepairCounters {
            nacks_sent: self.nacks_sent.load(Relaxed),
            nacks_received: self.nacks_received.load(Relaxed),
            retransmissions_sent: self.retransmissions_sent.load(Relaxed),
            recovered: self.recovered.load(Relaxed),
            lost: self.lost.load(Relaxed),
            plis_sent: self.plis_sent.load(Relaxed),
            plis_received: self.plis_received.load(Relaxed),
        }
    }

    /// The newest sender report of the inbound stream `ssrc`, for lip sync.
    pub(crate) fn sender_report(&self, ssrc: u32) -> Option<SenderReportClock> {
        self.sender_reports.lock().get(&ssrc).copied()
    }

    pub(crate) fn publish_sender_report(&self, report: SenderReportClock) {
        let mut reports = self.sender_reports.lock();
        if reports.len() < MAX_REPORTED_STREAMS || reports.contains_key(&report.ssrc) {
            reports.insert(report.ssrc, report);
        }
    }

    pub(crate) fn publish_estimate(&self, estimate: Estimate) {
        self.publish_target(estimate.target);
        self.acked_bps.store(estimate.acked.to_bps(), Relaxed);
        self.loss_ppm.store((estimate.loss * 1e6) as u32, Relaxed);
        self.ramping.store(estimate.ramping, Relaxed);
    }

    /// Publishes a new target when nothing else has become known about the path.
    pub(crate) fn publish_target(&self, target: Bitrate) {
        self.target_bps.store(target.to_bps(), Relaxed);
    }

    pub(crate) fn publish_feedback_rtt(&self, rtt: Duration) {
        self.feedback_rtt_us.store(micros(rtt), Relaxed);
    }

    pub(crate) fn publish_report_rtt(&self, rtt: Duration) {
        self.report_rtt_us.store(micros(rtt), Relaxed);
    }

    pub(crate) fn count_sent(&self) {
        self.packets_sent.fetch_add(1, Relaxed);
    }

    pub(crate) fn publish_pacer(&self, queue: Duration, skip_frame: bool, audio: Bitrate) {
        self.pacer_queue_us.store(micros(queue), Relaxed);
        self.skip_frame.store(skip_frame, Relaxed);
        self.audio_bps.store(audio.to_bps(), Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(UNKNOWN - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    #[test]
    fn the_rtt_from_reports_wins_over_the_rtt_from_feedback() {
        let link = LinkState::new(Bitrate::from_bps(300e3));
        assert_eq!(link.rtt(), None, "nothing has been measured yet");

        link.publish_feedback_rtt(Duration::from_millis(80));
        assert_eq!(
            link.rtt(),
            Some(Duration::from_millis(80)),
            "feedback is better than nothing"
        );

        link.publish_report_rtt(Duration::from_millis(50));
        assert_eq!(
            link.rtt(),
            Some(Duration::from_millis(50)),
            "reports do not include the feedback interval"
        );
    }

    #[test]
    fn video_gets_what_audio_leaves() {
        let link = LinkState::new(Bitrate::from_bps(1e6));
        link.publish_pacer(Duration::ZERO, false, Bitrate::from_bps(40e3));
        let video = link.video_target_bps();
        assert!(
            (920_000..940_000).contains(&video),
            "960 kbit/s less headers, got {video}"
        );

        link.publish_pacer(Duration::ZERO, false, Bitrate::from_bps(2e6));
        assert_eq!(
            link.video_target_bps(),
            0,
            "audio above the estimate must not wrap around"
        );
    }

    #[test]
    fn invented_streams_do_not_grow_the_map() {
        let link = LinkState::new(Bitrate::ZERO);
        let report = |ssrc| SenderReportClock {
            ssrc,
            ntp: 1,
            rtp: 2,
            received: Instant::now(),
        };

        for ssrc in 0..1000 {
            link.publish_sender_report(report(ssrc));
        }

        assert!(
            link.sender_report(0).is_some(),
            "the first streams stay known"
        );
        assert!(
            link.sender_report(999).is_none(),
            "further ones are ignored"
        );
    }
}
