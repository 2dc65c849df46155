//! Property test: the rules that hold for any order of commands, events and failures.

use proptest::prelude::*;
use tandem_call::{BlockOutcome, Refused, ReportOutcome, VerificationState};
use tandem_media::error::{MediaEvent, MediaPart};
use tandem_nearby::{NearbyChange, Neighbour, NeighbourId, Reach};
use tandem_signaling::client::ClientErrorCode;
use tandem_signaling::message::MAX_LISTEN_ROOMS;
use tandem_trust::Badge;

use super::*;
use crate::desktop::command::Secret;
use crate::desktop::state::{
    BlockStatus, Codec, MenuDevice, NearbyStatus, PreviewStatus, ReportReason, ReportStatus,
    VideoSize,
};

#[derive(Debug, Clone)]
enum Step {
    Command(Command),
    /// An event of the running call, or (`true`) of an earlier one.
    Call(CallEventKind, bool),
    /// Figures of the running call, or (`true`) of an earlier one.
    Figures(Figures, bool),
    /// The preview works or fails; of the present preview or (`true`) an earlier one.
    Preview(bool, bool),
    Input(Input),
    /// An event of the present connection to the server, or (`true`) of an earlier one.
    Line(LineEvent, bool),
    /// An event about people nearby; of what is open for them now, or (`true`) was before.
    Nearby(NearbyEvent, bool),
    /// An event of the connection on which they ring, likewise.
    NearbyLine(LineEvent, bool),
    Wait(u64),
}

fn command() -> impl Strategy<Value = Command> {
    let id = prop_oneof![
        Just(None),
        Just(Some(NONE.to_owned())),
        Just(Some("name:Front".to_owned())),
        Just(Some("?".into()))
    ];

    prop_oneof![
        4 => Just(Command::FindPartner),
        2 => "[a-z ]{0,3}".prop_map(|code| Command::CallWithCode { code }),
        1 => Just(Command::CallWithCode { code: "tandem://join/192.0.2.1:9000/7#garden-lantern".into() }),
        3 => Just(Command::Invite),
        1 => Just(Command::CancelInvite),
        2 => (0_u32..60, any::<bool>()).prop_map(|(id, video)| Command::AcceptCall { id, video }),
        1 => (0_u32..40).prop_map(|id| Command::DeclineCall { id }),
        1 => Just(Command::JoinOpened),
        1 => Just(Command::DismissOpened),
        1 => (0_u32..40).prop_map(|id| Command::CallRecent { id }),
        1 => (0_u32..40).prop_map(|id| Command::RemoveRecent { id }),
        1 => Just(Command::ClearRecents),
        1 => Just(Command::RetryServer),
        1 => Just(Command::ToggleFullScreen),
        1 => Just(Command::ConfirmClose { close: false }),
        1 => any::<u8>().prop_map(|volume| Command::SetRing { speaker: None, volume }),
        1 => Just(Command::TestRing),
        1 => any::<bool>().prop_map(|on| Command::SetSingleKeyShortcuts { on }),
        1 => (prop_oneof![Just(VideoSize::P720), Just(VideoSize::P360)], 0_u32..3_000).prop_map(|(size, max_bitrate_kbps)| {
            Command::SetVideoQuality { size, codec: Codec::Vp8, max_bitrate_kbps }
        }),
        2 => Just(Command::OpenNearby),
        1 => Just(Command::CloseNearby),
        2 => (1_u64..4).prop_map(|id| Command::CallNearby { id: NeighbourId::from(id).to_string() }),
        1 => any::<bool>().prop_map(|on| Command::SetAlwaysNearby { on }),
        1 => Just(Command::CallAddress { address: "192.168.7.2".into() }),
        1 => Just(Command::Cancel),
        1 => Just(Command::HangUp),
        2 => Just(Command::Next),
        1 => Just(Command::Retry),
        2 => Just(Command::ToLobby),
        1 => any::<bool>().prop_map(|muted| Command::SetMuted { muted }),
        2 => any::<bool>().prop_map(|on| Command::SetCameraOn { on }),
        1 => id.clone().prop_map(|id| Command::SetCamera { id }),
        1 => id.clone().prop_map(|id| Command::SetMicrophone { id }),
        1 => id.prop_map(|id| Command::SetSpeaker { id }),
        1 => ".{0,50}".prop_map(|name| Command::SetName { name }),
        1 => (prop::option::of(any::<u8>()), ".{0,90}").prop_map(|(age, location)| Command::SetAbout { age, location }),
        1 => prop::option::of(Just("data:image/jpeg;base64,/9j/2gACAQI=".to_owned())).prop_map(|picture| Command::SetPicture { picture }),
        1 => "(ws://)?[a-z]{0,3}".prop_map(|url| Command::SetServerUrl { url }),
        1 => "[a-z ]{0,3}".prop_map(|text| Command::SetToken { token: Secret(text) }),
        1 => Just(Command::ForgetToken),
        1 => "(/[ab])?".prop_map(|path| Command::SetCaFile { path }),
        1 => any::<bool>().prop_map(|lan| Command::StartHost { lan }),
        1 => Just(Command::StopHost),
        1 => Just(Command::TestSpeaker),
        1 => Just(Command::RefreshDevices),
        1 => Just(Command::AcceptRules),
        1 => any::<bool>().prop_map(|on| Command::SetStrangerRelay { on }),
        1 => prop::sample::select(vec!["wss://chat.example.org:443", "wss://other.example:443"])
            .prop_map(|server| Command::AllowStrangerDirect { server: server.into() }),
        1 => Just(Command::TakeBackStrangerDirect { server: "wss://chat.example.org:443".into() }),
        1 => prop::collection::vec(".{0,40}", 0..12).prop_map(|interests| Command::SetInterests { interests }),
        2 => (0_u32..60).prop_map(|id| Command::StrangerShown { id }),
        2 => any::<bool>().prop_map(|snapshot| Command::Report {
            reason: ReportReason::Spam,
            text: String::new(),
            snapshot,
        }),
        1 => Just(Command::Block),
        1 => (1_u8..3, any::<bool>()).prop_map(|(seed, equal)| Command::WordsCompared {
            words: trust::as_shown(trust::words(seed)),
            equal,
        }),
        1 => (0_u32..50).prop_map(|id| Command::DismissProblem { id }),
    ]
}

