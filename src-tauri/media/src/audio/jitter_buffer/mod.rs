//! The adaptive audio jitter buffer: RTP packets go in as the network delivers them, 10 ms of sound come out whenever
//! the speaker wants them.
//!
//! ```text
//! insert ──▶ PacketStore ──▶ decoder ──▶ pending samples ──▶ faster / slower ──▶ pull, 480 samples
//!    └─────▶ DelayEstimator ──▶ target delay ──────────────────────┘
//! ```
//!
//! Sans-IO: time is an argument, so a test plays hours in seconds. Everything is measured on one axis: a packet's
//! *playout delay* is the time at which its first sample is due, less its RTP time, less the base transit (that of a
//! packet that met no queue). Playout delay above the target is worked off by playing faster, below it by playing
//! slower; underruns raise it at once, pauses of the sender correct it for free.
//!
//! What is missing is restored from the next packet's FEC copy if that is here (RFC 6716 §4.2.5), else concealed by
//! the decoder, and after 80 ms faded into comfort noise. A copy comes a frame later than what it stands for, so while
//! loss is frequent the target is one frame higher. A timestamp that jumps without a gap in the sequence numbers
//! is a sender that was silent (DTX, RFC 7587 §3.1.3), not loss.

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

use super::opus::{self, MAX_PACKET_SAMPLES, OpusDecoder, OpusError};
use delay::DelayEstimator;
use noise::ComfortNoise;
use packets::{Inserted, PacketStore};
use stats::Counters;

const SAMPLES_PER_MS: i64 = 48;
/// Samples that one pull plays: 10 ms mono at 48 kHz.
pub const BLOCK_SAMPLES: usize = 480;

/// An RTP packet of sound, without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioPacket {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// The Opus packet; its extensions and padding are gone.
    pub payload: Vec<u8>,
}

/// Limits of the delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterConfig {
    /// The target never goes below this.
    pub min_delay: Duration,
    /// Nor above this, whatever the network does.
    pub max_delay: Duration,
    /// The target until the network has been watched for half a second.
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

/// What a pull played, by the most notable thing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayoutKind {
    /// No packet has come yet, or playing is about to begin: zeros.
    Silence,
    /// Sound as it was sent.
    Normal,
    /// Sound with a pitch period cut out.
    Accelerated,
    /// Sound with a pitch period repeated.
    Decelerated,
    /// Sound restored from a copy in the next packet.
    Fec,
    /// Made up: a packet is lost or late, or the sender has paused.
    Concealed,
    /// Background noise: concealment has faded out, or the sender has paused.
    ComfortNoise,
}

/// What a pull played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Playout {
    /// RTP timestamp of the first sample, for lip sync; exact to within one stretch (15 ms). `None` if the sound was
    /// made up.
    pub rtp_timestamp: Option<u32>,
    /// What the block is.
    pub kind: PlayoutKind,
}

/// What the buffer needs of a decoder. [`OpusDecoder`] is the real one.
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
    /// Restores into `out` the frame before `packet` from the copy inside.
    ///
    /// # Errors
    /// If the packet is broken.
    fn decode_fec(&mut self, packet: &[u8], out: &mut [i16]) -> Result<(), OpusError>;
    /// Makes up sound; the length of `out` is a multiple of [`opus::CONCEAL_STEP`].
    ///
    /// # Errors
    /// If the decoder cannot; the buffer then plays comfort noise.
    fn conceal(&mut self, out: &mut [i16]) -> Result<(), OpusError>;
    /// Duration of the frame whose copy `packet` carries, in samples, or `None` if it carries none.
    fn fec_samples(&self, packet: &[u8]) -> Option<usize>;
    /// Forgets the past.
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
            tracing::warn!(%error, "the Opus decoder kept its old state");
        }
    }
}

