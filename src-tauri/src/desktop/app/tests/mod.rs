//! The app's life, told as a user lives it.

mod random;

use std::time::{Duration, Instant};

use tandem_call::machine::EndCode;
use tandem_call::session::{CallEventKind, Profile};
use tandem_media::audio::AudioSource;
use tandem_media::error::{MediaEvent, MediaPart};
use tandem_media::video::VideoSpec;
use tandem_media::{DeviceError, MediaErrorCode};

use super::*;
use crate::desktop::command::CommandErrorCode;
use crate::desktop::state::{Device, HostStatus, PreviewStatus, RelayStatus, Theme};

/// An app with a clock of its own.
struct World {
    app: App,
    now: Now,
}

impl World {
    fn new() -> Self {
        let launch = Launch {
            video: Some(VideoSpec::Test),
            audio: Some(AudioSource::Test),
            relay_url: Some("ws://127.0.0.1:1/ws".into()),
            ..Launch::default()
        };

        Self {
            app: App::new(Settings::default(), launch),
            now: Now {
                at: Instant::now(),
                unix_ms: 1_000,
            },
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now.at += time;
        self.now.unix_ms += time.as_millis() as u64;

        if self
            .app
            .poll_timeout()
            .is_some_and(|due| due <= self.now.at)
        {
            self.app.handle_timeout(self.now);
        }
    }

    fn ask(&mut self, command: Command) -> Result<(), CommandErrorCode> {
        self.app
            .command(self.now, command)
            .map_err(|error| error.code)
    }

    fn happens(&mut self, input: Input) {
        self.app.handle(self.now, input);
    }

    /// The running call tells something.
    fn call_says(&mut self, event: CallEventKind) {
        let id = self.app.call.as_ref().expect("a call runs").id;
        self.happens(Input::Call(id, event));
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.app.poll_effect()).collect()
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

    /// From the lobby into a call.
    fn connect(&mut self) {
        self.ask(Command::FindPartner).expect("a search from here");
        self.meet();
    }

    fn meet(&mut self) {
        self.call_says(CallEventKind::Registered);
        self.call_says(matched());
        self.call_says(CallEventKind::Connected);

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

fn in_use() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamInUse,
        "The camera is used by another app.",
    )
}

#[test]
fn a_start_lists_devices_and_opens_the_preview() {
    let mut world = World::new();
    let effects = world.effects();
    assert_eq!(
        effects[0],
        Effect::ListDevices,
        "the menus want to be filled"
    );

    let Some(Effect::StartPreview(id, VideoSpec::Test)) = effects
        .iter()
        .find(|effect| matches!(effect, Effect::StartPreview(..)))
    else {
        panic!("the user sees themself: {effects:?}")
    };

    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Starting,
        "not yet"
    );

    world.happens(Input::Preview(*id, Ok(())));
    assert_eq!(world.app.state().preview.status, PreviewStatus::On, "now");
}

#[test]
fn a_call_from_search_to_end() {
    let mut world = World::new();
    world.effects();
    world
        .ask(Command::CallWithCode {
            code: "blue".into(),
        })
        .unwrap();

    assert_eq!(
        *world.screen(),
        Screen::Waiting {
            room: Some("blue".into()),
            started_at_ms: 1_000
        },
        "searching"
    );

    let effects = world.effects();
    let place = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted).expect("it is done");
    assert!(
        place(|e| *e == Effect::StopPreview) < place(|e| matches!(e, Effect::StartCall(..))),
        "the camera is free before the call opens it: {effects:?}"
    );

    world.call_says(CallEventKind::Registered);
    assert_eq!(
        world.app.state().relay.status,
        RelayStatus::Connected,
        "the relay knows us"
    );

    world.wait(Duration::from_secs(2));
    world.call_says(matched());
    let Screen::Connecting {
        partner,
        timed_out: false,
        ..
    } = world.screen()
    else {
        panic!("{:?}", world.screen())
    };

    assert_eq!(partner.name.as_deref(), Some("Bea"), "this is who it is");
    world.call_says(CallEventKind::Connected);
    world.wait(Duration::from_secs(30));
    world.call_says(ended(EndCode::PartnerLeft));
    let end = Screen::Ended {
        reason: "PARTNER_LEFT".into(),
        duration_ms: Some(30_000),
        room: Some("blue".into()),
    };

    assert_eq!(*world.screen(), end, "with how long it was");
    assert!(
        world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::EndCall(_))),
        "the call is taken apart"
    );

    world.ask(Command::Next).unwrap();
    assert!(
        matches!(world.screen(), Screen::Waiting { room: Some(room), .. } if room == "blue"),
        "the same search again"
    );
}

