//! Reads RTCP reports as they pass: the partner's clock for lip sync, and the round-trip time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;

use super::Tap;
use crate::link::{LinkState, SenderReportClock};

/// How many sender reports are remembered until a receiver report names them. One leaves per stream
/// and second.
const REMEMBERED: usize = 32;

/// Round-trip times from reports (RFC 3550 §6.4.1), without a wall clock: the partner quotes the
/// middle 32 bits of our last sender report's NTP time (LSR) and how long it held the report
/// (DLSR); this side remembers when the report with those bits left.
#[derive(Debug, Default)]
struct ReportRtt {
    sent: VecDeque<(u32, Instant)>,
}

impl ReportRtt {
    /// A sender report with the NTP time `ntp` (32.32 fixed point) leaves now.
    fn on_sent(&mut self, now: Instant, ntp: u64) {
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }

        self.sent.push_back(((ntp >> 16) as u32, now));
    }

    /// The round-trip time that a report block implies; `None` if it names none of our reports.
    ///
    /// `delay` is the DLSR field, in 1/65,536 s. A partner that claims to have held the report for
    /// longer than it was away yields zero.
    fn on_report(&self, now: Instant, last_sender_report: u32, delay: u32) -> Option<Duration> {
        let (_, sent) = self
            .sent
            .iter()
            .rev()
            .find(|(ntp, _)| *ntp == last_sender_report)?;
        let held = Duration::from_micros((u64::from(delay) * 1_000_000) >> 16);

        Some(now.saturating_duration_since(*sent).saturating_sub(held))
    }
}

/// Publishes in [`LinkState`] what RTCP reports say.
pub(crate) struct ReportTap {
    link: Arc<LinkState>,
    rtt: ReportRtt,
}

impl ReportTap {
    /// A tap that publishes in `link`.
    pub(crate) fn new(link: Arc<LinkState>) -> Self {
        Self {
            link,
            rtt: ReportRtt::default(),
        }
    }

    fn on_blocks(&self, now: Instant, blocks: &[ReceptionReport]) {
        let rtt = blocks
            .iter()
            .filter_map(|b| self.rtt.on_report(now, b.last_sender_report, b.delay))
            .min();
        if let Some(rtt) = rtt {
            self.link.publish_report_rtt(rtt);
        }
    }
}

impl Tap for ReportTap {
    fn on_read(&mut self, packet: &mut TaggedPacket) {
        let now = packet.now;
        let Packet::Rtcp(packets) = &packet.message.packet else {
            return;
        };

        for packet in packets {
            if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
                self.link.publish_sender_report(SenderReportClock {
                    ssrc: report.ssrc,
                    ntp: report.ntp_time,
                    rtp: report.rtp_time,
                    received: now,
                });

                self.on_blocks(now, &report.reports);
            } else if let Some(report) = packet.as_any().downcast_ref::<ReceiverReport>() {
                self.on_blocks(now, &report.reports);
            }
        }
    }

    fn on_write(&mut self, packet: &TaggedPacket) {
        let Packet::Rtcp(packets) = &packet.message.packet else {
            return;
        };

        let reports = packets
            .iter()
            .filter_map(|packet| packet.as_any().downcast_ref::<SenderReport>());
        for report in reports {
            self.rtt.on_sent(packet.now, report.ntp_time);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    #[test]
    fn the_time_for_which_the_partner_held_the_report_is_subtracted() {
        let (mut rtt, start) = (ReportRtt::default(), Instant::now());
        let ntp = 0x1122_3344_5566_7788;
        rtt.on_sent(start, ntp);

        let back = start + Duration::from_millis(550);
        let lsr = 0x3344_5566;
        assert_eq!(
            rtt.on_report(back, lsr, 1 << 15),
            Some(Duration::from_millis(50)),
            "the partner held the report for half a second"
        );
        assert_eq!(
            rtt.on_report(back, lsr, 1 << 20),
            Some(Duration::ZERO),
            "a false claim cannot make it negative"
        );
        assert_eq!(
            rtt.on_report(back, 0, 0),
            None,
            "0 means that the partner has seen no report yet"
        );
    }
}