fn failed(part: MediaPart) -> CallEventKind {
    CallEventKind::Media(MediaEvent::Failed {
        part,
        error: in_use(),
    })
}

fn recovered(part: MediaPart) -> CallEventKind {
    CallEventKind::Media(MediaEvent::Recovered { part })
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        1 => Just(CallEventKind::Registered),
        1 => Just(CallEventKind::Searching),
        1 => any::<bool>().prop_map(CallEventKind::Ringing),
        1 => "[a-c]".prop_map(|room| CallEventKind::MeetAgain { room }),
        2 => Just(matched()),
        1 => Just(CallEventKind::Checking),
        2 => Just(CallEventKind::Connected),
        1 => Just(CallEventKind::SignalingLost),
        1 => Just(CallEventKind::SignalingBack),
        1 => Just(CallEventKind::PartnerReconnecting { until: Instant::now() }),
        1 => Just(CallEventKind::PartnerBack),
        1 => Just(CallEventKind::PartnerSignalingLost),
        1 => Just(CallEventKind::PartnerSignalingBack),
        1 => any::<(bool, bool)>().prop_map(|(muted, camera_on)| CallEventKind::PartnerState { muted, camera_on }),
        1 => any::<(bool, bool)>().prop_map(|(audio, video)| CallEventKind::PartnerRefuses(Refused { audio, video })),
        1 => Just(ended(EndCode::PartnerLeft)),
        1 => Just(ended(EndCode::CodeMismatch)),
        1 => any::<bool>().prop_map(|has_words| CallEventKind::Verification(VerificationState {
            badge: Badge::NotVerified,
            words: match has_words {
                true => tandem_trust::WordsState::Ready(trust::words(1)),
                false => tandem_trust::WordsState::Awaited,
            },
        })),
        1 => Just(ended(EndCode::RelayUnreachable)),
        1 => Just(failed(MediaPart::Camera)),
        1 => Just(failed(MediaPart::Microphone)),
        1 => Just(failed(MediaPart::Speaker)),
        1 => Just(recovered(MediaPart::Camera)),
        1 => Just(recovered(MediaPart::Microphone)),
        1 => Just(recovered(MediaPart::Speaker)),
    ];

    let front = Devices {
        cameras: vec![MenuDevice {
            id: "name:Front".into(),
            name: "Front".into(),
        }],
        ..Devices::default()
    };

    let input = prop_oneof![
        any::<bool>().prop_map(Input::Visible),
        any::<bool>().prop_map(Input::Focused),
        Just(Input::Opened("7-garden-lantern".into())),
        Just(Input::Opened("?".into())),
        prop_oneof![
            (0_u32..40).prop_map(|id| NotificationReply::Accept { id }),
            (0_u32..40).prop_map(|id| NotificationReply::Decline { id }),
            Just(NotificationReply::Show)
        ]
        .prop_map(Input::Notification),
        Just(Input::Devices(Devices::default(), Vec::new())),
        Just(Input::Devices(front, Vec::new())),
        Just(Input::HostStarted {
            local_url: "ws://127.0.0.1:2".parse().unwrap(),
            addresses: Vec::new()
        }),
        Just(Input::HostFailed("taken".into())),
        Just(Input::MonitorFailed(in_use())),
        Just(Input::SettingsFailed(SettingsProblem::new(
            AppErrorCode::SettingsNotSaved,
            ""
        ))),
        Just(Input::SettingsSaved),
        ("/[ab]", any::<bool>()).prop_map(|(path, works)| {
            let broken = SettingsProblem::new(AppErrorCode::CaFileInvalid, "");
            Input::Certificates(
                path,
                if works {
                    Ok(TrustedRoots::default())
                } else {
                    Err(broken)
                },
            )
        }),
    ];

    prop_oneof![
        6 => command().prop_map(Step::Command),
        8 => (event, prop::bool::weighted(0.1)).prop_map(|(event, old)| Step::Call(event, old)),
        1 => (figures(), prop::bool::weighted(0.1)).prop_map(|(figures, old)| Step::Figures(figures, old)),
        2 => any::<(bool, bool)>().prop_map(|(works, old)| Step::Preview(works, old)),
        4 => input.prop_map(Step::Input),
        6 => (line_event(), prop::bool::weighted(0.1)).prop_map(|(event, old)| Step::Line(event, old)),
        4 => (nearby_event(), prop::bool::weighted(0.1)).prop_map(|(event, old)| Step::Nearby(event, old)),
        4 => (line_event(), prop::bool::weighted(0.1)).prop_map(|(event, old)| Step::NearbyLine(event, old)),
        1 => (0_u64..20_000).prop_map(Step::Wait),
    ]
}

