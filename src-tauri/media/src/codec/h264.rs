//! H.264 constrained baseline with openh264, configured for a call: one thread, no delay, keyframes
//! only on request.

use std::ptr::from_mut;
use std::sync::Arc;

use openh264::decoder::{Decoder, DecoderConfig};
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig as NativeConfig, FrameRate, FrameType,
    IntraFramePeriod, Profile, RateControlMode, UsageType,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};
use openh264_sys2::{
    ENCODER_OPTION, ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, SBitrateInfo,
};

use super::{CodecError, EncodedFrame, EncoderConfig, VideoDecoder, VideoEncoder, sps};
use crate::frame::{FramePool, I420};
use crate::range::LIMITED;

/// The smallest width and height that openh264 accepts, in pixels.
const MIN_SIDE: u32 = 16;
/// The lowest target. Rate control refuses less than one bit per frame, and long before that
/// nothing in the video is recognizable.
const MIN_BITRATE_BPS: u32 = 10_000;
/// Above this multiple of the target, rate control drops frames. With a ceiling equal to the target
/// the average stays well below the target, according to openh264's own log.
const CEILING_RATIO: f32 = 1.2;

/// Encodes frames to Annex B access units, with SPS and PPS before each IDR frame.
pub(super) struct H264Encoder {
    native: Encoder,
    config: EncoderConfig,
    /// Whether `native` has encoded a frame. It refuses options before that.
    started: bool,
    /// The target that is set in `native`.
    applied_bps: u32,
}

impl H264Encoder {
    pub(super) fn new(mut config: EncoderConfig) -> Result<Self, CodecError> {
        config.bitrate_bps = config.bitrate_bps.max(MIN_BITRATE_BPS);
        Ok(Self {
            native: native_encoder(&config)?,
            config,
            started: false,
            applied_bps: config.bitrate_bps,
        })
    }

    /// Makes a new encoder for frames of another size. openh264 can change the size in place, but
    /// then falls back to its initial bitrate.
    fn resize(&mut self, width: u32, height: u32) -> Result<(), CodecError> {
        self.config = EncoderConfig {
            width,
            height,
            ..self.config
        };

        self.native = native_encoder(&self.config)?;
        self.started = false;
        self.applied_bps = self.config.bitrate_bps;

        Ok(())
    }

    fn apply_bitrate(&mut self) {
        let target = self.config.bitrate_bps;
        let ceiling = (target as f32 * CEILING_RATIO) as u32;

        // The ceiling must never be below the target, not even between the two calls.
        let steps = if target > self.applied_bps {
            [
                (ENCODER_OPTION_MAX_BITRATE, ceiling),
                (ENCODER_OPTION_BITRATE, target),
            ]
        } else {
            [
                (ENCODER_OPTION_BITRATE, target),
                (ENCODER_OPTION_MAX_BITRATE, ceiling),
            ]
        };

        let applied = steps
            .into_iter()
            .all(|(option, bps)| self.set_bitrate_option(option, bps));
        if applied {
            self.applied_bps = target;
        } else {
            tracing::warn!(
                target_bps = target,
                "the H.264 encoder refused a bitrate: it keeps the old one"
            );
        }
    }

    fn set_bitrate_option(&mut self, option: ENCODER_OPTION, bps: u32) -> bool {
        let mut info = SBitrateInfo {
            iLayer: openh264_sys2::SPATIAL_LAYER_0,
            iBitrate: bps.try_into().unwrap_or(i32::MAX),
        };

        // SAFETY: the encoder is initialized (`started`), both options take an `SBitrateInfo`,
        // which outlives the call, and the wrapper relies on neither value.
        unsafe {
            self.native
                .raw_api()
                .set_option(option, from_mut(&mut info).cast())
                == 0
        }
    }
}

impl VideoEncoder for H264Encoder {
    fn encode(
        &mut self,
        image: &I420,
        timestamp_ms: u64,
        force_keyframe: bool,
    ) -> Result<Option<EncodedFrame>, CodecError> {
        let (width, height) = (image.width(), image.height());
        if width < MIN_SIDE || height < MIN_SIDE {
            return Err(CodecError::Encode(format!(
                "{width}x{height} is smaller than {MIN_SIDE}x{MIN_SIDE}"
            )));
        }

        if (width, height) != (self.config.width, self.config.height) {
            self.resize(width, height)?;
        }

        if self.started {
            if self.applied_bps != self.config.bitrate_bps {
                self.apply_bitrate();
            }

            if force_keyframe {
                self.native.force_intra_frame();
            }
        }

        let stream = self
            .native
            .encode_at(&EvenCrop(image), Timestamp::from_millis(timestamp_ms))
            .map_err(|error| CodecError::Encode(error.to_string()))?;

        let keyframe = match stream.frame_type() {
            FrameType::IDR => true,
            FrameType::I | FrameType::P | FrameType::IPMixed => false,
            FrameType::Skip => return Ok(None),
            FrameType::Invalid => {
                return Err(CodecError::Encode(
                    "the encoder returned an invalid frame".to_owned(),
                ));
            }
        };

        let data = stream.to_vec();
        if !self.started {
            self.started = true;
            self.apply_bitrate();
        }

        Ok((!data.is_empty()).then_some(EncodedFrame { data, keyframe }))
    }

