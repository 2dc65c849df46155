//! Opus (RFC 6716) for voice: sends 20 ms mono at 48 kHz, receives any legal packet.
//!
//! The encoder runs in libopus' VoIP mode with the signal declared as voice, because in-band
//! forward error correction (a low-bitrate copy of the previous packet's audio, "LBRR" in RFC 6716
//! §4.2.5) exists only in the SILK and hybrid modes.

use opus::{Application, Bitrate, Channels, Signal};

use super::{PACKET_SAMPLES, SAMPLE_RATE};

/// Samples in the longest packet that Opus allows: 120 ms at 48 kHz (RFC 6716 §3.2.5).
pub const MAX_PACKET_SAMPLES: usize = 5760;
/// Size in bytes of a buffer that holds any packet from [`OpusEncoder::encode`] (one frame, RFC
/// 6716 §3.4).
pub const MAX_PACKET_BYTES: usize = 1275;
/// Concealment works in multiples of this many samples: 2.5 ms, the shortest Opus frame.
pub const CONCEAL_STEP: usize = 120;

/// An error from libopus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpusError {
    /// The encoder or decoder could not be created (out of memory, or a setting out of range).
    #[error("could not start Opus: {0}")]
    Init(String),
    /// The audio could not be encoded, or the output buffer is too small.
    #[error("could not encode audio: {0}")]
    Encode(String),
    /// The packet is not Opus: its framing is broken, or it is longer than 120 ms. The decoder
    /// stays usable.
    #[error("could not decode a packet: {0}")]
    Decode(String),
}

/// The encoder's settings. [`Default`] suits a voice call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusConfig {
    /// Target bitrate in bits per second, without RTP overhead; 6,000 to 510,000.
    pub bitrate_bps: u32,
    /// Whether each packet carries a coarse copy of the one before, once loss is expected.
    pub fec: bool,
    /// Whether to stop sending in silence. A refresh still goes out every 400 ms.
    pub dtx: bool,
    /// Expected packet loss in percent, 0 to 100. It sets how much of the bitrate goes to FEC.
    pub expected_loss_percent: u8,
}

impl Default for OpusConfig {
    fn default() -> Self {
        Self {
            bitrate_bps: 32_000,
            fec: true,
            dtx: true,
            expected_loss_percent: 5,
        }
    }
}

/// Encodes mono voice, 20 ms at a time.
#[derive(Debug)]
pub struct OpusEncoder {
    inner: opus::Encoder,
}

impl OpusEncoder {
    /// Creates an encoder with `config`.
    ///
    /// # Errors
    /// [`OpusError::Init`] if libopus refuses a setting.
    pub fn new(config: OpusConfig) -> Result<Self, OpusError> {
        let build = || {
            let mut inner = opus::Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Voip)?;
            inner.set_bitrate(clamped_bitrate(config.bitrate_bps))?;
            inner.set_signal(Signal::Voice)?;
            inner.set_inband_fec(config.fec)?;
            inner.set_dtx(config.dtx)?;
            inner.set_packet_loss_perc(i32::from(config.expected_loss_percent.min(100)))?;

            Ok(inner)
        };

        build()
            .map(|inner| Self { inner })
            .map_err(|error: opus::Error| OpusError::Init(error.to_string()))
    }

    /// Encodes 20 ms of mono audio into `out`, which should hold [`MAX_PACKET_BYTES`], and returns
    /// the packet's length. Two bytes or fewer mean discontinuous transmission: send nothing, but
    /// advance the RTP timestamp.
    ///
    /// # Errors
    /// [`OpusError::Encode`] if `out` is too small.
    pub fn encode(
        &mut self,
        pcm: &[i16; PACKET_SAMPLES],
        out: &mut [u8],
    ) -> Result<usize, OpusError> {
        self.inner
            .encode(pcm, out)
            .map_err(|error| OpusError::Encode(error.to_string()))
    }

    /// Sets the packet loss that the remote end reports (RTCP receiver reports) in percent, capped
    /// at 100.
    ///
    /// # Errors
    /// [`OpusError::Encode`] if libopus refuses the value.
    pub fn set_expected_loss(&mut self, percent: u8) -> Result<(), OpusError> {
        let percent = i32::from(percent.min(100));
        self.inner
            .set_packet_loss_perc(percent)
            .map_err(|error| OpusError::Encode(error.to_string()))
    }

    /// Sets the target bitrate in bits per second from the next packet on, clamped to what Opus
    /// supports.
    ///
    /// # Errors
    /// [`OpusError::Encode`] if libopus refuses the value.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), OpusError> {
        self.inner
            .set_bitrate(clamped_bitrate(bitrate_bps))
            .map_err(|error| OpusError::Encode(error.to_string()))
    }
}