#[test]
fn a_connection_that_takes_long_offers_another_try() {
    let mut world = World::new();
    world.ask(Command::FindPartner).unwrap();
    world.call_says(matched());
    world.wait(Duration::from_millis(9_900));

    assert!(
        matches!(
            world.screen(),
            Screen::Connecting {
                timed_out: false,
                ..
            }
        ),
        "not yet"
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
    world.ask(Command::Retry).unwrap();
    assert!(
        matches!(world.screen(), Screen::Waiting { .. }),
        "searching again"
    );

    assert!(
        world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::Next(_))),
        "and this partner is left"
    );

    assert_eq!(
        world.app.poll_timeout(),
        None,
        "the old connection's clock is gone"
    );
}

#[test]
fn next_shows_nothing_of_the_partner_before() {
    let mut world = World::new();
    world.connect();
    world.effects();
    world.ask(Command::Next).unwrap();
    let effects = world.effects();

    assert!(
        effects.contains(&Effect::ShowRemote(false)),
        "the picture goes at once: {effects:?}"
    );

    world.call_says(CallEventKind::Searching);
    world.call_says(matched());
    assert!(
        world.effects().contains(&Effect::ShowRemote(true)),
        "the next partner's may be shown"
    );
}

#[test]
fn late_news_of_an_old_call_change_nothing() {
    let mut world = World::new();
    world.ask(Command::FindPartner).unwrap();
    let old = world.app.call.as_ref().unwrap().id;
    world.ask(Command::Cancel).unwrap();
    world.ask(Command::FindPartner).unwrap();
    let before = world.app.state().clone();

    for event in [
        matched(),
        CallEventKind::Connected,
        CallEventKind::SignalingLost,
        ended(EndCode::PartnerLeft),
    ] {
        world.happens(Input::Call(old, event));
    }

    assert_eq!(
        *world.app.state(),
        before,
        "the search that runs is another one"
    );
}

#[test]
fn camera_off_means_released_everywhere() {
    let mut world = World::new();
    world.effects();
    world.ask(Command::SetCameraOn { on: false }).unwrap();

    assert!(
        world.effects().contains(&Effect::StopPreview),
        "in the lobby"
    );

    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Off,
        "and it shows"
    );

    world.connect();
    let effects = world.effects();
    let plan = effects.iter().find_map(|effect| {
        if let Effect::StartCall(_, plan) = effect {
            Some(plan)
        } else {
            None
        }
    });

    assert!(
        !plan.expect("a call").camera_on,
        "a call begins as the lobby was left"
    );

    world.ask(Command::SetCameraOn { on: true }).unwrap();
    assert!(
        world
            .effects()
            .iter()
            .any(|e| matches!(e, Effect::SetCameraOn(_, true))),
        "and on again in the call"
    );

    let Screen::InCall(call) = world.screen() else {
        panic!("in a call")
    };

    assert!(call.camera_on, "the button shows it");
}

#[test]
fn a_hidden_window_holds_no_device_and_a_call_keeps_its_own() {
    let mut world = World::new();
    world.effects();
    world.happens(Input::Visible(false));

    assert_eq!(
        world.effects(),
        [Effect::StopPreview, Effect::StopMonitor],
        "nobody looks"
    );

    world.happens(Input::Visible(true));
    assert!(
        matches!(
            world.effects()[..],
            [Effect::StartPreview(..), Effect::StartMonitor(_)]
        ),
        "somebody does again"
    );

    world.connect();
    world.effects();
    world.happens(Input::Visible(false));

    assert_eq!(
        world.effects(),
        [],
        "who talks while the window is minimized is still seen and heard"
    );
}

#[test]
fn a_camera_that_fails_is_told_once_and_tried_again_when_something_changes() {
    let mut world = World::new();
    let id = world.effects().iter().find_map(|e| {
        if let Effect::StartPreview(id, _) = e {
            Some(*id)
        } else {
            None
        }
    });

    world.happens(Input::Preview(id.unwrap(), Err(in_use())));
    assert_eq!(world.problems(), ["CAM_IN_USE"], "told");
    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Failed,
        "shown"
    );

    world.effects();
    world.ask(Command::SetTheme { theme: Theme::Dark }).unwrap();
    assert!(
        !world
            .effects()
            .iter()
            .any(|e| matches!(e, Effect::StartPreview(..))),
        "not tried without a reason"
    );

    world.ask(Command::RefreshDevices).unwrap();
    let again = world.effects().iter().find_map(|e| {
        if let Effect::StartPreview(id, _) = e {
            Some(*id)
        } else {
            None
        }
    });

    world.happens(Input::Preview(again.expect("tried again"), Ok(())));
    assert!(world.problems().is_empty(), "solved");
}