    fn set_bitrate(&mut self, bitrate_bps: u32) {
        self.config.bitrate_bps = bitrate_bps.max(MIN_BITRATE_BPS);
    }
}

fn native_encoder(config: &EncoderConfig) -> Result<Encoder, CodecError> {
    let native = NativeConfig::new()
        .bitrate(BitRate::from_bps(config.bitrate_bps))
        .max_frame_rate(FrameRate::from_hz(config.fps))
        .profile(Profile::Baseline)
        .usage_type(UsageType::CameraVideoRealTime)
        .complexity(Complexity::Low)
        .rate_control_mode(RateControlMode::Bitrate)
        // Without this, openh264 exceeds the bitrate and only logs a warning.
        .skip_frames(true)
        // A sudden change of the scene must not cause a large keyframe that was not requested.
        .scene_change_detect(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(0))
        .num_threads(1);

    let native = match config.max_nal_bytes {
        Some(bytes) => native.max_slice_len(bytes),
        None => native,
    };

    Encoder::with_api_config(OpenH264API::from_source(), native).map_err(|error| CodecError::Init {
        codec: "H.264",
        part: "encoder",
        reason: error.to_string(),
    })
}

/// Hides the last column and row of an odd size: H.264 crops 4:2:0 in steps of two luma samples.
struct EvenCrop<'a>(&'a I420);

impl YUVSource for EvenCrop<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (
            (self.0.width() & !1) as usize,
            (self.0.height() & !1) as usize,
        )
    }

    fn strides(&self) -> (usize, usize, usize) {
        let chroma = self.0.chroma_width() as usize;
        (self.0.width() as usize, chroma, chroma)
    }

    fn y(&self) -> &[u8] {
        self.0.planes().0
    }

    fn u(&self) -> &[u8] {
        self.0.planes().1
    }

    fn v(&self) -> &[u8] {
        self.0.planes().2
    }
}

/// Decodes Annex B access units and refuses those whose reference frames are missing.
///
/// openh264's error concealment stays off (the wrapper's default). After a damaged or missing frame
/// it refuses everything up to the next IDR frame instead of showing a guess.
pub(super) struct H264Decoder {
    native: Decoder,
    /// The last access unit was refused.
    has_failed: bool,
    renewal: Renewal,
    pool: FramePool,
    /// The stream uses the full range, which the frames that come out do not.
    is_full_range: bool,
}

impl H264Decoder {
    pub(super) fn new(pool: FramePool) -> Result<Self, CodecError> {
        Ok(Self {
            native: native_decoder()?,
            has_failed: false,
            renewal: Renewal::default(),
            pool,
            is_full_range: false,
        })
    }

    fn decode_native(&mut self, data: &[u8]) -> Result<Option<Arc<I420>>, CodecError> {
        let decoded = self
            .native
            .decode(data)
            .map_err(|error| CodecError::Decode(decoding_state(error.native_code())))?;

        let Some(decoded) = decoded else {
            // After resetting itself openh264 reports "no error" but returns nothing, so a slice
            // without a frame is an error, too.
            return if has_slice(data) {
                Err(CodecError::Decode(
                    "the access unit has a slice but gave no frame".to_owned(),
                ))
            } else {
                Ok(None)
            };
        };

        let (width, height) = decoded.dimensions();
        let strides = decoded.strides();
        let planes = [
            (decoded.y(), strides.0),
            (decoded.u(), strides.1),
            (decoded.v(), strides.2),
        ];

        let image = self.pool.make(width as u32, height as u32, |image| {
            image.copy_from_planes(planes);
            if self.is_full_range {
                LIMITED.apply(image);
            }

            Ok::<(), CodecError>(())
        })?;

        Ok(Some(image))
    }
}

impl VideoDecoder for H264Decoder {
    fn decode(&mut self, data: &[u8]) -> Result<Option<Arc<I420>>, CodecError> {
        sps::check(data).map_err(CodecError::Decode)?;
        if let Some(is_full_range) = sps::is_full_range(data) {
            self.is_full_range = is_full_range;
        }

        let mut decoded = self.decode_native(data);
        if decoded.is_err() && self.has_failed && is_whole_keyframe(data) && self.renewal.is_due() {
            // What openh264 keeps of a broken parameter set can make it refuse the intact one that
            // follows. A new decoder has nothing of the old stream.
            self.native = native_decoder()?;
            decoded = self.decode_native(data);
        }

        if matches!(decoded, Ok(Some(_))) {
            self.renewal = Renewal::default();
        }

        self.has_failed = decoded.is_err();
        decoded
    }
}

