//! When a camera that failed is opened again, and which one. Sans-IO: time is an argument.

use std::time::{Duration, Instant};

use tandem_media::DeviceError;
use tandem_media::recovery::Recovery;
use tandem_media::video::{CameraSelector, VideoSpec};

/// How often to look whether a camera is back for which the default one stands in.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

/// The failures of the video source of a call. Files and the test pattern have none that a retry would
/// repair.
pub(super) struct CameraRecovery {
    /// The source that was asked for.
    spec: VideoSpec,
    recovery: Recovery,
    retry_at: Option<Instant>,
    /// The default camera stands in for the chosen one.
    stands_in: bool,
    look_at: Option<Instant>,
    /// Why the camera delivers nothing more. It says more than why it does not open again.
    died_of: Option<DeviceError>,
}

/// What is due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Open [`CameraRecovery::to_open`].
    pub(super) open: bool,
    /// A camera whose failure was reported works again.
    pub(super) is_back: bool,
    /// Look whether this camera is listed, and tell [`CameraRecovery::on_listed`].
    pub(super) look: Option<CameraSelector>,
}

impl CameraRecovery {
    pub(super) fn new(spec: VideoSpec) -> Self {
        Self {
            spec,
            recovery: Recovery::default(),
            retry_at: None,
            stands_in: false,
            look_at: None,
            died_of: None,
        }
    }

    /// The source to open now.
    pub(super) fn to_open(&self) -> VideoSpec {
        if self.stands_in {
            VideoSpec::Camera(CameraSelector::Default)
        } else {
            self.spec.clone()
        }
    }

    /// The source is open.
    pub(super) fn on_opened(&mut self, now: Instant) {
        self.recovery.on_open(now);
        self.look_at = self.stands_in.then(|| now + LOOK_INTERVAL);
    }

    /// The source was open and delivers nothing more. Returns what to report.
    pub(super) fn on_death(&mut self, now: Instant, error: DeviceError) -> Option<DeviceError> {
        self.look_at = None;
        if self.chosen().is_none() {
            return Some(error);
        }

        self.died_of = Some(error.clone());
        let retry = self.recovery.on_death();
        self.retry_at = Some(now + retry.after);
        retry.report.then_some(error)
    }

    /// The source does not open. Returns what to report.
    pub(super) fn on_refusal(&mut self, now: Instant, error: DeviceError) -> Option<DeviceError> {
        let Some(chosen) = self.chosen() else {
            return Some(error);
        };

        // A camera that was never there has no stand-in: the user should choose another one.
        let can_stand_in = *chosen != CameraSelector::Default && self.recovery.has_worked();
        self.stands_in = can_stand_in && !self.stands_in;

        let retry = self.recovery.on_refusal();
        self.retry_at = Some(now + retry.after);
        retry.report.then(|| self.died_of.clone().unwrap_or(error))
    }

    /// Whether the chosen camera is listed. Returns whether to open it now.
    pub(super) fn on_listed(&mut self, is_listed: bool) -> bool {
        self.stands_in &= !is_listed;
        is_listed
    }

