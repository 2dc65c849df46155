//! What this side's microphone and camera do, for the partner to know.

use tandem_media::audio::AudioSource;
use tandem_media::error::{MediaEvent, MediaPart};
use tandem_media::video::VideoSpec;
use tokio::sync::watch;

use super::CallOptions;
use crate::partner_state::PartnerState;

/// A part of what is sent.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// There is a source.
    source: bool,
    /// The user wants it sent.
    wanted: bool,
    /// The source has failed since it was last chosen or switched on.
    failed: bool,
}

impl Part {
    fn new(source: bool) -> Self {
        Self {
            source,
            wanted: true,
            failed: false,
        }
    }

    fn sends(self) -> bool {
        self.source && self.wanted && !self.failed
    }
}

/// Follows commands and failures, and lets the state channels know.
#[derive(Debug)]
pub(super) struct OwnState {
    camera: Part,
    microphone: Part,
    told: watch::Sender<PartnerState>,
}

impl OwnState {
    pub(super) fn new(options: &CallOptions) -> Self {
        let camera = Part::new(options.video != VideoSpec::None);
        let microphone = Part::new(options.audio.source != AudioSource::None);
        let told = watch::Sender::default();
        let own = Self {
            camera,
            microphone,
            told,
        };

        own.tell();
        own
    }

    /// What is told, at first and with each change.
    pub(super) fn subscribe(&self) -> watch::Receiver<PartnerState> {
        self.told.subscribe()
    }

    pub(super) fn muted(&self) -> bool {
        !self.microphone.wanted
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.microphone.wanted = !muted;
        self.tell();
    }

    /// The camera is switched off, or on again: it may work this time.
    pub(super) fn set_camera(&mut self, on: bool) {
        self.camera = Part {
            wanted: on,
            failed: false,
            ..self.camera
        };

        self.tell();
    }

    /// Another camera, or none, was chosen.
    pub(super) fn set_video(&mut self, spec: &VideoSpec) {
        self.camera = Part {
            source: *spec != VideoSpec::None,
            failed: false,
            ..self.camera
        };

        self.tell();
    }

    /// Another microphone, or none, was chosen.
    pub(super) fn set_audio(&mut self, source: &AudioSource) {
        self.microphone = Part {
            source: *source != AudioSource::None,
            failed: false,
            ..self.microphone
        };

        self.tell();
    }

    pub(super) fn on_media(&mut self, event: &MediaEvent) {
        let MediaEvent::Failed { part, .. } = event;
        match part {
            MediaPart::Camera => self.camera.failed = true,
            MediaPart::Microphone => self.microphone.failed = true,
            MediaPart::Speaker | MediaPart::Recording => return,
        }

        self.tell();
    }

    fn tell(&self) {
        let state = PartnerState {
            muted: !self.microphone.sends(),
            camera_on: self.camera.sends(),
        };

        self.told
            .send_if_modified(|told| std::mem::replace(told, state) != state);
    }
}

#[cfg(test)]
mod tests {
    use tandem_media::audio::AudioConfig;
    use tandem_media::{DeviceError, MediaErrorCode};

    use super::*;

    fn both() -> OwnState {
        OwnState::new(&CallOptions {
            video: VideoSpec::Test,
            audio: AudioConfig {
                source: AudioSource::Test,
                ..AudioConfig::default()
            },
            ..CallOptions::new("ws://127.0.0.1:9000/ws")
        })
    }

    fn told(own: &OwnState) -> (bool, bool) {
        let state = *own.subscribe().borrow();
        (state.muted, state.camera_on)
    }

    #[test]
    fn without_sources_nothing_is_to_be_expected() {
        let own = OwnState::new(&CallOptions::new("ws://127.0.0.1:9000/ws"));
        assert_eq!(told(&own), (true, false), "no microphone, no camera");
    }

    #[test]
    fn switches_and_failures_are_told() {
        let mut own = both();
        assert_eq!(told(&own), (false, true));
        own.set_muted(true);
        own.set_camera(false);

        assert_eq!(told(&own), (true, false));
        own.set_muted(false);
        own.set_camera(true);
        let error = DeviceError::new(MediaErrorCode::CamUnplugged, "gone");
        own.on_media(&MediaEvent::Failed {
            part: MediaPart::Camera,
            error: error.clone(),
        });

        assert_eq!(
            told(&own),
            (false, false),
            "a camera that failed shows nothing"
        );

        own.on_media(&MediaEvent::Failed {
            part: MediaPart::Speaker,
            error,
        });

        own.set_camera(true);
        assert_eq!(
            told(&own),
            (false, true),
            "switched on again it gets another chance"
        );
    }

    #[test]
    fn another_device_gets_its_own_chance() {
        let mut own = both();
        let error = DeviceError::new(MediaErrorCode::MicUnplugged, "gone");
        own.on_media(&MediaEvent::Failed {
            part: MediaPart::Microphone,
            error,
        });

        own.set_video(&VideoSpec::None);
        assert_eq!(told(&own), (true, false));
        own.set_audio(&AudioSource::Microphone(None));
        own.set_video(&VideoSpec::Test);

        assert_eq!(told(&own), (false, true));
    }

    #[test]
    fn only_changes_wake_the_channel() {
        let mut own = both();
        let receiver = own.subscribe();
        own.set_muted(false);

        assert!(!receiver.has_changed().unwrap(), "nothing is different");
        own.set_muted(true);
        assert!(receiver.has_changed().unwrap());
    }
}
