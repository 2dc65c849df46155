//! Calls, blocks, reports, tokens and draining: one rule per test.

use super::*;

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
fn a_block_ends_the_call_and_holds_while_both_are_there() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let received = world.say(
        a,
        ClientMessage::Block {
            partner_id: world.user(b),
        },
    );
    let received: Vec<_> = received.iter().map(ServerMessage::kind).collect();

    assert_eq!(received, ["session_ended", "blocked"]);
    assert_eq!(left(&world.take(b)), LeaveReason::Blocked);

    for key in [a, b] {
        world.say(key, in_room("r"));
    }

    world.wait(3600);
    assert!(
        world.hub.call(a).is_none(),
        "not in a room, and not after an hour"
    );

    assert_eq!(
        code(&world.say(
            a,
            ClientMessage::Block {
                partner_id: world.user(a)
            }
        )),
        ErrorCode::BadMessage
    );

    let unknown = world.say(
        a,
        ClientMessage::Block {
            partner_id: "gone".into(),
        },
    );

    assert!(
        matches!(unknown[..], [ServerMessage::Blocked(_)]),
        "blocking a user who is gone succeeds: that name never comes back"
    );

    let (c, _) = world.come_back(b, 0);
    for key in [a, c] {
        world.say(key, find());
    }

    world.wait(3600);
    assert!(
        world.hub.call(a).is_none(),
        "a block also holds after a resume"
    );

    world.lose(c);
    world.wait(30);
    assert!(
        world.hub.blocks.is_empty(),
        "blocks of clients that are gone take no memory"
    );
}

#[test]
fn a_call_can_be_reported_until_ten_minutes_after_its_end() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let (session, reported) = (world.session(a), world.user(b));
    let report = || ClientMessage::Report {
        session_id: session.clone(),
        category: ReportCategory::Spam,
        text: Some("x".into()),
    };

    let received = world.say(a, report());
    let [ServerMessage::ReportReceived(received)] = &received[..] else {
        panic!("{received:?}")
    };

    assert_eq!(world.reports[0].report_id, received.report_id);
    assert_eq!(
        (
            &world.reports[0].reported.user_id,
            &world.reports[0].session_id
        ),
        (&reported, &session)
    );

    world.say(b, ClientMessage::Bye);
    world.take(a);
    world.wait(599);

    assert!(
        matches!(
            world.say(a, report())[..],
            [ServerMessage::ReportReceived(_)]
        ),
        "even when the partner is gone"
    );
    assert_eq!(world.reports[1].reported.user_id, reported);
    world.wait(1);

    assert_eq!(
        code(&world.say(a, report())),
        ErrorCode::NoSuchSession,
        "ten minutes are over"
    );

    let unknown = ClientMessage::Report {
        session_id: "x".into(),
        category: ReportCategory::Spam,
        text: None,
    };

    assert_eq!(code(&world.say(a, unknown)), ErrorCode::NoSuchSession);
    let (c, _) = world.pair();
    world.hub.config.takes_reports = false;
    let current = ClientMessage::Report {
        session_id: world.session(c),
        category: ReportCategory::Minor,
        text: None,
    };

    world.take(c);
    assert_eq!(
        code(&world.say(c, current)),
        ErrorCode::Unavailable,
        "the server does not record reports, and says so"
    );
}

