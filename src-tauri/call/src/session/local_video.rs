//! The local camera: opened, closed and changed in the background, without ever holding up the
//! call.

use std::sync::Arc;
use std::time::Instant;

use tandem_media::error::{DeviceError, MediaEvent, MediaEvents, MediaPart};
use tandem_media::video::{OpenVideo, SharedVideo, VideoFormat, VideoSpec, is_camera_listed};
use tandem_media::{NewestSlot, VideoFrame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;

use super::camera_recovery::CameraRecovery;
use super::video_sender::VideoSender;

/// What became of one request to open the source.
pub(super) struct VideoNews {
    /// Which request: see [`LocalVideo::request`].
    request: u64,
    what: News,
}

enum News {
    Opened(Result<Option<OpenVideo>, DeviceError>),
    /// The source was open and has stopped.
    Died(DeviceError),
    /// Whether the camera that was asked for is listed.
    Listed(bool),
}

/// The video source and the thread that encodes it.
pub(super) struct LocalVideo {
    shared: SharedVideo,
    spec: VideoSpec,
    format: VideoFormat,
    camera_on: bool,
    recovery: CameraRecovery,
    events: MediaEvents,
    sender: VideoSender,
    /// Number of the newest request, so that a source that took long to open is ignored if it is no
    /// longer asked for.
    request: u64,
    news: UnboundedSender<VideoNews>,
}

impl LocalVideo {
    /// Uses `spec` from `shared`, where a preview may already have it open. News come out of the
    /// receiver, for [`on_news`](Self::on_news).
    pub(super) fn start(
        shared: SharedVideo,
        spec: VideoSpec,
        format: VideoFormat,
        self_view: Arc<NewestSlot<VideoFrame>>,
        events: MediaEvents,
    ) -> (Self, UnboundedReceiver<VideoNews>) {
        let (news, receiver) = unbounded_channel();
        let mut video = Self {
            shared,
            recovery: CameraRecovery::new(spec.clone()),
            spec,
            format,
            camera_on: true,
            events,
            sender: VideoSender::start(self_view),
            request: 0,
            news,
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

    /// Tries a camera that does not work again at once.
    pub(super) fn retry(&mut self) {
        if self.recovery.retry() {
            self.open();
        }
    }

    /// What the user asks for has changed. What failed before may work now.
    fn apply(&mut self) {
        self.recovery = CameraRecovery::new(self.spec.clone());
        self.open();
    }

    fn open(&mut self) {
        self.request += 1;
        self.sender.set_source(None);
        let request = self.shared.request();

        if !self.camera_on || self.spec == VideoSpec::None {
            spawn_blocking(move || request.close());
            return;
        }

        let (spec, format) = (self.recovery.to_open(), self.format);
        let opened = self.reporter();
        let died = self.reporter();
        let events = Arc::new(move |event| {
            // A source is a source anew each time, so none recovers.
            if let MediaEvent::Failed { error, .. } = event {
                died(News::Died(error));
            }
        });

        spawn_blocking(move || opened(News::Opened(request.open(&spec, format, events))));
    }

    /// Sends news about the newest request.
    fn reporter(&self) -> impl Fn(News) + Send + Sync + 'static {
        let (request, news) = (self.request, self.news.clone());
        move |what| {
            // Fails if the call is over; then its end has closed the source.
            let _ = news.send(VideoNews { request, what });
        }
    }

    /// Uses a source that was opened, or plans how to get one, unless it is no longer asked for.
    pub(super) fn on_news(&mut self, now: Instant, news: VideoNews) {
        if news.request != self.request {
            return;
        }

        let failed = match news.what {
            News::Opened(Ok(video)) => {
                if video.is_some() {
                    self.recovery.on_opened(now);
                }

                self.sender.set_source(video);
                None
            }
            News::Opened(Err(error)) => self.recovery.on_refusal(now, error),
            News::Died(error) => self.recovery.on_death(now, error),
            News::Listed(is_listed) => {
                if self.recovery.on_listed(is_listed) {
                    tracing::info!("the chosen camera is back");
                    self.open();
                }

                None
            }
        };

        if let Some(error) = failed {
            (self.events)(MediaEvent::Failed {
                part: MediaPart::Camera,
                error,
            });
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.recovery.poll_timeout()
    }

    /// Does what is due for a camera that failed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let due = self.recovery.handle_timeout(now);
        if due.is_back {
            tracing::info!("there is video of the camera again");
            (self.events)(MediaEvent::Recovered {
                part: MediaPart::Camera,
            });
        }

        if due.open {
            self.open();
        } else if let Some(which) = due.look {
            let listed = self.reporter();
            spawn_blocking(move || listed(News::Listed(is_camera_listed(&which))));
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
