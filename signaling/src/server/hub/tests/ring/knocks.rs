//! A knock from its ring to its end.

use super::*;

#[test]
fn a_caller_rings_and_the_call_begins_with_accept() {
    let mut world = World::new();
    let (listener, caller) = (world.join(), world.join());
    world.say(listener, listen(&[PRIVATE]));
    assert!(ringing(&world.say(caller, call(PRIVATE))));

    let knock = match &world.take(listener)[..] {
        [ServerMessage::Knock(knock)] => knock.clone(),
        other => panic!("expected one knock: {other:?}"),
    };
    assert_eq!((&*knock.room, &*knock.user_name), (PRIVATE, "Ada"));
    assert_eq!(world.kinds(caller), [""; 0], "nothing before accept");
    assert!(world.hub.call(caller).is_none() && world.hub.call(listener).is_none());
    assert_eq!(
        code(&world.say(caller, candidate(world.socket(listener)))),
        ErrorCode::NotMatched,
        "nothing is relayed before accept"
    );

    let accept = Accept {
        user_name: Some("Ben".into()),
        ..knock.knock_id.into()
    };
    let heard = world.say(listener, ClientMessage::Accept(accept));
    let [ServerMessage::PartnerFound(found)] = &heard[..] else {
        panic!("expected a partner: {heard:?}")
    };
    assert!(!found.initiator, "the caller has waited longer");
    assert_eq!(found.user_name, "Ada");

    let heard = world.take(caller);
    let [ServerMessage::PartnerFound(found)] = &heard[..] else {
        panic!("expected a partner: {heard:?}")
    };
    assert!(found.initiator);
    assert_eq!(found.user_name, "Ben", "the profile of accept");

    assert_eq!(world.partner(caller), Some(listener));
    assert_eq!(world.knocks, [KnockEvent::Rung, KnockEvent::Accepted]);
    world.wait(120);
    assert_eq!(world.kinds(caller), [""; 0], "no timeout is left");
}

#[test]
fn who_declines_ends_the_search() {
    let mut world = World::new();
    let (listener, caller, knock) = world.ring();
    assert_eq!(world.decline(listener, knock.clone()).len(), 0);
    assert_eq!(failed(&world.take(caller)), ErrorCode::Declined);
    assert_eq!(world.knocks, [KnockEvent::Rung, KnockEvent::Declined]);

    for heard in [
        world.decline(listener, knock.clone()),
        world.accept(listener, knock),
        world.accept(caller, "no such".into()),
    ] {
        assert_eq!(code(&heard), ErrorCode::NoSuchKnock);
    }

    world.wait(3);
    assert!(
        ringing(&world.say(caller, call(PRIVATE))),
        "it still listens"
    );
}

#[test]
fn a_ring_ends_after_45_s() {
    let mut world = World::new();
    let (listener, caller, knock) = world.ring();
    world.wait(44);
    assert_eq!(world.kinds(caller), [""; 0]);
    world.wait(1);

    assert_eq!(failed(&world.take(caller)), ErrorCode::NoAnswer);
    assert_eq!(
        world.knock_ended(listener),
        (knock.clone(), KnockEnd::Expired)
    );
    assert_eq!(world.knocks, [KnockEvent::Rung, KnockEvent::Expired]);
    assert_eq!(
        code(&world.accept(listener, knock)),
        ErrorCode::NoSuchKnock,
        "too late"
    );
}

#[test]
fn the_error_that_ends_a_search_carries_its_id() {
    let mut world = World::new();
    let (listener, caller) = (world.join(), world.join());
    world.say(listener, listen(&[PRIVATE]));
    let search = ClientEnvelope {
        message: call(PRIVATE),
        id: Some("search".into()),
    };
    world.hub.receive(caller, search, world.now);
    world.settle();
    world.take(caller);
    let knock = world.knock(listener);
    world.decline(listener, knock);

    let ids: Vec<_> = world.inbox[&caller]
        .iter()
        .map(|envelope| (envelope.message.kind(), envelope.id.clone()))
        .collect();
    assert_eq!(
        ids,
        [("error", Some("search".into())), ("search_cancelled", None)]
    );
}

#[test]
fn a_knock_ends_however_the_caller_goes() {
    let goes: [fn(&mut World, ClientKey); 3] = [
        |world, caller| {
            world.say(caller, ClientMessage::CancelSearch);
        },
        |world, caller| {
            world.say(caller, ClientMessage::Bye);
        },
        World::lose,
    ];

    for go in goes {
        let mut world = World::new();
        let (listener, caller, knock) = world.ring();
        go(&mut world, caller);
        assert_eq!(world.knock_ended(listener), (knock, KnockEnd::Cancelled));
    }
}

#[test]
fn a_listener_has_one_knock_and_the_next_caller_waits() {
    let mut world = World::new();
    let listener = world.join();
    let callers: Vec<_> = (0..3).map(|_| world.join()).collect();
    world.say(listener, listen(&["a", "b", "c"]));
    assert!(ringing(&world.say(callers[0], call("b"))));
    let knock = world.knock(listener);

    assert!(!ringing(&world.say(callers[1], call("c"))));
    assert!(!ringing(&world.say(callers[2], call("a"))));
    assert_eq!(world.kinds(listener), [""; 0]);

    world.decline(listener, knock);
    assert!(ringing(&world.take(callers[1])), "it waited longer");
    assert_eq!(world.kinds(callers[2]), [""; 0]);
    let heard = world.say(callers[1], ClientMessage::CancelSearch);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(world.kinds(callers[2]), [""; 0], "not in the same moment");
    world.wait(3);
    assert!(ringing(&world.take(callers[2])));
}