#[test]
fn a_person_with_a_token_stays_blocked_and_is_not_matched_with_itself() {
    let mut world = World::new();
    let join = |world: &mut World, subject: &str| {
        let key = world.hub.connect(Some(subject.into()));
        world.settle();
        world.take(key);

        key
    };

    let (a, b) = (join(&mut world, "ann"), join(&mut world, "ann"));
    world.say(a, find());
    world.say(b, find());
    world.wait(60);

    assert!(world.hub.call(a).is_none(), "two devices of one person");
    let c = join(&mut world, "bob");
    world.say(c, find());
    world.say(
        c,
        ClientMessage::Block {
            partner_id: world.user(a),
        },
    );

    for key in [a, b, c] {
        world.say(key, ClientMessage::Bye);
    }

    let (a, c) = (join(&mut world, "ann"), join(&mut world, "bob"));
    world.say(a, find());
    world.say(c, find());
    world.wait(60);

    assert!(
        world.hub.call(a).is_none(),
        "ann and bob are never matched again, whatever their userIds"
    );

    let stolen = world.hub.clients[&a].token.as_str().to_owned();
    let thief = join(&mut world, "eve");
    let resume = ClientMessage::Resume {
        resume_token: stolen,
        last_seq: 0,
    };

    assert_eq!(
        code(&world.say(thief, resume)),
        ErrorCode::Unauthorized,
        "a resume token does not carry an identity"
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

/// A search for a room; with `must_exist`, as an invite makes it.
fn find_in(room: &str, must_exist: bool) -> ClientMessage {
    ClientMessage::FindPartner(FindPartner {
        room: Some(room.into()),
        must_exist,
        ..FindPartner::default()
    })
}

fn claim(world: &mut World, key: ClientKey) -> String {
    world.take(key);
    match &world.say(key, ClientMessage::ClaimRoom(ClaimRoom::default()))[..] {
        [ServerMessage::RoomClaimed(claimed)] => {
            assert_eq!(claimed.expires_ms, 600_000);
            claimed.room.clone()
        }
        other => panic!("expected a room: {other:?}"),
    }
}

#[test]
fn a_claimed_room_can_only_be_entered_by_invitation() {
    let mut world = World::new();
    let (owner, guest, stranger) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, owner);
    assert_eq!(room.len(), 1, "as short as possible: {room}");

    world.say(owner, find_in(&room, true));
    assert_eq!(
        code(&world.say(stranger, find_in(&room, false))),
        ErrorCode::NoSuchRoom,
        "a guess does not let anyone in"
    );

    world.found_rooms.clear();
    world.say(guest, find_in(&room, true));
    assert_eq!(world.partner(guest), Some(owner));
    assert_eq!(world.found_rooms, [guest], "this was no failed guess");
}

#[test]
fn only_a_room_that_does_not_exist_is_a_failed_guess() {
    let mut world = World::new();
    let (owner, guest) = (world.join(), world.join());
    let room = claim(&mut world, owner);

    assert_eq!(
        code(&world.say(guest, find_in("999", true))),
        ErrorCode::NoSuchRoom
    );
    assert!(world.found_rooms.is_empty(), "this was a failed guess");

    world.say(guest, find_in(&room, true));
    assert_eq!(world.found_rooms, [guest], "the room exists");

    world.found_rooms.clear();
    assert_eq!(
        code(&world.say(guest, find_in(&room, true))),
        ErrorCode::AlreadySearching,
        "the guest still waits for the owner"
    );
    assert_eq!(
        world.found_rooms,
        [guest],
        "the address is not charged for a search that was not made"
    );
}

#[test]
fn next_does_not_enter_a_room_that_was_claimed_meanwhile() {
    let mut world = World::new();
    let (first, second) = (world.join(), world.join());
    world.say(first, find_in("1", false));
    world.say(second, find_in("1", false));
    assert_eq!(world.partner(first), Some(second));

    // No one had claimed the number. Each owner claims a few, until it is that one.
    while {
        let owner = world.join();
        claim(&mut world, owner) != "1"
    } {}

    let answers = world.say(first, ClientMessage::Next { session_id: None });
    let [
        ..,
        ServerMessage::Error(report),
        ServerMessage::SearchCancelled,
    ] = &answers[..]
    else {
        panic!("it must not search: {answers:?}")
    };
    assert_eq!(report.code, ErrorCode::NoSuchRoom);
    assert_eq!(world.partner(first), None, "the call is over");
}

#[test]
fn guests_in_a_claimed_room_wait_for_its_owner_who_may_be_away() {
    let mut world = World::new();
    let (owner, first, second) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, owner);
    world.say(first, find_in(&room, true));
    world.lose(owner);

    let heard = world.say(second, find_in(&room, true));
    assert!(
        matches!(heard[..], [ServerMessage::Searching(_)]),
        "the two guests do not meet: {heard:?}"
    );
    world.wait(29);
    assert_eq!(world.partner(first), None);

    let (owner, _) = world.come_back(owner, 0);
    world.say(owner, find_in(&room, true));
    assert_eq!(world.partner(owner), Some(first), "the longest wait first");

    let session_id = world.session(owner);
    world.take(second);
    let reason = None;
    world.say(owner, ClientMessage::EndSession { session_id, reason });
    assert_eq!(world.kinds(second), [""; 0], "the owner may come back");
    world.say(owner, find_in(&room, true));
    assert_eq!(world.partner(owner), Some(second));
}

