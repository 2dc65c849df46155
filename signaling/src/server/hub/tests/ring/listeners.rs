//! Listeners: where they are rung, and when they listen no more.

use super::*;

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
fn old_clients_meet_as_before_and_are_answered_where_a_client_listens() {
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
