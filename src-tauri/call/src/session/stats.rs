//! What a call measures about itself. Each figure is counted or timed where it occurs; what was not
//! measured is `None`.

use std::time::Duration;

use serde::Serialize;
use tandem_media::audio::AudioStats;

use super::quality::Quality;
use crate::peer::{Refused, Route};

/// A call's figures since its partner was found.
#[derive(Debug, Clone, Default)]
pub struct CallStats {
    /// The signaling server's id of the session.
    pub session_id: Option<String>,
    /// Whether this side made the offer.
    pub initiator: Option<bool>,
    /// What this side has to send and the partner does not want.
    pub refused: Refused,
    /// The negotiated video codec, as in SDP: `H264`, `VP8`.
    pub video_codec: Option<&'static str>,
    /// The negotiated audio codec, as in SDP: `opus`.
    pub audio_codec: Option<&'static str>,
    /// Video to the partner. `None`: none could be sent, because video was not negotiated.
    pub video_sent: Option<VideoSent>,
    /// Video from the partner. `None`: the partner sent no video stream.
    pub video_received: Option<VideoReceived>,
    /// Audio in both directions, as the audio engine counts it.
    pub audio: AudioStats,
    /// Whether the partner sent an audio stream.
    pub audio_received: bool,
    /// How far frames were shown from their audio, early or late, in ms: 95th percentile.
    pub lip_sync_ms_p95: Option<f32>,
    /// The route, once there is one.
    pub route: Option<Route>,
    /// How good the call is at the moment. `None`: not known yet.
    pub quality: Option<Quality>,
    /// One entry per half second since the connection, for at most two hours.
    pub bitrate: Vec<BitrateSample>,
}

/// Video to the partner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoSent {
    /// Frames whose last packet went to the socket.
    pub frames: u64,
    /// Keyframes that were made, no more than frames were sent.
    pub keyframes: u64,
    /// Bytes of payload, those that were sent again included.
    pub bytes: u64,
    /// Width of the newest frame, in pixels.
    pub width: u32,
    /// Height of the newest frame, in pixels.
    pub height: u32,
    /// Frames per second: the mean from the first frame to the newest.
    pub fps: f32,
    /// The bitrate that the encoder currently aims for, in bits per second.
    pub target_bps: u32,
    /// Time to encode a frame, in ms: median of the last 600 frames.
    pub encode_ms_p50: Option<f32>,
    /// The same: 95th percentile.
    pub encode_ms_p95: Option<f32>,
    /// Frames left out by the encoder's rate control, a low bitrate or a full pacer.
    pub skipped: u64,
}

/// Video from the partner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoReceived {
    /// Decoded frames.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Width of the newest frame, in pixels.
    pub width: u32,
    /// Height of the newest frame, in pixels.
    pub height: u32,
    /// Frames per second: the mean from the first frame to the newest.
    pub fps: f32,
    /// RTP packets, duplicates not counted.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Packets that never arrived.
    pub lost: u64,
    /// Packets that arrived after a retransmission was requested.
    pub recovered: u64,
    /// Retransmission requests (NACK), counted per packet and retry.
    pub nacks: u64,
    /// Keyframe requests (PLI).
    pub plis: u64,
    /// Freezes (W3C `freezeCount`).
    pub freezes: u64,
    /// How long they lasted in total, in ms (W3C `totalFreezesDuration`).
    pub frozen_ms: u64,
    /// Pauses: more than 5 s without a frame (W3C `pauseCount`).
    pub pauses: u64,
    /// How long they lasted in total, in ms (W3C `totalPausesDuration`).
    pub paused_ms: u64,
    /// Time to decode a frame, in ms: median of the last 600 frames.
    pub decode_ms_p50: Option<f32>,
}

/// Half a second of the call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BitrateSample {
    /// Seconds from the connection to the end of this interval.
    pub t: f32,
    /// The estimator's target, in bits per second.
    pub target_bps: u64,
    /// RTP payload sent, audio and video, in bits per second.
    pub sent_bps: u64,
    /// RTP payload received, audio and video, in bits per second.
    pub received_bps: u64,
    /// Round-trip time in ms.
    pub rtt_ms: Option<f32>,
    /// Fraction of the sent packets that the partner reported lost in the last second, 0 to 1.
    pub loss: f32,
}

/// How often a [`BitrateSample`] is taken.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
