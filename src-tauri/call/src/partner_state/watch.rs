//! Whether a partner who does not say so has the camera on.

use std::time::{Duration, Instant};

/// Pictures that stay away for so long, on a connection that lives, are not sent.
const NO_PICTURES: Duration = Duration::from_millis(2_500);
/// A connection lives if something came this recently: without sound it is still an RTCP report a second.
const ALIVE: Duration = Duration::from_millis(1_500);

/// Tells a camera that is off from a connection that is broken: only time in which something else came counts.
///
/// A browser whose camera is "off" by `track.enabled = false` sends black pictures; it has a camera that is on.
#[derive(Debug, Clone)]
pub struct PictureWatch {
    /// Since when the connection has lived without a break.
    alive_since: Option<Instant>,
    camera_on: bool,
}

impl Default for PictureWatch {
    fn default() -> Self {
        Self {
            alive_since: None,
            camera_on: true,
        }
    }
}

impl PictureWatch {
    /// Looks at the connection at `now`; several times a second. `heard`: the newest packet of any kind; `picture`: the
    /// newest packet of pictures. Returns whether the camera is taken to be on.
    pub fn observe(
        &mut self,
        now: Instant,
        heard: Option<Instant>,
        picture: Option<Instant>,
    ) -> bool {
        let ago = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        if ago(heard).is_none_or(|silence| silence > ALIVE) {
            // Nothing can be said of a line that is dead.
            self.alive_since = None;
            return self.camera_on;
        }

        let alive_since = *self.alive_since.get_or_insert(now);
        let waited =
            now.saturating_duration_since(picture.map_or(alive_since, |at| at.max(alive_since)));

        if ago(picture).is_some_and(|silence| silence < ALIVE) {
            self.camera_on = true;
        } else if waited >= NO_PICTURES {
            self.camera_on = false;
        }

        self.camera_on
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    /// What comes in a stretch of time.
    #[derive(Clone, Copy, PartialEq)]
    enum Comes {
        Everything,
        /// Sound, or at least reports.
        NoPictures,
        Nothing,
    }

    /// Runs stretches of so many ms; returns the times at which the verdict changed, with the new verdict.
    fn verdicts(plan: &[(u64, Comes)]) -> Vec<(u64, bool)> {
        let start = Instant::now();
        let (mut watch, mut heard, mut picture) = (PictureWatch::default(), None, None);
        let (mut ms, mut on, mut changes) = (0, true, Vec::new());

        for (length, comes) in plan {
            let end = ms + length;
            while ms < end {
                let now = start + Duration::from_millis(ms);

                // A report comes every second, pictures all the time.
                if *comes == Comes::Everything || (*comes == Comes::NoPictures && ms % 1_000 == 0) {
                    heard = Some(now);
                }

                if *comes == Comes::Everything {
                    picture = Some(now);
                }

                let verdict = watch.observe(now, heard, picture);
                if verdict != on {
                    on = verdict;
                    changes.push((ms, on));
                }

                ms += 100;
            }
        }

        changes
    }

    fn assert_changes(plan: &[(u64, Comes)], expected: &[(Range<u64>, bool)]) {
        let changes = verdicts(plan);
        let fits = changes.len() == expected.len()
            && changes
                .iter()
                .zip(expected)
                .all(|((at, on), (range, wanted))| range.contains(at) && on == wanted);
        assert!(fits, "{changes:?} should be {expected:?}");
    }

    #[test]
    fn pictures_that_stop_while_reports_come_mean_camera_off() {
        use Comes::{Everything, NoPictures};
        assert_changes(
            &[
                (5_000, Everything),
                (10_000, NoPictures),
                (3_000, Everything),
            ],
            &[(7_400..7_700, false), (15_000..15_200, true)],
        );
    }

    #[test]
    fn a_partner_without_a_camera_is_noticed_too() {
        assert_changes(&[(10_000, Comes::NoPictures)], &[(2_500..2_700, false)]);
    }

    #[test]
    fn an_outage_says_nothing_about_the_camera() {
        use Comes::{Everything, NoPictures, Nothing};
        assert_changes(
            &[(5_000, Everything), (20_000, Nothing), (5_000, Everything)],
            &[],
        );

        // Sound is back a little before the pictures, which need a keyframe.
        assert_changes(
            &[
                (5_000, Everything),
                (4_000, Nothing),
                (2_000, NoPictures),
                (5_000, Everything),
            ],
            &[],
        );
    }

    #[test]
    fn a_camera_that_was_off_stays_off_over_an_outage() {
        use Comes::{Everything, NoPictures, Nothing};
        assert_changes(
            &[
                (3_000, Everything),
                (4_000, NoPictures),
                (4_000, Nothing),
                (4_000, NoPictures),
            ],
            &[(5_400..5_700, false)],
        );
    }

    #[test]
    fn a_short_pause_is_none() {
        use Comes::{Everything, NoPictures};
        assert_changes(
            &[
                (5_000, Everything),
                (2_300, NoPictures),
                (5_000, Everything),
            ],
            &[],
        );
    }
}
