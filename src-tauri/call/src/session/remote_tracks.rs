//! The streams of the partner that are received: one of each kind.

use std::future::Future;

use tokio::task::JoinHandle;

use crate::peer::MediaKind;

/// More streams than this in one call are of no use to anyone. A browser that shares its screen
/// again and again adds one each time.
const MAX_TRACKS: usize = 64;

/// The streams of one partner.
#[derive(Default)]
pub(super) struct RemoteTracks {
    count: usize,
    audio: Option<Receiving>,
    video: Option<Receiving>,
}

impl RemoteTracks {
    /// A stream begins. Returns `false` if there were more than a call has use for.
    pub(super) fn may_begin(&mut self) -> bool {
        self.count += 1;
        self.count <= MAX_TRACKS
    }

    /// A stream is received until `receiving` is dropped, which stops the one before.
    pub(super) fn set(&mut self, kind: MediaKind, receiving: Receiving) {
        *self.of_kind(kind) = Some(receiving);
    }

    /// Whether a stream of this kind has begun.
    pub(super) fn has(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio.is_some(),
            MediaKind::Video => self.video.is_some(),
        }
    }

    fn of_kind(&mut self, kind: MediaKind) -> &mut Option<Receiving> {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }
}

/// The tasks that receive one stream. They end when this is dropped.
#[derive(Default)]
pub(super) struct Receiving(Vec<JoinHandle<()>>);

impl Receiving {
    /// Runs `task` for the stream.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.push(tokio::spawn(task));
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_streams_than_a_call_has_use_for_are_misbehavior() {
        let mut tracks = RemoteTracks::default();
        assert!((0..MAX_TRACKS).all(|_| tracks.may_begin()));
        assert!(!tracks.may_begin());
    }

    #[tokio::test]
    async fn a_stream_that_is_replaced_is_no_longer_received() {
        let mut tracks = RemoteTracks::default();
        let (sender, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let mut receiving = Receiving::default();
        receiving.spawn(async move {
            let _keep = sender;
            std::future::pending::<()>().await;
        });

        tracks.set(MediaKind::Video, receiving);
        tracks.set(MediaKind::Video, Receiving::default());
        assert_eq!(ended.recv().await, None, "its task is gone");
    }
}
