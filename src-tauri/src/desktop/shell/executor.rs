//! Carries out the app's effects, one after the other: a device is free before something else opens
//! it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tandem_call::{Report, ReportOutcome, SharedLine, SignalingLine};
use tandem_media::I420;
use tandem_media::audio::{MicrophoneMonitor, SpeakerTest};
use tandem_media::video::{SharedVideo, small_jpeg};
use tandem_signaling::message::MAX_SNAPSHOT_BYTES;
use tandem_signaling::server::SignalingServer;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinHandle, JoinSet};

use super::call::RunningCall;
use super::desktop::{Desktop, WindowControl};
use super::line::IdleLine;
use super::lobby_audio::{ShowLevel, start_monitor, test_speaker};
use super::nearby::RunningNearby;
use super::preview::{self, RunningPreview};
use super::{Handle, devices, drop_blocking, host};
use crate::desktop::access::{self, ServerToken, TokenFile};
use crate::desktop::app::{
    CallId, CallPlan, Effect, Input, LineEvent, LineId, NearbyEvent, PlannedReport, StrangerMeeting,
};
use crate::desktop::frames::Streams;
use crate::desktop::picture::{Picture, PictureFile};
use crate::desktop::recents::{Recent, RecentsFile};
use crate::desktop::settings::{SettingsFile, SettingsProblem};
use crate::desktop::state::Settings;
use crate::error_code::AppErrorCode;

/// When the embedded server is stopped, how long it lets other people's calls continue.
const SERVER_STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the end of the program waits until the signaling server knows of it.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the program keeps what it remembers.
#[derive(Debug, Clone)]
pub struct Files {
    /// The settings.
    pub settings: SettingsFile,
    /// The people of earlier calls.
    pub recents: RecentsFile,
    /// The access token for a private server.
    pub token: TokenFile,
    /// The user's profile picture.
    pub picture: PictureFile,
}

/// Holds everything that is open at the moment.
pub struct Executor {
    handle: Handle,
    streams: Arc<Streams>,
    files: Files,
    desktop: Desktop,
    show_level: ShowLevel,
    /// The camera, which the preview and the call pass to each other without closing it.
    camera: SharedVideo,
    preview: Option<RunningPreview>,
    monitor: Option<MicrophoneMonitor>,
    speaker_test: Option<SpeakerTest>,
    call: Option<RunningCall>,
    /// What a stranger has shown last, after the call with them.
    last_frame: Option<Arc<I420>>,
    /// A block that the server has to confirm on the connection that the call has.
    block: Option<StrangerMeeting>,
    /// The connection to the signaling server between calls.
    line: Option<IdleLine>,
    /// What lets people nearby call this user.
    nearby: Option<RunningNearby>,
    /// What was open for them before, while it is being closed: it still has the port.
    closing_nearby: Option<JoinHandle<()>>,
    /// The connection that the call has, and where it leaves it.
    lent_line: Option<(LineId, SharedLine)>,
    /// Connections that are being closed.
    closing: JoinSet<()>,
    host: Option<SignalingServer>,
}

impl Executor {
    /// An executor with nothing open. `show_level` shows the microphone's level, from 0 to 1.
    #[must_use]
    pub fn new(
        handle: Handle,
        streams: Arc<Streams>,
        files: Files,
        window: Arc<dyn WindowControl>,
        show_level: impl Fn(f32) + Send + Sync + 'static,
    ) -> Self {
        Self {
            desktop: Desktop::new(window, handle.clone()),
            handle,
            streams,
            files,
            show_level: Arc::new(show_level),
            camera: SharedVideo::new(),
            preview: None,
            monitor: None,
            speaker_test: None,
            call: None,
            last_frame: None,
            block: None,
            line: None,
            nearby: None,
            closing_nearby: None,
            lent_line: None,
            closing: JoinSet::new(),
            host: None,
        }
    }