#[test]
fn the_end_of_a_claim_ends_the_searches_of_all_guests() {
    let mut world = World::new();
    let (owner, first, second) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, owner);
    for guest in [first, second] {
        world.say(guest, find_in(&room, true));
    }

    world.say(owner, ClientMessage::Bye);
    world.wait(599);
    for guest in [first, second] {
        assert_eq!(world.kinds(guest), [""; 0], "the claim is held");
    }

    world.wait(1);
    for guest in [first, second] {
        assert_eq!(world.kinds(guest), ["error", "search_cancelled"]);
    }
}

#[test]
fn next_in_a_claimed_room_does_not_lead_to_a_guest_who_waits_for_the_owner() {
    let mut world = World::new();
    let (owner, first, second) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, owner);
    for key in [owner, first, second] {
        world.say(key, find_in(&room, true));
    }
    assert_eq!(world.partner(owner), Some(first));

    world.say(first, ClientMessage::Next { session_id: None });
    assert_eq!(world.partner(first), None);
    assert_eq!(world.partner(second), None, "they do not meet");
    world.take(first);
    world.wait(60);
    for guest in [first, second] {
        assert_eq!(
            world.kinds(guest),
            ["error", "search_cancelled"],
            "the owner did not come back"
        );
    }
}

#[test]
fn a_room_that_nobody_claimed_is_an_ordinary_one() {
    let mut world = World::new();
    let (a, b, c) = (world.join(), world.join(), world.join());
    assert_eq!(
        code(&world.say(a, find_in("7", true))),
        ErrorCode::NoSuchRoom
    );
    assert_eq!(
        code(&world.say(a, find_in("garden-42", true))),
        ErrorCode::NoSuchRoom
    );

    for room in ["7", "garden-42"] {
        world.say(a, find_in(room, false));
        world.say(b, find_in(room, true));
        assert_eq!(world.partner(a), Some(b), "someone waits in {room}");
        let session_id = world.session(a);
        world.say(
            a,
            ClientMessage::EndSession {
                session_id,
                reason: None,
            },
        );
    }

    world.say(a, find_in("3", false));
    let claimed: Vec<String> = (0..8).map(|_| claim(&mut world, c)).collect();
    assert!(
        !claimed.contains(&"3".to_owned()),
        "a room in use is not given away: {claimed:?}"
    );
}

/// Ends the call of this client.
fn end(world: &mut World, key: ClientKey) {
    let (session_id, reason) = (world.session(key), None);
    world.say(key, ClientMessage::EndSession { session_id, reason });
}

fn claim_again(former: &FormerClaim) -> ClientMessage {
    ClientMessage::ClaimRoom(ClaimRoom {
        former: Some(former.clone()),
    })
}

