//! Lays out reports as a table for people: one line per figure, one column per peer.

use std::fmt::Write;

use super::report::Report;

/// Stands for a figure that does not apply or was not measured.
const UNKNOWN: &str = "–";

/// A table of one report, or of the two of a pair side by side.
pub fn table(reports: &[&Report]) -> String {
    let columns: Vec<Vec<Row>> = reports.iter().map(|report| rows(report)).collect();
    let Some(first) = columns.first() else {
        return String::new();
    };

    let label_width = first.iter().map(|row| width(row.label)).max().unwrap_or(0);
    let widths: Vec<usize> = columns
        .iter()
        .map(|rows| rows.iter().map(|row| width(&row.value)).max().unwrap_or(0))
        .collect();
    let mut out = String::new();

    for line in 0..first.len() {
        if let Some(section) = first[line].section {
            let _ = writeln!(out, "{}{section}", if line == 0 { "" } else { "\n" });
        }

        let mut text = format!("  {}", padded(first[line].label, label_width));
        for (rows, width) in columns.iter().zip(&widths) {
            text.push_str("   ");
            text.push_str(&padded(&rows[line].value, *width));
        }

        let _ = writeln!(out, "{}", text.trim_end());
    }

    for (index, report) in reports.iter().enumerate() {
        let prefix = if reports.len() > 1 {
            format!("peer {index}: ")
        } else {
            String::new()
        };

        if let Some(error) = &report.error {
            let _ = writeln!(out, "\n{prefix}{} ({})", error.message, error.code.as_str());
        }

        for warning in &report.warnings {
            let _ = writeln!(out, "\n{prefix}warning: {warning}");
        }
    }

    out
}

struct Row {
    /// The heading above this row, on the first row of a section.
    section: Option<&'static str>,
    label: &'static str,
    value: String,
}

/// Builds the rows of a report. All reports have the same labels in the same order.
#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    section: Option<&'static str>,
}

impl Rows {
    fn section(&mut self, name: &'static str) {
        self.section = Some(name);
    }

    fn row(&mut self, label: &'static str, value: impl Into<String>) {
        self.rows.push(Row {
            section: self.section.take(),
            label,
            value: value.into(),
        });
    }
}

fn rows(report: &Report) -> Vec<Row> {
    let mut rows = Rows::default();
    call_rows(&mut rows, report);
    video_rows(&mut rows, report);
    audio_rows(&mut rows, report);
    route_rows(&mut rows, report);
    process_rows(&mut rows, report);

    rows.rows
}

fn call_rows(rows: &mut Rows, report: &Report) {
    rows.section("Call");
    rows.row(
        "result",
        report
            .error
            .as_ref()
            .map_or("ok", |error| error.code.as_str()),
    );

    rows.row(
        "verified",
        match report.verification.badge {
            None => UNKNOWN,
            Some("verifiedByCode") => "by the code",
            Some(_) => "no",
        },
    );
    let words = report.verification.words.map(|words| words.join(" "));
    let why_none = match report.verification.words_state {
        Some("awaited") => "not yet",
        Some("unavailable") => "the partner has none",
        Some("byCode") => "not needed",
        _ => UNKNOWN,
    };
    rows.row("safety words", words.unwrap_or_else(|| why_none.into()));

    rows.row(
        "role",
        report.initiator.map_or(
            UNKNOWN,
            |offers| if offers { "makes the offer" } else { "answers" },
        ),
    );
    let timings = &report.timings_ms;
    rows.row(
        "registered, matched",
        list(&[count(timings.registered), count(timings.matched)], "ms"),
    );
    rows.row("connected", with_unit(count(timings.connected), "ms"));
    rows.row(
        "first frame",
        with_unit(count(timings.first_remote_frame), "ms"),
    );

    rows.row(
        "first audio",
        with_unit(count(timings.first_remote_audio), "ms"),
    );
}

