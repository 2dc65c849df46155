//! Carries out the app's effects, one after the other: a device is free before something else opens
//! it.

use std::sync::Arc;
use std::time::Duration;

use tandem_media::audio::{MicrophoneMonitor, SpeakerTest};
use tandem_media::video::SharedVideo;
use tandem_signaling::server::SignalingServer;
use tokio::sync::mpsc::UnboundedReceiver;

use super::call::RunningCall;
use super::lobby_audio::{ShowLevel, start_monitor, test_speaker};
use super::preview::{self, RunningPreview};
use super::{Handle, devices, drop_blocking, host};
use crate::desktop::app::{CallId, Effect, Input};
use crate::desktop::frames::Streams;
use crate::desktop::settings::{SettingsFile, SettingsProblem};
use crate::desktop::state::Settings;
use crate::error_code::AppErrorCode;

/// When the embedded server is stopped, how long it lets other people's calls continue.
const SERVER_STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// Holds everything that is open at the moment.
pub struct Executor {
    handle: Handle,
    streams: Arc<Streams>,
    settings: SettingsFile,
    show_level: ShowLevel,
    /// The camera, which the preview and the call pass to each other without closing it.
    camera: SharedVideo,
    preview: Option<RunningPreview>,
    monitor: Option<MicrophoneMonitor>,
    speaker_test: Option<SpeakerTest>,
    call: Option<RunningCall>,
    host: Option<SignalingServer>,
}

impl Executor {
    /// An executor with nothing open. `show_level` shows the microphone's level, from 0 to 1.
    #[must_use]
    pub fn new(
        handle: Handle,
        streams: Arc<Streams>,
        settings: SettingsFile,
        show_level: impl Fn(f32) + Send + Sync + 'static,
    ) -> Self {
        Self {
            handle,
            streams,
            settings,
            show_level: Arc::new(show_level),
            camera: SharedVideo::new(),
            preview: None,
            monitor: None,
            speaker_test: None,
            call: None,
            host: None,
        }
    }

