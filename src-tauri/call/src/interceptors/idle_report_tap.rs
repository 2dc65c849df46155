//! Reports to the partner where there is nothing to report.

use std::time::{Duration, Instant};

use rtc::interceptor::TaggedPacket;
use rtc::rtcp::Packet;
use rtc::rtcp::receiver_report::ReceiverReport;

use super::Tap;

/// A partner counts as silent after two seconds without a packet. The library's reports on streams
/// leave every second, and a timer may be a little late.
const INTERVAL: Duration = Duration::from_millis(1_250);

/// Says whether the connection is up: before, nothing can be sent.
pub(crate) type IsUp = Box<dyn Fn() -> bool + Send + Sync>;

/// Sends an empty receiver report (RFC 3550 §6.4.2) where nothing else has left for a while. The
/// library reports on streams that have sent or received something, so that two people without a
/// camera and a microphone would not hear from each other.
pub(crate) struct IdleReportTap {
    is_up: IsUp,
    /// The sender of the reports.
    ssrc: u32,
    /// When the last packet left, or none could.
    idle_since: Instant,
}

impl IdleReportTap {
    /// A tap that begins at `now`, and reports as `ssrc`.
    pub(crate) fn new(now: Instant, ssrc: u32, is_up: IsUp) -> Self {
        Self {
            is_up,
            ssrc,
            idle_since: now,
        }
    }

    fn due(&self) -> Instant {
        self.idle_since + INTERVAL
    }
}

impl Tap for IdleReportTap {
    fn on_write(&mut self, packet: &TaggedPacket) {
        self.idle_since = self.idle_since.max(packet.now);
    }

    fn on_timeout(&mut self, now: Instant) -> Vec<Box<dyn Packet>> {
        if now < self.due() {
            return Vec::new();
        }

        self.idle_since = now;
        if !(self.is_up)() {
            return Vec::new();
        }

        vec![Box::new(ReceiverReport {
            ssrc: self.ssrc,
            ..ReceiverReport::default()
        })]
    }

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.due())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use rtc::interceptor::{AttributedPacket, Packet as AnyPacket};
    use rtc::shared::TransportContext;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    struct Rig {
        tap: IdleReportTap,
        start: Instant,
        is_up: Arc<AtomicBool>,
    }

    impl Rig {
        fn new() -> Self {
            let (start, is_up) = (Instant::now(), Arc::new(AtomicBool::new(true)));
            let up = Arc::clone(&is_up);
            Self {
                tap: IdleReportTap::new(start, 7, Box::new(move || up.load(Relaxed))),
                start,
                is_up,
            }
        }

        /// Passes a packet at this millisecond.
        fn write(&mut self, ms: u32) {
            self.tap.on_write(&TaggedPacket {
                now: self.start + MS * ms,
                transport: TransportContext::default(),
                message: AttributedPacket::new(AnyPacket::Rtcp(Vec::new())),
            });
        }

        /// At which of these milliseconds reports leave. A packet passes every `every`.
        fn reports(&mut self, ms: std::ops::Range<u32>, every: Option<u32>) -> Vec<u32> {
            let mut sent = Vec::new();
            for at in ms.step_by(10) {
                if every.is_some_and(|every| at.is_multiple_of(every)) {
                    self.write(at);
                }

                for packet in self.tap.on_timeout(self.start + MS * at) {
                    let report = packet.as_any().downcast_ref::<ReceiverReport>();
                    let report = report.expect("a receiver report");
                    assert!(report.reports.is_empty(), "there is nothing to report");
                    assert_eq!(report.ssrc, 7);
                    sent.push(at);
                }
            }

            sent
        }
    }

    #[test]
    fn where_nothing_leaves_an_empty_report_does() {
        let mut rig = Rig::new();
        assert_eq!(rig.reports(0..4_000, None), [1_250, 2_500, 3_750]);
        let next = rig.tap.next_timeout().expect("the next one");
        assert_eq!(next, rig.start + 5_000 * MS);
    }

    #[test]
    fn nothing_leaves_before_the_connection_is_up() {
        let mut rig = Rig::new();
        rig.is_up.store(false, Relaxed);
        assert!(rig.reports(0..3_000, None).is_empty());
        rig.is_up.store(true, Relaxed);
        assert_eq!(rig.reports(3_000..5_100, None), [3_750, 5_000]);
    }

    #[test]
    fn a_call_with_media_or_reports_has_no_empty_ones() {
        for every in [20, 1_000] {
            let mut rig = Rig::new();
            let sent = rig.reports(0..9_000, Some(every));
            assert!(sent.is_empty(), "{every} ms: {sent:?}");
            // The last packet passed at 8,980 or at 8,000 ms.
            let first = rig.reports(9_000..11_000, None)[0];
            assert_eq!(first, 9_000 - every + 1_250, "{every} ms");
        }
    }
}
