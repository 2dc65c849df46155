//! What the TURN server in this program learns of calls that end.

use super::*;
use crate::server::hub::cluster::messages::{NodeMessage, StoreCommand, StoredProfile};
use crate::server::ice::Turn;

/// A server with a TURN server of its own.
pub(super) fn with_turn() -> HubConfig {
    let own = Turn {
        urls: vec!["turn:203.0.113.9:3478".into()],
        secret: "north".into(),
        ttl: Duration::from_secs(3600),
    };
    HubConfig {
        ice: IceSource::new(Vec::new(), None).with_own_turn(Some(own)),
        ..config()
    }
}

fn of_session(session: &SessionId) -> Revocation {
    Revocation::Session(session.as_str().into())
}

#[test]
fn a_call_that_someone_ends_has_no_media_any_more() {
    for what in ["end", "next", "block", "bye"] {
        let mut world = World::with(with_turn());
        let (a, b) = world.pair();
        let (session, partner_id) = (world.session(a), world.user(b));
        let message = match what {
            "end" => ClientMessage::EndSession {
                session_id: session.clone(),
                reason: None,
            },
            "next" => ClientMessage::Next {
                session_id: Some(session.clone()),
            },
            "block" => ClientMessage::Block { partner_id },
            _ => ClientMessage::Bye,
        };

        assert_eq!(world.revoked, [], "while it goes on");
        world.say(a, message);
        assert_eq!(world.revoked, [of_session(&session)], "{what}");
    }
}

#[test]
fn a_call_whose_signaling_is_lost_keeps_its_media_until_someone_hangs_up() {
    let mut world = World::with(with_turn());
    let (a, b) = world.pair();
    let session = world.session(a);
    world.lose(a);
    let (a, _) = world.come_back(a, 0);
    world.lose(a);
    world.take(b);
    world.wait(31);
    assert_eq!(left(&world.take(b)), LeaveReason::Disconnected);
    assert_eq!(world.revoked, [], "they may still see each other");

    let hang_up = || ClientMessage::EndSession {
        session_id: session.clone(),
        reason: None,
    };
    let stranger = world.join();
    assert_eq!(
        code(&world.say(stranger, hang_up())),
        ErrorCode::NoSuchSession
    );
    assert_eq!(world.revoked, [], "nobody else can end it");
    assert_eq!(code(&world.say(b, hang_up())), ErrorCode::NoSuchSession);
    assert_eq!(world.revoked, [of_session(&session)]);
}

#[test]
fn both_sides_that_lose_the_server_keep_their_media() {
    let mut world = World::with(with_turn());
    let (a, b) = world.pair();
    world.lose(a);
    world.lose(b);
    world.wait(31);
    assert!(
        world.hub.clients.is_empty(),
        "the server has forgotten them"
    );
    assert_eq!(world.revoked, []);
}

#[test]
fn a_call_that_the_server_has_lost_has_no_media_for_ever() {
    let mut world = World::with(with_turn());
    let (a, b) = world.pair();
    let session = world.session(a);
    // They never say goodbye, and refresh their allocations from then on.
    for key in [a, b] {
        world.lose(key);
    }
    world.wait(30);
    assert!(world.hub.clients.is_empty(), "the call is over");
    world.wait(3599);
    assert_eq!(world.revoked, [], "as long as its credentials were valid");
    world.wait(1);
    assert_eq!(world.revoked, [of_session(&session)]);
    world.wait(86_400);
    assert_eq!(world.revoked.len(), 1, "once");
    assert_eq!(world.hub.next_deadline(), None);
}

#[test]
fn a_call_that_comes_back_in_time_keeps_its_media() {
    let mut world = World::with(with_turn());
    let (a, b) = world.pair();
    let session = world.session(a);
    for key in [a, b] {
        world.lose(key);
    }
    world.wait(29);
    for key in [a, b] {
        world.come_back(key, 0);
    }
    world.wait(86_400);
    assert_eq!(world.revoked, []);
    assert!(world.hub.clients.values().all(|client| {
        let call = client.call.as_ref();
        call.is_some_and(|call| call.session == session)
    }));
}

#[test]
fn someone_whom_the_operator_ends_has_nothing_left() {
    for is_away in [false, true] {
        let mut world = World::with(with_turn());
        let (a, _) = world.pair();
        let (session, user) = (world.session(a), world.user(a));
        if is_away {
            world.lose(a);
        }

        world.hub.expel(a, CloseReason::Kicked, None, world.now);
        world.settle();
        let of_user = Revocation::User(user.as_str().into());
        assert_eq!(world.revoked, [of_session(&session), of_user]);
    }
}

