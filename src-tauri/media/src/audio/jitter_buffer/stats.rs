//! Statistics of the buffer, in the terms of W3C webrtc-stats where it has them.

use super::SAMPLES_PER_MS;

/// Counters since the buffer was created; [`reset`](super::JitterBuffer::reset) keeps them.
///
/// Each field names the counter of `RTCInboundRtpStreamStats` (W3C webrtc-stats §8.2) that it
/// corresponds to. W3C counts samples where this counts milliseconds (48 samples each).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JitterStats {
    /// All packets inserted, including those dropped (`packetsReceived`).
    pub packets: u64,
    /// Packets whose place was passed without them (`packetsLost`). One that arrives later moves
    /// from `lost` to `late`. W3C also subtracts late packets that no receiver report has counted
    /// yet.
    pub lost: u64,
    /// Packets that arrived after their place had been passed (part of `packetsDiscarded`).
    pub late: u64,
    /// Packets dropped to catch up after an outage, or because the buffer was full (part of
    /// `packetsDiscarded`).
    pub discarded: u64,
    /// Packets that had arrived before.
    pub duplicates: u64,
    /// Packets that were empty, oversized, far from the sequence, or not Opus.
    pub invalid: u64,
    /// Lost packets restored from the copy in the next packet. They also count in `lost`.
    pub recovered_by_fec: u64,
    /// Audio synthesized for lost and late packets, without what FEC restored (`concealedSamples`).
    pub concealed_ms: u64,
    /// The part of `concealed_ms` that was comfort noise, after concealment had faded out
    /// (`silentConcealedSamples`).
    pub silent_concealed_ms: u64,
    /// Runs of concealment (`concealmentEvents`).
    pub concealment_events: u64,
    /// Audio restored by FEC.
    pub fec_ms: u64,
    /// Silence of a sender that had stopped transmitting (DTX), filled with comfort noise. Not a
    /// fault.
    pub dtx_ms: u64,
    /// Audio removed to play faster (`removedSamplesForAcceleration`).
    pub accelerated_ms: u64,
    /// Audio repeated to play slower (`insertedSamplesForDeceleration`).
    pub decelerated_ms: u64,
    /// The delay the buffer aims for now (the latest term of `jitterBufferTargetDelay`).
    pub target_ms: u64,
    /// Median time from a packet's arrival until its first sample was due.
    pub buffer_ms_p50: u64,
    /// 95th percentile of the time from a packet's arrival until its first sample was due.
    pub buffer_ms_p95: u64,
    /// Mean time that a sample spent in the buffer (`jitterBufferDelay` /
    /// `jitterBufferEmittedCount`).
    pub buffer_ms_mean: u64,
}

/// The same counters in samples, and the data for the percentiles.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) discarded: u64,
    pub(super) duplicates: u64,
    pub(super) invalid: u64,
    pub(super) recovered_by_fec: u64,
    pub(super) concealed: u64,
    pub(super) silent_concealed: u64,
    pub(super) concealment_events: u64,
    pub(super) fec: u64,
    pub(super) dtx: u64,
    pub(super) accelerated: u64,
    pub(super) decelerated: u64,
    emitted: u64,
    /// Sum over the emitted samples of the time each spent in the buffer.
    waited: u64,
    /// Number of packets by the whole milliseconds they waited. The last bin takes all longer
    /// waits.
    waits: Vec<u32>,
}

/// Bins of `waits`: waits of a second and more share the last.
const WAIT_BINS: usize = 1_001;

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            packets: 0,
            lost: 0,
            late: 0,
            discarded: 0,
            duplicates: 0,
            invalid: 0,
            recovered_by_fec: 0,
            concealed: 0,
            silent_concealed: 0,
            concealment_events: 0,
            fec: 0,
            dtx: 0,
            accelerated: 0,
            decelerated: 0,
            emitted: 0,
            waited: 0,
            waits: vec![0; WAIT_BINS],
        }
    }

    /// Records a packet of `samples` that is due `wait` samples after it arrived.
    pub(super) fn on_played(&mut self, wait: i64, samples: usize) {
        let wait = wait.max(0);
        let samples = samples as u64;
        self.emitted += samples;
        // The samples leave one after another, so the average sample waits half the packet longer.
        self.waited = self
            .waited
            .saturating_add((wait as u64 + samples / 2).saturating_mul(samples));
        let bin = ((wait / SAMPLES_PER_MS) as usize).min(WAIT_BINS - 1);
        self.waits[bin] = self.waits[bin].saturating_add(1);
    }

    fn wait_quantile(&self, quantile: f64) -> u64 {
        let all: u64 = self.waits.iter().map(|&count| u64::from(count)).sum();
        let rank = (all as f64 * quantile).ceil().max(1.0) as u64;
        let mut below = 0;

        self.waits
            .iter()
            .position(|&count| {
                below += u64::from(count);
                below >= rank
            })
            .unwrap_or(0) as u64
    }

    pub(super) fn snapshot(&self, target: i64) -> JitterStats {
        const PER_MS: u64 = SAMPLES_PER_MS as u64;
        JitterStats {
            packets: self.packets,
            lost: self.lost,
            late: self.late,
            discarded: self.discarded,
            duplicates: self.duplicates,
            invalid: self.invalid,
            recovered_by_fec: self.recovered_by_fec,
            concealed_ms: self.concealed / PER_MS,
            silent_concealed_ms: self.silent_concealed / PER_MS,
            concealment_events: self.concealment_events,
            fec_ms: self.fec / PER_MS,
            dtx_ms: self.dtx / PER_MS,
            accelerated_ms: self.accelerated / PER_MS,
            decelerated_ms: self.decelerated / PER_MS,
            target_ms: (target / SAMPLES_PER_MS).max(0) as u64,
            buffer_ms_p50: self.wait_quantile(0.5),
            buffer_ms_p95: self.wait_quantile(0.95),
            buffer_ms_mean: self.waited.checked_div(self.emitted).unwrap_or(0) / PER_MS,
        }
    }
}
