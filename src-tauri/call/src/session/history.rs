//! A connection's figures over time: a bitrate sample and a quality rating every half second.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use parking_lot::Mutex;

use super::quality::{Quality, QualityFigures, QualityRating};
use super::recorder::{ReceiveRecorder, Traffic};
use super::stats::{BitrateSample, SAMPLE_INTERVAL};
use crate::link::LinkState;

/// Samples kept: two hours' worth.
const MAX_SAMPLES: usize = 14_400;

/// What was measured since the connection came up.
pub(super) struct History {
    connected_at: Instant,
    samples: Vec<BitrateSample>,
    last: Totals,
    rating: QualityRating,
    quality: Option<Quality>,
}

/// Ever-growing counters, as they were at the last sample.
struct Totals {
    at: Instant,
    sent_bytes: u64,
    received_bytes: u64,
    frozen_ms: u64,
}

impl History {
    pub(super) fn new(connected_at: Instant) -> Self {
        Self {
            connected_at,
            samples: Vec::new(),
            last: Totals {
                at: connected_at,
                sent_bytes: 0,
                received_bytes: 0,
                frozen_ms: 0,
            },
            rating: QualityRating::default(),
            quality: None,
        }
    }

    /// Takes a sample if one is due. Returns whether it was. `sent_bytes`: of RTP payload, audio and video,
    /// in the whole call.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        link: &LinkState,
        sent_bytes: u64,
        traffic: &Traffic,
        received: &Mutex<ReceiveRecorder>,
    ) -> bool {
        let elapsed = now.saturating_duration_since(self.last.at);

        if elapsed < SAMPLE_INTERVAL {
            return false;
        }

        let totals = Totals {
            at: now,
            sent_bytes,
            received_bytes: traffic.received.load(Relaxed),
            frozen_ms: received.lock().frozen_ms(),
        };

        let last = std::mem::replace(&mut self.last, totals);
        let per_second = |bytes: u64| (bytes as f64 * 8.0 / elapsed.as_secs_f64()) as u64;
        let loss = link.loss_fraction() as f32;
        let rtt_ms = link.rtt().map(|rtt| rtt.as_secs_f32() * 1e3);
        let target_bps = link.target_bps();

        if self.samples.len() < MAX_SAMPLES {
            self.samples.push(BitrateSample {
                t: now
                    .saturating_duration_since(self.connected_at)
                    .as_secs_f32(),
                target_bps,
                sent_bps: per_second(self.last.sent_bytes.saturating_sub(last.sent_bytes)),
                received_bps: per_second(self.last.received_bytes - last.received_bytes),
                rtt_ms,
                loss,
            });
        }

        let frozen_ms = self.last.frozen_ms.saturating_sub(last.frozen_ms) as f32;
        let figures = QualityFigures {
            loss,
            rtt_ms,
            frozen: (frozen_ms / (elapsed.as_secs_f32() * 1e3)).min(1.0),
            target_bps: Some(target_bps),
        };

        self.quality = self.rating.update(now, &figures);
        true
    }

    /// One entry per half second.
    pub(super) fn samples(&self) -> &[BitrateSample] {
        &self.samples
    }

    /// How good the call is. `None`: not known yet.
    pub(super) fn quality(&self) -> Option<Quality> {
        self.quality
    }
}
