//! A long call between two Tandem processes, which shows what grows with time.

use std::fs;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::plan::{Figures, Plan, release_build};
use super::{table, tandem};
use crate::shell::heading;

/// What one process holds at one moment (from `/proc`, on Linux).
#[derive(Debug, Clone, Copy)]
struct Holding {
    rss_bytes: f64,
    descriptors: usize,
    threads: usize,
}

impl Holding {
    /// `None` once the process is gone, or without `/proc`.
    fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<f64>()
                .ok()
        };

        Some(Self {
            rss_bytes: field("VmRSS:")? * 1024.0,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
            threads: field("Threads:")? as usize,
        })
    }
}

/// `cargo xtask bench soak [--minutes N]`: one call at 720p30, both ways; one line per minute.
///
/// # Errors
/// When Tandem cannot be built, or the call fails.
pub(crate) fn soak(arguments: &[&str]) -> Result<()> {
    let minutes = match arguments {
        [] => 10,
        ["--minutes", number] => number
            .parse::<u64>()
            .ok()
            .filter(|number| *number > 0)
            .unwrap_or(0),
        _ => 0,
    };

    if minutes == 0 {
        bail!("`bench soak` takes --minutes N (1 or more)");
    }

    release_build()?;
    let plan = Plan {
        call: Duration::from_secs(minutes * 60),
        rounds: 1,
    };

    let server = tandem::SignalingServer::start()?;
    heading(&format!("720p30 both ways for {minutes} minutes"));
    let peers = [
        tandem::start(&plan, &server)?,
        tandem::start(&plan, &server)?,
    ];
    println!("| minute | RSS, MB per peer | descriptors | threads |\n|---|---|---|---|");
    let start = Instant::now();
    // The first reading once the call has settled, then one per minute, the last just before the
    // end.
    let readings = (0..=minutes).map(|minute| match minute {
        0 => Duration::from_secs(20),
        last if last == minutes => plan.call - Duration::from_secs(3),
        minute => Duration::from_secs(minute * 60),
    });

    for at in readings {
        thread::sleep((start + at).saturating_duration_since(Instant::now()));
        println!("{}", line(at, &peers));
    }

    let figures = peers
        .into_iter()
        .map(tandem::finish)
        .collect::<Result<Vec<Figures>>>()?;
    println!("\n{}\n{}", table::table(&figures, &[]), table::machine());
    Ok(())
}

fn line(at: Duration, peers: &[Child]) -> String {
    let holdings: Vec<Holding> = peers
        .iter()
        .filter_map(|peer| Holding::of(peer.id()))
        .collect();
    let show =
        |figure: fn(&Holding) -> String| holdings.iter().map(figure).collect::<Vec<_>>().join(", ");
    format!(
        "| {:.1} | {} | {} | {} |",
        at.as_secs_f64() / 60.0,
        show(|it| format!("{:.1}", it.rss_bytes / 1e6)),
        show(|it| it.descriptors.to_string()),
        show(|it| it.threads.to_string()),
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_holding_what_it_opens() {
        let before = Holding::of(std::process::id()).expect("this process is running");
        let files: Vec<_> = (0..10)
            .map(|_| fs::File::open("/dev/null").expect("it opens"))
            .collect();
        let after = Holding::of(std::process::id()).expect("this process is running");

        assert!(
            after.descriptors >= before.descriptors + 10,
            "ten more: {before:?}, {after:?}"
        );

        assert!(
            after.rss_bytes > 1e6 && after.threads >= 1,
            "real figures: {after:?}"
        );

        drop(files);
    }
}
