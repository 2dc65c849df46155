//! Settings that the command line replaces for this run.

use tandem_signaling::ServerUrl;

use super::Launch;
use crate::desktop::state::Settings;

/// What the settings file has where the command line replaces it, so that saving the settings does
/// not save the command line. A field is `None` if it is not replaced, or no longer: what the user
/// chooses in the window counts from then on and is saved.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    pub(super) server_url: Option<Option<ServerUrl>>,
    pub(super) name: Option<String>,
    pub(super) ca_file: Option<Option<String>>,
    pub(super) camera: Option<Option<String>>,
    pub(super) microphone: Option<Option<String>>,
    pub(super) speaker: Option<Option<String>>,
}

impl Replaced {
    /// Replaces in `settings` what `launch` has.
    pub(super) fn replace(settings: &mut Settings, launch: &Launch) -> Self {
        let ca_file = launch.ca_file.as_ref();

        Self {
            server_url: launch
                .server_url
                .clone()
                .map(|url| settings.server_url.replace(url)),
            name: launch
                .name
                .clone()
                .map(|name| std::mem::replace(&mut settings.name, name)),
            ca_file: ca_file.map(|path| {
                let path = path.to_string_lossy().into_owned();
                settings.ca_file.replace(path)
            }),
            // No device of the settings is chosen: the default one is that of the command line.
            camera: launch.video.as_ref().map(|_| settings.camera.take()),
            microphone: launch.audio.as_ref().map(|_| settings.microphone.take()),
            speaker: launch.speaker.as_ref().map(|_| settings.speaker.take()),
        }
    }

    /// Puts back what the file has.
    pub(super) fn restore(&self, settings: &mut Settings) {
        fn put_back<T: Clone>(field: &mut T, saved: Option<&T>) {
            if let Some(saved) = saved {
                field.clone_from(saved);
            }
        }

        put_back(&mut settings.server_url, self.server_url.as_ref());
        put_back(&mut settings.name, self.name.as_ref());
        put_back(&mut settings.ca_file, self.ca_file.as_ref());
        put_back(&mut settings.camera, self.camera.as_ref());
        put_back(&mut settings.microphone, self.microphone.as_ref());
        put_back(&mut settings.speaker, self.speaker.as_ref());
    }
}
