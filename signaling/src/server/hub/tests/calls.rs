//! Calls: how they begin, what they relay, how they end, and draining.

use super::*;

#[test]
fn both_sides_learn_whether_both_come_from_private_addresses() {
    for (privately, expected) in [
        ([true, true], true),
        ([true, false], false),
        ([false, true], false),
        ([false, false], false),
    ] {
        let mut world = World::new();
        let keys = privately.map(|is_private| {
            let key = world.join();
            if is_private {
                world.hub.set_private(key);
            }

            key
        });
        assert_eq!(
            both_private(&mut world, keys),
            [expected; 2],
            "{privately:?}"
        );
    }
}

#[test]
fn who_resumes_comes_from_where_the_new_connection_does() {
    let mut world = World::new();
    let (first, second) = (world.join(), world.join());
    world.hub.set_private(first);
    world.hub.set_private(second);
    let (first, _) = world.come_back(first, 0);
    assert_eq!(both_private(&mut world, [first, second]), [false; 2]);
}

/// What `partner_found` says to these two, who search one after the other.
fn both_private(world: &mut World, [first, second]: [ClientKey; 2]) -> [bool; 2] {
    world.say(first, find());
    let heard = world.say(second, find());
    [world.take(first), heard].map(|heard| {
        let mut found = heard.iter().filter_map(|message| match message {
            ServerMessage::PartnerFound(found) => Some(found.both_private),
            _ => None,
        });
        found.next().expect("they are matched")
    })
}

#[test]
fn both_sides_learn_who_the_other_is_and_one_makes_the_offer() {
    let mut world = World::new();
    let (a, b) = (world.join(), world.join());
    let profile = FindPartner {
        user_name: Some("Jo".into()),
        user_age: Some(30),
        ..FindPartner::default()
    };

    world.say(a, ClientMessage::FindPartner(profile));
    let found_by_b = world.say(b, find());
    let found_by_a = world.take(a);
    let (
        [
            ServerMessage::Searching(_),
            ServerMessage::PartnerFound(of_b),
        ],
        [ServerMessage::PartnerFound(of_a)],
    ) = (&found_by_b[..], &found_by_a[..])
    else {
        panic!("{found_by_b:?} {found_by_a:?}")
    };

    assert_eq!(of_a.session_id, of_b.session_id, "one session");
    assert_ne!(
        of_a.initiator, of_b.initiator,
        "exactly one side makes the offer"
    );
    assert_eq!(
        (of_a.socket_id.clone(), of_b.socket_id.clone()),
        (world.socket(b), world.socket(a))
    );
    assert_eq!((of_b.user_name.as_str(), of_b.user_age), ("Jo", Some(30)));
    assert_eq!(
        (of_a.user_name.as_str(), of_a.user_age),
        ("Anonymous", None),
        "an age is never invented"
    );

    assert_eq!(
        (of_a.user_location.as_str(), &of_a.user_picture),
        ("Unknown", &None)
    );
}

#[test]
fn relayed_messages_are_numbered_and_reach_only_the_partner() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let (c, d) = world.pair();
    world.take(b);

    for expected in 1..=3 {
        assert!(
            world.say(a, candidate(world.socket(b))).is_empty(),
            "a relayed message gets no reply"
        );

        match &world.take(b)[..] {
            [ServerMessage::IceCandidate(relayed)] => {
                assert_eq!(relayed.seq, expected, "one more with each relayed message");
                assert_eq!(
                    (relayed.from.clone(), relayed.session_id.clone()),
                    (world.socket(a), world.session(a))
                );
            }
            other => panic!("expected one candidate: {other:?}"),
        }
    }

    for not_partner in [
        world.socket(c),
        world.socket(d),
        world.socket(a),
        "no-such-socket".into(),
    ] {
        assert_eq!(
            code(&world.say(a, candidate(not_partner))),
            ErrorCode::NotPartner
        );
    }

    world.take(c);
    world.take(d);
    let e = world.join();

    assert_eq!(
        code(&world.say(e, candidate(world.socket(a)))),
        ErrorCode::NotMatched,
        "being in no session counts before a wrong `to`"
    );

    assert!(
        world.inbox.values().all(Vec::is_empty),
        "no other client got anything: {:?}",
        world.inbox
    );
}

#[test]
fn the_partner_learns_why_a_call_ended() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let session = world.session(a);
    let wrong = ClientMessage::EndSession {
        session_id: "other".into(),
        reason: None,
    };

    assert_eq!(code(&world.say(a, wrong)), ErrorCode::NoSuchSession);
    let end = ClientMessage::EndSession {
        session_id: session,
        reason: None,
    };

    assert!(matches!(
        world.say(a, end.clone())[..],
        [ServerMessage::SessionEnded(_)]
    ));
    assert_eq!(left(&world.take(b)), LeaveReason::Left);
    assert_eq!(
        code(&world.say(a, end)),
        ErrorCode::NoSuchSession,
        "a call ends once"
    );

    assert_eq!(
        code(&world.say(b, candidate(world.socket(a)))),
        ErrorCode::NotMatched,
        "after partner_left"
    );

    let (a, b) = world.pair();
    world.take(b);
    world.say(a, ClientMessage::Next { session_id: None });

    assert_eq!(left(&world.take(b)), LeaveReason::Skipped);

    let (b, c) = (world.join(), a);
    world.say(b, find());
    world.take(c);
    world.take(b);
    world.lose(b);

    assert_eq!(world.kinds(c), ["partner_reconnecting"]);
    world.wait(29);
    assert!(world.take(c).is_empty(), "a call is kept for 30 s");
    world.wait(1);

    assert_eq!(left(&world.take(c)), LeaveReason::Disconnected);

    let (a, b) = world.pair();
    world.take(b);
    world.say(a, ClientMessage::Bye);

    assert_eq!(left(&world.take(b)), LeaveReason::Left);
    assert_eq!(world.closed.get(&a), Some(&CloseReason::Bye));
}

