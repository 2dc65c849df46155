//! A report as a table for people: a line a figure, a column a peer.

use std::fmt::Write;

use super::report::Report;

/// What stands where a figure does not apply or was not measured.
const NOTHING: &str = "–";

/// Lays out one report, or the two of a pair side by side.
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
        let whose = if reports.len() > 1 {
            format!("peer {index}: ")
        } else {
            String::new()
        };

        if let Some(error) = &report.error {
            let _ = writeln!(out, "\n{whose}{} ({})", error.message, error.code);
        }

        for warning in &report.warnings {
            let _ = writeln!(out, "\n{whose}warning: {warning}");
        }
    }

    out
}

struct Row {
    /// Set on the first row of a section.
    section: Option<&'static str>,
    label: &'static str,
    value: String,
}

/// Builds the rows; every report gives the same labels in the same order.
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
    rest_rows(&mut rows, report);

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
        "role",
        report.initiator.map_or(
            NOTHING,
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
        "first picture",
        with_unit(count(timings.first_remote_frame), "ms"),
    );

    rows.row(
        "first sound",
        with_unit(count(timings.first_remote_audio), "ms"),
    );
}

fn video_rows(rows: &mut Rows, report: &Report) {
    rows.section("Video");
    let (sent, received) = (&report.video.sent, &report.video.received);
    rows.row("codec", report.video.codec.as_deref().unwrap_or(NOTHING));
    rows.row(
        "sent",
        picture(sent.width, sent.height, sent.fps, sent.frames),
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
        picture(
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
    let pictures = &received.pictures;
    rows.row(
        "  missing, late, repeated",
        list(
            &[
                count(pictures.missing),
                count(pictures.out_of_order),
                count(pictures.repeated),
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
    rows.row("codec", report.audio.codec.as_deref().unwrap_or(NOTHING));
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

fn rest_rows(rows: &mut Rows, report: &Report) {
    rows.section("Route");
    let route = &report.route;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| NOTHING.into());
    rows.row(
        "candidates",
        format!(
            "{} → {} ({})",
            text(&route.local),
            text(&route.remote),
            text(&route.protocol)
        ),
    );
    rows.row("round trip", with_unit(decimal(route.rtt_ms), "ms"));
    rows.row("DTLS", text(&route.dtls));
    rows.row("SRTP", text(&route.srtp));
    rows.section("Process");
    rows.row(
        "CPU time",
        with_unit(decimal(report.process.cpu_seconds), "s"),
    );
    rows.row("peak memory", bytes(report.process.peak_rss_bytes));
}

fn count(value: Option<u64>) -> String {
    value.map_or_else(|| NOTHING.into(), |value| value.to_string())
}

fn decimal(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), |value| format!("{value:.1}"))
}

fn with_unit(value: String, unit: &str) -> String {
    if value == NOTHING || unit.is_empty() {
        value
    } else {
        format!("{value} {unit}")
    }
}

/// Figures beside one another; one dash when none of them is known.
fn list(values: &[String], unit: &str) -> String {
    if values.iter().all(|value| value == NOTHING) {
        NOTHING.into()
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
        return NOTHING.into();
    };

    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let number = value as f64;
    match units.iter().find(|(factor, _)| number >= *factor) {
        Some((factor, unit)) => format!("{:.2} {unit}", number / factor),
        None => format!("{value} {plain}"),
    }
}

fn picture(
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    frames: Option<u64>,
) -> String {
    let Some(frames) = frames else {
        return NOTHING.into();
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

/// Pads by characters, not bytes.
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
    fn figures_come_with_their_units_and_unknown_ones_as_a_dash() {
        let table = table(&[&report()]);
        assert!(
            table.contains("600 frames, 1280x720, 30.0 frames/s"),
            "what was sent:\n{table}"
        );

        assert!(
            table.contains("2.50 Mbit/s") && table.contains("6.25 MB"),
            "scaled units:\n{table}"
        );

        assert!(
            line(&table, "glass to glass").ends_with("21.3, – ms"),
            "a known figure beside an unknown:\n{table}"
        );

        assert!(
            line(&table, "lip sync").ends_with(NOTHING),
            "an unknown figure is a dash, not 0:\n{table}"
        );
    }

    #[test]
    fn two_peers_stand_side_by_side() {
        let failed = Report {
            error: Some(ErrorReport {
                code: "NO_PARTNER".into(),
                message: "Nobody came.".into(),
            }),
            warnings: vec!["the disk is full".into()],
            ..Report::default()
        };

        let table = table(&[&report(), &failed]);
        let result = line(&table, "result");
        assert!(
            result.contains("ok") && result.ends_with("NO_PARTNER"),
            "one column a peer:\n{table}"
        );

        assert!(
            table.contains("peer 1: Nobody came. (NO_PARTNER)"),
            "the sentence for a person:\n{table}"
        );

        assert!(
            table.contains("peer 1: warning: the disk is full"),
            "warnings are told:\n{table}"
        );
    }

    #[test]
    fn columns_line_up() {
        let table = table(&[&report(), &report()]);
        let second = |label: &str, value: &str| {
            let line = line(&table, label);
            line.rfind(value).map(|at| line[..at].chars().count())
        };

        assert_eq!(
            second("codec", "H264"),
            second("role", "makes"),
            "the second column starts at one place:\n{table}"
        );
    }
}
