//! Two nodes of a cluster without the store between them: what one has for the other is handed on, as the bytes it is.

use super::*;
use crate::server::store::note::{Card, Note};

const NODES: [u128; 2] = [0xa, 0xb];

struct Node {
    hub: Hub,
    id: NodeId,
}

impl Node {
    fn new(number: u128) -> Self {
        let id = NodeId::from(Uuid::from_u128(number).to_string());
        let config = HubConfig { node: Some(id.clone()), ..config() };
        let mut hub = Hub::new(config, counting_ids(number << 64));
        hub.store_is(true, Instant::now());
        Self { hub, id }
    }

    fn join(&mut self, subject: Option<&str>) -> ClientKey {
        self.hub.connect(subject.map(str::to_owned))
    }

    fn card(&self, key: ClientKey) -> Card {
        let peer = &self.hub.peers[&key];
        let (user, socket, person) = (peer.user.clone(), peer.socket.clone(), peer.person.clone());
        Card { user, socket, person, node: self.id.clone() }
    }

    /// What the hub wants done; notes as the bytes that another node gets.
    fn effects(&mut self) -> (Vec<ServerMessage>, Vec<String>, Vec<Report>) {
        let (mut sent, mut notes, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(_, envelope) => sent.push(envelope.message.clone()),
                Effect::Store(Command::Tell(_, note)) => notes.push(serde_json::to_string(&note).unwrap()),
                Effect::Report(_, report, _) => reports.push(*report),
                Effect::Store(_) | Effect::Close(..) => {}
            }
        }
        (sent, notes, reports)
    }

    fn hear(&mut self, notes: &[String], now: Instant) {
        for note in notes {
            self.hub.note(serde_json::from_str(note).unwrap(), now);
        }
    }
}

#[test]
fn who_moves_can_report_a_call_that_ended_before_until_ten_minutes_after_its_end() {
    let [mut one, mut other] = NODES.map(Node::new);
    let start = Instant::now();
    let (a, b) = (one.join(None), one.join(Some("bob")));
    let session = SessionId::from("s");
    for key in [a, b] {
        one.hub.receive(key, find().into(), start);
    }
    for (key, partner, initiator) in [(a, b, true), (b, a, false)] {
        let (user, partner) = (one.card(key).user, one.card(partner));
        let (interests, profile) = (Vec::new(), FindPartner::default());
        one.hub.note(Note::Matched { user, session: session.clone(), initiator, interests, partner, profile }, start);
    }
    assert!(one.hub.call(a).is_some() && one.hub.call(b).is_some(), "they are in a call");
    let token = one.hub.peers[&a].token.clone();
    let end = ClientMessage::EndSession { session_id: session.clone(), reason: None };
    one.hub.receive(b, end.into(), start);
    assert!(one.hub.call(a).is_none(), "the call is over");
    one.effects();

    let later = start + Duration::from_secs(300);
    let moved = other.join(None);
    other.hub.receive(moved, ClientMessage::Resume { resume_token: token, last_seq: 0 }.into(), later);
    let (_, asked, _) = other.effects();
    one.hear(&asked, later);
    let (_, handed, _) = one.effects();
    other.hear(&handed, later);
    let (sent, ..) = other.effects();
    assert!(matches!(sent[..], [ServerMessage::Resumed(_)]), "it goes on at the other node: {sent:?}");
    assert!(!one.hub.peers.contains_key(&a), "and nowhere else");

    let report = || ClientMessage::Report { session_id: session.clone(), category: ReportCategory::Spam, text: None };
    other.hub.receive(moved, report().into(), later + Duration::from_secs(299));
    let (_, _, reports) = other.effects();
    let reported = &reports.first().expect("it is recorded").reported;
    assert_eq!((&reported.user_id, reported.subject.as_deref()), (&one.card(b).user, Some("bob")), "whom it met");
    other.hub.receive(moved, report().into(), later + Duration::from_secs(300));
    let (sent, ..) = other.effects();
    assert_eq!(code(&sent), ErrorCode::NoSuchSession, "ten minutes are over, wherever they were spent");
}
