//! The newest frame of one side, for any number of readers.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: a frame is to be shown from now on"
)]

use std::sync::Arc;
use std::time::Instant;

use tandem_media::{I420, NewestSlot, Observer, VideoFrame};
use tokio::sync::watch;

use crate::desktop::command::StreamName;

/// A frame to show now.
#[derive(Debug, Clone)]
pub struct ShownFrame {
    /// Numbers the frames of a stream from 1. The count never restarts while the app runs.
    pub sequence: u32,
    /// When to show it.
    pub due: Instant,
    /// The pixels.
    pub image: Arc<I420>,
}

#[derive(Debug, Default)]
pub(in crate::desktop) struct Newest {
    is_open: bool,
    sequence: u32,
    pub(in crate::desktop) frame: Option<ShownFrame>,
}

/// The newest frame of one side.
#[derive(Debug)]
pub struct FrameStream {
    newest: watch::Sender<Newest>,
    /// Whether the page shows it mirrored, as people expect of themselves.
    pub(super) is_mirrored: bool,
}

impl FrameStream {
    fn new(is_mirrored: bool) -> Arc<Self> {
        Arc::new(Self {
            newest: watch::Sender::new(Newest::default()),
            is_mirrored,
        })
    }

    /// Replaces the newest frame, if the stream is open.
    pub fn show(&self, frame: VideoFrame) {
        self.newest.send_if_modified(|newest| {
            if newest.is_open {
                newest.sequence = newest.sequence.wrapping_add(1).max(1);
                newest.frame = Some(ShownFrame {
                    sequence: newest.sequence,
                    due: Instant::now(),
                    image: frame.image,
                });
            }

            newest.is_open
        });
    }

    /// Shows the frames of `slot` while the result lives, as soon as each is there: on the thread
    /// that makes them.
    pub fn follow(self: &Arc<Self>, slot: &Arc<NewestSlot<VideoFrame>>) -> Observer<VideoFrame> {
        let stream = Arc::clone(self);
        slot.observe(move |frame| stream.show(frame.clone()))
    }

    /// Opens the stream, or closes it: the newest frame is dropped at once, and late ones are never
    /// shown.
    pub fn set_open(&self, is_open: bool) {
        self.newest.send_modify(|newest| {
            newest.is_open = is_open;
            if !is_open {
                newest.frame = None;
            }
        });
    }

    /// The newest frame, if one is shown.
    pub fn newest(&self) -> Option<Arc<I420>> {
        let newest = self.newest.borrow();
        newest.frame.as_ref().map(|frame| Arc::clone(&frame.image))
    }

    pub(in crate::desktop) fn watch(&self) -> watch::Receiver<Newest> {
        self.newest.subscribe()
    }
}

/// The streams of both sides.
#[derive(Debug)]
pub struct Streams {
    /// The local video, of the preview or a call.
    pub local: Arc<FrameStream>,
    /// The remote video.
    pub remote: Arc<FrameStream>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            local: FrameStream::new(true),
            remote: FrameStream::new(false),
        }
    }
}

impl Streams {
    pub(super) fn get(&self, name: StreamName) -> &FrameStream {
        match name {
            StreamName::Local => &self.local,
            StreamName::Remote => &self.remote,
        }
    }
}