fn video_rows(rows: &mut Rows, report: &Report) {
    rows.section("Video");
    let (sent, received) = (&report.video.sent, &report.video.received);
    rows.row("codec", report.video.codec.as_deref().unwrap_or(UNKNOWN));
    rows.row(
        "sent",
        frames(sent.width, sent.height, sent.fps, sent.frames),
    );
    rows.row("  keyframes", count(sent.keyframes));
    rows.row("  data", bytes(sent.bytes));
    rows.row("  target", rate(sent.target_bps));
    rows.row(
        "  encode p50, p95",
        list(
            &[decimal(sent.encode_ms_p50), decimal(sent.encode_ms_p95)],
            "ms",
        ),
    );

    rows.row(
        "received",
        frames(
            received.width,
            received.height,
            received.fps,
            received.frames,
        ),
    );

    rows.row(
        "  packets, lost, recovered",
        list(
            &[
                count(received.packets),
                count(received.lost),
                count(received.recovered),
            ],
            "",
        ),
    );

    rows.row(
        "  NACKs, PLIs",
        list(&[count(received.nacks), count(received.plis)], ""),
    );
    rows.row("  freezes", count(received.freezes));
    rows.row("  frozen", with_unit(count(received.frozen_ms), "ms"));
    rows.row("  pauses", count(received.pauses));
    rows.row("  paused", with_unit(count(received.paused_ms), "ms"));
    let order = &received.pictures;
    rows.row(
        "  missing, late, repeated",
        list(
            &[
                count(order.missing),
                count(order.out_of_order),
                count(order.repeated),
            ],
            "",
        ),
    );

    rows.row(
        "  decode p50",
        with_unit(decimal(received.decode_ms_p50), "ms"),
    );

    rows.row(
        "  glass to glass p50, p95",
        list(
            &[
                decimal(received.glass_to_glass_ms_p50),
                decimal(received.glass_to_glass_ms_p95),
            ],
            "ms",
        ),
    );
}

fn audio_rows(rows: &mut Rows, report: &Report) {
    rows.section("Audio");
    let (sent, received) = (&report.audio.sent, &report.audio.received);
    rows.row("codec", report.audio.codec.as_deref().unwrap_or(UNKNOWN));
    rows.row("sent packets", count(sent.packets));
    rows.row("  data", bytes(sent.bytes));
    rows.row(
        "received packets, lost",
        list(&[count(received.packets), count(received.lost)], ""),
    );

    rows.row(
        "  concealed, from FEC",
        list(
            &[count(received.concealed_ms), count(received.fec_ms)],
            "ms",
        ),
    );

    rows.row(
        "  jitter buffer p50",
        with_unit(decimal(received.jitter_buffer_ms_p50), "ms"),
    );

    rows.row(
        "  mouth to ear p50, p95",
        list(
            &[
                decimal(received.mouth_to_ear_ms_p50),
                decimal(received.mouth_to_ear_ms_p95),
            ],
            "ms",
        ),
    );

    rows.row(
        "lip sync p95",
        with_unit(decimal(report.audio.lip_sync_ms_p95), "ms"),
    );
}

fn route_rows(rows: &mut Rows, report: &Report) {
    rows.section("Route");
    let route = &report.route;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| UNKNOWN.into());
    rows.row(
        "candidates",
        format!(
            "{} → {} ({})",
            text(&route.local),
            text(&route.remote),
            text(&route.protocol)
        ),
    );
    if let Some(transport) = route.relay_transport {
        rows.row("to the TURN server", transport.to_uppercase());
    }

    rows.row("round trip", with_unit(decimal(route.rtt_ms), "ms"));
    rows.row("DTLS", text(&route.dtls));
    rows.row("SRTP", text(&route.srtp));
}

fn process_rows(rows: &mut Rows, report: &Report) {
    rows.section("Process");
    rows.row(
        "CPU time",
        with_unit(decimal(report.process.cpu_seconds), "s"),
    );
    rows.row("peak memory", bytes(report.process.peak_rss_bytes));
}

fn count(value: Option<u64>) -> String {
    value.map_or_else(|| UNKNOWN.into(), |value| value.to_string())
}

fn decimal(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.into(), |value| format!("{value:.1}"))
}

fn with_unit(value: String, unit: &str) -> String {
    if value == UNKNOWN || unit.is_empty() {
        value
    } else {
        format!("{value} {unit}")
    }
}

