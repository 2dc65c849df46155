//! The rate at which the partner received packets: what the path is known to carry.
//!
//! Does the job of libwebrtc's `AcknowledgedBitrateEstimator`, with a plain sliding window instead
//! of its Bayesian filter.

use std::collections::VecDeque;

use crate::link::Bitrate;

/// How much history is kept, ms.
pub(super) const ACKED_WINDOW_MS: f64 = 500.0;
/// A rate is never computed over less time than this, ms.
const MIN_SPAN_MS: f64 = 100.0;

/// Acknowledged bits by arrival time.
#[derive(Debug, Default)]
pub(super) struct AckedBitrate {
    /// Arrival time in ms and size in bits, ordered by arrival.
    packets: VecDeque<(f64, f64)>,
    started_ms: Option<f64>,
}

impl AckedBitrate {
    /// Records a packet of `bytes` that arrived at `arrival_ms` on the receiver's clock.
    pub(super) fn on_packet(&mut self, arrival_ms: f64, bytes: usize) {
        self.started_ms.get_or_insert(arrival_ms);
        // Reports come in order of departure, which is not the order of arrival on a path that
        // reorders.
        let place = self
            .packets
            .partition_point(|(then, _)| *then <= arrival_ms);
        self.packets.insert(place, (arrival_ms, bytes as f64 * 8.0));

        let horizon = self.newest_ms() - ACKED_WINDOW_MS;
        while self
            .packets
            .front()
            .is_some_and(|(then, _)| *then <= horizon)
        {
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
        let bits: f64 = self
            .packets
            .iter()
            .rev()
            .take_while(|(then, _)| *then > newest - span)
            .map(|(_, bits)| bits)
            .sum();

        Some(Bitrate::from_bps(bits / span * 1e3))
    }

    fn newest_ms(&self) -> f64 {
        self.packets.back().map_or(0.0, |(then, _)| *then)
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
            acked.on_packet(f64::from(i) * 10.0, 1250); // 10,000 bits every 10 ms: 1 Mbit/s
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

        acked.on_packet(0.0, 1200);
        acked.on_packet(20.0, 1200);
        assert_eq!(rate(&acked, 500.0), None, "20 ms are too short for a rate");
    }

    #[test]
    fn a_pause_counts_no_longer_than_the_window() {
        let mut acked = AckedBitrate::default();
        for i in (0..100).chain(1000..1100) {
            acked.on_packet(f64::from(i) * 10.0, 1250);
        }

        let rate = rate(&acked, 500.0).expect("a second since the pause");
        assert!((rate - 1e6).abs() < 3e4, "the pause is over, got {rate}");
    }
}
