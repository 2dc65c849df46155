//! Gives the system back what the allocator keeps without a use for it.
//!
//! When many users leave, nearly all of their memory is free, but not in one piece: here and there something small lives
//! on, and glibc shrinks its heaps from the end only. `malloc_trim` gives back the whole pages in between.
//! Where the C library is another one, nothing is done here.

/// Starts the watch over this process' memory, for as long as it runs.
pub(crate) fn watch() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::watch();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::fs::File;
    use std::io::Read;
    use std::time::{Duration, Instant};

    /// Between two looks.
    const PERIOD: Duration = Duration::from_secs(10);
    /// So much may lie idle, in bytes: it is soon used again.
    const RESERVE: usize = 4 << 20;
    /// Less than this is not worth the work, in bytes.
    const GAIN: usize = 1 << 20;

    /// What the process holds at one moment, in bytes.
    #[derive(Debug, Clone, Copy)]
    struct Held {
        /// Resident, without files.
        resident: usize,
        /// Given out by the allocator.
        in_use: usize,
    }

    impl Held {
        /// Resident and of no use.
        fn spare(self) -> usize {
            self.resident.saturating_sub(self.in_use)
        }
    }

    /// Whether to trim: more is spare than in use, and more than the last trim `left`. Each small thing that it had to
    /// leave held a page or two, so that counts no more once a quarter of what was in use then is gone.
    fn is_due(held: Held, left: Option<Held>) -> bool {
        let left = left
            .filter(|left| held.in_use > left.in_use / 4 * 3)
            .map_or(0, Held::spare);
        held.spare() > held.in_use.max(RESERVE).max(left + GAIN)
    }

    /// A thread of its own: the calls take milliseconds when the heap is large. They lock one arena at a time, so who
    /// allocates waits for a part of that at most.
    pub(super) fn watch() {
        let thread = std::thread::Builder::new().name("memory".into()).spawn(|| {
            let mut left: Option<Held> = None;
            loop {
                std::thread::sleep(PERIOD);
                // Not even a descriptor may be free for a moment.
                let Some(held) = look() else { continue };

                if is_due(held, left) {
                    let begun = Instant::now();
                    trim();
                    let Some(after) = look() else { continue };
                    left = Some(after);
                    let given_back = held.resident.saturating_sub(after.resident);
                    tracing::debug!(given_back, in_use = after.in_use, took = ?begun.elapsed(), "memory given back");
                } else if left.is_some_and(|left| held.spare() < left.spare()) {
                    // What has been put to use again can be given back again.
                    left = Some(held);
                }
            }
        });

        if let Err(error) = thread {
            tracing::warn!(kind = %error.kind(), "memory that is free is not given back to the system");
        }
    }

    fn look() -> Option<Held> {
        // On the stack: looking takes nothing from the allocator.
        let mut text = [0; 4096];
        let length = File::open("/proc/self/status")
            .and_then(|mut file| file.read(&mut text))
            .ok()?;
        Some(Held {
            resident: resident(&text[..length])?,
            in_use: in_use(),
        })
    }

    /// `RssAnon` of `/proc/self/status`.
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
        // SAFETY: it takes no arguments, locks what it reads and returns plain numbers.
        let info = unsafe { libc::mallinfo2() };
        // In the heaps, and in maps of their own.
        info.uordblks.saturating_add(info.hblkhd)
    }

    fn trim() {
        // SAFETY: it gives back pages of free chunks only, behind the allocator's own locks; memory in use stays.
        unsafe { libc::malloc_trim(0) };
    }

    #[cfg(test)]
    mod tests {
        use std::sync::{Mutex, PoisonError};

        use super::*;

        /// What one test gives back is no other test's figure.
        static ALONE: Mutex<()> = Mutex::new(());

        const MB: usize = 1 << 20;

        fn held(resident: usize, in_use: usize) -> Held {
            Held {
                resident: resident * MB,
                in_use: in_use * MB,
            }
        }

        #[test]
        fn memory_is_given_back_when_most_of_it_lies_idle() {
            assert!(is_due(held(40, 5), None), "the users are gone");
            assert!(!is_due(held(40, 30), None), "the users are here");
            assert!(!is_due(held(5, 1), None), "that is how small it starts");
            assert!(
                !is_due(held(400, 210), None),
                "a busy relay uses its free memory again in a moment"
            );
        }

        #[test]
        fn what_a_trim_could_not_give_back_is_no_reason_for_the_next() {
            let left = Some(held(18, 8));
            assert!(!is_due(held(18, 8), left), "as the last one left it");
            assert!(!is_due(held(18, 7), left), "a little more");
            assert!(is_due(held(20, 8), left), "much more");
            assert!(
                is_due(held(16, 6), left),
                "no more, but users who were still there have left"
            );
            assert!(!is_due(held(4, 1), left), "that is how small it starts");
        }

        #[test]
        fn the_process_is_seen_as_it_is() {
            let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
            let before = look().expect("there is a /proc");
            let block = std::hint::black_box(vec![1u8; 64 * MB]);
            let with = look().expect("there is a /proc");

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

            assert_eq!(
                resident(b"VmRSS:\t 9 kB\n"),
                None,
                "a kernel without this line"
            );
            assert_eq!(resident(b"RssAnon:\t-1 kB\n"), None, "no number");
        }

        #[test]
        fn holes_are_given_back() {
            let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
            // Many blocks too small for maps of their own; every 500th stays, so that no heap can shrink from its end.
            let mut blocks: Vec<_> = (0..32 * 1024).map(|_| Some(vec![1u8; 1024])).collect();

            for (n, block) in blocks.iter_mut().enumerate() {
                if n % 500 != 499 {
                    *block = None;
                }
            }

            let holes = look().expect("there is a /proc");
            trim();
            let trimmed = look().expect("there is a /proc");
            let given_back = holes.resident.saturating_sub(trimmed.resident);

            assert!(
                given_back > 16 * MB,
                "of 31 MB in holes {given_back} bytes were given back"
            );

            assert!(
                blocks
                    .iter()
                    .flatten()
                    .all(|block| block.iter().all(|&byte| byte == 1)),
                "what is in use stays"
            );
        }
    }
}
