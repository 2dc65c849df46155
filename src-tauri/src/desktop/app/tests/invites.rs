//! Scenarios of invites: how a user gets one, keeps it and gives it up.

use tandem_signaling::client::ClientErrorCode;

use super::*;
use crate::desktop::command::Secret;

#[test]
fn a_server_that_forgot_the_user_gives_another_invite() {
    let mut world = World::connected_to_server();
    world.invite();
    world.line(LineEvent::Lost {
        cause: ClientErrorCode::Closed,
    });
    world.line(LineEvent::Connected { user: "me".into() });
    assert!(
        matches!(world.app.state().invitation, Some(Invitation::Ready { .. })),
        "the server still knows the user"
    );

    world.line(LineEvent::Connected { user: "new".into() });
    assert_eq!(world.app.state().invitation, Some(Invitation::Asking));
    assert_eq!(
        world.line_use().claim,
        RoomClaim::Ask(Some(former("7"))),
        "the same number, if it is still free"
    );
    world.line(LineEvent::Claimed {
        room: "8".into(),
        guest: None,
        former: None,
        random: 2,
    });
    let Some(Invitation::Ready { code, replaced, .. }) = &world.app.state().invitation else {
        panic!("a new invite")
    };
    assert!(code.starts_with("8-") && *replaced, "and the user is told");
}

#[test]
fn an_invite_whose_number_comes_back_stays_the_same() {
    let mut world = World::connected_to_server();
    let code = world.invite();
    world.registered_again();
    assert!(
        matches!(
            &world.app.state().invitation,
            Some(Invitation::Ready { code: now, replaced: false, .. }) if *now == code
        ),
        "with the same words: {:?}",
        world.app.state().invitation
    );
}

#[test]
fn an_invite_that_is_withdrawn_or_used_frees_its_number() {
    let mut world = World::connected_to_server();
    world.invite();
    world.command(Command::CancelInvite).unwrap();
    assert_eq!(world.line_use(), LineUse::default());

    world.invite();
    let id = world.knock("7");
    world
        .command(Command::AcceptCall { id, video: true })
        .unwrap();
    world.find_partner();
    world.effects();
    world.command(Command::HangUp).unwrap();
    assert_eq!(
        world.line_use(),
        LineUse::default(),
        "said again, because a call had the connection"
    );
}

#[test]
fn an_invite_that_cannot_be_had_is_a_problem_with_a_reason() {
    for (never, code) in [(true, "INVITE_NOT_SUPPORTED"), (false, "INVITE_REFUSED")] {
        let mut world = World::connected_to_server();
        world.command(Command::Invite).unwrap();
        world.line(LineEvent::ClaimRefused { never });
        assert_eq!(world.app.state().invitation, None);
        assert_eq!(world.problems(), [code]);

        world.command(Command::Invite).unwrap();
        assert_eq!(world.problems(), [""; 0], "trying again removes it");
    }

    let mut world = World::connected_to_server();
    world.invite();
    world.line(LineEvent::CannotRing);
    assert!(
        matches!(world.screen(), Screen::Waiting { .. }),
        "without a ring the first guest is matched"
    );
}

#[test]
fn an_invite_waits_for_its_guest_until_the_two_are_connected() {
    let mut world = World::connected_to_server();
    world.invite();
    let id = world.knock("7");
    world
        .command(Command::AcceptCall { id, video: true })
        .unwrap();
    world.call_event(matched());
    world.effects();
    world.call_event(ended(EndCode::PartnerLeft));
    assert!(
        matches!(world.app.state().invitation, Some(Invitation::Ready { .. })),
        "{:?}",
        world.app.state().invitation
    );
    assert_eq!(
        world.line_use().rooms,
        ["7"],
        "the guest can ring once more"
    );

    let id = world.knock("7");
    world
        .command(Command::AcceptCall { id, video: true })
        .unwrap();
    world.find_partner();
    assert_eq!(world.app.state().invitation, None);
}

