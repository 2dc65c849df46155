//! The playout side: what the next 10 ms are made of.

use std::time::Instant;

use super::delay::BLOCK_MS;
use super::{BLOCK_SAMPLES, JitterBuffer, PacketDecoder, Playout, PlayoutKind, SAMPLES_PER_MS};
use crate::audio::opus::{CONCEAL_STEP, MAX_PACKET_SAMPLES};
use crate::audio::time_stretch::{self, FULL_SEARCH, MERGE_OVERLAP, MERGE_SEARCH};

/// Packets whose playout time is remembered.
pub(super) const TRANSITS: usize = 16;
/// Concealment fades from here …
const FADE_START: i64 = 80 * SAMPLES_PER_MS;
/// … to here, where only comfort noise is left.
const FADE_END: i64 = 240 * SAMPLES_PER_MS;
/// Playout delay this far above the target is not played off but skipped.
const SKIP_ABOVE: i64 = 400 * SAMPLES_PER_MS;
/// A pause in the timestamps that would be due later than this is a new origin of RTP time, not a pause.
const LONGEST_WAIT: i64 = 1_000 * SAMPLES_PER_MS;
/// Longer than a sender in DTX is ever quiet (Opus refreshes every 400 ms): whatever is missing is lost.
const LONGEST_DTX: u64 = 1_000 * SAMPLES_PER_MS as u64;
/// Delay above the target that is left alone.
const SLACK_ABOVE: i64 = 10 * SAMPLES_PER_MS;
/// Delay below the target that is left alone.
const SLACK_BELOW: i64 = 3 * SAMPLES_PER_MS;
/// Delay above the target that is worked off in a hurry.
const HURRY_ABOVE: i64 = 80 * SAMPLES_PER_MS;
/// Pulls between stretches, and when in a hurry.
const STRETCH_PAUSE: u32 = 5;
const HURRIED_PAUSE: u32 = 2;

/// Weight of one packet in the share of lost ones: a memory of 200 packets.
const LOSS_GAIN: f64 = 0.005;
/// Above this share of lost packets it is worth waiting for FEC …
const FEC_WORTH: f64 = 0.012;
/// … and below this no more.
const FEC_NOT_WORTH: f64 = 0.004;

/// How the next samples are to be had.
enum Source {
    /// Decode the first packet.
    Packet,
    /// Restore this many samples before it from the copy in it.
    Fec { missing: usize, frame: usize },
    /// Make up at most this many samples.
    MakeUp(usize),
    /// Playing has not begun.
    Silence,
}

