//! A call of the engine, as the app's effects handle it.

use std::sync::Arc;
use std::time::Duration;

use tandem_call::machine::Patience;
use tandem_call::session::{Call, CallOptions, CallStats, Profile};
use tandem_media::audio::{AudioConfig, AudioSink, AudioSource, Processing};
use tandem_media::video::VideoSpec;
use tokio::task::JoinHandle;

use super::{Handle, Media};
use crate::desktop::app::{CallId, CallPlan, Figures, Input};
use crate::desktop::frames::{Pump, Streams};
use crate::desktop::state::RouteKind;

/// How often the badges look at the figures.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);
/// The window offers to try again after 10 s; the engine gives up later.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// A call that is not taken apart by then is left to itself.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A call and what hangs on it.
pub(super) struct RunningCall {
    id: CallId,
    call: Arc<Call>,
    streams: Arc<Streams>,
    tasks: [JoinHandle<()>; 2],
    pumps: Vec<Pump>,
}

impl RunningCall {
    pub(super) fn start(
        id: CallId,
        plan: CallPlan,
        media: Media,
        handle: Handle,
        streams: Arc<Streams>,
    ) -> Self {
        let (camera_on, video) = (plan.camera_on, plan.video.clone());
        let (call, mut events) = Call::start(options(plan, media));
        let call = Arc::new(call);

        if !camera_on {
            // The call was started without a picture, so that no light blinks; this one opens when the camera is on.
            call.set_camera(false);
            call.set_video(video);
        }

        streams.local.set_open(camera_on);
        let shown = Arc::clone(&streams);
        let local = Pump::start(
            "local",
            call.local_frames(),
            Arc::clone(&shown),
            |streams| &streams.local,
        );
        let remote = Pump::start("remote", call.remote_frames(), shown, |streams| {
            &streams.remote
        });

        let pumps = [local, remote].into_iter().filter_map(|pump| {
            pump.inspect_err(
                |error| tracing::error!(%error, "pictures of the call cannot be shown"),
            )
            .ok()
        });

        let pumps = pumps.collect();
        let figures = tokio::spawn(tell_figures(id, Arc::clone(&call), handle.clone()));
        let tell = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                handle.tell(Input::Call(id, event.kind));
            }
        });

        Self {
            id,
            call,
            streams,
            tasks: [figures, tell],
            pumps,
        }
    }

    pub(super) fn id(&self) -> CallId {
        self.id
    }

    /// Hangs up, and waits until the partner is told and the devices are free.
    pub(super) async fn end(self) {
        self.streams.local.set_open(false);
        if tokio::time::timeout(END_PATIENCE, self.call.hang_up())
            .await
            .is_err()
        {
            tracing::warn!("a call did not end in time");
        }

        for task in &self.tasks {
            task.abort();
        }

        // Each pump's thread is waited for.
        let pumps = self.pumps;
        if tokio::task::spawn_blocking(move || drop(pumps))
            .await
            .is_err()
        {
            tracing::error!("a thread that carries pictures panicked");
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
}

fn options(plan: CallPlan, media: Media) -> CallOptions {
    let mut options = CallOptions::new(plan.relay_url);
    options.room = plan.room;
    options.profile = Profile {
        user_name: plan.name,
        ..Profile::default()
    };

    options.video = if plan.camera_on {
        plan.video
    } else {
        VideoSpec::None
    };

    // A camera or a microphone may be chosen in the call that was missing before it.
    (options.negotiate_video, options.negotiate_audio) = (true, true);
    options.video_format = media.format;
    options.audio = AudioConfig {
        source: plan.audio,
        sink: plan.speaker,
        processing: plan.processing,
        ..AudioConfig::default()
    };

    options.codec = media.codec;
    options.max_bitrate_bps = media.max_bitrate_bps;
    options.patience = Patience {
        connect: CONNECT_PATIENCE,
        ..Patience::default()
    };

    options
}

async fn tell_figures(id: CallId, call: Arc<Call>, handle: Handle) {
    let mut ticks = tokio::time::interval(FIGURES_INTERVAL);
    loop {
        ticks.tick().await;
        let stats = call.stats().await;
        handle.tell(Input::Figures(id, figures(&stats)));
    }
}

fn figures(stats: &CallStats) -> Figures {
    let Some(route) = &stats.route else {
        return Figures::default();
    };

    let relayed = route.local == "relay" || route.remote == "relay";
    Figures {
        route: Some(if relayed {
            RouteKind::Relayed
        } else {
            RouteKind::Direct
        }),
        encrypted: !route.srtp.is_empty(),
        quality: stats.quality.map(|quality| quality as u8),
    }
}
