//! Send-side bandwidth estimation: transport feedback in, a target bitrate out.
//!
//! Follows draft-ietf-rmcat-gcc-02 ("A Google Congestion Control Algorithm for Real-Time
//! Communication") and, where libwebrtc has moved on since, libwebrtc's
//! `modules/congestion_controller/goog_cc`. Feedback arrives as transport-wide congestion control
//! messages (draft-holmer-rmcat-transport-wide-cc-extensions-01), which rtc turns into
//! [`PacketReport`]s.
//!
//! | module | what it does | source |
//! |---|---|---|
//! | `groups` | delay variation between packet groups | draft §5.2–5.3, `InterArrival` |
//! | `trendline` | slope of the delay | `TrendlineEstimator`, replaces the draft's Kalman filter (§5.3) |
//! | `overuse` | slope against an adaptive threshold | draft §5.4 |
//! | `aimd` | the detector's verdict to a rate | draft §5.5, `AimdRateControl` |
//! | `capacity` | what the path carried when congested | `LinkCapacityEstimator` |
//! | `acked` | what the partner received | `AcknowledgedBitrateEstimator` |
//! | `loss` | an upper bound from loss | draft §6, with an allowance of our own |
//! | `queue` | a queue that stands still, which has no slope | ours |
//! | `silence` | missing feedback: halve the rate, then return to it | ours |
//!
//! There is no clock and no randomness here: every instant is an argument, so the same plan of
//! conditions always gives the same rates.

mod acked;
mod aimd;
mod capacity;
mod groups;
mod loss;
mod overuse;
mod queue;
mod silence;
mod trendline;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{BandwidthEstimator, EstimatorStats, PacketReport};

use crate::link::{Bitrate, BitrateBounds, Estimate, LinkState};
use acked::{ACKED_WINDOW_MS, AckedBitrate};
use aimd::{Observation, RateControl};
use groups::PacketGroups;
use loss::LossController;
use overuse::{OveruseDetector, Usage};
use queue::QueueDelay;
use silence::Silence;
use trendline::Trendline;

/// The pacer sends at this multiple of the target, so that a frame leaves in less than half a frame
/// interval.
pub(crate) const PACING_FACTOR: f64 = 2.5;

/// Window over which the capacity of a congested path is measured, ms: four frame intervals.
const CAPACITY_WINDOW_MS: f64 = 150.0;

/// Round-trip time assumed before the first feedback.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// The delay-based detector: everything that starts over after an outage.
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
        self.acked.on_packet(departure_ms, arrival_ms, bytes);
        self.queue.on_packet(departure_ms, arrival_ms);

        let delta = self.groups.on_packet(departure_ms, arrival_ms)?;
        let trend = self.trendline.on_group(delta)?;

        Some(self.overuse.detect(trend, delta.arrival_ms))
    }
}

/// The bandwidth estimator of one call. The module's documentation describes how it works.
#[derive(Debug)]
pub struct Estimator {
    link: Arc<LinkState>,
    rate: RateControl,
    delay: DelayDetector,
    loss: LossController,
    silence: Silence,
    /// The first departure; later ones are measured from it.
    epoch: Option<Instant>,
    /// Losses among packets that left before this belong to an outage.
    outage_end: Option<Instant>,
    rtt: Duration,
    stats: EstimatorStats,
}

impl Estimator {
    /// An estimator within the bounds of `config` that publishes its results in `link`.
    pub fn new(config: BitrateBounds, link: Arc<LinkState>) -> Self {
        Self {
            link,
            rate: RateControl::new(config),
            delay: DelayDetector::default(),
            loss: LossController::default(),
            silence: Silence::default(),
            epoch: None,
            outage_end: None,
            rtt: INITIAL_RTT,
            stats: EstimatorStats::default(),
        }
    }

