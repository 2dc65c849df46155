//! Which of the partner's streams are received: one of each kind, however many there are.

use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinHandle;
use webrtc::media_stream::track_remote::TrackRemote;

use crate::peer::MediaKind;

/// More streams than this in one call are of no use to anyone. A browser that shares its screen
/// again and again adds one each time.
const MAX_TRACKS: usize = 64;

/// What to do with a stream that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Receive it, instead of the one of its kind so far.
    Receive,
    /// Another one of its kind is received.
    Ignore,
    /// The partner has begun more streams than a call has use for.
    TooMany,
}

/// The streams of one partner.
#[derive(Default)]
pub(super) struct RemoteTracks {
    count: usize,
    has_ignored: bool,
    audio: Option<Receiving>,
    video: Option<Receiving>,
}

impl RemoteTracks {
    /// A stream begins. `is_first`: whether it belongs to the first section of its kind, if that is
    /// known.
    pub(super) fn on_track(&mut self, kind: MediaKind, is_first: Option<bool>) -> Verdict {
        self.count += 1;
        if self.count > MAX_TRACKS {
            return Verdict::TooMany;
        }

        let is_taken = self.of_kind(kind).is_some();
        if is_first.unwrap_or(!is_taken) {
            return Verdict::Receive;
        }

        if !std::mem::replace(&mut self.has_ignored, true) {
            tracing::info!(
                ?kind,
                "the partner sends another stream of this kind: ignoring it, and any further ones"
            );
        }

        Verdict::Ignore
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

/// Takes what arrives on a stream that nobody wants, so that the library does not keep it.
pub(super) async fn discard(track: Arc<dyn TrackRemote>) {
    while track.poll().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(tracks: &mut RemoteTracks, kind: MediaKind, is_first: Option<bool>) -> Verdict {
        let verdict = tracks.on_track(kind, is_first);
        if verdict == Verdict::Receive {
            tracks.set(kind, Receiving::default());
        }

        verdict
    }

    #[test]
    fn one_stream_of_each_kind_is_received() {
        let mut tracks = RemoteTracks::default();
        let mut verdict = |kind, is_first| begin(&mut tracks, kind, is_first);

        assert_eq!(verdict(MediaKind::Video, Some(false)), Verdict::Ignore);
        assert_eq!(verdict(MediaKind::Video, Some(true)), Verdict::Receive);
        assert_eq!(verdict(MediaKind::Video, Some(false)), Verdict::Ignore);
        assert_eq!(
            verdict(MediaKind::Audio, None),
            Verdict::Receive,
            "the first one, where the section is not known"
        );
        assert_eq!(verdict(MediaKind::Audio, None), Verdict::Ignore);
        assert_eq!(
            verdict(MediaKind::Video, Some(true)),
            Verdict::Receive,
            "the section got another stream"
        );
    }

    #[test]
    fn more_streams_than_a_call_has_use_for_are_misbehavior() {
        let mut tracks = RemoteTracks::default();
        for number in 0..MAX_TRACKS {
            let verdict = begin(&mut tracks, MediaKind::Video, Some(true));
            assert_eq!(verdict, Verdict::Receive, "stream {number}");
        }

        assert_eq!(
            begin(&mut tracks, MediaKind::Audio, Some(true)),
            Verdict::TooMany
        );
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