#[test]
fn a_call_without_a_camera_says_that_there_is_no_picture() {
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
    world.ask(Command::FindPartner).unwrap();
    world.call_says(failed());
    world.call_says(matched());
    world.call_says(CallEventKind::Connected);

    assert_eq!(
        (sends(&world), world.problems()),
        (false, vec!["CAM_IN_USE"]),
        "it failed while nobody was there yet"
    );

    world.ask(Command::SetCameraOn { on: false }).unwrap();
    world.ask(Command::SetCameraOn { on: true }).unwrap();
    assert!(sends(&world), "it is tried again");
    world.call_says(failed());

    assert!(!sends(&world), "in vain");
    world
        .ask(Command::SetCamera {
            id: Some("none".into()),
        })
        .unwrap();
    assert!(!sends(&world), "nothing was chosen");
    world.ask(Command::SetCamera { id: None }).unwrap();

    assert!(sends(&world), "another one may do");
    world.call_says(failed());
    world.call_says(ended(EndCode::PartnerLeft));
    world.ask(Command::Next).unwrap();

    assert!(
        world.problems().is_empty(),
        "the next call opens the camera anew"
    );
}

#[test]
fn broken_settings_are_told_until_the_user_has_read_it() {
    let mut world = World::new();
    world.happens(Input::SettingsKept(Some((
        "SETTINGS_BROKEN",
        "kept as x".into(),
    ))));
    world.ask(Command::SetTheme { theme: Theme::Dark }).unwrap();
    world.happens(Input::SettingsKept(None));

    assert_eq!(
        world.problems(),
        ["SETTINGS_BROKEN"],
        "that new ones are saved does not bring back the old ones"
    );

    let id = world.app.state().problems[0].id;
    world.ask(Command::DismissProblem { id }).unwrap();
    world.happens(Input::SettingsKept(Some((NOT_SAVED, "disk full".into()))));

    assert_eq!(world.problems(), [NOT_SAVED], "now they cannot be saved");
    world.happens(Input::SettingsKept(None));
    assert!(world.problems().is_empty(), "now they can");
}

#[test]
fn an_unreachable_relay_is_said_and_comes_back() {
    let mut world = World::new();
    world.connect();
    world.call_says(CallEventKind::SignalingLost);
    let Screen::InCall(call) = world.screen() else {
        panic!("the call goes on")
    };

    assert!(call.relay_lost, "and says so");
    world.call_says(CallEventKind::SignalingBack);
    assert_eq!(
        world.app.state().relay.status,
        RelayStatus::Connected,
        "back"
    );

    world.call_says(ended(EndCode::RelayUnreachable));
    assert_eq!(
        world.app.state().relay.status,
        RelayStatus::Unreachable,
        "the lobby knows why"
    );
}

#[test]
fn commands_that_make_no_sense_are_refused() {
    use CommandErrorCode::{BadName, BadRelayUrl, BadRoom, NotNow, UnknownDevice, UnknownProblem};
    let mut world = World::new();
    let refused = [
        (Command::Cancel, NotNow),
        (Command::HangUp, NotNow),
        (Command::Next, NotNow),
        (Command::Retry, NotNow),
        (Command::ToLobby, NotNow),
        (Command::SetMuted { muted: true }, NotNow),
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
            Command::SetRelayUrl {
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
    ];
    let before = world.app.state().clone();
    world.effects();

    for (command, code) in refused {
        assert_eq!(world.ask(command.clone()), Err(code), "{command:?}");
    }

    assert_eq!(world.effects(), [], "nothing came of them");
    assert_eq!(*world.app.state(), before, "nothing came of them");
    world.ask(Command::FindPartner).unwrap();

    assert_eq!(
        world.ask(Command::FindPartner),
        Err(NotNow),
        "one search at a time"
    );
}

#[test]
fn what_the_command_line_says_is_not_kept() {
    let mut world = World::new();
    world.effects();
    world.ask(Command::SetName { name: "Ann".into() }).unwrap();
    let [Effect::Save(saved)] = &world.effects()[..] else {
        panic!("the name is kept")
    };

    assert_eq!(
        saved.relay_url,
        Settings::default().relay_url,
        "the address of the command line is not"
    );

    world
        .ask(Command::SetRelayUrl {
            url: "ws://192.0.2.7:9000".into(),
        })
        .unwrap();
    let [Effect::Save(saved)] = &world.effects()[..] else {
        panic!("the address is kept")
    };

    assert_eq!(
        saved.relay_url, "ws://192.0.2.7:9000/ws",
        "one that the user typed is, with its path"
    );
}

#[test]
fn a_chosen_device_takes_the_place_of_the_command_line() {
    let mut world = World::new();
    let devices = Devices {
        cameras: vec![Device {
            id: "name:Front".into(),
            name: "Front".into(),
        }],
        ..Devices::default()
    };

    world.happens(Input::Devices(devices, Vec::new()));
    world.effects();
    world
        .ask(Command::SetCamera {
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
                Effect::StartPreview(_, VideoSpec::Camera(_))
            ]
        ),
        "the preview changes at once: {effects:?}"
    );

    world
        .ask(Command::SetCamera {
            id: Some(NONE.into()),
        })
        .unwrap();

    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Off,
        "none is a choice, too"
    );
}

