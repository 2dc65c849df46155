//! When to open a device again that has failed, and when to say so. Sans-IO: time is an argument.

use std::time::{Duration, Instant};

/// How often in a row a device is opened again in quick succession: a stream may just have died of an
/// underrun on a busy machine, or the device is connecting again.
const QUICK_TRIES: u32 = 4;
/// Delay before the first of them; it doubles with each.
const QUICK_DELAY: Duration = Duration::from_millis(50);
/// Delay before the first of the later ones; it doubles with each.
const SLOW_DELAY: Duration = Duration::from_secs(2);
/// The longest delay. A device that is plugged in again is back after this at the latest.
const MAX_DELAY: Duration = Duration::from_secs(10);
/// A device that works for this long is back, as far as the user is concerned.
const BACK_AFTER: Duration = Duration::from_secs(1);
/// A device that works for this long has recovered for good.
const STABLE_AFTER: Duration = Duration::from_secs(3);

/// The failures of one device in a row.
///
/// A stream that dies is not worth a word if a new one replaces it. What cannot be opened is reported
/// at once, and then not again until it has worked in between. It is never given up: a user who plugs
/// a device in again expects it to work.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Failures since the device last worked for [`STABLE_AFTER`].
    failures: u32,
    has_worked: bool,
    is_reported: bool,
    opened_at: Option<Instant>,
}

/// The next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How long to wait before it.
    pub after: Duration,
    /// Whether the user should know that the device does not work.
    pub report: bool,
}

impl Recovery {
    /// Whether the device has been open since it was chosen.
    pub fn has_worked(&self) -> bool {
        self.has_worked
    }

    /// The device is open.
    pub fn on_open(&mut self, now: Instant) {
        self.has_worked = true;
        self.opened_at = Some(now);
    }

    /// The device was open and delivers nothing more.
    pub fn on_death(&mut self) -> Retry {
        let is_quick = self.failures < QUICK_TRIES;
        self.retry(!is_quick)
    }

    /// The device does not open. One that has never worked can wait for the slow attempts.
    pub fn on_refusal(&mut self) -> Retry {
        if !self.has_worked {
            self.failures = self.failures.max(QUICK_TRIES);
        }

        self.retry(true)
    }

    /// The device is tried now, because the user asks or something was plugged in: the slow delays
    /// begin again. The quick attempts do not, or a device that dies at once would never be reported.
    pub fn start_over(&mut self) {
        self.failures = self.failures.min(QUICK_TRIES);
    }

    /// Whether a device that was reported works again. Call it while the device is open; it returns
    /// `true` once.
    pub fn is_back(&mut self, now: Instant) -> bool {
        let Some(open_for) = self
            .opened_at
            .map(|opened| now.saturating_duration_since(opened))
        else {
            return false;
        };

        if open_for >= STABLE_AFTER {
            self.failures = 0;
            self.opened_at = None;
        }

        open_for >= BACK_AFTER && std::mem::take(&mut self.is_reported)
    }

    /// When [`is_back`](Self::is_back) has something to do, if the device stays open.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let after = if self.is_reported {
            BACK_AFTER
        } else {
            STABLE_AFTER
        };
        self.opened_at.map(|opened| opened + after)
    }

    fn retry(&mut self, report: bool) -> Retry {
        let number = self.failures;
        self.failures = self.failures.saturating_add(1);
        self.opened_at = None;

        let doubled = |first: Duration, times: u32| first * 2_u32.saturating_pow(times.min(16));
        Retry {
            after: match number.checked_sub(QUICK_TRIES) {
                None => doubled(QUICK_DELAY, number),
                Some(slow) => doubled(SLOW_DELAY, slow).min(MAX_DELAY),
            },
            report: report && !std::mem::replace(&mut self.is_reported, true),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_stream_that_dies_is_replaced_quickly_and_then_slowly_for_ever() {
        let mut recovery = Recovery::default();
        recovery.on_open(Instant::now());

        let retries: Vec<Retry> = (0..9).map(|_| recovery.on_death()).collect();
        let delays: Vec<u64> = retries
            .iter()
            .map(|retry| retry.after.as_millis() as u64)
            .collect();
        assert_eq!(
            delays,
            [50, 100, 200, 400, 2_000, 4_000, 8_000, 10_000, 10_000]
        );

        let reported: Vec<usize> = (0..9).filter(|&index| retries[index].report).collect();
        assert_eq!(reported, [4], "once, when quick attempts did not help");
    }

    #[test]
    fn a_device_that_dies_at_once_is_reported_however_often_it_is_asked_for() {
        let mut recovery = Recovery::default();
        let mut reports = 0;
        for _ in 0..20 {
            recovery.on_open(Instant::now());
            reports += u32::from(recovery.on_death().report);
            recovery.start_over();
        }

        assert_eq!(reports, 1);
        assert_eq!(recovery.on_death().after, SLOW_DELAY, "the first slow one");
    }

    #[test]
    fn what_does_not_open_is_reported_at_once_and_tried_slowly() {
        let mut recovery = Recovery::default();
        let first = recovery.on_refusal();
        assert_eq!((first.after, first.report), (ms(2_000), true));
        assert!(!recovery.on_refusal().report, "it is known already");
    }

    #[test]
    fn a_device_that_comes_back_is_told_once_and_starts_over() {
        let (mut recovery, begin) = (Recovery::default(), Instant::now());
        recovery.on_open(begin);
        assert_eq!(recovery.on_death().after, ms(50));
        let gone = recovery.on_refusal();
        assert_eq!((gone.after, gone.report), (ms(100), true), "unplugged");

        recovery.on_open(begin);
        assert!(!recovery.is_back(begin + ms(999)), "it may die again");
        assert!(recovery.is_back(begin + ms(1_000)));
        assert!(!recovery.is_back(begin + ms(3_000)), "once");

        let again = recovery.on_death();
        assert_eq!((again.after, again.report), (ms(50), false));
    }

    proptest! {
        #[test]
        fn reports_and_recoveries_alternate(events in prop::collection::vec((0_u8..4, 0_u64..9_000), 1..200)) {
            let (mut recovery, mut now) = (Recovery::default(), Instant::now());
            let (mut is_open, mut is_reported) = (false, false);

            for (event, passed) in events {
                now += ms(passed);
                let retry = match event {
                    0 if !is_open => {
                        recovery.on_open(now);
                        is_open = true;
                        None
                    }
                    1 if is_open => Some(recovery.on_death()),
                    2 if !is_open => Some(recovery.on_refusal()),
                    _ => None,
                };

                if let Some(retry) = retry {
                    is_open = false;
                    prop_assert!(retry.after <= MAX_DELAY, "never given up: {:?}", retry);
                    prop_assert!(!(retry.report && is_reported), "said already");
                    is_reported |= retry.report;
                }

                if is_open && recovery.is_back(now) {
                    prop_assert!(is_reported, "only what was reported can be back");
                    is_reported = false;
                }
            }
        }
    }
}