fn figures() -> impl Strategy<Value = Figures> {
    let route = prop_oneof![
        Just(None),
        Just(Some(RouteKind::Direct)),
        Just(Some(RouteKind::Relayed))
    ];

    (route, any::<bool>(), prop::option::of(1_u8..=3)).prop_map(|(route, encrypted, quality)| {
        Figures {
            route,
            encrypted,
            quality,
        }
    })
}

fn line_event() -> impl Strategy<Value = LineEvent> {
    let knock = || prop_oneof![Just("k1"), Just("k2")].prop_map(KnockId::from);
    let user = prop_oneof![3 => Just("u1"), 1 => Just("u2")];

    prop_oneof![
        4 => user.prop_map(|user| LineEvent::Connected { user: user.into() }),
        1 => Just(LineEvent::Lost { cause: ClientErrorCode::Broken }),
        3 => ("[1-9]", any::<u32>()).prop_map(|(room, random)| LineEvent::Claimed { room, former: None, guest: None, random }),
        1 => any::<bool>().prop_map(|never| LineEvent::ClaimRefused { never }),
        1 => Just(LineEvent::CannotRing),
        1 => Just(LineEvent::Closed),
        1 => Just(LineEvent::Reported(ReportOutcome::Recorded)),
        1 => Just(LineEvent::Blocked(BlockOutcome::Refused)),
        1 => Just(LineEvent::Blocked(BlockOutcome::Blocked("p".into()))),
        4 => (knock(), "[1-9]", 1_u8..4).prop_map(|(id, room, last)| LineEvent::Knock {
            id,
            room,
            profile: Box::default(),
            address: Some([192, 168, 7, last].into()),
        }),
        1 => knock().prop_map(|id| LineEvent::KnockEnded { id }),
    ]
}