impl<D: PacketDecoder> JitterBuffer<D> {
    /// Plays 10 ms into `out`, which is always filled. Call it every 10 ms, or in bursts as the sound card asks.
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
                Source::MakeUp(samples) => {
                    let faded = self.made_up >= FADE_END;
                    kind = if faded {
                        PlayoutKind::ComfortNoise
                    } else {
                        PlayoutKind::Concealed
                    };

                    self.make_up(samples);
                }
            }
        }

        let stands_for = self
            .next_media
            .map(|next| (next - self.pending.len() as i64) as u32);
        if self.made_up == 0 && kind == PlayoutKind::Normal {
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

    /// Whether playing the first packet now gives it the delay that the target asks for; if not, how much is missing.
    fn undelayed(&self, clock: i64, media: i64, arrival: i64) -> i64 {
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
                Some(first) if self.undelayed(clock, first.media, first.arrival) <= 0 => {
                    Source::Packet
                }
                _ => Source::Silence,
            };
        };

        let Some(first) = first else {
            return Source::MakeUp(BLOCK_SAMPLES);
        };

        let gap = first.media - next_media;
        let remaining = gap - self.made_up;

        if gap < 0 || remaining > LONGEST_WAIT {
            return Source::Packet;
        }

        let sender_paused = gap > 0 && self.store.next() == Some(first.sequence);
        if sender_paused || self.made_up > FADE_START {
            // Nothing is being said, so the right moment to go on may be chosen freely.
            let wait = self.undelayed(clock, first.media, first.arrival);
            return if wait <= 0 {
                Source::Packet
            } else {
                Source::MakeUp(wait as usize)
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
            Some(frame) => Source::MakeUp(remaining as usize - frame),
            None => Source::MakeUp(remaining as usize),
        }
    }

    /// After an outage the network delivers what it had queued: drops from the old end what is far too late.
    fn skip_excess(&mut self, clock: i64) {
        let limit = -SKIP_ABOVE;
        let far_behind = |this: &Self| {
            this.store
                .first()
                .is_some_and(|p| this.undelayed(clock, p.media, p.arrival) < limit)
        };

        if self.next_media.is_none() || self.store.len() < 2 || !far_behind(self) {
            return;
        }

        while self.store.len() > 1
            && self
                .store
                .first()
                .is_some_and(|p| self.undelayed(clock, p.media, p.arrival) < 0)
        {
            self.count_lost();
            self.store.pop();
            self.counters.discarded += 1;
        }

        // Everything before the first packet is passed over; what was made up in between is settled as concealed.
        self.settle_as_concealed();
        self.next_media = self.store.first().map(|first| first.media);
        self.made_up = self.made_up.max(1);
        self.playout_transits.clear();
        tracing::debug!("skipped sound that came too late to catch up with");
    }

    /// Counts the packets missing before the first as lost.
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

    /// Decides whether to wait for copies, as `packet` is played.
    fn weigh_fec(&mut self, packet: &[u8]) {
        self.loss_share -= LOSS_GAIN * self.loss_share;
        if self.loss_share < FEC_NOT_WORTH {
            self.fec_wait = 0;
        } else if self.loss_share > FEC_WORTH
            && let Some(frame) = self.decoder.fec_samples(packet)
        {
            self.fec_wait = frame as i64;
        }
    }

    fn decode_first(&mut self, clock: i64) {
        let contiguous = self.store.first().map(|first| first.sequence) == self.store.next();
        self.count_lost();
        let Some(packet) = self.store.pop() else {
            return;
        };

        self.weigh_fec(&packet.payload);
        let gap = packet.media - self.next_media.unwrap_or(packet.media);

        if contiguous && gap > 0 {
            let paused = self.unsettled.min(gap as u64);
            self.unsettled -= paused;
            self.counters.dtx += paused;
        }

        self.settle_as_concealed();

        // The decoder goes on smoothly after concealment of exactly what was missing; else the joint must be made.
        let smooth = self.made_up == gap && self.made_up <= FADE_START;
        let begun = self.next_media.is_some();
        let tail_samples = MERGE_OVERLAP + MERGE_SEARCH;
        let mut tail = [0; MERGE_OVERLAP + MERGE_SEARCH];

        if !smooth && begun {
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

        if smooth || !begun {
            self.pending.extend_from_slice(fresh);
        } else {
            let extra = time_stretch::merge(&tail, fresh, &mut self.pending);
            self.counters.concealed += extra as u64;
        }

        self.packet_samples = samples;
        self.next_media = Some(packet.media + samples as i64);
        self.made_up = 0;

        let due = clock + self.pending.len() as i64 - samples as i64;
        self.counters.on_played(due - packet.arrival, samples);
        self.playout_transits.push_back(due - packet.media);

        if self.playout_transits.len() > TRANSITS {
            self.playout_transits.pop_front();
        }
    }

    /// Stands in for a packet that would not decode.
    fn conceal_broken(&mut self) {
        let samples = self.packet_samples.min(MAX_PACKET_SAMPLES);
        let before = self.made_up;
        self.made_up = 0;
        let mut left = samples;

        while left > 0 {
            let part = left.min(BLOCK_SAMPLES);
            self.make_up(part);
            left -= part;
        }

        self.settle_as_concealed();
        self.next_media = self.next_media.map(|next| next + samples as i64);
        self.made_up = before.min(1);
    }

    fn restore_from_first(&mut self, missing: usize, frame: usize) {
        let restored = self.store.first().is_some_and(|first| {
            self.decoder
                .decode_fec(&first.payload, &mut self.decoded[..frame])
                .is_ok()
        });

        if !restored {
            return self.make_up(missing);
        }

        self.settle_as_concealed();
        self.count_lost();
        self.counters.recovered_by_fec += 1;
        self.counters.fec += missing as u64;
        // If concealment has covered the frame's start, only its end is needed.
        let needed = frame - missing;

        if self.made_up > 0 && needed > 0 {
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

        self.made_up = 0;
        if let Some((sequence, media)) = self
            .store
            .first()
            .map(|first| (first.sequence, first.media))
        {
            self.store.pass(sequence);
            self.next_media = Some(media);
        }
    }

    /// Appends at most `samples` of concealment, at most one block.
    fn make_up(&mut self, samples: usize) {
        let samples = samples.clamp(1, BLOCK_SAMPLES);
        let mut block = [0; BLOCK_SAMPLES];
        self.synthesize(&mut block, samples);

        if self.unsettled == 0 {
            self.counters.concealment_events += 1;
        }

        if self.made_up >= FADE_END {
            self.counters.silent_concealed += samples as u64;
        }

        self.pending.extend_from_slice(&block[..samples]);
        self.made_up += samples as i64;
        self.unsettled += samples as u64;

        if self.unsettled > LONGEST_DTX {
            self.settle_as_concealed();
        }
    }

    /// Fills `out[..samples]` with concealment that fades into comfort noise.
    fn synthesize(&mut self, out: &mut [i16], samples: usize) {
        let legal = samples.next_multiple_of(CONCEAL_STEP).min(out.len());
        if self.made_up < FADE_END && self.decoder.conceal(&mut out[..legal]).is_err() {
            out.fill(0);
        }

        for (i, sample) in out[..samples].iter_mut().enumerate() {
            let position = self.made_up + i as i64 - FADE_START;
            if position > 0 {
                let noise = (position as f32 / (FADE_END - FADE_START) as f32).min(1.0);
                *sample = (f32::from(*sample) * (1.0 - noise) + self.noise.next() * noise) as i16;
            }
        }
    }

    pub(super) fn settle_as_concealed(&mut self) {
        self.counters.concealed += self.unsettled;
        self.unsettled = 0;
    }

    /// Moves the playout delay towards the target, if it is off and the sound allows.
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
        let hurry = excess > HURRY_ABOVE;
        // The longer nothing periodic turns up, the less alike the parts need to be.
        let min_correlation =
            (0.9 - 0.05 * self.stretch_failures as f32).max(if hurry { -1.0 } else { 0.2 });
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
        self.stretch_pause = if hurry { HURRIED_PAUSE } else { STRETCH_PAUSE };
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

        // Cutting may have left less than a block.
        while self.pending.len() < BLOCK_SAMPLES {
            match self.source(clock) {
                Source::Packet => self.decode_first(clock),
                Source::Fec { missing, frame } => self.restore_from_first(missing, frame),
                Source::MakeUp(samples) => self.make_up(samples),
                Source::Silence => break,
            }
        }

        kind
    }

    /// Decodes what is due next anyway, so that a whole pitch period can be found.
    fn decode_ahead(&mut self, clock: i64) {
        while self.pending.len() < FULL_SEARCH
            && self.store.first().is_some_and(|first| {
                Some(first.sequence) == self.store.next() && Some(first.media) == self.next_media
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
