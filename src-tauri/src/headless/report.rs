//! The report of a headless call: one JSON object, a contract with everything outside that reads it.
//!
//! Every key is always there. A figure that does not apply or could not be measured is `null`, never a 0 in disguise.
//! Times are milliseconds; fractions are given to a tenth. Two fields go beyond the contract: `warnings` and
//! `video.received.pictures`.

use serde::{Serialize, Serializer};

/// What one peer saw of one call.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Media flowed both ways (for what each side sends) and nothing that was asked for failed.
    pub ok: bool,
    /// Why it is not `ok`.
    pub error: Option<ErrorReport>,
    /// Whether this side made the offer.
    pub initiator: Option<bool>,
    /// The relay's id of the call.
    pub session_id: Option<String>,
    /// Milestones.
    pub timings_ms: Timings,
    /// Pictures.
    pub video: VideoReport,
    /// Sound.
    pub audio: AudioReport,
    /// The way the packets took.
    pub route: RouteReport,
    /// The call's rate over time, every half second.
    pub bitrate: Vec<BitrateSample>,
    /// What the process cost.
    pub process: ProcessReport,
    /// What a person should know although the call went on, such as a recording that the disk had no room for.
    pub warnings: Vec<String>,
}

/// The reports of both ends of a call held inside one process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairReport {
    /// Both are `ok`.
    pub ok: bool,
    /// The two peers, in the order in which they were started.
    pub peers: [Report; 2],
}

/// A fault, with a code that programs may rely on and a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// Stable, such as `NO_PARTNER` or `CAM_IN_USE`.
    pub code: String,
    /// What happened and one thing to do.
    pub message: String,
}

/// Milliseconds from the start of the call's engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// The relay knew us.
    pub registered: Option<u64>,
    /// The relay had found a partner.
    pub matched: Option<u64>,
    /// Packets could flow: ICE and DTLS were done.
    pub connected: Option<u64>,
    /// The partner's first picture was decoded.
    pub first_remote_frame: Option<u64>,
    /// The partner's first sound was played.
    pub first_remote_audio: Option<u64>,
}

/// Pictures of both directions.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VideoReport {
    /// `H264` or `VP8`.
    pub codec: Option<String>,
    /// What went out.
    pub sent: VideoSent,
    /// What came in.
    pub received: VideoReceived,
}

/// Pictures that went out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoSent {
    /// Encoded pictures.
    pub frames: Option<u64>,
    /// Those of them that a decoder can start with.
    pub keyframes: Option<u64>,
    /// Bytes of bitstream, before packetization.
    pub bytes: Option<u64>,
    /// Of the last picture, in pixels.
    pub width: Option<u32>,
    /// Of the last picture, in pixels.
    pub height: Option<u32>,
    /// Pictures a second over the call.
    #[serde(serialize_with = "tenths")]
    pub fps: Option<f64>,
    /// What the encoder was last told to keep to.
    pub target_bps: Option<u64>,
    /// Time to encode one picture, median.
    #[serde(serialize_with = "tenths")]
    pub encode_ms_p50: Option<f64>,
    /// The same, 95th percentile.
    #[serde(serialize_with = "tenths")]
    pub encode_ms_p95: Option<f64>,
}

/// Pictures that came in.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoReceived {
    /// Decoded pictures.
    pub frames: Option<u64>,
    /// Of the last picture, in pixels.
    pub width: Option<u32>,
    /// Of the last picture, in pixels.
    pub height: Option<u32>,
    /// Pictures a second, from the first to the last.
    #[serde(serialize_with = "tenths")]
    pub fps: Option<f64>,
    /// RTP packets.
    pub packets: Option<u64>,
    /// RTP packets that never came.
    pub lost: Option<u64>,
    /// RTP packets that came after they had been asked for again.
    pub recovered: Option<u64>,
    /// NACK packets that were sent.
    pub nacks: Option<u64>,
    /// Keyframe requests that were sent.
    pub plis: Option<u64>,
    /// `freezeCount` of W3C webrtc-stats.
    pub freezes: Option<u64>,
    /// `totalFreezesDuration` of W3C webrtc-stats.
    pub frozen_ms: Option<u64>,
    /// Time to decode one picture, median.
    #[serde(serialize_with = "tenths")]
    pub decode_ms_p50: Option<f64>,
    /// From the picture's making to its decoding, read off the test pattern, median. Needs both clocks to agree.
    #[serde(serialize_with = "tenths")]
    pub glass_to_glass_ms_p50: Option<f64>,
    /// The same, 95th percentile.
    #[serde(serialize_with = "tenths")]
    pub glass_to_glass_ms_p95: Option<f64>,
    /// Order and loss of whole pictures, read off the test pattern.
    pub pictures: Pictures,
}

/// What the test pattern's frame counter tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pictures {
    /// Made by the partner but not shown here: lost, late, or left out on the way because a newer one was there.
    pub missing: Option<u64>,
    /// Shown after a newer one.
    pub out_of_order: Option<u64>,
    /// Shown twice in a row.
    pub repeated: Option<u64>,
}