fn nearby_event() -> impl Strategy<Value = NearbyEvent> {
    let person = |id: u64| Neighbour {
        id: id.into(),
        name: Some("Bea".into()),
        room: "r".into(),
        addresses: vec![([192, 168, 7, id as u8], 9010).into()],
    };
    let people = prop::collection::vec((1_u64..4).prop_map(person), 0..3);
    let own = || vec![([192, 168, 7, 1], 9010).into()];
    let server = || Box::new(ClientConfig::new("ws://127.0.0.1:9010".parse().unwrap()));

    prop_oneof![
        4 => (1_u64..4).prop_map(move |id| NearbyEvent::Opened { id: id.into(), server: server(), addresses: own() }),
        4 => people.prop_map(move |people| NearbyEvent::Changed {
            change: NearbyChange { people, reach: Reach::Heard },
            addresses: own(),
        }),
        1 => Just(NearbyEvent::CannotFind("blocked".into())),
        1 => Just(NearbyEvent::Failed("taken".into())),
    ]
}

/// Tracks what the effects leave open, and checks them against the rules.
#[derive(Default)]
struct Watcher {
    call: Option<CallId>,
    preview: Option<(PreviewId, VideoSpec, VideoFormat)>,
    /// The open camera between `HandOverPreview` and `StartCall`.
    handed_over: Option<(VideoSpec, VideoFormat)>,
    /// A call has ended and may have left its camera open.
    camera_left_open: bool,
    monitor: bool,
    line: Option<LineId>,
    line_use: LineUse,
    /// What is open for people nearby.
    nearby: Option<LineId>,
    /// Who of them can ring.
    nearby_use: NearbyUse,
    /// The running call has the connection on which they ring.
    nearby_lent: bool,
    /// The running call has the connection.
    lent: bool,
    /// A call had it, and nothing has said since what it is used for.
    was_lent: bool,
    tone: bool,
    notified: bool,
    awake: bool,
    exited: bool,
}

