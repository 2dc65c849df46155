//! The devices that the home screen (`Lobby`) holds open: the preview's camera and the level
//! meter's microphone. They follow from what is on the screen, not from which button was pressed.

use tandem_media::DeviceError;
use tandem_media::audio::AudioSource;
use tandem_media::video::{VideoFormat, VideoSpec};

use super::{App, CallPlan, Effect, PreviewId};
use crate::desktop::state::{Devices, Preview, PreviewStatus, ProblemPlace, Screen};

/// What the effects so far leave open on the home screen.
#[derive(Debug, Default)]
pub(super) struct LobbyDevices {
    /// The window is hidden or minimized.
    pub(super) hidden: bool,
    /// The preview whose camera is open or being opened.
    preview: Option<(PreviewId, VideoSpec, VideoFormat)>,
    /// A camera that failed. It is not tried again until something changes.
    failed: Option<VideoSpec>,
    /// The microphone of the level meter.
    monitor: Option<AudioSource>,
    /// The kinds of devices that could not be listed.
    unlisted: Vec<ProblemPlace>,
    /// A call ended and may have left its camera open, for the preview to take over.
    camera_left_open: bool,
}

impl App {
    /// Opens and releases devices so that the home screen holds what it needs.
    pub(super) fn sync_devices(&mut self) {
        let in_lobby =
            self.state.screen == Screen::Lobby && !self.lobby_devices.hidden && !self.closing;

        let video = Some(self.video()).filter(|video| *video != VideoSpec::None);
        let wanted = video.filter(|_| in_lobby && self.state.settings.camera_enabled);
        self.sync_preview(wanted.as_ref());

        // A muted microphone is not listened to, not even for its level.
        let microphone = Some(self.audio()).filter(|audio| *audio != AudioSource::None);
        self.sync_monitor(microphone.filter(|_| in_lobby && !self.state.settings.muted));
    }

    fn sync_preview(&mut self, wanted: Option<&VideoSpec>) {
        let format = self.video_quality().format;
        let held = self.lobby_devices.preview.as_ref();
        let is_held =
            held.map(|(_, video, held)| (video, held)) == wanted.map(|video| (video, &format));
        if !is_held {
            if self.lobby_devices.preview.take().is_some() {
                self.effects.push_back(Effect::StopPreview);
            }

            if self.lobby_devices.failed.as_ref() != wanted {
                self.lobby_devices.failed = None;
                if let Some(video) = wanted {
                    self.start_preview(video.clone());
                }
            }
        }

        if std::mem::take(&mut self.lobby_devices.camera_left_open) {
            self.effects.push_back(Effect::ReleaseCamera);
        }

        if self.lobby_devices.preview.is_none() {
            let has_failed = wanted.is_some();
            self.state.preview = Preview {
                status: if has_failed {
                    PreviewStatus::Failed
                } else {
                    PreviewStatus::Off
                },
            };
        }
    }

    fn start_preview(&mut self, video: VideoSpec) {
        let id = PreviewId(self.next_id());
        let format = self.video_quality().format;

        // A camera that a call left open is now the preview's.
        self.lobby_devices.camera_left_open = false;
        self.lobby_devices.preview = Some((id, video.clone(), format));
        self.effects
            .push_back(Effect::StartPreview(id, video, format));
        self.state.preview = Preview {
            status: PreviewStatus::Starting,
        };
    }

    fn sync_monitor(&mut self, wanted: Option<AudioSource>) {
        if self.lobby_devices.monitor != wanted {
            if self.lobby_devices.monitor.is_some() {
                self.effects.push_back(Effect::StopMonitor);
            }

            if let Some(source) = wanted.clone() {
                self.effects.push_back(Effect::StartMonitor(source));
            }

            self.lobby_devices.monitor = wanted;
        }
    }

    /// Frees the devices for a call that is about to start with `plan`. If the call sends from the
    /// preview's camera, that stays open for the call to take over: its light stays on, and the
    /// first frame does not wait for the device.
    pub(super) fn hand_over_devices(&mut self, plan: &CallPlan) {
        self.sync_monitor(None);

        let is_taken_over = plan.camera_on
            && self
                .lobby_devices
                .preview
                .take_if(|(_, video, format)| {
                    *video == plan.video && *format == plan.video_quality.format
                })
                .is_some();

        if is_taken_over {
            self.effects.push_back(Effect::HandOverPreview);
        }

        self.sync_preview(None);
    }

    /// Notes that the ending call gives its camera back to the preview.
    pub(super) fn take_back_camera(&mut self) {
        self.lobby_devices.camera_left_open = true;
    }

    /// Releases every device, before the program ends.
    pub(super) fn release_devices(&mut self) {
        self.sync_preview(None);
        self.sync_monitor(None);
    }

    pub(super) fn on_preview(&mut self, id: PreviewId, result: Result<(), DeviceError>) {
        if self
            .lobby_devices
            .preview
            .as_ref()
            .is_none_or(|(held, ..)| *held != id)
        {
            return;
        }

        match result {
            Ok(()) => {
                self.state.preview = Preview {
                    status: PreviewStatus::On,
                };

                self.solved(ProblemPlace::Camera);
            }
            Err(error) => {
                self.effects.push_back(Effect::StopPreview);
                self.lobby_devices.failed =
                    self.lobby_devices.preview.take().map(|(_, video, _)| video);
                self.device_problem(ProblemPlace::Camera, error);
            }
        }
    }

    pub(super) fn on_devices(
        &mut self,
        devices: Devices,
        errors: Vec<(ProblemPlace, DeviceError)>,
    ) {
        if devices.cameras != self.state.devices.cameras {
            self.retry_camera();
        }

        self.state.devices = devices;

        // A listing that works again ends the problem of the one that failed, and no other.
        let listed_now = |place: &ProblemPlace| errors.iter().all(|(failed, _)| failed != place);
        for place in std::mem::take(&mut self.lobby_devices.unlisted) {
            if listed_now(&place) {
                self.solved(place);
            }
        }

        for (place, error) in errors {
            self.lobby_devices.unlisted.push(place);
            self.device_problem(place, error);
        }
    }

    /// Lets a camera that failed be opened again, because something has changed.
    pub(super) fn retry_camera(&mut self) {
        self.lobby_devices.failed = None;
    }

    /// Opens the level meter's microphone again if it failed. Its failure shows only as a problem. In
    /// a call the microphone is the call's, which says when it works again.
    pub(super) fn retry_microphone(&mut self) {
        if self.call.is_some() {
            return;
        }

        if self
            .state
            .problems
            .iter()
            .any(|problem| problem.place == ProblemPlace::Microphone)
        {
            self.sync_monitor(None);
            self.solved(ProblemPlace::Microphone);
        }
    }
}