/// Sound of both directions.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioReport {
    /// `opus`.
    pub codec: Option<String>,
    /// What went out.
    pub sent: AudioSent,
    /// What came in.
    pub received: AudioReceived,
    /// How far voice and lips are apart, 95th percentile; needs the partner's test picture and test sound.
    #[serde(serialize_with = "tenths")]
    pub lip_sync_ms_p95: Option<f64>,
}

/// Sound that went out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AudioSent {
    /// RTP packets.
    pub packets: Option<u64>,
    /// Bytes of Opus.
    pub bytes: Option<u64>,
}

/// Sound that came in.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioReceived {
    /// RTP packets.
    pub packets: Option<u64>,
    /// RTP packets that never came, or too late to be played.
    pub lost: Option<u64>,
    /// Sound made up by packet-loss concealment.
    pub concealed_ms: Option<u64>,
    /// Sound restored from in-band FEC.
    pub fec_ms: Option<u64>,
    /// How long packets waited for their turn, median.
    #[serde(serialize_with = "tenths")]
    pub jitter_buffer_ms_p50: Option<f64>,
    /// From the partner's test sound being made to its being heard, median. Needs both clocks to agree.
    #[serde(serialize_with = "tenths")]
    pub mouth_to_ear_ms_p50: Option<f64>,
    /// The same, 95th percentile.
    #[serde(serialize_with = "tenths")]
    pub mouth_to_ear_ms_p95: Option<f64>,
}

/// The selected ICE pair and how it is protected.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteReport {
    /// Kind of our candidate: `host`, `srflx`, `prflx` or `relay`.
    pub local: Option<String>,
    /// Kind of the partner's.
    pub remote: Option<String>,
    /// `udp`.
    pub protocol: Option<String>,
    /// The last round trip that was measured.
    #[serde(serialize_with = "tenths")]
    pub rtt_ms: Option<f64>,
    /// The cipher suite that protects the key exchange.
    pub dtls: Option<String>,
    /// The profile that protects the media.
    pub srtp: Option<String>,
}

/// The call's rate at one moment. `sentBps` and `receivedBps` are averages since the sample before.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BitrateSample {
    /// Seconds since the call was connected.
    #[serde(serialize_with = "hundredths")]
    pub t: f64,
    /// What the bandwidth estimator allows the encoder.
    pub target_bps: Option<u64>,
    /// RTP payload that went out.
    pub sent_bps: Option<u64>,
    /// RTP payload that came in.
    pub received_bps: Option<u64>,
    /// The newest round trip that was measured.
    #[serde(serialize_with = "tenths")]
    pub rtt_ms: Option<f64>,
    /// The share (0–1) of our packets that the partner missed, from its newest report.
    #[serde(serialize_with = "thousandths")]
    pub loss: Option<f64>,
}

/// What the whole process cost, from its start to the report. With `--pair` both peers and the relay are in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessReport {
    /// User and system time.
    #[serde(serialize_with = "hundredths")]
    pub cpu_seconds: Option<f64>,
    /// The most memory that was resident at a time.
    pub peak_rss_bytes: Option<u64>,
}

/// A number that may be missing: lets one rounding serve `f64` and `Option<f64>`.
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

    /// The contract's own sample.
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

    /// What is there beyond the contract.
    const EXTRAS: [&str; 5] = [
        "warnings",
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
    fn the_report_has_exactly_the_contracts_keys_even_when_nothing_is_known() {
        let report = Report {
            bitrate: vec![BitrateSample::default()],
            ..Report::default()
        };

        let ours = all_paths(&serde_json::to_value(&report).unwrap());
        let mut expected = all_paths(&serde_json::from_str(CONTRACT).unwrap());
        expected.extend(EXTRAS.map(String::from));

        assert_eq!(
            ours, expected,
            "keys are a contract: none missing, none added without being listed here"
        );
    }

    #[test]
    fn an_unknown_figure_is_null_and_not_zero() {
        let json = serde_json::to_value(Report::default()).unwrap();
        let empty: Vec<&str> = [
            "/video/sent/frames",
            "/video/received/glassToGlassMsP50",
            "/route/rttMs",
            "/process/cpuSeconds",
        ]
        .into_iter()
        .filter(|path| json.pointer(path) != Some(&Value::Null))
        .collect();

        assert!(
            empty.is_empty(),
            "these claim a figure that nobody measured: {empty:?}"
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
        assert_eq!(json["fps"], 30.0, "a tenth is enough");
        assert_eq!(json["encodeMsP50"], Value::Null, "NaN is not a figure");
    }

    #[test]
    fn a_pair_is_two_reports() {
        let json = serde_json::to_value(PairReport {
            ok: false,
            peers: [Report::default(), Report::default()],
        })
        .unwrap();
        assert_eq!(json["ok"], false, "the verdict on both");
        assert_eq!(
            json["peers"].as_array().map(Vec::len),
            Some(2),
            "one report a peer"
        );
    }
}
