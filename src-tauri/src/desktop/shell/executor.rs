//! Carries out the app's effects, one after the other: a device is free before somebody else opens it.

use std::sync::Arc;
use std::time::Duration;

use tandem_media::audio::{MicrophoneMonitor, SpeakerTest};
use tandem_media::codec::VideoCodec;
use tandem_media::video::VideoFormat;
use tandem_signaling::server::Relay;
use tokio::sync::mpsc::UnboundedReceiver;

use super::calls::RunningCall;
use super::preview::RunningPreview;
use super::sound::{ShowLevel, drop_blocking, start_monitor, test_speaker};
use super::{Handle, devices, host};
use crate::desktop::app::{Effect, Input};
use crate::desktop::frames::Streams;
use crate::desktop::settings::{NOT_SAVED, SettingsFile};
use crate::desktop::state::Settings;

/// How long our own relay lets others go on when it is stopped.
const RELAY_PATIENCE: Duration = Duration::from_millis(500);

/// What the command line says about pictures.
#[derive(Debug, Clone, Copy)]
pub struct Media {
    /// Size and rate of the pictures to send.
    pub format: VideoFormat,
    /// The codec to offer first.
    pub codec: VideoCodec,
    /// The most that video may take (bits a second).
    pub max_bitrate_bps: u32,
}

/// Holds everything that is open at the moment.
pub struct Executor {
    handle: Handle,
    streams: Arc<Streams>,
    settings: SettingsFile,
    media: Media,
    show_level: ShowLevel,
    preview: Option<RunningPreview>,
    monitor: Option<MicrophoneMonitor>,
    speaker_test: Option<SpeakerTest>,
    call: Option<RunningCall>,
    host: Option<Relay>,
}

impl Executor {
    /// Nothing is open yet. `show_level` shows the microphone's level.
    #[must_use]
    pub fn new(
        handle: Handle,
        streams: Arc<Streams>,
        settings: SettingsFile,
        media: Media,
        show_level: impl Fn(f32) + Send + Sync + 'static,
    ) -> Self {
        Self {
            handle,
            streams,
            settings,
            media,
            show_level: Arc::new(show_level),
            preview: None,
            monitor: None,
            speaker_test: None,
            call: None,
            host: None,
        }
    }

    /// Carries out what comes, until the last effect: returns then, with nothing left open.
    pub async fn run(mut self, mut effects: UnboundedReceiver<Effect>) {
        while let Some(effect) = effects.recv().await {
            if effect == Effect::Exit {
                self.stop_host().await;
                return;
            }

            self.carry_out(effect).await;
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::StartPreview(id, video) => {
                let (handle, streams) = (self.handle.clone(), Arc::clone(&self.streams));
                self.preview = Some(RunningPreview::start(
                    id,
                    video,
                    self.media.format,
                    handle,
                    streams,
                ));
            }
            Effect::StopPreview => {
                if let Some(preview) = self.preview.take() {
                    preview.stop().await;
                }
            }
            Effect::StartCall(id, plan) => {
                self.stop_speaker_test().await;
                let (handle, streams) = (self.handle.clone(), Arc::clone(&self.streams));
                self.call = Some(RunningCall::start(id, *plan, self.media, handle, streams));
            }
            Effect::EndCall(id) => {
                if let Some(call) = self.call.take_if(|call| call.id() == id) {
                    call.end().await;
                }
            }
            Effect::Next(id) => self.with_call(id, RunningCall::next),
            Effect::SetMuted(id, muted) => self.with_call(id, |call| call.set_muted(muted)),
            Effect::SetCameraOn(id, on) => self.with_call(id, |call| call.set_camera_on(on)),
            Effect::SetVideo(id, video) => self.with_call(id, |call| call.set_video(video)),
            Effect::SetAudioSource(id, source) => {
                self.with_call(id, |call| call.set_audio_source(source))
            }
            Effect::SetAudioSink(id, sink) => self.with_call(id, |call| call.set_audio_sink(sink)),
            Effect::SetProcessing(id, processing) => {
                self.with_call(id, |call| call.set_processing(processing))
            }
            Effect::ShowRemote(shown) => self.streams.remote.set_open(shown),
            Effect::ListDevices => {
                let handle = self.handle.clone();
                // Listing may take seconds, and nothing waits for it.
                tokio::task::spawn_blocking(move || {
                    let (devices, errors) = devices::list();
                    handle.tell(Input::Devices(devices, errors));
                });
            }
            Effect::Save(settings) => self.save(*settings).await,
            Effect::StartHost { lan } => match host::start(lan).await {
                Ok((relay, local_url, addresses)) => {
                    self.host = Some(relay);
                    self.handle.tell(Input::HostStarted {
                        local_url,
                        addresses,
                    });
                }
                Err(error) => self.handle.tell(Input::HostFailed(error.to_string())),
            },
            Effect::StopHost => self.stop_host().await,
            Effect::StartMonitor(source) => {
                self.monitor =
                    start_monitor(source, self.handle.clone(), Arc::clone(&self.show_level));
            }
            Effect::StopMonitor => {
                if let Some(monitor) = self.monitor.take() {
                    drop_blocking(monitor).await;
                }
            }
            Effect::TestSpeaker(sink) => {
                self.stop_speaker_test().await;
                self.speaker_test = Some(test_speaker(sink, self.handle.clone()));
            }
            Effect::Exit => {}
        }
    }

    fn with_call(&self, id: crate::desktop::app::CallId, act: impl FnOnce(&RunningCall)) {
        if let Some(call) = self.call.as_ref().filter(|call| call.id() == id) {
            act(call);
        }
    }

    async fn save(&self, settings: Settings) {
        let file = self.settings.clone();
        let saved = tokio::task::spawn_blocking(move || file.save(&settings)).await;
        let problem = match saved {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((NOT_SAVED, error.to_string())),
            Err(_) => Some((NOT_SAVED, "internal error".to_owned())),
        };

        self.handle.tell(Input::SettingsKept(problem));
    }

    async fn stop_speaker_test(&mut self) {
        if let Some(test) = self.speaker_test.take() {
            drop_blocking(test).await;
        }
    }

    async fn stop_host(&mut self) {
        if let Some(relay) = self.host.take() {
            relay.shutdown_within(RELAY_PATIENCE).await;
        }
    }
}
