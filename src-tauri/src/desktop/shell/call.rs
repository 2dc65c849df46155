//! A call of the engine, as the app's effects control it.

use std::sync::Arc;
use std::time::Duration;

use tandem_call::{Call, CallOptions, CallStats, CallTimeouts, Report, SharedLine};
use tandem_media::audio::{AudioConfig, AudioSink, AudioSource, Processing};
use tandem_media::video::{SharedVideo, VideoSpec};
use tandem_media::{Observer, VideoFrame};
use tandem_signaling::message::{SessionId, UserId};
use tandem_trust::SafetyWords;
use tokio::task::JoinHandle;

use super::Handle;
use crate::desktop::app::{CallGoal, CallId, CallPlan, Figures, Input, PlannedCode};
use crate::desktop::frames::Streams;
use crate::desktop::state::RouteKind;

/// The time between two looks at a call's figures.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);
/// The engine gives up a connection after this time. The page offers to retry earlier, see
/// [`SLOW_CONNECTION_AFTER`](crate::desktop::app::SLOW_CONNECTION_AFTER).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// For how long a person nearby who is rung may be out of reach: a moment without Wi-Fi, not a
/// computer that has fallen asleep.
const NEARBY_RETURN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait until a call has ended in order. After that it ends in the background.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A call with the tasks and threads around it.
pub(super) struct RunningCall {
    id: CallId,
    call: Arc<Call>,
    streams: Arc<Streams>,
    /// Forward figures and events to the app.
    tasks: [JoinHandle<()>; 2],
    /// Show local and remote frames on the page.
    _frames: [Observer<VideoFrame>; 2],
}

impl RunningCall {
    /// Starts the search. If `camera` has the video of `plan` open already, the call takes it over;
    /// so it does with a connection in `line`, which it leaves there when it ends.
    pub(super) fn start(
        id: CallId,
        plan: CallPlan,
        line: SharedLine,
        camera: SharedVideo,
        handle: Handle,
        streams: Arc<Streams>,
    ) -> Self {
        let (camera_on, muted, video) = (plan.camera_on, plan.muted, plan.video.clone());
        let (call, mut events) = Call::start(options(plan, line, camera));
        let call = Arc::new(call);
        call.set_muted(muted);

        if !camera_on {
            // The call starts without video, so that the camera's light stays off. This is what it
            // opens once the camera is switched on.
            call.set_camera(false);
            call.set_video(video);
        }

        streams.local.set_open(camera_on);
        let frames = [
            streams.local.follow(&call.local_frames()),
            streams.remote.follow(&call.remote_frames()),
        ];

        let figures = tokio::spawn(report_figures(id, Arc::clone(&call), handle.clone()));
        let forward = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                handle.notify(Input::Call(id, event.kind));
            }
        });

        Self {
            id,
            call,
            streams,
            tasks: [figures, forward],
            _frames: frames,
        }
    }

    pub(super) fn id(&self) -> CallId {
        self.id
    }

    /// Hangs up, and waits until the partner is notified and the call has let go of its devices.
    pub(super) async fn end(self) {
        self.streams.local.set_open(false);

        if tokio::time::timeout(END_TIMEOUT, self.call.hang_up())
            .await
            .is_err()
        {
            tracing::warn!("hanging up timed out: devices may stay in use for a moment");
        }

        for task in &self.tasks {
            task.abort();
        }
    }

    pub(super) fn next(&self) {
        self.call.next();
    }

    pub(super) fn set_muted(&self, muted: bool) {
        self.call.set_muted(muted);
    }

    pub(super) fn set_camera_on(&self, on: bool) {
        self.streams.local.set_open(on);
        self.call.set_camera(on);
    }

    pub(super) fn set_video(&self, video: VideoSpec) {
        self.call.set_video(video);
    }

    pub(super) fn set_audio_source(&self, source: AudioSource) {
        self.call.set_audio_source(source);
    }

    pub(super) fn set_audio_sink(&self, sink: AudioSink) {
        self.call.set_audio_sink(sink);
    }

    pub(super) fn set_processing(&self, processing: Processing) {
        self.call.set_processing(processing);
    }

    pub(super) fn words_compared(&self, shown: SafetyWords, are_equal: bool) {
        self.call.words_compared(shown, are_equal);
    }

    pub(super) fn release_media(&self, session_id: &SessionId) {
        self.call.release_media(session_id.as_str().to_owned());
    }

    pub(super) fn report(&self, report: Report) {
        self.call.report(report);
    }

    pub(super) fn block(&self, partner: UserId) {
        self.call.block(partner);
    }

    pub(super) fn retry_devices(&self) {
        self.call.retry_devices();
    }
}

fn options(plan: CallPlan, line: SharedLine, camera: SharedVideo) -> CallOptions {
    let mut options = CallOptions::new(plan.server.url.clone());
    options.signaling = plan.server;
    options.line = line;
    options.keep_line_open = plan.line.is_some();
    // Two strangers do not agree to meet again.
    options.meet_again = plan.goal != CallGoal::Anyone;

    match plan.goal {
        CallGoal::Anyone => {}
        CallGoal::Room { room, must_exist } => {
            options.room = Some(room);
            options.room_must_exist = must_exist;
        }
        CallGoal::Answer(knock) => options.answer = Some(knock),
    }

    options.code = plan.code.map(|PlannedCode(code)| code);
    options.profile = plan.profile;
    if let Some(stranger) = plan.stranger {
        options.stranger = Some(stranger.route);
        options.interests = stranger.interests;
        options.hold_media = true;
    }

    options.video = if plan.camera_on {
        plan.video
    } else {
        VideoSpec::None
    };

    // The user may choose a camera or microphone during the call that was missing before.
    (options.negotiate_video, options.negotiate_audio) = (true, true);
    options.shared_video = camera;
    options.keep_video_open = true;
    options.video_format = plan.video_quality.format;
    options.codec = plan.video_quality.codec;
    options.max_bitrate_bps = plan.video_quality.max_bitrate_bps;

    options.audio = AudioConfig {
        source: plan.audio,
        sink: plan.speaker,
        processing: plan.processing,
        ..AudioConfig::default()
    };

    let usual = CallTimeouts::default();
    options.timeouts = CallTimeouts {
        connect: CONNECT_TIMEOUT,
        signaling_return: if plan.rings_nearby {
            NEARBY_RETURN_TIMEOUT
        } else {
            usual.signaling_return
        },
        ..usual
    };

    options
}

async fn report_figures(id: CallId, call: Arc<Call>, handle: Handle) {
    let mut ticks = tokio::time::interval(FIGURES_INTERVAL);
    loop {
        ticks.tick().await;
        let stats = call.stats().await;
        handle.notify(Input::Figures(id, figures(&stats)));
    }
}

fn figures(stats: &CallStats) -> Figures {
    let Some(route) = &stats.route else {
        return Figures::default();
    };

    let is_relayed = route.local == "relay" || route.remote == "relay";
    Figures {
        route: Some(if is_relayed {
            RouteKind::Relayed
        } else {
            RouteKind::Direct
        }),
        encrypted: !route.srtp.is_empty(),
        quality: stats.quality.map(|quality| quality as u8),
    }
}
