//! Notices streams of the partner that no description announced.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rtc::interceptor::{Packet, TaggedPacket};

use super::{Declared, Tap};

/// A stream with the same payload type that was heard this recently is the one to listen to.
const IS_CURRENT: Duration = Duration::from_secs(1);
/// The shortest time between two reports of the same payload type.
const INTERVAL: Duration = Duration::from_millis(500);
/// The most reports of one payload type. Each can cost a renegotiation on this side, if the payload
/// type is one of media.
const MAX_REPORTS: u32 = 16;

/// The most reports of all payload types within [`FORGIVEN`].
const MAX_ALL_REPORTS: u32 = 64;

/// After this long without a report, they are counted from the start: a long call may change its
/// streams often.
const FORGIVEN: Duration = Duration::from_secs(60);

/// Called with the SSRC and the payload type of a stream that the library drops.
pub(crate) type OnUndeclared = Box<dyn Fn(u32, u8) + Send + Sync>;

/// Reports streams whose SSRC the library does not know. Many partners announce none: the
/// description says which payload types belong to a section, and that is enough (RFC 9143 §9.2).
pub(crate) struct UndeclaredTap {
    report: OnUndeclared,
    declared: Declared,
    /// When a packet of this payload type was delivered last.
    heard: HashMap<u8, Instant>,
    /// When streams with this payload type were reported last, and how often.
    reported: HashMap<u8, (Instant, u32)>,
    /// Reports of all payload types, and since when they are counted.
    all: Option<(Instant, u32)>,
}

impl UndeclaredTap {
    pub(crate) fn new(declared: Declared, report: OnUndeclared) -> Self {
        Self {
            report,
            declared,
            heard: HashMap::new(),
            reported: HashMap::new(),
            all: None,
        }
    }

    /// A packet arrives.
    fn on_packet(&mut self, now: Instant, ssrc: u32, payload_type: u8) {
        if self.declared.has(ssrc) {
            self.heard.insert(payload_type, now);
            return;
        }

        let is_recent = |at: &Instant, span| now.saturating_duration_since(*at) < span;
        let has_another = self
            .heard
            .get(&payload_type)
            .is_some_and(|at| is_recent(at, IS_CURRENT));
        let before = self
            .reported
            .get(&payload_type)
            .filter(|(at, _)| is_recent(at, FORGIVEN));
        let reports = before.map_or(0, |(_, reports)| *reports);
        let too_soon = before.is_some_and(|(at, _)| is_recent(at, INTERVAL));
        let (since, all) = self
            .all
            .filter(|(since, _)| is_recent(since, FORGIVEN))
            .unwrap_or((now, 0));
        if has_another || too_soon || reports == MAX_REPORTS || all == MAX_ALL_REPORTS {
            return;
        }

        self.all = Some((since, all + 1));

        self.reported.insert(payload_type, (now, reports + 1));
        (self.report)(ssrc, payload_type);
    }
}

impl Tap for UndeclaredTap {
    fn on_read(&mut self, packet: &mut TaggedPacket) {
        if let Packet::Rtp(rtp) = &packet.message.packet {
            self.on_packet(packet.now, rtp.header.ssrc, rtp.header.payload_type);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    type Reports = Arc<Mutex<Vec<(u32, u8)>>>;

    fn tap() -> (UndeclaredTap, Reports) {
        let reports = Arc::new(Mutex::new(Vec::new()));
        let report = {
            let reports = Arc::clone(&reports);
            move |ssrc, payload_type| reports.lock().push((ssrc, payload_type))
        };
        let declared = Declared::default();
        (UndeclaredTap::new(declared, Box::new(report)), reports)
    }

    #[test]
    fn a_stream_that_nobody_announced_is_reported_until_it_is_known() {
        let (mut tap, reports) = tap();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);

        tap.on_packet(at(0), 1, 96);
        tap.on_packet(at(499), 1, 96);
        tap.on_packet(at(500), 1, 96);
        assert_eq!(*reports.lock(), [(1, 96), (1, 96)], "twice a second");

        tap.declared.set(vec![(1, None)]);
        tap.on_packet(at(2_000), 1, 96);
        assert_eq!(reports.lock().len(), 2);
    }

    #[test]
    fn a_stream_beside_one_that_flows_is_not_wanted() {
        let (mut tap, reports) = tap();
        let start = Instant::now();
        tap.declared.set(vec![(1, None)]);
        tap.on_packet(start, 1, 96);
        tap.on_packet(start + Duration::from_millis(999), 2, 96);
        assert!(reports.lock().is_empty());

        tap.on_packet(start + Duration::from_millis(999), 3, 111);
        assert_eq!(*reports.lock(), [(3, 111)], "sound is another matter");

        tap.on_packet(start + Duration::from_secs(2), 2, 96);
        assert_eq!(reports.lock().len(), 2, "the first one has ended");
    }

    #[test]
    fn a_stream_that_comes_back_is_reported() {
        let (mut tap, reports) = tap();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        tap.declared.set(vec![(1, None)]);
        tap.on_packet(at(0), 1, 96);
        tap.on_packet(at(2), 2, 96);
        tap.declared.set(vec![(2, None)]);
        tap.on_packet(at(3), 2, 96);
        tap.on_packet(at(5), 1, 96);
        assert_eq!(*reports.lock(), [(2, 96), (1, 96)]);
    }

    #[test]
    fn a_partner_cannot_make_this_side_work_without_end() {
        let (mut tap, reports) = tap();
        let start = Instant::now();
        for second in 0..1_000_u32 {
            tap.on_packet(start + Duration::from_secs(second.into()), second, 96);
        }

        let many = reports.lock().len();
        assert!(
            (17..=16 * 14).contains(&many),
            "{many}: sixteen, then a minute of none"
        );
    }

    #[test]
    fn a_partner_cannot_make_this_side_work_with_many_payload_types() {
        let (mut tap, reports) = tap();
        let start = Instant::now();
        for packet in 0..5_900_u32 {
            let payload_type = (packet % 128) as u8;
            tap.on_packet(
                start + Duration::from_millis(10) * packet,
                packet,
                payload_type,
            );
        }

        assert_eq!(reports.lock().len(), 64, "within a minute");
        tap.on_packet(start + Duration::from_secs(121), 1, 7);
        assert_eq!(reports.lock().len(), 65);
    }
}
