//! VP8 with libvpx, configured for a call: one thread, no delay, keyframes only on
//! request.

use std::ffi::CStr;
use std::ptr::{self, from_ref};
use std::sync::Arc;

use vpx_sys::{
    VPX_DECODER_ABI_VERSION, VPX_DL_REALTIME, VPX_EFLAG_FORCE_KF, VPX_ENCODER_ABI_VERSION,
    VPX_FRAME_IS_KEY, vp8_dec_control_id, vp8e_enc_control_id, vpx_codec_control_, vpx_codec_ctx_t,
    vpx_codec_cx_pkt_kind, vpx_codec_dec_init_ver, vpx_codec_decode, vpx_codec_destroy,
    vpx_codec_enc_cfg_t, vpx_codec_enc_config_default, vpx_codec_enc_config_set,
    vpx_codec_enc_init_ver, vpx_codec_encode, vpx_codec_err_t, vpx_codec_err_to_string,
    vpx_codec_get_cx_data, vpx_codec_get_frame, vpx_codec_vp8_cx, vpx_codec_vp8_dx, vpx_enc_pass,
    vpx_image_t, vpx_img_fmt, vpx_img_wrap, vpx_kf_mode, vpx_rational, vpx_rc_mode,
};

use super::{CodecError, EncodedFrame, EncoderConfig, VideoDecoder, VideoEncoder};
use crate::frame::{FramePool, I420};

const OK: vpx_codec_err_t = vpx_codec_err_t::VPX_CODEC_OK;
/// The smallest width and height, in pixels: that of the H.264 encoder, so that both codecs behave
/// alike.
const MIN_SIDE: u32 = 16;
/// The largest frame to decode, in pixels. A keyframe header alone can demand 16383 x 16383 pixels,
/// which is half a gigabyte for the reference frames.
const MAX_PIXELS: u32 = 3840 * 2160;
/// Timestamps run at 90 kHz: with whole milliseconds, rate control would see an uneven frame rate.
const TICKS_PER_MS: u64 = 90;
/// The speed preset, whose magnitude runs from 0 (best quality) to 16 (fastest). Speed has to come
/// from here, because two encoder threads stall each other on a busy machine.
const CPU_USED: i32 = -10;
/// The largest keyframe, in percent of one frame's share of the bitrate.
const MAX_INTRA_PERCENT: u32 = 900;

/// A libvpx context, destroyed when dropped.
struct Context(Box<vpx_codec_ctx_t>);

// SAFETY: libvpx contexts have no thread affinity, and this one is reached through `&mut` only.
unsafe impl Send for Context {}

impl Context {
    /// Makes a context and has `init` initialize it.
    fn new(
        part: &'static str,
        init: impl FnOnce(&mut vpx_codec_ctx_t) -> vpx_codec_err_t,
    ) -> Result<Self, CodecError> {
        let mut context = Box::<vpx_codec_ctx_t>::default();
        match init(&mut context) {
            OK => Ok(Self(context)),
            error => Err(CodecError::Init {
                codec: "VP8",
                part,
                reason: reason(error),
            }),
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context was initialized by `new` and is destroyed once.
        unsafe { vpx_codec_destroy(&raw mut *self.0) };
    }
}

fn reason(error: vpx_codec_err_t) -> String {
    // SAFETY: libvpx returns a static string for every error code.
    unsafe { CStr::from_ptr(vpx_codec_err_to_string(error)) }
        .to_string_lossy()
        .into_owned()
}

/// Encodes to VP8 frames.
pub(super) struct Vp8Encoder {
    context: Context,
    native: vpx_codec_enc_cfg_t,
    config: EncoderConfig,
    /// The target that is set in the context.
    applied_bps: u32,
    last_ticks: Option<u64>,
}

// SAFETY: the only pointers in the configuration are those of two-pass statistics, which are null
// in one-pass mode.
unsafe impl Send for Vp8Encoder {}

impl Vp8Encoder {
    pub(super) fn new(config: EncoderConfig) -> Result<Self, CodecError> {
        let (context, native) = native_encoder(&config)?;
        Ok(Self {
            context,
            native,
            config,
            applied_bps: config.bitrate_bps,
            last_ticks: None,
        })
    }

