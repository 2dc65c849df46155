//! Sound outside calls: the level meter of the lobby and the speaker test.

use std::sync::Arc;

use tandem_media::audio::{AudioLevel, AudioSink, AudioSource, MicrophoneMonitor, SpeakerTest};
use tandem_media::error::MediaEvent;
use tokio::task::spawn_blocking;

use super::Handle;
use crate::desktop::app::Input;

/// The least change that is shown, 1.2 dB: the noise of a room wavers by less, and each change is painted.
const LEVEL_STEP: f32 = 0.02;

/// Shows a level to the page.
pub(super) type ShowLevel = Arc<dyn Fn(f32) + Send + Sync>;

/// Opens the microphone for its level, if `source` is one: the level of a file or a test signal says nothing to anybody.
/// The page is told only of changes that are seen, and of silence.
pub(super) fn start_monitor(
    source: AudioSource,
    handle: Handle,
    show: ShowLevel,
) -> Option<MicrophoneMonitor> {
    let AudioSource::Microphone(name) = source else {
        return None;
    };

    let events = move |MediaEvent::Failed { error, .. }| handle.tell(Input::MonitorFailed(error));
    let mut shown = -1.0;
    let tell = move |level: AudioLevel| {
        let level = level.meter();
        if (level - shown).abs() >= LEVEL_STEP || (level == 0.0 && shown != 0.0) {
            shown = level;
            show(level);
        }
    };

    Some(MicrophoneMonitor::start(
        name,
        Box::new(tell),
        Arc::new(events),
    ))
}

/// Plays a chime; only a failure is told.
pub(super) fn test_speaker(sink: AudioSink, handle: Handle) -> SpeakerTest {
    SpeakerTest::start(
        sink,
        Box::new(move |played| {
            if let Err(error) = played {
                handle.tell(Input::SpeakerTestFailed(error));
            }
        }),
    )
}

/// Drops something that waits for a device.
pub(super) async fn drop_blocking<T: Send + 'static>(device: T) {
    if spawn_blocking(move || drop(device)).await.is_err() {
        tracing::error!("a sound device panicked while closing");
    }
}
