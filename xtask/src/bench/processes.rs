//! CPU and memory of a process and all its children, from `/proc`: a browser is a dozen processes,
//! Tandem is one.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Skipped at the start of a call: connecting, and the first keyframes and bitrate steps.
pub(crate) const SETTLING: Duration = Duration::from_secs(3);

/// CPU and memory of one process tree over a span of time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU seconds per second.
    pub(crate) cores: Option<f64>,
    /// Peak proportional set size.
    pub(crate) pss_bytes: Option<f64>,
}

/// Watches a process tree on its own thread until it is finished.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Usage>,
}

impl Watch {
    /// Watches `pid` and its children, starting after `delay`.
    pub(crate) fn start(pid: u32, delay: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self {
            stop,
            thread: thread::spawn(move || watch(pid, delay, &stopped)),
        }
    }

    /// Stops and returns the figures. Call it while the processes still run.
    pub(crate) fn finish(self) -> Usage {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn watch(root: u32, delay: Duration, stopped: &AtomicBool) -> Usage {
    let begun = Instant::now();
    while begun.elapsed() < delay && !stopped.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50));
    }

    let first = (Instant::now(), cpu_seconds(root));
    let mut last = first;
    let mut pss_bytes = pss(root);

    while !stopped.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(500));

        // A tree that is exiting shows less than before: the last full reading counts.
        if let (now, Some(cpu)) = (Instant::now(), cpu_seconds(root)) {
            if last.1.is_some_and(|before| cpu < before) {
                break;
            }

            last = (now, Some(cpu));
        }

        pss_bytes = pss(root).map_or(pss_bytes, |now| {
            Some(pss_bytes.map_or(now, |highest| highest.max(now)))
        });
    }

    let seconds = (last.0 - first.0).as_secs_f64();
    let cpu = first.1.zip(last.1).map(|(from, to)| to - from);
    Usage {
        cores: cpu.filter(|_| seconds > 1.0).map(|cpu| cpu / seconds),
        pss_bytes,
    }
}

/// `root` and every process below it.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };

        if let Some(parent) = stat_fields(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }

    let mut found = vec![root];
    let mut next = 0;

    while let Some(pid) = found.get(next).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }

    found
}

/// The fields of `/proc/PID/stat` after the program's name, which may hold spaces: the first is the
/// state.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(String::from).collect())
}

/// User and system time of the tree, of the children that it waited for, too. `None` once the root
/// is gone.
fn cpu_seconds(root: u32) -> Option<f64> {
    /// `USER_HZ`: 100 on every Linux that Rust runs on.
    const TICKS_PER_SECOND: f64 = 100.0;
    stat_fields(root).filter(|fields| fields.first().is_some_and(|state| state != "Z"))?;
    let ticks = |pid| {
        let fields = stat_fields(pid)?;
        // proc_pid_stat(5): utime, stime, cutime, cstime are fields 14 to 17; the state is field 3.
        fields
            .get(11..15)?
            .iter()
            .map(|field| field.parse::<f64>().ok())
            .sum::<Option<f64>>()
    };

    Some(tree(root).into_iter().filter_map(ticks).sum::<f64>() / TICKS_PER_SECOND)
}

fn pss(root: u32) -> Option<f64> {
    let of = |pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<f64>()
            .ok()
    };

    let sum: f64 = tree(root).into_iter().filter_map(of).sum();
    (sum > 0.0).then_some(sum * 1024.0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_busy_child_of_a_child_is_counted() {
        let spin = "sh -c 'while :; do :; done'";
        let mut shell = Command::new("sh")
            .args(["-c", &format!("{spin}; true")])
            .spawn()
            .expect("sh starts");
        let watch = Watch::start(shell.id(), Duration::from_millis(100));
        let deadline = Instant::now() + Duration::from_secs(20);
        let busy = || cpu_seconds(shell.id()).is_some_and(|cpu| cpu > 1.0);

        while !busy() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }

        let usage = watch.finish();
        let pids = tree(shell.id());

        for pid in pids.iter().rev() {
            Command::new("kill")
                .arg(pid.to_string())
                .status()
                .expect("kill starts");
        }

        shell.wait().expect("the shell can be waited for");
        assert!(pids.len() > 1, "the tree includes the grandchild: {pids:?}");

        assert!(
            usage.cores.is_some_and(|cores| cores > 0.05),
            "its CPU time is counted: {usage:?}"
        );

        assert!(
            usage.pss_bytes.is_some_and(|pss| pss > 4096.0),
            "so is its memory: {usage:?}"
        );
    }
}
