//! What congestion control knows about the path, shared with the encoder and the statistics.
//!
//! The interceptor chain swallows its interceptors, so whatever they learn leaves through one [`LinkState`]: atomics that
//! the driver task writes and any thread reads without waiting. Values are gauges or ever-growing counters; no two of them
//! are read as one snapshot.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Marks a duration that has not been measured yet.
const UNKNOWN: u64 = u64::MAX;

/// Share of the estimate left for payload after RTP headers and extensions (20 of 1,220 bytes) with a little to spare.
const PAYLOAD_SHARE: f64 = 0.97;

/// An inbound RTCP sender report (RFC 3550 §6.4.1): one point on the line from RTP time to the sender's wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReportClock {
    /// The stream it describes.
    pub ssrc: u32,
    /// The sender's wall clock, NTP 32.32 seconds since 1900.
    pub ntp: u64,
    /// The same instant on the stream's RTP clock.
    pub rtp: u32,
    /// When the report came in, on this side's clock.
    pub received: Instant,
}

/// Loss and repair counters of one direction. Every field only grows, except `lost` of an inbound stream, which falls when
/// a late or retransmitted packet fills a gap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepairCounters {
    /// Sequence numbers asked for again (each retry counts) in NACKs that left here.
    pub nacks_sent: u64,
    /// Sequence numbers the partner asked for again.
    pub nacks_received: u64,
    /// Retransmissions that left here.
    pub retransmissions_sent: u64,
    /// Packets that arrived after they were asked for again.
    pub recovered: u64,
    /// Inbound packets that never came, over all streams.
    pub lost: u64,
    /// Keyframe requests (PLI, FIR) that left here.
    pub plis_sent: u64,
    /// Keyframe requests (PLI, FIR) from the partner.
    pub plis_received: u64,
}

