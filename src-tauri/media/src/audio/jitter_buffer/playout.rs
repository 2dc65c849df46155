//! The playout side of the buffer: composes the next 10 ms.

use std::time::Instant;

use super::delay::BLOCK_MS;
use super::{JitterBuffer, PacketDecoder, Playout, PlayoutKind, SAMPLES_PER_MS};
use crate::audio::BLOCK_SAMPLES;
use crate::audio::opus::{CONCEAL_STEP, MAX_PACKET_SAMPLES};
use crate::audio::time_stretch::{self, FULL_SEARCH, MERGE_OVERLAP, MERGE_SEARCH};

/// Number of packets whose playout time is remembered.
pub(super) const TRANSITS: usize = 16;
/// Concealment fades from here, in samples …
const FADE_START: i64 = 80 * SAMPLES_PER_MS;
/// … to here, where only comfort noise is left.
const FADE_END: i64 = 240 * SAMPLES_PER_MS;
/// A playout delay this far above the target, in samples, is skipped instead of played faster.
const SKIP_ABOVE: i64 = 400 * SAMPLES_PER_MS;
/// A pause in the timestamps that would be due later than this, in samples, means a new origin of
/// RTP time, not a pause.
const LONGEST_WAIT: i64 = 1_000 * SAMPLES_PER_MS;
/// Timestamps of consecutive packets that are off by less than this, in samples, come from a sender
/// that counts badly: 1 ms. Gateways convert from other clocks, and some senders count in ms.
const INEXACT: i64 = SAMPLES_PER_MS;
/// A sender in DTX is never silent this long, in samples (Opus refreshes every 400 ms): longer gaps
/// are loss.
const LONGEST_DTX: u64 = 1_000 * SAMPLES_PER_MS as u64;
/// Delay above the target that is tolerated, in samples.
const SLACK_ABOVE: i64 = 10 * SAMPLES_PER_MS;
/// Delay below the target that is tolerated, in samples.
const SLACK_BELOW: i64 = 3 * SAMPLES_PER_MS;
/// Delay above the target that is reduced quickly, in samples.
const FAST_ABOVE: i64 = 80 * SAMPLES_PER_MS;
/// Pulls between stretches, and between stretches that reduce a delay quickly.
const STRETCH_PAUSE: u32 = 5;
const FAST_STRETCH_PAUSE: u32 = 2;

/// Weight of one packet in the loss share: a memory of 200 packets.
const LOSS_GAIN: f64 = 0.005;
/// Above this share of lost packets it is worth waiting for FEC copies …
const FEC_ON_ABOVE: f64 = 0.012;
/// … and below this it no longer is.
const FEC_OFF_BELOW: f64 = 0.004;

/// Where the next samples come from.
enum Source {
    /// Decode the first packet.
    Packet,
    /// Restore the last `missing` of the `frame` samples before the first packet, from the copy in
    /// it.
    Fec { missing: usize, frame: usize },
    /// Conceal at most this many samples.
    Conceal(usize),
    /// Playing has not started.
    Silence,
}

impl<D: PacketDecoder> JitterBuffer<D> {
    /// Plays 10 ms into `out`, which is always filled. Call it every 10 ms, or in bursts as the
    /// sound card asks.
    pub fn pull(&mut self, now: Instant, out: &mut [i16; BLOCK_SAMPLES]) -> Playout {
        let clock = self.clock(now);
        let mut kind = PlayoutKind::Normal;

        while self.pending.len() < BLOCK_SAMPLES {
            self.skip_excess(clock);
            match self.source(clock) {
                Source::Silence => {
                    out.fill(0);
                    return Playout {
                        rtp_timestamp: None,
                        kind: PlayoutKind::Silence,
                    };
                }
                Source::Packet => self.decode_first(clock),
                Source::Fec { missing, frame } => {
                    kind = PlayoutKind::Fec;
                    self.restore_from_first(missing, frame);
                }
                Source::Conceal(samples) => {
                    let faded = self.concealed >= FADE_END;
                    kind = if faded {
                        PlayoutKind::ComfortNoise
                    } else {
                        PlayoutKind::Concealed
                    };

                    self.conceal(samples);
                }
            }
        }

        let stands_for = self
            .next_media
            .map(|next| (next - self.pending.len() as i64) as u32);
        if self.concealed == 0 && kind == PlayoutKind::Normal {
            kind = self.stretch(clock);
        }

        out.copy_from_slice(&self.pending[..BLOCK_SAMPLES]);
        self.pending.drain(..BLOCK_SAMPLES);

        let real = !matches!(kind, PlayoutKind::Concealed | PlayoutKind::ComfortNoise);
        Playout {
            rtp_timestamp: stands_for.filter(|_| real),
            kind,
        }
    }