impl Watcher {
    fn check(&mut self, effect: &Effect) {
        assert!(!self.exited, "no effect follows the end: {effect:?}");
        let assert_running = |id: &CallId, call: Option<CallId>| {
            assert_eq!(call, Some(*id), "{effect:?} is for the running call");
        };

        assert!(
            self.handed_over.is_none() || matches!(effect, Effect::StartCall(..)),
            "the call that takes over the camera starts next: {effect:?}"
        );

        match effect {
            Effect::StartPreview(id, video, format) => {
                assert!(self.call.is_none(), "the camera belongs to the call");
                assert_ne!(*video, VideoSpec::None, "there is a camera to open");
                let opened = (*id, video.clone(), *format);
                assert!(
                    self.preview.replace(opened).is_none(),
                    "one preview at a time"
                );
                self.camera_left_open = false;
            }
            Effect::StopPreview => {
                assert!(self.preview.take().is_some(), "only a preview is stopped");
            }
            Effect::HandOverPreview => {
                let (_, video, format) =
                    self.preview.take().expect("only a preview is handed over");
                self.handed_over = Some((video, format));
            }
            Effect::ReleaseCamera => {
                assert!(self.preview.is_none(), "the camera belongs to the preview");
                assert!(
                    std::mem::take(&mut self.camera_left_open),
                    "only what a call left open is released"
                );
            }
            Effect::StartMonitor(_) => {
                assert!(self.call.is_none(), "the microphone belongs to the call");
                assert!(
                    !std::mem::replace(&mut self.monitor, true),
                    "one level meter at a time"
                );
            }
            Effect::StopMonitor => assert!(
                std::mem::replace(&mut self.monitor, false),
                "only a level meter is stopped"
            ),
            Effect::StartCall(id, plan) => {
                assert!(
                    self.preview.is_none() && !self.monitor && !self.camera_left_open,
                    "the lobby holds no device when a call starts"
                );
                if let Some(camera) = self.handed_over.take() {
                    assert!(plan.camera_on, "the call uses the camera at once");
                    assert_eq!(
                        camera,
                        (plan.video.clone(), plan.video_quality.format),
                        "the call opens what the preview had open"
                    );
                }
                assert!(self.call.replace(*id).is_none(), "one call at a time");
                assert!(!self.tone, "nothing rings over a call");

                self.nearby_lent = plan.line.is_some() && plan.line == self.nearby;
                self.lent = plan.line.is_some() && !self.nearby_lent;
                self.line_use = LineUse::default();
                if self.nearby_lent {
                    assert_eq!(self.line, None, "a call has one connection");
                    self.nearby_use = NearbyUse::Nobody;
                } else {
                    if plan.goal == CallGoal::Anyone && self.line.is_none() {
                        assert!(plan.line.is_some(), "a report needs the connection");
                        // The call makes it.
                        self.line = plan.line;
                    }

                    assert_eq!(
                        plan.line, self.line,
                        "a call has the connection, or there is none"
                    );
                }
                if let CallGoal::Answer(_) = plan.goal {
                    assert!(
                        self.lent || self.nearby_lent,
                        "who rings is answered where the ring came from"
                    );
                }
            }
            Effect::EndCall(id) => {
                assert_running(id, self.call);
                self.call = None;
                self.camera_left_open = true;
                self.was_lent = std::mem::take(&mut self.lent);
                self.nearby_lent = false;
                self.line_use = LineUse::default();
            }
            Effect::OpenLine(id, _) => {
                assert!(self.call.is_none(), "a call has a connection of its own");
                assert!(self.line.replace(*id).is_none(), "one connection at a time");
                self.line_use = LineUse::default();
            }
            Effect::UseLine(used) => {
                assert!(self.line.is_some() && !self.lent, "there is one to use");
                assert!(
                    *used != self.line_use || std::mem::take(&mut self.was_lent),
                    "only a change is sent, unless a call had the connection"
                );
                self.line_use = used.clone();
            }
            Effect::Decline(_) => assert!(self.line.is_some() && !self.lent),
            Effect::CloseLine => {
                assert!(!self.lent, "the call still has it");
                assert!(self.line.take().is_some(), "only an open one is closed");
                self.line_use = LineUse::default();
            }
            Effect::OpenNearby(id, _) => {
                assert!(self.nearby.replace(*id).is_none(), "once at a time");
                self.nearby_use = NearbyUse::Nobody;
            }
            Effect::CloseNearby => {
                assert!(!self.nearby_lent, "the call still has its connection");
                assert!(self.nearby.take().is_some(), "only what is open is closed");
                self.nearby_use = NearbyUse::Nobody;
            }
            Effect::ListenNearby(wanted) => {
                assert!(self.nearby.is_some() && !self.nearby_lent);
                assert_ne!(self.nearby_use, *wanted, "only a change is an effect");
                self.nearby_use = wanted.clone();
            }
            Effect::DeclineNearby(_) | Effect::RenameNearby(_) => {
                assert!(self.nearby.is_some());
            }
            Effect::Play(tone) => self.tone = tone.is_some(),
            Effect::Notify(shown) => self.notified = shown.is_some(),
            Effect::KeepAwake(on) => {
                assert_ne!(self.awake, *on, "only a change is an effect");
                self.awake = *on;
            }
            Effect::Next(id)
            | Effect::SetMuted(id, _)
            | Effect::WordsCompared(id, ..)
            | Effect::SetCameraOn(id, _)
            | Effect::SetVideo(id, _)
            | Effect::SetAudioSource(id, _)
            | Effect::SetAudioSink(id, _)
            | Effect::SetProcessing(id, _)
            | Effect::ReleaseMedia(id, _)
            | Effect::RetryDevices(id) => assert_running(id, self.call),
            Effect::Report(report) => self.check_meeting(&report.meeting),
            Effect::Block(meeting) => self.check_meeting(meeting),
            Effect::Exit => {
                assert!(
                    self.call.is_none()
                        && self.preview.is_none()
                        && !self.monitor
                        && !self.camera_left_open
                        && self.line.is_none()
                        && self.nearby.is_none()
                        && !self.tone
                        && !self.notified
                        && !self.awake,
                    "everything is released"
                );

                self.exited = true;
            }
            Effect::ShowRemote(_)
            | Effect::ForgetFrame
            | Effect::PlayOnce(_)
            | Effect::AskForAttention(_)
            | Effect::ShowWindow
            | Effect::ToggleFullScreen
            | Effect::HideWindow
            | Effect::SaveRecents(_)
            | Effect::TestSpeaker(_)
            | Effect::ListDevices
            | Effect::Save(_)
            | Effect::SaveToken(_)
            | Effect::ReadCertificates(_)
            | Effect::StartHost { .. }
            | Effect::SavePicture(_)
            | Effect::StopHost => {}
        }
    }