    /// Feeds a batch of reports to the detectors, and returns what they say. `reports` is not
    /// empty.
    fn observe(&mut self, now: Instant, reports: &[PacketReport]) -> Observation {
        let epoch = *self.epoch.get_or_insert(reports[0].departure);
        // If feedback was lost on the way, the packets it would have covered come first in this
        // batch, as one run reported as not arrived. Nothing is known about them.
        let mut uncovered = self.silence.feedback_was_lost();
        let (mut over, mut newest) = (false, None);

        for report in reports {
            let in_outage = self.outage_end.is_some_and(|end| report.departure < end);
            if !report.arrived {
                if !in_outage && !uncovered {
                    self.loss.on_packet(now, true);
                }

                continue;
            }

            uncovered = false;
            self.loss.on_packet(now, false);
            newest = Some(report.departure);

            let Some(arrival) = report.arrival else {
                continue;
            };

            let departure = report.departure.saturating_duration_since(epoch);
            let departure_ms = departure.as_secs_f64() * 1e3;
            let arrival_ms = arrival.as_secs_f64() * 1e3;

            if let Some(usage) = self.delay.on_packet(departure_ms, arrival_ms, report.size) {
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
            standing_ms: self.delay.queue.take_standing_ms(),
            acked: self.delay.acked.rate(ACKED_WINDOW_MS),
            acked_now: self.delay.acked.rate(CAPACITY_WINDOW_MS),
            rtt: self.link.rtt().unwrap_or(self.rtt),
            may_increase: true,
        }
    }

    fn publish(&mut self, loss: f64, loss_limit: Option<Bitrate>, acked: Bitrate) {
        self.link.publish_estimate(Estimate {
            target: self.rate.target(),
            acked,
            loss,
            ramping: self.rate.ramping(),
        });

        self.stats.delay_based_bitrate = Some(self.rate.target().as_bps());
        self.stats.loss_based_bitrate = loss_limit.map(Bitrate::as_bps);
        self.stats.packet_loss = Some(loss);
        self.stats.round_trip_time = Some(self.rtt);
    }
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        if reports.is_empty() {
            return;
        }

        if let Some(before) = self.silence.on_feedback(now, self.link.packets_sent()) {
            self.delay = DelayDetector::default();
            self.loss.reset();
            self.outage_end = Some(now);
            self.rate.resume(now, before);
        }

        let mut seen = self.observe(now, reports);
        let acked = seen.acked.unwrap_or(Bitrate::ZERO);
        let verdict = self.loss.update(now, self.rate.target(), acked);
        seen.may_increase = verdict.may_increase;

        if self.rate.update(now, seen) {
            self.delay.queue.rebase();
        }

        if let Some(limit) = verdict.limit {
            self.rate.limit(now, limit);
        }

        self.publish(verdict.fraction, verdict.limit, acked);
    }

    /// The rate for a pacer, bits per second.
    fn target_bitrate(&self) -> f64 {
        (self.rate.target() * PACING_FACTOR).as_bps()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let sent = self.link.packets_sent();
        if self
            .silence
            .on_timeout(now, sent, self.rtt, self.rate.target())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;
    use rtc::rtcp::transport_feedbacks::cc_feedback_report::Ecn;

    use super::*;

    const BOUNDS: BitrateBounds = BitrateBounds {
        start_bps: 300_000,
        min_bps: 60_000,
        max_bps: 5_000_000,
    };

    /// The target after `seconds` in which a packet of 250 bytes left every 20 ms, 100 kbit/s, and
    /// feedback came every 100 ms. `arrival` is what the partner says about packet `n`, ms.
    fn target(seconds: u64, mut arrival: impl FnMut(u64) -> Option<u64>) -> f64 {
        let link = Arc::new(LinkState::new(BOUNDS.start()));
        let mut estimator = Estimator::new(BOUNDS, Arc::clone(&link));
        let (start, mut reports) = (Instant::now(), Vec::new());

        for n in 0..seconds * 50 {
            link.count_sent();
            let departure = start + Duration::from_millis(n * 20);
            let arrival = arrival(n);
            reports.push(PacketReport {
                ssrc: 1,
                id: n,
                rtp_sequence_number: n as u16,
                is_twcc: true,
                twcc_sequence_number: n as u16,
                size: 250,
                arrived: arrival.is_some(),
                departure,
                arrival: arrival.map(Duration::from_millis),
                ecn: Ecn::NotEct,
            });

            if n % 5 == 4 {
                let now = departure + Duration::from_millis(30);
                estimator.on_reports(now, &std::mem::take(&mut reports));
                estimator.handle_timeout(now);
            }
        }

        link.target_bps() as f64
    }

    #[test]
    fn lies_about_arrival_do_not_raise_the_estimate_far_above_what_was_sent() {
        let honest = target(60, |n| Some(n * 20 + 30));
        let lies: [(&str, &dyn Fn(u64) -> u64); 5] = [
            ("a hundred times as fast", &|n| n / 5),
            ("all at once", &|_| 1_000),
            ("in reverse", &|n| 10_000_000 - n * 20),
            ("each batch at once", &|n| n / 25 * 500),
            ("once around the clock", &|n| {
                n * 20 + n / 1_000 * 1_073_741_824
            }),
        ];

        for (name, lie) in lies {
            let target = target(60, |n| Some(lie(n)));
            assert!(
                (60_000.0..=2.5 * honest).contains(&target),
                "{name}: {target} bit/s, {honest} with the truth"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn the_estimate_stays_within_its_bounds_whatever_is_reported(
            arrivals in proptest::collection::vec(proptest::option::of(0_u64..2_000_000_000), 500),
        ) {
            let target = target(10, |n| arrivals[n as usize]);
            prop_assert!((60_000.0..=5_000_000.0).contains(&target), "{}", target);
        }
    }
}
