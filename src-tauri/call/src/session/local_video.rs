//! The own camera: opened, closed, changed and opened again without ever holding up the call.

use std::sync::Arc;

use tandem_media::error::{DeviceError, MediaEvent, MediaEvents, MediaPart};
use tandem_media::video::{OpenVideo, SharedVideo, VideoFormat, VideoSpec};
use tandem_media::{NewestSlot, VideoFrame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;

use super::video_sender::VideoSender;

/// What came of the `attempt`th wish.
pub(super) struct Opened {
    attempt: u64,
    result: Result<Option<OpenVideo>, DeviceError>,
}

/// The video source and the thread that encodes it.
pub(super) struct LocalVideo {
    shared: SharedVideo,
    spec: VideoSpec,
    format: VideoFormat,
    wanted: bool,
    events: MediaEvents,
    sender: VideoSender,
    /// Counts wishes, so that a source that took long to open is ignored if it is no longer wanted.
    attempt: u64,
    opened: UnboundedSender<Opened>,
}

impl LocalVideo {
    /// Uses `spec` out of `shared`, which a preview may have open already. What opens comes out of the receiver, for
    /// [`take`](Self::take).
    pub(super) fn start(
        shared: SharedVideo,
        spec: VideoSpec,
        format: VideoFormat,
        preview: Arc<NewestSlot<VideoFrame>>,
        events: MediaEvents,
    ) -> (Self, UnboundedReceiver<Opened>) {
        let (opened, receiver) = unbounded_channel();
        let sender = VideoSender::start(preview);
        let mut video = Self {
            shared,
            spec,
            format,
            wanted: true,
            events,
            sender,
            attempt: 0,
            opened,
        };

        video.apply();
        (video, receiver)
    }

    /// Opens the source in the background, or releases it.
    pub(super) fn set_open(&mut self, open: bool) {
        self.wanted = open;
        self.apply();
    }

    /// Takes pictures from another source, at once or when the camera is switched on.
    pub(super) fn set_spec(&mut self, spec: VideoSpec) {
        self.spec = spec;
        self.apply();
    }

    fn apply(&mut self) {
        self.attempt += 1;
        self.sender.set_source(None);
        let turn = self.shared.turn();

        if !self.wanted || self.spec == VideoSpec::None {
            spawn_blocking(move || turn.close());
            return;
        }

        let (spec, format, events) = (self.spec.clone(), self.format, Arc::clone(&self.events));
        let (attempt, opened) = (self.attempt, self.opened.clone());
        spawn_blocking(move || {
            let result = turn.open(&spec, format, events);
            // If the call is over, its end closes the source.
            let _ = opened.send(Opened { attempt, result });
        });
    }

    /// Uses a source that was opened, unless it is no longer wanted.
    pub(super) fn take(&mut self, opened: Opened) {
        if opened.attempt != self.attempt {
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

    /// Ends everything and waits for it: the device is free afterwards.
    pub(super) async fn close(self) {
        let turn = self.shared.turn();
        let closed = spawn_blocking(move || {
            drop(self);
            turn.close();
        });

        if closed.await.is_err() {
            tracing::error!("the video source panicked while closing");
        }
    }
}
