//! Opus (RFC 6716) for voice: 20 ms mono frames at 48 kHz out, any legal packet in.
//!
//! The encoder runs in libopus' VoIP mode with the signal declared as voice, because in-band forward error correction
//! (a low-bitrate copy of the previous frame, "LBRR" in RFC 6716 §4.2.5) exists only in the SILK and hybrid modes.

use opus::{Application, Bitrate, Channels, Signal};

/// Samples a second, per channel, everywhere in Tandem's audio path.
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples in one encoded frame: 20 ms mono at 48 kHz.
pub const FRAME_SAMPLES: usize = 960;
/// The longest packet that Opus allows: 120 ms at 48 kHz (RFC 6716 §3.2.5).
pub const MAX_PACKET_SAMPLES: usize = 5760;
/// A buffer of this many bytes holds any packet that [`OpusEncoder::encode`] makes (one frame, RFC 6716 §3.4).
pub const MAX_PACKET_BYTES: usize = 1275;
/// Concealment comes in multiples of this many samples: 2.5 ms, the shortest Opus frame.
pub const CONCEAL_STEP: usize = 120;

/// libopus refused something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpusError {
    /// The encoder or decoder could not be made (out of memory, or a setting out of range).
    #[error("Opus could not be started: {0}")]
    Init(String),
    /// A frame could not be encoded, or the output buffer is too small.
    #[error("a frame could not be encoded: {0}")]
    Encode(String),
    /// A packet is not Opus: broken framing, or longer than 120 ms. The decoder stays usable.
    #[error("a packet could not be decoded: {0}")]
    Decode(String),
}

/// How to encode. [`Default`] suits a voice call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusConfig {
    /// Target bitrate in bits a second, without RTP overhead; 6,000 to 510,000.
    pub bitrate_bps: u32,
    /// Carry a coarse copy of each frame in the next packet, once loss is expected.
    pub fec: bool,
    /// Stop sending in silence (a refresh still goes out every 400 ms).
    pub dtx: bool,
    /// The share of packets that the network is thought to lose, 0 to 100: how much of the bitrate goes to FEC.
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

/// Compresses 20 ms frames of mono voice.
#[derive(Debug)]
pub struct OpusEncoder {
    inner: opus::Encoder,
}

impl OpusEncoder {
    /// An encoder with `config`.
    ///
    /// # Errors
    /// [`OpusError::Init`] if libopus refuses a setting.
    pub fn new(config: OpusConfig) -> Result<Self, OpusError> {
        let build = || {
            let mut inner = opus::Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Voip)?;
            inner.set_bitrate(bits(config.bitrate_bps))?;
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

    /// Encodes 20 ms of mono sound into `out` (at least [`MAX_PACKET_BYTES`] to be safe) and returns the packet's
    /// length. Two bytes or fewer mean discontinuous transmission: send nothing, but let the RTP timestamp run on.
    ///
    /// # Errors
    /// [`OpusError::Encode`] if `out` is too small.
    pub fn encode(
        &mut self,
        pcm: &[i16; FRAME_SAMPLES],
        out: &mut [u8],
    ) -> Result<usize, OpusError> {
        self.inner
            .encode(pcm, out)
            .map_err(|error| OpusError::Encode(error.to_string()))
    }

    /// Follows the loss that the far end reports (RTCP receiver reports): `percent` is capped at 100.
    ///
    /// # Errors
    /// [`OpusError::Encode`] if libopus refuses.
    pub fn set_expected_loss(&mut self, percent: u8) -> Result<(), OpusError> {
        let percent = i32::from(percent.min(100));
        self.inner
            .set_packet_loss_perc(percent)
            .map_err(|error| OpusError::Encode(error.to_string()))
    }

    /// Follows a new target bitrate in bits a second, from the next frame on; clamped to what Opus can do.
    ///
    /// # Errors
    /// [`OpusError::Encode`] if libopus refuses.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), OpusError> {
        self.inner
            .set_bitrate(bits(bitrate_bps))
            .map_err(|error| OpusError::Encode(error.to_string()))
    }
}

/// libopus' bitrate setting, within what Opus can do for one channel.
fn bits(bitrate_bps: u32) -> Bitrate {
    Bitrate::Bits(bitrate_bps.clamp(6_000, 510_000) as i32)
}

/// Restores mono sound from packets of any legal duration; stereo packets are mixed down.
#[derive(Debug)]
pub struct OpusDecoder {
    inner: opus::Decoder,
}

impl OpusDecoder {
    /// A decoder to 48 kHz mono.
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

    /// Restores the frame that was lost just before `next_packet` from the copy inside it, and fills `out`, whose
    /// length is the lost frame's duration (a multiple of [`CONCEAL_STEP`], at most [`MAX_PACKET_SAMPLES`]). Without a
    /// copy inside ([`has_fec`]) libopus conceals instead. Decode `next_packet` itself afterwards.
    ///
    /// # Errors
    /// [`OpusError::Decode`] if the packet is broken or the length of `out` is not a legal duration.
    pub fn decode_fec(&mut self, next_packet: &[u8], out: &mut [i16]) -> Result<(), OpusError> {
        if next_packet.is_empty() {
            return Err(OpusError::Decode("the packet is empty".into()));
        }

        self.inner
            .decode(next_packet, out, true)
            .map(drop)
            .map_err(|error| decode_error(&error))
    }

    /// Makes up sound in place of what was lost (packet loss concealment), fading as the loss goes on. The length of
    /// `out` must be a multiple of [`CONCEAL_STEP`], at most [`MAX_PACKET_SAMPLES`].
    ///
    /// # Errors
    /// [`OpusError::Decode`] if the length of `out` is not a legal duration.
    pub fn conceal(&mut self, out: &mut [i16]) -> Result<(), OpusError> {
        self.inner
            .decode(&[], out, false)
            .map(drop)
            .map_err(|error| decode_error(&error))
    }