/// The bitrate setting of libopus, clamped to what Opus supports for one channel.
fn clamped_bitrate(bitrate_bps: u32) -> Bitrate {
    Bitrate::Bits(bitrate_bps.clamp(6_000, 510_000) as i32)
}

/// Decodes packets of any legal duration to mono. Stereo packets are mixed down.
#[derive(Debug)]
pub struct OpusDecoder {
    inner: opus::Decoder,
}

impl OpusDecoder {
    /// Creates a decoder to 48 kHz mono.
    ///
    /// # Errors
    /// [`OpusError::Init`] if libopus has no memory.
    pub fn new() -> Result<Self, OpusError> {
        opus::Decoder::new(SAMPLE_RATE, Channels::Mono)
            .map(|inner| Self { inner })
            .map_err(|error| OpusError::Init(error.to_string()))
    }

    /// Decodes `packet` into `out` and returns the number of samples.
    ///
    /// # Errors
    /// [`OpusError::Decode`] if the packet is empty or broken.
    pub fn decode(
        &mut self,
        packet: &[u8],
        out: &mut [i16; MAX_PACKET_SAMPLES],
    ) -> Result<usize, OpusError> {
        if packet.is_empty() {
            return Err(OpusError::Decode("the packet is empty".into()));
        }

        self.inner
            .decode(packet, out, false)
            .map_err(|error| decode_error(&error))
    }

    /// Restores the audio lost just before `next_packet` from the copy inside it. Fills `out`,
    /// whose length must be the duration of the lost audio (a multiple of [`CONCEAL_STEP`], at most
    /// [`MAX_PACKET_SAMPLES`]). Without a copy ([`has_fec`]) libopus conceals instead. Decode
    /// `next_packet` itself afterwards.
    ///
    /// # Errors
    /// [`OpusError::Decode`] if the packet is broken or the length of `out` is not a legal
    /// duration.
    pub fn decode_fec(&mut self, next_packet: &[u8], out: &mut [i16]) -> Result<(), OpusError> {
        if next_packet.is_empty() {
            return Err(OpusError::Decode("the packet is empty".into()));
        }

        self.inner
            .decode(next_packet, out, true)
            .map(drop)
            .map_err(|error| decode_error(&error))
    }

    /// Synthesizes audio in place of lost audio (packet loss concealment), fading as the loss
    /// continues. The length of `out` must be a multiple of [`CONCEAL_STEP`], at most
    /// [`MAX_PACKET_SAMPLES`].
    ///
    /// # Errors
    /// [`OpusError::Decode`] if the length of `out` is not a legal duration.
    pub fn conceal(&mut self, out: &mut [i16]) -> Result<(), OpusError> {
        self.inner
            .decode(&[], out, false)
            .map(drop)
            .map_err(|error| decode_error(&error))
    }

    /// Forgets all state: the next packet is from another stream.
    ///
    /// # Errors
    /// [`OpusError::Init`] if libopus refuses.
    pub fn reset(&mut self) -> Result<(), OpusError> {
        self.inner
            .reset_state()
            .map_err(|error| OpusError::Init(error.to_string()))
    }
}

fn decode_error(error: &opus::Error) -> OpusError {
    OpusError::Decode(error.to_string())
}

/// A packet's duration in samples at 48 kHz, or `None` if it is not a legal Opus packet (RFC 6716
/// §3.4).
pub fn packet_samples(packet: &[u8]) -> Option<usize> {
    if packet.is_empty() {
        return None;
    }

    opus::packet::get_nb_samples(packet, SAMPLE_RATE)
        .ok()
        .filter(|samples| (1..=MAX_PACKET_SAMPLES).contains(samples))
}

