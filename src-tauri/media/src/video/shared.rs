//! The one open video source of the app, shared by the preview before a call and the call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::{VideoFormat, VideoInput, VideoSpec};
use crate::error::{DeviceError, MediaEvent, MediaEvents};
use crate::frame::VideoFrame;
use crate::slot::NewestSlot;

/// At most one open video source. Clones share it.
///
/// Each request ([`VideoRequest`]) gets its number when it is made, and only the newest takes
/// effect, no matter which thread runs first. So a device is never opened while this program still
/// holds it, and never stays open when the last request was to close it.
///
/// A source that is requested again in the same format stays open. That is how a call takes over
/// the preview's camera.
#[derive(Debug, Clone, Default)]
pub struct SharedVideo(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    newest_request: AtomicU64,
    source: Mutex<Option<OpenSource>>,
}

struct OpenSource {
    spec: VideoSpec,
    wanted: VideoFormat,
    input: VideoInput,
    listener: Listener,
}

impl std::fmt::Debug for OpenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenSource")
            .field("spec", &self.spec)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// Where the source's events go: to the newest opener, or nowhere (`None`) once it is closed.
type Listener = Arc<Mutex<Option<MediaEvents>>>;

/// A source that a request has opened.
#[derive(Debug, Clone)]
pub struct OpenVideo {
    /// The slot with the newest frame. Only the newest opener may read from it, since a frame is
    /// handed out once.
    pub frames: Arc<NewestSlot<VideoFrame>>,
    /// The actual size and rate of the source.
    pub format: VideoFormat,
}

impl SharedVideo {
    /// Creates it without an open source.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a request, which supersedes all earlier ones. Say what to do by calling a method of
    /// the result, on another thread if need be, since opening may take seconds.
    #[must_use]
    pub fn request(&self) -> VideoRequest {
        VideoRequest {
            shared: Arc::clone(&self.0),
            number: self.0.newest_request.fetch_add(1, Ordering::AcqRel) + 1,
        }
    }
}

/// One request. See [`SharedVideo::request`].
#[derive(Debug)]
pub struct VideoRequest {
    shared: Arc<Shared>,
    number: u64,
}

impl VideoRequest {
    /// Opens `spec` as [`VideoInput::open`] does, after releasing the source that was open. If the
    /// same `spec` is already open in the same `wanted` format, it stays open. From now on `events`
    /// is notified instead of the previous opener.
    ///
    /// `Ok(None)`: a newer request superseded this one, or `spec` is [`VideoSpec::None`]. Blocks
    /// until the source works or has failed.
    ///
    /// # Errors
    /// Those of [`VideoInput::open`]. No source is open then.
    pub fn open(
        self,
        spec: &VideoSpec,
        wanted: VideoFormat,
        events: MediaEvents,
    ) -> Result<Option<OpenVideo>, DeviceError> {
        let Some(mut source) = self.lock_if_newest() else {
            return Ok(None);
        };

        let is_requested = |open: &&OpenSource| {
            open.spec == *spec && open.wanted == wanted && !open.input.frames().is_closed()
        };

        if let Some(open) = source.as_ref().filter(is_requested) {
            *open.listener.lock() = Some(events);
            return Ok(Some(open.handle()));
        }

        *source = None;
        let listener: Listener = Arc::new(Mutex::new(Some(events)));
        let current = Arc::clone(&listener);
        let forward: MediaEvents = Arc::new(move |event: MediaEvent| {
            // Unlocked before the call, which may take its time.
            let events = current.lock().clone();
            if let Some(events) = events {
                events(event);
            }
        });

        let Some(input) = VideoInput::open(spec, wanted, forward)? else {
            return Ok(None);
        };

        let open = source.insert(OpenSource {
            spec: spec.clone(),
            wanted,
            input,
            listener,
        });

        Ok(Some(open.handle()))
    }

    /// Releases the open source, unless a newer request superseded this one. Blocks until the
    /// device is free.
    pub fn close(self) {
        if let Some(mut source) = self.lock_if_newest() {
            *source = None;
        }
    }

    fn lock_if_newest(&self) -> Option<MutexGuard<'_, Option<OpenSource>>> {
        let source = self.shared.source.lock();
        let newest = self.shared.newest_request.load(Ordering::Acquire);
        (newest == self.number).then_some(source)
    }
}

impl OpenSource {
    fn handle(&self) -> OpenVideo {
        OpenVideo {
            frames: self.input.frames(),
            format: self.input.format(),
        }
    }
}

impl Drop for OpenSource {
    fn drop(&mut self) {
        *self.listener.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::MediaErrorCode;

    const SMALL: VideoFormat = VideoFormat {
        width: 64,
        height: 48,
        fps: 60.0,
    };
    const TIMEOUT: Duration = Duration::from_secs(10);

    fn no_events() -> MediaEvents {
        Arc::new(|event| panic!("nothing may fail here: {event:?}"))
    }

    fn open(request: VideoRequest, spec: &VideoSpec, format: VideoFormat) -> Option<OpenVideo> {
        request
            .open(spec, format, no_events())
            .expect("a test pattern opens")
    }

    #[test]
    fn a_call_takes_over_the_preview_s_source() {
        let video = SharedVideo::new();
        let preview = open(video.request(), &VideoSpec::Test, SMALL).expect("open");
        let call = open(video.clone().request(), &VideoSpec::Test, SMALL).expect("still open");

        assert!(
            Arc::ptr_eq(&preview.frames, &call.frames),
            "the same source continues"
        );
        assert!(call.frames.take(TIMEOUT).is_some(), "and delivers frames");

        let other = VideoFormat { width: 80, ..SMALL };
        let wider = open(video.request(), &VideoSpec::Test, other).expect("open");
        assert!(
            call.frames.is_closed(),
            "another format releases the source and opens it again"
        );
        assert_eq!(wider.format, other);
    }

    #[test]
    fn only_the_newest_request_takes_effect_in_any_order() {
        let video = SharedVideo::new();
        let (first, second, third) = (video.request(), video.request(), video.request());
        let shown = open(third, &VideoSpec::Test, SMALL).expect("the newest");

        assert!(
            open(first, &VideoSpec::Test, SMALL).is_none(),
            "a superseded request opens nothing"
        );
        second.close();
        assert!(
            !shown.frames.is_closed(),
            "a superseded request closes nothing"
        );

        video.request().close();
        assert!(shown.frames.is_closed(), "a newer one closes the source");
        assert!(
            open(video.request(), &VideoSpec::None, SMALL).is_none(),
            "no video opens nothing"
        );
    }

    #[test]
    fn a_source_that_has_ended_is_opened_again() {
        let video = SharedVideo::new();
        let dead = open(video.request(), &VideoSpec::Test, SMALL).expect("open");
        dead.frames.close();

        let alive = open(video.request(), &VideoSpec::Test, SMALL).expect("open");
        assert!(
            !Arc::ptr_eq(&dead.frames, &alive.frames),
            "a closed slot gives no frames"
        );
    }

    #[test]
    fn after_a_failure_nothing_is_open() {
        let video = SharedVideo::new();
        let before = open(video.request(), &VideoSpec::Test, SMALL).expect("open");
        let missing = VideoSpec::File("/no/such/clip.y4m".into());
        let error = video
            .request()
            .open(&missing, SMALL, no_events())
            .expect_err("there is no such file");

        assert_eq!(error.code, MediaErrorCode::FileUnreadable);
        assert!(before.frames.is_closed(), "the source before is released");
    }
}
