//! The report of a headless call: one JSON object, a contract with every program that reads it.
//!
//! All keys are always present. A figure that does not apply or could not be measured is `null`,
//! never 0. Times are in milliseconds, rounded to a tenth. These fields go beyond the contract:
//! `warnings`, `refused`, `verification`, `error.reason`, `timingsMs.connectTrouble`, `route.relayTransport`,
//! `video.received.pauses`, `video.received.pausedMs` and `video.received.pictures`.

use serde::{Serialize, Serializer};
use tandem_call::{ConnectProblem, VerificationState};
use tandem_trust::{Badge, WordsState};

use crate::error_code::ErrorCode;

/// One call, as one peer saw it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Everything that both sides agreed to send arrived, and nothing that the user asked for
    /// failed.
    pub ok: bool,
    /// Why `ok` is false.
    pub error: Option<ErrorReport>,
    /// Whether this peer made the offer.
    pub initiator: Option<bool>,
    /// The signaling server's id of the call.
    pub session_id: Option<String>,
    /// When the milestones were reached.
    pub timings_ms: Timings,
    /// Video of both directions.
    pub video: VideoReport,
    /// Audio of both directions.
    pub audio: AudioReport,
    /// The route of the media packets, and their encryption.
    pub route: RouteReport,
    /// Bitrates over time, a sample every half second.
    pub bitrate: Vec<BitrateSample>,
    /// What this peer has to send and the partner does not want: `audio`, `video`.
    pub refused: Vec<&'static str>,
    /// What is known about who the partner is.
    pub verification: VerificationReport,
    /// CPU time and memory of the process.
    pub process: ProcessReport,
    /// What the user should know although the call continued, such as a recording that did not fit
    /// on the disk.
    pub warnings: Vec<String>,
}

/// What is known about who the partner is. `null` before the call is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationReport {
    /// `notVerified`, `verifiedByCode` or `verifiedByUser`.
    pub badge: Option<&'static str>,
    /// Four words that both sides can compare, if the partner has them.
    pub words: Option<[&'static str; 4]>,
    /// Why there are words or not: `awaited`, `ready`, `unavailable` (the partner has none, or a
    /// server took them out) or `byCode` (the code verifies the partner).
    pub words_state: Option<&'static str>,
}

impl From<VerificationState> for VerificationReport {
    fn from(state: VerificationState) -> Self {
        Self {
            badge: Some(match state.badge {
                Badge::NotVerified => "notVerified",
                Badge::VerifiedByCode => "verifiedByCode",
                Badge::VerifiedByUser => "verifiedByUser",
            }),
            words: state.words.ready().map(|words| words.words()),
            words_state: Some(match state.words {
                WordsState::Awaited => "awaited",
                WordsState::Ready(_) => "ready",
                WordsState::Unavailable => "unavailable",
                WordsState::ByCode => "byCode",
            }),
        }
    }
}

/// The reports of both ends of a call inside one process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairReport {
    /// Whether both are `ok`.
    pub ok: bool,
    /// Peer 0 and peer 1.
    pub peers: [Report; 2],
}

/// A failure: a code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// Stable, such as `NO_PARTNER` or `CAM_IN_USE`.
    pub code: ErrorCode,
    /// What happened, and one thing to do about it.
    pub message: String,
    /// Why no connection came up, as a stable code such as `TURN_REFUSED`, if that is what happened and
    /// it is known. The message is then about this.
    pub reason: Option<ConnectProblem>,
}

/// When the milestones were reached, in ms since the call was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// The signaling server registered this peer.
    pub registered: Option<u64>,
    /// The signaling server found a partner.
    pub matched: Option<u64>,
    /// No connection was up yet and the reason was found. `warnings` or `error` says which one it was.
    pub connect_trouble: Option<u64>,
    /// ICE and DTLS were complete.
    pub connected: Option<u64>,
    /// The partner's first frame was decoded.
    pub first_remote_frame: Option<u64>,
    /// The partner's first audio was played.
    pub first_remote_audio: Option<u64>,
}

