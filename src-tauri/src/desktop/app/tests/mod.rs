//! Scenarios of a user in front of the app.

#![allow(clippy::disallowed_methods, reason = "tests start their clock now")]

mod access;
mod meet;
mod random;

use std::time::{Duration, Instant};

use tandem_call::EndCode;
use tandem_call::{CallEventKind, Profile};
use tandem_media::audio::{AudioSink, AudioSource};
use tandem_media::error::{MediaEvent, MediaPart};
use tandem_media::video::VideoSpec;
use tandem_media::{DeviceError, MediaErrorCode};

use super::*;
use crate::desktop::command::CommandErrorCode;
use crate::desktop::state::{
    HostStatus, InCall, MenuDevice, PreviewStatus, Search, ServerStatus, Theme,
};

/// An app with its own clock.
struct World {
    app: App,
    now: Now,
}

impl World {
    fn new() -> Self {
        let launch = Launch {
            video: Some(VideoSpec::Test),
            audio: Some(AudioSource::Test),
            server_url: Some("ws://127.0.0.1:1".parse().unwrap()),
            ..Launch::default()
        };

        Self {
            app: App::new(Settings::default(), Vec::new(), Access::default(), launch),
            now: Now {
                at: Instant::now(),
                unix_ms: 1_000,
            },
        }
    }

    /// Lets time pass.
    fn wait(&mut self, time: Duration) {
        self.now.at += time;
        self.now.unix_ms += time.as_millis() as u64;

        if self
            .app
            .poll_timeout()
            .is_some_and(|deadline| deadline <= self.now.at)
        {
            self.app.handle_timeout(self.now);
        }
    }

    fn command(&mut self, command: Command) -> Result<(), CommandErrorCode> {
        self.app
            .command(self.now, command)
            .map_err(|error| error.code)
    }

    fn input(&mut self, input: Input) {
        self.app.handle(self.now, input);
    }

    /// Passes in an event of the running call.
    fn call_event(&mut self, event: CallEventKind) {
        let id = self.app.call.as_ref().expect("a call runs").id;
        self.input(Input::Call(id, event));
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.app.poll_effect()).collect()
    }

    /// The plan of the call that the effects since the last time start.
    fn start_call_plan(&mut self) -> CallPlan {
        self.effects()
            .into_iter()
            .find_map(|effect| match effect {
                Effect::StartCall(_, plan) => Some(*plan),
                _ => None,
            })
            .expect("a call starts")
    }

    /// The preview that the effects since the last time start.
    fn started_preview(&mut self) -> Option<PreviewId> {
        self.effects().into_iter().find_map(|effect| match effect {
            Effect::StartPreview(id, ..) => Some(id),
            _ => None,
        })
    }

    fn screen(&self) -> &Screen {
        &self.app.state().screen
    }

    fn problems(&self) -> Vec<&str> {
        self.app
            .state()
            .problems
            .iter()
            .map(|problem| problem.code.as_str())
            .collect()
    }

    /// Goes from the lobby into a call.
    fn connect(&mut self) {
        self.command(Command::FindPartner)
            .expect("a search is possible");
        self.find_partner();
    }

    /// Goes from the search into a call.
    fn find_partner(&mut self) {
        self.call_event(CallEventKind::Registered);
        self.call_event(matched());
        self.call_event(CallEventKind::Connected);

        assert!(
            matches!(self.screen(), Screen::InCall(_)),
            "connected: {:?}",
            self.screen()
        );
    }
}

fn matched() -> CallEventKind {
    let partner = Profile {
        user_name: Some("Bea".into()),
        ..Profile::default()
    };

    CallEventKind::Matched {
        session_id: "s".into(),
        initiator: true,
        partner,
    }
}

fn ended(code: EndCode) -> CallEventKind {
    CallEventKind::Ended {
        reason: code.into(),
    }
}

/// A search with the code "blue".
fn blue() -> Search {
    Search::Room {
        code: "blue".into(),
        server: None,
        invited: false,
    }
}