#[test]
fn a_caller_rings_at_most_once_in_3_s() {
    let mut world = World::new();
    let (listener, caller, _) = world.ring();
    world.say(caller, ClientMessage::CancelSearch);
    world.take(listener);

    assert!(
        !ringing(&world.say(caller, call(PRIVATE))),
        "not so soon again"
    );
    world.wait(2);
    assert_eq!(world.kinds(listener), [""; 0]);
    world.wait(1);
    assert!(ringing(&world.take(caller)));
    world.knock(listener);

    for _ in 0..30 {
        world.say(caller, ClientMessage::CancelSearch);
        world.say(caller, call(PRIVATE));
    }
    world.take(listener);
    world.wait(30);
    let rung = |world: &World| {
        let is_rung = |event: &&KnockEvent| **event == KnockEvent::Rung;
        world.knocks.iter().filter(is_rung).count()
    };
    assert_eq!(rung(&world), 3, "30 searches at once are one knock");
}

#[test]
fn a_caller_that_registers_again_or_uses_many_connections_rings_once_in_three_seconds() {
    let mut world = World::new();
    let owner = world.join();
    let room = claim(&mut world, owner);
    world.say(owner, listen(&[&room, PRIVATE]));
    let is_rung = |event: &&KnockEvent| **event == KnockEvent::Rung;

    // Ten times a second, each time as a new user, for 12 s.
    for n in 0..120 {
        let caller = world.join();
        let room = if n % 2 == 0 { &*room } else { PRIVATE };
        world.say(caller, call(room));
        world.say(caller, ClientMessage::Bye);
        world.now += Duration::from_millis(100);
        world.wait(0);
    }
    assert_eq!(world.knocks.iter().filter(is_rung).count(), 4);

    // An honest caller rings when the three seconds are over, and the end of a ring that a person
    // has declined lets the next one in at once.
    let (honest, next) = (world.join(), world.join());
    world.say(honest, call(&room));
    world.say(next, call(&room));
    world.wait(3);
    world.take(owner);
    let listening = world.hub.clients[&owner]
        .listening
        .clone()
        .expect("it listens");
    let knock_id = listening.knock.expect("a knock").knock_id;
    world.say(owner, ClientMessage::Decline { knock_id });
    assert_eq!(failed_last(&world.take(honest)), ErrorCode::Declined);
    assert!(world.hub.listeners.is_ringing(next));
}

#[test]
fn a_blocked_caller_never_rings() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let partner_id = world.user(b);
    world.say(a, ClientMessage::Block { partner_id });
    world.take(b);
    world.say(a, listen(&[PRIVATE]));

    assert!(!ringing(&world.say(b, call(PRIVATE))), "it just waits");
    world.wait(60);
    assert_eq!(world.kinds(a), [""; 0]);
    assert_eq!(world.kinds(b), [""; 0]);
}

#[test]
fn a_block_ends_a_knock() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let (session_id, reason) = (world.session(a), None);
    world.say(a, ClientMessage::EndSession { session_id, reason });
    world.take(b);
    world.say(a, listen(&[PRIVATE]));
    world.say(b, call(PRIVATE));
    let knock = world.knock(a);

    let partner_id = world.user(b);
    let heard = world.say(a, ClientMessage::Block { partner_id });
    assert!(
        matches!(
            &heard[..],
            [ServerMessage::KnockEnded(_), ServerMessage::Blocked(_)]
        ),
        "{heard:?}"
    );
    assert!(!ringing(&world.take(b)), "it waits in vain");
    assert_eq!(code(&world.accept(a, knock)), ErrorCode::NoSuchKnock);
}

#[test]
fn a_knock_survives_a_resume_and_comes_again() {
    let mut world = World::new();
    let (listener, caller, knock) = world.ring();
    world.lose(listener);
    assert_eq!(world.kinds(caller), [""; 0], "the caller hears nothing");

    let (listener, heard) = world.come_back(listener, 0);
    let [ServerMessage::Resumed(_), ServerMessage::Knock(again)] = &heard[..] else {
        panic!("expected the knock again: {heard:?}")
    };
    assert_eq!(again.knock_id, knock);

    // The old connection still looks open.
    let (listener, heard) = world.come_back(listener, 0);
    assert_eq!(heard.len(), 2, "{heard:?}");
    world.accept(listener, knock);
    assert_eq!(world.partner(caller), Some(listener));
}

#[test]
fn a_client_that_was_away_learns_that_its_knock_has_ended() {
    let mut world = World::new();
    let (listener, caller, knock) = world.ring();
    world.lose(listener);
    world.say(caller, ClientMessage::CancelSearch);
    let (listener, heard) = world.come_back(listener, 0);
    let [ServerMessage::Resumed(_), ServerMessage::KnockEnded(ended)] = &heard[..] else {
        panic!("expected the end of the knock: {heard:?}")
    };
    assert_eq!(
        (&ended.knock_id, ended.reason),
        (&knock, KnockEnd::Cancelled)
    );

    // A knock that came and went while it was away was never heard of.
    world.lose(listener);
    world.wait(3);
    assert!(ringing(&world.say(caller, call(PRIVATE))));
    world.say(caller, ClientMessage::CancelSearch);
    let (_, heard) = world.come_back(listener, 0);
    assert_eq!(heard.len(), 1, "{heard:?}");
}
