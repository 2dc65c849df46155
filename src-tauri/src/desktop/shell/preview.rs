//! The preview on the home screen: opens the camera and shows its frames.

use std::sync::Arc;

use parking_lot::Mutex;
use tandem_media::error::{DeviceError, MediaEvent};
use tandem_media::video::{SharedVideo, VideoFormat, VideoRequest, VideoSpec};
use tandem_media::{Observer, VideoFrame};
use tokio::task::spawn_blocking;

use super::Handle;
use crate::desktop::app::{Input, PreviewId};
use crate::desktop::frames::Streams;

/// A preview whose camera is open or being opened.
pub(super) struct RunningPreview {
    display: Arc<Mutex<Display>>,
    streams: Arc<Streams>,
}

/// What shows the frames of the camera.
enum Display {
    /// Nothing yet: the camera is being opened.
    Opening,
    /// The frames go to the page.
    Showing { _frames: Observer<VideoFrame> },
    /// Nothing any more, even if the camera opens later.
    Stopped,
}

impl RunningPreview {
    /// Opens the camera in the background, or takes over the one that `camera` already has open
    /// for the same `video` and `format`. Reports the result to `handle`.
    pub(super) fn start(
        id: PreviewId,
        video: VideoSpec,
        format: VideoFormat,
        camera: &SharedVideo,
        handle: Handle,
        streams: Arc<Streams>,
    ) -> Self {
        let display = Arc::new(Mutex::new(Display::Opening));
        let preview = Self {
            display: Arc::clone(&display),
            streams: Arc::clone(&streams),
        };

        // The request gets its number now; opening may take seconds.
        let request = camera.request();
        spawn_blocking(move || {
            if let Some(result) = open(id, request, &video, format, &handle, &display, &streams) {
                handle.notify(Input::Preview(id, result));
            }
        });

        preview
    }

    /// Stops showing frames but leaves the camera open for the call that starts next, even if it is
    /// still being opened. The last frame stays visible until the call has one.
    pub(super) fn hand_over(self) {
        self.stop_showing();
    }

    /// Releases the camera and waits until it is free.
    pub(super) async fn stop(self, camera: &SharedVideo) {
        self.stop_showing();
        self.streams.local.set_open(false);
        release(camera).await;
    }

    fn stop_showing(&self) {
        *self.display.lock() = Display::Stopped;
    }
}

/// Releases whatever `camera` has open and waits until the device is free.
pub(super) async fn release(camera: &SharedVideo) {
    let request = camera.request();
    if spawn_blocking(move || request.close()).await.is_err() {
        tracing::error!("the video source panicked while closing: the camera may stay in use");
    }
}

/// Opens the camera and shows its frames. `None`: a later request made this one obsolete.
fn open(
    id: PreviewId,
    request: VideoRequest,
    video: &VideoSpec,
    format: VideoFormat,
    handle: &Handle,
    display: &Mutex<Display>,
    streams: &Streams,
) -> Option<Result<(), DeviceError>> {
    let on_event = handle.clone();
    let events = move |event: MediaEvent| {
        if let Some((_, error)) = event.into_failure() {
            on_event.notify(Input::Preview(id, Err(error)));
        }
    };

    let opened = match request.open(video, format, Arc::new(events)) {
        Ok(opened) => opened?,
        Err(error) => return Some(Err(error)),
    };

    let mut display = display.lock();
    if matches!(*display, Display::Stopped) {
        return None;
    }

    streams.local.set_open(true);
    *display = Display::Showing {
        _frames: streams.local.follow(&opened.frames),
    };

    Some(Ok(()))
}