#[test]
fn a_room_is_free_a_minute_after_its_call_and_ten_after_its_owner_has_left() {
    let mut world = World::new();
    let (owner, guest, other) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, owner);
    world.say(owner, find_in(&room, true));
    world.say(guest, find_in(&room, true));
    end(&mut world, guest);

    world.wait(59);
    assert_eq!(
        code(&world.say(other, find_in(&room, false))),
        ErrorCode::NoSuchRoom,
        "a guess still does not let anyone in"
    );
    world.say(other, find_in(&room, true));
    world.say(other, ClientMessage::CancelSearch);
    world.wait(1);
    assert_eq!(
        code(&world.say(other, find_in(&room, true))),
        ErrorCode::NoSuchRoom,
        "the call is over"
    );

    let room = claim(&mut world, owner);
    world.lose(owner);
    world.wait(30);
    world.say(other, find_in(&room, true));
    world.say(other, ClientMessage::CancelSearch);
    world.wait(599);
    world.say(other, find_in(&room, true));
    world.say(other, ClientMessage::CancelSearch);
    world.wait(1);
    assert_eq!(
        code(&world.say(other, find_in(&room, true))),
        ErrorCode::NoSuchRoom,
        "ten minutes after the resume window"
    );
}

#[test]
fn two_whose_call_failed_try_again_with_the_same_invite() {
    for guest_first in [true, false] {
        let mut world = World::new();
        let (owner, guest) = (world.join(), world.join());
        let room = claim(&mut world, owner);
        world.say(owner, find_in(&room, true));
        world.say(guest, find_in(&room, true));

        for _ in 0..3 {
            end(&mut world, owner);
            world.wait(50);
            let (first, second) = if guest_first {
                (guest, owner)
            } else {
                (owner, guest)
            };
            world.say(first, find_in(&room, true));
            if first == owner {
                world.wait(600);
                assert!(
                    world.hub.is_searching(owner),
                    "it waits as long as it likes"
                );
            }
            world.say(second, find_in(&room, true));
            assert_eq!(world.partner(owner), Some(guest));
        }
    }
}

#[test]
fn an_owner_that_leaves_its_call_keeps_the_room_no_longer_than_a_minute() {
    let mut world = World::new();
    let (owner, guest) = (world.join(), world.join());
    let room = claim(&mut world, owner);
    world.say(owner, find_in(&room, true));
    world.say(guest, find_in(&room, true));
    world.say(owner, ClientMessage::Bye);

    world.say(guest, find_in(&room, true));
    world.take(guest);
    world.wait(59);
    assert_eq!(world.kinds(guest), [""; 0]);
    world.wait(1);
    assert_eq!(world.kinds(guest), ["error", "search_cancelled"]);
}

#[test]
fn only_the_owner_releases_a_room_and_that_is_at_once() {
    let mut world = World::new();
    let (owner, guest, other) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, owner);
    world.say(guest, find_in(&room, true));
    let release = || ClientMessage::ReleaseRoom { room: room.clone() };
    let unclaimed = ClientMessage::ReleaseRoom { room: "999".into() };
    let refusals = [world.say(other, release()), world.say(other, unclaimed)];
    assert_eq!(
        refusals[0]
            .iter()
            .map(|m| format!("{m:?}"))
            .collect::<Vec<_>>(),
        refusals[1]
            .iter()
            .map(|m| format!("{m:?}"))
            .collect::<Vec<_>>(),
        "the answer does not tell whether a room is claimed"
    );
    assert_eq!(code(&refusals[0]), ErrorCode::NoSuchRoom);
    assert_eq!(world.kinds(guest).last(), None, "the guest waits on");

    let heard = world.say(owner, release());
    let [ServerMessage::RoomReleased(released)] = &heard[..] else {
        panic!("expected the end of the claim: {heard:?}")
    };
    assert_eq!(released.room, room);
    assert_eq!(world.kinds(guest), ["error", "search_cancelled"]);
    assert_eq!(code(&world.say(owner, release())), ErrorCode::NoSuchRoom);
}

