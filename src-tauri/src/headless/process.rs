//! CPU time and peak memory of the process, as the operating system counts them.

use super::report::ProcessReport;

/// CPU time (user and system) and peak resident set of this process since its start. Empty where
/// the system does not report them.
#[cfg(unix)]
pub fn usage() -> ProcessReport {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is valid for writing one `rusage`, and getrusage(2) keeps no pointer to it.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0;

    if failed {
        return ProcessReport::default();
    }

    // SAFETY: getrusage(2) filled it in, and all-zero bytes are a valid `rusage` too.
    let usage = unsafe { usage.assume_init() };
    // Seconds of CPU time are far below 2^52.
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    // `ru_maxrss` is in KiB on Linux and the BSDs, in bytes on macOS.
    let unit = if cfg!(target_vendor = "apple") {
        1
    } else {
        1024
    };

    ProcessReport {
        cpu_seconds: Some(seconds(usage.ru_utime) + seconds(usage.ru_stime)),
        peak_rss_bytes: u64::try_from(usage.ru_maxrss).ok().map(|peak| peak * unit),
    }
}

/// Not available on this system.
#[cfg(not(unix))]
pub fn usage() -> ProcessReport {
    ProcessReport::default()
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests wait for real CPU time")]

    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn usage_grows_with_work_and_memory() {
        let before = usage();
        let memory = std::hint::black_box(vec![1u8; 64 << 20]);
        let deadline = Instant::now() + Duration::from_secs(60);

        while usage().cpu_seconds < before.cpu_seconds.map(|seconds| seconds + 0.05) {
            assert!(
                Instant::now() < deadline,
                "a minute of computing uses 50 ms of CPU time"
            );

            std::hint::black_box(memory.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        }

        assert!(
            usage().peak_rss_bytes >= Some(64 << 20),
            "the peak includes the memory just allocated"
        );
    }
}
