//! What the operator sees of the TURN server in this program. Without one, all of it is zero.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tandem_turn::Stats;

use super::metrics::{counter, counters, gauge};

const REFUSED: [&str; 4] = ["unauthorized", "denied_peer", "quota", "revoked"];
const DROPPED: [&str; 3] = ["unanswered", "unpermitted", "bandwidth"];

/// Copies of the TURN server's own counters, as of the last scrape.
#[derive(Debug)]
pub(super) struct TurnMetrics {
    open: Gauge,
    allocated: Counter,
    ended: Counter,
    packets: Counter,
    bytes: Counter,
    joined: Counter,
    refused: [Counter; REFUSED.len()],
    dropped: [Counter; DROPPED.len()],
}

impl TurnMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            open: gauge(r, "turn_allocations", "TURN allocations that are open"),
            allocated: counter(r, "turn_allocated", "TURN allocations made"),
            ended: counter(
                r,
                "turn_ended",
                "TURN allocations that ended with their call, or by the operator",
            ),
            packets: counter(r, "turn_packets", "Packets passed on by TURN"),
            bytes: counter(r, "turn_bytes", "Bytes passed on by TURN"),
            joined: counter(
                r,
                "turn_joined_packets",
                "Packets passed on between two clients of this TURN server",
            ),
            refused: counters(
                r,
                "turn_refused",
                "TURN requests refused",
                "reason",
                REFUSED,
            ),
            dropped: counters(
                r,
                "turn_dropped",
                "Packets that TURN dropped",
                "reason",
                DROPPED,
            ),
        }
    }

    pub(super) fn set(&self, stats: &Stats) {
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        self.open.set(i64::try_from(stats.open).unwrap_or(i64::MAX));
        set(&self.allocated, stats.allocated);
        set(&self.ended, stats.ended);
        set(&self.packets, stats.relayed_packets);
        set(&self.bytes, stats.relayed_bytes);
        set(&self.joined, stats.joined_packets);

        let refused = [
            stats.unauthorized,
            stats.forbidden,
            stats.over_quota,
            stats.revoked,
        ];
        let dropped = [
            stats.unanswered,
            stats.dropped_unpermitted,
            stats.dropped_over_rate,
        ];
        for (counter, value) in self.refused.iter().zip(refused) {
            set(counter, value);
        }
        for (counter, value) in self.dropped.iter().zip(dropped) {
            set(counter, value);
        }
    }
}
