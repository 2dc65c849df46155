//! Reads RTCP reports as they pass: the partner's clock for lip sync, and the round trip time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::Passage;
use crate::link::{LinkState, SenderReportClock};

/// Sender reports remembered until a receiver report names them; one leaves per stream and second.
const REMEMBERED: usize = 32;

/// Round trip times by RFC 3550 §6.4.1, without a wall clock: the partner quotes the middle 32 bits of the NTP time of the
/// last sender report (LSR) and how long it held it (DLSR); this side remembers when the report with those bits left.
#[derive(Debug, Default)]
pub(super) struct ReportRtt {
    sent: VecDeque<(u32, Instant)>,
}

impl ReportRtt {
    /// A sender report with this NTP time (32.32) leaves now.
    pub(super) fn on_sent(&mut self, now: Instant, ntp: u64) {
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }

        self.sent.push_back(((ntp >> 16) as u32, now));
    }

    /// The round trip time that a report block implies; `None` if it names no report of ours.
    ///
    /// `delay` is the DLSR field: 1/65,536 s. A partner that claims to have held the report for longer than it was away
    /// yields zero.
    pub(super) fn on_report(
        &self,
        now: Instant,
        last_sender_report: u32,
        delay: u32,
    ) -> Option<Duration> {
        let (_, sent) = self
            .sent
            .iter()
            .rev()
            .find(|(ntp, _)| *ntp == last_sender_report)?;
        let held = Duration::from_micros((u64::from(delay) * 1_000_000) >> 16);
        Some(now.saturating_duration_since(*sent).saturating_sub(held))
    }
}

/// Publishes what RTCP reports say in [`LinkState`].
pub struct ReportTap {
    link: Arc<LinkState>,
    rtt: ReportRtt,
    passage: Passage,
}

impl ReportTap {
    /// A tap that publishes in `link`.
    pub fn new(link: Arc<LinkState>) -> Self {
        Self {
            link,
            rtt: ReportRtt::default(),
            passage: Passage::default(),
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

impl Protocol<TaggedPacket, TaggedPacket, ()> for ReportTap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &msg.message.packet {
            for packet in packets {
                if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
                    self.link.publish_sender_report(SenderReportClock {
                        ssrc: report.ssrc,
                        ntp: report.ntp_time,
                        rtp: report.rtp_time,
                        received: msg.now,
                    });

                    self.on_blocks(msg.now, &report.reports);
                } else if let Some(report) = packet.as_any().downcast_ref::<ReceiverReport>() {
                    self.on_blocks(msg.now, &report.reports);
                }
            }
        }

        self.passage.inbound.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.passage.inbound.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &msg.message.packet {
            let reports = packets
                .iter()
                .filter_map(|packet| packet.as_any().downcast_ref::<SenderReport>());
            for report in reports {
                self.rtt.on_sent(msg.now, report.ntp_time);
            }
        }

        self.passage.outbound.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.passage.outbound.pop_front()
    }
}

impl Interceptor for ReportTap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_the_partner_held_the_report_is_taken_off() {
        let (mut rtt, start) = (ReportRtt::default(), Instant::now());
        let ntp = 0x1122_3344_5566_7788;
        rtt.on_sent(start, ntp);
        let back = start + Duration::from_millis(550);
        let lsr = 0x3344_5566;

        assert_eq!(
            rtt.on_report(back, lsr, 1 << 15),
            Some(Duration::from_millis(50)),
            "half a second was held"
        );

        assert_eq!(
            rtt.on_report(back, lsr, 1 << 20),
            Some(Duration::ZERO),
            "a lie does not go below zero"
        );

        assert_eq!(
            rtt.on_report(back, 0, 0),
            None,
            "0 means that no report was seen yet"
        );
    }
}
