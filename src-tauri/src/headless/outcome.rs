//! How a call went: its milestones, what failed on the way, and the verdict with its exit code. Pure: events in, verdict
//! out.

use std::time::Instant;

use tandem_call::machine::{EndCode, EndReason};
use tandem_call::session::{CallEvent, CallEventKind, CallStats};
use tandem_media::DeviceError;
use tandem_media::error::{MediaEvent, MediaPart};

use super::report::{ErrorReport, Timings};

/// Exit codes of a headless call; part of its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Media flowed both ways, for what each side sends.
    Success,
    /// Bad arguments.
    Usage,
    /// No partner in time.
    NoPartner,
    /// The connection failed, or something that was sent did not arrive.
    Connection,
    /// A device failed.
    Device,
}

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage => 2,
            Self::NoPartner => 3,
            Self::Connection => 4,
            Self::Device => 5,
        }
    }

    /// What two peers of one process end with together: the cause outweighs its effect. A device that fails at one end
    /// leaves the other without media, which alone would look like a failed connection.
    pub fn worse(self, other: Self) -> Self {
        [Self::Usage, Self::NoPartner, Self::Device, Self::Connection]
            .into_iter()
            .find(|exit| [self, other].contains(exit))
            .unwrap_or(Self::Success)
    }
}

/// Why a call is not `ok`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// What the report says.
    pub error: ErrorReport,
}

impl Failure {
    /// A failure with its stable code and its sentence for a person.
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            error: ErrorReport {
                code: code.into(),
                message: message.into(),
            },
        }
    }
}

/// What a peer means to do in the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Intent {
    /// It sends pictures.
    pub sends_video: bool,
    /// It sends sound.
    pub sends_audio: bool,
    /// The partner is known to send pictures. Otherwise what comes is taken as it comes.
    pub expects_video: bool,
    /// The partner is known to send sound.
    pub expects_audio: bool,
    /// The speaker was asked for by the user: its failure is a failure of the call.
    pub needs_speaker: bool,
}

/// What happened in a call so far.
#[derive(Debug)]
pub struct Timeline {
    started: Instant,
    /// The relay's id of the call.
    pub session_id: Option<String>,
    /// Whether this side makes the offer.
    pub initiator: Option<bool>,
    /// Milestones.
    pub timings: Timings,
    /// When the call was connected.
    pub connected_at: Option<Instant>,
    /// Why it ended.
    pub ended: Option<EndReason>,
    /// What should be told although the call went on.
    pub warnings: Vec<String>,
    device_failures: Vec<(MediaPart, DeviceError)>,
}

impl Timeline {
    /// Nothing has happened yet.
    pub fn new(started: Instant) -> Self {
        Self {
            started,
            session_id: None,
            initiator: None,
            timings: Timings::default(),
            connected_at: None,
            ended: None,
            warnings: Vec::new(),
            device_failures: Vec::new(),
        }
    }

