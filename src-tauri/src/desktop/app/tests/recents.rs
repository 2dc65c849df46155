//! Scenarios of people of earlier calls.

use super::*;

#[test]
fn people_of_earlier_calls_can_be_rung_and_can_ring() {
    let mut world = World::connected_to_server();
    world
        .command(Command::CallWithCode {
            code: "7-garden-lantern".into(),
        })
        .unwrap();
    world.call_known("a1");

    let Screen::Ended {
        again: Some(again), ..
    } = world.screen()
    else {
        panic!("ended")
    };
    let bea = Search::Person {
        name: Some("Bea".into()),
    };
    assert_eq!(*again, bea, "the invite is used, but Bea can be rung");
    let recents = world.app.state().recents.clone();
    assert_eq!(recents.len(), 1);
    assert_eq!(recents[0].name.as_deref(), Some("Bea"));
    let effects = world.effects();
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::SaveRecents(saved) if saved.len() == 1))
    );
    world.line(LineEvent::Connected { user: "me".into() });

    // Bea rings.
    let id = world.knock("a1");
    let incoming = world.app.state().incoming.as_ref().unwrap();
    assert_eq!(incoming.kind, CallerKind::Known);
    world.command(Command::DeclineCall { id }).unwrap();

    // This side rings, and Bea's Tandem rings.
    world.command(Command::Next).unwrap();
    let plan = world.start_call_plan();
    assert_eq!(
        plan.goal,
        CallGoal::Room {
            room: "a1".into(),
            must_exist: true,
        }
    );
    world.call_event(CallEventKind::Ringing(true));
    let effects = world.effects();
    assert!(
        matches!(
            &effects[..],
            [Effect::Play(Some(ToneSpec {
                tone: Tone::Ringback,
                ..
            }))]
        ),
        "{effects:?}"
    );

    // The next call replaces the room.
    world.call_known("b2");
    assert_eq!(
        world.app.meeting_rooms(),
        ["b2"],
        "one entry for one person"
    );

    // So it does on the side that answers.
    world.line(LineEvent::Connected { user: "me".into() });
    let id = world.knock("b2");
    world
        .command(Command::AcceptCall { id, video: true })
        .unwrap();
    world.call_known("c3");
    assert_eq!(world.app.meeting_rooms(), ["c3"]);
}

#[test]
fn a_stranger_does_not_become_an_acquaintance() {
    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.call_known("a1");
    assert_eq!(world.app.state().recents, []);
}

#[test]
fn the_lobby_listens_for_twenty_people_at_its_server() {
    let mut recents: Vec<_> = (0..25).map(|n| recent(&format!("r{n}"), "Bea")).collect();
    recents[0].server = "wss://other.example.org".parse().unwrap();
    let mut world = World::with(Settings::default(), recents, at_server());
    let rooms = world.line_use().rooms;
    assert_eq!(rooms.len(), 20);
    assert!(
        !rooms.contains(&"r0".to_owned()),
        "not for those of other servers"
    );

    world.command(Command::ClearRecents).unwrap();
    assert_eq!(world.line_use(), LineUse::default());
}

#[test]
fn a_recent_call_can_be_removed() {
    let recents = vec![recent("a", "Ann"), recent("b", "Bea")];
    let mut world = World::with(Settings::default(), recents, Launch::default());
    let ann = world.app.state().recents[0].id;
    world.command(Command::RemoveRecent { id: ann }).unwrap();
    let names: Vec<_> = world
        .app
        .state()
        .recents
        .iter()
        .map(|recent| recent.name.as_deref())
        .collect();
    assert_eq!(names, [Some("Bea")]);
    assert_eq!(
        world.command(Command::CallRecent { id: ann }),
        Err(CommandErrorCode::UnknownRecent)
    );
}

#[test]
fn a_guest_of_the_embedded_server_is_not_remembered() {
    let mut world = World::new();
    world.command(Command::StartHost { lan: true }).unwrap();
    world.input(Input::HostStarted {
        local_url: "ws://127.0.0.1:2".parse().unwrap(),
        addresses: vec!["ws://192.168.1.2:2".parse().unwrap()],
    });
    world
        .command(Command::CallWithCode {
            code: "blue".into(),
        })
        .unwrap();
    world.call_known("a1");
    assert_eq!(
        world.app.state().recents,
        [],
        "the server has another address next time"
    );
}