fn in_use() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamInUse,
        "The camera is used by another app.",
    )
}

#[test]
fn a_partner_who_leaves_as_the_user_presses_next_does_not_end_the_search() {
    let mut world = World::new();
    world.connect();
    world.command(Command::Next).unwrap();
    world.effects();

    world.call_event(ended(EndCode::PartnerLeft));
    assert!(
        matches!(world.screen(), Screen::Waiting { .. }),
        "the user wants someone else: {:?}",
        world.screen()
    );
    let effects = world.effects();
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::StartCall(..))),
        "the search runs: {effects:?}"
    );

    // A later end is no crossing.
    world.find_partner();
    world.command(Command::Next).unwrap();
    world.call_event(CallEventKind::Searching);
    world.call_event(matched());
    world.call_event(ended(EndCode::PartnerLeft));
    assert!(matches!(world.screen(), Screen::Ended { .. }));

    // The server's refusal ends the search, also in this moment.
    world.connect();
    world.command(Command::Next).unwrap();
    world.call_event(ended(EndCode::RelayUnreachable));
    assert!(matches!(world.screen(), Screen::Ended { .. }));
}

#[test]
fn the_app_starts_with_a_list_of_devices_and_the_preview() {
    let mut world = World::new();
    let effects = world.effects();
    assert_eq!(
        effects[0],
        Effect::ListDevices,
        "the menus need the devices"
    );

    let Some(Effect::StartPreview(id, VideoSpec::Test, _)) = effects
        .iter()
        .find(|effect| matches!(effect, Effect::StartPreview(..)))
    else {
        panic!("the preview opens: {effects:?}")
    };

    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Starting,
        "the camera is being opened"
    );

    world.input(Input::Preview(*id, Ok(())));
    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::On,
        "the camera is open"
    );
}

#[test]
fn a_call_goes_from_search_to_end() {
    let mut world = World::new();
    world.effects();
    world
        .command(Command::CallWithCode {
            code: "blue".into(),
        })
        .unwrap();

    assert_eq!(
        *world.screen(),
        Screen::Waiting {
            search: blue(),
            ringing: false,
            started_at_ms: 1_000,
            sends_video: true,
        },
        "searching"
    );

    let effects = world.effects();
    let position = |wanted: fn(&Effect) -> bool| {
        effects
            .iter()
            .position(wanted)
            .expect("the effect is there")
    };
    assert!(
        position(|effect| *effect == Effect::HandOverPreview) + 1
            == position(|effect| matches!(effect, Effect::StartCall(..))),
        "the call takes over the preview's camera: {effects:?}"
    );

    world.call_event(CallEventKind::Registered);
    assert_eq!(
        world.app.state().server.status,
        ServerStatus::Connected,
        "registered"
    );

    world.wait(Duration::from_secs(2));
    world.call_event(matched());
    let Screen::Connecting {
        partner,
        timed_out: false,
        ..
    } = world.screen()
    else {
        panic!("{:?}", world.screen())
    };

    assert_eq!(
        partner.name.as_deref(),
        Some("Bea"),
        "the name of the partner"
    );
    world.call_event(CallEventKind::Connected);
    world.wait(Duration::from_secs(30));
    world.call_event(ended(EndCode::PartnerLeft));
    let end = Screen::Ended {
        reason: EndCode::PartnerLeft,
        cause: None,
        duration_ms: Some(30_000),
        name: Some("Bea".into()),
        other_server: None,
        again: Some(blue()),
    };

    assert_eq!(*world.screen(), end, "with reason, duration and room");
    assert!(
        world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::EndCall(_))),
        "the call is taken apart and its devices are released"
    );

    world.command(Command::Next).unwrap();
    assert!(
        matches!(world.screen(), Screen::Waiting { search, .. } if *search == blue()),
        "the same search again"
    );
}

