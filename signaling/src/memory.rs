//! Returns free memory to the system.
//!
//! When many users leave, nearly all of their memory is free, but not in one piece: small
//! allocations that live on are scattered over it, and glibc only shrinks a heap from its end.
//! `malloc_trim` returns the whole pages in between. With another C library, this module does
//! nothing.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(
        clippy::disallowed_methods,
        reason = "a shell: it times its own work for the log"
    )
)]

/// Starts a thread that trims this process's memory until the process ends.
pub(crate) fn start_trimming() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::start_trimming();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::fs::File;
    use std::io::Read;
    use std::time::{Duration, Instant};

    /// Between two measurements.
    const INTERVAL: Duration = Duration::from_secs(10);
    /// Free bytes to keep before trimming: they are soon used again.
    const RESERVE: usize = 4 << 20;
    /// Bytes. A trim that would return less is not worth the work.
    const MIN_GAIN: usize = 1 << 20;

    /// The memory of the process at one moment, in bytes.
    #[derive(Debug, Clone, Copy)]
    struct Memory {
        /// Resident, without mapped files.
        resident: usize,
        /// Allocated by the program.
        in_use: usize,
    }

    impl Memory {
        /// Resident, but not allocated.
        fn spare(self) -> usize {
            self.resident.saturating_sub(self.in_use)
        }
    }

    /// Whether to trim: more is spare than in use, and more than was spare right after the last
    /// trim.
    ///
    /// A trim cannot return the pages that hold small allocations. Once a quarter of what was in
    /// use then is freed, many of those pages are free too, and it is worth trying again.
    fn is_due(memory: Memory, after_last: Option<Memory>) -> bool {
        let unreturnable = after_last
            .filter(|last| memory.in_use > last.in_use / 4 * 3)
            .map_or(0, Memory::spare);

        memory.spare() > memory.in_use.max(RESERVE).max(unreturnable + MIN_GAIN)
    }

    /// Trims on a thread of its own, because a trim takes milliseconds when the heap is large. It
    /// locks one arena at a time, so another thread's allocation waits for a part of that at most.
    pub(super) fn start_trimming() {
        let thread = std::thread::Builder::new().name("memory".into()).spawn(|| {
            let mut after_last: Option<Memory> = None;

            loop {
                std::thread::sleep(INTERVAL);
                // Fails while the process has no file descriptor left.
                let Some(memory) = measure() else { continue };

                if is_due(memory, after_last) {
                    let start = Instant::now();
                    trim();
                    let took = start.elapsed();

                    let Some(after) = measure() else { continue };
                    after_last = Some(after);
                    let returned = memory.resident.saturating_sub(after.resident);
                    tracing::debug!(
                        returned,
                        in_use = after.in_use,
                        ?took,
                        "returned memory to the system"
                    );
                } else if after_last.is_some_and(|last| memory.spare() < last.spare()) {
                    // Memory that was spare is in use again; when it is freed, it can be returned.
                    after_last = Some(memory);
                }
            }
        });

        if let Err(error) = thread {
            tracing::warn!(
                kind = %error.kind(),
                "cannot start a thread: memory of users who leave stays with the process"
            );
        }
    }

    fn measure() -> Option<Memory> {
        // On the stack, so that measuring allocates nothing.
        let mut text = [0; 4096];
        let length = File::open("/proc/self/status")
            .and_then(|mut file| file.read(&mut text))
            .ok()?;
        Some(Memory {
            resident: resident(&text[..length])?,
            in_use: in_use(),
        })
    }

    /// `RssAnon` in `/proc/self/status`, in bytes. Kernels before 4.5 do not have it.
    fn resident(status: &[u8]) -> Option<usize> {
        let line = status
            .split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(b"RssAnon:"))?;
        let kib: usize = std::str::from_utf8(line)
            .ok()?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()?;
        kib.checked_mul(1024)
    }

    fn in_use() -> usize {
        // SAFETY: mallinfo2(3) takes no arguments, locks what it reads and returns plain numbers.
        let info = unsafe { libc::mallinfo2() };
        // In the heaps, and in mappings of their own.
        info.uordblks.saturating_add(info.hblkhd)
    }

    fn trim() {
        // SAFETY: malloc_trim(3) only returns pages of free chunks, under the allocator's locks;
        // memory in use stays.
        unsafe { libc::malloc_trim(0) };
    }

    #[cfg(test)]
    mod tests {
        use parking_lot::Mutex;

        use super::*;

        /// Held by a test that measures, so that no other test allocates or trims meanwhile.
        static MEASURING: Mutex<()> = Mutex::new(());

        const MB: usize = 1 << 20;

        fn memory(resident: usize, in_use: usize) -> Memory {
            Memory {
                resident: resident * MB,
                in_use: in_use * MB,
            }
        }

        #[test]
        fn memory_is_returned_when_most_of_it_is_spare() {
            assert!(is_due(memory(40, 5), None), "the users have left");
            assert!(!is_due(memory(40, 30), None), "the users are there");
            assert!(!is_due(memory(5, 1), None), "as small as at the start");
            assert!(
                !is_due(memory(400, 210), None),
                "a busy server soon uses its free memory again"
            );
        }

        #[test]
        fn memory_that_a_trim_could_not_return_does_not_cause_the_next() {
            let after_last = Some(memory(18, 8));
            assert!(
                !is_due(memory(18, 8), after_last),
                "unchanged since the last trim"
            );
            assert!(!is_due(memory(18, 7), after_last), "little more is spare");
            assert!(is_due(memory(20, 8), after_last), "much more is spare");
            assert!(
                is_due(memory(16, 6), after_last),
                "no more is spare, but users who were there have left"
            );
            assert!(
                !is_due(memory(4, 1), after_last),
                "as small as at the start"
            );
        }

        #[test]
        fn an_allocation_shows_in_both_figures() {
            let _measuring = MEASURING.lock();
            let before = measure().expect("there is a /proc");
            let block = std::hint::black_box(vec![1u8; 64 * MB]);
            let with = measure().expect("there is a /proc");

            assert!(
                with.resident >= before.resident + 60 * MB,
                "{before:?}, then with 64 MB more {with:?}"
            );

            assert!(
                with.in_use >= before.in_use + 60 * MB,
                "{before:?}, then with 64 MB more {with:?}"
            );

            drop(block);
            assert_eq!(
                resident(b"VmRSS:\t 9 kB\nRssAnon:\t    120 kB\nRssFile:\t 7 kB\n"),
                Some(120 * 1024)
            );

            assert_eq!(resident(b"VmRSS:\t 9 kB\n"), None, "an old kernel");
            assert_eq!(resident(b"RssAnon:\t-1 kB\n"), None, "not a number");
        }

        #[test]
        fn free_pages_between_allocations_are_returned() {
            let _measuring = MEASURING.lock();
            // Blocks too small for mappings of their own. Every 500th stays allocated, so that no
            // heap can shrink from its end.
            let mut blocks: Vec<_> = (0..32 * 1024).map(|_| Some(vec![1u8; 1024])).collect();

            for (n, block) in blocks.iter_mut().enumerate() {
                if n % 500 != 499 {
                    *block = None;
                }
            }

            let holes = measure().expect("there is a /proc");
            trim();
            let trimmed = measure().expect("there is a /proc");
            let returned = holes.resident.saturating_sub(trimmed.resident);

            assert!(
                returned > 16 * MB,
                "{returned} bytes of 31 MB in holes were returned"
            );

            assert!(
                blocks
                    .iter()
                    .flatten()
                    .all(|block| block.iter().all(|&byte| byte == 1)),
                "allocated blocks are untouched"
            );
        }
    }
}
