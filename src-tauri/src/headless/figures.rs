//! Converts the statistics of a call to the report.

use tandem_call::CallStats;

use super::outcome::Intent;
use super::report::{
    AudioReceived, AudioReport, AudioSent, BitrateSample, Report, RouteReport, VideoReceived,
    VideoReport, VideoSent,
};

impl Report {
    /// A report with the figures that the call keeps. The other fields are empty.
    pub fn from_stats(stats: &CallStats, intent: &Intent) -> Self {
        let bitrate = stats.bitrate.iter().map(|sample| BitrateSample {
            t: f64::from(sample.t),
            target_bps: Some(sample.target_bps),
            sent_bps: Some(sample.sent_bps),
            received_bps: Some(sample.received_bps),
            rtt_ms: sample.rtt_ms.map(f64::from),
            loss: Some(f64::from(sample.loss)),
        });

        Self {
            video: VideoReport {
                codec: stats.video_codec.map(Into::into),
                sent: video_sent(stats),
                received: video_received(stats),
            },
            audio: audio(stats, intent),
            route: route(stats),
            bitrate: bitrate.collect(),
            refused: [
                (stats.refused.audio, "audio"),
                (stats.refused.video, "video"),
            ]
            .into_iter()
            .filter_map(|(refused, kind)| refused.then_some(kind))
            .collect(),
            ..Self::default()
        }
    }
}

fn video_sent(stats: &CallStats) -> VideoSent {
    stats
        .video_sent
        .map_or_else(VideoSent::default, |sent| VideoSent {
            frames: Some(sent.frames),
            keyframes: Some(sent.keyframes),
            bytes: Some(sent.bytes),
            width: known(sent.width),
            height: known(sent.height),
            fps: rate(sent.frames, sent.fps),
            target_bps: (sent.target_bps > 0).then_some(u64::from(sent.target_bps)),
            encode_ms_p50: sent.encode_ms_p50.map(f64::from),
            encode_ms_p95: sent.encode_ms_p95.map(f64::from),
        })
}

fn video_received(stats: &CallStats) -> VideoReceived {
    stats
        .video_received
        .map_or_else(VideoReceived::default, |received| VideoReceived {
            frames: Some(received.frames),
            width: known(received.width),
            height: known(received.height),
            fps: rate(received.frames, received.fps),
            packets: Some(received.packets),
            lost: Some(received.lost),
            recovered: Some(received.recovered),
            nacks: Some(received.nacks),
            plis: Some(received.plis),
            freezes: Some(received.freezes),
            frozen_ms: Some(received.frozen_ms),
            pauses: Some(received.pauses),
            paused_ms: Some(received.paused_ms),
            decode_ms_p50: received.decode_ms_p50.map(f64::from),
            // The rest is read off the test pattern, see `PatternMeter`.
            ..VideoReceived::default()
        })
}

fn audio(stats: &CallStats, intent: &Intent) -> AudioReport {
    let sent = if intent.sends_audio {
        AudioSent {
            packets: Some(stats.audio.sent_packets),
            bytes: Some(stats.audio.sent_bytes),
        }
    } else {
        AudioSent::default()
    };

    let jitter = &stats.audio.jitter;
    let mouth_to_ear = stats.audio.mouth_to_ear_ms;
    let received = if stats.audio_received {
        AudioReceived {
            packets: Some(jitter.packets),
            lost: Some(jitter.lost),
            concealed_ms: Some(jitter.concealed_ms),
            fec_ms: Some(jitter.fec_ms),
            jitter_buffer_ms_p50: (jitter.packets > 0).then_some(jitter.buffer_ms_p50 as f64),
            mouth_to_ear_ms_p50: mouth_to_ear.map(|delay| f64::from(delay.p50)),
            mouth_to_ear_ms_p95: mouth_to_ear.map(|delay| f64::from(delay.p95)),
        }
    } else {
        AudioReceived::default()
    };

    AudioReport {
        codec: stats.audio_codec.map(Into::into),
        sent,
        received,
        lip_sync_ms_p95: stats.lip_sync_ms_p95.map(f64::from),
    }
}

fn route(stats: &CallStats) -> RouteReport {
    let Some(route) = &stats.route else {
        return RouteReport::default();
    };

    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    RouteReport {
        local: text(&route.local),
        remote: text(&route.remote),
        protocol: text(&route.protocol),
        relay_transport: route.relay_transport,
        rtt_ms: route.rtt_ms.map(f64::from),
        dtls: text(&route.dtls),
        srtp: text(&route.srtp),
    }
}

/// A single frame has no rate.
fn rate(frames: u64, fps: f32) -> Option<f64> {
    (frames > 1).then_some(f64::from(fps))
}

/// A side of 0 pixels means that there was no frame yet.
fn known(side: u32) -> Option<u32> {
    (side > 0).then_some(side)
}