#[test]
fn a_slow_connection_offers_a_retry() {
    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.call_event(matched());
    world.wait(Duration::from_millis(9_900));

    assert!(
        matches!(
            world.screen(),
            Screen::Connecting {
                timed_out: false,
                ..
            }
        ),
        "before ten seconds"
    );

    world.wait(Duration::from_millis(100));
    assert!(
        matches!(
            world.screen(),
            Screen::Connecting {
                timed_out: true,
                ..
            }
        ),
        "after ten seconds"
    );

    world.effects();
    world.command(Command::Retry).unwrap();
    assert!(
        matches!(world.screen(), Screen::Waiting { .. }),
        "searching again"
    );

    assert!(
        world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::Next(_))),
        "and the partner is left"
    );

    assert_eq!(
        world.app.poll_timeout(),
        None,
        "without the deadline of the old connection"
    );
}

#[test]
fn next_hides_the_former_partner_at_once() {
    let mut world = World::new();
    world.connect();
    world.effects();
    world.command(Command::Next).unwrap();
    let effects = world.effects();

    assert!(
        effects.contains(&Effect::ShowRemote(false)),
        "the remote video is hidden: {effects:?}"
    );

    world.call_event(CallEventKind::Searching);
    world.call_event(matched());
    assert!(
        world.effects().contains(&Effect::ShowRemote(true)),
        "the next partner may be shown"
    );
}

#[test]
fn late_events_of_an_old_call_change_nothing() {
    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    let old = world.app.call.as_ref().unwrap().id;
    world.command(Command::Cancel).unwrap();
    world.command(Command::FindPartner).unwrap();
    let before = world.app.state().clone();

    for event in [
        matched(),
        CallEventKind::Connected,
        CallEventKind::SignalingLost,
        ended(EndCode::PartnerLeft),
    ] {
        world.input(Input::Call(old, event));
    }

    assert_eq!(
        *world.app.state(),
        before,
        "the events belong to another search"
    );
}

#[test]
fn camera_off_releases_the_camera_in_the_lobby_and_in_a_call() {
    let mut world = World::new();
    world.effects();
    world.command(Command::SetCameraOn { on: false }).unwrap();

    assert!(
        world.effects().contains(&Effect::StopPreview),
        "released in the lobby"
    );

    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Off,
        "the page shows it"
    );

    world.connect();
    assert!(
        !world.start_call_plan().camera_on,
        "a call starts with the camera as it was in the lobby"
    );

    world.command(Command::SetCameraOn { on: true }).unwrap();
    assert!(
        world
            .effects()
            .iter()
            .any(|e| matches!(e, Effect::SetCameraOn(_, true))),
        "on again in the call"
    );

    let Screen::InCall(call) = world.screen() else {
        panic!("in a call")
    };

    assert!(call.camera_on, "the page shows it");
}

#[test]
fn a_hidden_window_releases_the_lobby_devices_but_not_those_of_a_call() {
    let mut world = World::new();
    world.effects();
    world.input(Input::Visible(false));

    assert_eq!(
        world.effects(),
        [Effect::StopPreview, Effect::StopMonitor],
        "hidden"
    );

    world.input(Input::Visible(true));
    assert!(
        matches!(
            world.effects()[..],
            [Effect::StartPreview(..), Effect::StartMonitor(_)]
        ),
        "visible again"
    );

    world.connect();
    world.effects();
    world.input(Input::Visible(false));

    assert_eq!(world.effects(), [], "a minimized call keeps sending");
}

#[test]
fn a_failed_camera_is_reported_once_and_retried_when_something_changes() {
    let mut world = World::new();
    let id = world.started_preview().expect("the preview opens");

    world.input(Input::Preview(id, Err(in_use())));
    assert_eq!(world.problems(), ["CAM_IN_USE"], "reported");
    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Failed,
        "shown in the preview"
    );

    world.effects();
    world
        .command(Command::SetTheme { theme: Theme::Dark })
        .unwrap();
    assert_eq!(
        world.started_preview(),
        None,
        "another theme is no reason to retry"
    );

    world.command(Command::RefreshDevices).unwrap();
    let id = world.started_preview().expect("retried");
    world.input(Input::Preview(id, Ok(())));
    assert!(world.problems().is_empty(), "the problem is solved");
}

