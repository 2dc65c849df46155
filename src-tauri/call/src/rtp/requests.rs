//! When to request a keyframe.

use std::time::{Duration, Instant};

/// This many requests are sent at the shortest interval: each may be lost, or its keyframe.
const QUICK: u32 = 3;

/// Requests a keyframe until one arrives: a few times soon after each other, then less and less
/// often. Two requests are never closer together than the shortest interval.
#[derive(Debug)]
pub(super) struct KeyframeRequests {
    interval: Duration,
    max_interval: Duration,
    /// A keyframe is needed.
    needed: bool,
    /// The sender sends.
    expected: bool,
    /// When to request next, while one is needed.
    due: Option<Instant>,
    last: Option<Instant>,
    /// Requests since the last keyframe that could be decoded.
    unanswered: u32,
    pending: bool,
    count: u64,
}

impl KeyframeRequests {
    /// Nothing is needed yet.
    pub(super) fn new(interval: Duration, max_interval: Duration) -> Self {
        Self {
            interval,
            max_interval,
            needed: false,
            expected: true,
            due: None,
            last: None,
            unanswered: 0,
            pending: false,
            count: 0,
        }
    }

    /// A keyframe has begun to arrive: it is requested only if it is not there in time.
    pub(super) fn expect(&mut self, now: Instant) {
        self.needed = true;
        self.due = Some(now + self.interval);
    }

    /// Only a keyframe helps.
    pub(super) fn need(&mut self, now: Instant) {
        self.needed = true;
        if self.due.is_none() {
            let earliest = self.last.map_or(now, |last| last + self.spacing());
            self.due = Some(earliest);
            self.handle_timeout(now);
        }
    }

    /// One is there.
    pub(super) fn fulfilled(&mut self) {
        (self.needed, self.due, self.pending) = (false, None, false);
    }

    /// It could be decoded: the next loss begins anew. A partner whose keyframes are all broken is asked
    /// less and less often.
    pub(super) fn decoded(&mut self) {
        self.unanswered = 0;
    }

    /// See [`FrameAssembler::set_expected`](super::FrameAssembler::set_expected).
    pub(super) fn set_expected(&mut self, now: Instant, expected: bool) {
        if std::mem::replace(&mut self.expected, expected) || !expected {
            return;
        }

        self.unanswered = 0;
        if self.needed {
            self.due = Some(self.last.map_or(now, |last| now.max(last + self.interval)));
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.expected)
    }

    /// Requests a keyframe if that is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.due().is_none_or(|due| now < due) {
            return;
        }

        self.pending = true;
        self.count += 1;
        self.unanswered += 1;
        self.last = Some(now);
        self.due = Some(now + self.spacing());
    }

    /// The time between the last request and the next one.
    fn spacing(&self) -> Duration {
        let doublings = self.unanswered.saturating_sub(QUICK).min(16);
        (self.interval * (1 << doublings)).min(self.max_interval)
    }

    /// Whether to send a request now. True once per request.
    pub(super) fn poll(&mut self) -> bool {
        std::mem::take(&mut self.pending)
    }

    /// How many requests there were in all.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn requests() -> KeyframeRequests {
        KeyframeRequests::new(300 * MS, 2_000 * MS)
    }

    /// The times of the requests from `from` to `to`, ms.
    fn run(requests: &mut KeyframeRequests, start: Instant, from: u32, to: u32) -> Vec<u32> {
        (from..to)
            .filter(|ms| {
                requests.handle_timeout(start + MS * *ms);
                requests.poll()
            })
            .collect()
    }

    #[test]
    fn requests_become_rare_while_nobody_answers() {
        let (mut requests, start) = (requests(), Instant::now());
        requests.need(start);
        assert_eq!(
            run(&mut requests, start, 0, 12_000),
            [0, 300, 600, 900, 1_500, 2_700, 4_700, 6_700, 8_700, 10_700],
        );

        requests.fulfilled();
        requests.decoded();
        assert!(run(&mut requests, start, 12_000, 20_000).is_empty());
        requests.need(start + MS * 20_000);
        assert_eq!(
            run(&mut requests, start, 20_000, 20_900),
            [20_000, 20_300, 20_600],
            "another loss begins anew"
        );
    }

    #[test]
    fn keyframes_that_cannot_be_decoded_are_requested_less_and_less_often() {
        let (mut requests, start) = (requests(), Instant::now());
        let asked: Vec<u32> = (0..12_000)
            .filter(|ms| {
                let now = start + MS * *ms;
                requests.need(now);
                requests.handle_timeout(now);
                let asks = requests.poll();
                if ms % 10 == 0 {
                    requests.fulfilled();
                }
                asks
            })
            .collect();
        assert!(asked.len() <= 11, "{asked:?}");
    }

    #[test]
    fn nothing_is_requested_while_the_camera_is_off() {
        let (mut requests, start) = (requests(), Instant::now());
        requests.need(start);
        assert_eq!(run(&mut requests, start, 0, 100), [0]);

        requests.set_expected(start + MS * 100, false);
        assert_eq!(requests.due(), None, "and nothing wakes the thread");
        assert!(run(&mut requests, start, 100, 60_000).is_empty());

        requests.set_expected(start + MS * 60_000, true);
        assert_eq!(
            run(&mut requests, start, 60_000, 60_500),
            [60_000, 60_300],
            "it is needed as soon as the camera is back"
        );
    }

    proptest! {
        #[test]
        fn keyframes_that_do_not_decode_are_not_requested_without_end(
            steps in proptest::collection::vec((0_u32..50, 0_u8..5), 1..1_000),
        ) {
            let (mut requests, start) = (requests(), Instant::now());
            let (mut ms, mut last) = (0_u32, None::<u32>);

            for (wait, what) in steps {
                ms += wait;
                let now = start + MS * ms;
                match what {
                    0 => requests.fulfilled(),
                    1 => requests.need(now),
                    2 => requests.expect(now),
                    3 => requests.set_expected(now, wait % 2 == 0),
                    _ => requests.handle_timeout(now),
                }

                if requests.poll() {
                    let since = last.map(|last| ms - last);
                    prop_assert!(since.is_none_or(|since| since >= 300), "{:?} ms apart", since);
                    last = Some(ms);
                }
            }
        }
    }
}
