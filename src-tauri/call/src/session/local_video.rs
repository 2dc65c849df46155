//! The own camera: opened, closed and opened again without ever holding up the call.

use super::video_sender::VideoSender;
use std::sync::Arc;
use tandem_media::error::{MediaEvent, MediaEvents, MediaPart};
use tandem_media::video::{VideoFormat, VideoInput, VideoSpec};
use tandem_media::{NewestSlot, VideoFrame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;

/// A source that was opened for the `attempt`th wish.
pub(super) struct Opened {
    attempt: u64,
    input: Option<VideoInput>,
}

/// The video source and the thread that encodes it.
pub(super) struct LocalVideo {
    spec: VideoSpec,
    format: VideoFormat,
    events: MediaEvents,
    sender: VideoSender,
    input: Option<VideoInput>,
    /// Counts wishes, so that a source that took long to open is dropped if it is no longer wanted.
    attempt: u64,
    opened: UnboundedSender<Opened>,
}

impl LocalVideo {
    /// Nothing is open yet. What opens comes out of the receiver, for [`take`](Self::take).
    pub(super) fn new(
        spec: VideoSpec,
        format: VideoFormat,
        preview: Arc<NewestSlot<VideoFrame>>,
        events: MediaEvents,
    ) -> (Self, UnboundedReceiver<Opened>) {
        let (opened, receiver) = unbounded_channel();
        let sender = VideoSender::start(preview);
        (Self { spec, format, events, sender, input: None, attempt: 0, opened }, receiver)
    }

    /// Opens the source in the background, or releases it.
    pub(super) fn set_open(&mut self, open: bool) {
        self.attempt += 1;
        self.release();
        if !open {
            return;
        }
        let (spec, format, events) = (self.spec.clone(), self.format, Arc::clone(&self.events));
        let (attempt, opened) = (self.attempt, self.opened.clone());
        spawn_blocking(move || {
            let input = VideoInput::open(&spec, format, Arc::clone(&events)).unwrap_or_else(|error| {
                events(MediaEvent::Failed { part: MediaPart::Camera, error });
                None
            });
            // If the call is over, the source closes with the message.
            let _ = opened.send(Opened { attempt, input });
        });
    }

    /// Uses a source that was opened, unless it is no longer wanted.
    pub(super) fn take(&mut self, opened: Opened) {
        if opened.attempt != self.attempt {
            drop_input(opened.input);
            return;
        }
        if let Some(input) = &opened.input {
            self.sender.set_source(Some(input.frames()));
        }
        self.input = opened.input;
    }

    /// The encode thread.
    pub(super) fn sender(&self) -> &VideoSender {
        &self.sender
    }

    /// Pictures a second, of the open source or as wanted.
    pub(super) fn fps(&self) -> f32 {
        self.input.as_ref().map_or(self.format, VideoInput::format).fps
    }

    fn release(&mut self) {
        self.sender.set_source(None);
        drop_input(self.input.take());
    }

    /// Ends everything and waits for it: the device is free afterwards.
    pub(super) async fn close(mut self) {
        let input = self.input.take();
        let closed = spawn_blocking(move || {
            drop(input);
            drop(self);
        });
        if closed.await.is_err() {
            tracing::error!("the video source panicked while closing");
        }
    }
}

/// Closing a device may take a while.
fn drop_input(input: Option<VideoInput>) {
    if let Some(input) = input {
        spawn_blocking(move || drop(input));
    }
}
