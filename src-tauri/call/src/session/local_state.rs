//! Whether the local microphone and camera are on, as this side reports it to the partner.

use tandem_media::audio::AudioSource;
use tandem_media::error::{MediaEvent, MediaPart};
use tandem_media::video::VideoSpec;
use tokio::sync::watch;

use super::CallOptions;
use crate::partner_state::PartnerState;

/// Whether one medium is sent, and why not.
#[derive(Debug, Clone, Copy)]
struct SourceState {
    /// There is a source.
    present: bool,
    /// The user has it on.
    on: bool,
    /// The source has failed since it was last selected or turned on.
    failed: bool,
}

impl SourceState {
    fn new(present: bool) -> Self {
        Self {
            present,
            on: true,
            failed: false,
        }
    }

    fn sends(self) -> bool {
        self.present && self.on && !self.failed
    }
}

/// Follows commands and failures, and publishes the state for the state channel to send.
#[derive(Debug)]
pub(super) struct LocalState {
    camera: SourceState,
    microphone: SourceState,
    /// Nothing is sent yet: the user has not seen who the partner is.
    held: bool,
    published: watch::Sender<PartnerState>,
}

impl LocalState {
    pub(super) fn new(options: &CallOptions) -> Self {
        let local = Self {
            camera: SourceState::new(options.video != VideoSpec::None),
            microphone: SourceState::new(options.audio.source != AudioSource::None),
            held: options.hold_media,
            published: watch::Sender::default(),
        };

        local.publish();
        local
    }

    /// The state now, and each change of it.
    pub(super) fn subscribe(&self) -> watch::Receiver<PartnerState> {
        self.published.subscribe()
    }

    /// Nothing is sent, or what is on.
    pub(super) fn set_held(&mut self, held: bool) {
        self.held = held;
        self.publish();
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.microphone.on = !muted;
        self.publish();
    }

    /// The camera was turned off, or on again. Turning it on forgets an earlier failure: it may
    /// work this time.
    pub(super) fn set_camera(&mut self, on: bool) {
        self.camera = SourceState {
            on,
            failed: false,
            ..self.camera
        };

        self.publish();
    }

    /// Another camera, or none, was selected.
    pub(super) fn set_video(&mut self, spec: &VideoSpec) {
        self.camera = SourceState {
            present: *spec != VideoSpec::None,
            failed: false,
            ..self.camera
        };

        self.publish();
    }

    /// Another microphone, or none, was selected.
    pub(super) fn set_audio(&mut self, source: &AudioSource) {
        self.microphone = SourceState {
            present: *source != AudioSource::None,
            failed: false,
            ..self.microphone
        };

        self.publish();
    }

    /// A camera or microphone failed, or works again.
    pub(super) fn on_media(&mut self, event: &MediaEvent) {
        let (part, failed) = match event {
            MediaEvent::Failed { part, .. } => (part, true),
            MediaEvent::Recovered { part } => (part, false),
        };
        match part {
            MediaPart::Camera => self.camera.failed = failed,
            MediaPart::Microphone => self.microphone.failed = failed,
            MediaPart::Speaker | MediaPart::Recording => return,
        }

        self.publish();
    }

    fn publish(&self) {
        let state = PartnerState {
            muted: self.held || !self.microphone.sends(),
            camera_on: !self.held && self.camera.sends(),
        };

        self.published
            .send_if_modified(|published| std::mem::replace(published, state) != state);
    }
}

#[cfg(test)]
mod tests {
    use tandem_media::audio::AudioConfig;
    use tandem_media::{DeviceError, MediaErrorCode};

    use super::*;

    fn both_on() -> LocalState {
        LocalState::new(&CallOptions {
            video: VideoSpec::Test,
            audio: AudioConfig {
                source: AudioSource::Test,
                ..AudioConfig::default()
            },
            ..CallOptions::new("ws://127.0.0.1:9000/ws".parse().unwrap())
        })
    }

    /// The published state: (muted, camera on).
    fn published(local: &LocalState) -> (bool, bool) {
        let state = *local.subscribe().borrow();
        (state.muted, state.camera_on)
    }

    #[test]
    fn without_sources_both_are_off() {
        let local = LocalState::new(&CallOptions::new("ws://127.0.0.1:9000/ws".parse().unwrap()));
        assert_eq!(published(&local), (true, false), "no microphone, no camera");
    }

    #[test]
    fn switches_and_failures_are_published() {
        let mut local = both_on();
        assert_eq!(published(&local), (false, true));
        local.set_muted(true);
        local.set_camera(false);

        assert_eq!(published(&local), (true, false));
        local.set_muted(false);
        local.set_camera(true);
        let error = DeviceError::new(MediaErrorCode::CamUnplugged, "gone");
        local.on_media(&MediaEvent::Failed {
            part: MediaPart::Camera,
            error: error.clone(),
        });

        assert_eq!(
            published(&local),
            (false, false),
            "a camera that failed is off"
        );

        local.on_media(&MediaEvent::Failed {
            part: MediaPart::Speaker,
            error,
        });

        local.set_camera(true);
        assert_eq!(
            published(&local),
            (false, true),
            "turning it on again gives it another chance"
        );
    }

    #[test]
    fn selecting_another_device_forgets_the_failure() {
        let mut local = both_on();
        let error = DeviceError::new(MediaErrorCode::MicUnplugged, "gone");
        local.on_media(&MediaEvent::Failed {
            part: MediaPart::Microphone,
            error,
        });

        local.set_video(&VideoSpec::None);
        assert_eq!(published(&local), (true, false));
        local.set_audio(&AudioSource::Microphone(None));
        local.set_video(&VideoSpec::Test);

        assert_eq!(published(&local), (false, true));
    }

    #[test]
    fn only_changes_wake_the_state_channel() {
        let mut local = both_on();
        let receiver = local.subscribe();
        local.set_muted(false);

        assert!(!receiver.has_changed().unwrap(), "nothing has changed");
        local.set_muted(true);
        assert!(receiver.has_changed().unwrap());
    }
}