    /// The user wants a camera that does not work to be tried now. Returns whether there is one.
    pub(super) fn retry(&mut self) -> bool {
        let is_waiting = self.retry_at.take().is_some();
        if is_waiting {
            self.recovery.start_over();
            self.stands_in = false;
        }

        is_waiting
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.retry_at, self.look_at, self.recovery.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Due {
        let is_due = |at: &mut Instant| *at <= now;
        let look = self.look_at.take_if(is_due).is_some();
        if look {
            self.look_at = Some(now + LOOK_INTERVAL);
        }

        Due {
            open: self.retry_at.take_if(is_due).is_some(),
            is_back: self.recovery.is_back(now),
            look: self.chosen().filter(|_| look).cloned(),
        }
    }

    fn chosen(&self) -> Option<&CameraSelector> {
        match &self.spec {
            VideoSpec::Camera(which) => Some(which),
            VideoSpec::None | VideoSpec::Test | VideoSpec::File(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the real time")]
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tandem_media::MediaErrorCode::{self, CamFormat, CamInUse, CamNotFound, CamUnplugged};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn error(code: MediaErrorCode) -> DeviceError {
        DeviceError::new(code, "a test")
    }

    fn named() -> VideoSpec {
        VideoSpec::Camera(CameraSelector::Exact("Desk".into()))
    }

    fn default() -> VideoSpec {
        VideoSpec::Camera(CameraSelector::Default)
    }

    fn code(report: Option<DeviceError>) -> Option<MediaErrorCode> {
        report.map(|error| error.code)
    }

    /// Goes to the next moment at which something is due.
    fn next(camera: &mut CameraRecovery, now: &mut Instant) -> Due {
        *now = camera.poll_timeout().expect("something is due later");
        camera.handle_timeout(*now)
    }

    #[test]
    fn a_camera_that_stops_for_a_moment_is_not_worth_a_word() {
        let (mut camera, mut now) = (CameraRecovery::new(default()), Instant::now());
        camera.on_opened(now);
        assert_eq!(camera.on_death(now, error(CamUnplugged)), None);
        let begin = now;
        assert!(next(&mut camera, &mut now).open);
        assert!(now - begin <= Duration::from_millis(50), "soon");
        camera.on_opened(now);
        assert_eq!(
            next(&mut camera, &mut now),
            Due::default(),
            "nothing to say"
        );
        assert_eq!(camera.poll_timeout(), None, "all is well");
    }

    #[test]
    fn the_default_camera_stands_in_until_the_chosen_one_is_back() {
        let (mut camera, mut now) = (CameraRecovery::new(named()), Instant::now());
        camera.on_opened(now);
        camera.on_death(now, error(CamUnplugged));
        next(&mut camera, &mut now);
        let report = camera.on_refusal(now, error(CamNotFound));
        assert_eq!(code(report), Some(CamUnplugged), "what happened to it");

        assert!(next(&mut camera, &mut now).open);
        assert_eq!(camera.to_open(), default());
        camera.on_opened(now);
        assert!(next(&mut camera, &mut now).is_back, "there is a camera");

        let look = loop {
            if let Some(look) = next(&mut camera, &mut now).look {
                break look;
            }
        };
        assert_eq!(VideoSpec::Camera(look), named());
        assert!(!camera.on_listed(false));
        assert_eq!(camera.to_open(), default());
        assert!(camera.on_listed(true), "back");
        assert_eq!(camera.to_open(), named());
    }

    #[test]
    fn a_camera_that_never_worked_is_not_replaced_but_tried_again() {
        let (mut camera, mut now) = (CameraRecovery::new(named()), Instant::now());
        assert_eq!(
            code(camera.on_refusal(now, error(CamInUse))),
            Some(CamInUse)
        );

        for _ in 0..20 {
            let before = now;
            assert!(next(&mut camera, &mut now).open, "never given up");
            assert!(now - before >= 2 * SECOND && now - before <= 10 * SECOND);
            assert_eq!(camera.to_open(), named());
            assert_eq!(camera.on_refusal(now, error(CamInUse)), None, "known");
        }

        assert!(camera.retry(), "the user does not want to wait");
        camera.on_opened(now);
        assert!(next(&mut camera, &mut now).is_back);
        assert!(!camera.retry(), "it works");
    }

    #[test]
    fn broken_frames_are_reported_if_the_next_attempts_bring_no_others() {
        let (mut camera, mut now) = (CameraRecovery::new(default()), Instant::now());
        let mut reports = Vec::new();
        for _ in 0..6 {
            camera.on_opened(now);
            reports.extend(code(camera.on_death(now + SECOND, error(CamFormat))));
            now += SECOND;
            next(&mut camera, &mut now);
        }

        assert_eq!(reports, [CamFormat], "once");
    }

    #[test]
    fn a_file_is_not_tried_again() {
        let mut camera = CameraRecovery::new(VideoSpec::File("/no/clip.y4m".into()));
        let failed = error(MediaErrorCode::FileUnreadable);
        assert_eq!(
            camera.on_refusal(Instant::now(), failed.clone()),
            Some(failed)
        );
        assert_eq!(camera.poll_timeout(), None);
    }
}
