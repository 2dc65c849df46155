//! Scenarios of links and codes that the user opens.

use super::*;
use crate::desktop::state::OpenedInvite;

#[test]
fn a_link_waits_for_a_click_and_names_its_server() {
    let mut world = World::connected_to_server();
    let link = "https://chat.example.org/j/7#garden-lantern";
    for open in [
        |world: &mut World, link: &str| world.input(Input::Opened(link.into())),
        |world: &mut World, link: &str| {
            let code = link.into();
            world.command(Command::CallWithCode { code }).unwrap();
        },
    ] {
        open(&mut world, link);
        assert_eq!(
            world.app.state().opened,
            Some(OpenedInvite {
                code: "7-garden-lantern".into(),
                server: Some("chat.example.org".into()),
                other_server: true,
                exposed: false,
            })
        );
        let effects = world.effects();
        assert!(
            effects.iter().all(|effect| *effect == Effect::ShowWindow),
            "nothing happens without a click: {effects:?}"
        );

        world.command(Command::DismissOpened).unwrap();
        assert_eq!(world.app.state().opened, None);
    }

    world.input(Input::Opened(
        "http://192.0.2.1:9000/j/7#garden-lantern".into(),
    ));
    assert!(world.app.state().opened.as_ref().unwrap().exposed);

    world.command(Command::JoinOpened).unwrap();
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::CloseLine),
        "the own server has no part in it: {effects:?}"
    );
    let Screen::Waiting { search, .. } = world.screen() else {
        panic!("searching")
    };
    assert_eq!(
        *search,
        Search::Room {
            code: "7-garden-lantern".into(),
            server: Some("192.0.2.1:9000".into()),
            invited: true,
        }
    );

    world.call_event(ended(EndCode::NoSuchRoom));
    assert!(
        world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::OpenLine(..))),
        "and then the own server is connected again"
    );
}

#[test]
fn what_is_no_invite_is_a_problem_and_nothing_more() {
    let long = format!("tandem://join/a.b/7#{}", "x".repeat(3_000));
    for text in [
        "",
        "tandem://",
        "https://example.org/",
        "tandem://join/chat.example.org/7",
        "javascript://join/7",
        "7 \u{FFFD}",
        &long,
    ] {
        let mut world = World::connected_to_server();
        world.input(Input::Opened(text.into()));
        assert_eq!(world.problems(), ["BAD_INVITE"], "{text:?}");
        assert_eq!(world.effects(), [Effect::ShowWindow]);
        assert_eq!(world.app.state().opened, None);
    }
}

#[test]
fn a_private_server_of_a_link_is_named() {
    let mut world = World::connected_to_server();
    for (code, other) in [
        (
            "tandem://join/chat.example.org/9#garden-lantern",
            Some("chat.example.org"),
        ),
        ("blue", None),
    ] {
        let code = code.to_owned();
        world.command(Command::CallWithCode { code }).unwrap();
        if other.is_some() {
            world.command(Command::JoinOpened).unwrap();
        }

        world.call_event(ended(EndCode::RelayRefused));
        let Screen::Ended { other_server, .. } = world.screen() else {
            panic!("{:?}", world.screen())
        };
        assert_eq!(
            other_server.as_deref(),
            other,
            "its token must not be entered for the user's own server"
        );
        world.command(Command::ToLobby).unwrap();
    }
}

#[test]
fn an_opened_code_follows_the_server_that_the_user_chooses() {
    let mut world = World::with(Settings::default(), Vec::new(), Launch::default());
    world.input(Input::Opened("7-garden-lantern".into()));
    let opened = |world: &World| world.app.state().opened.clone().expect("it is shown");
    assert_eq!(opened(&world).server, None, "no server is chosen");
    assert_eq!(
        world.command(Command::JoinOpened),
        Err(CommandErrorCode::NoServer)
    );

    for server in ["chat.example.org", "other.example.org"] {
        world
            .command(Command::SetServerUrl { url: server.into() })
            .unwrap();
        assert_eq!(opened(&world).server, Some(server.into()));
        assert!(!opened(&world).other_server);
    }

    world.command(Command::JoinOpened).unwrap();
    let Screen::Waiting { search, .. } = world.screen() else {
        panic!("searching")
    };
    assert!(
        matches!(search, Search::Room { invited: true, .. }),
        "the code is the other person's: {search:?}"
    );
}

#[test]
fn a_broken_link_is_refused_as_a_link() {
    let mut world = World::connected_to_server();
    for (text, code) in [
        ("https://chat.example.org/j/7", CommandErrorCode::BadLink),
        (
            "tandem:join/chat.example.org/7#gar",
            CommandErrorCode::BadLink,
        ),
        ("two words", CommandErrorCode::BadRoom),
    ] {
        let command = Command::CallWithCode { code: text.into() };
        assert_eq!(world.command(command), Err(code), "{text}");
    }
}