    /// How many samples the first packet must still wait to have the target delay; zero or less if
    /// it may be played now.
    fn wait_for_target(&self, clock: i64, media: i64, arrival: i64) -> i64 {
        let base = self
            .delay
            .base_transit()
            .map_or(arrival - media, |base| base.min(arrival - media));
        self.target() - (clock + self.pending.len() as i64 - media - base)
    }

    fn source(&self, clock: i64) -> Source {
        let first = self.store.first();
        let Some(next_media) = self.next_media else {
            return match first {
                Some(first) if self.wait_for_target(clock, first.media, first.arrival) <= 0 => {
                    Source::Packet
                }
                _ => Source::Silence,
            };
        };

        let Some(first) = first else {
            return Source::Conceal(BLOCK_SAMPLES);
        };

        let gap = first.media - next_media;
        let remaining = gap - self.concealed;

        if gap < 0 || remaining > LONGEST_WAIT || self.follows(first.sequence, gap) {
            return Source::Packet;
        }

        let sender_paused = gap > 0 && self.store.next() == Some(first.sequence);
        if sender_paused || self.concealed > FADE_START {
            // The sender is silent, so this is a good moment to reach the target delay.
            let wait = self.wait_for_target(clock, first.media, first.arrival);
            return if wait <= 0 {
                Source::Packet
            } else {
                Source::Conceal(wait as usize)
            };
        }

        if remaining <= 0 {
            return Source::Packet;
        }

        match self
            .decoder
            .fec_samples(&first.payload)
            .filter(|&frame| frame <= MAX_PACKET_SAMPLES)
        {
            Some(frame) if remaining <= frame as i64 => Source::Fec {
                missing: remaining as usize,
                frame,
            },
            Some(frame) => Source::Conceal(remaining as usize - frame),
            None => Source::Conceal(remaining as usize),
        }
    }

    /// Whether the packet with this sequence number, `gap` samples after what was decoded last,
    /// simply follows it.
    fn follows(&self, sequence: i64, gap: i64) -> bool {
        self.store.next() == Some(sequence) && self.concealed == 0 && gap.abs() < INEXACT
    }

    /// Drops the oldest packets, far too late to play, that the network had queued during an
    /// outage.
    fn skip_excess(&mut self, clock: i64) {
        let limit = -SKIP_ABOVE;
        let far_behind = |this: &Self| {
            this.store
                .first()
                .is_some_and(|p| this.wait_for_target(clock, p.media, p.arrival) < limit)
        };

        if self.next_media.is_none() || self.store.len() < 2 || !far_behind(self) {
            return;
        }

        while self.store.len() > 1
            && self
                .store
                .first()
                .is_some_and(|p| self.wait_for_target(clock, p.media, p.arrival) < 0)
        {
            self.count_lost();
            self.store.pop();
            self.counters.discarded += 1;
        }

        // Everything before the first packet is given up. What was concealed in between counts as
        // concealed, not as a pause.
        self.settle_as_concealed();
        self.next_media = self.store.first().map(|first| first.media);
        self.concealed = self.concealed.max(1);
        self.playout_transits.clear();
        tracing::debug!("skipped audio that arrived too late to play: a short gap is heard");
    }

    /// Counts the packets missing before the first one as lost.
    fn count_lost(&mut self) {
        if let (Some(first), Some(next)) = (self.store.first(), self.store.next()) {
            let missing = first.sequence.saturating_sub(next).max(0) as u64;
            let dropped = self.overflowed.min(missing);
            self.overflowed -= dropped;
            let lost = missing - dropped;
            self.counters.lost += lost;

            for _ in 0..lost.min(10) {
                self.loss_share += LOSS_GAIN * (1.0 - self.loss_share);
            }
        }
    }

    /// Decides, when `packet` is played, whether to wait for copies.
    fn update_fec_wait(&mut self, packet: &[u8]) {
        self.loss_share -= LOSS_GAIN * self.loss_share;
        if self.loss_share < FEC_OFF_BELOW {
            self.fec_wait = 0;
        } else if self.loss_share > FEC_ON_ABOVE
            && let Some(frame) = self.decoder.fec_samples(packet)
        {
            self.fec_wait = frame as i64;
        }
    }