/// Several figures on one line, or a single dash if none of them is known.
fn list(values: &[String], unit: &str) -> String {
    if values.iter().all(|value| value == UNKNOWN) {
        UNKNOWN.into()
    } else {
        with_unit(values.join(", "), unit)
    }
}

fn bytes(value: Option<u64>) -> String {
    scaled(value, &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB")], "B")
}

fn rate(value: Option<u64>) -> String {
    scaled(value, &[(1e6, "Mbit/s"), (1e3, "kbit/s")], "bit/s")
}

fn scaled(value: Option<u64>, units: &[(f64, &str)], plain: &str) -> String {
    let Some(value) = value else {
        return UNKNOWN.into();
    };

    // The table shows three digits.
    let number = value as f64;
    match units.iter().find(|(factor, _)| number >= *factor) {
        Some((factor, unit)) => format!("{:.2} {unit}", number / factor),
        None => format!("{value} {plain}"),
    }
}

fn frames(
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    frames: Option<u64>,
) -> String {
    let Some(frames) = frames else {
        return UNKNOWN.into();
    };

    let size = width
        .zip(height)
        .map(|(width, height)| format!(", {width}x{height}"))
        .unwrap_or_default();
    let fps = fps
        .map(|fps| format!(", {fps:.1} frames/s"))
        .unwrap_or_default();
    format!("{frames} frames{size}{fps}")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Pads with spaces to a width in characters, not bytes.
fn padded(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headless::report::{ErrorReport, VideoReceived, VideoReport, VideoSent};

    fn report() -> Report {
        Report {
            ok: true,
            initiator: Some(true),
            video: VideoReport {
                codec: Some("H264".into()),
                sent: VideoSent {
                    frames: Some(600),
                    width: Some(1280),
                    height: Some(720),
                    fps: Some(30.0),
                    target_bps: Some(2_500_000),
                    bytes: Some(6_250_000),
                    ..VideoSent::default()
                },
                received: VideoReceived {
                    glass_to_glass_ms_p50: Some(21.34),
                    ..VideoReceived::default()
                },
            },
            ..Report::default()
        }
    }

    fn line<'a>(table: &'a str, label: &str) -> &'a str {
        table
            .lines()
            .find(|line| line.trim_start().starts_with(label))
            .unwrap_or_default()
    }

    #[test]
    fn figures_have_units_and_unknown_ones_are_a_dash() {
        let table = table(&[&report()]);
        assert!(
            table.contains("600 frames, 1280x720, 30.0 frames/s"),
            "the sent frames:\n{table}"
        );

        assert!(
            table.contains("2.50 Mbit/s") && table.contains("6.25 MB"),
            "scaled units:\n{table}"
        );

        assert!(
            line(&table, "glass to glass").ends_with("21.3, – ms"),
            "a known figure beside an unknown one:\n{table}"
        );

        assert!(
            line(&table, "lip sync").ends_with(UNKNOWN),
            "an unknown figure is not 0:\n{table}"
        );
    }

    #[test]
    fn two_peers_have_a_column_each() {
        let failed = Report {
            error: Some(ErrorReport {
                code: tandem_call::EndCode::NoPartner.into(),
                message: "No one was found.".into(),
                reason: None,
            }),
            warnings: vec!["the disk is full".into()],
            ..Report::default()
        };

        let table = table(&[&report(), &failed]);
        let result = line(&table, "result");
        assert!(
            result.contains("ok") && result.ends_with("NO_PARTNER"),
            "one column per peer:\n{table}"
        );

        assert!(
            table.contains("peer 1: No one was found. (NO_PARTNER)"),
            "the error in words:\n{table}"
        );

        assert!(
            table.contains("peer 1: warning: the disk is full"),
            "the warning:\n{table}"
        );
    }

    #[test]
    fn columns_are_aligned() {
        let table = table(&[&report(), &report()]);
        let second = |label: &str, value: &str| {
            let line = line(&table, label);
            line.rfind(value).map(|at| line[..at].chars().count())
        };

        assert_eq!(
            second("codec", "H264"),
            second("role", "makes"),
            "the second column starts at the same place in every line:\n{table}"
        );
    }
}
