//! The rate at which the partner received packets: what the path is known to carry.
//!
//! Does the job of libwebrtc's `AcknowledgedBitrateEstimator`, with a plain sliding window instead
//! of its Bayesian filter. The times of arrival are the partner's word, so the rate is never more
//! than twice that at which the same packets left.

use std::collections::VecDeque;

use crate::link::Bitrate;

/// How much history is kept, ms.
pub(super) const ACKED_WINDOW_MS: f64 = 500.0;
/// A rate is never computed over less time than this, ms.
const MIN_SPAN_MS: f64 = 100.0;

/// The most packets that are kept: 10 Mbit/s for two windows. A partner whose clock stands still
/// would have all of them kept.
const MAX_PACKETS: usize = 1_024;

/// Packets arrive at most this many times as fast as they left. A queue that drains delivers them
/// faster than they were sent; with 1, a link is used less after its queue has drained.
const MAX_COMPRESSION: f64 = 2.0;

/// Acknowledged bits by arrival time.
#[derive(Debug, Default)]
pub(super) struct AckedBitrate {
    /// Ordered by arrival.
    packets: VecDeque<Acked>,
    started_ms: Option<f64>,
}

/// A packet that arrived.
#[derive(Debug, Clone, Copy)]
struct Acked {
    departure_ms: f64,
    arrival_ms: f64,
    bits: f64,
}

impl AckedBitrate {
    /// Records a packet of `bytes` that left at `departure_ms` on this side's clock and arrived at
    /// `arrival_ms` on the receiver's.
    pub(super) fn on_packet(&mut self, departure_ms: f64, arrival_ms: f64, bytes: usize) {
        self.started_ms.get_or_insert(arrival_ms);
        // Reports come in order of departure, which is not the order of arrival on a path that
        // reorders.
        let place = self
            .packets
            .partition_point(|packet| packet.arrival_ms <= arrival_ms);
        let acked = Acked {
            departure_ms,
            arrival_ms,
            bits: bytes as f64 * 8.0,
        };
        self.packets.insert(place, acked);

        let horizon = self.newest_ms() - ACKED_WINDOW_MS;
        let is_old = |packet: &Acked| packet.arrival_ms <= horizon;
        while self.packets.len() > MAX_PACKETS || self.packets.front().is_some_and(is_old) {
            self.packets.pop_front();
        }
    }

    /// The rate over the newest `window_ms` (at most [`ACKED_WINDOW_MS`]); `None` until a tenth of
    /// a second is known.
    pub(super) fn rate(&self, window_ms: f64) -> Option<Bitrate> {
        let newest = self.newest_ms();
        let known = newest - self.started_ms?;
        if known < MIN_SPAN_MS {
            return None;
        }

        let span = window_ms.min(ACKED_WINDOW_MS).min(known);
        let in_window = self
            .packets
            .iter()
            .rev()
            .take_while(|packet| packet.arrival_ms > newest - span);
        let (mut bits, mut first, mut last) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        for packet in in_window {
            bits += packet.bits;
            first = first.min(packet.departure_ms);
            last = last.max(packet.departure_ms);
        }

        let span = span.max((last - first) / MAX_COMPRESSION);
        Some(Bitrate::from_bps(bits / span * 1e3))
    }

    fn newest_ms(&self) -> f64 {
        self.packets.back().map_or(0.0, |packet| packet.arrival_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(acked: &AckedBitrate, window_ms: f64) -> Option<f64> {
        acked.rate(window_ms).map(Bitrate::as_bps)
    }

    #[test]
    fn a_steady_stream_has_the_same_rate_in_every_window() {
        let mut acked = AckedBitrate::default();
        for i in 0..200 {
            acked.on_packet(f64::from(i) * 10.0, f64::from(i) * 10.0, 1250); // 10,000 bits every 10 ms: 1 Mbit/s
        }

        for window in [150.0, 500.0, 9_000.0] {
            let rate = rate(&acked, window).expect("two seconds were seen");
            assert!(
                (rate - 1e6).abs() < 1e4,
                "1 Mbit/s over {window} ms, got {rate}"
            );
        }
    }

    #[test]
    fn too_little_data_gives_no_rate() {
        let mut acked = AckedBitrate::default();
        assert_eq!(rate(&acked, 500.0), None, "nothing arrived");

        acked.on_packet(0.0, 0.0, 1200);
        acked.on_packet(20.0, 20.0, 1200);
        assert_eq!(rate(&acked, 500.0), None, "20 ms are too short for a rate");
    }

    #[test]
    fn a_pause_counts_no_longer_than_the_window() {
        let mut acked = AckedBitrate::default();
        for i in (0..100).chain(1000..1100) {
            acked.on_packet(f64::from(i) * 10.0, f64::from(i) * 10.0, 1250);
        }

        let rate = rate(&acked, 500.0).expect("a second since the pause");
        assert!((rate - 1e6).abs() < 3e4, "the pause is over, got {rate}");
    }

    #[test]
    fn packets_do_not_arrive_much_faster_than_they_were_sent() {
        let mut acked = AckedBitrate::default();
        for i in 0..5_000 {
            // 1 Mbit/s, of which the partner says that it came in a hundredth of the time.
            acked.on_packet(f64::from(i) * 10.0, f64::from(i) * 0.1, 1250);
        }

        let rate = rate(&acked, 500.0).expect("half a second by the partner's clock");
        assert!(rate < 2.1e6, "1 Mbit/s was sent, got {rate}");
    }

    #[test]
    fn a_partner_whose_clock_stands_still_costs_no_memory() {
        let mut acked = AckedBitrate::default();
        for i in 0..100_000 {
            acked.on_packet(f64::from(i) * 10.0, 5.0, 1250);
        }

        assert!(acked.packets.len() <= MAX_PACKETS);
    }
}
