//! The devices that the lobby holds: they follow from what is on the screen, not from what was pressed.

use tandem_media::DeviceError;
use tandem_media::audio::AudioSource;
use tandem_media::video::VideoSpec;

use super::{App, Effect, PreviewId};
use crate::desktop::state::{Devices, Place, Preview, PreviewStatus, Screen};

/// What the lobby holds, as far as the effects say.
#[derive(Debug, Default)]
pub(super) struct Resources {
    /// The window cannot be seen.
    pub(super) hidden: bool,
    /// The opened (or opening) camera of the preview.
    preview: Option<(PreviewId, VideoSpec)>,
    /// A camera that failed is not tried again until something changes.
    failed: Option<VideoSpec>,
    monitor: Option<AudioSource>,
}

impl App {
    /// Brings what is held to what is wanted.
    pub(super) fn settle(&mut self) {
        let in_lobby =
            self.state.screen == Screen::Lobby && !self.resources.hidden && !self.closing;
        let video = Some(self.video()).filter(|video| *video != VideoSpec::None);
        let wanted = video.filter(|_| in_lobby && self.state.settings.camera_enabled);
        self.settle_preview(wanted.as_ref());
        let microphone = Some(self.audio()).filter(|audio| *audio != AudioSource::None);
        self.settle_monitor(microphone.filter(|_| in_lobby));
    }

    fn settle_preview(&mut self, wanted: Option<&VideoSpec>) {
        let held = self.resources.preview.as_ref().map(|(_, video)| video);
        if held != wanted {
            if self.resources.preview.take().is_some() {
                self.effects.push_back(Effect::StopPreview);
            }

            if self.resources.failed.as_ref() != wanted {
                self.resources.failed = None;
                if let Some(video) = wanted.cloned() {
                    let id = PreviewId(self.next_id());
                    self.resources.preview = Some((id, video.clone()));
                    self.effects.push_back(Effect::StartPreview(id, video));
                    self.state.preview = Preview {
                        status: PreviewStatus::Starting,
                    };
                }
            }
        }

        if self.resources.preview.is_none() {
            let failed = wanted.is_some();
            self.state.preview = Preview {
                status: if failed {
                    PreviewStatus::Failed
                } else {
                    PreviewStatus::Off
                },
            };
        }
    }

    fn settle_monitor(&mut self, wanted: Option<AudioSource>) {
        if self.resources.monitor != wanted {
            if self.resources.monitor.is_some() {
                self.effects.push_back(Effect::StopMonitor);
            }

            if let Some(source) = wanted.clone() {
                self.effects.push_back(Effect::StartMonitor(source));
            }

            self.resources.monitor = wanted;
        }
    }

    /// Lets go of everything, before a call begins or the program ends.
    pub(super) fn release_all(&mut self) {
        self.settle_preview(None);
        self.settle_monitor(None);
    }

    pub(super) fn on_preview(&mut self, id: PreviewId, result: Result<(), DeviceError>) {
        if self
            .resources
            .preview
            .as_ref()
            .is_none_or(|(held, _)| *held != id)
        {
            return;
        }

        match result {
            Ok(()) => {
                self.state.preview = Preview {
                    status: PreviewStatus::On,
                };

                self.solved(Place::Camera);
            }
            Err(error) => {
                self.effects.push_back(Effect::StopPreview);
                self.resources.failed = self.resources.preview.take().map(|(_, video)| video);
                self.problem_of_device(Place::Camera, error);
            }
        }
    }

    pub(super) fn on_devices(&mut self, devices: Devices, errors: Vec<(Place, DeviceError)>) {
        if devices.cameras != self.state.devices.cameras {
            self.try_camera_again();
        }

        self.state.devices = devices;
        for (place, error) in errors {
            self.problem_of_device(place, error);
        }
    }

    /// What failed may work now.
    pub(super) fn try_camera_again(&mut self) {
        self.resources.failed = None;
    }

    /// The same for the microphone of the level meter, whose failure only shows as a problem.
    pub(super) fn try_microphone_again(&mut self) {
        if self
            .state
            .problems
            .iter()
            .any(|problem| problem.place == Place::Microphone)
        {
            self.settle_monitor(None);
            self.solved(Place::Microphone);
        }
    }
}