#[test]
fn searching_twice_or_in_a_call_is_refused() {
    let mut world = World::new();
    let a = world.join();
    assert!(matches!(
        world.say(a, ClientMessage::CancelSearch)[..],
        [ServerMessage::SearchCancelled]
    ));

    world.say(a, find());
    assert_eq!(code(&world.say(a, find())), ErrorCode::AlreadySearching);
    assert!(matches!(
        world.say(a, ClientMessage::CancelSearch)[..],
        [ServerMessage::SearchCancelled]
    ));

    let b = world.join();
    assert!(
        matches!(world.say(b, find())[..], [ServerMessage::Searching(_)]),
        "a client that cancelled is not matched"
    );

    world.say(a, find());
    assert_eq!(code(&world.say(a, find())), ErrorCode::AlreadyMatched);
    assert_eq!(
        code(&world.say(a, ClientMessage::CancelSearch)),
        ErrorCode::AlreadyMatched
    );
}

#[test]
fn pressing_next_twice_skips_once() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let c = world.join();
    world.say(c, find());
    let press = ClientMessage::Next {
        session_id: Some(world.session(a)),
    };

    let received: Vec<_> = world
        .say(a, press.clone())
        .iter()
        .map(ServerMessage::kind)
        .collect();
    assert_eq!(received, ["searching", "partner_found"], "c was waiting");
    let session = world.session(a);

    assert!(
        world.say(a, press).is_empty(),
        "the second press is for a call that is over"
    );
    assert_eq!(world.session(a), session, "c was not skipped");
    assert_eq!(world.kinds(b), ["partner_left"], "b was skipped once");
    assert_eq!(
        world.take(c).last().map(ServerMessage::kind),
        Some("partner_found")
    );
}

#[test]
fn next_keeps_the_profile_and_the_room() {
    let mut world = World::new();
    let (a, b) = (world.join(), world.join());
    world.say(a, in_room("r"));
    world.say(b, in_room("r"));

    match &world.say(a, ClientMessage::Next { session_id: None })[..] {
        [_, ServerMessage::Searching(searching)] => {
            assert_eq!(searching.room.as_deref(), Some("r"));
        }
        other => panic!("expected a search in the room: {other:?}"),
    }

    world.say(b, in_room("r"));
    assert!(
        world.hub.call(a).is_some(),
        "in a room, two can be matched again at once"
    );
}

#[test]
fn a_partner_just_left_is_only_matched_again_after_10_s() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.say(a, ClientMessage::Next { session_id: None });
    world.say(b, find());
    world.wait(9);

    assert!(world.hub.call(a).is_none(), "9 s are not enough");
    world.wait(1);
    assert!(world.hub.call(a).is_some(), "no one else searched for 10 s");

    world.say(a, ClientMessage::Next { session_id: None });
    world.say(b, find());
    let c = world.join();
    world.say(c, find());

    assert_eq!(
        world.partner(a),
        Some(c),
        "a new client comes before the partner just left"
    );
}

#[test]
fn replies_and_errors_carry_the_id_of_the_request() {
    let mut world = World::new();
    let a = world.join();
    let t = || RawValue::from_string("1".into()).unwrap();

    for message in [
        ClientMessage::CancelSearch,
        ClientMessage::Ping { t: t() },
        candidate("x".into()),
        find(),
    ] {
        world.hub.receive(
            a,
            ClientEnvelope {
                message,
                id: Some("i".into()),
            },
            world.now,
        );
        world.settle();
        let received = world.inbox.remove(&a).unwrap_or_default();
        assert!(
            received
                .iter()
                .all(|envelope| envelope.id == Some("i".into()))
                && received.len() == 1,
            "{received:?}"
        );
    }
}

#[test]
fn draining_lets_calls_end_and_starts_no_new_ones() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let (idle, searching) = (world.join(), world.join());
    world.say(searching, find());
    world.take(b);
    world.hub.drain(world.now);
    world.settle();

    for key in [idle, searching] {
        assert_eq!(
            world.closed.get(&key),
            Some(&CloseReason::Draining),
            "a client without a call is closed"
        );

        assert_eq!(
            world.take(key).last().map(ServerMessage::kind),
            Some("server_draining"),
            "and notified before"
        );
    }

    assert_eq!(world.kinds(a), ["server_draining"]);
    assert_eq!(
        code(&world.say(a, ClientMessage::Next { session_id: None })),
        ErrorCode::Draining
    );

    assert!(
        world.hub.call(a).is_some(),
        "a rejected message changes nothing"
    );

    world.say(
        a,
        ClientMessage::EndSession {
            session_id: world.session(a),
            reason: None,
        },
    );

    for key in [a, b] {
        assert_eq!(
            world.closed.get(&key),
            Some(&CloseReason::Draining),
            "the call is over"
        );
    }

    assert_eq!(world.kinds(b), ["server_draining", "partner_left"]);
}
