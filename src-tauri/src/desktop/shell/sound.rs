//! Sound outside calls: the level meter of the lobby and the speaker test.

use std::sync::Arc;
use std::time::Duration;

use tandem_media::audio::{AudioSink, AudioSource, MicrophoneMonitor, SpeakerTest};
use tandem_media::error::MediaEvent;
use tokio::task::{JoinHandle, spawn_blocking};

use super::Handle;
use crate::desktop::app::Input;

/// How often the page is told the level: 12.5 times a second, and only while it changes.
const LEVEL_INTERVAL: Duration = Duration::from_millis(80);
/// A step that no meter shows.
const LEVEL_STEP: f32 = 0.005;

/// Shows a level to the page.
pub(super) type TellLevel = Arc<dyn Fn(f32) + Send + Sync>;

/// A microphone whose level is shown.
pub(super) struct RunningMonitor {
    monitor: Arc<MicrophoneMonitor>,
    task: JoinHandle<()>,
}

impl RunningMonitor {
    /// Opens the microphone, if `source` is one: the level of a file or a test signal says nothing to anybody.
    pub(super) fn start(source: AudioSource, handle: Handle, tell_level: TellLevel) -> Option<Self> {
        let AudioSource::Microphone(name) = source else { return None };
        let events = move |MediaEvent::Failed { error, .. }| handle.tell(Input::MonitorFailed(error));
        let monitor = Arc::new(MicrophoneMonitor::start(name, Arc::new(events)));
        let task = tokio::spawn(tell_levels(Arc::clone(&monitor), tell_level));
        Some(Self { monitor, task })
    }

    /// Releases the microphone and waits until it is free.
    pub(super) async fn stop(self) {
        self.task.abort();
        // Its end is what lets go of the other handle.
        let _ = self.task.await;
        drop_blocking(self.monitor).await;
    }
}

async fn tell_levels(monitor: Arc<MicrophoneMonitor>, tell_level: TellLevel) {
    let mut ticks = tokio::time::interval(LEVEL_INTERVAL);
    let mut told = -1.0;
    loop {
        ticks.tick().await;
        let level = monitor.level().meter();
        if (level - told).abs() >= LEVEL_STEP {
            told = level;
            tell_level(level);
        }
    }
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
