//! How a call went: its milestones, its failures, and the verdict with its exit code. Sans-IO:
//! events in, verdict out.

use std::time::Instant;

use tandem_call::{CallEvent, CallEventKind, CallStats, ConnectProblem, EndCode, EndReason};
use tandem_media::DeviceError;
use tandem_media::error::{MediaEvent, MediaPart};

use super::report::{ErrorReport, Timings, VerificationReport};
use crate::error_code::{AppErrorCode, ErrorCode};

/// The exit codes of a headless call. They are a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Everything that each side sends arrived.
    Success,
    /// Bad arguments.
    Usage,
    /// No partner in time.
    NoPartner,
    /// The connection failed, or something that was sent did not arrive.
    Connection,
    /// A device failed, or a file could not be written.
    Device,
}

impl Exit {
    /// The number that the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage => 2,
            Self::NoPartner => 3,
            Self::Connection => 4,
            Self::Device => 5,
        }
    }

    /// The exit code of a process with two peers: the cause outweighs its effect. A device that
    /// fails at one end leaves the other end without media, which on its own would look like a
    /// failed connection.
    pub fn combined(self, other: Self) -> Self {
        [Self::Usage, Self::NoPartner, Self::Device, Self::Connection]
            .into_iter()
            .find(|exit| [self, other].contains(exit))
            .unwrap_or(Self::Success)
    }
}

/// Why a call is not `ok`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The error in the report.
    pub error: ErrorReport,
}

impl Failure {
    /// A failure with its stable code and a sentence for a person.
    pub fn new(exit: Exit, code: impl Into<ErrorCode>, message: impl Into<String>) -> Self {
        Self {
            exit,
            error: ErrorReport {
                code: code.into(),
                message: message.into(),
                reason: None,
            },
        }
    }

    /// A call that ended for this reason.
    fn ended(exit: Exit, reason: &EndReason) -> Self {
        let mut failure = Self::new(exit, reason.code, reason.message.clone());
        failure.error.reason = reason.problem;
        failure
    }
}

/// What a peer intends to send and expects to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Intent {
    /// It sends video.
    pub sends_video: bool,
    /// It sends audio.
    pub sends_audio: bool,
    /// The partner is known to send video. If false, the partner may or may not send it.
    pub expects_video: bool,
    /// The partner is known to send audio. If false, the partner may or may not send it.
    pub expects_audio: bool,
    /// The user asked for a speaker, so that its failure is a failure of the call.
    pub needs_speaker: bool,
}

/// The course of a call so far.
#[derive(Debug)]
pub struct Timeline {
    started: Instant,
    /// The signaling server's id of the call.
    pub session_id: Option<String>,
    /// Whether this side makes the offer.
    pub initiator: Option<bool>,
    /// Milestones, in ms since the start.
    pub timings: Timings,
    /// When the call connected for the first time.
    pub connected_at: Option<Instant>,
    /// Why it ended; `None` while it has not.
    pub ended: Option<EndReason>,
    /// What is known about who the partner is.
    pub verification: VerificationReport,
    /// What the user should know although the call continued.
    pub warnings: Vec<String>,
    device_failures: Vec<(MediaPart, DeviceError)>,
}

impl Timeline {
    /// A timeline that starts at `started`.
    pub fn new(started: Instant) -> Self {
        Self {
            started,
            session_id: None,
            initiator: None,
            timings: Timings::default(),
            connected_at: None,
            ended: None,
            verification: VerificationReport::default(),
            warnings: Vec::new(),
            device_failures: Vec::new(),
        }
    }

    /// Records an event of the call.
    pub fn on_event(&mut self, event: CallEvent) {
        let at = event.at.saturating_duration_since(self.started).as_millis();
        let at = Some(u64::try_from(at).unwrap_or(u64::MAX));

        match event.kind {
            CallEventKind::Registered => first(&mut self.timings.registered, at),
            CallEventKind::Matched {
                session_id,
                initiator,
                ..
            } => {
                first(&mut self.timings.matched, at);
                self.session_id = Some(session_id);
                self.initiator = Some(initiator);
            }
            CallEventKind::ConnectTrouble(problem) => self.on_trouble(at, problem),
            CallEventKind::Connected => {
                first(&mut self.timings.connected, at);
                self.connected_at.get_or_insert(event.at);
            }
            CallEventKind::FirstRemoteFrame => first(&mut self.timings.first_remote_frame, at),
            CallEventKind::FirstRemoteAudio => first(&mut self.timings.first_remote_audio, at),
            CallEventKind::Media(MediaEvent::Failed { part, error }) => {
                self.device_failures.push((part, error));
            }
            CallEventKind::Media(MediaEvent::Recovered { part }) => self.on_recovered(part),
            CallEventKind::Verification(state) => self.verification = state.into(),
            CallEventKind::Ended { reason } => self.ended = Some(reason),
            CallEventKind::Searching
            | CallEventKind::Ringing(_)
            | CallEventKind::MeetAgain { .. }
            | CallEventKind::Checking
            | CallEventKind::SignalingLost
            | CallEventKind::SignalingBack
            | CallEventKind::PartnerReconnecting { .. }
            | CallEventKind::PartnerBack
            | CallEventKind::PartnerSignalingLost
            | CallEventKind::PartnerSignalingBack
            | CallEventKind::PartnerRefuses(_)
            | CallEventKind::Reported(_)
            | CallEventKind::PartnerState { .. } => {}
        }
    }

