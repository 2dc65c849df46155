//! Whether the camera of a partner that does not report its state is on.

use std::time::{Duration, Instant};

/// After this long without video, on a connection that is otherwise alive, the camera counts as
/// off.
const VIDEO_TIMEOUT: Duration = Duration::from_millis(2_500);

/// A connection is alive if anything arrived this recently: even without audio there is one RTCP
/// report per second.
const ALIVE_WITHIN: Duration = Duration::from_millis(1_500);

/// Distinguishes a camera that is off from a connection that is broken: only time in which other
/// packets arrive counts.
///
/// A browser that turns its camera off with `track.enabled = false` sends black frames, so its
/// camera counts as on.
#[derive(Debug, Clone)]
pub(crate) struct CameraWatch {
    /// Since when the connection has been alive without a break.
    alive_since: Option<Instant>,
    camera_on: bool,
}

impl Default for CameraWatch {
    fn default() -> Self {
        Self {
            alive_since: None,
            camera_on: true,
        }
    }
}

impl CameraWatch {
    /// Updates the verdict at `now`; call it several times a second. `last_packet` is when the
    /// newest packet of any kind arrived, `last_video` the newest packet of video. Returns whether
    /// the camera counts as on.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        last_packet: Option<Instant>,
        last_video: Option<Instant>,
    ) -> bool {
        let ago = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));

        if ago(last_packet).is_none_or(|silence| silence > ALIVE_WITHIN) {
            // A dead connection says nothing about the camera.
            self.alive_since = None;
            return self.camera_on;
        }

        let alive_since = *self.alive_since.get_or_insert(now);
        let waiting_since = last_video.map_or(alive_since, |at| at.max(alive_since));
        let waited = now.saturating_duration_since(waiting_since);

        if ago(last_video).is_some_and(|silence| silence < ALIVE_WITHIN) {
            self.camera_on = true;
        } else if waited >= VIDEO_TIMEOUT {
            self.camera_on = false;
        }

        self.camera_on
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

    use std::ops::Range;

    use super::*;

    /// What arrives during one phase of a plan.
    #[derive(Clone, Copy, PartialEq)]
    enum Arrives {
        Everything,
        /// Audio, or at least RTCP reports.
        NoVideo,
        Nothing,
    }

    /// Runs a plan of phases, each with its length in ms. Returns when the verdict changed (ms),
    /// and to what.
    fn verdicts(plan: &[(u64, Arrives)]) -> Vec<(u64, bool)> {
        let start = Instant::now();
        let (mut watch, mut last_packet, mut last_video) = (CameraWatch::default(), None, None);
        let (mut ms, mut on, mut changes) = (0, true, Vec::new());

        for (length, arrives) in plan {
            let end = ms + length;
            while ms < end {
                let now = start + Duration::from_millis(ms);

                // A report arrives every second, video all the time.
                let report = *arrives == Arrives::NoVideo && ms % 1_000 == 0;

                if *arrives == Arrives::Everything || report {
                    last_packet = Some(now);
                }

                if *arrives == Arrives::Everything {
                    last_video = Some(now);
                }

                let verdict = watch.observe(now, last_packet, last_video);
                if verdict != on {
                    on = verdict;
                    changes.push((ms, on));
                }

                ms += 100;
            }
        }

        changes
    }

    fn assert_changes(plan: &[(u64, Arrives)], expected: &[(Range<u64>, bool)]) {
        let changes = verdicts(plan);
        let fits = changes.len() == expected.len()
            && changes
                .iter()
                .zip(expected)
                .all(|((at, on), (range, wanted))| range.contains(at) && on == wanted);
        assert!(fits, "{changes:?} should be {expected:?}");
    }

    #[test]
    fn the_camera_is_off_when_video_stops_but_reports_continue() {
        use Arrives::{Everything, NoVideo};
        assert_changes(
            &[(5_000, Everything), (10_000, NoVideo), (3_000, Everything)],
            &[(7_400..7_700, false), (15_000..15_200, true)],
        );
    }

    #[test]
    fn a_partner_that_never_sends_video_has_the_camera_off() {
        assert_changes(&[(10_000, Arrives::NoVideo)], &[(2_500..2_700, false)]);
    }

    #[test]
    fn an_outage_says_nothing_about_the_camera() {
        use Arrives::{Everything, NoVideo, Nothing};
        assert_changes(
            &[(5_000, Everything), (20_000, Nothing), (5_000, Everything)],
            &[],
        );

        // Audio returns a little before video, which needs a keyframe.
        assert_changes(
            &[
                (5_000, Everything),
                (4_000, Nothing),
                (2_000, NoVideo),
                (5_000, Everything),
            ],
            &[],
        );
    }

    #[test]
    fn a_camera_that_was_off_stays_off_during_an_outage() {
        use Arrives::{Everything, NoVideo, Nothing};
        assert_changes(
            &[
                (3_000, Everything),
                (4_000, NoVideo),
                (4_000, Nothing),
                (4_000, NoVideo),
            ],
            &[(5_400..5_700, false)],
        );
    }

    #[test]
    fn a_short_pause_does_not_count() {
        use Arrives::{Everything, NoVideo};
        assert_changes(
            &[(5_000, Everything), (2_300, NoVideo), (5_000, Everything)],
            &[],
        );
    }
}
