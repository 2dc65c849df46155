//! A running call: the shell that connects the state machine to the signaling server, the peer
//! connection and the media threads.
//!
//! One task drives a call ([`driver`]). Video is captured, encoded and decoded on threads of its
//! own, audio on those of the audio engine; the task only passes messages between them. Everything
//! ends with the call.

mod audio_bridge;
mod camera_recovery;
mod driver;
mod event;
mod history;
mod ice_servers;
mod limit;
mod line;
mod local_audio;
mod local_state;
mod local_video;
mod network_watch;
mod numbers;
mod options;
mod partner;
mod quality;
mod recorder;
mod remote_state;
mod remote_tracks;
mod remote_video;
mod report;
mod resolution_ladder;
mod signaling;
mod state_channel;
mod stats;
mod stream_choice;
mod trouble;
mod verification;
mod video_sender;

pub use crate::peer::Route;
pub use event::{CallEvent, CallEventKind};
pub use line::{Registration, SharedLine, SignalingLine};
pub use options::{
    CallOptions, DEFAULT_MAX_BITRATE_BPS, MIN_BITRATE_BPS, OnRemoteFrame, Profile, StrangerRoute,
};
pub use quality::Quality;
pub use report::{BlockOutcome, Report, ReportOutcome};
pub use stats::{BitrateSample, CallStats, VideoReceived, VideoSent};
pub use verification::{CallCode, SharedGuesses, VerificationState};

use std::sync::Arc;

use parking_lot::Mutex;
#[cfg(doc)]
use tandem_media::audio::AudioEngine;
use tandem_media::audio::{AudioSink, AudioSource, Processing};
use tandem_media::video::VideoSpec;
use tandem_media::{NewestSlot, VideoFrame};
use tandem_signaling::message::UserId;
use tandem_trust::SafetyWords;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

use driver::Driver;

/// What the user asks of a running call.
#[derive(Debug)]
enum CallCommand {
    HangUp,
    Cancel,
    Next,
    Mute(bool),
    Camera(bool),
    Video(VideoSpec),
    AudioSource(AudioSource),
    AudioSink(AudioSink),
    Processing(Processing),
    RetryDevices,
    Report(Report),
    Block { partner: UserId },
    ReleaseMedia { session_id: String },
    WordsCompared { shown: SafetyWords, are_equal: bool },
    Stats(oneshot::Sender<CallStats>),
}

/// What a call produces: written by its task and threads, read through the handle.
#[derive(Debug, Default)]
struct CallOutput {
    local_frames: Arc<NewestSlot<VideoFrame>>,
    remote_frames: Arc<NewestSlot<VideoFrame>>,
    /// The figures of the last partner, written when its connection closes.
    final_stats: Mutex<CallStats>,
}

/// A handle to one call, from the search to the end. Dropping it hangs up, in the background.
#[derive(Debug)]
pub struct Call {
    commands: UnboundedSender<CallCommand>,
    output: Arc<CallOutput>,
    /// True once the call has released everything it held.
    finished: watch::Receiver<bool>,
}

impl Call {
    /// Opens the devices, connects to the signaling server and searches for a partner. The receiver
    /// reports what happens; its last event is [`CallEventKind::Ended`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(options: CallOptions) -> (Self, UnboundedReceiver<CallEvent>) {
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let (events, event_receiver) = mpsc::unbounded_channel();
        let (finished_sender, finished) = watch::channel(false);
        let output = Arc::new(CallOutput::default());
        let driver = Driver::new(options, Arc::clone(&output), command_receiver, events);

        tokio::spawn(async move {
            driver.run().await;
            // Fails if the handle is gone: then no one waits.
            let _ = finished_sender.send(true);
        });

