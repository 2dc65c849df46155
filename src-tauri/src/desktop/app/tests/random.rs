//! Commands and events in any order at all: what must hold whatever a page, a partner or a device does.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Command(Command),
    /// Of the running call, or of one that is long gone.
    Call(CallEventKind, bool),
    Preview(bool, bool),
    Input(Input),
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
        1 => "(ws://)?[a-z]{0,3}".prop_map(|url| Command::SetRelayUrl { url }),
        1 => any::<bool>().prop_map(|lan| Command::StartHost { lan }),
        1 => Just(Command::StopHost),
        1 => Just(Command::TestSpeaker),
        1 => Just(Command::RefreshDevices),
        1 => (0_u32..50).prop_map(|id| Command::DismissProblem { id }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        1 => Just(CallEventKind::Registered),
        1 => Just(CallEventKind::Searching),
        2 => Just(matched()),
        1 => Just(CallEventKind::Checking),
        2 => Just(CallEventKind::Connected),
        1 => Just(CallEventKind::SignalingLost),
        1 => Just(CallEventKind::SignalingBack),
        1 => Just(CallEventKind::PartnerReconnecting),
        1 => Just(CallEventKind::PartnerBack),
        1 => any::<(bool, bool)>().prop_map(|(muted, camera_on)| CallEventKind::PartnerState { muted, camera_on }),
        1 => Just(ended(EndCode::PartnerLeft)),
        1 => Just(ended(EndCode::RelayUnreachable)),
    ];

    let front = Devices {
        cameras: vec![Device {
            id: "name:Front".into(),
            name: "Front".into(),
        }],
        ..Devices::default()
    };

    let input = prop_oneof![
        any::<bool>().prop_map(Input::Visible),
        Just(Input::Devices(Devices::default(), Vec::new())),
        Just(Input::Devices(front, Vec::new())),
        Just(Input::HostStarted {
            local_url: "ws://127.0.0.1:2/ws".into(),
            addresses: Vec::new()
        }),
        Just(Input::HostFailed("taken".into())),
        Just(Input::MonitorFailed(in_use())),
        Just(Input::SettingsKept(Some(("DISK_FULL", String::new())))),
    ];

    prop_oneof![
        6 => command().prop_map(Step::Command),
        8 => (event, prop::bool::weighted(0.1)).prop_map(|(event, old)| Step::Call(event, old)),
        2 => any::<(bool, bool)>().prop_map(|(works, old)| Step::Preview(works, old)),
        3 => input.prop_map(Step::Input),
        1 => (0_u64..20_000).prop_map(Step::Wait),
    ]
}

/// Follows the effects and holds them to their rules.
#[derive(Default)]
struct Watcher {
    call: Option<CallId>,
    preview: Option<PreviewId>,
    monitor: bool,
    exited: bool,
}

impl Watcher {
    fn see(&mut self, effect: &Effect) {
        assert!(!self.exited, "nothing follows the end: {effect:?}");
        let is_ours = |id: &CallId, call: Option<CallId>| {
            assert_eq!(call, Some(*id), "{effect:?} is for the running call")
        };

        match effect {
            Effect::StartPreview(id, video) => {
                assert!(self.call.is_none(), "the camera belongs to the call");
                assert_ne!(*video, VideoSpec::None, "nothing to open");
                assert!(self.preview.replace(*id).is_none(), "one preview at a time");
            }
            Effect::StopPreview => {
                assert!(self.preview.take().is_some(), "only what runs is stopped")
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
                "only what runs is stopped"
            ),
            Effect::StartCall(id, _) => {
                assert!(
                    self.preview.is_none() && !self.monitor,
                    "devices are free before a call begins"
                );
                assert!(self.call.replace(*id).is_none(), "one call at a time");
            }
            Effect::EndCall(id) => {
                is_ours(id, self.call);
                self.call = None;
            }
            Effect::Next(id)
            | Effect::SetMuted(id, _)
            | Effect::SetCameraOn(id, _)
            | Effect::SetVideo(id, _)
            | Effect::SetAudioSource(id, _)
            | Effect::SetAudioSink(id, _)
            | Effect::SetProcessing(id, _) => is_ours(id, self.call),
            Effect::Exit => {
                assert!(
                    self.call.is_none() && self.preview.is_none() && !self.monitor,
                    "nothing is left open"
                );

                self.exited = true;
            }
            Effect::ShowRemote(_)
            | Effect::TestSpeaker(_)
            | Effect::ListDevices
            | Effect::Save(_)
            | Effect::StartHost { .. }
            | Effect::StopHost => {}
        }
    }

    /// What must hold between the state and what is open.
    fn agree(&self, app: &App) {
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

        let status = state.preview.status;
        let is_held = matches!(status, PreviewStatus::Starting | PreviewStatus::On);
        assert_eq!(
            self.preview.is_some(),
            is_held,
            "the page knows whether the camera is open: {status:?}"
        );

        assert!(
            status == PreviewStatus::Off || state.screen == Screen::Lobby,
            "a preview is a thing of the lobby"
        );

        let late = app.poll_timeout().is_some();
        assert!(
            !late || matches!(state.screen, Screen::Connecting { .. }),
            "only a connection can be late"
        );

        for (index, problem) in state.problems.iter().enumerate() {
            let twin = state.problems[..index]
                .iter()
                .find(|other| other.place == problem.place || other.id == problem.id);
            assert!(
                twin.is_none(),
                "one problem in one place: {:?}",
                state.problems
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_anything_keeps_the_rules(steps in prop::collection::vec(step(), 1..120)) {
        let (mut world, mut watcher) = (World::new(), Watcher::default());
        let mut revision = 0;
        let (mut last_preview, mut last_call) = (None, CallId(0));
        let close = [Step::Input(Input::CloseRequested), Step::Command(Command::FindPartner)];

        for step in steps.into_iter().chain(close) {
            match step {
                Step::Command(command) => {
                    let before = world.app.state().clone();
                    if let Err(error) = world.app.command(world.now, command.clone()) {
                        prop_assert_eq!(&before, world.app.state(), "{:?} was refused: {:?}", command, error);
                    }
                }
                Step::Call(event, old) => {
                    let running = world.app.call.as_ref().map(|call| call.id);
                    let id = if old { Some(last_call) } else { running };
                    last_call = running.unwrap_or(last_call);

                    if let Some(id) = id {
                        world.happens(Input::Call(id, event));
                    }
                }
                Step::Preview(works, old) => {
                    let id = if old { last_preview } else { watcher.preview };
                    last_preview = watcher.preview;

                    if let Some(id) = id {
                        world.happens(Input::Preview(id, if works { Ok(()) } else { Err(in_use()) }));
                    }
                }
                Step::Input(input) => world.happens(input),
                Step::Wait(millis) => world.wait(Duration::from_millis(millis)),
            }

            for effect in world.effects() {
                watcher.see(&effect);
            }

            watcher.agree(&world.app);
            if let Some(change) = world.app.poll_change() {
                revision += 1;
                prop_assert_eq!(change.revision, revision, "each change has the next number");
            }
        }

        prop_assert!(watcher.exited, "closing ends it all");
    }
}
