//! Two nodes of a cluster, without a store. The tests pass messages between them, as JSON.

use super::*;
use crate::server::hub::cluster::messages::{
    Card, NodeMessage, Record, RemoteCall, StoreOutcome, StoredProfile,
};
use crate::server::hub::ids::{PersonId, Ticket};

pub(super) const NODES: [u128; 2] = [0xa, 0xb];

pub(super) struct Node {
    pub(super) hub: Hub,
    id: NodeId,
}

impl Node {
    pub(super) fn new(number: u128) -> Self {
        let id = NodeId::from(Uuid::from_u128(number).to_string());
        let config = HubConfig {
            node: Some(id.clone()),
            ..config()
        };

        let mut hub = Hub::new(config, counting_ids(number << 64));
        hub.set_store_available(true, Instant::now());
        Self { hub, id }
    }

    pub(super) fn join(&mut self, subject: Option<&str>) -> ClientKey {
        self.hub
            .connect(subject.map(str::to_owned), ClientRole::Anyone, None)
    }

    pub(super) fn card(&self, key: ClientKey) -> Card {
        let client = &self.hub.clients[&key];
        Card {
            user: client.user.clone(),
            socket: client.socket.clone(),
            person: client.person.clone(),
            node: self.id.clone(),
            peer: client.peer,
        }
    }

    /// Takes all effects. Returns the users that the hub removes from the store.
    fn removed(&mut self) -> Vec<UserId> {
        let effects = std::iter::from_fn(|| self.hub.poll_effect());
        let removed = effects.filter_map(|effect| match effect {
            Effect::Store(StoreCommand::Remove { user, .. }) => Some(user),
            _ => None,
        });

        removed.collect()
    }

    /// Lets time pass, with a tick at each deadline. Returns the time at the end.
    pub(super) fn wait(&mut self, from: Instant, seconds: u64) -> Instant {
        let end = from + Duration::from_secs(seconds);
        for _ in 0..MAX_DEADLINES {
            let Some(deadline) = self.hub.next_deadline().filter(|&deadline| deadline <= end)
            else {
                return end;
            };

            self.hub.tick(deadline.max(from));
        }

        panic!("the hub has a new deadline at the same time over and over");
    }

    /// Takes all effects. Returns the messages to clients, the messages to other nodes as JSON, and
    /// the reports.
    fn effects(&mut self) -> (Vec<ServerMessage>, Vec<String>, Vec<Report>) {
        let (mut sent, mut to_nodes, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(_, envelope) => sent.push(envelope.message.clone()),
                Effect::Store(StoreCommand::Send(_, message)) => {
                    to_nodes.push(serde_json::to_string(&message).unwrap());
                }
                Effect::Report(_, report, _) => reports.push(*report),
                Effect::Store(_)
                | Effect::Recorded(..)
                | Effect::Close(..)
                | Effect::RoomFound(_)
                | Effect::Revoke(_)
                | Effect::Knock(_) => {}
            }
        }

        (sent, to_nodes, reports)
    }

    fn receive(&mut self, messages: &[String], now: Instant) {
        for message in messages {
            let message = serde_json::from_str(message).unwrap();
            self.hub.receive_from_node(message, now);
        }
    }
}

/// Two clients of one node, in a call that the store has made, and its session.
pub(super) fn pair(
    node: &mut Node,
    subject: Option<&str>,
    now: Instant,
) -> (ClientKey, ClientKey, SessionId) {
    let (a, b) = (node.join(None), node.join(subject));
    let session = SessionId::from("s");

    for key in [a, b] {
        node.hub.receive(key, find().into(), now);
    }

    for (key, partner, initiator) in [(a, b, true), (b, a, false)] {
        let (user, partner) = (node.card(key).user, node.card(partner));
        let interests = Vec::new();
        let profile = StoredProfile {
            profile: FindPartner::default(),
            peer: None,
        };
        node.hub.receive_from_node(
            NodeMessage::Matched {
                user,
                session: session.clone(),
                initiator,
                interests,
                partner,
                profile,
            },
            now,
        );
    }

    assert!(
        node.hub.call(a).is_some() && node.hub.call(b).is_some(),
        "both are in the call"
    );

    (a, b, session)
}

