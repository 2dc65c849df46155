//! Scenarios of the window: what it may command, what it shows, and how it closes.

use super::*;
use crate::desktop::state::Theme;

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
                name: format!("{}a", "\u{202E}".repeat(40)),
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
        (Command::AcceptCall { id: 7, video: true }, UnknownCall),
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
fn closing_the_window_notifies_the_partner_first() {
    let mut world = World::new();
    world.connect_known();
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
                Effect::ShowRemote(false),
                Effect::ForgetFrame,
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
fn closing_in_a_call_can_be_taken_back() {
    let mut world = World::new();
    world.connect();
    world.input(Input::CloseRequested);
    world
        .command(Command::ConfirmClose { close: false })
        .unwrap();
    assert!(!world.app.state().confirm_close);
    assert!(matches!(world.screen(), Screen::InCall(_)));

    world.input(Input::CloseRequested);
    world.effects();
    world
        .command(Command::ConfirmClose { close: true })
        .unwrap();
    assert_eq!(world.effects().last(), Some(&Effect::Exit));
}

#[test]
fn the_system_is_not_asked_back() {
    let mut world = World::new();
    world.connect();
    world.effects();
    world.input(Input::Quit);
    assert_eq!(world.effects().last(), Some(&Effect::Exit));
}