    /// A report or a block goes where the server knows who met the stranger.
    fn check_meeting(&self, meeting: &StrangerMeeting) {
        assert!(
            self.call == Some(meeting.call)
                || (self.call.is_none() && meeting.line.is_some() && meeting.line == self.line),
            "{meeting:?}"
        );
    }

    /// Checks the state against what is open.
    fn check_state(&self, app: &App) {
        let state = app.state();
        let in_call = matches!(
            state.screen,
            Screen::Waiting { .. } | Screen::Connecting { .. } | Screen::InCall(_)
        );

        assert_eq!(
            self.call.is_some(),
            in_call,
            "a call runs exactly while its screens are shown: {:?}",
            state.screen
        );

        let meets_stranger = match &state.screen {
            Screen::Connecting { .. } => Some(()),
            Screen::InCall(call) => (!call.known).then_some(()),
            _ => None,
        };
        assert!(
            state.stranger.is_none()
                || meets_stranger.is_some()
                || matches!(state.screen, Screen::Ended { .. }),
            "a stranger is forgotten with the last screen of the call"
        );
        if let Screen::InCall(call) = &state.screen {
            assert_eq!(
                state.stranger.is_none(),
                call.known,
                "strangers can be reported"
            );
        }

        let status = state.preview.status;
        let is_held = matches!(status, PreviewStatus::Starting | PreviewStatus::On);
        assert_eq!(
            self.preview.is_some(),
            is_held,
            "the page shows whether the camera is open: {status:?}"
        );

        assert!(
            status == PreviewStatus::Off || state.screen == Screen::Lobby,
            "only the lobby has a preview"
        );

        assert!(
            !self.camera_left_open && self.handed_over.is_none(),
            "the camera of the lobby or of a call is in use or released"
        );

        let waits_ringing = matches!(state.screen, Screen::Waiting { ringing: true, .. });
        assert_eq!(
            self.tone,
            state.incoming.is_some() || waits_ringing,
            "it rings exactly while a partner rings"
        );
        let rings_nearby = matches!(
            state.screen,
            Screen::Waiting {
                search: Search::Nearby { .. },
                ..
            }
        );
        assert!(
            state.incoming.is_none() || !in_call || rings_nearby,
            "no partner rings during a call"
        );
        assert_eq!(
            self.awake,
            matches!(state.screen, Screen::Connecting { .. } | Screen::InCall(_)),
            "the screen stays on in a call"
        );

        assert!(
            self.line_use.rooms.len() <= MAX_LISTEN_ROOMS,
            "the server accepts the list"
        );
        assert_eq!(
            matches!(self.line_use.claim, RoomClaim::Ask(_)),
            state.invitation == Some(Invitation::Asking) && !in_call,
            "a number is asked for exactly while the page waits for it"
        );

        assert_eq!(
            self.nearby.is_some(),
            matches!(
                state.nearby.status,
                NearbyStatus::Starting | NearbyStatus::On
            ),
            "the page shows whether people nearby can call"
        );
        if self.nearby_use != NearbyUse::Nobody {
            let can_be_rung = match &state.screen {
                Screen::Lobby | Screen::Ended { .. } => true,
                Screen::Waiting { search, .. } => matches!(search, Search::Nearby { .. }),
                Screen::Connecting { .. } | Screen::InCall(_) => false,
            };
            assert!(can_be_rung, "{:?}", state.screen);
        }

        let mut rooms = app.meeting_rooms();
        rooms.sort_unstable();
        assert!(
            rooms.windows(2).all(|pair| pair[0] != pair[1]),
            "no two people share a room: {rooms:?}"
        );

        let has_deadline = app.poll_timeout().is_some();
        let asks = state.stranger.as_ref().is_some_and(|stranger| {
            stranger.report == ReportStatus::Sending || stranger.block == BlockStatus::Sending
        });
        assert_eq!(
            has_deadline,
            asks || app.call.as_ref().is_some_and(|call| call.slow_at.is_some()),
            "nothing is awaited for ever"
        );
        assert!(
            !has_deadline || asks || matches!(state.screen, Screen::Connecting { .. }),
            "only a connection and an answer can be slow"
        );

        for (index, problem) in state.problems.iter().enumerate() {
            let duplicate = state.problems[..index]
                .iter()
                .find(|other| other.place == problem.place || other.id == problem.id);
            assert!(
                duplicate.is_none(),
                "one problem per place, each with its own id: {:?}",
                state.problems
            );
        }
    }
}

