//! One place for the open video source, shared by everybody who may want it: the preview before a call, and the call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{VideoFormat, VideoInput, VideoSpec};
use crate::error::{DeviceError, MediaEvent, MediaEvents};
use crate::frame::VideoFrame;
use crate::slot::NewestSlot;

/// At most one open video source. Clones share it.
///
/// Every wish ([`Turn`]) is numbered at the moment at which it is made, and only the newest counts, whichever thread comes
/// first: a device is never opened while this program still holds it, and never left open when the last wish was to
/// close it. A source that is wanted again as it is stays open: that is how a call takes over the preview's camera.
#[derive(Debug, Clone, Default)]
pub struct SharedVideo(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    newest_turn: AtomicU64,
    held: Mutex<Option<Held>>,
}

struct Held {
    spec: VideoSpec,
    wanted: VideoFormat,
    input: VideoInput,
    listener: Listener,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("spec", &self.spec)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// Who is told what happens to the source; `None` once nobody is to be.
type Listener = Arc<Mutex<Option<MediaEvents>>>;

/// What a wish to open has brought.
#[derive(Debug, Clone)]
pub struct OpenVideo {
    /// Where the newest picture lies. It has one reader: whoever opened last.
    pub frames: Arc<NewestSlot<VideoFrame>>,
    /// The size and rate that the source really has.
    pub format: VideoFormat,
}

impl SharedVideo {
    /// Nothing is open.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a wish, which supersedes all earlier ones. What is wished is said on the turn, perhaps on another thread,
    /// because opening may take seconds.
    #[must_use]
    pub fn turn(&self) -> Turn {
        Turn {
            shared: Arc::clone(&self.0),
            number: self.0.newest_turn.fetch_add(1, Ordering::AcqRel) + 1,
        }
    }
}

/// One wish. See [`SharedVideo::turn`].
#[derive(Debug)]
pub struct Turn {
    shared: Arc<Shared>,
    number: u64,
}

impl Turn {
    /// Opens `spec` as [`VideoInput::open`] does, after whatever was open has been released; if it is open already in
    /// the same `wanted` format, it stays so. `events` are told from now on. `Ok(None)`: the turn was superseded, or
    /// `spec` is none. Blocks until it is decided.
    ///
    /// # Errors
    /// As [`VideoInput::open`]; nothing is open then.
    pub fn open(
        self,
        spec: &VideoSpec,
        wanted: VideoFormat,
        events: MediaEvents,
    ) -> Result<Option<OpenVideo>, DeviceError> {
        let Some(mut held) = self.take() else {
            return Ok(None);
        };

        let fits = |held: &Held| {
            held.spec == *spec && held.wanted == wanted && !held.input.frames().is_closed()
        };

        if let Some(held) = held.as_ref().filter(|held| fits(held)) {
            *lock(&held.listener) = Some(events);
            return Ok(Some(held.open()));
        }

        *held = None;
        let listener: Listener = Arc::new(Mutex::new(Some(events)));
        let told = Arc::clone(&listener);
        let relay: MediaEvents = Arc::new(move |event: MediaEvent| {
            let events = lock(&told).clone();
            if let Some(events) = events {
                events(event);
            }
        });

        let Some(input) = VideoInput::open(spec, wanted, relay)? else {
            return Ok(None);
        };

        Ok(Some(
            held.insert(Held {
                spec: spec.clone(),
                wanted,
                input,
                listener,
            })
            .open(),
        ))
    }

    /// Releases whatever is open, unless the turn was superseded. Blocks until the device is free.
    pub fn close(self) {
        if let Some(mut held) = self.take() {
            *held = None;
        }
    }

    /// The source, if this is still the newest turn.
    fn take(&self) -> Option<MutexGuard<'_, Option<Held>>> {
        let held = lock(&self.shared.held);
        (self.shared.newest_turn.load(Ordering::Acquire) == self.number).then_some(held)
    }
}

impl Held {
    fn open(&self) -> OpenVideo {
        OpenVideo {
            frames: self.input.frames(),
            format: self.input.format(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *lock(&self.listener) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SMALL: VideoFormat = VideoFormat {
        width: 64,
        height: 48,
        fps: 60.0,
    };
    const SOON: Duration = Duration::from_secs(10);

    fn quiet() -> MediaEvents {
        Arc::new(|event| panic!("nothing fails here: {event:?}"))
    }

    fn open(turn: Turn, spec: &VideoSpec, format: VideoFormat) -> Option<OpenVideo> {
        turn.open(spec, format, quiet())
            .expect("a test pattern opens")
    }

    #[test]
    fn a_call_takes_over_what_the_preview_has_open() {
        let video = SharedVideo::new();
        let preview = open(video.turn(), &VideoSpec::Test, SMALL).expect("open");
        let call = open(video.clone().turn(), &VideoSpec::Test, SMALL).expect("still open");

        assert!(
            Arc::ptr_eq(&preview.frames, &call.frames),
            "the same source goes on"
        );
        assert!(call.frames.take(SOON).is_some(), "with pictures");
        let other = VideoFormat { width: 80, ..SMALL };
        let larger = open(video.turn(), &VideoSpec::Test, other).expect("open");

        assert!(
            call.frames.is_closed(),
            "another format is another opening, after the release"
        );
        assert_eq!(larger.format, other);
    }

    #[test]
    fn only_the_newest_wish_counts_whatever_the_order() {
        let video = SharedVideo::new();
        let (first, second, third) = (video.turn(), video.turn(), video.turn());
        let shown = open(third, &VideoSpec::Test, SMALL).expect("the newest");

        assert!(open(first, &VideoSpec::Test, SMALL).is_none(), "too late");
        second.close();
        assert!(
            !shown.frames.is_closed(),
            "an older wish to close closes nothing"
        );

        video.turn().close();
        assert!(shown.frames.is_closed(), "a newer one does");
        assert!(
            open(video.turn(), &VideoSpec::None, SMALL).is_none(),
            "none is none"
        );
    }

    #[test]
    fn a_source_that_has_ended_is_opened_anew() {
        let video = SharedVideo::new();
        let dead = open(video.turn(), &VideoSpec::Test, SMALL).expect("open");
        dead.frames.close();
        let alive = open(video.turn(), &VideoSpec::Test, SMALL).expect("open");

        assert!(
            !Arc::ptr_eq(&dead.frames, &alive.frames),
            "a closed slot gives no pictures"
        );
    }

    #[test]
    fn a_failure_leaves_nothing_open() {
        let video = SharedVideo::new();
        let before = open(video.turn(), &VideoSpec::Test, SMALL).expect("open");
        let missing = VideoSpec::File("/no/such/clip.y4m".into());
        let error = video
            .turn()
            .open(&missing, SMALL, quiet())
            .expect_err("there is none");

        assert_eq!(error.code, "FILE_UNREADABLE");
        assert!(
            before.frames.is_closed(),
            "what was open before is released"
        );
    }
}
