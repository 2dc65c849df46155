//! The adaptive audio jitter buffer: it takes RTP packets as the network delivers them and returns
//! 10 ms of audio whenever the speaker asks.
//!
//! ```text
//! insert ──▶ PacketStore ──▶ decoder ──▶ pending samples ──▶ faster / slower ──▶ pull, 480 samples
//!    └─────▶ DelayEstimator ──▶ target delay ──────────────────────┘
//! ```
//!
//! Sans-IO: time is an argument, so a test plays hours in seconds. Everything is measured on one
//! axis. A packet's *playout delay* is the time at which its first sample is due, minus its RTP
//! time, minus the base transit (that of a packet that met no queue). The buffer reduces a playout
//! delay above the target by playing faster, and raises one below it by playing slower. An underrun
//! raises it at once; a pause of the sender corrects it for free.
//!
//! Missing audio is restored from the FEC copy in the next packet if that is here (RFC 6716
//! §4.2.5). Otherwise the decoder conceals it, and after 80 ms it fades into comfort noise. A copy
//! arrives one packet later than the original, so while loss is frequent the target is one packet
//! higher. A timestamp that jumps without a gap in the sequence numbers means a sender that was
//! silent (DTX, RFC 7587 §3.1.3), not loss.

mod delay;
mod noise;
mod packets;
mod playout;
mod stats;
#[cfg(test)]
mod tests;

pub use stats::JitterStats;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::PACKET_SAMPLES;
use super::opus::{self, MAX_PACKET_SAMPLES, OpusDecoder, OpusError};
use delay::DelayEstimator;
use noise::ComfortNoise;
use packets::{Inserted, PacketStore};
use stats::Counters;

const SAMPLES_PER_MS: i64 = 48;

/// An RTP packet of audio, without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioPacket {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp at 48 kHz.
    pub timestamp: u32,
    /// The Opus packet, without RTP extensions and padding.
    pub payload: Vec<u8>,
}

/// Bounds of the delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterConfig {
    /// The target never falls below this.
    pub min_delay: Duration,
    /// The target never rises above this, however bad the network is.
    pub max_delay: Duration,
    /// The target for the first half second, before the network has been measured.
    pub initial_delay: Duration,
}

impl Default for JitterConfig {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(15),
            max_delay: Duration::from_millis(500),
            initial_delay: Duration::from_millis(20),
        }
    }
}

/// What a pull played, by its most notable part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayoutKind {
    /// Zeros: no packet has arrived yet, or playing is about to start.
    Silence,
    /// Audio as it was sent.
    Normal,
    /// Audio with one pitch period removed.
    Accelerated,
    /// Audio with one pitch period repeated.
    Decelerated,
    /// Audio restored from the FEC copy in the next packet.
    Fec,
    /// Audio synthesized by the decoder: a packet is lost or late, or the sender has paused.
    Concealed,
    /// Background noise: concealment has faded out, or the sender has paused.
    ComfortNoise,
}

/// The result of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Playout {
    /// RTP timestamp of the first sample, for lip sync, exact to one stretch (15 ms). `None` if the
    /// audio was synthesized.
    pub rtp_timestamp: Option<u32>,
    /// What the block consists of.
    pub kind: PlayoutKind,
}

/// What the buffer needs from a decoder. [`OpusDecoder`] is the real one.
pub trait PacketDecoder: Send {
    /// Decodes `packet` to mono at 48 kHz and returns the number of samples.
    ///
    /// # Errors
    /// If the packet is broken. The decoder must stay usable.
    fn decode(
        &mut self,
        packet: &[u8],
        out: &mut [i16; MAX_PACKET_SAMPLES],
    ) -> Result<usize, OpusError>;
    /// Restores the audio before `packet` into `out`, from the FEC copy in `packet`.
    ///
    /// # Errors
    /// If the packet is broken.
    fn decode_fec(&mut self, packet: &[u8], out: &mut [i16]) -> Result<(), OpusError>;
    /// Synthesizes audio in place of lost audio. The length of `out` is a multiple of
    /// [`opus::CONCEAL_STEP`].
    ///
    /// # Errors
    /// If the decoder cannot; the buffer then plays comfort noise.
    fn conceal(&mut self, out: &mut [i16]) -> Result<(), OpusError>;
    /// Duration in samples of the audio whose copy `packet` carries, or `None` if it carries no
    /// copy.
    fn fec_samples(&self, packet: &[u8]) -> Option<usize>;
    /// Forgets all decoder state.
    fn reset(&mut self);
}

