//! The newest picture of one side, for any number of readers.

use std::sync::Arc;
use std::time::Instant;

use tandem_media::{I420, VideoFrame};
use tokio::sync::watch;

use crate::desktop::command::StreamName;

/// A picture that is to be shown now.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Counts the pictures of this stream, from 1. Never starts again while the app runs.
    pub sequence: u32,
    /// Since when it is to be shown.
    pub due: Instant,
    /// The pixels.
    pub image: Arc<I420>,
}

#[derive(Debug, Default)]
pub(super) struct Newest {
    is_open: bool,
    sequence: u32,
    pub(super) picture: Option<Picture>,
}

/// Where the newest picture of one side lies.
#[derive(Debug)]
pub struct FrameStream {
    newest: watch::Sender<Newest>,
    /// Own pictures are shown as in a mirror.
    pub(super) is_mirrored: bool,
}

impl FrameStream {
    fn new(is_mirrored: bool) -> Self {
        Self {
            newest: watch::Sender::new(Newest::default()),
            is_mirrored,
        }
    }

    /// Puts `frame` in place of the picture before, if pictures may be shown now.
    pub fn show(&self, frame: VideoFrame) {
        self.newest.send_if_modified(|newest| {
            if newest.is_open {
                newest.sequence = newest.sequence.wrapping_add(1).max(1);
                newest.picture = Some(Picture {
                    sequence: newest.sequence,
                    due: Instant::now(),
                    image: frame.image,
                });
            }

            newest.is_open
        });
    }

    /// Lets pictures through from now on, or none: what is there is gone at once, and late ones never show.
    pub fn set_open(&self, is_open: bool) {
        self.newest.send_modify(|newest| {
            newest.is_open = is_open;
            if !is_open {
                newest.picture = None;
            }
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<Newest> {
        self.newest.subscribe()
    }
}

/// Both sides' pictures.
#[derive(Debug)]
pub struct Streams {
    /// The own picture: lobby or call.
    pub local: FrameStream,
    /// The partner's.
    pub remote: FrameStream,
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
