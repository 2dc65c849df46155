//! Scenarios of calls: from the search to the end, and again.

use super::*;
use crate::desktop::state::ServerStatus;
use tandem_call::ConnectProblem;

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
        mismatch: None,
        problem: None,
        cause: None,
        duration_ms: Some(30_000),
        name: Some("Bea".into()),
        other_server: None,
        asks_direct_at: None,
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
fn two_with_a_code_who_did_not_get_through_wait_for_each_other_again() {
    let mut world = World::new();
    world
        .command(Command::CallWithCode {
            code: "blue".into(),
        })
        .unwrap();
    world.call_event(matched());
    world.call_event(ended(EndCode::PartnerLeft));
    assert!(
        matches!(world.screen(), Screen::Waiting { search, .. } if *search == blue()),
        "{:?}",
        world.screen()
    );
}

#[test]
fn the_reason_why_no_connection_is_up_yet_is_shown_while_it_holds() {
    let shown = |world: &World| match world.screen() {
        Screen::Connecting { problem, .. } => *problem,
        screen => panic!("{screen:?}"),
    };

    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.call_event(matched());
    assert_eq!(shown(&world), None);
    let blocked = Some(ConnectProblem::UdpBlocked);
    world.call_event(CallEventKind::ConnectTrouble(blocked));
    assert_eq!(shown(&world), blocked);
    world.wait(SLOW_CONNECTION_AFTER);
    assert_eq!(shown(&world), blocked, "also when it takes long");
    world.call_event(CallEventKind::ConnectTrouble(None));
    assert_eq!(shown(&world), None);

    world.call_event(CallEventKind::ConnectTrouble(blocked));
    world.call_event(CallEventKind::Connected);
    assert!(matches!(world.screen(), Screen::InCall(_)), "a route came");
    world.call_event(CallEventKind::Searching);
    world.call_event(matched());
    assert_eq!(shown(&world), None, "of the next partner");
}

#[test]
fn a_connection_that_does_not_come_up_can_be_tried_again() {
    for (recents, room) in [(vec![recent("a1", "Bea")], "a1"), (Vec::new(), "7")] {
        let mut world = World::with(Settings::default(), recents, at_server());
        let command = match world.app.state().recents.first() {
            Some(bea) => Command::CallRecent { id: bea.id },
            None => Command::CallWithCode {
                code: "7-garden-lantern".into(),
            },
        };
        world.command(command).unwrap();
        world.call_event(matched());
        world.wait(SLOW_CONNECTION_AFTER);
        assert!(
            matches!(
                world.screen(),
                Screen::Connecting {
                    timed_out: true,
                    can_retry: true,
                    ..
                }
            ),
            "{:?}",
            world.screen()
        );

        world.effects();
        world.command(Command::Retry).unwrap();
        let plan = world.start_call_plan();
        assert!(
            matches!(&plan.goal, CallGoal::Room { room: found, .. } if found == room),
            "{:?}",
            plan.goal
        );

        world.call_event(matched());
        world.call_event(ended(EndCode::ConnectTimeout));
        assert!(
            matches!(world.screen(), Screen::Ended { again: Some(_), .. }),
            "also on the last screen"
        );

        world.command(Command::Next).unwrap();
        world.find_partner();
        world.command(Command::HangUp).unwrap();
        let is_offered = matches!(world.screen(), Screen::Ended { again: Some(_), .. });
        assert_eq!(is_offered, room == "a1", "an invite serves one call");
    }
}
