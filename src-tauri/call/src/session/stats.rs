//! What a call measures of itself. Every figure is counted or timed where it happens; what was not measured is `None`.

use std::time::Duration;

use serde::Serialize;
use tandem_media::audio::AudioStats;

use super::rating::Quality;
use crate::peer::Route;

/// A snapshot of a call's figures since its partner was found.
#[derive(Debug, Clone, Default)]
pub struct CallStats {
    /// The relay's name for this pair.
    pub session_id: Option<String>,
    /// Whether this side made the offer.
    pub initiator: Option<bool>,
    /// The negotiated video codec, as in SDP: `H264`, `VP8`.
    pub video_codec: Option<&'static str>,
    /// The negotiated audio codec, as in SDP: `opus`.
    pub audio_codec: Option<&'static str>,
    /// Pictures that left. `None`: none could, there was no source.
    pub video_sent: Option<VideoSent>,
    /// Pictures that came. `None`: no video stream came.
    pub video_received: Option<VideoReceived>,
    /// Sound in both directions, as the audio engine counts it.
    pub audio: AudioStats,
    /// Whether an audio stream came.
    pub audio_received: bool,
    /// How far picture and sound were apart when shown, the larger of both directions, 95th percentile.
    pub lip_sync_ms_p95: Option<f32>,
    /// The path, once there is one.
    pub route: Option<Route>,
    /// How good the call is at the moment. `None`: it is too early to tell.
    pub quality: Option<Quality>,
    /// One entry per 0.5 s since the call was connected.
    pub bitrate: Vec<BitrateSample>,
}

/// Pictures that left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoSent {
    /// Encoded pictures.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Bytes of bitstream.
    pub bytes: u64,
    /// Width of the newest picture.
    pub width: u32,
    /// Height of the newest picture.
    pub height: u32,
    /// Pictures a second, from the first to the newest.
    pub fps: f32,
    /// What the encoder is asked for now, in bits per second.
    pub target_bps: u32,
    /// Time to encode a picture.
    pub encode_ms_p50: Option<f32>,
    /// The same, 95th percentile.
    pub encode_ms_p95: Option<f32>,
    /// Pictures that were left out: the encoder's rate control, or a full pacer.
    pub skipped: u64,
}

/// Pictures that came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoReceived {
    /// Decoded pictures.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Width of the newest picture.
    pub width: u32,
    /// Height of the newest picture.
    pub height: u32,
    /// Pictures a second, from the first to the newest.
    pub fps: f32,
    /// RTP packets, each once.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came after they had been asked for again.
    pub recovered: u64,
    /// Packets asked for again, each retry counted.
    pub nacks: u64,
    /// Keyframes asked for.
    pub plis: u64,
    /// Freezes (W3C `freezeCount`).
    pub freezes: u64,
    /// How long they took together (W3C `totalFreezesDuration`).
    pub frozen_ms: u64,
    /// Time to decode a picture.
    pub decode_ms_p50: Option<f32>,
}

/// Half a second of the call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BitrateSample {
    /// Seconds since the call was connected, at the end of this half second.
    pub t: f32,
    /// The bandwidth estimate.
    pub target_bps: u64,
    /// RTP payload sent, audio and video.
    pub sent_bps: u64,
    /// RTP payload received, audio and video.
    pub received_bps: u64,
    /// Round trip time.
    pub rtt_ms: Option<f32>,
    /// Fraction of sent packets that the partner reported lost over the last second.
    pub loss: f32,
}

/// How often a [`BitrateSample`] is taken.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
