//! A node of a cluster and what it makes of the store's messages about knocks.

use super::takeover::{NODES, Node};
use super::*;
use crate::message::KnockId;
use crate::server::hub::cluster::messages::{NodeMessage, StoreOutcome};

/// What the hub has sent to its only client, and the rings that it asked the store to end.
fn effects(node: &mut Node) -> (Vec<ServerMessage>, Vec<KnockId>) {
    let (mut sent, mut unanswered) = (Vec::new(), Vec::new());
    while let Some(effect) = node.hub.poll_effect() {
        match effect {
            Effect::Send(_, envelope) => sent.push(envelope.message.clone()),
            Effect::Store(StoreCommand::Unanswered { knock, .. }) => unanswered.push(knock),
            _ => {}
        }
    }

    (sent, unanswered)
}

fn kinds(messages: &[ServerMessage]) -> Vec<&str> {
    messages.iter().map(ServerMessage::kind).collect()
}

#[test]
fn a_ring_ends_after_45_s_however_often_the_store_reports_it() {
    let mut node = Node::new(NODES[0]);
    let start = Instant::now();
    let caller = node.join(None);
    let user = node.card(caller).user;
    node.hub.receive(caller, in_room("r").into(), start);
    effects(&mut node);
    let ringing = || NodeMessage::Ringing {
        user: user.clone(),
        search: 1,
        knock: Some("k".into()),
    };

    node.hub.receive_from_node(ringing(), start);
    let later = node.wait(start, 44);
    node.hub.receive_from_node(ringing(), later);
    let (sent, unanswered) = effects(&mut node);
    assert_eq!(kinds(&sent), ["searching"], "it is told once");
    assert!(unanswered.is_empty());

    let end = node.wait(later, 1);
    assert_eq!(effects(&mut node).1, ["k".into()]);
    // The store was away.
    let end = node.wait(end, 5);
    assert_eq!(effects(&mut node).1, ["k".into()], "it is asked again");

    let ended = NodeMessage::SearchEnded {
        user,
        search: 1,
        code: ErrorCode::NoAnswer,
    };
    node.hub.receive_from_node(ended, end);
    let (sent, _) = effects(&mut node);
    assert_eq!(kinds(&sent), ["error", "search_cancelled"]);
    node.wait(end, 60);
    assert!(effects(&mut node).1.is_empty(), "no deadline is left");
}

#[test]
fn messages_about_an_earlier_search_are_dropped() {
    let mut node = Node::new(NODES[0]);
    let now = Instant::now();
    let caller = node.join(None);
    let user = node.card(caller).user;
    node.hub.receive(caller, in_room("r").into(), now);
    node.hub
        .receive(caller, ClientMessage::CancelSearch.into(), now);
    node.hub.receive_outcome(
        StoreOutcome::Cancelled {
            key: caller,
            is_matched: false,
            id: None,
        },
        now,
    );
    node.hub.receive(caller, in_room("r").into(), now);
    effects(&mut node);

    let code = ErrorCode::Declined;
    let (search, knock) = (1, Some(KnockId::from("k")));
    for message in [
        NodeMessage::SearchEnded {
            user: user.clone(),
            search,
            code,
        },
        NodeMessage::Ringing {
            user: user.clone(),
            search,
            knock,
        },
    ] {
        node.hub.receive_from_node(message, now);
    }

    assert_eq!(kinds(&effects(&mut node).0), [""; 0]);
    assert_eq!(node.hub.searching(), 1, "the second search goes on");
}
