//! The figures of all peers and rounds side by side, in Markdown, ready for `docs/benchmarks.md`.

use std::fs;

use super::plan::Figures;
use crate::shell::Shell;

struct Row {
    name: &'static str,
    figure: fn(&Figures) -> Option<f64>,
    /// How many decimals to print.
    decimals: usize,
}

const ROWS: [Row; 8] = [
    Row {
        name: "frames received per second",
        figure: |it| it.fps,
        decimals: 1,
    },
    Row {
        name: "freezes",
        figure: |it| it.freezes,
        decimals: 0,
    },
    Row {
        name: "match to first remote frame, ms",
        figure: |it| it.first_frame_ms,
        decimals: 0,
    },
    Row {
        name: "glass to glass p50, ms",
        figure: |it| it.glass_to_glass_p50_ms,
        decimals: 0,
    },
    Row {
        name: "glass to glass p95, ms",
        figure: |it| it.glass_to_glass_p95_ms,
        decimals: 0,
    },
    Row {
        name: "mouth to ear p50, ms",
        figure: |it| it.mouth_to_ear_p50_ms,
        decimals: 0,
    },
    Row {
        name: "CPU, cores per peer",
        figure: |it| it.cores,
        decimals: 2,
    },
    Row {
        name: "memory (PSS), MB per peer",
        figure: |it| it.pss_bytes.map(|bytes| bytes / 1e6),
        decimals: 0,
    },
];

/// Median (lowest to highest) of each figure, and its ratio to Chromium's.
pub(crate) fn table(tandem: &[Figures], chromium: &[Figures]) -> String {
    let mut text = String::from("| | Tandem | Chromium | ratio |\n|---|---|---|---|\n");
    for row in &ROWS {
        let ours = Spread::of(tandem.iter().filter_map(row.figure));
        let theirs = Spread::of(chromium.iter().filter_map(row.figure));
        let ratio = ours
            .as_ref()
            .zip(theirs.as_ref())
            .filter(|(_, theirs)| theirs.median > 0.0);

        let ratio = ratio.map_or_else(
            || String::from("-"),
            |(ours, theirs)| format!("{:.2}", ours.median / theirs.median),
        );

        let show = |spread: &Option<Spread>| {
            spread
                .as_ref()
                .map_or_else(|| String::from("-"), |it| it.show(row.decimals))
        };

        text.push_str(&format!(
            "| {} | {} | {} | {ratio} |\n",
            row.name,
            show(&ours),
            show(&theirs)
        ));
    }

    text
}

/// Describes the machine that the figures belong to.
pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });

    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load
        .split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned();
    let rustc = Shell::new("rustc", ["--version"])
        .output()
        .unwrap_or_default();
    let system = std::env::consts::OS;

    format!(
        "Machine: {model}, {cores} cores, {system}; {}; load {load} at the end of the run.",
        rustc.trim()
    )
}

struct Spread {
    lowest: f64,
    median: f64,
    highest: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (lowest, highest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };

        Some(Self {
            lowest,
            median,
            highest,
        })
    }

    fn show(&self, decimals: usize) -> String {
        let Self {
            lowest,
            median,
            highest,
        } = self;
        format!("{median:.decimals$} ({lowest:.decimals$} to {highest:.decimals$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_medians_spread_and_ratio() {
        let with = |fps: f64| Figures {
            fps: Some(fps),
            ..Figures::default()
        };

        let text = table(
            &[with(29.0), with(30.0), with(27.0), with(30.0)],
            &[with(30.0), with(29.0)],
        );

        let line = text
            .lines()
            .find(|line| line.contains("frames received"))
            .expect("the table has the row");

        assert!(
            line.contains("29.5 (27.0 to 30.0)"),
            "an even count's median lies between its middle two: {line}"
        );

        assert!(
            line.ends_with("| 1.00 |"),
            "the ratio is that of the medians: {line}"
        );
    }

    #[test]
    fn a_figure_nobody_measured_is_a_dash() {
        let text = table(&[Figures::default()], &[]);
        assert!(
            text.contains("| mouth to ear p50, ms | - | - | - |"),
            "a missing figure is a dash:\n{text}"
        );
    }
}