    fn decode_first(&mut self, clock: i64) {
        let contiguous = self.store.first().map(|first| first.sequence) == self.store.next();
        let follows = self.store.first().is_some_and(|first| {
            let gap = first.media - self.next_media.unwrap_or(first.media);
            self.follows(first.sequence, gap)
        });
        self.count_lost();
        let Some(packet) = self.store.pop() else {
            return;
        };

        self.update_fec_wait(&packet.payload);

        let gap = packet.media - self.next_media.unwrap_or(packet.media);
        if contiguous && gap > 0 {
            let paused = self.unsettled.min(gap as u64);
            self.unsettled -= paused;
            self.counters.dtx += paused;
        }

        self.settle_as_concealed();

        // The decoder continues smoothly after concealing exactly what was missing; otherwise the
        // parts must be joined.
        let smooth = follows || (self.concealed == gap && self.concealed <= FADE_START);
        let started = self.next_media.is_some();
        let tail_samples = MERGE_OVERLAP + MERGE_SEARCH;
        let mut tail = [0; MERGE_OVERLAP + MERGE_SEARCH];

        if !smooth && started {
            self.synthesize(&mut tail, tail_samples);
            self.playout_transits.clear();
        }

        let samples = match self.decoder.decode(&packet.payload, &mut self.decoded) {
            Ok(samples) if (1..=MAX_PACKET_SAMPLES).contains(&samples) => samples,
            _ => {
                self.counters.invalid += 1;
                self.next_media = Some(packet.media);
                return self.conceal_broken();
            }
        };

        let fresh = &self.decoded[..samples];
        self.noise.learn(fresh);

        if smooth || !started {
            self.pending.extend_from_slice(fresh);
        } else {
            let extra = time_stretch::merge(&tail, fresh, &mut self.pending);
            self.counters.concealed += extra as u64;
        }

        self.packet_samples = samples;
        self.next_media = Some(packet.media + samples as i64);
        self.concealed = 0;

        let due = clock + self.pending.len() as i64 - samples as i64;
        self.counters.on_played(due - packet.arrival, samples);
        self.playout_transits.push_back(due - packet.media);

        if self.playout_transits.len() > TRANSITS {
            self.playout_transits.pop_front();
        }
    }

    /// Conceals a packet that could not be decoded.
    fn conceal_broken(&mut self) {
        let samples = self.packet_samples.min(MAX_PACKET_SAMPLES);
        let before = self.concealed;
        self.concealed = 0;

        let mut left = samples;
        while left > 0 {
            let part = left.min(BLOCK_SAMPLES);
            self.conceal(part);
            left -= part;
        }

        self.settle_as_concealed();
        self.next_media = self.next_media.map(|next| next + samples as i64);
        self.concealed = before.min(1);
    }

    fn restore_from_first(&mut self, missing: usize, frame: usize) {
        let restored = self.store.first().is_some_and(|first| {
            self.decoder
                .decode_fec(&first.payload, &mut self.decoded[..frame])
                .is_ok()
        });

        if !restored {
            return self.conceal(missing);
        }

        self.settle_as_concealed();
        self.count_lost();
        self.counters.recovered_by_fec += 1;
        self.counters.fec += missing as u64;
        // If concealment already covers the start of the lost audio, only its end is needed.
        let needed = frame - missing;

        if self.concealed > 0 && needed > 0 {
            let mut tail = [0; MERGE_OVERLAP];
            self.synthesize(&mut tail, MERGE_OVERLAP);
            let fresh = &self.decoded[needed..frame];
            time_stretch::merge(
                &tail[..MERGE_OVERLAP.min(fresh.len())],
                fresh,
                &mut self.pending,
            );
        } else {
            self.pending.extend_from_slice(&self.decoded[needed..frame]);
        }

        self.concealed = 0;
        if let Some((sequence, media)) = self
            .store
            .first()
            .map(|first| (first.sequence, first.media))
        {
            self.store.pass(sequence);
            self.next_media = Some(media);
        }
    }