#[test]
fn a_call_without_a_camera_shows_that_no_video_is_sent() {
    let sends = |world: &World| match world.screen() {
        Screen::InCall(call) => call.sends_video,
        screen => panic!("{screen:?}"),
    };

    let failed = || {
        CallEventKind::Media(MediaEvent::Failed {
            part: MediaPart::Camera,
            error: in_use(),
        })
    };

    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.call_event(failed());
    world.call_event(matched());
    world.call_event(CallEventKind::Connected);

    assert_eq!(
        (sends(&world), world.problems()),
        (false, vec!["CAM_IN_USE"]),
        "it failed before the partner was found"
    );

    world.command(Command::SetCameraOn { on: false }).unwrap();
    world.command(Command::SetCameraOn { on: true }).unwrap();
    assert!(sends(&world), "the camera is retried");
    world.call_event(failed());

    assert!(!sends(&world), "it failed again");
    world
        .command(Command::SetCamera {
            id: Some("none".into()),
        })
        .unwrap();
    assert!(!sends(&world), "no camera is chosen");
    world.command(Command::SetCamera { id: None }).unwrap();

    assert!(sends(&world), "another camera may work");
    world.call_event(failed());
    world.call_event(ended(EndCode::PartnerLeft));
    world.command(Command::Next).unwrap();

    assert!(
        world.problems().is_empty(),
        "the next call opens the camera again"
    );
}

#[test]
fn broken_settings_stay_a_problem_until_the_user_dismisses_it() {
    let mut world = World::new();
    world.input(Input::SettingsFailed(SettingsProblem::new(
        AppErrorCode::SettingsBroken,
        "kept as x",
    )));
    world
        .command(Command::SetTheme { theme: Theme::Dark })
        .unwrap();
    world.input(Input::SettingsSaved);

    assert_eq!(
        world.problems(),
        ["SETTINGS_BROKEN"],
        "saving new settings does not bring back the old ones"
    );

    let id = world.app.state().problems[0].id;
    world.command(Command::DismissProblem { id }).unwrap();
    world.input(Input::SettingsFailed(SettingsProblem::new(
        AppErrorCode::SettingsNotSaved,
        "disk full",
    )));

    assert_eq!(
        world.problems(),
        ["SETTINGS_NOT_SAVED"],
        "they cannot be saved"
    );
    world.input(Input::SettingsSaved);
    assert!(world.problems().is_empty(), "they can be saved again");
}

#[test]
fn a_lost_server_is_shown_until_it_is_back() {
    let mut world = World::new();
    world.connect();
    world.call_event(CallEventKind::SignalingLost);
    let Screen::InCall(call) = world.screen() else {
        panic!("the call continues")
    };

    assert!(call.server_lost, "the call shows it");
    world.call_event(CallEventKind::SignalingBack);
    assert_eq!(
        world.app.state().server.status,
        ServerStatus::Connected,
        "connected again"
    );

    world.call_event(ended(EndCode::RelayUnreachable));
    assert_eq!(
        world.app.state().server.status,
        ServerStatus::Connecting,
        "between calls the app connects again"
    );
}