    /// Carries out `effects` until [`Effect::Exit`]. Nothing is open when it returns.
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
            Effect::StartPreview(id, video, format) => {
                self.preview = Some(RunningPreview::start(
                    id,
                    video,
                    format,
                    &self.camera,
                    self.handle.clone(),
                    Arc::clone(&self.streams),
                ));
            }
            Effect::StopPreview => {
                if let Some(preview) = self.preview.take() {
                    preview.stop(&self.camera).await;
                }
            }
            Effect::HandOverPreview => {
                if let Some(preview) = self.preview.take() {
                    preview.hand_over().await;
                }
            }
            Effect::ReleaseCamera => preview::release(&self.camera).await,
            Effect::StartCall(id, plan) => {
                self.stop_speaker_test().await;
                self.call = Some(RunningCall::start(
                    id,
                    *plan,
                    self.camera.clone(),
                    self.handle.clone(),
                    Arc::clone(&self.streams),
                ));
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
                self.with_call(id, |call| call.set_audio_source(source));
            }
            Effect::SetAudioSink(id, sink) => self.with_call(id, |call| call.set_audio_sink(sink)),
            Effect::SetProcessing(id, processing) => {
                self.with_call(id, |call| call.set_processing(processing));
            }
            Effect::ShowRemote(shown) => self.streams.remote.set_open(shown),
            Effect::ListDevices => {
                let handle = self.handle.clone();
                // Takes seconds on some systems, and no later effect depends on it.
                tokio::task::spawn_blocking(move || {
                    let (devices, errors) = devices::list();
                    handle.notify(Input::Devices(devices, errors));
                });
            }
            Effect::Save(settings) => self.save(*settings).await,
            Effect::StartHost { lan } => self.start_host(lan).await,
            Effect::StopHost => self.stop_host().await,
            Effect::StartMonitor(source) => {
                self.monitor =
                    start_monitor(source, self.handle.clone(), Arc::clone(&self.show_level));
            }
            Effect::StopMonitor => {
                if let Some(monitor) = self.monitor.take() {
                    drop_blocking("the level meter", monitor).await;
                }
            }
            Effect::TestSpeaker(sink) => {
                self.stop_speaker_test().await;
                self.speaker_test = Some(test_speaker(sink, self.handle.clone()));
            }
            Effect::Exit => {}
        }
    }

    fn with_call(&self, id: CallId, act: impl FnOnce(&RunningCall)) {
        if let Some(call) = self.call.as_ref().filter(|call| call.id() == id) {
            act(call);
        }
    }

    async fn save(&self, settings: Settings) {
        let file = self.settings.clone();
        let result = tokio::task::spawn_blocking(move || file.save(&settings)).await;

        let failed = |why| {
            let problem = SettingsProblem::new(AppErrorCode::SettingsNotSaved, why);
            Input::SettingsFailed(problem)
        };

        self.handle.notify(match result {
            Ok(Ok(())) => Input::SettingsSaved,
            Ok(Err(error)) => failed(error.to_string()),
            Err(panic) => {
                tracing::error!(%panic, "saving the settings failed");
                failed("internal error".to_owned())
            }
        });
    }

    async fn stop_speaker_test(&mut self) {
        if let Some(test) = self.speaker_test.take() {
            drop_blocking("the speaker test", test).await;
        }
    }

    async fn start_host(&mut self, lan: bool) {
        match host::start(lan).await {
            Ok(host) => {
                self.host = Some(host.server);
                self.handle.notify(Input::HostStarted {
                    local_url: host.local_url,
                    addresses: host.addresses,
                });
            }
            Err(error) => self.handle.notify(Input::HostFailed(error.to_string())),
        }
    }

    async fn stop_host(&mut self) {
        if let Some(server) = self.host.take() {
            server.shutdown_within(SERVER_STOP_TIMEOUT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_media::audio::{AudioSink, AudioSource, Processing};
    use tandem_media::video::{VideoFormat, VideoSpec, test_pattern};
    use tandem_signaling::client::ClientConfig;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::super::{Inbox, Message, channel};
    use super::*;
    use crate::desktop::app::{CallPlan, PreviewId};
    use crate::video_quality::VideoQuality;

    const TIMEOUT: Duration = Duration::from_secs(20);
    const FORMAT: VideoFormat = VideoFormat {
        width: 320,
        height: 240,
        fps: 60.0,
    };

    /// A running executor, whose camera is the test pattern: it numbers its frames from 0 for each
    /// opening, so a number that keeps growing proves that the source was not opened again.
    struct Rig {
        effects: UnboundedSender<Effect>,
        inbox: Inbox,
        streams: Arc<Streams>,
        _folder: tempfile::TempDir,
    }

    impl Rig {
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (handle, inbox) = channel();
            let streams = Arc::new(Streams::default());
            let settings = SettingsFile::new(folder.path());
            let executor = Executor::new(handle, Arc::clone(&streams), settings, |_| {});
            let (effects, receiver) = unbounded_channel();
            tokio::spawn(executor.run(receiver));

            Self {
                effects,
                inbox,
                streams,
                _folder: folder,
            }
        }

        fn carry_out(&self, effect: Effect) {
            self.effects.send(effect).expect("the executor runs");
        }

        async fn preview_is_on(&mut self, id: PreviewId) {
            let is_on = async {
                while let Some(message) = self.inbox.0.recv().await {
                    if let Message::Input(Input::Preview(found, result)) = message {
                        assert_eq!((found, result), (id, Ok(())), "the preview opens");
                        return;
                    }
                }
            };

            timeout(TIMEOUT, is_on).await.expect("the preview opens");
        }

        /// The numbers of the next `count` frames. The stream may offer a frame twice.
        async fn shown_frames(&self, count: usize) -> Vec<u16> {
            let mut newest = self.streams.local.watch();
            let mut numbers = Vec::new();

            while numbers.len() < count {
                timeout(TIMEOUT, newest.changed())
                    .await
                    .expect("frames keep coming")
                    .expect("the stream exists");

                let frame = newest.borrow_and_update().frame.clone();
                if let Some(frame) = frame {
                    let code = test_pattern::read(&frame.image).expect("the test pattern");
                    numbers.push(code.frame);
                }
            }

            numbers
        }
    }

    fn plan(camera_on: bool) -> Box<CallPlan> {
        Box::new(CallPlan {
            // Nothing listens there: the search continues until it is cancelled.
            server: ClientConfig::new("ws://127.0.0.1:1".parse().unwrap()),
            room: None,
            name: None,
            video: VideoSpec::Test,
            video_quality: VideoQuality {
                format: FORMAT,
                ..VideoQuality::default()
            },
            camera_on,
            muted: false,
            audio: AudioSource::None,
            speaker: AudioSink::None,
            processing: Processing::OFF,
        })
    }

    fn start_preview(id: u32) -> Effect {
        Effect::StartPreview(PreviewId(id), VideoSpec::Test, FORMAT)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_call_continues_with_the_frames_of_the_preview() {
        let mut rig = Rig::start();
        rig.carry_out(start_preview(1));
        rig.preview_is_on(PreviewId(1)).await;
        let before = rig.shown_frames(15).await;

        rig.carry_out(Effect::HandOverPreview);
        rig.carry_out(Effect::StartCall(CallId(2), plan(true)));
        let after = rig.shown_frames(30).await;

        let mut numbers = [before, after].concat();
        numbers.dedup();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "the source was not opened again: {numbers:?}"
        );

        rig.carry_out(Effect::EndCall(CallId(2)));
        rig.carry_out(Effect::ReleaseCamera);
        rig.carry_out(Effect::Exit);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_call_takes_over_a_camera_that_is_still_being_opened() {
        let rig = Rig::start();
        rig.carry_out(start_preview(1));
        rig.carry_out(Effect::HandOverPreview);
        rig.carry_out(Effect::StartCall(CallId(2), plan(true)));

        let mut numbers = rig.shown_frames(10).await;
        numbers.dedup();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "one source is shown: {numbers:?}"
        );

        rig.carry_out(Effect::EndCall(CallId(2)));
        rig.carry_out(Effect::ReleaseCamera);
        rig.carry_out(Effect::Exit);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_preview_takes_the_camera_back_from_a_call() {
        let mut rig = Rig::start();
        rig.carry_out(Effect::StartCall(CallId(1), plan(true)));
        let during = rig.shown_frames(30).await;

        rig.carry_out(Effect::EndCall(CallId(1)));
        rig.carry_out(start_preview(2));
        rig.preview_is_on(PreviewId(2)).await;
        let after = rig.shown_frames(10).await;

        let mut numbers = [during, after].concat();
        numbers.dedup();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "the source was not opened again: {numbers:?}"
        );

        rig.carry_out(Effect::StopPreview);
        rig.carry_out(Effect::Exit);
    }
}