/// Video of both directions.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VideoReport {
    /// `H264` or `VP8`.
    pub codec: Option<String>,
    /// The local video.
    pub sent: VideoSent,
    /// The remote video.
    pub received: VideoReceived,
}

/// The local video.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoSent {
    /// Encoded frames.
    pub frames: Option<u64>,
    /// Encoded keyframes.
    pub keyframes: Option<u64>,
    /// Bytes of the bitstream, before packetization.
    pub bytes: Option<u64>,
    /// The width of the last frame, in pixels.
    pub width: Option<u32>,
    /// The height of the last frame, in pixels.
    pub height: Option<u32>,
    /// Frames per second, from the first to the last.
    #[serde(serialize_with = "tenths")]
    pub fps: Option<f64>,
    /// The encoder's last target bitrate.
    pub target_bps: Option<u64>,
    /// Time to encode a frame, median.
    #[serde(serialize_with = "tenths")]
    pub encode_ms_p50: Option<f64>,
    /// Time to encode a frame, 95th percentile.
    #[serde(serialize_with = "tenths")]
    pub encode_ms_p95: Option<f64>,
}

/// The remote video.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoReceived {
    /// Decoded frames.
    pub frames: Option<u64>,
    /// The width of the last frame, in pixels.
    pub width: Option<u32>,
    /// The height of the last frame, in pixels.
    pub height: Option<u32>,
    /// Frames per second, from the first to the last.
    #[serde(serialize_with = "tenths")]
    pub fps: Option<f64>,
    /// Received RTP packets.
    pub packets: Option<u64>,
    /// RTP packets that never arrived.
    pub lost: Option<u64>,
    /// RTP packets that arrived after a NACK.
    pub recovered: Option<u64>,
    /// Sent NACK packets.
    pub nacks: Option<u64>,
    /// Sent keyframe requests (PLI).
    pub plis: Option<u64>,
    /// As `freezeCount` of W3C webrtc-stats.
    pub freezes: Option<u64>,
    /// As `totalFreezesDuration` of W3C webrtc-stats.
    pub frozen_ms: Option<u64>,
    /// As `pauseCount` of W3C webrtc-stats.
    pub pauses: Option<u64>,
    /// As `totalPausesDuration` of W3C webrtc-stats.
    pub paused_ms: Option<u64>,
    /// Time to decode a frame, median.
    #[serde(serialize_with = "tenths")]
    pub decode_ms_p50: Option<f64>,
    /// Time from drawing a frame to having decoded it, median. Read off the test pattern; both
    /// clocks must agree.
    #[serde(serialize_with = "tenths")]
    pub glass_to_glass_ms_p50: Option<f64>,
    /// `glassToGlassMsP50`, but the 95th percentile.
    #[serde(serialize_with = "tenths")]
    pub glass_to_glass_ms_p95: Option<f64>,
    /// Order and loss of whole frames, read off the test pattern.
    pub pictures: FrameOrder,
}

/// Order and loss of whole frames, by the frame counter of the test pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameOrder {
    /// Made by the partner but not shown here: lost, late, or not sent because there was a newer
    /// one.
    pub missing: Option<u64>,
    /// Shown after a newer one.
    pub out_of_order: Option<u64>,
    /// Shown twice in a row.
    pub repeated: Option<u64>,
}

/// Audio of both directions.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioReport {
    /// `opus`.
    pub codec: Option<String>,
    /// The local audio.
    pub sent: AudioSent,
    /// The remote audio.
    pub received: AudioReceived,
    /// The offset between audio and video, 95th percentile. Needs the partner's test pattern and
    /// test tone.
    #[serde(serialize_with = "tenths")]
    pub lip_sync_ms_p95: Option<f64>,
}

/// The local audio.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AudioSent {
    /// Sent RTP packets.
    pub packets: Option<u64>,
    /// Bytes of Opus, without RTP headers.
    pub bytes: Option<u64>,
}