#[test]
fn a_host_calls_through_its_own_relay() {
    let mut world = World::new();
    world.ask(Command::StartHost { lan: true }).unwrap();
    assert_eq!(
        world.ask(Command::StartHost { lan: true }),
        Err(CommandErrorCode::NotNow),
        "once"
    );

    let own = String::from("ws://127.0.0.1:4711/ws");
    world.happens(Input::HostStarted {
        local_url: own.clone(),
        addresses: vec!["ws://192.0.2.9:4711/ws".into()],
    });

    assert_eq!(world.app.state().host.status, HostStatus::On, "running");
    world.ask(Command::FindPartner).unwrap();
    let plan = world.effects().into_iter().find_map(|e| {
        if let Effect::StartCall(_, plan) = e {
            Some(plan)
        } else {
            None
        }
    });

    assert_eq!(
        plan.expect("a call").relay_url,
        own,
        "its own relay, whatever the settings say"
    );

    assert_eq!(
        world.ask(Command::StopHost),
        Err(CommandErrorCode::NotNow),
        "not under a running search"
    );

    world.ask(Command::Cancel).unwrap();
    world.ask(Command::StopHost).unwrap();
    assert_eq!(world.app.state().host.addresses.len(), 0, "and off");
}

#[test]
fn closing_the_window_tells_the_partner_first() {
    let mut world = World::new();
    world.connect();
    world.effects();
    world.happens(Input::CloseRequested);
    let effects = world.effects();

    assert!(
        matches!(effects[..], [.., Effect::EndCall(_), Effect::Exit]),
        "in this order: {effects:?}"
    );

    world.happens(Input::CloseRequested);
    world.happens(Input::Visible(true));
    assert_eq!(world.effects(), [], "nothing follows");
    assert_eq!(
        world.ask(Command::FindPartner),
        Err(CommandErrorCode::Closing),
        "nor is anything begun"
    );
}

#[test]
fn the_page_is_told_what_changed_and_nothing_twice() {
    let mut world = World::new();
    let first = world.app.poll_change();
    assert!(
        first.is_none(),
        "the page asks for the first state itself: {first:?}"
    );

    world.ask(Command::SetTheme { theme: Theme::Dark }).unwrap();
    let change = world.app.poll_change().expect("a change");
    assert_eq!(change.revision, 1, "the first");
    assert!(
        change.changes.settings.is_some() && change.changes.screen.is_none(),
        "only the settings: {change:?}"
    );
    assert!(world.app.poll_change().is_none(), "told once");
    world.ask(Command::SetTheme { theme: Theme::Dark }).unwrap();

    assert!(
        world.app.poll_change().is_none(),
        "the same again is no change"
    );
}

#[test]
fn a_muted_microphone_is_open_again_in_the_next_search() {
    let mut world = World::new();
    world.connect();
    world.ask(Command::SetMuted { muted: true }).unwrap();

    assert!(
        matches!(world.screen(), Screen::InCall(InCall { muted: true, .. })),
        "muted"
    );

    world.ask(Command::Next).unwrap();
    world.meet();
    assert!(
        matches!(world.screen(), Screen::InCall(InCall { muted: true, .. })),
        "the same call for the user"
    );

    world.ask(Command::HangUp).unwrap();
    world.ask(Command::ToLobby).unwrap();
    world.connect();

    assert!(
        matches!(world.screen(), Screen::InCall(InCall { muted: false, .. })),
        "a new one begins with sound"
    );
}

use crate::desktop::state::InCall;