/// Whether `packet` carries a copy of the one before it. Reads the LBRR flags, which follow the
/// voice activity flags at the start of a SILK frame, one bit each (RFC 6716 §4.2.3).
pub fn has_fec(packet: &[u8]) -> bool {
    const FIRST_CELT_CONFIG: u8 = 16;
    let Some(&toc) = packet.first() else {
        return false;
    };

    if toc >> 3 >= FIRST_CELT_CONFIG {
        return false;
    }

    let (Ok(samples), Ok(parsed)) = (
        opus::packet::get_samples_per_frame(packet, SAMPLE_RATE),
        opus::packet::parse(packet),
    ) else {
        return false;
    };

    let Some(&header) = parsed.frames.first().and_then(|frame| frame.first()) else {
        return false;
    };

    // SILK codes 20 ms at a time: one VAD bit for each, then one LBRR bit. The side channel of
    // stereo follows in the same layout.
    let silk_frames = (samples / PACKET_SAMPLES).max(1);
    let flag = |bit: usize| bit < 8 && header & (0x80 >> bit) != 0;
    let stereo = toc & 0x04 != 0;

    flag(silk_frames) || (stereo && flag(2 * silk_frames + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vowel-like signal: the first harmonics of a 150 Hz pulse train with a slow swell.
    fn voice(from: usize) -> [i16; PACKET_SAMPLES] {
        std::array::from_fn(|i| {
            let t = (from + i) as f32 / SAMPLE_RATE as f32;
            let swell = 0.7 + 0.3 * (t * 4.0 * std::f32::consts::TAU).sin();
            let wave: f32 = (1..12)
                .map(|h| (t * 150.0 * h as f32 * std::f32::consts::TAU).sin() / h as f32)
                .sum();

            (wave * swell * 5_000.0) as i16
        })
    }

    fn rms(pcm: &[i16]) -> f64 {
        (pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / pcm.len().max(1) as f64).sqrt()
    }

    fn encode_all(config: OpusConfig, frames: usize) -> Vec<Vec<u8>> {
        let mut encoder = OpusEncoder::new(config).expect("an encoder");
        (0..frames)
            .map(|n| {
                let mut out = [0; MAX_PACKET_BYTES];
                let length = encoder
                    .encode(&voice(n * PACKET_SAMPLES), &mut out)
                    .expect("a packet");
                out[..length].to_vec()
            })
            .collect()
    }

    #[test]
    fn voice_keeps_its_loudness_at_the_requested_bitrate() {
        for bitrate_bps in [16_000, 32_000, 64_000] {
            let packets = encode_all(
                OpusConfig {
                    bitrate_bps,
                    ..OpusConfig::default()
                },
                200,
            );
            let sent = packets.iter().map(Vec::len).sum::<usize>() as f64 * 8.0 / 4.0;
            assert!(
                (0.6..1.2).contains(&(sent / f64::from(bitrate_bps))),
                "requested {bitrate_bps} bit/s, sent {sent} bit/s"
            );

            let mut decoder = OpusDecoder::new().expect("a decoder");
            let mut out = [0; MAX_PACKET_SAMPLES];
            let loudness: Vec<f64> = packets
                .iter()
                .map(|packet| {
                    let samples = decoder.decode(packet, &mut out).expect("a frame");
                    assert_eq!(samples, PACKET_SAMPLES, "20 ms in, 20 ms out");
                    rms(&out[..samples])
                })
                .collect();

            let original = rms(&voice(PACKET_SAMPLES * 100));
            assert!(
                (0.5..2.0).contains(&(loudness[100] / original)),
                "the loudness is kept: {} of {original}",
                loudness[100]
            );
        }
    }

    #[test]
    fn a_bitrate_change_takes_effect_while_running() {
        let mut encoder = OpusEncoder::new(OpusConfig::default()).expect("an encoder");
        let mut out = [0; MAX_PACKET_BYTES];
        let mut total = |encoder: &mut OpusEncoder| -> usize {
            (0..100)
                .map(|n| {
                    encoder
                        .encode(&voice(n * PACKET_SAMPLES), &mut out)
                        .expect("a packet")
                })
                .sum()
        };

        let before = total(&mut encoder);
        encoder.set_bitrate(12_000).expect("a legal bitrate");

        let after = total(&mut encoder);
        assert!(
            after * 2 < before,
            "12 kbit/s is less than half of 32: {after} vs {before} bytes"
        );
    }

    #[test]
    fn fec_restores_a_lost_frame_far_better_than_concealment() {
        let packets = encode_all(
            OpusConfig {
                expected_loss_percent: 20,
                ..OpusConfig::default()
            },
            60,
        );
        let lost = 50;
        assert!(
            has_fec(&packets[lost + 1]),
            "with 20 % loss expected the packets carry FEC"
        );

        let run = |restore: &dyn Fn(&mut OpusDecoder, &mut [i16])| -> Vec<i16> {
            let mut decoder = OpusDecoder::new().expect("a decoder");
            let mut out = [0; MAX_PACKET_SAMPLES];

            for packet in &packets[..lost] {
                decoder.decode(packet, &mut out).expect("a frame");
            }

            let mut frame = vec![0; PACKET_SAMPLES];
            restore(&mut decoder, &mut frame);
            frame
        };

        let perfect = run(&|decoder, frame| {
            let mut out = [0; MAX_PACKET_SAMPLES];
            decoder.decode(&packets[lost], &mut out).expect("a frame");
            frame.copy_from_slice(&out[..PACKET_SAMPLES]);
        });

        let fec =
            run(&|decoder, frame| decoder.decode_fec(&packets[lost + 1], frame).expect("FEC"));
        assert!(
            rms(&fec) > rms(&perfect) * 0.5,
            "the restored audio is as loud as the lost audio"
        );

        let error: Vec<i16> = fec
            .iter()
            .zip(&perfect)
            .map(|(a, b)| a.saturating_sub(*b))
            .collect();

        assert!(
            rms(&error) < rms(&perfect) * 0.6,
            "the restored audio resembles the lost audio: error {} of {}",
            rms(&error),
            rms(&perfect)
        );
    }

    #[test]
    fn without_fec_or_expected_loss_no_copy_is_carried() {
        for config in [
            OpusConfig {
                fec: false,
                expected_loss_percent: 20,
                ..OpusConfig::default()
            },
            OpusConfig {
                expected_loss_percent: 0,
                ..OpusConfig::default()
            },
        ] {
            assert!(
                !encode_all(config, 50).iter().any(|packet| has_fec(packet)),
                "no FEC with {config:?}"
            );
        }
    }

    #[test]
    fn silence_stops_transmission_except_for_refreshes() {
        let mut encoder = OpusEncoder::new(OpusConfig::default()).expect("an encoder");
        let mut out = [0; MAX_PACKET_BYTES];

        for n in 0..50 {
            encoder
                .encode(&voice(n * PACKET_SAMPLES), &mut out)
                .expect("a packet");
        }

        let sent = (0..250)
            .filter(|_| {
                encoder
                    .encode(&[0; PACKET_SAMPLES], &mut out)
                    .expect("a packet")
                    > 2
            })
            .count();

        assert!(
            (5..60).contains(&sent),
            "5 s of silence need a tail and a few refreshes, not {sent} packets"
        );
    }

    #[test]
    fn packets_of_every_duration_and_stereo_decode_to_mono() {
        for (ms10, channels) in [
            (25, 1),
            (50, 2),
            (100, 1),
            (200, 2),
            (400, 1),
            (600, 2),
            (800, 1),
            (1200, 2),
        ] {
            let samples = ms10 * 48 / 10;
            let layout = if channels == 2 {
                Channels::Stereo
            } else {
                Channels::Mono
            };
            let mut encoder =
                opus::Encoder::new(SAMPLE_RATE, layout, Application::Audio).expect("an encoder");
            let pcm: Vec<i16> = (0..samples * channels)
                .map(|i| ((i / channels) as f32 * 0.06).sin().mul_add(9e3, 0.0) as i16)
                .collect();
            let mut decoder = OpusDecoder::new().expect("a decoder");
            let mut out = [0; MAX_PACKET_SAMPLES];
            for _ in 0..4 {
                let packet = encoder.encode_vec(&pcm, 4_000).expect("a packet");
                assert_eq!(
                    packet_samples(&packet),
                    Some(samples),
                    "the duration of a {ms10}/10 ms packet is known"
                );

                assert_eq!(
                    decoder.decode(&packet, &mut out),
                    Ok(samples),
                    "the whole packet decodes"
                );
            }
            assert!(
                rms(&out[..samples]) > 2_000.0,
                "{channels} channel(s), {ms10}/10 ms: audio is decoded"
            );
        }
    }

    #[test]
    fn garbage_is_an_error_and_the_decoder_stays_usable() {
        let mut decoder = OpusDecoder::new().expect("a decoder");
        let mut out = [0; MAX_PACKET_SAMPLES];
        assert!(
            matches!(decoder.decode(&[], &mut out), Err(OpusError::Decode(_))),
            "an empty packet is refused"
        );

        assert!(
            matches!(
                decoder.decode(&[0x03, 0xff], &mut out),
                Err(OpusError::Decode(_))
            ),
            "a bad frame count is refused"
        );
        assert_eq!(packet_samples(&[]), None, "an empty packet has no duration");
        assert_eq!(
            packet_samples(&[0x03]),
            None,
            "a code 3 packet needs a frame count"
        );
        assert!(!has_fec(&[]), "an empty packet has no FEC copy");
        assert!(
            decoder.conceal(&mut [0; 100]).is_err(),
            "100 samples are not a legal duration"
        );

        let packet = &encode_all(OpusConfig::default(), 1)[0];
        assert_eq!(
            decoder.decode(packet, &mut out),
            Ok(PACKET_SAMPLES),
            "a good packet still decodes"
        );
    }
}
