//! The local camera: opened, closed and changed in the background, without ever holding up the
//! call.

use std::sync::Arc;

use tandem_media::error::{DeviceError, MediaEvent, MediaEvents, MediaPart};
use tandem_media::video::{OpenVideo, SharedVideo, VideoFormat, VideoSpec};
use tandem_media::{NewestSlot, VideoFrame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;

use super::video_sender::VideoSender;

/// The result of one request to open the source.
pub(super) struct Opened {
    /// Which request: see [`LocalVideo::request`].
    request: u64,
    result: Result<Option<OpenVideo>, DeviceError>,
}

/// The video source and the thread that encodes it.
pub(super) struct LocalVideo {
    shared: SharedVideo,
    spec: VideoSpec,
    format: VideoFormat,
    camera_on: bool,
    events: MediaEvents,
    sender: VideoSender,
    /// Number of the newest request, so that a source that took long to open is ignored if it is no
    /// longer asked for.
    request: u64,
    opened: UnboundedSender<Opened>,
}

impl LocalVideo {
    /// Uses `spec` from `shared`, where a preview may already have it open. Results come out of the
    /// receiver, for [`on_opened`](Self::on_opened).
    pub(super) fn start(
        shared: SharedVideo,
        spec: VideoSpec,
        format: VideoFormat,
        self_view: Arc<NewestSlot<VideoFrame>>,
        events: MediaEvents,
    ) -> (Self, UnboundedReceiver<Opened>) {
        let (opened, receiver) = unbounded_channel();
        let mut video = Self {
            shared,
            spec,
            format,
            camera_on: true,
            events,
            sender: VideoSender::start(self_view),
            request: 0,
            opened,
        };

        video.apply();
        (video, receiver)
    }

    /// Opens the source in the background, or releases it.
    pub(super) fn set_camera(&mut self, on: bool) {
        self.camera_on = on;
        self.apply();
    }

    /// Changes the source: at once, or when the camera is turned on.
    pub(super) fn set_spec(&mut self, spec: VideoSpec) {
        self.spec = spec;
        self.apply();
    }

    fn apply(&mut self) {
        self.request += 1;
        self.sender.set_source(None);
        let request = self.shared.request();

        if !self.camera_on || self.spec == VideoSpec::None {
            spawn_blocking(move || request.close());
            return;
        }

        let (spec, format, events) = (self.spec.clone(), self.format, Arc::clone(&self.events));
        let (number, opened) = (self.request, self.opened.clone());

        spawn_blocking(move || {
            let result = request.open(&spec, format, events);
            // Fails if the call is over; then its end has closed the source.
            let _ = opened.send(Opened {
                request: number,
                result,
            });
        });
    }

    /// Uses a source that was opened, unless it is no longer asked for.
    pub(super) fn on_opened(&mut self, opened: Opened) {
        if opened.request != self.request {
            return;
        }

        match opened.result {
            Ok(video) => self.sender.set_source(video),
            Err(error) => (self.events)(MediaEvent::Failed {
                part: MediaPart::Camera,
                error,
            }),
        }
    }

    /// The encode thread.
    pub(super) fn sender(&self) -> &VideoSender {
        &self.sender
    }

    /// Ends the encode thread and waits for it. Then releases the device, or leaves the source open
    /// for the owner of the [`SharedVideo`]: nothing here reads it any more.
    pub(super) async fn close(self, keep_open: bool) {
        let request = (!keep_open).then(|| self.shared.request());
        let closed = spawn_blocking(move || {
            drop(self);

            if let Some(request) = request {
                request.close();
            }
        });

        if closed.await.is_err() {
            tracing::error!("the video source panicked while closing: the camera may stay in use");
        }
    }
}
