//! Ringing: listeners, knocks, and what callers hear.

use super::*;
use crate::message::{Accept, KnockEnd, KnockId};

/// 128 random bits, as text.
const PRIVATE: &str = "3f9a1c77b2d84e5f9a6b0c1d2e3f4a5b";

fn listen(rooms: &[&str]) -> ClientMessage {
    ClientMessage::Listen {
        rooms: rooms.iter().map(|&room| room.into()).collect(),
    }
}

/// A search for a room that must exist, as a call to a known person makes it.
fn call(room: &str) -> ClientMessage {
    ClientMessage::FindPartner(FindPartner {
        user_name: Some("Ada".into()),
        room: Some(room.into()),
        must_exist: true,
        ..FindPartner::default()
    })
}

fn claim(world: &mut World, key: ClientKey) -> String {
    match &world.say(key, ClientMessage::ClaimRoom(ClaimRoom::default()))[..] {
        [ServerMessage::RoomClaimed(claimed)] => claimed.room.clone(),
        other => panic!("expected a room: {other:?}"),
    }
}

/// Whether the only message is `searching`, with `ringing` as it says.
fn ringing(messages: &[ServerMessage]) -> bool {
    match messages {
        [ServerMessage::Searching(searching)] => searching.ringing,
        other => panic!("expected one searching: {other:?}"),
    }
}

fn accepted(messages: &[ServerMessage]) -> usize {
    match messages {
        [ServerMessage::Listening(listening), ..] => listening.rooms,
        other => panic!("expected listening: {other:?}"),
    }
}

/// The code of the error with which a search has ended, after anything else.
fn failed_last(messages: &[ServerMessage]) -> ErrorCode {
    failed(messages.last_chunk::<2>().expect("the end of a search"))
}

/// The error and then the end of a search.
fn failed(messages: &[ServerMessage]) -> ErrorCode {
    match messages {
        [ServerMessage::Error(report), ServerMessage::SearchCancelled] => report.code,
        other => panic!("expected the end of a search: {other:?}"),
    }
}

impl World {
    /// The only thing that this client got: a knock.
    fn knock(&mut self, key: ClientKey) -> KnockId {
        match &self.take(key)[..] {
            [ServerMessage::Knock(knock)] => knock.knock_id.clone(),
            other => panic!("expected one knock: {other:?}"),
        }
    }

    /// The only thing that this client got: the end of a knock.
    fn knock_ended(&mut self, key: ClientKey) -> (KnockId, KnockEnd) {
        match &self.take(key)[..] {
            [ServerMessage::KnockEnded(ended)] => (ended.knock_id.clone(), ended.reason),
            other => panic!("expected the end of a knock: {other:?}"),
        }
    }

    fn accept(&mut self, key: ClientKey, knock: KnockId) -> Vec<ServerMessage> {
        self.say(key, ClientMessage::Accept(knock.into()))
    }

    fn decline(&mut self, key: ClientKey, knock_id: KnockId) -> Vec<ServerMessage> {
        self.say(key, ClientMessage::Decline { knock_id })
    }

    /// A listener in [`PRIVATE`] and a caller that rings at it, with the knock.
    fn ring(&mut self) -> (ClientKey, ClientKey, KnockId) {
        let (listener, caller) = (self.join(), self.join());
        assert_eq!(accepted(&self.say(listener, listen(&[PRIVATE]))), 1);
        assert!(ringing(&self.say(caller, call(PRIVATE))));
        let knock = self.knock(listener);

        (listener, caller, knock)
    }
}

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
fn two_who_search_for_a_room_are_matched_at_once() {
    let mut world = World::new();
    let (listener, caller, knock) = world.ring();
    // A client from before ringing, which knows the room.
    let old = world.join();
    world.say(old, in_room(PRIVATE));

    assert_eq!(world.partner(old), Some(caller));
    assert_eq!(world.knock_ended(listener), (knock, KnockEnd::Answered));
}

#[test]
fn old_clients_meet_as_before_and_are_answered_where_somebody_listens() {
    let mut world = World::new();
    let (one, other, listener) = (world.join(), world.join(), world.join());
    assert!(!ringing(&world.say(one, in_room("blue-otter"))));
    world.say(other, in_room("blue-otter"));
    assert_eq!(world.partner(one), Some(other));

    world.say(listener, listen(&["green-otter"]));
    let old = world.join();
    assert!(ringing(&world.say(old, in_room("green-otter"))));
    let knock = world.knock(listener);
    world.accept(listener, knock);
    assert_eq!(world.partner(old), Some(listener));
}

