//! Send-side bandwidth estimation: transport feedback in, a target bitrate out.
//!
//! After draft-ietf-rmcat-gcc-02 ("a Google congestion control algorithm") with what libwebrtc does today:
//! [`groups`] measure delay variation, [`trendline`] its slope, [`overuse`] compares the slope with an adaptive
//! threshold, [`aimd`] turns the verdict into a rate; [`loss`] bounds it. Beside the draft stand [`queue`], which sees a
//! queue that stands still, and a reaction to silence: without feedback the rate halves, and after an outage it returns
//! to where it was within a second or two.
//!
//! No clock, no randomness: every instant is an argument, so a plan of conditions always gives the same rates.

pub mod acked;
pub mod aimd;
pub mod capacity;
pub mod groups;
pub mod loss;
pub mod overuse;
pub mod queue;
mod silence;
pub mod trendline;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{BandwidthEstimator, EstimatorStats, PacketReport};

use crate::congestion::LinkConfig;
use crate::link::LinkState;
use acked::{ACKED_WINDOW_MS, AckedBitrate};
use aimd::{Observation, RateControl};
use groups::PacketGroups;
use loss::LossController;
use overuse::{OveruseDetector, Usage};
use queue::{QueueDelay, QueueSample};
use silence::Silence;
use trendline::Trendline;

/// The pacer sends at this multiple of the target: a frame leaves in less than half a frame interval.
pub const PACING_FACTOR: f64 = 2.5;

/// Over what the capacity of a congested path is measured, ms: four frame intervals.
const CAPACITY_WINDOW_MS: f64 = 150.0;

/// The delay-based detector: everything that starts anew after an outage.
#[derive(Debug, Default)]
struct DelayDetector {
    groups: PacketGroups,
    trendline: Trendline,
    overuse: OveruseDetector,
    queue: QueueDelay,
    acked: AckedBitrate,
    usage: Usage,
}

impl DelayDetector {
    fn on_packet(&mut self, departure_ms: f64, arrival_ms: f64, bytes: usize) -> Option<Usage> {
        self.acked.on_packet(arrival_ms, bytes);
        self.queue.on_packet(departure_ms, arrival_ms);
        let delta = self.groups.on_packet(departure_ms, arrival_ms)?;
        let trend = self.trendline.on_group(delta)?;

        Some(self.overuse.detect(trend, delta.arrival_ms))
    }
}

/// The estimator of one call. See the module's text.
#[derive(Debug)]
pub struct Estimator {
    link: Arc<LinkState>,
    rate: RateControl,
    delay: DelayDetector,
    loss: LossController,
    silence: Silence,
    /// Departures are measured from here.
    epoch: Option<Instant>,
    /// Losses among packets that left before this belong to an outage.
    outage_end: Option<Instant>,
    rtt: Duration,
    stats: EstimatorStats,
}

impl Estimator {
    /// An estimator within the bounds of `config` that publishes in `link`.
    pub fn new(config: LinkConfig, link: Arc<LinkState>) -> Self {
        let bounds = (
            config.start_bps as f64,
            config.min_bps as f64,
            config.max_bps as f64,
        );

        Self {
            link,
            rate: RateControl::new(bounds.0, bounds.1, bounds.2),
            delay: DelayDetector::default(),
            loss: LossController::default(),
            silence: Silence::default(),
            epoch: None,
            outage_end: None,
            rtt: Duration::from_millis(100),
            stats: EstimatorStats::default(),
        }
    }

    /// The target of everything this side sends, bits per second. (`target_bitrate` is what the pacer follows.)
    pub fn target_bps(&self) -> f64 {
        self.rate.target()
    }

    fn take_in(&mut self, now: Instant, reports: &[PacketReport]) -> Observation {
        let epoch = *self.epoch.get_or_insert(reports[0].departure);
        // What lost feedback would have told of comes first, as one run of packets without a word.
        let mut untold = self.silence.feedback_was_lost();
        let (mut over, mut newest) = (false, None);

        for report in reports {
            let in_outage = self.outage_end.is_some_and(|end| report.departure < end);
            if !report.arrived {
                if !in_outage && !untold {
                    self.loss.on_packet(now, true);
                }

                continue;
            }

            untold = false;
            self.loss.on_packet(now, false);
            newest = Some(report.departure);
            let Some(arrival) = report.arrival else {
                continue;
            };

            let departure_ms = report
                .departure
                .saturating_duration_since(epoch)
                .as_secs_f64()
                * 1e3;

            if let Some(usage) =
                self.delay
                    .on_packet(departure_ms, arrival.as_secs_f64() * 1e3, report.size)
            {
                over |= usage == Usage::Over;
                self.delay.usage = usage;
            }
        }

        if let Some(departure) = newest {
            self.rtt = now.saturating_duration_since(departure);
            self.link.publish_feedback_rtt(self.rtt);
        }

        Observation {
            usage: if over { Usage::Over } else { self.delay.usage },
            queue: self.delay.queue.take(),
            acked: self.delay.acked.rate(ACKED_WINDOW_MS),
            acked_now: self.delay.acked.rate(CAPACITY_WINDOW_MS),
            rtt: self.link.rtt().unwrap_or(self.rtt),
            may_increase: true,
        }
    }

    fn publish(&mut self, fraction: f64, loss_limit: Option<f64>, acked: f64, queue: QueueSample) {
        let queue_delay = Duration::from_secs_f64(queue.mean_ms.max(0.0) / 1e3);
        self.link.publish_estimate(
            self.rate.target(),
            acked,
            fraction,
            queue_delay,
            self.rate.ramping(),
        );
        self.stats.delay_based_bitrate = Some(self.rate.target());
        self.stats.loss_based_bitrate = loss_limit;
        self.stats.packet_loss = Some(fraction);
        self.stats.round_trip_time = Some(self.rtt);
    }
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        if reports.is_empty() {
            return;
        }

        self.link.count_feedback(
            reports.len(),
            reports.iter().filter(|report| !report.arrived).count(),
        );

        if let Some(before) = self.silence.on_feedback(now, self.link.packets_sent()) {
            self.delay = DelayDetector::default();
            self.loss.reset();
            self.outage_end = Some(now);
            self.rate.resume(now, before);
        }

        let mut seen = self.take_in(now, reports);
        let acked = seen.acked.unwrap_or(0.0);
        let verdict = self.loss.update(now, self.rate.target(), acked);
        seen.may_increase = verdict.may_increase;

        if self.rate.update(now, seen) {
            self.delay.queue.rebase();
        }

        if let Some(limit) = verdict.limit {
            self.rate.limit(now, limit);
        }

        self.publish(
            verdict.fraction,
            verdict.limit,
            acked,
            seen.queue.unwrap_or_default(),
        );
    }

    fn target_bitrate(&self) -> f64 {
        self.rate.target() * PACING_FACTOR
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self
            .silence
            .on_timeout(now, self.link.packets_sent(), self.rtt, self.rate.target())
        {
            self.rate.back_off();
            self.link.publish_target(self.rate.target());
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.silence.next_check()
    }

    fn stats(&self) -> EstimatorStats {
        self.stats
    }
}