    /// Notes what the call tells.
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
            CallEventKind::Connected => {
                first(&mut self.timings.connected, at);
                self.connected_at.get_or_insert(event.at);
            }
            CallEventKind::FirstRemoteFrame => first(&mut self.timings.first_remote_frame, at),
            CallEventKind::FirstRemoteAudio => first(&mut self.timings.first_remote_audio, at),
            CallEventKind::Media(MediaEvent::Failed { part, error }) => {
                self.device_failures.push((part, error))
            }
            CallEventKind::Ended { reason } => self.ended = Some(reason),
            CallEventKind::Searching
            | CallEventKind::Checking
            | CallEventKind::SignalingLost
            | CallEventKind::SignalingBack
            | CallEventKind::PartnerReconnecting
            | CallEventKind::PartnerBack
            | CallEventKind::PartnerState { .. } => {}
        }
    }

    /// The first failure of something that was asked for; failures of anything else are only warnings.
    fn device_failure(&self, intent: &Intent) -> Option<Failure> {
        self.device_failures
            .iter()
            .find(|(part, _)| is_needed(*part, intent))
            .map(|(_, error)| {
                Failure::new(Exit::Device, error.code.as_str(), error.message.clone())
            })
    }

    /// Everything worth telling that is not already the report's `error`: what was noted, and failed devices.
    pub fn all_warnings(&self, error: Option<&ErrorReport>) -> Vec<String> {
        let told = |failed: &DeviceError| {
            error.is_some_and(|told| {
                (&*told.code, &told.message) == (failed.code.as_str(), &failed.message)
            })
        };

        let failed = self
            .device_failures
            .iter()
            .filter(|(_, failed)| !told(failed));

        self.warnings
            .iter()
            .cloned()
            .chain(failed.map(|(_, error)| error.to_string()))
            .collect()
    }

    /// Whether the call is `ok`, and why not. A call that never came to be is the call's fault; one that was held is
    /// judged by its devices first, because a camera that failed explains pictures that did not flow.
    ///
    /// # Errors
    /// The failure that explains most.
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
            return Err(Failure::new(
                Exit::Connection,
                reason.code.as_str(),
                reason.message.clone(),
            ));
        }

        match missing_media(stats, intent) {
            Some(what) => Err(Failure::new(Exit::Connection, "NO_MEDIA", what)),
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
                    "before it was connected"
                };

                Failure::new(
                    exit,
                    EndCode::Cancelled.as_str(),
                    format!("The call was stopped {what}."),
                )
            }
            Some(reason) => {
                let exit = if reason.code == EndCode::NoPartner {
                    Exit::NoPartner
                } else {
                    Exit::Connection
                };

                Failure::new(exit, reason.code.as_str(), reason.message.clone())
            }
            None => Failure::new(
                exit,
                "CONNECTION_FAILED",
                "The call ended without a reason.",
            ),
        }
    }
}

fn first(slot: &mut Option<u64>, at: Option<u64>) {
    *slot = slot.or(at);
}

/// Recordings and a speaker that nobody asked for can be missed.
fn is_needed(part: MediaPart, intent: &Intent) -> bool {
    match part {
        MediaPart::Camera | MediaPart::Microphone => true,
        MediaPart::Speaker => intent.needs_speaker,
        MediaPart::Recording => false,
    }
}