#[test]
fn an_owner_that_becomes_a_new_user_gets_its_number_back_with_the_token() {
    let mut world = World::new();
    let (owner, guest, thief) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, owner);
    let former = world.claims[0].clone();
    world.say(guest, find_in(&room, true));
    world.say(owner, ClientMessage::Bye);
    world.wait(599);

    // A wrong token gives another room, as an old server would.
    let wrong = FormerClaim {
        claim_token: "0".repeat(64).into(),
        ..former.clone()
    };
    world.say(thief, claim_again(&wrong));
    assert_ne!(world.claims[1].room, room);

    let owner = world.join();
    let heard = world.say(owner, claim_again(&former));
    let [ServerMessage::RoomClaimed(claimed)] = &heard[..] else {
        panic!("expected a room: {heard:?}")
    };
    assert_eq!(claimed.room, room);
    assert_eq!(claimed.claim_token.as_ref(), Some(&former.claim_token));

    world.wait(600);
    assert!(world.hub.is_searching(guest), "the room is held again");
    world.say(owner, find_in(&room, true));
    assert_eq!(world.partner(owner), Some(guest));

    // After the claim the token is worth nothing.
    world.say(owner, ClientMessage::Bye);
    world.wait(60);
    world.say(thief, claim_again(&former));
    let given = &world.claims.last().expect("a claim").claim_token;
    assert_ne!(*given, former.claim_token);
}

#[test]
fn the_former_user_of_a_room_is_a_guest_there() {
    let mut world = World::new();
    let (former, owner, guest) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, former);
    let token = world.claims[0].clone();
    world.say(former, find_in(&room, true));

    // A search is compared with others when it begins.
    world.say(owner, find_in(&room, false));
    world.say(owner, find());
    assert_eq!(
        code(&world.say(owner, claim_again(&token))),
        ErrorCode::AlreadySearching
    );
    world.say(owner, ClientMessage::CancelSearch);

    world.say(owner, claim_again(&token));
    world.say(guest, find_in(&room, true));
    assert_eq!(world.partner(guest), None, "it waits for the owner");
    world.say(owner, find_in(&room, true));
    assert_eq!(world.partner(owner), Some(former), "the longest wait first");
}

#[test]
fn eight_guests_wait_in_a_claimed_room_and_a_ninth_is_told_to_try_again() {
    let mut world = World::new();
    let owner = world.join();
    let room = claim(&mut world, owner);
    let guests: Vec<ClientKey> = (0..8).map(|_| world.join()).collect();
    for &guest in &guests {
        let heard = world.say(guest, find_in(&room, true));
        assert!(
            matches!(heard[..], [ServerMessage::Searching(_)]),
            "{heard:?}"
        );
    }

    let ninth = world.join();
    world.found_rooms.clear();
    let heard = world.say(ninth, find_in(&room, true));
    let [ServerMessage::Error(report)] = &heard[..] else {
        panic!("expected an error: {heard:?}")
    };
    assert_eq!(
        (report.code, report.retry_after_ms),
        (ErrorCode::QueueFull, Some(5_000))
    );
    assert_eq!(world.found_rooms, [ninth], "it was no failed guess");

    // The owner is let in, and one more guest fits in again.
    world.say(owner, find_in(&room, true));
    assert_eq!(world.partner(owner), Some(guests[0]));
    let heard = world.say(ninth, find_in(&room, true));
    assert!(
        matches!(heard[..], [ServerMessage::Searching(_)]),
        "{heard:?}"
    );

    // `next` is a search, too.
    world.say(guests[0], ClientMessage::Next { session_id: None });
    assert_eq!(world.partner(guests[0]), None);
    assert!(!world.hub.is_searching(guests[0]));
}

#[test]
fn a_full_room_lets_in_the_guest_who_meets_its_owner_at_once() {
    let mut world = World::new();
    let owner = world.join();
    let room = claim(&mut world, owner);
    let blocked: Vec<ClientKey> = (0..9).map(|_| world.join()).collect();
    for &guest in &blocked {
        let partner_id = world.user(guest);
        world.say(owner, ClientMessage::Block { partner_id });
        world.say(guest, find_in(&room, true));
    }
    world.say(owner, find_in(&room, true));
    assert!(!world.hub.is_searching(blocked[8]), "too many");
    assert_eq!(
        code(&world.say(blocked[8], find_in(&room, true))),
        ErrorCode::QueueFull,
        "it would only wait"
    );

    let guest = world.join();
    world.say(guest, find_in(&room, true));
    assert_eq!(world.partner(owner), Some(guest));
}