/// A connection to `to` resumes the client `key` of `from`. When this returns, `from` has given the
/// client up, but the messages that hand it over are still on their way to `to`. They are returned,
/// with the key of the connection.
fn start_takeover(
    from: &mut Node,
    key: ClientKey,
    to: &mut Node,
    now: Instant,
) -> (ClientKey, Vec<String>) {
    let token = from.hub.clients[&key].token.as_str().to_owned();
    let moved = to.join(None);
    from.effects();
    to.hub.receive(
        moved,
        ClientMessage::Resume {
            resume_token: token,
            last_seq: 0,
        }
        .into(),
        now,
    );
    let (_, asked, _) = to.effects();
    from.receive(&asked, now);
    let (_, handed, _) = from.effects();

    (moved, handed)
}

#[test]
fn a_census_does_not_remove_a_client_that_is_on_its_way() {
    let [mut one, mut other] = NODES.map(Node::new);
    let start = Instant::now();
    let (a, _, session) = pair(&mut one, None, start);
    let user = one.card(a).user;
    let (moved, handed) = start_takeover(&mut one, a, &mut other, start);
    other
        .hub
        .receive_outcome(StoreOutcome::Census(vec![user.clone()]), start);

    assert_eq!(other.removed(), [], "the client is on its way");
    let soon = other.wait(start, 1);
    other.receive(&handed, soon);
    other.wait(soon, 60);

    assert_eq!(other.removed(), [], "the client has arrived");
    assert_eq!(
        other.hub.call(moved).map(|call| &call.session),
        Some(&session),
        "and its call continues"
    );
    assert_eq!(other.card(moved).user, user);
}

#[test]
fn a_census_does_not_remove_a_client_whose_handover_was_lost() {
    let [mut one, mut other] = NODES.map(Node::new);
    let start = Instant::now();
    let (a, _, session) = pair(&mut one, None, start);
    let (card, token) = (one.card(a), one.hub.clients[&a].token.clone());
    let partner = one
        .hub
        .call(a)
        .map(|call| call.partner.user.clone())
        .expect("a call");
    let (moved, _) = start_takeover(&mut one, a, &mut other, start);
    other
        .hub
        .receive_outcome(StoreOutcome::Census(vec![card.user.clone()]), start);
    // The node asks the store instead, which takes long to answer.
    let late = other.wait(start, 9);

    assert_eq!(other.removed(), [], "the store has not answered yet");
    let partner = Card {
        user: partner,
        socket: "p".into(),
        person: PersonId::new(&"p".into(), None),
        node: card.node.clone(),
        peer: None,
    };

    let (profile, last_partner, ended) = (FindPartner::default(), None, Vec::new());
    let call = Some(RemoteCall {
        session: session.clone(),
        partner,
    });

    let record = Some(Box::new(Record {
        card,
        token,
        profile,
        last_partner,
        call,
        ended,
        listening: None,
        claims: Vec::new(),
    }));
    other.hub.receive_outcome(
        StoreOutcome::Adopted {
            ticket: Ticket::new(0),
            record,
        },
        late,
    );
    other.wait(late, 60);

    assert_eq!(other.removed(), [], "the client is here");
    assert_eq!(
        other.hub.call(moved).map(|call| &call.session),
        Some(&session),
        "and its call continues"
    );
}

#[test]
fn a_search_whose_wait_starts_over_in_the_store_is_retried() {
    let mut node = Node::new(NODES[0]);
    let start = Instant::now();
    let searching = node.join(None);
    node.hub.receive(searching, find().into(), start);
    let soon = node.wait(start, 9);
    node.effects();
    // After its clock was set, the store counts the wait from this moment.
    node.hub.receive_from_node(NodeMessage::LookAgain, soon);
    node.effects();
    let before = node.wait(soon, 9);
    node.effects();
    node.wait(before, 2);
    let is_retry = |effect: &Effect| matches!(effect, Effect::Store(StoreCommand::Retry(..)));
    let retries: Vec<_> = std::iter::from_fn(|| node.hub.poll_effect())
        .filter(is_retry)
        .collect();

    assert_eq!(
        retries.len(),
        1,
        "once the hold is over by the store's count too: {retries:?}"
    );

    node.hub
        .receive(searching, ClientMessage::CancelSearch.into(), before);
    node.hub.receive_outcome(
        StoreOutcome::Cancelled {
            key: searching,
            is_matched: false,
            id: None,
        },
        before,
    );
    node.wait(before, 60);
    let left = std::iter::from_fn(|| node.hub.poll_effect()).find(is_retry);

    assert!(left.is_none(), "no retry is left of the search: {left:?}");
}