impl PacketDecoder for OpusDecoder {
    fn decode(
        &mut self,
        packet: &[u8],
        out: &mut [i16; MAX_PACKET_SAMPLES],
    ) -> Result<usize, OpusError> {
        Self::decode(self, packet, out)
    }
    fn decode_fec(&mut self, packet: &[u8], out: &mut [i16]) -> Result<(), OpusError> {
        Self::decode_fec(self, packet, out)
    }
    fn conceal(&mut self, out: &mut [i16]) -> Result<(), OpusError> {
        Self::conceal(self, out)
    }
    fn fec_samples(&self, packet: &[u8]) -> Option<usize> {
        opus::has_fec(packet)
            .then(|| opus::packet_samples(packet))
            .flatten()
    }
    fn reset(&mut self) {
        if let Err(error) = Self::reset(self) {
            tracing::warn!(%error, "could not reset the Opus decoder: the next stream may crackle");
        }
    }
}

/// The adaptive jitter buffer. Memory is bounded: at most 200 packets of 4 KiB and 150 ms of
/// decoded audio.
#[derive(Debug)]
pub struct JitterBuffer<D: PacketDecoder = OpusDecoder> {
    decoder: D,
    min_delay: i64,
    max_delay: i64,
    initial_delay: i64,
    /// The least delay that lip sync has requested.
    minimum_delay: i64,
    /// Zero of the buffer's clock: the time of the first call.
    origin: Option<Instant>,
    /// The last RTP timestamp, unwrapped.
    last_media: Option<i64>,
    store: PacketStore,
    delay: DelayEstimator,
    noise: ComfortNoise,
    counters: Counters,
    /// Decoded samples not yet played.
    pending: Vec<i16>,
    decoded: Box<[i16; MAX_PACKET_SAMPLES]>,
    /// Unwrapped RTP time right after the last decoded sample; `None` until playing starts.
    next_media: Option<i64>,
    /// Samples in the last packet.
    packet_samples: usize,
    /// Samples concealed since the last decoded one.
    concealed: i64,
    /// The concealed samples that may turn out to stand for a pause of the sender rather than for
    /// loss.
    unsettled: u64,
    /// Playout time minus RTP time of the latest packets, corrected for later stretches.
    playout_transits: VecDeque<i64>,
    /// Packets dropped from a full store whose place in the sequence has not been passed yet. They
    /// do not count as lost again.
    overflowed: u64,
    /// Share of lost packets among the last 200 or so.
    loss_share: f64,
    /// Extra delay, one packet, while loss is frequent and packets carry copies: it lets the packet
    /// with the copy arrive before the copy is needed.
    fec_wait: i64,
    /// Pulls until the next stretch is allowed.
    stretch_pause: u32,
    /// Consecutive stretches that found nothing periodic.
    stretch_failures: u32,
}

impl JitterBuffer<OpusDecoder> {
    /// A buffer that decodes Opus.
    ///
    /// # Errors
    /// [`OpusError::Init`] if there is no memory for a decoder.
    pub fn new(config: JitterConfig) -> Result<Self, OpusError> {
        Ok(Self::with_decoder(config, OpusDecoder::new()?))
    }
}

