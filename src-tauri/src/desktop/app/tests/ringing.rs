//! Scenarios of rings: who is called, and how the user hears of it.

use super::*;

#[test]
fn an_invite_rings_and_its_guest_is_accepted() {
    let mut world = World::connected_to_server();
    let code = world.invite();
    assert_eq!(
        world.line_use(),
        LineUse {
            claim: RoomClaim::Hold,
            rooms: vec!["7".into()],
        },
        "anyone who has the number can ring"
    );

    let Some(Invitation::Ready {
        app_link, web_link, ..
    }) = &world.app.state().invitation
    else {
        panic!("the invite is ready")
    };
    let words = code.split_once('-').unwrap().1;
    assert_eq!(
        app_link.as_deref(),
        Some(format!("tandem://join/127.0.0.1:1/7#{words}").as_str())
    );
    assert!(
        web_link
            .as_deref()
            .is_some_and(|link| link.ends_with(words))
    );

    let id = world.knock("7");
    let incoming = world.app.state().incoming.clone().unwrap();
    assert_eq!(incoming.name.as_deref(), Some("Bea"), "as plain text");
    assert_eq!(incoming.picture, None, "a link would tell who looks at it");
    assert_eq!(incoming.kind, CallerKind::Invited);
    let effects = world.effects();
    assert!(
        matches!(
            &effects[..],
            [Effect::Play(Some(ToneSpec {
                tone: Tone::Ring,
                ..
            }))]
        ),
        "it rings, and nothing else happens: {effects:?}"
    );

    world
        .command(Command::AcceptCall { id, video: true })
        .unwrap();
    let effects = world.effects();
    assert_eq!(effects[0], Effect::Play(None), "silent before the call");
    let Some(Effect::StartCall(_, plan)) = effects
        .iter()
        .find(|effect| matches!(effect, Effect::StartCall(..)))
    else {
        panic!("a call starts: {effects:?}")
    };
    assert_eq!(plan.goal, CallGoal::Answer("k1".into()));
    assert!(plan.line.is_some(), "on the connection where it rang");
    assert_eq!(world.app.state().incoming, None);

    world.find_partner();
    let Screen::InCall(call) = world.screen() else {
        panic!("connected")
    };
    assert!(call.known, "no stranger, so there is no Next");
    assert_eq!(world.command(Command::Next), Err(CommandErrorCode::NotNow));
    assert_eq!(
        world.app.state().invitation,
        None,
        "an invite serves one call"
    );

    world.command(Command::HangUp).unwrap();
    let Screen::Ended { again, .. } = world.screen() else {
        panic!("ended")
    };
    assert_eq!(*again, None, "the other side may have an older Tandem");
}

#[test]
fn a_caller_can_be_declined_and_can_give_up() {
    let mut world = World::connected_to_server();
    world.invite();
    let id = world.knock("7");
    world.effects();
    world.command(Command::DeclineCall { id }).unwrap();
    assert_eq!(
        world.effects(),
        [Effect::Decline("k1".into()), Effect::Play(None)]
    );
    assert_eq!(
        world.command(Command::AcceptCall { id, video: true }),
        Err(CommandErrorCode::UnknownCall)
    );

    let id = world.knock("7");
    world.line(LineEvent::KnockEnded { id: "k0".into() });
    assert!(world.app.state().incoming.is_some(), "another knock ended");
    world.line(LineEvent::KnockEnded { id: "k1".into() });
    assert_eq!(world.app.state().incoming, None);
    assert_eq!(
        world.command(Command::AcceptCall { id, video: true }),
        Err(CommandErrorCode::UnknownCall)
    );
    assert!(
        matches!(world.app.state().invitation, Some(Invitation::Ready { .. })),
        "the invite still works"
    );
}

#[test]
fn a_ring_reaches_a_user_who_looks_elsewhere() {
    let mut world = World::connected_to_server();
    world.invite();
    world.input(Input::Focused(false));
    world.effects();
    let id = world.knock("7");
    let bea = Some(Notification::Ringing {
        id,
        name: Some("Bea".into()),
    });
    let effects = world.effects();
    assert_eq!(
        effects[1..],
        [Effect::Notify(bea), Effect::AskForAttention(true)],
        "{effects:?}"
    );

    world.input(Input::Focused(true));
    assert_eq!(
        world.effects(),
        [Effect::Notify(None), Effect::AskForAttention(false)],
        "the window shows it, and it rings on"
    );

    world.input(Input::Focused(false));
    world.effects();
    let late = NotificationReply::Accept { id: id - 1 };
    world.input(Input::Notification(late));
    assert_eq!(
        world.effects(),
        [Effect::ShowWindow],
        "the answer to an earlier ring accepts no other"
    );

    world.input(Input::Notification(NotificationReply::Decline { id }));
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::Decline("k1".into())) && !effects.contains(&Effect::ShowWindow),
        "declined where it was shown: {effects:?}"
    );

    let id = world.knock("7");
    world.effects();
    world.input(Input::Notification(NotificationReply::Accept { id }));
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::ShowWindow) && effects.contains(&Effect::Notify(None)),
        "{effects:?}"
    );
    assert!(matches!(world.screen(), Screen::Waiting { .. }));
}

#[test]
fn a_search_that_finds_a_partner_calls_the_user_back_once() {
    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.input(Input::Focused(false));
    world.effects();
    world.call_event(matched());
    let effects = world.effects();
    let found = Notification::Found {
        name: Some("Bea".into()),
    };
    assert!(
        effects.contains(&Effect::Notify(Some(found))),
        "{effects:?}"
    );
    let tones = |effects: &[Effect]| {
        effects
            .iter()
            .filter(|effect| matches!(effect, Effect::PlayOnce(_)))
            .count()
    };
    assert_eq!(tones(&effects), 1);

    world.call_event(CallEventKind::Connected);
    assert_eq!(tones(&world.effects()), 0, "nothing rings twice");
    world.input(Input::Focused(true));
    assert!(world.effects().contains(&Effect::Notify(None)));
}

#[test]
fn the_ring_has_a_speaker_and_a_volume_of_its_own() {
    let mut world = World::connected_to_server();
    world
        .command(Command::SetRing {
            speaker: Some(NONE.into()),
            volume: 250,
        })
        .unwrap();
    world.effects();
    world.invite();
    world.knock("7");
    let effects = world.effects();
    let Some(Effect::Play(Some(spec))) = effects.last() else {
        panic!("it rings: {effects:?}")
    };
    assert_eq!(
        (spec.speaker.clone(), spec.volume),
        (AudioSink::None, 100),
        "at most all of it"
    );
}
