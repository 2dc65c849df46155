//! Rooms that a client has claimed: who may enter them, and how long the owner keeps them.

use super::*;

/// A search for a room; with `must_exist`, as an invite makes it.
fn find_in(room: &str, must_exist: bool) -> ClientMessage {
    ClientMessage::FindPartner(FindPartner {
        room: Some(room.into()),
        must_exist,
        ..FindPartner::default()
    })
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
fn a_room_without_a_claim_is_an_ordinary_one() {
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
