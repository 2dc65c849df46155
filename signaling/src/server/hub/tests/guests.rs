//! Guests with the link to an invite, on a server where others need a token.

use super::super::ids::ClaimHash;
use super::*;
use crate::message::ClaimToken;

impl World {
    fn with_guests() -> Self {
        let config = HubConfig {
            admits_guests: true,
            ..config()
        };
        Self {
            hub: Hub::new(config, counting_ids(0)),
            ..Self::new()
        }
    }

    /// Claims a room. Returns it with the token for its guest.
    fn invite(&mut self, owner: ClientKey) -> (String, ClaimToken) {
        match &self.say(owner, ClientMessage::ClaimRoom(ClaimRoom::default()))[..] {
            [ServerMessage::RoomClaimed(claimed)] => {
                let token = claimed.guest_token.clone().expect("a token");
                (claimed.room.clone(), token)
            }
            other => panic!("expected a room: {other:?}"),
        }
    }
}

fn with(token: &ClaimToken) -> ClientRole {
    ClientRole::Invited(ClaimHash::of(token))
}

#[test]
fn a_guest_joins_the_call_of_the_link_and_does_nothing_else() {
    let mut world = World::with_guests();
    let owner = world.join();
    let (room, token) = world.invite(owner);
    let guest = world.join_as(with(&token));

    for message in [
        find(),
        in_room("9"),
        in_room("blue-otter"),
        ClientMessage::ClaimRoom(ClaimRoom::default()),
        ClientMessage::Listen {
            rooms: vec!["blue-otter".into()],
        },
        ClientMessage::Next { session_id: None },
    ] {
        let heard = world.say(guest, message);
        let error = match &heard[..] {
            [ServerMessage::Error(error), ..] => error.code,
            other => panic!("expected an error: {other:?}"),
        };
        assert_eq!(error, ErrorCode::Unavailable);
    }

    world.say(owner, in_room(&room));
    // The owner of a claimed room enters it like everyone else.
    world.say(guest, in_room(&room));
    assert_eq!(
        world.partner(guest).is_some(),
        world.partner(owner).is_some()
    );
}

#[test]
fn only_one_client_comes_in_with_a_link() {
    let mut world = World::with_guests();
    let owner = world.join();
    let (room, token) = world.invite(owner);

    let first = world.join_as(with(&token));
    let second = world.join_as(with(&token));
    let refused = world.say(second, in_room(&room));
    assert_eq!(
        code(&refused),
        ErrorCode::Unauthorized,
        "the link is in use"
    );

    world.say(first, ClientMessage::Bye);
    let third = world.join_as(with(&token));
    let heard = world.say(third, in_room(&room));
    assert!(
        matches!(heard[..], [ServerMessage::Searching(_)]),
        "a reload of the page comes in again: {heard:?}"
    );
}

#[test]
fn a_guest_whose_connection_broke_resumes_with_the_same_link() {
    let mut world = World::with_guests();
    let owner = world.join();
    let (_, token) = world.invite(owner);
    let guest = world.join_as(with(&token));
    let user = world.user(guest);
    let resume_token = world.hub.clients[&guest].token.as_str().to_owned();

    // The server has not noticed yet that the first connection is dead.
    let again = world.join_as(with(&token));
    let heard = world.say(
        again,
        ClientMessage::Resume {
            resume_token,
            last_seq: 0,
        },
    );
    assert!(
        matches!(heard[..], [ServerMessage::Resumed(_)]),
        "{heard:?}"
    );
    assert_eq!(world.user(again), user);
    assert!(
        matches!(world.hub.clients[&again].role, ClientRole::Guest(_)),
        "and may do what it could before"
    );
}

#[test]
fn a_guest_cannot_resume_someone_with_a_token_of_their_own() {
    let mut world = World::with_guests();
    let owner = world.join();
    let (_, token) = world.invite(owner);
    let guest = world.join_as(with(&token));
    let resume_token = world.hub.clients[&owner].token.as_str().to_owned();
    let heard = world.say(
        guest,
        ClientMessage::Resume {
            resume_token,
            last_seq: 0,
        },
    );
    assert_eq!(code(&heard), ErrorCode::Unauthorized);
}

#[test]
fn a_link_ends_with_the_claim_of_its_room() {
    let mut world = World::with_guests();
    let owner = world.join();
    let (room, token) = world.invite(owner);
    let guest = world.join_as(with(&token));
    world.say(owner, ClientMessage::ReleaseRoom { room: room.clone() });

    let refused = world.say(guest, in_room(&room));
    assert_eq!(
        code(&refused),
        ErrorCode::Unauthorized,
        "the room may be another user's by now"
    );

    let late = world.hub.connect(None, with(&token), None);
    world.settle();
    assert_eq!(code(&world.take(late)), ErrorCode::Unauthorized);
    assert_eq!(world.closed[&late], CloseReason::Unauthorized);
}

#[test]
fn a_made_up_token_admits_nobody() {
    let mut world = World::with_guests();
    let owner = world.join();
    let (_, token) = world.invite(owner);
    for text in ["guest.", "guest.0", &format!("{}0", token.reveal())] {
        let key = world.hub.connect(None, with(&text.into()), None);
        world.settle();
        assert_eq!(world.closed[&key], CloseReason::Unauthorized, "{text}");
        assert!(!world.hub.clients.contains_key(&key));
    }
}

#[test]
fn where_nobody_needs_a_token_guests_get_none() {
    let mut world = World::new();
    let owner = world.join();
    match &world.say(owner, ClientMessage::ClaimRoom(ClaimRoom::default()))[..] {
        [ServerMessage::RoomClaimed(claimed)] => assert!(claimed.guest_token.is_none()),
        other => panic!("expected a room: {other:?}"),
    }
}

#[test]
fn the_tokens_of_a_room_are_bounded() {
    let mut world = World::with_guests();
    let owner = world.join();
    let (_, first) = world.invite(owner);
    let former = world.claims[0].clone();

    for _ in 0..10 {
        let claim = ClaimRoom {
            former: Some(former.clone()),
        };
        let heard = world.say(owner, ClientMessage::ClaimRoom(claim));
        assert!(matches!(heard[..], [ServerMessage::RoomClaimed(_)]));
    }

    let late = world.hub.connect(None, with(&first), None);
    world.settle();
    assert_eq!(world.closed[&late], CloseReason::Unauthorized);
}
