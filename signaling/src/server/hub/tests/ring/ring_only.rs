//! A server on which only its owner can be called.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::message::FormerClaim;

const ROOM: &str = "ring";

fn visitor(last: u8) -> ClientRole {
    ClientRole::Visitor(IpAddr::from([192, 168, 7, last]))
}

impl World {
    fn owner(&mut self) -> ClientKey {
        let owner = self.join_as(ClientRole::Owner);
        assert_eq!(accepted(&self.say(owner, listen(&[ROOM]))), 1);
        owner
    }
}

#[test]
fn a_visitor_rings_at_the_owner_who_gets_the_address() {
    let mut world = World::new();
    let (owner, caller) = (world.owner(), world.join_as(visitor(2)));
    assert!(ringing(&world.say(caller, call(ROOM))));

    let knock = match &world.take(owner)[..] {
        [ServerMessage::Knock(knock)] => knock.clone(),
        other => panic!("expected a knock: {other:?}"),
    };
    assert_eq!(knock.address, Some([192, 168, 7, 2].into()));

    world.accept(owner, knock.knock_id);
    assert_eq!(world.partner(caller), Some(owner));
}

#[test]
fn elsewhere_nobody_gets_an_address() {
    let mut world = World::new();
    let (listener, caller) = (world.join(), world.join());
    world.say(listener, listen(&[PRIVATE]));
    world.say(caller, call(PRIVATE));
    match &world.take(listener)[..] {
        [ServerMessage::Knock(knock)] => assert_eq!(knock.address, None),
        other => panic!("expected a knock: {other:?}"),
    }
}

#[test]
fn a_visitor_can_do_nothing_else() {
    let mut world = World::new();
    let owner = world.owner();
    let (one, two) = (world.join_as(visitor(2)), world.join_as(visitor(3)));

    for message in [
        find(),
        ClientMessage::ClaimRoom(ClaimRoom::default()),
        ClientMessage::ClaimRoom(ClaimRoom {
            former: Some(FormerClaim {
                room: "1".into(),
                claim_token: "t".into(),
            }),
        }),
        listen(&["other"]),
        listen(&[ROOM]),
    ] {
        assert_eq!(
            code(&world.say(one, message.clone())),
            ErrorCode::Unavailable,
            "{message:?}"
        );
    }

    assert_eq!(code(&world.say(one, call("other"))), ErrorCode::NoSuchRoom);
    // Not even with a search for a room that need not exist.
    assert_eq!(
        code(&world.say(one, in_room("other"))),
        ErrorCode::NoSuchRoom
    );
    assert_eq!(code(&world.say(owner, call(ROOM))), ErrorCode::Unavailable);

    assert!(ringing(&world.say(one, in_room(ROOM))));
    assert!(
        !ringing(&world.say(two, in_room(ROOM))),
        "its turn comes later"
    );
    assert_eq!((world.partner(one), world.partner(two)), (None, None));
}

#[test]
fn a_visitor_waits_no_longer_than_the_owner_listens() {
    let mut world = World::new();
    let owner = world.owner();
    let callers = [2, 3].map(|last| world.join_as(visitor(last)));
    for caller in callers {
        world.say(caller, in_room(ROOM));
    }

    world.say(owner, listen(&[]));
    for caller in callers {
        let heard = world.take(caller);
        assert_eq!(failed_last(&heard), ErrorCode::NoSuchRoom, "{heard:?}");
    }
}

#[test]
fn a_crowd_is_turned_away() {
    let mut world = World::new();
    world.owner();
    let outcomes: Vec<bool> = (2..20)
        .map(|last| {
            let caller = world.join_as(visitor(last));
            let heard = world.say(caller, call(ROOM));
            match &heard[..] {
                [ServerMessage::Searching(_)] => true,
                other => {
                    assert_eq!(code(other), ErrorCode::QueueFull);
                    false
                }
            }
        })
        .collect();
    assert_eq!(outcomes.iter().filter(|waits| **waits).count(), 8);
}

#[test]
fn one_computer_does_not_take_all_the_places() {
    let mut world = World::new();
    world.owner();
    for expected in [true, true, false, false] {
        let caller = world.join_as(visitor(2));
        let heard = world.say(caller, call(ROOM));
        assert_eq!(matches!(heard[..], [ServerMessage::Searching(_)]), expected);
    }

    let other = world.join_as(visitor(3));
    assert!(matches!(
        world.say(other, call(ROOM))[..],
        [ServerMessage::Searching(_)]
    ));
}

#[test]
fn after_a_call_the_owner_does_not_search() {
    let mut world = World::new();
    let (owner, caller) = (world.owner(), world.join_as(visitor(2)));
    world.say(caller, call(ROOM));
    let knock = world.knock(owner);
    world.accept(owner, knock);
    world.take(caller);

    let heard = world.say(owner, ClientMessage::Next { session_id: None });
    assert_eq!(failed_last(&heard), ErrorCode::Unavailable, "{heard:?}");
    assert_eq!(left(&world.take(caller)), LeaveReason::Skipped);
}