        let call = Self {
            commands,
            output,
            finished,
        };
        (call, event_receiver)
    }

    /// Ends the call, or the search. Returns once the hang-up was sent and every device is
    /// released, except a camera that [`CallOptions::keep_video_open`] leaves open.
    pub async fn hang_up(&self) {
        self.command(CallCommand::HangUp);
        self.finished().await;
    }

    /// Stops a search that has not found a partner yet. Does nothing in a call.
    pub fn cancel(&self) {
        self.command(CallCommand::Cancel);
    }

    /// Leaves the partner and searches for another one.
    pub fn next(&self) {
        self.command(CallCommand::Next);
    }

    /// Sends silence instead of the microphone, or the microphone again.
    pub fn set_muted(&self, muted: bool) {
        self.command(CallCommand::Mute(muted));
    }

    /// Turns the camera off, which releases the device, or on again. It is on when a call starts.
    pub fn set_camera(&self, on: bool) {
        self.command(CallCommand::Camera(on));
    }

    /// Sends video from another source, which opens after the previous one is released. If it
    /// fails, the call reports [`CallEventKind::Media`] and continues without video. While the
    /// camera is off, nothing opens.
    pub fn set_video(&self, video: VideoSpec) {
        self.command(CallCommand::Video(video));
    }

    /// Sends audio from another source, see [`AudioEngine::set_source`].
    pub fn set_audio_source(&self, source: AudioSource) {
        self.command(CallCommand::AudioSource(source));
    }

    /// Plays the partner's audio on another device, see [`AudioEngine::set_sink`].
    pub fn set_audio_sink(&self, sink: AudioSink) {
        self.command(CallCommand::AudioSink(sink));
    }

    /// Changes how the microphone's audio is processed, see [`AudioEngine::set_processing`].
    pub fn set_processing(&self, processing: Processing) {
        self.command(CallCommand::Processing(processing));
    }

    /// Tries the camera, the microphone and the speaker again at once if they do not work. The call
    /// does so by itself, only later.
    pub fn retry_devices(&self) {
        self.command(CallCommand::RetryDevices);
    }

    /// The user has compared the safety words of [`VerificationState::words`] with those on the
    /// partner's screen. `shown` are the words that the user saw: nothing happens if they have changed
    /// since. Words that differ end the call with [`EndCode::CodeMismatch`](crate::EndCode::CodeMismatch).
    pub fn words_compared(&self, shown: SafetyWords, are_equal: bool) {
        self.command(CallCommand::WordsCompared { shown, are_equal });
    }

    /// Reports the present partner, or the last one: [`CallEventKind::Reported`] follows. Without a
    /// partner so far, nothing happens.
    pub fn report(&self, report: Report) {
        self.command(CallCommand::Report(report));
    }

    /// Never meets this partner again, present or past, by the id of [`CallEventKind::Matched`]. The call
    /// with them ends.
    pub fn block(&self, partner: UserId) {
        self.command(CallCommand::Block { partner });
    }

    /// Sends what [`CallOptions::hold_media`] holds back, if this session is still the current one:
    /// the user has seen who the partner is.
    pub fn release_media(&self, session_id: String) {
        self.command(CallCommand::ReleaseMedia { session_id });
    }

    /// The newest local frame, for the self-view.
    #[must_use]
    pub fn local_frames(&self) -> Arc<NewestSlot<VideoFrame>> {
        Arc::clone(&self.output.local_frames)
    }

    /// The partner's newest frame. It appears here when it should be shown: in sync with the audio.
    #[must_use]
    pub fn remote_frames(&self) -> Arc<NewestSlot<VideoFrame>> {
        Arc::clone(&self.output.remote_frames)
    }

    /// The figures since the current partner was found; without one, the final figures of the last
    /// partner.
    pub async fn stats(&self) -> CallStats {
        let (reply, stats) = oneshot::channel();
        self.command(CallCommand::Stats(reply));

        match stats.await {
            Ok(stats) => stats,
            Err(_) => {
                self.finished().await;
                self.output.final_stats.lock().clone()
            }
        }
    }

    /// Waits until the call is over and has released everything it held.
    pub async fn finished(&self) {
        // An error means that the task is gone, so it holds nothing any more.
        let _ = self.finished.clone().wait_for(|finished| *finished).await;
    }

    fn command(&self, command: CallCommand) {
        // Fails after the end, when there is nothing left to command.
        let _ = self.commands.send(command);
    }
}