/// The server that an effect sends the token, if it does.
fn gets_token(effect: &Effect) -> Option<&str> {
    let server = match effect {
        Effect::OpenLine(_, server) => server,
        Effect::StartCall(_, plan) => &plan.server,
        _ => return None,
    };

    server.token.as_ref().map(|_| server.url.authority())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_inputs_keeps_the_rules(steps in prop::collection::vec(step(), 1..120)) {
        let (mut world, mut watcher) = (World::new(), Watcher::default());
        let mut revision = 0;
        let (mut last_preview, mut last_call, mut last_line, mut last_nearby) = (None, CallId(0), LineId(0), LineId(0));
        let close = [Step::Input(Input::CloseRequested), Step::Input(Input::CloseRequested), Step::Command(Command::FindPartner)];

        for step in steps.into_iter().chain(close) {
            match step {
                Step::Command(command) => {
                    let before = world.app.state().clone();
                    let is_retry = command == Command::RefreshDevices && world.app.call.is_some();
                    if let Err(error) = world.app.command(world.now, command.clone()) {
                        prop_assert_eq!(&before, world.app.state(), "{:?} was refused and changes nothing: {:?}", command, error);
                    }

                    if is_retry {
                        prop_assert_eq!(&before.problems, &world.app.state().problems, "the call says when a device works again");
                    }
                }
                Step::Call(event, old) => {
                    let running = world.app.call.as_ref().map(|call| call.id);
                    let id = if old { Some(last_call) } else { running };
                    last_call = running.unwrap_or(last_call);

                    if let Some(call) = world.app.call.as_ref()
                        && event == ended(EndCode::CodeMismatch)
                        && let Some(PlannedCode(code)) = call.trust.planned_code()
                    {
                        code.guesses.spend();
                    }

                    if let Some(id) = id {
                        world.input(Input::Call(id, event));
                    }
                }
                Step::Figures(figures, old) => {
                    let running = world.app.call.as_ref().map(|call| call.id);
                    if let Some(id) = if old { Some(last_call) } else { running } {
                        world.input(Input::Figures(id, figures));
                    }
                }
                Step::Preview(works, old) => {
                    let present = watcher.preview.as_ref().map(|(id, ..)| *id);
                    let id = if old { last_preview } else { present };
                    last_preview = present;

                    if let Some(id) = id {
                        world.input(Input::Preview(id, if works { Ok(()) } else { Err(in_use()) }));
                    }
                }
                Step::Input(input) => world.input(input),
                Step::Line(event, old) => {
                    let id = if old { Some(last_line) } else { watcher.line };
                    last_line = watcher.line.unwrap_or(last_line);

                    if let Some(id) = id {
                        world.input(Input::Line(id, event));
                    }
                }
                Step::Nearby(event, old) => {
                    let id = if old { Some(last_nearby) } else { watcher.nearby };
                    last_nearby = watcher.nearby.unwrap_or(last_nearby);

                    if let Some(id) = id {
                        world.input(Input::Nearby(id, event));
                    }
                }
                Step::NearbyLine(event, old) => {
                    let id = if old { Some(last_nearby) } else { watcher.nearby };
                    if let Some(id) = id {
                        world.input(Input::Line(id, event));
                    }
                }
                Step::Wait(millis) => world.wait(Duration::from_millis(millis)),
            }

            for effect in world.effects() {
                if let Some(server) = gets_token(&effect) {
                    let token = world.app.state().token.as_ref();
                    prop_assert_eq!(Some(server), token.map(|token| token.server.as_str()), "no other server gets the token");
                }

                watcher.check(&effect);
            }

            watcher.check_state(&world.app);
            if let Some(change) = world.app.poll_change() {
                revision += 1;
                prop_assert_eq!(change.revision, revision, "each change has the next number");
            }
        }

        prop_assert!(watcher.exited, "closing ends with Exit");
    }
}