/// When a keyframe that was refused is given to a new decoder: the first, the second, the fourth, the
/// eighth and so on, because a partner may send nothing but broken ones.
#[derive(Debug, Default)]
struct Renewal {
    /// Keyframes that were refused since the last frame that came out.
    refused: u32,
}

impl Renewal {
    fn is_due(&mut self) -> bool {
        self.refused = self.refused.saturating_add(1);
        self.refused.is_power_of_two()
    }
}

fn native_decoder() -> Result<Decoder, CodecError> {
    Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new()).map_err(|error| {
        CodecError::Init {
            codec: "H.264",
            part: "decoder",
            reason: error.to_string(),
        }
    })
}

/// Whether an Annex B access unit contains a coded slice: NAL unit types 1 to 5 (H.264 table 7-1).
fn has_slice(data: &[u8]) -> bool {
    sps::nal_units(data)
        .filter_map(<[u8]>::first)
        .any(|header| (1..=5).contains(&(header & 0x1f)))
}

/// Whether an Annex B access unit can be decoded by itself: it has an SPS, a PPS and a slice of an
/// IDR frame.
fn is_whole_keyframe(data: &[u8]) -> bool {
    let types = sps::nal_units(data)
        .filter_map(<[u8]>::first)
        .fold(0_u32, |types, header| types | 1 << (header & 0x1f));

    [5, 7, 8].iter().all(|nal_type| types & 1 << nal_type != 0)
}

/// Names the bits that are set in openh264's `DECODING_STATE`.
fn decoding_state(state: i64) -> String {
    const BITS: [(i64, &str); 9] = [
        (0x01, "frame pending"),
        (0x02, "reference lost"),
        (0x04, "broken bitstream"),
        (0x08, "dependent layer lost"),
        (0x10, "no parameter sets"),
        (0x20, "concealed"),
        (0x40, "null references"),
        (0x1000, "invalid argument"),
        (0x4000, "out of memory"),
    ];

    let names: Vec<_> = BITS
        .iter()
        .filter(|(bit, _)| state & bit != 0)
        .map(|&(_, name)| name)
        .collect();

    if names.is_empty() {
        format!("state {state:#x}")
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use openh264::encoder::VuiConfig;

    use super::*;

    #[test]
    fn a_keyframe_decodes_after_one_with_a_damaged_parameter_set() {
        let mut encoder =
            Encoder::with_api_config(OpenH264API::from_source(), NativeConfig::new()).unwrap();
        let data = encoder
            .encode(&EvenCrop(&I420::new(64, 64)))
            .unwrap()
            .to_vec();
        let slice = sps::nal_units(&data)
            .find(|unit| unit[0] & 0x1f == 5)
            .map(|unit| unit.as_ptr() as usize - data.as_ptr() as usize)
            .unwrap();

        // Every bit in front of the slice: the two parameter sets.
        for bit in 0..slice * 8 {
            let mut damaged = data.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);

            let mut decoder = H264Decoder::new(FramePool::new()).unwrap();
            // A frame and an error are both fine.
            let _ = decoder.decode(&damaged);

            let decoded = decoder.decode(&data).map(|frame| frame.is_some());
            assert!(matches!(decoded, Ok(true)), "bit {bit}: {decoded:?}");
        }
    }

    #[test]
    fn broken_keyframes_without_end_cost_few_new_decoders() {
        let mut renewal = Renewal::default();
        let made: Vec<u32> = (1..=1_000).filter(|_| renewal.is_due()).collect();
        assert_eq!(made, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }

    #[test]
    fn frames_of_a_full_range_stream_come_out_in_limited_range() {
        let mut image = I420::new(64, 64);
        // Left half black, right half white, in full range.
        for row in image.planes_mut().0.chunks_exact_mut(64) {
            row[..32].fill(0);
            row[32..].fill(255);
        }
        image.planes_mut().1.fill(128);
        image.planes_mut().2.fill(128);

        let mut decoder = H264Decoder::new(FramePool::new()).unwrap();
        for (full, [black, white]) in [(true, [16, 235]), (false, [0, 255]), (true, [16, 235])] {
            let config = NativeConfig::new().vui(VuiConfig::bt709().full_range(full));
            let api = OpenH264API::from_source();
            let mut encoder = Encoder::with_api_config(api, config).unwrap();
            let data = encoder.encode(&EvenCrop(&image)).unwrap().to_vec();

            let decoded = decoder.decode(&data).unwrap().expect("a frame");
            let row = &decoded.planes().0[64 * 32..][..64];
            for (at, expected) in [(8, black), (56, white)] {
                assert!(
                    row[at].abs_diff(expected) <= 2,
                    "full range {full}: {} instead of {expected}",
                    row[at]
                );
            }
        }
    }
}
