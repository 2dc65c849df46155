//! Ringing in rooms that a client has claimed.

use super::*;

#[test]
fn only_its_owner_listens_in_a_claimed_room() {
    let mut world = World::new();
    let (owner, intruder, guest) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, owner);

    assert_eq!(accepted(&world.say(intruder, listen(&[&room, PRIVATE]))), 1);
    assert_eq!(
        accepted(&world.say(intruder, listen(&["999"]))),
        0,
        "nor in a number that may be claimed later"
    );
    assert_eq!(accepted(&world.say(owner, listen(&[&room, PRIVATE]))), 2);
    assert_eq!(
        code(&world.say(guest, in_room(&room))),
        ErrorCode::NoSuchRoom,
        "a guess does not ring"
    );

    assert!(ringing(&world.say(guest, call(&room))));
    let knock = world.knock(owner);
    assert_eq!(
        code(&world.accept(intruder, knock.clone())),
        ErrorCode::NoSuchKnock
    );
    world.accept(owner, knock);
    assert_eq!(world.partner(guest), Some(owner));

    world.take(guest);
    let session_id = world.session(guest);
    let reason = None;
    world.say(guest, ClientMessage::EndSession { session_id, reason });
    assert_eq!(
        accepted(&world.say(intruder, listen(&[&room]))),
        0,
        "it is still the owner's"
    );
    world.wait(60);
    assert_eq!(
        code(&world.say(intruder, call(&room))),
        ErrorCode::NoSuchRoom,
        "the room is free after its call"
    );
}

#[test]
fn after_a_call_that_failed_the_guest_rings_again() {
    let mut world = World::new();
    let (owner, guest) = (world.join(), world.join());
    let room = claim(&mut world, owner);
    world.say(owner, listen(&[&room]));
    for _ in 0..3 {
        assert!(ringing(&world.say(guest, call(&room))));
        let knock = world.knock(owner);
        world.accept(owner, knock);
        let (session_id, reason) = (world.session(guest), None);
        world.say(guest, ClientMessage::EndSession { session_id, reason });
        world.wait(59);
        world.take(owner);
        assert_eq!(accepted(&world.say(owner, listen(&[&room]))), 1);
        world.wait(61);
    }

    assert!(world.hub.rooms.is_claimed(room.parse().expect("a number")));
}

#[test]
fn a_room_that_is_claimed_again_rings_at_its_new_user() {
    let mut world = World::new();
    let (former, owner, guest) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, former);
    let token = world.claims[0].clone();
    world.say(former, listen(&[&room, PRIVATE]));
    world.say(guest, call(&room));
    world.take(former);
    world.take(guest);

    let former_claim = Some(token);
    world.say(
        owner,
        ClientMessage::ClaimRoom(ClaimRoom {
            former: former_claim,
        }),
    );
    assert_eq!(world.knock_ended(former).1, KnockEnd::Cancelled);
    assert!(!ringing(&world.take(guest)), "it waits for the owner");

    world.wait(3);
    assert_eq!(accepted(&world.say(former, listen(&[&room]))), 0);
    assert_eq!(accepted(&world.say(owner, listen(&[&room]))), 1);
    assert!(ringing(&world.take(guest)));
}

#[test]
fn in_a_claimed_room_the_caller_waits_for_the_owner_while_the_claim_is_held() {
    let mut world = World::new();
    let (owner, caller) = (world.join(), world.join());
    let room = claim(&mut world, owner);
    world.say(owner, listen(&[&room]));
    world.say(caller, call(&room));
    world.wait(3);
    world.say(owner, listen(&[]));
    assert!(!ringing(&world.take(caller)), "it waits");

    world.say(owner, listen(&[&room]));
    assert!(ringing(&world.take(caller)), "and rings again");
    world.say(owner, ClientMessage::Bye);
    assert!(!ringing(&world.take(caller)));
    world.wait(599);
    assert_eq!(world.kinds(caller), [""; 0]);
    world.wait(1);
    assert_eq!(failed(&world.take(caller)), ErrorCode::NoSuchRoom);
}

#[test]
fn guests_of_a_claimed_room_ring_one_after_the_other() {
    let mut world = World::new();
    let (owner, first, second) = (world.join(), world.join(), world.join());
    let room = claim(&mut world, owner);
    world.say(owner, listen(&[&room]));
    assert!(ringing(&world.say(first, call(&room))));
    let knock_id = world.knock(owner);

    assert!(!ringing(&world.say(second, call(&room))), "it waits");
    assert_eq!(world.kinds(first), [""; 0], "the guests do not meet");
    assert_eq!(world.kinds(owner), [""; 0], "one knock at a time");

    let heard = world.say(owner, ClientMessage::Decline { knock_id });
    let [ServerMessage::Knock(next)] = &heard[..] else {
        panic!("expected the next knock: {heard:?}")
    };
    assert_eq!(failed(&world.take(first)), ErrorCode::Declined);
    assert!(ringing(&world.take(second)), "its turn");

    let third = world.join();
    assert!(!ringing(&world.say(third, call(&room))));
    world.accept(owner, next.knock_id.clone());
    assert_eq!(world.partner(owner), Some(second));
    assert_eq!(
        world.kinds(third),
        [""; 0],
        "the claim lasts as long as the call"
    );

    let (session_id, reason) = (world.session(owner), None);
    world.say(owner, ClientMessage::EndSession { session_id, reason });
    assert_eq!(world.kinds(third), [""; 0], "the owner may come back");
    world.wait(60);
    assert_eq!(failed(&world.take(third)), ErrorCode::NoSuchRoom);
}

#[test]
fn a_room_that_its_owner_loses_to_a_newer_one_rings_no_more() {
    let mut world = World::new();
    let (owner, caller) = (world.join(), world.join());
    let room = claim(&mut world, owner);
    world.say(owner, listen(&[&room, PRIVATE]));
    world.say(caller, call(&room));
    world.take(owner);

    let heard: Vec<_> = (0..8)
        .flat_map(|_| world.say(owner, ClientMessage::ClaimRoom(ClaimRoom::default())))
        .map(|message| message.kind())
        .collect();
    assert_eq!(heard.last(), Some(&"knock_ended"), "{heard:?}");
    assert_eq!(failed(&world.take(caller)), ErrorCode::NoSuchRoom);

    world.wait(3);
    assert!(
        ringing(&world.say(caller, call(PRIVATE))),
        "it still listens in the other room"
    );
}