#[test]
fn without_a_turn_server_of_its_own_nothing_is_said() {
    let mut world = World::new();
    let (a, _) = world.pair();
    world.hub.expel(a, CloseReason::Kicked, None, world.now);
    world.settle();
    assert_eq!(world.revoked, []);
}

/// What a node says to its TURN server and, as JSON, to all nodes.
fn said(node: &mut takeover::Node) -> (Vec<Revocation>, Vec<String>) {
    let (mut revoked, mut told) = (Vec::new(), Vec::new());
    while let Some(effect) = node.hub.poll_effect() {
        match effect {
            Effect::Revoke(revocation) => revoked.push(revocation),
            Effect::Store(StoreCommand::Tell(message)) => {
                told.push(serde_json::to_string(&message).unwrap());
            }
            _ => {}
        }
    }

    (revoked, told)
}

#[test]
fn a_node_that_neither_side_is_connected_to_hears_of_the_end_and_of_a_kick() {
    let now = Instant::now();
    let [mut one, mut third] = takeover::NODES.map(takeover::Node::new);
    for node in [&mut one, &mut third] {
        node.hub.config.ice = with_turn().ice;
    }
    let (a, b, session) = takeover::pair(&mut one, None, now);
    let user = one.card(b).user;
    said(&mut one);
    let mut hear = |one: &mut takeover::Node| {
        let (revoked, told) = said(one);
        for message in &told {
            for node in [&mut third, &mut *one] {
                let message = serde_json::from_str(message).unwrap();
                node.hub.receive_from_node(message, now);
            }
        }
        assert_eq!(said(one), (Vec::new(), Vec::new()), "it knows already");
        let (heard, again) = said(&mut third);
        assert_eq!(again, [""; 0], "nobody else is told");
        assert_eq!(heard, revoked, "both end the same");
        heard
    };

    let hang_up = ClientMessage::EndSession {
        session_id: session.clone(),
        reason: None,
    };
    one.hub.receive(a, hang_up.into(), now);
    assert_eq!(hear(&mut one), [of_session(&session)]);
    one.hub.expel(b, CloseReason::Kicked, None, now);
    assert_eq!(hear(&mut one), [Revocation::User(user.as_str().into())]);
    // Whose connection breaks may still see the other one.
    one.hub.disconnect(a, now);
    one.wait(now, 60);
    assert_eq!(hear(&mut one), []);
}

#[test]
fn without_turn_nodes_tell_each_other_nothing() {
    let now = Instant::now();
    let [mut one, _] = takeover::NODES.map(takeover::Node::new);
    let (a, _, _) = takeover::pair(&mut one, None, now);
    one.hub.expel(a, CloseReason::Kicked, None, now);
    assert_eq!(said(&mut one), (Vec::new(), Vec::new()));
}

#[test]
fn the_node_of_each_side_hears_of_the_end() {
    for (reason, ends) in [
        (LeaveReason::Left, true),
        (LeaveReason::Skipped, true),
        (LeaveReason::Blocked, true),
        (LeaveReason::Disconnected, false),
        (LeaveReason::NodeLost, false),
    ] {
        let now = Instant::now();
        let [mut one, mut other] = takeover::NODES.map(takeover::Node::new);
        one.hub.config.ice = with_turn().ice;
        let (a, b) = (one.join(None), other.join(None));
        let session = SessionId::from("s");
        one.hub.receive(a, find().into(), now);
        let matched = NodeMessage::Matched {
            user: one.card(a).user,
            session: session.clone(),
            initiator: true,
            interests: Vec::new(),
            partner: other.card(b),
            profile: StoredProfile {
                profile: FindPartner::default(),
                peer: None,
            },
        };
        one.hub.receive_from_node(matched, now);
        assert!(one.hub.call(a).is_some(), "they are in a call");

        let left = NodeMessage::Left {
            user: one.card(a).user,
            session: session.clone(),
            reason,
        };
        one.hub.receive_from_node(left, now);
        let revoked: Vec<Revocation> = std::iter::from_fn(|| one.hub.poll_effect())
            .filter_map(|effect| match effect {
                Effect::Revoke(revocation) => Some(revocation),
                _ => None,
            })
            .collect();
        let expected = if ends {
            vec![of_session(&session)]
        } else {
            Vec::new()
        };
        assert_eq!(revoked, expected, "{reason:?}");

        // The node that says so may be gone by the time that the media has to end.
        one.wait(now, 3600);
        let (revoked, _) = said(&mut one);
        assert_eq!(revoked.len(), usize::from(!ends), "{reason:?}");
    }
}
