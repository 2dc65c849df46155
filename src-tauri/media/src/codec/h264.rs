//! H.264 constrained baseline by openh264, set up for a call: one thread, no delay, keyframes only on request.

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

use super::{CodecError, EncodedFrame, EncoderConfig, VideoDecoder, VideoEncoder};
use crate::frame::{FramePool, I420};

/// openh264 refuses smaller pictures.
const MIN_SIDE: u32 = 16;
/// Rate control refuses less than a bit a picture; below this no picture is recognizable anyway.
const MIN_BITRATE_BPS: u32 = 10_000;
/// The ceiling over which pictures are dropped, against the target. Equal to the target it would hold the
/// average well below it, says openh264's own log.
const CEILING: f32 = 1.2;

/// Compresses pictures to Annex B access units, with SPS and PPS in front of each IDR picture.
pub(super) struct H264Encoder {
    native: Encoder,
    config: EncoderConfig,
    /// Whether `native` has seen a picture; it takes no options before.
    started: bool,
    /// The target that `native` works to.
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

    /// Starts over for pictures of a new size. openh264 could be told the size in place, but would fall back to the
    /// bitrate it was made with.
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
        let ceiling = (target as f32 * CEILING) as u32;
        // The ceiling may never be under the target, not even between the two calls.
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

        if steps
            .into_iter()
            .all(|(option, bps)| self.set_bitrate_option(option, bps))
        {
            self.applied_bps = target;
        } else {
            tracing::warn!(target_bps = target, "the H.264 encoder refused a bitrate");
        }
    }

    fn set_bitrate_option(&mut self, option: ENCODER_OPTION, bps: u32) -> bool {
        let mut info = SBitrateInfo {
            iLayer: openh264_sys2::SPATIAL_LAYER_0,
            iBitrate: bps.try_into().unwrap_or(i32::MAX),
        };

        // SAFETY: the encoder is initialized (`started`), both options take an `SBitrateInfo`, which lives during the
        // call, and the wrapper relies on neither value.
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
                    "the encoder gave an invalid picture".to_owned(),
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
        // Without it openh264 only warns that it cannot keep the bitrate.
        .skip_frames(true)
        // A cut in the picture must not burst into a keyframe that nobody asked for.
        .scene_change_detect(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(0))
        .num_threads(1);

    Encoder::with_api_config(OpenH264API::from_source(), native).map_err(|error| CodecError::Init {
        codec: "H.264",
        part: "encoder",
        reason: error.to_string(),
    })
}

/// An image without its last odd column and row: 4:2:0 H.264 crops in steps of two luma samples.
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

/// Restores pictures from Annex B access units, and refuses those whose references are missing.
///
/// openh264's error concealment stays off (the wrapper's default), so after a broken or missing picture it refuses
/// everything up to the next IDR picture instead of showing a guess.
pub(super) struct H264Decoder {
    native: Decoder,
    pool: FramePool,
}

impl H264Decoder {
    pub(super) fn new(pool: FramePool) -> Result<Self, CodecError> {
        Ok(Self {
            native: native_decoder()?,
            pool,
        })
    }
}

impl VideoDecoder for H264Decoder {
    fn decode(&mut self, data: &[u8]) -> Result<Option<Arc<I420>>, CodecError> {
        let decoded = self
            .native
            .decode(data)
            .map_err(|error| CodecError::Decode(decoding_state(error.native_code())))?;

        let Some(picture) = decoded else {
            // openh264 answers "no error" when it had to reset itself, so silence after a picture is an error too.
            return if has_slice(data) {
                Err(CodecError::Decode(
                    "the access unit gave no picture".to_owned(),
                ))
            } else {
                Ok(None)
            };
        };

        let (width, height) = picture.dimensions();
        let strides = picture.strides();
        let planes = [
            (picture.y(), strides.0),
            (picture.u(), strides.1),
            (picture.v(), strides.2),
        ];

        let image = self.pool.make(width as u32, height as u32, |image| {
            image.copy_from_planes(planes);
            Ok::<(), CodecError>(())
        })?;

        Ok(Some(image))
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

/// Whether an Annex B access unit holds a coded slice (NAL unit types 1 to 5, H.264 table 7-1).
fn has_slice(data: &[u8]) -> bool {
    data.windows(4)
        .any(|bytes| bytes[..3] == [0, 0, 1] && (1..=5).contains(&(bytes[3] & 0x1f)))
}

/// The names of the bits in openh264's DECODING_STATE.
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