/// The buffer. Memory is bounded: at most 200 packets of 4 KiB and 150 ms of decoded sound.
#[derive(Debug)]
pub struct JitterBuffer<D: PacketDecoder = OpusDecoder> {
    decoder: D,
    min_delay: i64,
    max_delay: i64,
    initial_delay: i64,
    /// Asked for by lip sync.
    minimum_delay: i64,
    /// Zero of the buffer's clock: the first time it was told.
    origin: Option<Instant>,
    /// The last RTP timestamp, unwrapped.
    last_media: Option<i64>,
    store: PacketStore,
    delay: DelayEstimator,
    noise: ComfortNoise,
    counters: Counters,
    /// Decoded, not yet played.
    pending: Vec<i16>,
    decoded: Box<[i16; MAX_PACKET_SAMPLES]>,
    /// Unwrapped RTP time right after the last decoded sample; `None` until playing begins.
    next_media: Option<i64>,
    /// Samples of the last packet.
    packet_samples: usize,
    /// Samples made up since the last decoded one.
    made_up: i64,
    /// The part of `made_up` of which it is not known yet whether it stands for loss or for a sender's pause.
    unsettled: u64,
    /// Playout time less RTP time of the latest packets, corrected for later stretches.
    playout_transits: VecDeque<i64>,
    /// Packets dropped from a full store whose places have not been passed yet: they are not lost too.
    overflowed: u64,
    /// Share of lost packets among the latest few hundred.
    loss_share: f64,
    /// While loss is frequent and packets carry copies: how long to wait in addition, so that the copy's packet is
    /// here when it is needed (one frame).
    fec_wait: i64,
    /// Pulls until the next stretch is allowed.
    stretch_pause: u32,
    /// Stretches that found nothing periodic since the last that did.
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
    /// A buffer over any decoder.
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
            packet_samples: opus::FRAME_SAMPLES,
            made_up: 0,
            unsettled: 0,
            playout_transits: VecDeque::with_capacity(playout::TRANSITS + 1),
            overflowed: 0,
            loss_share: 0.0,
            fec_wait: 0,
            stretch_pause: 0,
            stretch_failures: 0,
        }
    }

    /// A packet has come at `now`, in whatever order.
    pub fn insert(&mut self, now: Instant, packet: AudioPacket) {
        self.counters.packets += 1;
        let arrival = self.clock(now);
        // Only differences count, and a difference of RTP timestamps is read as the shorter way round.
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
                tracing::debug!("the sender's sequence numbers restarted");
                self.reset();
                self.counters.packets -= 1;
                self.insert(now, AudioPacket { payload, ..again });
            }
        }
    }

    /// Forgets the stream but not the statistics: the packets to come are another sender's (a new SSRC).
    pub fn reset(&mut self) {
        self.settle_as_concealed();
        self.store = PacketStore::default();
        self.delay = DelayEstimator::new();
        self.decoder.reset();
        self.last_media = None;
        self.next_media = None;
        self.pending.clear();
        self.made_up = 0;
        self.overflowed = 0;
        self.loss_share = 0.0;
        self.fec_wait = 0;
        self.playout_transits.clear();
    }

    /// Lip sync wants sound to be played no sooner than this after an undelayed packet's arrival; capped at
    /// [`JitterConfig::max_delay`].
    pub fn set_minimum_delay(&mut self, delay: Duration) {
        self.minimum_delay = samples(delay).min(self.max_delay);
    }

    /// What has happened so far.
    pub fn stats(&self) -> JitterStats {
        self.counters.snapshot(self.target())
    }

    /// The playout delay to aim at, samples.
    fn target(&self) -> i64 {
        let measured = self.delay.target().unwrap_or(self.initial_delay);
        (measured + self.fec_wait)
            .max(self.minimum_delay)
            .clamp(self.min_delay, self.max_delay)
    }

    /// `now` in samples since the buffer began. A time before that counts as the beginning.
    fn clock(&mut self, now: Instant) -> i64 {
        let origin = *self.origin.get_or_insert(now);
        samples(now.saturating_duration_since(origin))
    }
}

fn samples(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() * 48 / 1_000_000).unwrap_or(i64::MAX / 4)
}
