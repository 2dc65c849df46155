//! Holding one call: from the options to the report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_call::session::{Call, CallEvent, CallEventKind, CallOptions, CallStats};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::outcome::{Exit, Failure, Intent, Timeline};
use super::process;
use super::record::RemotePictures;
use super::report::{Pictures, Report};

/// After hanging up, the end of the call comes within this time, or it is not waited for.
const HANG_UP_PATIENCE: Duration = Duration::from_secs(5);

/// One peer's part in a call.
#[derive(Debug)]
pub struct Peer {
    /// Everything that the call itself needs.
    pub options: CallOptions,
    /// What it means to do, for the verdict.
    pub intent: Intent,
    /// How long the call lasts once it is connected.
    pub duration: Option<Duration>,
    /// Where the last received picture goes.
    pub snapshot: Option<PathBuf>,
    /// Where received pictures are recorded.
    pub record_video: Option<PathBuf>,
}

/// What a peer's call came to.
#[derive(Debug)]
pub struct Outcome {
    /// The report.
    pub report: Report,
    /// What the process should end with, as far as this peer is concerned.
    pub exit: Exit,
}

impl Outcome {
    /// A call that never began.
    pub fn failed(failure: Failure) -> Self {
        let report = Report {
            error: Some(failure.error),
            process: process::usage(),
            ..Report::default()
        };

        Self {
            report,
            exit: failure.exit,
        }
    }
}

/// Holds a call until its time is over, the partner leaves, it fails, or `stop` turns true; then ends it properly.
pub async fn hold_call(peer: Peer, stop: watch::Receiver<bool>) -> Outcome {
    let fps = peer.options.video_format.fps;
    let pictures = match RemotePictures::new(peer.record_video.as_deref(), fps) {
        Ok(pictures) => Arc::new(pictures),
        Err(error) => {
            return Outcome::failed(Failure::new(
                Exit::Device,
                error.code.as_str(),
                error.message,
            ));
        }
    };

    let mut options = peer.options;
    let sink = Arc::clone(&pictures);
    options.on_remote_frame = Some(Arc::new(move |picture| sink.on_picture(picture)));

    let mut timeline = Timeline::new(Instant::now());
    let (call, mut events) = Call::start(options);
    let stats = attend(&call, &mut events, &mut timeline, peer.duration, stop).await;
    // Threads that still hold the sink would keep the recording open.
    drop(call);

    timeline
        .warnings
        .extend(keep(Arc::clone(&pictures), peer.snapshot).await);
    conclude(&timeline, &stats, &peer.intent, &pictures)
}

/// Completes the recording and saves the snapshot, off the runtime's threads: a disk may be slow. Says what went wrong.
async fn keep(pictures: Arc<RemotePictures>, snapshot: Option<PathBuf>) -> Vec<String> {
    let work = move || {
        let snapshot = snapshot.and_then(|path| save_snapshot(&pictures, &path));
        pictures.finish().into_iter().chain(snapshot).collect()
    };

    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        vec!["The received pictures could not be saved: please report this as a bug.".into()]
    })
}

/// Follows the call to its end and returns its figures as they were before it was taken apart.
async fn attend(
    call: &Call,
    events: &mut UnboundedReceiver<CallEvent>,
    timeline: &mut Timeline,
    duration: Option<Duration>,
    mut stop: watch::Receiver<bool>,
) -> CallStats {
    loop {
        let until = timeline
            .connected_at
            .zip(duration)
            .map(|(connected, duration)| connected + duration);

        let over = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };

        tokio::select! {
            event = events.recv() => match event {
                Some(event) => {
                    let ended = matches!(event.kind, CallEventKind::Ended { .. });
                    timeline.on_event(event);

                    if ended {
                        return call.stats().await;
                    }
                }
                None => return call.stats().await,
            },
            () = over => break,
            // A sender that is gone will never ask for the end.
            Ok(_) = stop.wait_for(|stop| *stop) => break,
        }
    }

    let stats = call.stats().await;
    call.hang_up().await;
    let end = async {
        while let Some(event) = events.recv().await {
            timeline.on_event(event);
        }
    };

    if tokio::time::timeout(HANG_UP_PATIENCE, end).await.is_err() {
        tracing::warn!("the call did not end in time after hanging up");
    }

    stats
}

fn save_snapshot(pictures: &RemotePictures, path: &Path) -> Option<String> {
    match pictures.save_last(path) {
        Ok(true) => None,
        Ok(false) => Some("No snapshot was saved: no picture came.".into()),
        Err(error) => Some(format!("The snapshot was not saved: {error}")),
    }
}

fn conclude(
    timeline: &Timeline,
    stats: &CallStats,
    intent: &Intent,
    pictures: &RemotePictures,
) -> Outcome {
    let verdict = timeline.verdict(stats, intent);
    let exit = verdict
        .as_ref()
        .map_or_else(|failure| failure.exit, |()| Exit::Success);
    let mut report = Report::from_stats(stats, intent);
    report.ok = verdict.is_ok();
    report.error = verdict.err().map(|failure| failure.error);
    report.initiator = timeline.initiator;
    report.session_id.clone_from(&timeline.session_id);
    report.timings_ms = timeline.timings.clone();
    report.warnings = timeline.all_warnings(report.error.as_ref());
    report.process = process::usage();
    let measured = pictures.measured();
    report.video.received.glass_to_glass_ms_p50 = measured.glass_to_glass_ms(0.5);
    report.video.received.glass_to_glass_ms_p95 = measured.glass_to_glass_ms(0.95);

    if measured.has_pattern() {
        report.video.received.pictures = Pictures {
            missing: Some(measured.missing),
            out_of_order: Some(measured.out_of_order),
            repeated: Some(measured.repeated),
        };
    }

    Outcome { report, exit }
}