/// The path as congestion control sees it. See the module's text for how it is read.
#[derive(Debug)]
pub struct LinkState {
    target_bps: AtomicU64,
    acked_bps: AtomicU64,
    audio_bps: AtomicU64,
    loss_ppm: AtomicU32,
    report_rtt_us: AtomicU64,
    feedback_rtt_us: AtomicU64,
    queue_delay_us: AtomicU64,
    feedback_packets: AtomicU64,
    feedback_lost: AtomicU64,
    packets_sent: AtomicU64,
    pacer_queue_us: AtomicU64,
    skip_frame: AtomicBool,
    ramping: AtomicBool,
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
    /// A path nothing is known about, with `start_bps` as the first estimate.
    pub fn new(start_bps: u64) -> Self {
        Self {
            target_bps: AtomicU64::new(start_bps),
            acked_bps: AtomicU64::new(0),
            audio_bps: AtomicU64::new(0),
            loss_ppm: AtomicU32::new(0),
            report_rtt_us: AtomicU64::new(UNKNOWN),
            feedback_rtt_us: AtomicU64::new(UNKNOWN),
            queue_delay_us: AtomicU64::new(0),
            feedback_packets: AtomicU64::new(0),
            feedback_lost: AtomicU64::new(0),
            packets_sent: AtomicU64::new(0),
            pacer_queue_us: AtomicU64::new(0),
            skip_frame: AtomicBool::new(false),
            ramping: AtomicBool::new(true),
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

    /// The estimate: what all RTP of this side together may send, in bits per second.
    pub fn target_bps(&self) -> u64 {
        self.target_bps.load(Relaxed)
    }

    /// What the video encoder should produce, in bits per second: the estimate less the audio that was really sent in the
    /// last second and less RTP headers.
    pub fn video_target_bps(&self) -> u64 {
        let rest = self
            .target_bps()
            .saturating_sub(self.audio_bps.load(Relaxed));
        (rest as f64 * PAYLOAD_SHARE) as u64
    }

    /// What the partner acknowledged over the last half second, in bits per second; 0 before the first feedback.
    pub fn acked_bps(&self) -> u64 {
        self.acked_bps.load(Relaxed)
    }

    /// Fraction of packets lost over the last second of feedback, 0 to 1, before any repair.
    pub fn loss_fraction(&self) -> f64 {
        f64::from(self.loss_ppm.load(Relaxed)) / 1e6
    }

    /// Round trip time: from RTCP reports (RFC 3550 §6.4.1) when there are any, otherwise from transport feedback, which
    /// adds up to one feedback interval. `None` until either was seen.
    pub fn rtt(&self) -> Option<Duration> {
        [&self.report_rtt_us, &self.feedback_rtt_us]
            .into_iter()
            .map(|rtt| rtt.load(Relaxed))
            .find(|&us| us != UNKNOWN)
            .map(Duration::from_micros)
    }

    /// How much longer packets take than the fastest lately: the queue on the path towards the partner.
    pub fn queue_delay(&self) -> Duration {
        Duration::from_micros(self.queue_delay_us.load(Relaxed))
    }

    /// Packets the partner has reported on, arrived or not.
    pub fn feedback_packets(&self) -> u64 {
        self.feedback_packets.load(Relaxed)
    }

    /// Packets the partner has reported as not arrived.
    pub fn feedback_lost(&self) -> u64 {
        self.feedback_lost.load(Relaxed)
    }

    /// RTP packets that left the pacer.
    pub fn packets_sent(&self) -> u64 {
        self.packets_sent.load(Relaxed)
    }

    /// How long a video packet that enters the pacer now would wait.
    pub fn pacer_queue(&self) -> Duration {
        Duration::from_micros(self.pacer_queue_us.load(Relaxed))
    }

    /// Whether the encoder should leave out the next frame, because the pacer still holds too much of the ones before.
    pub fn skip_frame(&self) -> bool {
        self.skip_frame.load(Relaxed)
    }

    /// Whether the estimate still rises freely: no congestion has been met since the start.
    pub fn ramping(&self) -> bool {
        self.ramping.load(Relaxed)
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
    pub fn sender_report(&self, ssrc: u32) -> Option<SenderReportClock> {
        self.sender_reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&ssrc)
            .copied()
    }

    pub(crate) fn publish_sender_report(&self, report: SenderReportClock) {
        /// A partner that invents streams must not grow the map: a call has two.
        const MAX_STREAMS: usize = 16;
        let mut reports = self
            .sender_reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner);

        if reports.len() < MAX_STREAMS || reports.contains_key(&report.ssrc) {
            reports.insert(report.ssrc, report);
        }
    }

    pub(crate) fn publish_estimate(
        &self,
        target_bps: f64,
        acked_bps: f64,
        loss: f64,
        queue_delay: Duration,
        ramping: bool,
    ) {
        self.target_bps.store(target_bps as u64, Relaxed);
        self.acked_bps.store(acked_bps as u64, Relaxed);
        self.loss_ppm.store((loss * 1e6) as u32, Relaxed);
        self.queue_delay_us.store(micros(queue_delay), Relaxed);
        self.ramping.store(ramping, Relaxed);
    }

    /// The estimate alone: nothing new is known about the path.
    pub(crate) fn publish_target(&self, target_bps: f64) {
        self.target_bps.store(target_bps as u64, Relaxed);
    }

    pub(crate) fn count_feedback(&self, packets: usize, lost: usize) {
        self.feedback_packets.fetch_add(packets as u64, Relaxed);
        self.feedback_lost.fetch_add(lost as u64, Relaxed);
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

    pub(crate) fn publish_pacer(&self, queue: Duration, skip_frame: bool, audio_bps: f64) {
        self.pacer_queue_us.store(micros(queue), Relaxed);
        self.skip_frame.store(skip_frame, Relaxed);
        self.audio_bps.store(audio_bps as u64, Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(UNKNOWN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rtt_of_reports_wins_over_that_of_feedback() {
        let link = LinkState::new(300_000);
        assert_eq!(link.rtt(), None, "nothing was measured yet");
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
            "reports carry no feedback interval"
        );
    }

    #[test]
    fn video_gets_what_audio_leaves() {
        let link = LinkState::new(1_000_000);
        link.publish_pacer(Duration::ZERO, false, 40_000.0);
        let video = link.video_target_bps();

        assert!(
            (920_000..940_000).contains(&video),
            "960 kbit/s less headers, got {video}"
        );

        link.publish_pacer(Duration::ZERO, false, 2_000_000.0);
        assert_eq!(
            link.video_target_bps(),
            0,
            "audio above the estimate must not wrap around"
        );
    }

    #[test]
    fn invented_streams_do_not_grow_the_map() {
        let link = LinkState::new(0);
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
        assert!(link.sender_report(999).is_none(), "the rest is ignored");
    }
}