#[test]
fn a_listener_that_comes_later_is_rung_at_once() {
    let mut world = World::new();
    let (caller, listener) = (world.join(), world.join());
    assert!(!ringing(&world.say(caller, in_room(PRIVATE))));
    let heard = world.say(listener, listen(&["another", PRIVATE]));

    assert!(
        matches!(
            &heard[..],
            [ServerMessage::Listening(_), ServerMessage::Knock(_)]
        ),
        "{heard:?}"
    );
    assert!(ringing(&world.take(caller)));
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
fn a_search_for_a_room_that_must_exist_ends_with_the_last_listener() {
    let mut world = World::new();
    let (first, second, caller) = (world.join(), world.join(), world.join());
    assert_eq!(
        code(&world.say(caller, call(PRIVATE))),
        ErrorCode::NoSuchRoom
    );

    world.say(first, listen(&[PRIVATE]));
    world.say(second, listen(&[PRIVATE]));
    assert!(ringing(&world.say(caller, call(PRIVATE))));
    world.knock(first);

    world.wait(3);
    let heard = world.say(first, listen(&[]));
    assert!(
        matches!(
            &heard[..],
            [ServerMessage::KnockEnded(_), ServerMessage::Listening(_)]
        ),
        "{heard:?}"
    );
    world.knock(second);
    assert_eq!(world.kinds(caller), [""; 0], "it rings on, at the other");

    world.say(second, ClientMessage::Bye);
    assert_eq!(failed(&world.take(caller)), ErrorCode::NoSuchRoom);
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

#[test]
fn a_listener_that_searches_listens_no_more_and_two_who_call_each_other_meet() {
    let mut world = World::new();
    let (a, b) = (world.join(), world.join());
    world.say(a, listen(&[PRIVATE]));
    world.say(b, listen(&[PRIVATE]));
    assert_eq!(
        code(&world.say(a, call("empty"))),
        ErrorCode::NoSuchRoom,
        "rejected, so it still listens"
    );
    assert!(ringing(&world.say(a, call(PRIVATE))));
    world.take(b);

    let heard = world.say(b, call(PRIVATE));
    assert_eq!(
        heard.last().map(ServerMessage::kind),
        Some("partner_found"),
        "{heard:?}"
    );
    assert_eq!(world.partner(a), Some(b));

    let (session_id, reason) = (world.session(a), None);
    world.say(a, ClientMessage::EndSession { session_id, reason });
    assert_eq!(
        code(&world.say(a, call(PRIVATE))),
        ErrorCode::NoSuchRoom,
        "neither listens after the call"
    );
}

#[test]
fn the_only_listener_of_a_room_does_not_make_it_exist_for_itself() {
    let mut world = World::new();
    let listener = world.join();
    world.say(listener, listen(&[PRIVATE]));
    assert_eq!(
        code(&world.say(listener, call(PRIVATE))),
        ErrorCode::NoSuchRoom
    );
}

#[test]
fn who_searches_or_is_in_a_call_cannot_listen_but_stop() {
    let mut world = World::new();
    let searching = world.join();
    world.say(searching, in_room("r"));
    assert_eq!(
        code(&world.say(searching, listen(&["a"]))),
        ErrorCode::AlreadySearching
    );
    assert_eq!(accepted(&world.say(searching, listen(&[]))), 0);

    let (a, _) = world.pair();
    assert_eq!(
        code(&world.say(a, listen(&["a"]))),
        ErrorCode::AlreadyMatched
    );
    assert_eq!(accepted(&world.say(a, listen(&[]))), 0);

    world.hub.drain(world.now);
    world.settle();
    world.take(a);
    assert_eq!(
        code(&world.say(a, listen(&["a"]))),
        ErrorCode::AlreadyMatched
    );
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

#[test]
fn a_listener_that_does_not_come_back_is_gone() {
    let mut world = World::new();
    let (listener, caller, _) = world.ring();
    world.lose(listener);
    world.wait(30);
    assert_eq!(failed(&world.take(caller)), ErrorCode::NoSuchRoom);
}

#[test]
fn a_new_list_replaces_the_old_one_and_keeps_a_knock_that_is_still_in_it() {
    let mut world = World::new();
    let (listener, caller, knock) = world.ring();
    assert_eq!(
        world.say(listener, listen(&["new", PRIVATE])).len(),
        1,
        "the knock goes on"
    );
    assert_eq!(world.kinds(caller), [""; 0]);

    let heard = world.say(listener, listen(&["new"]));
    let [
        ServerMessage::KnockEnded(ended),
        ServerMessage::Listening(_),
    ] = &heard[..]
    else {
        panic!("expected the end of the knock: {heard:?}")
    };
    assert_eq!(ended.knock_id, knock);
    assert_eq!(failed(&world.take(caller)), ErrorCode::NoSuchRoom);
}
