//! The report of a headless call, for people: one row a figure, one column a peer.

use serde_json::Value;

/// A figure of the report: where it stands, what it is called, and its unit.
struct Row {
    name: &'static str,
    pointer: &'static str,
    show: fn(&Value) -> Option<String>,
}

const fn row(name: &'static str, pointer: &'static str, show: fn(&Value) -> Option<String>) -> Row {
    Row {
        name,
        pointer,
        show,
    }
}

/// The groups in the order in which a call happens.
const GROUPS: &[(&str, &[Row])] = &[
    (
        "call",
        &[
            row("ok", "/ok", plain),
            row("error", "/error", plain),
            row("initiator", "/initiator", plain),
            row("registered after", "/timingsMs/registered", ms),
            row("matched after", "/timingsMs/matched", ms),
            row("connected after", "/timingsMs/connected", ms),
            row("first remote picture", "/timingsMs/firstRemoteFrame", ms),
            row("first remote sound", "/timingsMs/firstRemoteAudio", ms),
        ],
    ),
    (
        "video sent",
        &[
            row("codec", "/video/codec", plain),
            row("size", "/video/sent", size),
            row("frames", "/video/sent/frames", plain),
            row("keyframes", "/video/sent/keyframes", plain),
            row("frames/s", "/video/sent/fps", one_decimal),
            row("data", "/video/sent/bytes", bytes),
            row("target bitrate", "/video/sent/targetBps", bitrate),
            row("encoding, p50", "/video/sent/encodeMsP50", ms),
            row("encoding, p95", "/video/sent/encodeMsP95", ms),
        ],
    ),
    (
        "video received",
        &[
            row("size", "/video/received", size),
            row("frames", "/video/received/frames", plain),
            row("frames/s", "/video/received/fps", one_decimal),
            row("packets", "/video/received/packets", plain),
            row("lost", "/video/received/lost", plain),
            row("recovered", "/video/received/recovered", plain),
            row("NACKs", "/video/received/nacks", plain),
            row("PLIs", "/video/received/plis", plain),
            row("freezes", "/video/received/freezes", plain),
            row("frozen", "/video/received/frozenMs", ms),
            row("decoding, p50", "/video/received/decodeMsP50", ms),
            row(
                "glass to glass, p50",
                "/video/received/glassToGlassMsP50",
                ms,
            ),
            row(
                "glass to glass, p95",
                "/video/received/glassToGlassMsP95",
                ms,
            ),
        ],
    ),
    (
        "audio",
        &[
            row("codec", "/audio/codec", plain),
            row("packets sent", "/audio/sent/packets", plain),
            row("packets received", "/audio/received/packets", plain),
            row("lost", "/audio/received/lost", plain),
            row("concealed", "/audio/received/concealedMs", ms),
            row("from FEC", "/audio/received/fecMs", ms),
            row(
                "jitter buffer, p50",
                "/audio/received/jitterBufferMsP50",
                ms,
            ),
            row("mouth to ear, p50", "/audio/received/mouthToEarMsP50", ms),
            row("mouth to ear, p95", "/audio/received/mouthToEarMsP95", ms),
            row("lip sync, p95", "/audio/lipSyncMsP95", ms),
        ],
    ),
    (
        "network and process",
        &[
            row("route", "/route", route),
            row("round trip", "/route/rttMs", ms),
            row("DTLS", "/route/dtls", plain),
            row("SRTP", "/route/srtp", plain),
            row("CPU time", "/process/cpuSeconds", seconds),
            row("peak memory", "/process/peakRssBytes", bytes),
        ],
    ),
];