#[test]
fn a_call_at_another_server_leaves_the_user_with_another_invite() {
    let mut world = World::connected_to_server();
    world.invite();
    let link = "tandem://join/chat.example.org/9#garden-lantern";
    world.input(Input::Opened(link.into()));
    world.command(Command::JoinOpened).unwrap();
    assert!(
        world.effects().contains(&Effect::CloseLine),
        "this server is not needed in that call"
    );

    world.command(Command::Cancel).unwrap();
    assert_eq!(world.app.state().invitation, Some(Invitation::Asking));
    assert_eq!(
        world.line_use().claim,
        RoomClaim::Ask(Some(former("7"))),
        "the same number, if it is still free"
    );

    world.line(LineEvent::Connected { user: "new".into() });
    world.line(LineEvent::Claimed {
        room: "8".into(),
        guest: None,
        former: None,
        random: 2,
    });
    assert!(
        matches!(
            world.app.state().invitation,
            Some(Invitation::Ready { replaced: true, .. })
        ),
        "and the user is told: {:?}",
        world.app.state().invitation
    );
}

#[test]
fn the_invite_of_one_server_is_not_asked_of_another() {
    for other in ["wss://other.example.org", ""] {
        let mut world = World::connected_to_server();
        world.invite();
        let link = "tandem://join/chat.example.org/9#garden-lantern";
        world.input(Input::Opened(link.into()));
        world.command(Command::JoinOpened).unwrap();
        world
            .command(Command::SetServerUrl { url: other.into() })
            .unwrap();
        world.effects();
        world.command(Command::Cancel).unwrap();
        let effects = world.effects();
        assert!(
            !effects
                .iter()
                .any(|effect| matches!(effect, Effect::UseLine(_))),
            "{effects:?}"
        );
        assert_eq!(world.app.state().invitation, None);
    }
}

#[test]
fn new_access_to_the_server_keeps_the_invite() {
    let mut world = World::connected_to_server();
    let code = world.invite();
    let token = Secret("secret".into());
    world.command(Command::SetToken { token }).unwrap();
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::CloseLine)
            && effects
                .iter()
                .any(|effect| matches!(effect, Effect::OpenLine(..))),
        "{effects:?}"
    );
    assert_eq!(world.app.state().invitation, Some(Invitation::Asking));

    world.registered_again();
    assert!(
        matches!(&world.app.state().invitation, Some(Invitation::Ready { code: now, .. }) if *now == code)
    );
}

#[test]
fn an_invite_is_given_up_before_the_connection_closes() {
    for end in [
        |world: &mut World| world.input(Input::Quit),
        |world: &mut World| {
            let url = "wss://chat.example.org".to_owned();
            world.command(Command::SetServerUrl { url }).unwrap();
        },
    ] {
        let mut world = World::connected_to_server();
        world.invite();
        world.effects();
        end(&mut world);
        let effects = world.effects();
        let given_up = effects
            .iter()
            .position(|effect| *effect == Effect::UseLine(LineUse::default()));
        let closed = effects
            .iter()
            .position(|effect| *effect == Effect::CloseLine);
        assert!(
            given_up.is_some() && given_up < closed,
            "no guest waits for someone who is gone: {effects:?}"
        );
    }
}

#[test]
fn a_wait_without_ring_does_not_begin_by_itself_again() {
    let mut world = World::connected_to_server();
    world.invite();
    world.line(LineEvent::CannotRing);
    world.command(Command::Cancel).unwrap();
    assert_eq!(world.app.state().invitation, None);

    world.line(LineEvent::CannotRing);
    assert_eq!(*world.screen(), Screen::Lobby);
}

#[test]
fn the_link_for_a_browser_lets_a_guest_into_a_server_with_tokens() {
    let mut world = World::connected_to_server();
    world.command(Command::Invite).unwrap();
    world.line(LineEvent::Claimed {
        room: "7".into(),
        guest: Some("guest.secret".into()),
        former: Some(former("7")),
        random: 1,
    });
    let Some(Invitation::Ready {
        app_link, web_link, ..
    }) = &world.app.state().invitation
    else {
        panic!("the invite is ready")
    };
    let has_token = |link: &Option<String>| {
        link.as_deref()
            .map(|it| it.ends_with("&guest=guest.secret"))
    };
    assert_eq!(has_token(web_link), Some(true));
    assert_eq!(
        has_token(app_link),
        Some(false),
        "the app has a token of its own"
    );
}