    fn resize(&mut self, width: u32, height: u32) -> Result<(), CodecError> {
        self.config = EncoderConfig {
            width,
            height,
            ..self.config
        };

        (self.context, self.native) = native_encoder(&self.config)?;
        self.applied_bps = self.config.bitrate_bps;
        self.last_ticks = None;

        Ok(())
    }

    fn apply_bitrate(&mut self) {
        self.native.rc_target_bitrate = kbps(self.config.bitrate_bps);

        // SAFETY: context and configuration are initialized; libvpx copies the configuration.
        let result =
            unsafe { vpx_codec_enc_config_set(&raw mut *self.context.0, &raw const self.native) };

        if result == OK {
            self.applied_bps = self.config.bitrate_bps;
        } else {
            tracing::warn!(
                target_bps = self.config.bitrate_bps,
                "the VP8 encoder refused a bitrate: it keeps the old one"
            );
        }
    }

    /// The timestamp in ticks. It must increase, so a second frame in the same millisecond gets one
    /// tick more.
    fn ticks(&mut self, timestamp_ms: u64) -> u64 {
        let ticks = (timestamp_ms * TICKS_PER_MS).max(self.last_ticks.map_or(0, |last| last + 1));
        self.last_ticks = Some(ticks);
        ticks
    }

    fn take_frame(&mut self) -> Option<EncodedFrame> {
        let mut iterator = ptr::null();
        let mut frame: Option<EncodedFrame> = None;

        loop {
            // SAFETY: the context is initialized and `iterator` starts as null, as the API
            // requires.
            let packet = unsafe {
                vpx_codec_get_cx_data(&raw mut *self.context.0, &raw mut iterator).as_ref()
            };

            let Some(packet) = packet else { return frame };
            if packet.kind != vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }

            // SAFETY: the kind says that `frame` is the valid member, and its buffer has `sz` bytes
            // until the next call on this context.
            let (data, flags) = unsafe {
                let packet = packet.data.frame;
                (
                    std::slice::from_raw_parts(packet.buf.cast::<u8>(), packet.sz as usize),
                    packet.flags,
                )
            };

            let frame = frame.get_or_insert(EncodedFrame {
                data: Vec::new(),
                keyframe: false,
            });

            frame.data.extend_from_slice(data);
            frame.keyframe |= flags & VPX_FRAME_IS_KEY != 0;
        }
    }
}

impl VideoEncoder for Vp8Encoder {
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

        if self.applied_bps != self.config.bitrate_bps {
            self.apply_bitrate();
        }

        let ticks = self.ticks(timestamp_ms);
        let duration = (TICKS_PER_MS as f32 * 1000.0 / self.config.fps) as u64;
        let native = wrap(image);
        let flags = if force_keyframe {
            i64::from(VPX_EFLAG_FORCE_KF)
        } else {
            0
        };

        // SAFETY: the context is initialized; the image and its pixels outlive the call, which only
        // reads them.
        let result = unsafe {
            vpx_codec_encode(
                &raw mut *self.context.0,
                &raw const native,
                ticks as i64,
                duration as _,
                flags as _,
                VPX_DL_REALTIME.into(),
            )
        };

        if result != OK {
            return Err(CodecError::Encode(reason(result)));
        }

        Ok(self.take_frame())
    }

    fn set_bitrate(&mut self, bitrate_bps: u32) {
        self.config.bitrate_bps = bitrate_bps;
    }
}

/// The target in kbit/s, as libvpx takes it: at least 10, below which nothing is recognizable.
fn kbps(bps: u32) -> u32 {
    (bps / 1000).max(10)
}