impl<D: PacketDecoder> JitterBuffer<D> {
    /// A buffer around any decoder.
    pub fn with_decoder(config: JitterConfig, decoder: D) -> Self {
        let max_delay = samples(config.max_delay);
        Self {
            decoder,
            min_delay: samples(config.min_delay).min(max_delay),
            max_delay,
            initial_delay: samples(config.initial_delay),
            minimum_delay: 0,
            origin: None,
            last_media: None,
            store: PacketStore::default(),
            delay: DelayEstimator::new(),
            noise: ComfortNoise::new(),
            counters: Counters::new(),
            pending: Vec::with_capacity(2 * MAX_PACKET_SAMPLES),
            decoded: Box::new([0; MAX_PACKET_SAMPLES]),
            next_media: None,
            packet_samples: PACKET_SAMPLES,
            concealed: 0,
            unsettled: 0,
            playout_transits: VecDeque::with_capacity(playout::TRANSITS + 1),
            overflowed: 0,
            loss_share: 0.0,
            fec_wait: 0,
            stretch_pause: 0,
            stretch_failures: 0,
        }
    }

    /// Takes a packet that arrived at `now`, in any order.
    pub fn insert(&mut self, now: Instant, packet: AudioPacket) {
        self.counters.packets += 1;
        let arrival = self.clock(now);
        // Only differences count, and a difference of RTP timestamps is read as the shorter way
        // round the wrap.
        let media = self.last_media.map_or(i64::from(packet.timestamp), |last| {
            last.saturating_add(i64::from(packet.timestamp.wrapping_sub(last as u32) as i32))
        });

        let again = AudioPacket {
            payload: Vec::new(),
            ..packet
        };

        match self.store.insert(packet, media, arrival) {
            Inserted::Stored { dropped } => {
                self.counters.discarded += u64::from(dropped);
                self.overflowed += u64::from(dropped);
                self.last_media = Some(media);
                self.delay.on_arrival(arrival, media);
            }
            Inserted::Late => {
                self.counters.late += 1;
                self.counters.lost = self.counters.lost.saturating_sub(1);
                self.delay.on_arrival(arrival, media);
            }
            Inserted::Duplicate => self.counters.duplicates += 1,
            Inserted::Refused => self.counters.invalid += 1,
            Inserted::Restart(payload) => {
                tracing::debug!("the sender's sequence numbers restarted: the buffer starts over");
                self.reset();
                self.counters.packets -= 1;
                self.insert(now, AudioPacket { payload, ..again });
            }
        }
    }

    /// Forgets the stream but keeps the statistics: the next packets come from another sender (a
    /// new SSRC).
    pub fn reset(&mut self) {
        self.settle_as_concealed();
        self.store = PacketStore::default();
        self.delay = DelayEstimator::new();
        self.decoder.reset();
        self.last_media = None;
        self.next_media = None;
        self.pending.clear();
        self.concealed = 0;
        self.overflowed = 0;
        self.loss_share = 0.0;
        self.fec_wait = 0;
        self.playout_transits.clear();
    }

    /// Sets the least delay that lip sync requests, measured from the arrival of a packet that met
    /// no queue; capped at [`JitterConfig::max_delay`].
    pub fn set_minimum_delay(&mut self, delay: Duration) {
        self.minimum_delay = samples(delay).min(self.max_delay);
    }

    /// The statistics so far.
    pub fn stats(&self) -> JitterStats {
        self.counters.snapshot(self.target())
    }

    /// The playout delay to aim for, in samples.
    fn target(&self) -> i64 {
        let measured = self.delay.target().unwrap_or(self.initial_delay);
        (measured + self.fec_wait)
            .max(self.minimum_delay)
            .clamp(self.min_delay, self.max_delay)
    }

    /// `now` in samples since the buffer's first call. An earlier time counts as that call.
    fn clock(&mut self, now: Instant) -> i64 {
        let origin = *self.origin.get_or_insert(now);
        samples(now.saturating_duration_since(origin))
    }
}

fn samples(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() * 48 / 1_000_000).unwrap_or(i64::MAX / 4)
}