/// The remote audio.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioReceived {
    /// Received RTP packets.
    pub packets: Option<u64>,
    /// RTP packets that never arrived, or too late to be played.
    pub lost: Option<u64>,
    /// Audio invented in place of lost packets.
    pub concealed_ms: Option<u64>,
    /// Audio restored from in-band FEC.
    pub fec_ms: Option<u64>,
    /// How long packets waited in the jitter buffer, median.
    #[serde(serialize_with = "tenths")]
    pub jitter_buffer_ms_p50: Option<f64>,
    /// Time from making the partner's test tone to playing it, median. Both clocks must agree.
    #[serde(serialize_with = "tenths")]
    pub mouth_to_ear_ms_p50: Option<f64>,
    /// `mouthToEarMsP50`, but the 95th percentile.
    #[serde(serialize_with = "tenths")]
    pub mouth_to_ear_ms_p95: Option<f64>,
}

/// The selected ICE candidate pair and its encryption.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteReport {
    /// Type of the local candidate: `host`, `srflx`, `prflx` or `relay`.
    pub local: Option<String>,
    /// Type of the remote candidate.
    pub remote: Option<String>,
    /// The transport: `udp`.
    pub protocol: Option<String>,
    /// How packets reach this side's TURN server: `udp`, `tcp` or `tls`. `None`: they go through none.
    pub relay_transport: Option<&'static str>,
    /// The last measured round-trip time.
    #[serde(serialize_with = "tenths")]
    pub rtt_ms: Option<f64>,
    /// The DTLS cipher suite, which protects the key exchange.
    pub dtls: Option<String>,
    /// The SRTP profile, which protects the media.
    pub srtp: Option<String>,
}

/// The bitrates at one moment. `sentBps` and `receivedBps` are averages since the previous sample.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BitrateSample {
    /// Seconds since the call was connected.
    #[serde(serialize_with = "hundredths")]
    pub t: f64,
    /// The estimator's target for the encoder.
    pub target_bps: Option<u64>,
    /// Sent RTP payload.
    pub sent_bps: Option<u64>,
    /// Received RTP payload.
    pub received_bps: Option<u64>,
    /// The newest measured round-trip time.
    #[serde(serialize_with = "tenths")]
    pub rtt_ms: Option<f64>,
    /// The fraction (0 to 1) of local packets that the partner reported lost in its newest report.
    #[serde(serialize_with = "thousandths")]
    pub loss: Option<f64>,
}

/// CPU time and memory of the process, from its start to the report. With `--pair` they include
/// both peers and the signaling server.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessReport {
    /// User and system CPU time.
    #[serde(serialize_with = "hundredths")]
    pub cpu_seconds: Option<f64>,
    /// The peak resident set.
    pub peak_rss_bytes: Option<u64>,
}

/// A number that may be missing, so that `f64` and `Option<f64>` share the rounding below.
trait Figure: Copy {
    fn value(self) -> Option<f64>;
}

impl Figure for f64 {
    fn value(self) -> Option<f64> {
        Some(self)
    }
}

impl Figure for Option<f64> {
    fn value(self) -> Option<f64> {
        self
    }
}