fn native_encoder(config: &EncoderConfig) -> Result<(Context, vpx_codec_enc_cfg_t), CodecError> {
    let mut native = vpx_codec_enc_cfg_t::default();

    // SAFETY: the interface comes from libvpx, and `native` is a configuration for it to fill.
    let result = unsafe { vpx_codec_enc_config_default(vpx_codec_vp8_cx(), &raw mut native, 0) };

    if result != OK {
        return Err(CodecError::Init {
            codec: "VP8",
            part: "encoder",
            reason: reason(result),
        });
    }

    native.g_w = config.width;
    native.g_h = config.height;
    native.g_timebase = vpx_rational {
        num: 1,
        den: (TICKS_PER_MS * 1000) as i32,
    };
    native.g_threads = 1;
    native.g_pass = vpx_enc_pass::VPX_RC_ONE_PASS;
    native.g_lag_in_frames = 0;

    // Off, so that entropy contexts may depend on the previous frame. A lost frame breaks the chain
    // of references anyway, and then the call requests a keyframe.
    native.g_error_resilient = 0;

    native.kf_mode = vpx_kf_mode::VPX_KF_DISABLED;
    native.rc_end_usage = vpx_rc_mode::VPX_CBR;
    native.rc_target_bitrate = kbps(config.bitrate_bps);
    native.rc_resize_allowed = 0;
    native.rc_min_quantizer = 2;
    native.rc_max_quantizer = 56;
    native.rc_undershoot_pct = 100;
    native.rc_overshoot_pct = 15;

    // In milliseconds at the target bitrate: how far the stream may run ahead before rate control
    // drops frames.
    native.rc_buf_sz = 1000;
    native.rc_buf_initial_sz = 500;
    native.rc_buf_optimal_sz = 600;
    native.rc_dropframe_thresh = 30;

    let mut context = Context::new("encoder", |context| {
        // SAFETY: context and configuration outlive the call; the version is that of the bound
        // header.
        unsafe {
            vpx_codec_enc_init_ver(
                context,
                vpx_codec_vp8_cx(),
                &raw const native,
                0,
                VPX_ENCODER_ABI_VERSION as i32,
            )
        }
    })?;

    for (control, value) in [
        (vp8e_enc_control_id::VP8E_SET_CPUUSED, CPU_USED),
        (vp8e_enc_control_id::VP8E_SET_STATIC_THRESHOLD, 1),
        (
            vp8e_enc_control_id::VP8E_SET_MAX_INTRA_BITRATE_PCT,
            MAX_INTRA_PERCENT as i32,
        ),
    ] {
        // SAFETY: the context is initialized and each of these controls takes one int.
        let result = unsafe { vpx_codec_control_(&raw mut *context.0, control as i32, value) };
        if result != OK {
            return Err(CodecError::Init {
                codec: "VP8",
                part: "encoder",
                reason: reason(result),
            });
        }
    }

    Ok((context, native))
}

/// Describes `image` to libvpx. For odd widths libvpx expects the planes elsewhere, so each one is
/// set explicitly.
fn wrap(image: &I420) -> vpx_image_t {
    let (y, u, v) = image.planes();
    let mut native = vpx_image_t::default();

    // SAFETY: `native` is an image for libvpx to fill; the data pointer is stored, not read.
    unsafe {
        vpx_img_wrap(
            &raw mut native,
            vpx_img_fmt::VPX_IMG_FMT_I420,
            image.width(),
            image.height(),
            1,
            from_ref(y).cast::<u8>().cast_mut(),
        );
    }

    native.planes = [
        y.as_ptr().cast_mut(),
        u.as_ptr().cast_mut(),
        v.as_ptr().cast_mut(),
        ptr::null_mut(),
    ];
    let chroma = image.chroma_width() as i32;
    native.stride = [image.width() as i32, chroma, chroma, 0];

    native
}

/// Decodes VP8 frames and refuses everything between an error and the next keyframe.
///
/// VP8 frames carry no number, so a frame that is lost as a whole goes unnoticed here. The RTP
/// layer notices it by sequence numbers.
pub(super) struct Vp8Decoder {
    context: Context,
    pool: FramePool,
    /// Whether the reference frames are missing or possibly damaged.
    needs_keyframe: bool,
}

