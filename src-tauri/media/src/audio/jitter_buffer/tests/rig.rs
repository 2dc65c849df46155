//! Streams through a simulated network into the jitter buffer, and a codec that shows what becomes of
//! each sample.

use std::f64::consts::TAU;

use super::super::*;
use crate::audio::{BLOCK_SAMPLES, PACKET_SAMPLES};

/// Frequency of the fake voice.
const HZ: f64 = 250.0;

/// A codec whose packets carry only a position in the tone. Their first byte says whether they
/// carry a copy of the packet before. Concealment continues the tone, as a perfect decoder would
/// for a vowel.
#[derive(Debug)]
pub(super) struct Tone {
    position: i64,
    /// Samples in a packet.
    length: usize,
}

impl Tone {
    /// Packets of `length` samples.
    pub(super) fn of(length: usize) -> Self {
        Self {
            position: 0,
            length,
        }
    }

    pub(super) fn packet(media: i64, fec: bool) -> Vec<u8> {
        let mut payload = vec![u8::from(fec)];
        payload.extend(media.to_be_bytes());
        payload
    }

    fn fill(&mut self, from: i64, out: &mut [i16]) {
        for (i, sample) in out.iter_mut().enumerate() {
            *sample = (((from + i as i64) as f64 * HZ / 48_000.0 * TAU).sin() * 8_000.0) as i16;
        }

        self.position = from + out.len() as i64;
    }

    fn media(packet: &[u8]) -> Result<i64, OpusError> {
        let bytes = packet.get(1..9).and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(i64::from_be_bytes)
            .ok_or_else(|| OpusError::Decode("too short".into()))
    }
}

impl PacketDecoder for Tone {
    fn decode(
        &mut self,
        packet: &[u8],
        out: &mut [i16; MAX_PACKET_SAMPLES],
    ) -> Result<usize, OpusError> {
        self.fill(Self::media(packet)? % 48_000, &mut out[..self.length]);
        Ok(self.length)
    }
    fn decode_fec(&mut self, packet: &[u8], out: &mut [i16]) -> Result<(), OpusError> {
        self.fill(
            (Self::media(packet)? - out.len() as i64).rem_euclid(48_000),
            out,
        );
        Ok(())
    }
    fn conceal(&mut self, out: &mut [i16]) -> Result<(), OpusError> {
        self.fill(self.position, out);
        Ok(())
    }
    fn fec_samples(&self, packet: &[u8]) -> Option<usize> {
        (packet.first() == Some(&1)).then_some(self.length)
    }
    fn reset(&mut self) {
        self.position = 0;
    }
}

/// What the network does to packet `n`: delays it by this many ms, or loses it (`None`).
pub(super) type Network<'a> = &'a mut dyn FnMut(u32) -> Option<f64>;

/// A sender, the network, and the buffer from which a sound card pulls.
pub(super) struct Run<D: PacketDecoder> {
    pub(super) start: Instant,
    pub(super) buffer: JitterBuffer<D>,
    /// All samples played.
    pub(super) played: Vec<i16>,
    /// The result of each pull, with its time in ms.
    pub(super) kinds: Vec<(f64, Playout)>,
    /// How much the sender's clock is slow against the receiver's, as a fraction.
    pub(super) skew: f64,
    pub(super) first_sequence: u16,
    pub(super) first_timestamp: u32,
    /// By how many samples the timestamp of packet `n` is wrong.
    pub(super) error: fn(u32) -> i32,
    pub(super) fec: bool,
    /// Samples in a packet.
    pub(super) length: u32,
    /// Pulls per wake-up of the sound card.
    pub(super) burst: u32,
    /// Packets sent but not yet received, with their arrival time in ms.
    pub(super) in_flight: VecDeque<(f64, AudioPacket)>,
}

impl Run<Tone> {
    pub(super) fn new() -> Self {
        Self::over(Tone::of(PACKET_SAMPLES))
    }

    /// Packets of `length` samples.
    pub(super) fn of(length: u32) -> Self {
        Self {
            length,
            ..Self::over(Tone::of(length as usize))
        }
    }
}

impl<D: PacketDecoder> Run<D> {
    pub(super) fn over(decoder: D) -> Self {
        Self {
            start: Instant::now(),
            buffer: JitterBuffer::with_decoder(JitterConfig::default(), decoder),
            played: Vec::new(),
            kinds: Vec::new(),
            skew: 0.0,
            first_sequence: 65_000,
            first_timestamp: u32::MAX - 48_000 * 7,
            error: |_| 0,
            fec: true,
            length: PACKET_SAMPLES as u32,
            burst: 1,
            in_flight: VecDeque::new(),
        }
    }

    /// Sends packets `from..to` through `network`, and pulls at the same time.
    pub(super) fn stream(&mut self, from: u32, to: u32, network: Network<'_>) -> JitterStats {
        let (fec, length) = (self.fec, i64::from(self.length));
        self.stream_of(from, to, network, &mut |n| {
            Tone::packet(i64::from(n) * length, fec)
        })
    }

    pub(super) fn stream_of(
        &mut self,
        from: u32,
        to: u32,
        network: Network<'_>,
        payload: &mut dyn FnMut(u32) -> Vec<u8>,
    ) -> JitterStats {
        let packet_ms = f64::from(self.length) / 48.0;
        let sent_ms = |n: u32| f64::from(n) * packet_ms * (1.0 + self.skew);
        for n in from..to {
            if let Some(delay) = network(n) {
                let packet = AudioPacket {
                    sequence: self.first_sequence.wrapping_add(n as u16),
                    timestamp: self
                        .first_timestamp
                        .wrapping_add(n.wrapping_mul(self.length))
                        .wrapping_add_signed((self.error)(n)),
                    payload: payload(n),
                };

                self.in_flight.push_back((sent_ms(n) + delay, packet));
            }
        }

        self.in_flight
            .make_contiguous()
            .sort_by(|a, b| a.0.total_cmp(&b.0));
        let end = sent_ms(to);
        let mut now = self
            .kinds
            .last()
            .map_or(3.0, |(at, _)| at + 10.0 * f64::from(self.burst));

        while now < end {
            while self.in_flight.front().is_some_and(|(at, _)| *at <= now) {
                let (at, packet) = self.in_flight.pop_front().expect("checked above");
                self.buffer
                    .insert(self.start + Duration::from_secs_f64(at / 1_000.0), packet);
            }

            for _ in 0..self.burst {
                let mut out = [i16::MIN; BLOCK_SAMPLES];
                let playout = self.buffer.pull(
                    self.start + Duration::from_secs_f64(now / 1_000.0),
                    &mut out,
                );
                self.kinds.push((now, playout));
                self.played.extend_from_slice(&out);
            }

            now += 10.0 * f64::from(self.burst);
        }

        self.buffer.stats()
    }

    /// Largest step between samples in what was played from `from_ms` on.
    pub(super) fn steepest(&self, from_ms: usize) -> i32 {
        self.played[from_ms * 48..]
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
            .max()
            .unwrap_or(0)
    }
}

/// The largest step of the undisturbed tone.
pub(super) fn tone_step() -> i32 {
    (8_000.0 * HZ / 48_000.0 * TAU).ceil() as i32
}