/// The report as a table; a report of a pair gives two columns. A figure that does not apply is a dash.
pub(crate) fn table(report: &Value) -> String {
    let peers: Vec<&Value> = match report["peers"].as_array() {
        Some(peers) => peers.iter().collect(),
        None => vec![report],
    };

    let mut lines = vec![Line::heading(&peers)];
    for (group, rows) in GROUPS {
        lines.push(Line {
            name: (*group).to_owned(),
            cells: Vec::new(),
        });

        lines.extend(rows.iter().map(|row| Line {
            name: format!("  {}", row.name),
            cells: peers.iter().map(|peer| cell(peer, row)).collect(),
        }));
    }

    align(&lines)
}

struct Line {
    name: String,
    cells: Vec<String>,
}

impl Line {
    fn heading(peers: &[&Value]) -> Self {
        let cells = match peers.len() {
            1 => vec![String::from("this peer")],
            count => (1..=count).map(|number| format!("peer {number}")).collect(),
        };

        Self {
            name: String::new(),
            cells,
        }
    }
}

fn cell(peer: &Value, row: &Row) -> String {
    let value = peer.pointer(row.pointer).filter(|value| !value.is_null());
    value
        .and_then(row.show)
        .unwrap_or_else(|| String::from("-"))
}

fn align(lines: &[Line]) -> String {
    let names = lines
        .iter()
        .map(|line| line.name.chars().count())
        .max()
        .unwrap_or(0);

    let cells = lines
        .iter()
        .flat_map(|line| &line.cells)
        .map(|cell| cell.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();

    for line in lines {
        let mut row = format!("{:<names$}", line.name);
        for cell in &line.cells {
            row.push_str(&format!("  {cell:>cells$}"));
        }

        text.push_str(row.trim_end());
        text.push('\n');
    }

    text
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(true) => Some(String::from("yes")),
        Value::Bool(false) => Some(String::from("no")),
        // An error is an object with a code and a sentence.
        Value::Object(fields) => fields.get("code").and_then(Value::as_str).map(String::from),
        other => Some(other.to_string()),
    }
}

fn ms(value: &Value) -> Option<String> {
    value.as_f64().map(|ms| {
        if ms < 10.0 {
            format!("{ms:.1} ms")
        } else {
            format!("{ms:.0} ms")
        }
    })
}

fn one_decimal(value: &Value) -> Option<String> {
    value.as_f64().map(|number| format!("{number:.1}"))
}

fn seconds(value: &Value) -> Option<String> {
    value.as_f64().map(|seconds| format!("{seconds:.1} s"))
}

fn bytes(value: &Value) -> Option<String> {
    value.as_f64().map(|bytes| format!("{:.1} MB", bytes / 1e6))
}

fn bitrate(value: &Value) -> Option<String> {
    value.as_f64().map(|bps| format!("{:.2} Mbit/s", bps / 1e6))
}

fn size(value: &Value) -> Option<String> {
    Some(format!(
        "{}x{}",
        value["width"].as_u64()?,
        value["height"].as_u64()?
    ))
}

fn route(value: &Value) -> Option<String> {
    Some(format!(
        "{}-{} {}",
        value["local"].as_str()?,
        value["remote"].as_str()?,
        value["protocol"].as_str()?
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pair_has_a_column_for_each_peer() {
        let peer =
            |frames: u32| json!({ "ok": true, "video": { "received": { "frames": frames } } });
        let text = table(&json!({ "ok": true, "peers": [peer(299), peer(301)] }));
        let line = text
            .lines()
            .find(|line| line.contains("299"))
            .expect("a line shows the received frames");

        assert!(line.contains("301"), "both peers stand on one line: {line}");
    }

    #[test]
    fn what_does_not_apply_is_a_dash() {
        let text = table(
            &json!({ "ok": true, "video": { "sent": null }, "timingsMs": { "connected": 31.46 } }),
        );
        let line = |name: &str| {
            text.lines()
                .find(|line| line.contains(name))
                .expect("every row is shown")
        };

        assert!(
            line("keyframes").ends_with('-'),
            "a missing figure is no zero: {}",
            line("keyframes")
        );

        assert!(
            line("connected after").ends_with("31 ms"),
            "figures have units: {}",
            line("connected after")
        );
    }
}
