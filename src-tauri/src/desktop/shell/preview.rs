//! The camera of the lobby.

use std::sync::Arc;

use tandem_media::error::{DeviceError, MediaErrorCode, MediaEvent};
use tandem_media::video::{VideoFormat, VideoInput, VideoSpec};
use tokio::task::{JoinHandle, spawn_blocking};

use super::Handle;
use crate::desktop::app::{Input, PreviewId};
use crate::desktop::frames::{Pump, Streams};

/// A camera that is open or being opened.
pub(super) struct RunningPreview {
    opening: JoinHandle<Option<Open>>,
    streams: Arc<Streams>,
}

struct Open {
    /// Before the input: it ends when nobody needs the pictures any more.
    _pump: Pump,
    _input: VideoInput,
}

impl RunningPreview {
    /// Opens the camera in the background. How that went is told to `handle`.
    pub(super) fn start(
        id: PreviewId,
        video: VideoSpec,
        format: VideoFormat,
        handle: Handle,
        streams: Arc<Streams>,
    ) -> Self {
        let shown = Arc::clone(&streams);
        let opening = spawn_blocking(move || match open(id, &video, format, &handle, shown) {
            Ok(open) => {
                handle.tell(Input::Preview(id, Ok(())));
                open
            }
            Err(error) => {
                handle.tell(Input::Preview(id, Err(error)));
                None
            }
        });

        Self { opening, streams }
    }

    /// Releases the camera and waits until it is free.
    pub(super) async fn stop(self) {
        self.streams.local.set_open(false);
        let closed = match self.opening.await {
            Ok(open) => spawn_blocking(move || drop(open)).await,
            Err(error) => Err(error),
        };

        if closed.is_err() {
            tracing::error!("the preview panicked");
        }

        self.streams.local.set_open(false);
    }
}

fn open(
    id: PreviewId,
    video: &VideoSpec,
    format: VideoFormat,
    handle: &Handle,
    streams: Arc<Streams>,
) -> Result<Option<Open>, DeviceError> {
    let later = handle.clone();
    let events = move |MediaEvent::Failed { error, .. }| later.tell(Input::Preview(id, Err(error)));
    let Some(input) = VideoInput::open(video, format, Arc::new(events))? else {
        return Ok(None);
    };

    streams.local.set_open(true);
    let pump = Pump::start("preview", input.frames(), streams, |streams| &streams.local)
        .map_err(|error| DeviceError::new(MediaErrorCode::CamTimeout, error.to_string()))?;
    Ok(Some(Open {
        _pump: pump,
        _input: input,
    }))
}