#[test]
fn a_client_that_left_while_the_store_was_away_is_removed_once() {
    let mut node = Node::new(NODES[0]);
    let start = Instant::now();
    let here = node.join(None);
    let user = node.card(here).user;
    let census = || StoreOutcome::Census(vec!["gone".into(), user.clone(), "gone, too".into()]);
    node.hub.receive_outcome(census(), start);
    let soon = node.wait(start, 2);
    // A second census does not prolong the wait.
    node.hub.receive_outcome(census(), soon);
    node.wait(soon, 2);

    assert_eq!(
        node.removed(),
        [UserId::from("gone"), UserId::from("gone, too")],
        "they have not arrived"
    );

    node.wait(soon, 60);
    assert_eq!(node.removed(), [], "each is removed once");
}

#[test]
fn a_client_that_changed_nodes_can_report_an_earlier_call_for_ten_minutes() {
    let [mut one, mut other] = NODES.map(Node::new);
    let start = Instant::now();
    let (a, b, session) = pair(&mut one, Some("bob"), start);
    let end = ClientMessage::EndSession {
        session_id: session.clone(),
        reason: None,
    };

    one.hub.receive(b, end.into(), start);
    assert!(one.hub.call(a).is_none(), "the call is over");
    one.effects();

    let later = start + Duration::from_secs(300);
    let (moved, handed) = start_takeover(&mut one, a, &mut other, later);
    other.receive(&handed, later);
    let (sent, ..) = other.effects();

    assert!(
        matches!(sent[..], [ServerMessage::Resumed(_)]),
        "the client continues on the other node: {sent:?}"
    );
    assert!(!one.hub.clients.contains_key(&a), "and only there");

    let report = || ClientMessage::Report {
        session_id: session.clone(),
        category: ReportCategory::Spam,
        text: None,
        snapshot: None,
    };

    other
        .hub
        .receive(moved, report().into(), later + Duration::from_secs(299));
    let (_, _, reports) = other.effects();
    let reported = &reports.first().expect("the report is recorded").reported;

    assert_eq!(
        (&reported.user_id, reported.subject.as_deref()),
        (&one.card(b).user, Some("bob")),
        "the partner of the earlier call"
    );

    other
        .hub
        .receive(moved, report().into(), later + Duration::from_secs(300));
    let (sent, ..) = other.effects();
    assert_eq!(
        code(&sent),
        ErrorCode::NoSuchSession,
        "ten minutes are over, on whichever node"
    );
}

#[test]
fn a_report_names_the_network_in_which_the_partner_came_to_another_node() {
    let [mut one, mut other] = NODES.map(Node::new);
    let now = Instant::now();
    let (a, b, session) = pair(&mut one, None, now);
    let peers = [1, 2].map(|byte| PeerHash::of_bytes([byte; 16]));
    let partner = |node: &mut Node| {
        let call = node.hub.clients.get_mut(&a).unwrap().call.as_mut();
        call.map(|call| call.partner.peer.replace(peers[0]))
    };
    assert!(partner(&mut one).is_some(), "known when the call began");

    let (moved, handed) = start_takeover(&mut one, b, &mut other, now);
    other.hub.clients.get_mut(&moved).unwrap().peer = Some(peers[1]);
    other.receive(&handed, now);
    let (_, to_nodes, _) = other.effects();
    one.receive(&to_nodes, now);
    one.effects();

    let report = ClientMessage::Report {
        session_id: session,
        category: ReportCategory::Spam,
        text: None,
        snapshot: None,
    };
    one.hub.receive(a, report.into(), now);
    let (_, _, reports) = one.effects();
    assert_eq!(reports[0].reported.peer, Some(peers[1]));
}

#[test]
fn a_node_of_before_says_nothing_of_the_network() {
    let text = r#"{"back":{"user":"u","session":"s","node":"n"}}"#;
    let message: Result<NodeMessage, _> = serde_json::from_str(text);
    let known = serde_json::to_string(&NodeMessage::Back {
        user: "u".into(),
        session: "s".into(),
        node: NodeId::from("n".to_owned()),
        peer: None,
    });
    assert_eq!(known.unwrap(), text, "as it was");
    assert!(message.is_ok(), "{message:?}");
}