#[test]
fn impossible_and_invalid_commands_are_refused() {
    use CommandErrorCode::{
        BadName, BadRelayUrl, BadRoom, NotNow, UnknownCall, UnknownDevice, UnknownProblem,
        UnknownRecent,
    };
    let mut world = World::new();
    let refused = [
        (Command::Cancel, NotNow),
        (Command::HangUp, NotNow),
        (Command::Next, NotNow),
        (Command::Retry, NotNow),
        (Command::ToLobby, NotNow),
        (Command::StopHost, NotNow),
        (
            Command::CallWithCode {
                code: "no spaces".into(),
            },
            BadRoom,
        ),
        (
            Command::CallWithCode {
                code: "x".repeat(65),
            },
            BadRoom,
        ),
        (
            Command::SetName {
                name: "\u{202E}".repeat(41),
            },
            BadName,
        ),
        (
            Command::SetServerUrl {
                url: "javascript:alert(1)".into(),
            },
            BadRelayUrl,
        ),
        (
            Command::SetCamera {
                id: Some("name:not there".into()),
            },
            UnknownDevice,
        ),
        (Command::DismissProblem { id: 7 }, UnknownProblem),
        (Command::CancelInvite, NotNow),
        (Command::AcceptCall { id: 7 }, UnknownCall),
        (Command::DeclineCall { id: 7 }, UnknownCall),
        (Command::JoinOpened, NotNow),
        (Command::DismissOpened, NotNow),
        (Command::CallRecent { id: 7 }, UnknownRecent),
        (Command::RemoveRecent { id: 7 }, UnknownRecent),
        (Command::ConfirmClose { close: true }, NotNow),
    ];
    let before = world.app.state().clone();
    world.effects();

    for (command, code) in refused {
        assert_eq!(world.command(command.clone()), Err(code), "{command:?}");
    }

    assert_eq!(world.effects(), [], "no effects");
    assert_eq!(*world.app.state(), before, "no changes");
    world.command(Command::FindPartner).unwrap();

    assert_eq!(
        world.command(Command::FindPartner),
        Err(NotNow),
        "one search at a time"
    );
}

#[test]
fn what_the_command_line_says_is_not_saved() {
    let mut world = World::new();
    world.effects();
    world
        .command(Command::SetName { name: "Ann".into() })
        .unwrap();
    let [Effect::Save(saved)] = &world.effects()[..] else {
        panic!("the name is saved")
    };

    assert_eq!(
        saved.server_url,
        Settings::default().server_url,
        "the address from the command line is not saved"
    );

    world
        .command(Command::SetServerUrl {
            url: "ws://192.0.2.7:9000".into(),
        })
        .unwrap();
    let [
        Effect::Save(saved),
        Effect::CloseLine,
        Effect::OpenLine(_, config),
    ] = &world.effects()[..]
    else {
        panic!("the address is saved and used")
    };
    assert_eq!(Some(&config.url), saved.server_url.as_ref());

    assert_eq!(
        saved.server_url,
        "ws://192.0.2.7:9000/ws".parse().ok(),
        "an address that the user typed is saved, with its path"
    );
}

#[test]
fn devices_of_the_command_line_leave_the_saved_ones_alone() {
    let saved = Settings {
        camera: Some("name:Front".into()),
        microphone: Some("Headset".into()),
        speaker: Some("Room".into()),
        ..Settings::default()
    };
    let launch = Launch {
        video: Some(VideoSpec::Test),
        audio: Some(AudioSource::None),
        speaker: Some(AudioSink::None),
        ..Launch::default()
    };
    let mut world = World::new();
    world.app = App::new(saved.clone(), Vec::new(), Access::default(), launch);
    assert_eq!(world.app.video(), VideoSpec::Test);
    world.effects();

    world
        .command(Command::SetTheme { theme: Theme::Dark })
        .unwrap();
    let [Effect::Save(first)] = &world.effects()[..] else {
        panic!("the theme is saved")
    };
    let expected = Settings {
        theme: Theme::Dark,
        ..saved
    };
    assert_eq!(**first, expected);

    world.command(Command::SetCamera { id: None }).unwrap();
    let effects = world.effects();
    let Some(Effect::Save(second)) = effects.first() else {
        panic!("what the user chooses in the window is saved: {effects:?}")
    };
    assert_eq!(
        (&second.camera, &second.speaker),
        (&None, &expected.speaker)
    );
}

#[test]
fn a_chosen_device_replaces_that_of_the_command_line() {
    let mut world = World::new();
    let devices = Devices {
        cameras: vec![MenuDevice {
            id: "name:Front".into(),
            name: "Front".into(),
        }],
        ..Devices::default()
    };

    world.input(Input::Devices(devices, Vec::new()));
    world.effects();
    world
        .command(Command::SetCamera {
            id: Some("name:Front".into()),
        })
        .unwrap();
    let effects = world.effects();

    assert!(
        matches!(
            &effects[..],
            [
                Effect::Save(_),
                Effect::StopPreview,
                Effect::StartPreview(_, VideoSpec::Camera(_), _)
            ]
        ),
        "the preview changes at once: {effects:?}"
    );

    world
        .command(Command::SetCamera {
            id: Some(NONE.into()),
        })
        .unwrap();

    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Off,
        "no camera is a choice too"
    );
}

