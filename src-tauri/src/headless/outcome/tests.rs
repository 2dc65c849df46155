#![allow(clippy::disallowed_methods, reason = "tests start a timeline now")]

use std::time::Duration;

use tandem_call::{VideoReceived, VideoSent};
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
            partner_id: "p".into(),
            partner: tandem_call::Profile::default(),
            interests: Vec::new(),
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
            |failure| (failure.exit, failure.error.code.as_str().into()),
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
fn a_call_with_media_both_ways_succeeds_no_matter_who_hung_up() {
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
fn a_milestone_is_the_first_time_since_the_start() {
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
    assert_eq!(timings.connected, Some(80), "the first connection counts");
    assert_eq!(
        (timings.first_remote_frame, timings.first_remote_audio),
        (Some(120), None),
        "a frame, and no audio"
    );
}

#[test]
fn each_failure_before_the_call_has_its_exit_code() {
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
fn missing_media_is_a_failure() {
    let call = Call::new().connected().ended(EndCode::HungUp);
    let no_media = (Exit::Connection, "NO_MEDIA".to_owned());
    let mut stats = flowing();
    stats.video_sent = None;

    assert_eq!(verdict(&call, &stats), no_media, "no video was sent");
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
        "no video was intended"
    );

    let mut stats = flowing();
    stats.audio.sent_packets = 0;
    assert_eq!(verdict(&call, &stats), no_media, "no audio was sent");
    let mut stats = flowing();
    stats.audio.jitter.packets = 0;

    assert_eq!(
        verdict(&call, &stats),
        no_media,
        "the audio stream has no packets"
    );
}

#[test]
fn what_a_partner_refuses_need_not_flow() {
    let call = Call::new().connected().ended(EndCode::HungUp);
    let mut stats = flowing();
    stats.refused.audio = true;
    stats.audio.sent_packets = 0;
    assert_eq!(verdict(&call, &stats).0, Exit::Success, "video is a call");

    stats.refused.video = true;
    stats.video_sent = None;
    assert_eq!(
        verdict(&call, &stats).0,
        Exit::Success,
        "and so is listening"
    );

    stats.video_received = None;
    stats.audio_received = false;
    stats.audio.jitter.packets = 0;
    assert_eq!(
        verdict(&call, &stats),
        (Exit::Connection, "NO_COMMON_CODEC".to_owned()),
        "nothing at all is none"
    );
}

#[test]
fn a_partner_need_not_send_video_unless_it_is_known_to() {
    let call = Call::new().connected().ended(EndCode::HungUp);
    let mut stats = flowing();
    stats.video_received = None;

    assert_eq!(
        verdict(&call, &stats).1,
        "NO_MEDIA",
        "the partner is known to send video"
    );

    let unknown = Intent {
        expects_video: false,
        ..BOTH
    };

    assert_eq!(
        call.verdict(&stats, &unknown).0,
        Exit::Success,
        "the partner may have no camera"
    );

    stats.video_received = Some(VideoReceived::default());
    assert_eq!(
        call.verdict(&stats, &unknown).1,
        "NO_MEDIA",
        "an open stream must carry something"
    );
}

#[test]
fn a_failed_device_outweighs_the_media_that_is_missing_for_it() {
    let call = Call::new()
        .connected()
        .failed(MediaPart::Camera, MediaErrorCode::CamUnplugged)
        .ended(EndCode::HungUp);
    let mut stats = flowing();
    stats.video_sent = None;

    assert_eq!(
        verdict(&call, &stats),
        (Exit::Device, "CAM_UNPLUGGED".into()),
        "reports the cause, not the effect"
    );

    let error = call.timeline.verdict(&stats, &BOTH).unwrap_err().error;
    assert!(
        call.timeline.all_warnings(Some(&error)).is_empty(),
        "the error is not a warning too"
    );
}

#[test]
fn a_failed_device_is_a_warning_when_no_partner_was_found() {
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
        "there was no call to need the camera"
    );

    let warnings = call.timeline.all_warnings(Some(&failure.error));
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("CAM_IN_USE")),
        "a warning names it: {warnings:?}"
    );
}

#[test]
fn a_failure_that_the_call_can_do_without_is_a_warning() {
    let call = Call::new()
        .connected()
        .failed(MediaPart::Recording, MediaErrorCode::DiskFull)
        .failed(MediaPart::Speaker, MediaErrorCode::SpeakerNotFound)
        .ended(EndCode::HungUp);

    assert_eq!(
        verdict(&call, &flowing()).0,
        Exit::Success,
        "the call was complete"
    );
    assert_eq!(
        call.timeline.all_warnings(None).len(),
        2,
        "one warning each"
    );
    let needs_speaker = Intent {
        needs_speaker: true,
        ..BOTH
    };

    assert_eq!(
        call.verdict(&flowing(), &needs_speaker).0,
        Exit::Device,
        "a requested speaker must work"
    );
}

#[test]
fn the_cause_outweighs_the_effect() {
    assert_eq!(
        Exit::Success.combined(Exit::Success),
        Exit::Success,
        "both succeeded"
    );

    assert_eq!(
        Exit::Success.combined(Exit::Device),
        Exit::Device,
        "one failed"
    );

    assert_eq!(
        Exit::Connection.combined(Exit::Device),
        Exit::Device,
        "a failed camera explains missing video"
    );
}