    /// Forgets the past: the next packet is from another stream.
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

/// A packet's duration in samples at 48 kHz, or `None` if it is not a legal Opus packet (RFC 6716 §3.4).
pub fn packet_samples(packet: &[u8]) -> Option<usize> {
    if packet.is_empty() {
        return None;
    }

    opus::packet::get_nb_samples(packet, SAMPLE_RATE)
        .ok()
        .filter(|samples| (1..=MAX_PACKET_SAMPLES).contains(samples))
}

/// Whether `packet` carries a copy of the frame before it. Reads the LBRR flags, which stand behind the voice activity
/// flags at the very start of a SILK frame, one bit each (RFC 6716 §4.2.3).
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

    // SILK codes 20 ms at a time: one VAD bit for each, then one LBRR bit; the side channel of stereo likewise.
    let silk_frames = (samples / FRAME_SAMPLES).max(1);
    let flag = |bit: usize| bit < 8 && header & (0x80 >> bit) != 0;
    let stereo = toc & 0x04 != 0;

    flag(silk_frames) || (stereo && flag(2 * silk_frames + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something like a vowel: a 150 Hz pulse train's first harmonics with a slow swell.
    fn voice(from: usize) -> [i16; FRAME_SAMPLES] {
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
                    .encode(&voice(n * FRAME_SAMPLES), &mut out)
                    .expect("a packet");
                out[..length].to_vec()
            })
            .collect()
    }

    #[test]
    fn voice_survives_at_the_bitrate_asked_for() {
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
                "asked for {bitrate_bps}, sent {sent}"
            );

            let mut decoder = OpusDecoder::new().expect("a decoder");
            let mut out = [0; MAX_PACKET_SAMPLES];
            let loudness: Vec<f64> = packets
                .iter()
                .map(|packet| {
                    let samples = decoder.decode(packet, &mut out).expect("a frame");
                    assert_eq!(samples, FRAME_SAMPLES, "20 ms in, 20 ms out");
                    rms(&out[..samples])
                })
                .collect();
            let wanted = rms(&voice(FRAME_SAMPLES * 100));

            assert!(
                (0.5..2.0).contains(&(loudness[100] / wanted)),
                "loudness kept: {} vs {wanted}",
                loudness[100]
            );
        }
    }

    #[test]
    fn a_run_time_bitrate_change_is_followed() {
        let mut encoder = OpusEncoder::new(OpusConfig::default()).expect("an encoder");
        let mut out = [0; MAX_PACKET_BYTES];
        let mut total = |encoder: &mut OpusEncoder| -> usize {
            (0..100)
                .map(|n| {
                    encoder
                        .encode(&voice(n * FRAME_SAMPLES), &mut out)
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

            let mut frame = vec![0; FRAME_SAMPLES];
            restore(&mut decoder, &mut frame);
            frame
        };

        let perfect = run(&|decoder, frame| {
            let mut out = [0; MAX_PACKET_SAMPLES];
            decoder.decode(&packets[lost], &mut out).expect("a frame");
            frame.copy_from_slice(&out[..FRAME_SAMPLES]);
        });

        let fec =
            run(&|decoder, frame| decoder.decode_fec(&packets[lost + 1], frame).expect("FEC"));
        assert!(
            rms(&fec) > rms(&perfect) * 0.5,
            "the restored frame is as loud as the lost one"
        );

        let error: Vec<i16> = fec
            .iter()
            .zip(&perfect)
            .map(|(a, b)| a.saturating_sub(*b))
            .collect();

        assert!(
            rms(&error) < rms(&perfect) * 0.6,
            "and like it: error {} of {}",
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
    fn silence_stops_transmission_and_refreshes() {
        let mut encoder = OpusEncoder::new(OpusConfig::default()).expect("an encoder");
        let mut out = [0; MAX_PACKET_BYTES];

        for n in 0..50 {
            encoder
                .encode(&voice(n * FRAME_SAMPLES), &mut out)
                .expect("a packet");
        }

        let sent = (0..250)
            .filter(|_| {
                encoder
                    .encode(&[0; FRAME_SAMPLES], &mut out)
                    .expect("a packet")
                    > 2
            })
            .count();

        assert!(
            (5..60).contains(&sent),
            "5 s of silence: a tail and a refresh now and then, {sent} packets"
        );
    }

    #[test]
    fn browsers_packets_of_every_duration_and_stereo_decode_to_mono() {
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
                    "duration of a {ms10}/10 ms packet"
                );

                assert_eq!(
                    decoder.decode(&packet, &mut out),
                    Ok(samples),
                    "all of it decodes"
                );
            }
            assert!(
                rms(&out[..samples]) > 2_000.0,
                "{channels} channel(s), {ms10}/10 ms: sound comes out"
            );
        }
    }

    #[test]
    fn garbage_is_an_error_or_noise_and_the_decoder_lives_on() {
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
            "bad frame count"
        );
        assert_eq!(packet_samples(&[]), None, "nothing has no duration");
        assert_eq!(packet_samples(&[0x03]), None, "code 3 needs a count");
        assert!(!has_fec(&[]), "nothing has no FEC");
        assert!(
            decoder.conceal(&mut [0; 100]).is_err(),
            "100 samples are no legal duration"
        );

        let packet = &encode_all(OpusConfig::default(), 1)[0];
        assert_eq!(
            decoder.decode(packet, &mut out),
            Ok(FRAME_SAMPLES),
            "a good packet still decodes"
        );
    }
}
