//! Holds one call, from its options to its report.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: the timeline of a call starts now"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_call::{Call, CallEvent, CallEventKind, CallOptions, CallStats};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::outcome::{Exit, Failure, Intent, Timeline};
use super::process;
use super::remote_frames::RemoteFrames;
use super::report::{FrameOrder, Report};

/// How long to wait for the end of the call after hanging up.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// What one peer of this process does in a call.
#[derive(Debug)]
pub struct PeerSetup {
    /// The options of the call.
    pub options: CallOptions,
    /// What the peer sends and expects, to judge the call by.
    pub intent: Intent,
    /// When to hang up, counted from the connection. `None`: when the partner leaves or the user
    /// stops the program.
    pub duration: Option<Duration>,
    /// The PNG file for the last received frame.
    pub snapshot: Option<PathBuf>,
    /// The Y4M file for the received frames.
    pub record_video: Option<PathBuf>,
}

/// The result of one peer's call.
#[derive(Debug)]
pub struct Outcome {
    /// What `--report` writes.
    pub report: Report,
    /// The exit code, as far as this peer decides it.
    pub exit: Exit,
}

impl Outcome {
    /// A call that never started.
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

/// Holds a call until its duration is over, the partner leaves, it fails, or `stop` turns true;
/// then ends it in order.
pub async fn hold_call(peer: PeerSetup, stop: watch::Receiver<bool>) -> Outcome {
    let fps = peer.options.video_format.fps;
    let frames = match RemoteFrames::new(peer.record_video.as_deref(), fps) {
        Ok(frames) => Arc::new(frames),
        Err(error) => {
            return Outcome::failed(Failure::new(Exit::Device, error.code, error.message));
        }
    };

    let mut options = peer.options;
    let sink = Arc::clone(&frames);
    options.on_remote_frame = Some(Arc::new(move |frame| sink.on_frame(frame)));

    let mut timeline = Timeline::new(Instant::now());
    let (call, mut events) = Call::start(options);
    let stats = follow(&call, &mut events, &mut timeline, peer.duration, stop).await;
    // Ends the threads that hold the sink, and with it the recording.
    drop(call);

    timeline
        .warnings
        .extend(save(Arc::clone(&frames), peer.snapshot).await);
    conclude(&timeline, &stats, &peer.intent, &frames)
}

/// Completes the recording and saves the snapshot, off the runtime's threads because disks can be
/// slow. Returns a warning for each that failed.
async fn save(frames: Arc<RemoteFrames>, snapshot: Option<PathBuf>) -> Vec<String> {
    let work = move || {
        let snapshot = snapshot.and_then(|path| save_snapshot(&frames, &path));
        frames.finish().into_iter().chain(snapshot).collect()
    };

    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        vec!["The received video could not be saved. Please report this as a bug.".into()]
    })
}

/// Notes the call's events until it ends, or until it is time to end it. Returns its last figures, after
/// which no frame was recorded any more.
async fn follow(
    call: &Call,
    events: &mut UnboundedReceiver<CallEvent>,
    timeline: &mut Timeline,
    duration: Option<Duration>,
    mut stop: watch::Receiver<bool>,
) -> CallStats {
    loop {
        let deadline = timeline
            .connected_at
            .zip(duration)
            .map(|(connected, duration)| connected + duration);

        let duration_over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };

        tokio::select! {
            event = events.recv() => match event {
                Some(event) => {
                    let ended = matches!(event.kind, CallEventKind::Ended { .. });
                    timeline.on_event(event);

                    if ended {
                        return last_stats(call).await;
                    }
                }
                None => return last_stats(call).await,
            },
            () = duration_over => break,
            // An error means that the sender is gone and no stop can arrive.
            Ok(_) = stop.wait_for(|stop| *stop) => break,
        }
    }

    let end = async {
        call.hang_up().await;
        while let Some(event) = events.recv().await {
            timeline.on_event(event);
        }
    };

    if tokio::time::timeout(HANG_UP_TIMEOUT, end).await.is_err() {
        tracing::warn!("hanging up timed out: the partner may not have been notified");
    }

    last_stats(call).await
}

/// The figures of a call that has ended, or should have.
async fn last_stats(call: &Call) -> CallStats {
    let stats = tokio::time::timeout(HANG_UP_TIMEOUT, call.stats()).await;
    stats.unwrap_or_else(|_| {
        tracing::error!("the call does not end: the report lacks its figures");
        CallStats::default()
    })
}

fn save_snapshot(frames: &RemoteFrames, path: &Path) -> Option<String> {
    match frames.save_last(path) {
        Ok(true) => None,
        Ok(false) => Some("No snapshot was saved, because no video was received.".into()),
        Err(error) => Some(format!("The snapshot was not saved: {error}")),
    }
}

fn conclude(
    timeline: &Timeline,
    stats: &CallStats,
    intent: &Intent,
    frames: &RemoteFrames,
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
    report.verification = timeline.verification.clone();
    report.warnings = timeline.all_warnings(report.error.as_ref());
    report.process = process::usage();
    let measured = frames.measured();
    report.video.received.glass_to_glass_ms_p50 = measured.glass_to_glass_ms(0.5);
    report.video.received.glass_to_glass_ms_p95 = measured.glass_to_glass_ms(0.95);

    if measured.has_pattern() {
        report.video.received.pictures = FrameOrder {
            missing: Some(measured.missing),
            out_of_order: Some(measured.out_of_order),
            repeated: Some(measured.repeated),
        };
    }

    Outcome { report, exit }
}
