//! A running call: the thin shell that ties the state machine to the relay, the peer connection and the media threads.
//!
//! One task drives a call. Pictures are captured, encoded and decoded on threads of their own, sound on the audio
//! engine's; the task only carries messages between them. Everything ends with the call.

mod audio;
mod driver;
mod event;
mod ice_servers;
mod local_video;
mod options;
mod own_state;
mod partner;
mod quality;
mod rating;
mod recorder;
mod remote_video;
mod signaling;
mod state_channel;
mod stats;
mod video_sender;

pub use crate::peer::Route;
pub use event::{CallEvent, CallEventKind};
pub use options::{CallOptions, OnRemoteFrame, Profile};
pub use rating::{Quality, QualityFigures, QualityRating};
pub use stats::{BitrateSample, CallStats, SAMPLE_INTERVAL, VideoReceived, VideoSent};

use std::sync::{Arc, Mutex, PoisonError};

#[cfg(doc)]
use tandem_media::audio::AudioEngine;
use tandem_media::audio::{AudioSink, AudioSource, Processing};
use tandem_media::video::VideoSpec;
use tandem_media::{NewestSlot, VideoFrame};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

use driver::Driver;

/// What the user wants of a running call.
#[derive(Debug)]
enum Command {
    HangUp,
    Cancel,
    Next,
    Mute(bool),
    Camera(bool),
    Video(VideoSpec),
    AudioSource(AudioSource),
    AudioSink(AudioSink),
    Processing(Processing),
    Stats(oneshot::Sender<CallStats>),
}

/// What the call's task shares with its handle.
#[derive(Debug, Default)]
struct Shared {
    local_frames: Arc<NewestSlot<VideoFrame>>,
    remote_frames: Arc<NewestSlot<VideoFrame>>,
    /// The figures of the last partner, once the call is over.
    final_stats: Mutex<CallStats>,
}

/// A handle to one call, from the search to the end. Dropping it hangs up, in the background.
#[derive(Debug)]
pub struct Call {
    commands: UnboundedSender<Command>,
    shared: Arc<Shared>,
    /// True once everything of the call is gone.
    finished: watch::Receiver<bool>,
}

impl Call {
    /// Opens the devices, connects to the relay and searches for a partner. What becomes of it is told by events; the
    /// last one is [`CallEventKind::Ended`]. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(options: CallOptions) -> (Self, UnboundedReceiver<CallEvent>) {
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let (events, event_receiver) = mpsc::unbounded_channel();
        let (finished_sender, finished) = watch::channel(false);
        let shared = Arc::new(Shared::default());
        let driver = Driver::new(options, Arc::clone(&shared), command_receiver, events);
        tokio::spawn(async move {
            driver.run().await;
            // Nobody waits if the handle is gone.
            let _ = finished_sender.send(true);
        });

        (
            Self {
                commands,
                shared,
                finished,
            },
            event_receiver,
        )
    }

    /// Ends the call, or the search, and waits until the partner was told and every device is released.
    pub async fn hang_up(&self) {
        self.command(Command::HangUp);
        self.finished().await;
    }

    /// Stops a search that has found nobody yet.
    pub fn cancel(&self) {
        self.command(Command::Cancel);
    }

    /// Leaves the partner and searches for another one.
    pub fn next(&self) {
        self.command(Command::Next);
    }

    /// Sends silence instead of the microphone, or the microphone again.
    pub fn set_muted(&self, muted: bool) {
        self.command(Command::Mute(muted));
    }

    /// Switches the camera off, which releases the device, or on again. A call begins with it on.
    pub fn set_camera(&self, on: bool) {
        self.command(Command::Camera(on));
    }

    /// Sends the pictures of another source, which opens after the former one is released. If it fails, that is told as
    /// [`CallEventKind::Media`] and the call goes on without. While the camera is off nothing opens until it is on.
    pub fn set_video(&self, video: VideoSpec) {
        self.command(Command::Video(video));
    }

    /// Sends the sound of another source, see [`AudioEngine::set_source`].
    pub fn set_audio_source(&self, source: AudioSource) {
        self.command(Command::AudioSource(source));
    }

    /// Plays the partner's sound somewhere else, see [`AudioEngine::set_sink`].
    pub fn set_audio_sink(&self, sink: AudioSink) {
        self.command(Command::AudioSink(sink));
    }

    /// Changes what is done to a microphone's sound, see [`AudioEngine::set_processing`].
    pub fn set_processing(&self, processing: Processing) {
        self.command(Command::Processing(processing));
    }

    /// The newest own picture, for a preview.
    #[must_use]
    pub fn local_frames(&self) -> Arc<NewestSlot<VideoFrame>> {
        Arc::clone(&self.shared.local_frames)
    }

    /// The newest picture of the partner, at the moment at which it is to be shown: in time with the sound.
    #[must_use]
    pub fn remote_frames(&self) -> Arc<NewestSlot<VideoFrame>> {
        Arc::clone(&self.shared.remote_frames)
    }

    /// The figures of the call with the present or last partner; after the end those of the whole call.
    pub async fn stats(&self) -> CallStats {
        let (reply, stats) = oneshot::channel();
        self.command(Command::Stats(reply));

        match stats.await {
            Ok(stats) => stats,
            Err(_) => {
                self.finished().await;
                self.shared
                    .final_stats
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone()
            }
        }
    }

    /// Waits until the call is over and everything of it is gone.
    pub async fn finished(&self) {
        // An error means that the task is gone, which is as finished as it gets.
        let _ = self.finished.clone().wait_for(|finished| *finished).await;
    }

    fn command(&self, command: Command) {
        // After the end there is nothing to command.
        let _ = self.commands.send(command);
    }
}