    /// Appends at most `samples` of concealment, up to one block.
    fn conceal(&mut self, samples: usize) {
        let samples = samples.clamp(1, BLOCK_SAMPLES);
        let mut block = [0; BLOCK_SAMPLES];
        self.synthesize(&mut block, samples);

        if self.unsettled == 0 {
            self.counters.concealment_events += 1;
        }

        if self.concealed >= FADE_END {
            self.counters.silent_concealed += samples as u64;
        }

        self.pending.extend_from_slice(&block[..samples]);
        self.concealed += samples as i64;
        self.unsettled += samples as u64;

        if self.unsettled > LONGEST_DTX {
            self.settle_as_concealed();
        }
    }

    /// Fills `out[..samples]` with concealment that fades into comfort noise.
    fn synthesize(&mut self, out: &mut [i16], samples: usize) {
        let legal = samples.next_multiple_of(CONCEAL_STEP).min(out.len());
        if self.concealed < FADE_END && self.decoder.conceal(&mut out[..legal]).is_err() {
            out.fill(0);
        }

        for (i, sample) in out[..samples].iter_mut().enumerate() {
            let position = self.concealed + i as i64 - FADE_START;
            if position > 0 {
                let noise = (position as f32 / (FADE_END - FADE_START) as f32).min(1.0);
                *sample = (f32::from(*sample) * (1.0 - noise) + self.noise.next() * noise) as i16;
            }
        }
    }

    /// Counts the undecided samples as concealed: they did not stand for a pause of the sender.
    pub(super) fn settle_as_concealed(&mut self) {
        self.counters.concealed += self.unsettled;
        self.unsettled = 0;
    }

    /// Moves the playout delay towards the target if it is off and the audio allows it.
    fn stretch(&mut self, clock: i64) -> PlayoutKind {
        self.stretch_pause = self.stretch_pause.saturating_sub(1);
        let (Some(playout), Some(base)) = (
            self.playout_transits.iter().min(),
            self.delay.base_transit(),
        ) else {
            return PlayoutKind::Normal;
        };

        if self.stretch_pause > 0 || self.playout_transits.len() < 4 {
            return PlayoutKind::Normal;
        }

        let excess = playout - base - self.target();
        let fast = excess > FAST_ABOVE;
        // The longer nothing periodic turns up, the less alike the parts need to be.
        let min_correlation =
            (0.9 - 0.05 * self.stretch_failures as f32).max(if fast { -1.0 } else { 0.2 });
        let (change, kind) = if excess > SLACK_ABOVE {
            self.decode_ahead(clock);
            (
                time_stretch::accelerate(&mut self.pending, min_correlation),
                PlayoutKind::Accelerated,
            )
        } else if excess < -SLACK_BELOW {
            (
                time_stretch::decelerate(&mut self.pending, min_correlation),
                PlayoutKind::Decelerated,
            )
        } else {
            return PlayoutKind::Normal;
        };

        let Some(samples) = change else {
            self.stretch_failures += 1;
            return PlayoutKind::Normal;
        };

        self.stretch_failures = 0;
        self.stretch_pause = if fast {
            FAST_STRETCH_PAUSE
        } else {
            STRETCH_PAUSE
        };
        let shift = if kind == PlayoutKind::Accelerated {
            self.counters.accelerated += samples as u64;
            -(samples as i64)
        } else {
            self.counters.decelerated += samples as u64;
            samples as i64
        };

        for transit in &mut self.playout_transits {
            *transit += shift;
        }

        // A cut may have left less than a block.
        while self.pending.len() < BLOCK_SAMPLES {
            match self.source(clock) {
                Source::Packet => self.decode_first(clock),
                Source::Fec { missing, frame } => self.restore_from_first(missing, frame),
                Source::Conceal(samples) => self.conceal(samples),
                Source::Silence => break,
            }
        }

        kind
    }

    /// Decodes packets that are due next anyway, so that a whole pitch period can be found.
    fn decode_ahead(&mut self, clock: i64) {
        while self.pending.len() < FULL_SEARCH
            && self.store.first().is_some_and(|first| {
                self.next_media
                    .is_some_and(|next| self.follows(first.sequence, first.media - next))
            })
        {
            self.decode_first(clock);
        }
    }
}

const _: () = assert!(
    MERGE_OVERLAP.is_multiple_of(CONCEAL_STEP)
        && (MERGE_OVERLAP + MERGE_SEARCH).is_multiple_of(CONCEAL_STEP)
);
const _: () = assert!(BLOCK_SAMPLES as i64 == BLOCK_MS * SAMPLES_PER_MS);
