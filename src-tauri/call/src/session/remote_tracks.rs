//! The streams of the partner that are received: one of each kind.

use std::future::Future;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tandem_media::codec::VideoCodec;
use tokio::task::JoinHandle;

use crate::peer::{Codec, Format, MediaKind, Negotiated};

/// More streams than this within [`SPAN`] are of no use to anyone: there is one of each kind at a
/// time, and each new one costs a decoder or a jitter buffer.
const MAX_TRACKS: usize = 64;

/// How long a stream that has begun counts, from the first one that does.
const SPAN: Duration = Duration::from_secs(60);

/// The streams of one partner.
#[derive(Default)]
pub(super) struct RemoteTracks {
    /// Streams that began, and when the first of them did.
    begun: Option<(Instant, usize)>,
    audio: Option<Receiving>,
    video: Option<Receiving>,
}

impl RemoteTracks {
    /// A stream begins. Returns `false` if there were more than a call has use for.
    pub(super) fn may_begin(&mut self, now: Instant) -> bool {
        let is_recent = |first: Instant| now.saturating_duration_since(first) < SPAN;
        let (first, before) = self
            .begun
            .filter(|(first, _)| is_recent(*first))
            .unwrap_or((now, 0));
        self.begun = Some((first, before + 1));
        before < MAX_TRACKS
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

/// The formats that packets of the partner may have now. Shared with what receives them: they can
/// change while a stream goes on.
#[derive(Debug, Default)]
pub(super) struct ReceivedFormats(RwLock<[Vec<Format>; 2]>);

impl ReceivedFormats {
    /// Both sides have agreed on these.
    pub(super) fn set(&self, negotiated: &Negotiated) {
        let of = |kind| negotiated.received(kind).to_vec();
        *self.0.write() = [of(MediaKind::Audio), of(MediaKind::Video)];
    }

    /// Whether packets with this payload type are Opus.
    pub(super) fn is_opus(&self, payload_type: u8) -> bool {
        self.find(MediaKind::Audio, payload_type, |format| {
            format.codec == Codec::Opus
        }) == Some(true)
    }

    /// The video codec of packets with this payload type. `None` if it was never agreed on.
    pub(super) fn video(&self, payload_type: u8) -> Option<VideoCodec> {
        self.find(MediaKind::Video, payload_type, Format::video)
            .flatten()
    }

    /// The parameter sets that came with the description of this payload type, see
    /// [`Format::parameter_sets`].
    pub(super) fn parameter_sets(&self, payload_type: u8) -> Vec<u8> {
        self.find(MediaKind::Video, payload_type, Format::parameter_sets)
            .unwrap_or_default()
    }

    fn find<T>(
        &self,
        kind: MediaKind,
        payload_type: u8,
        read: impl FnOnce(&Format) -> T,
    ) -> Option<T> {
        let formats = self.0.read();
        let mut formats = formats[kind as usize].iter();
        formats
            .find(|format| format.payload_type == payload_type)
            .map(read)
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
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    #[test]
    fn more_streams_than_a_call_has_use_for_are_misbehavior() {
        let mut tracks = RemoteTracks::default();
        let start = Instant::now();
        assert!((0..MAX_TRACKS).all(|_| tracks.may_begin(start)));
        assert!(!tracks.may_begin(start + SPAN / 2));
    }

    #[test]
    fn a_long_call_may_change_its_streams_again_and_again() {
        let mut tracks = RemoteTracks::default();
        let start = Instant::now();
        let mut changes = (0..10 * MAX_TRACKS as u32).map(|change| start + change * SPAN / 40);
        assert!(changes.all(|now| tracks.may_begin(now)));
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