fn missing_media(stats: &CallStats, intent: &Intent) -> Option<&'static str> {
    let sent_pictures = stats.video_sent.is_some_and(|sent| sent.frames > 0);
    // A stream that was opened must carry something; without one it counts only if the partner is known to send.
    let pictures_came = stats
        .video_received
        .map_or(!intent.expects_video, |received| received.frames > 0);
    let sound_packets = stats.audio.jitter.packets;
    let sound_came = if stats.audio_received || intent.expects_audio {
        sound_packets > 0
    } else {
        true
    };

    [
        (
            !intent.sends_video || sent_pictures,
            "No picture was sent. Check the camera or file, and the call's length.",
        ),
        (
            !intent.sends_audio || stats.audio.sent_packets > 0,
            "No sound was sent. Check the microphone or file.",
        ),
        (
            pictures_came,
            "No picture of the partner came. Check the call's length and the firewall.",
        ),
        (
            sound_came,
            "No sound of the partner came. Check the call's length and the firewall.",
        ),
    ]
    .into_iter()
    .find_map(|(flowed, what)| (!flowed).then_some(what))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tandem_call::session::{VideoReceived, VideoSent};
    use tandem_media::MediaErrorCode;

    use super::*;

    const BOTH: Intent = Intent {
        sends_video: true,
        sends_audio: true,
        expects_video: true,
        expects_audio: true,
        needs_speaker: false,
    };

    struct Call {
        start: Instant,
        timeline: Timeline,
    }

    impl Call {
        fn new() -> Self {
            let start = Instant::now();
            Self {
                start,
                timeline: Timeline::new(start),
            }
        }

        fn at(mut self, ms: u64, kind: CallEventKind) -> Self {
            self.timeline.on_event(CallEvent {
                at: self.start + Duration::from_millis(ms),
                kind,
            });

            self
        }

        fn matched(self) -> Self {
            let matched = CallEventKind::Matched {
                session_id: "s".into(),
                initiator: true,
                partner: tandem_call::session::Profile::default(),
            };

            self.at(3, CallEventKind::Registered).at(5, matched)
        }

        fn connected(self) -> Self {
            self.matched().at(80, CallEventKind::Connected)
        }

        fn failed(self, part: MediaPart, code: MediaErrorCode) -> Self {
            let error = DeviceError::new(code, "It is gone. Plug it in again.");
            self.at(
                100,
                CallEventKind::Media(MediaEvent::Failed { part, error }),
            )
        }

        fn ended(self, code: EndCode) -> Self {
            self.at(
                900,
                CallEventKind::Ended {
                    reason: code.into(),
                },
            )
        }

        fn verdict(&self, stats: &CallStats, intent: &Intent) -> (Exit, String) {
            self.timeline.verdict(stats, intent).map_or_else(
                |failure| (failure.exit, failure.error.code),
                |()| (Exit::Success, "ok".into()),
            )
        }
    }

    fn flowing() -> CallStats {
        let mut stats = CallStats {
            video_sent: Some(VideoSent {
                frames: 30,
                ..VideoSent::default()
            }),
            video_received: Some(VideoReceived {
                frames: 30,
                ..VideoReceived::default()
            }),
            audio_received: true,
            ..CallStats::default()
        };

        stats.audio.sent_packets = 50;
        stats.audio.jitter.packets = 50;
        stats
    }

    fn verdict(call: &Call, stats: &CallStats) -> (Exit, String) {
        call.verdict(stats, &BOTH)
    }

    #[test]
    fn a_call_with_media_both_ways_is_a_success_whoever_hung_up() {
        for code in [EndCode::HungUp, EndCode::PartnerLeft] {
            let call = Call::new().connected().ended(code);
            assert_eq!(
                verdict(&call, &flowing()).0,
                Exit::Success,
                "{code:?} is an orderly end"
            );
        }
    }

    #[test]
    fn milestones_count_from_the_start_and_the_first_time() {
        let call = Call::new()
            .connected()
            .at(120, CallEventKind::FirstRemoteFrame)
            .at(500, CallEventKind::Connected);
        let timings = &call.timeline.timings;
        assert_eq!(
            (timings.registered, timings.matched),
            (Some(3), Some(5)),
            "signaling"
        );
        assert_eq!(timings.connected, Some(80), "the first time counts");
        assert_eq!(
            (timings.first_remote_frame, timings.first_remote_audio),
            (Some(120), None),
            "what never came"
        );
    }

    #[test]
    fn each_way_of_not_meeting_has_its_exit_code() {
        let cases = [
            (
                Call::new().ended(EndCode::NoPartner),
                Exit::NoPartner,
                "NO_PARTNER",
            ),
            (
                Call::new().ended(EndCode::Cancelled),
                Exit::NoPartner,
                "CANCELLED",
            ),
            (
                Call::new().ended(EndCode::RelayUnreachable),
                Exit::Connection,
                "RELAY_UNREACHABLE",
            ),
            (
                Call::new().matched().ended(EndCode::HungUp),
                Exit::Connection,
                "CANCELLED",
            ),
            (
                Call::new().matched().ended(EndCode::PartnerLeft),
                Exit::Connection,
                "PARTNER_LEFT",
            ),
            (
                Call::new().matched().ended(EndCode::ConnectTimeout),
                Exit::Connection,
                "CONNECT_TIMEOUT",
            ),
            (
                Call::new().connected().ended(EndCode::PartnerVanished),
                Exit::Connection,
                "PARTNER_VANISHED",
            ),
        ];

        for (call, exit, code) in cases {
            assert_eq!(
                verdict(&call, &CallStats::default()),
                (exit, code.into()),
                "{:?}",
                call.timeline.ended
            );
        }
    }

    #[test]
    fn what_was_to_flow_and_did_not_is_a_failure() {
        let call = Call::new().connected().ended(EndCode::HungUp);
        let no_media = (Exit::Connection, "NO_MEDIA".to_owned());
        let mut stats = flowing();
        stats.video_sent = None;

        assert_eq!(verdict(&call, &stats), no_media, "no picture was sent");
        assert_eq!(
            call.verdict(
                &stats,
                &Intent {
                    sends_video: false,
                    ..BOTH
                }
            )
            .0,
            Exit::Success,
            "none was meant to be"
        );

        let mut stats = flowing();
        stats.audio.sent_packets = 0;
        assert_eq!(verdict(&call, &stats), no_media, "no sound was sent");
        let mut stats = flowing();
        stats.audio.jitter.packets = 0;

        assert_eq!(
            verdict(&call, &stats),
            no_media,
            "an open stream without a packet"
        );
    }

    #[test]
    fn a_partner_may_send_less_unless_it_is_known_to_send_more() {
        let call = Call::new().connected().ended(EndCode::HungUp);
        let mut stats = flowing();
        stats.video_received = None;

        assert_eq!(
            verdict(&call, &stats).1,
            "NO_MEDIA",
            "the partner is known to send pictures"
        );

        let unknown = Intent {
            expects_video: false,
            ..BOTH
        };

        assert_eq!(
            call.verdict(&stats, &unknown).0,
            Exit::Success,
            "a partner without a camera is fine"
        );

        stats.video_received = Some(VideoReceived::default());
        assert_eq!(
            call.verdict(&stats, &unknown).1,
            "NO_MEDIA",
            "a stream that was opened must carry something"
        );
    }

    #[test]
    fn a_failed_device_outweighs_the_media_it_took_away() {
        let call = Call::new()
            .connected()
            .failed(MediaPart::Camera, MediaErrorCode::CamUnplugged)
            .ended(EndCode::HungUp);
        let mut stats = flowing();
        stats.video_sent = None;

        assert_eq!(
            verdict(&call, &stats),
            (Exit::Device, "CAM_UNPLUGGED".into()),
            "the cause is told, not the effect"
        );

        let error = call.timeline.verdict(&stats, &BOTH).unwrap_err().error;
        assert!(
            call.timeline.all_warnings(Some(&error)).is_empty(),
            "an error is not also a warning"
        );
    }

    #[test]
    fn a_failed_device_is_told_even_when_nobody_came() {
        let call = Call::new()
            .failed(MediaPart::Camera, MediaErrorCode::CamInUse)
            .ended(EndCode::NoPartner);
        let failure = call
            .timeline
            .verdict(&CallStats::default(), &BOTH)
            .unwrap_err();

        assert_eq!(
            failure.exit,
            Exit::NoPartner,
            "there was no call that the camera could miss"
        );

        let warnings = call.timeline.all_warnings(Some(&failure.error));
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains("CAM_IN_USE")),
            "but it is told: {warnings:?}"
        );
    }

    #[test]
    fn what_the_call_can_do_without_is_a_warning() {
        let call = Call::new()
            .connected()
            .failed(MediaPart::Recording, MediaErrorCode::DiskFull)
            .failed(MediaPart::Speaker, MediaErrorCode::SpeakerNotFound)
            .ended(EndCode::HungUp);

        assert_eq!(
            verdict(&call, &flowing()).0,
            Exit::Success,
            "the call was held all the same"
        );
        assert_eq!(call.timeline.all_warnings(None).len(), 2, "both are told");
        let needs_speaker = Intent {
            needs_speaker: true,
            ..BOTH
        };

        assert_eq!(
            call.verdict(&flowing(), &needs_speaker).0,
            Exit::Device,
            "unless the speaker was asked for"
        );
    }

    #[test]
    fn the_cause_of_two_bad_ends_wins() {
        assert_eq!(
            Exit::Success.worse(Exit::Success),
            Exit::Success,
            "both are fine"
        );

        assert_eq!(
            Exit::Success.worse(Exit::Device),
            Exit::Device,
            "one is not"
        );

        assert_eq!(
            Exit::Connection.worse(Exit::Device),
            Exit::Device,
            "a camera that failed explains missing pictures"
        );
    }
}