    /// No connection is up yet, for this reason.
    fn on_trouble(&mut self, at: Option<u64>, problem: Option<ConnectProblem>) {
        let Some(problem) = problem else { return };
        first(&mut self.timings.connect_trouble, at);
        let warning = problem.message().to_owned();
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// A device works again: its failure explains nothing any more, but is worth a warning.
    fn on_recovered(&mut self, part: MediaPart) {
        let (recovered, failed) = std::mem::take(&mut self.device_failures)
            .into_iter()
            .partition(|(of, _)| *of == part);
        self.device_failures = failed;
        let recovered: Vec<(MediaPart, DeviceError)> = recovered;
        self.warnings.extend(
            recovered
                .into_iter()
                .map(|(_, error)| format!("{error} Later it worked again.")),
        );
    }

    /// The first failure of a device that the call needs. Other failures are only warnings.
    fn device_failure(&self, intent: &Intent) -> Option<Failure> {
        self.device_failures
            .iter()
            .find(|(part, _)| is_needed(*part, intent))
            .map(|(_, error)| Failure::new(Exit::Device, error.code, error.message.clone()))
    }

    /// The warnings and the failed devices, without the one that is the report's `error`.
    pub fn all_warnings(&self, error: Option<&ErrorReport>) -> Vec<String> {
        let is_the_error = |failed: &DeviceError| {
            error.is_some_and(|error| {
                (error.code, &error.message) == (failed.code.into(), &failed.message)
            })
        };

        let failed = self
            .device_failures
            .iter()
            .filter(|(_, failed)| !is_the_error(failed));

        self.warnings
            .iter()
            .filter(|warning| error.is_none_or(|error| error.message != **warning))
            .cloned()
            .chain(failed.map(|(_, error)| error.to_string()))
            .collect()
    }

    /// Judges the call. If it connected, failed devices come first, because a camera that failed
    /// explains missing video.
    ///
    /// # Errors
    /// The failure that explains the others.
    pub fn verdict(&self, stats: &CallStats, intent: &Intent) -> Result<(), Failure> {
        if self.connected_at.is_none() {
            return Err(self.never_connected());
        }

        if let Some(failure) = self.device_failure(intent) {
            return Err(failure);
        }

        if let Some(reason) = self
            .ended
            .as_ref()
            .filter(|reason| !reason.code.is_orderly())
        {
            return Err(Failure::ended(Exit::Connection, reason));
        }

        if refuses_everything(stats, intent) {
            let reason = EndReason::from(EndCode::NoCommonCodec);
            return Err(Failure::new(Exit::Connection, reason.code, reason.message));
        }

        match missing_media(stats, intent) {
            Some(what) => Err(Failure::new(Exit::Connection, AppErrorCode::NoMedia, what)),
            None => Ok(()),
        }
    }

    fn never_connected(&self) -> Failure {
        let searching = self.timings.matched.is_none();
        let exit = if searching {
            Exit::NoPartner
        } else {
            Exit::Connection
        };

        match &self.ended {
            Some(reason) if reason.code == EndCode::HungUp || reason.code == EndCode::Cancelled => {
                let what = if searching {
                    "before a partner was found"
                } else {
                    "before it connected"
                };

                Failure::new(
                    exit,
                    EndCode::Cancelled,
                    format!("The call was stopped {what}."),
                )
            }
            Some(reason) => {
                let exit = match reason.code {
                    EndCode::NoPartner
                    | EndCode::NoSuchRoom
                    | EndCode::Declined
                    | EndCode::NoAnswer => Exit::NoPartner,
                    _ => Exit::Connection,
                };

                Failure::ended(exit, reason)
            }
            None => Failure::new(
                exit,
                EndCode::ConnectionFailed,
                "The call ended for an unknown reason. Try again.",
            ),
        }
    }
}

fn first(slot: &mut Option<u64>, at: Option<u64>) {
    *slot = slot.or(at);
}

/// Whether the failure of `part` fails the call. A call is complete without a recording, and
/// without a speaker that the user did not ask for.
fn is_needed(part: MediaPart, intent: &Intent) -> bool {
    match part {
        MediaPart::Camera | MediaPart::Microphone => true,
        MediaPart::Speaker => intent.needs_speaker,
        MediaPart::Recording => false,
    }
}

/// Whether the partner wants nothing of what this side has to send, and sends nothing itself.
fn refuses_everything(stats: &CallStats, intent: &Intent) -> bool {
    let wants_something = (intent.sends_video && !stats.refused.video)
        || (intent.sends_audio && !stats.refused.audio);
    let received = stats
        .video_received
        .is_some_and(|received| received.frames > 0)
        || stats.audio.jitter.packets > 0;

    (stats.refused.video || stats.refused.audio) && !wants_something && !received
}

fn missing_media(stats: &CallStats, intent: &Intent) -> Option<&'static str> {
    let frames_sent = stats.video_sent.is_some_and(|sent| sent.frames > 0);
    // An open stream must carry something. Without a stream, it matters only if the partner is
    // known to send.
    let frames_arrived = stats
        .video_received
        .map_or(!intent.expects_video, |received| received.frames > 0);
    let audio_packets = stats.audio.jitter.packets;
    let audio_arrived = if stats.audio_received || intent.expects_audio {
        audio_packets > 0
    } else {
        true
    };

    [
        (
            !intent.sends_video || stats.refused.video || frames_sent,
            "No video was sent. Check the camera or file, and that the call lasts long enough.",
        ),
        (
            !intent.sends_audio || stats.refused.audio || stats.audio.sent_packets > 0,
            "No audio was sent. Check the microphone or file.",
        ),
        (
            frames_arrived,
            "No video was received. Check that the call lasts long enough, and the firewall.",
        ),
        (
            audio_arrived,
            "No audio was received. Check that the call lasts long enough, and the firewall.",
        ),
    ]
    .into_iter()
    .find_map(|(flowed, what)| (!flowed).then_some(what))
}

#[cfg(test)]
mod tests;