impl Vp8Decoder {
    pub(super) fn new(pool: FramePool) -> Result<Self, CodecError> {
        Ok(Self {
            context: native_decoder()?,
            pool,
            needs_keyframe: true,
        })
    }

    fn try_decode(&mut self, data: &[u8]) -> Result<Arc<I420>, CodecError> {
        let context = &raw mut *self.context.0;
        // SAFETY: the context is initialized and `data` outlives the call, which only reads it.
        let result = unsafe {
            vpx_codec_decode(
                context,
                data.as_ptr(),
                data.len().try_into().unwrap_or(u32::MAX),
                ptr::null_mut(),
                0,
            )
        };

        if result != OK {
            return Err(CodecError::Decode(reason(result)));
        }

        let mut corrupted = 0_i32;
        // SAFETY: the context is initialized and this control takes a pointer to an int.
        let result = unsafe {
            vpx_codec_control_(
                context,
                vp8_dec_control_id::VP8D_GET_FRAME_CORRUPTED as i32,
                &raw mut corrupted,
            )
        };

        let mut iterator = ptr::null();
        // SAFETY: as above; the image belongs to the context and stays valid until the next call on
        // it.
        let decoded = unsafe { vpx_codec_get_frame(context, &raw mut iterator).as_ref() };

        if result != OK || corrupted != 0 {
            return Err(CodecError::Decode(
                "the frame or its reference frames are damaged".to_owned(),
            ));
        }

        let decoded = decoded
            .ok_or_else(|| CodecError::Decode("the decoder returned no frame".to_owned()))?;
        self.copy(decoded)
    }

    fn copy(&self, decoded: &vpx_image_t) -> Result<Arc<I420>, CodecError> {
        if decoded.fmt != vpx_img_fmt::VPX_IMG_FMT_I420 {
            return Err(CodecError::Decode("the frame is not I420".to_owned()));
        }

        let plane = |index: usize, rows: u32, width: u32| {
            let stride = decoded.stride[index] as usize;
            let length = (rows as usize - 1) * stride + width as usize;
            // SAFETY: libvpx's planes have `rows` rows of at least `width` bytes, `stride` bytes
            // apart.
            (
                unsafe { std::slice::from_raw_parts(decoded.planes[index], length) },
                stride,
            )
        };

        let (width, height) = (decoded.d_w, decoded.d_h);
        let (chroma_width, chroma_height) = (width.div_ceil(2), height.div_ceil(2));
        let planes = [
            plane(0, height, width),
            plane(1, chroma_height, chroma_width),
            plane(2, chroma_height, chroma_width),
        ];

        self.pool.make(width, height, |image| {
            image.copy_from_planes(planes);
            Ok(())
        })
    }
}

impl VideoDecoder for Vp8Decoder {
    fn decode(&mut self, data: &[u8]) -> Result<Option<Arc<I420>>, CodecError> {
        match keyframe_size(data) {
            Some((width, height)) if width == 0 || height == 0 || width * height > MAX_PIXELS => {
                return Err(CodecError::Decode(format!(
                    "a keyframe of {width}x{height} is empty or too large"
                )));
            }
            None if self.needs_keyframe => {
                return Err(CodecError::Decode("there was no keyframe yet".to_owned()));
            }
            Some(_) | None => {}
        }

        let decoded = self.try_decode(data);
        self.needs_keyframe = decoded.is_err();
        decoded.map(Some)
    }
}

fn native_decoder() -> Result<Context, CodecError> {
    Context::new("decoder", |context| {
        // SAFETY: the context outlives the call; a null configuration means one thread.
        unsafe {
            vpx_codec_dec_init_ver(
                context,
                vpx_codec_vp8_dx(),
                ptr::null(),
                0,
                VPX_DECODER_ABI_VERSION as i32,
            )
        }
    })
}

/// The width and height in a keyframe's header (RFC 6386 §9.1); `None` for any other data.
fn keyframe_size(data: &[u8]) -> Option<(u32, u32)> {
    let &[tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = data else {
        return None;
    };

    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    (tag & 1 == 0).then(|| (side(w0, w1), side(h0, h1)))
}