    /// Carries out `effects` until [`Effect::Exit`]. Nothing is open when it returns.
    pub async fn run(mut self, mut effects: UnboundedReceiver<Effect>) {
        while let Some(effect) = effects.recv().await {
            if effect == Effect::Exit {
                self.desktop.close().await;
                let nearby = async {
                    if let Some(closing) = self.closing_nearby {
                        let _ = closing.await;
                    }
                };
                let closing = async { tokio::join!(self.closing.join_all(), nearby) };
                if tokio::time::timeout(GOODBYE_TIMEOUT, closing)
                    .await
                    .is_err()
                {
                    tracing::debug!(
                        "the signaling server may not notice at once that this app ends"
                    );
                }

                if let Some(server) = self.host {
                    server.shutdown_within(SERVER_STOP_TIMEOUT).await;
                }

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
                    preview.hand_over();
                }
            }
            Effect::ReleaseCamera => preview::release(&self.camera).await,
            Effect::StartCall(id, plan) => {
                self.stop_speaker_test().await;
                self.desktop.silence().await;
                self.start_call(id, *plan).await;
            }
            Effect::EndCall(id) => {
                if let Some(call) = self.call.take_if(|call| call.id() == id) {
                    call.end().await;
                    self.take_back_line();
                }
            }
            Effect::OpenLine(id, config) => {
                let line = SignalingLine::connect(*config);
                self.line = Some(IdleLine::start(id, line, self.handle.clone()));
            }
            Effect::UseLine(wanted) => {
                if let Some(line) = &self.line {
                    line.use_for(wanted);
                }
            }
            Effect::Decline(knock) => {
                if let Some(line) = &self.line {
                    line.decline(knock);
                }
            }
            Effect::CloseLine => {
                if let Some(line) = self.line.take() {
                    self.closing.spawn(async move {
                        if let Some(line) = line.stop().await {
                            line.close().await;
                        }
                    });
                }
            }
            Effect::OpenNearby(id, name) => self.open_nearby(id, name).await,
            Effect::RenameNearby(name) => self.with_nearby(|nearby| nearby.rename(name)),
            Effect::ListenNearby(wanted) => self.with_nearby(|nearby| nearby.listen(wanted)),
            Effect::DeclineNearby(knock) => self.with_nearby(|nearby| nearby.decline(knock)),
            Effect::CloseNearby => {
                if let Some(nearby) = self.nearby.take() {
                    self.closing_nearby = Some(tokio::spawn(nearby.close()));
                }
            }
            Effect::Play(tone) => self.desktop.play(tone).await,
            Effect::PlayOnce(tone) => self.desktop.play_once(tone).await,
            Effect::Notify(notification) => self.desktop.notify(notification),
            Effect::AskForAttention(on) => self.desktop.window().ask_for_attention(on),
            Effect::KeepAwake(on) => self.desktop.keep_awake(on),
            Effect::ShowWindow => self.desktop.window().show(),
            Effect::ToggleFullScreen => self.desktop.window().toggle_full_screen(),
            Effect::HideWindow => self.desktop.window().hide(),
            Effect::SaveRecents(recents) => self.save_recents(recents).await,
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
            Effect::WordsCompared(id, words, are_equal) => {
                self.with_call(id, |call| call.words_compared(words, are_equal));
            }
            Effect::ReleaseMedia(id, session_id) => {
                self.with_call(id, |call| call.release_media(&session_id));
            }
            Effect::Report(report) => self.report(*report).await,
            Effect::Block(meeting) => self.block(*meeting),
            Effect::ForgetFrame => self.last_frame = None,
            Effect::RetryDevices(id) => self.with_call(id, RunningCall::retry_devices),
            Effect::ShowRemote(shown) => {
                // A report after the call may have it attached.
                self.last_frame = self.streams.remote.newest().filter(|_| !shown);
                self.streams.remote.set_open(shown);
            }
            Effect::ListDevices => {
                let handle = self.handle.clone();
                // Takes seconds on some systems, and no later effect depends on it.
                tokio::task::spawn_blocking(move || {
                    let (devices, errors) = devices::list();
                    handle.notify(Input::Devices(devices, errors));
                });
            }
            Effect::Save(settings) => self.save(*settings).await,
            Effect::SaveToken(token) => self.save_token(token).await,
            Effect::SavePicture(picture) => self.save_picture(picture).await,
            Effect::ReadCertificates(path) => {
                let handle = self.handle.clone();
                // May take long on a network's file system, and no later effect depends on it.
                tokio::task::spawn_blocking(move || {
                    let result = access::read_certificates(&path);
                    handle.notify(Input::Certificates(path, result));
                });
            }
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

    /// Sends a report where the server knows the reporter: in the call, or on the connection that it
    /// has left.
    async fn report(&mut self, planned: PlannedReport) {
        let PlannedReport {
            meeting,
            category,
            text,
            snapshot,
        } = planned;
        let snapshot = if snapshot {
            self.snapshot().await
        } else {
            None
        };
        let report = Report {
            category,
            text,
            snapshot,
        };

        let call = self.call.as_ref().filter(|call| call.id() == meeting.call);
        let line = self.line.as_ref();
        let line = line.filter(|line| Some(line.id()) == meeting.line);
        match (call, line, meeting.line) {
            (Some(call), ..) => call.report(report),
            (None, Some(line), _) => line.report(meeting.session_id, report),
            (None, None, Some(id)) => {
                let failed = LineEvent::Reported(ReportOutcome::Failed);
                self.handle.notify(Input::Line(id, failed));
            }
            (None, None, None) => tracing::warn!("the connection for a report is gone"),
        }
    }

    /// Blocks a stranger: at once, and on the connection that the call leaves, where the answer is
    /// awaited.
    fn block(&mut self, meeting: StrangerMeeting) {
        if let Some(call) = self.call.as_ref().filter(|call| call.id() == meeting.call) {
            call.block(meeting.partner_id.clone());
        }

        self.block = Some(meeting);
        self.send_block();
    }

    /// Sends the block that waits for its connection.
    fn send_block(&mut self) {
        let line = self.line.as_ref();
        let is_for = |meeting: &mut StrangerMeeting| {
            line.is_some_and(|line| Some(line.id()) == meeting.line)
        };
        if let Some(meeting) = self.block.take_if(is_for)
            && let Some(line) = line
        {
            line.block(meeting.partner_id);
        }
    }

    /// What the stranger shows now, or has shown last, as a JPEG.
    async fn snapshot(&self) -> Option<Vec<u8>> {
        let frame = self.streams.remote.newest();
        let frame = frame.or_else(|| self.last_frame.clone())?;
        let made = tokio::task::spawn_blocking(move || small_jpeg(&frame, MAX_SNAPSHOT_BYTES));
        made.await.ok().flatten()
    }

    async fn start_call(&mut self, id: CallId, plan: CallPlan) {
        let shared = SharedLine::default();
        if let Some(lent) = plan.line {
            // Without one, because the last call did not give it back, the call opens its own and
            // leaves that one.
            let nearby = self.nearby.as_mut();
            let line = nearby.and_then(|nearby| nearby.take_line(lent));
            let line = line.or_else(|| self.line.take_if(|line| line.id() == lent));
            if let Some(line) = line
                && let Some(line) = line.stop().await
            {
                shared.put(line);
            }

            self.lent_line = Some((lent, shared.clone()));
        }

        self.call = Some(RunningCall::start(
            id,
            plan,
            shared,
            self.camera.clone(),
            self.handle.clone(),
            Arc::clone(&self.streams),
        ));
    }

    /// The call that ended has left its connection, if it had one.
    fn take_back_line(&mut self) {
        let Some((id, shared)) = self.lent_line.take() else {
            return;
        };

        let nearby = self.nearby.as_mut().filter(|nearby| nearby.owns(id));
        match (shared.take(), nearby) {
            (Some(line), Some(nearby)) => nearby.give_back(line),
            (Some(line), None) => {
                self.line = Some(IdleLine::start(id, line, self.handle.clone()));
                self.send_block();
            }
            // The call did not end in time, or closed it.
            (None, _) => self.handle.notify(Input::Line(id, LineEvent::Closed)),
        }
    }

    async fn save_recents(&self, recents: Vec<Recent>) {
        let file = self.files.recents.clone();
        if let Err(why) = write(move || file.save(&recents)).await {
            tracing::warn!(
                why,
                "the recent calls were not saved: they are lost when Tandem ends"
            );
        }
    }

    async fn save(&self, settings: Settings) {
        let file = self.files.settings.clone();
        let written = write(move || file.save(&settings)).await;

        self.handle.notify(match written {
            Ok(()) => Input::SettingsSaved,
            Err(why) => {
                Input::SettingsFailed(SettingsProblem::new(AppErrorCode::SettingsNotSaved, why))
            }
        });
    }

    async fn save_token(&self, token: Option<Box<ServerToken>>) {
        let code = match token {
            Some(_) => AppErrorCode::TokenNotSaved,
            None => AppErrorCode::TokenNotDeleted,
        };
        let file = self.files.token.clone();

        if let Err(why) = write(move || file.save(token.as_deref())).await {
            let problem = SettingsProblem::new(code, why);
            self.handle.notify(Input::AccessFailed(problem));
        }
    }

    async fn save_picture(&self, picture: Option<Picture>) {
        let file = self.files.picture.clone();
        if let Err(why) = write(move || file.save(picture.as_ref())).await {
            let problem = SettingsProblem::new(AppErrorCode::PictureNotSaved, why);
            self.handle.notify(Input::SettingsFailed(problem));
        }
    }

    async fn stop_speaker_test(&mut self) {
        if let Some(test) = self.speaker_test.take() {
            drop_blocking("the speaker test", test).await;
        }
    }

    async fn open_nearby(&mut self, id: LineId, name: Option<String>) {
        if let Some(closing) = self.closing_nearby.take() {
            // A panic was printed by the panic hook.
            let _ = closing.await;
        }

        match RunningNearby::open(id, name, self.handle.clone()).await {
            Ok(nearby) => self.nearby = Some(nearby),
            Err(error) => {
                let event = NearbyEvent::Failed(error.to_string());
                self.handle.notify(Input::Nearby(id, event));
            }
        }
    }

    fn with_nearby(&self, act: impl FnOnce(&RunningNearby)) {
        if let Some(nearby) = &self.nearby {
            act(nearby);
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

/// Writes a file on a thread that may wait for the disk. On failure, returns the reason.
async fn write(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(panic) => {
            tracing::error!(%panic, "writing a file failed");
            Err("internal error".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_call::Profile;
    use tandem_media::audio::{AudioSink, AudioSource, Processing};
    use tandem_media::video::{VideoFormat, VideoSpec, test_pattern};
    use tandem_signaling::client::ClientConfig;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::super::{Inbox, Message, channel};
    use super::*;
    use crate::desktop::app::{CallGoal, PreviewId};
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

    struct NoWindow;

    impl WindowControl for NoWindow {
        fn show(&self) {}
        fn hide(&self) {}
        fn toggle_full_screen(&self) {}
        fn ask_for_attention(&self, _: bool) {}
    }

    impl Rig {
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (handle, inbox) = channel();
            let streams = Arc::new(Streams::default());
            let files = Files {
                settings: SettingsFile::new(folder.path()),
                recents: RecentsFile::new(folder.path()),
                token: TokenFile::new(folder.path()),
                picture: PictureFile::new(folder.path()),
            };
            let window = Arc::new(NoWindow);
            let executor = Executor::new(handle, Arc::clone(&streams), files, window, |_| {});
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
            code: None,
            stranger: None,
            // Nothing listens there: the search continues until it is cancelled.
            server: ClientConfig::new("ws://127.0.0.1:1".parse().unwrap()),
            line: None,
            rings_nearby: false,
            goal: CallGoal::Anyone,
            profile: Profile::default(),
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