#[test]
fn only_the_owner_resumes_the_owner() {
    let mut world = World::new();
    let owner = world.owner();
    world.lose(owner);
    let resume = ClientMessage::Resume {
        resume_token: world.hub.clients[&owner].token.as_str().to_owned(),
        last_seq: 0,
    };

    let thief = world.join_as(visitor(2));
    let heard = world.say(thief, resume.clone());
    assert_eq!(code(&heard), ErrorCode::Unauthorized);

    let again = world.join_as(ClientRole::Owner);
    assert!(matches!(
        world.say(again, resume)[..],
        [ServerMessage::Resumed(_)]
    ));
    let caller = world.join_as(visitor(2));
    assert!(ringing(&world.say(caller, call(ROOM))), "it still listens");
}

#[test]
fn a_visitor_who_resumes_elsewhere_rings_from_there() {
    let mut world = World::new();
    let (owner, caller) = (world.owner(), world.join_as(visitor(2)));
    let resume = ClientMessage::Resume {
        resume_token: world.hub.clients[&caller].token.as_str().to_owned(),
        last_seq: 0,
    };
    world.lose(caller);
    let moved = world.join_as(visitor(9));
    world.say(moved, resume);
    world.say(moved, call(ROOM));
    match &world.take(owner)[..] {
        [ServerMessage::Knock(knock)] => assert_eq!(knock.address, Some([192, 168, 7, 9].into())),
        other => panic!("expected a knock: {other:?}"),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Connect,
    Find {
        who: usize,
        room: Option<bool>,
        must_exist: bool,
    },
    Listen {
        who: usize,
        other: bool,
    },
    OwnerListens(bool),
    Claim(usize),
    Accept,
    Decline,
    Next(usize),
    Cancel(usize),
    Drop(usize),
    Bye(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..8_usize;
    prop_oneof![
        2 => Just(Step::Connect),
        6 => (who.clone(), any::<Option<bool>>(), any::<bool>())
            .prop_map(|(who, room, must_exist)| Step::Find { who, room, must_exist }),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, other)| Step::Listen { who, other }),
        2 => any::<bool>().prop_map(Step::OwnerListens),
        1 => who.clone().prop_map(Step::Claim),
        3 => Just(Step::Accept),
        2 => Just(Step::Decline),
        1 => who.clone().prop_map(Step::Next),
        1 => who.clone().prop_map(Step::Cancel),
        1 => who.clone().prop_map(Step::Drop),
        1 => who.prop_map(Step::Bye),
        2 => (0..60_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn every_call_is_with_the_owner_who_accepted(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let owner = world.owner();
        let mut visitors: Vec<ClientKey> = Vec::new();
        let mut knock = None;
        let mut calls = 0;

        for step in steps {
            let of = |who: usize| visitors.get(who % visitors.len().max(1)).copied();
            let say = |world: &mut World, who, message| {
                if let Some(key) = of(who) {
                    world.say(key, message);
                }
            };
            let mut accepts = false;
            match step {
                Step::Connect => visitors.push(world.join_as(visitor(visitors.len() as u8))),
                Step::Find { who, room, must_exist } => {
                    let room = room.map(|other| if other { "other" } else { ROOM }.to_owned());
                    let find = FindPartner { room, must_exist, ..FindPartner::default() };
                    say(&mut world, who, ClientMessage::FindPartner(find));
                }
                Step::Listen { who, other } => {
                    say(&mut world, who, listen(&[if other { "other" } else { ROOM }]));
                }
                Step::OwnerListens(on) => {
                    world.say(owner, if on { listen(&[ROOM]) } else { listen(&[]) });
                }
                Step::Claim(who) => say(&mut world, who, ClientMessage::ClaimRoom(ClaimRoom::default())),
                Step::Accept => if let Some(knock) = knock.take() {
                    accepts = true;
                    world.accept(owner, knock);
                },
                Step::Decline => if let Some(knock) = knock.take() {
                    world.decline(owner, knock);
                },
                Step::Next(who) => say(&mut world, who, ClientMessage::Next { session_id: None }),
                Step::Cancel(who) => say(&mut world, who, ClientMessage::CancelSearch),
                Step::Drop(who) => if let Some(key) = of(who) { world.lose(key); },
                Step::Bye(who) => say(&mut world, who, ClientMessage::Bye),
                Step::Wait(seconds) => world.wait(seconds),
            }

            for message in world.take(owner) {
                if let ServerMessage::Knock(rung) = message {
                    prop_assert!(rung.address.is_some());
                    knock = Some(rung.knock_id);
                }
            }

            let in_call: Vec<ClientKey> = visitors
                .iter()
                .copied()
                .filter(|&key| world.hub.call(key).is_some())
                .collect();
            prop_assert!(in_call.len() <= 1, "the owner has one call: {in_call:?}");
            prop_assert!(in_call.iter().all(|&key| world.partner(key) == Some(owner)));
            prop_assert!(in_call.len() <= calls || accepts, "nobody gets in without `accept`");
            calls = in_call.len();
        }
    }
}