#[test]
fn a_host_calls_through_the_embedded_server() {
    let mut world = World::new();
    world.command(Command::StartHost { lan: true }).unwrap();
    assert_eq!(
        world.command(Command::StartHost { lan: true }),
        Err(CommandErrorCode::NotNow),
        "it is already starting"
    );

    let local_url: ServerUrl = "ws://127.0.0.1:4711".parse().unwrap();
    world.input(Input::HostStarted {
        local_url: local_url.clone(),
        addresses: vec!["ws://192.0.2.9:4711".parse().unwrap()],
    });

    assert_eq!(world.app.state().host.status, HostStatus::On, "running");
    world.command(Command::FindPartner).unwrap();
    assert_eq!(
        world.start_call_plan().server.url,
        local_url,
        "the embedded server, whatever the settings say"
    );

    assert_eq!(
        world.command(Command::StopHost),
        Err(CommandErrorCode::NotNow),
        "not during a search"
    );

    world.command(Command::Cancel).unwrap();
    world.command(Command::StopHost).unwrap();
    assert_eq!(world.app.state().host.addresses.len(), 0, "stopped");
}

#[test]
fn closing_the_window_notifies_the_partner_first() {
    let mut world = World::new();
    world.connect();
    world.effects();
    world.input(Input::CloseRequested);
    assert!(
        world.app.state().confirm_close,
        "a call is not ended by one click"
    );
    assert_eq!(world.effects(), [Effect::ShowWindow]);

    world.input(Input::CloseRequested);
    let effects = world.effects();

    assert!(
        matches!(
            effects[..],
            [
                Effect::HideWindow,
                _,
                Effect::EndCall(_),
                Effect::ReleaseCamera,
                Effect::KeepAwake(false),
                Effect::Exit
            ]
        ),
        "in this order: {effects:?}"
    );

    world.input(Input::CloseRequested);
    world.input(Input::Visible(true));
    assert_eq!(world.effects(), [], "no effect follows");
    assert_eq!(
        world.command(Command::FindPartner),
        Err(CommandErrorCode::Closing),
        "no command is accepted"
    );
}

#[test]
fn the_page_gets_each_change_once() {
    let mut world = World::new();
    let first = world.app.poll_change();
    assert!(
        first.is_none(),
        "the page fetches the first state itself: {first:?}"
    );

    world
        .command(Command::SetTheme { theme: Theme::Dark })
        .unwrap();
    let change = world.app.poll_change().expect("a change");
    assert_eq!(change.revision, 1, "the first change");
    assert!(
        change.changes.settings.is_some() && change.changes.screen.is_none(),
        "only the settings: {change:?}"
    );
    assert!(world.app.poll_change().is_none(), "only once");
    world
        .command(Command::SetTheme { theme: Theme::Dark })
        .unwrap();

    assert!(
        world.app.poll_change().is_none(),
        "the same theme is no change"
    );
}

#[test]
fn mute_is_remembered_before_in_and_after_calls() {
    let mut world = World::new();
    world.effects();
    world.command(Command::SetMuted { muted: true }).unwrap();
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::StopMonitor),
        "a muted microphone is released: {effects:?}"
    );
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Save(saved) if saved.muted)),
        "and stays muted after a restart: {effects:?}"
    );

    world.connect();
    let Screen::InCall(call) = world.screen() else {
        panic!("a call")
    };
    assert!(call.muted, "the call starts muted");

    world.command(Command::SetMuted { muted: false }).unwrap();
    world.command(Command::SetMuted { muted: true }).unwrap();

    assert!(
        matches!(world.screen(), Screen::InCall(InCall { muted: true, .. })),
        "muted"
    );

    world.command(Command::Next).unwrap();
    world.find_partner();
    assert!(
        matches!(world.screen(), Screen::InCall(InCall { muted: true, .. })),
        "still muted with the next partner"
    );

    world.command(Command::HangUp).unwrap();
    world.command(Command::ToLobby).unwrap();
    world.connect();

    assert!(
        matches!(world.screen(), Screen::InCall(InCall { muted: true, .. })),
        "so is the next call"
    );
}