fn rounded<S: Serializer>(
    figure: impl Figure,
    steps: f64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match figure.value().filter(|value| value.is_finite()) {
        Some(value) => serializer.serialize_f64((value * steps).round() / steps),
        None => serializer.serialize_none(),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn tenths<S: Serializer>(figure: &impl Figure, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(*figure, 10.0, serializer)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn hundredths<S: Serializer>(figure: &impl Figure, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(*figure, 100.0, serializer)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn thousandths<S: Serializer>(figure: &impl Figure, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(*figure, 1000.0, serializer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// The sample report of the contract.
    const CONTRACT: &str = r#"
    { "ok": true, "error": null, "initiator": true, "sessionId": "…",
      "timingsMs": { "registered": 3, "matched": 5, "connected": 80, "firstRemoteFrame": 120, "firstRemoteAudio": 100 },
      "video": { "codec": "H264",
                 "sent": { "frames": 600, "keyframes": 2, "bytes": 0, "width": 1280, "height": 720, "fps": 30.0, "targetBps": 0, "encodeMsP50": 0, "encodeMsP95": 0 },
                 "received": { "frames": 600, "width": 1280, "height": 720, "fps": 30.0, "packets": 0, "lost": 0, "recovered": 0, "nacks": 0, "plis": 0, "freezes": 0, "frozenMs": 0, "decodeMsP50": 0, "glassToGlassMsP50": 0, "glassToGlassMsP95": 0 } },
      "audio": { "codec": "opus",
                 "sent": { "packets": 0, "bytes": 0 },
                 "received": { "packets": 0, "lost": 0, "concealedMs": 0, "fecMs": 0, "jitterBufferMsP50": 0, "mouthToEarMsP50": 0, "mouthToEarMsP95": 0 }, "lipSyncMsP95": 0 },
      "route": { "local": "host", "remote": "host", "protocol": "udp", "rttMs": 1, "dtls": "…", "srtp": "…" },
      "bitrate": [ { "t": 0.5, "targetBps": 0, "sentBps": 0, "receivedBps": 0, "rttMs": 0, "loss": 0.0 } ],
      "process": { "cpuSeconds": 0.0, "peakRssBytes": 0 } }"#;

    /// The fields beyond the contract.
    const EXTRAS: [&str; 14] = [
        "timingsMs.connectTrouble",
        "route.relayTransport",
        "warnings",
        "refused",
        "verification",
        "verification.badge",
        "verification.words",
        "verification.wordsState",
        "video.received.pauses",
        "video.received.pausedMs",
        "video.received.pictures",
        "video.received.pictures.missing",
        "video.received.pictures.outOfOrder",
        "video.received.pictures.repeated",
    ];

    fn paths(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let path = if prefix.is_empty() {
                        key.clone()
                    } else {
                        format!("{prefix}.{key}")
                    };

                    paths(value, &path, found);
                    found.insert(path);
                }
            }
            Value::Array(items) => items
                .iter()
                .for_each(|item| paths(item, &format!("{prefix}[]"), found)),
            _ => {}
        }
    }

    fn all_paths(value: &Value) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        paths(value, "", &mut found);
        found
    }

    #[test]
    fn an_empty_report_has_exactly_the_keys_of_the_contract() {
        let report = Report {
            bitrate: vec![BitrateSample::default()],
            ..Report::default()
        };

        let actual = all_paths(&serde_json::to_value(&report).unwrap());
        let mut expected = all_paths(&serde_json::from_str(CONTRACT).unwrap());
        expected.extend(EXTRAS.map(String::from));

        assert_eq!(
            actual, expected,
            "the keys are a contract: none may be missing, and additions are listed in EXTRAS"
        );
    }

    #[test]
    fn an_unknown_figure_is_null_not_zero() {
        let json = serde_json::to_value(Report::default()).unwrap();
        let not_null: Vec<&str> = [
            "/video/sent/frames",
            "/video/received/glassToGlassMsP50",
            "/route/rttMs",
            "/process/cpuSeconds",
        ]
        .into_iter()
        .filter(|path| json.pointer(path) != Some(&Value::Null))
        .collect();

        assert!(
            not_null.is_empty(),
            "nothing was measured, so these must be null: {not_null:?}"
        );
    }

    #[test]
    fn figures_are_rounded_and_never_nan() {
        let sent = VideoSent {
            fps: Some(29.966),
            encode_ms_p50: Some(f64::NAN),
            ..VideoSent::default()
        };

        let json = serde_json::to_value(sent).unwrap();
        assert_eq!(json["fps"], 30.0, "rounded to a tenth");
        assert_eq!(json["encodeMsP50"], Value::Null, "NaN becomes null");
    }

    #[test]
    fn the_report_of_a_pair_has_one_report_per_peer() {
        let json = serde_json::to_value(PairReport {
            ok: false,
            peers: [Report::default(), Report::default()],
        })
        .unwrap();
        assert_eq!(json["ok"], false, "the verdict on both peers");
        assert_eq!(
            json["peers"].as_array().map(Vec::len),
            Some(2),
            "one report per peer"
        );
    }
}
