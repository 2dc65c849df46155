//! Audio outside calls: the home screen's level meter and the speaker test.

use std::sync::Arc;

use tandem_media::audio::{AudioLevel, AudioSink, AudioSource, MicrophoneMonitor, SpeakerTest};
use tandem_media::error::MediaEvent;

use super::Handle;
use crate::desktop::app::Input;

/// The smallest change of the meter (0 to 1) that is sent to the page: 1.2 dB. The noise of a quiet
/// room varies by less, and the page repaints for each change.
const LEVEL_STEP: f32 = 0.02;

/// Shows a level, from 0 to 1, on the page.
pub(super) type ShowLevel = Arc<dyn Fn(f32) + Send + Sync>;

/// Opens the microphone to measure its level. `None` if `source` is not a microphone: the level of
/// a file or a test tone helps no user. The page gets only visible changes, and silence.
pub(super) fn start_monitor(
    source: AudioSource,
    handle: Handle,
    show: ShowLevel,
) -> Option<MicrophoneMonitor> {
    let AudioSource::Microphone(name) = source else {
        return None;
    };

    let events = move |event: MediaEvent| {
        if let Some((_, error)) = event.into_failure() {
            handle.notify(Input::MonitorFailed(error));
        }
    };
    let mut shown = -1.0;
    let on_level = move |level: AudioLevel| {
        let level = level.meter();
        if (level - shown).abs() >= LEVEL_STEP || (level == 0.0 && shown != 0.0) {
            shown = level;
            show(level);
        }
    };

    Some(MicrophoneMonitor::start(
        name,
        Box::new(on_level),
        Arc::new(events),
    ))
}

/// Plays the test sound. Only a failure is reported.
pub(super) fn test_speaker(sink: AudioSink, handle: Handle) -> SpeakerTest {
    SpeakerTest::start(
        sink,
        Box::new(move |result| {
            if let Err(error) = result {
                handle.notify(Input::SpeakerTestFailed(error));
            }
        }),
    )
}