#[test]
fn a_call_takes_over_the_open_camera_and_the_lobby_gets_it_back() {
    let mut world = World::new();
    let id = world.started_preview().expect("the preview opens");
    world.input(Input::Preview(id, Ok(())));
    world.command(Command::FindPartner).unwrap();
    let effects = world.effects();

    let [
        Effect::CloseLine,
        Effect::StopMonitor,
        Effect::HandOverPreview,
        Effect::StartCall(_, plan),
    ] = &effects[..]
    else {
        panic!("the camera stays open: {effects:?}")
    };

    assert_eq!(
        (&plan.video, plan.video_quality.format),
        (&VideoSpec::Test, VideoQuality::default().format),
        "the call sends what the preview showed"
    );

    world.command(Command::Cancel).unwrap();
    let effects = world.effects();
    assert!(
        matches!(
            effects[..],
            [
                Effect::ShowRemote(false),
                Effect::EndCall(_),
                Effect::StartPreview(..),
                Effect::StartMonitor(_),
                Effect::OpenLine(..),
            ]
        ),
        "the preview takes the camera back: {effects:?}"
    );
}

#[test]
fn the_camera_of_an_ended_call_is_released_where_the_lobby_does_not_need_it() {
    let mut world = World::new();
    world.connect();
    world.effects();
    world.call_event(ended(EndCode::PartnerLeft));

    assert!(
        world.effects().contains(&Effect::ReleaseCamera),
        "the last screen of a call shows no preview"
    );
}

#[test]
fn size_codec_and_bitrate_of_the_command_line_reach_preview_and_call() {
    let video_quality = VideoQuality {
        format: VideoFormat {
            width: 640,
            height: 360,
            fps: 15.0,
        },
        max_bitrate_bps: 800_000,
        ..VideoQuality::default()
    };

    let mut world = World::new();
    world.app = App::new(
        Settings::default(),
        Vec::new(),
        Access::default(),
        Launch {
            size: Some((640, 360)),
            fps: Some(15.0),
            max_bitrate_bps: Some(800_000),
            server_url: Some("ws://127.0.0.1:1".parse().unwrap()),
            ..Launch::default()
        },
    );

    assert!(
        world.effects().iter().any(|effect| matches!(
            effect,
            Effect::StartPreview(_, _, format) if *format == video_quality.format
        )),
        "the preview opens in the format of the call"
    );

    world.command(Command::FindPartner).unwrap();
    assert_eq!(
        world.start_call_plan().video_quality,
        video_quality,
        "the call gets all of it"
    );
}

#[test]
fn a_listing_that_works_again_ends_its_problem_and_no_other() {
    let mut world = World::new();
    let failed = || {
        vec![
            (ProblemPlace::Speaker, in_use()),
            (ProblemPlace::Camera, in_use()),
        ]
    };
    world.input(Input::Devices(Devices::default(), failed()));
    assert_eq!(world.problems().len(), 2);

    let camera_only = vec![(ProblemPlace::Camera, in_use())];
    world.input(Input::Devices(Devices::default(), camera_only));
    assert_eq!(world.problems().len(), 1, "speakers are listed again");

    world.input(Input::Devices(Devices::default(), Vec::new()));
    assert!(world.problems().is_empty(), "so are cameras");

    world.input(Input::SpeakerTestFailed(in_use()));
    world.input(Input::Devices(Devices::default(), Vec::new()));
    assert_eq!(
        world.problems().len(),
        1,
        "a list does not repair a speaker"
    );
}
