//! Two nodes of a cluster without the store between them: what one has for the other is handed on, as the bytes it is.

use super::*;
use crate::server::store::note::{Card, Note, Outcome, Record, RemoteCall};

const NODES: [u128; 2] = [0xa, 0xb];

struct Node {
    hub: Hub,
    id: NodeId,
}

impl Node {
    fn new(number: u128) -> Self {
        let id = NodeId::from(Uuid::from_u128(number).to_string());
        let config = HubConfig {
            node: Some(id.clone()),
            ..config()
        };

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
        Card {
            user,
            socket,
            person,
            node: self.id.clone(),
        }
    }

    /// The users that the hub has the store forget; everything else that it wants done is dropped.
    fn removed(&mut self) -> Vec<UserId> {
        let effects = std::iter::from_fn(|| self.hub.poll_effect());
        let removed = effects.filter_map(|effect| match effect {
            Effect::Store(Command::Remove { user, .. }) => Some(user),
            _ => None,
        });

        removed.collect()
    }

    /// Lets so many seconds pass, each deadline at its time.
    fn wait(&mut self, from: Instant, seconds: u64) -> Instant {
        let end = from + Duration::from_secs(seconds);
        for _ in 0..MANY {
            let Some(deadline) = self.hub.next_deadline().filter(|&deadline| deadline <= end)
            else {
                return end;
            };

            self.hub.tick(deadline.max(from));
        }

        panic!("the hub wants to be called again and again at one time");
    }

    /// What the hub wants done; notes as the bytes that another node gets.
    fn effects(&mut self) -> (Vec<ServerMessage>, Vec<String>, Vec<Report>) {
        let (mut sent, mut notes, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(_, envelope) => sent.push(envelope.message.clone()),
                Effect::Store(Command::Tell(_, note)) => {
                    notes.push(serde_json::to_string(&note).unwrap())
                }
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

/// Two clients of a node in a call that the store has made, and its session.
fn pair(node: &mut Node, subject: Option<&str>, now: Instant) -> (ClientKey, ClientKey, SessionId) {
    let (a, b) = (node.join(None), node.join(subject));
    let session = SessionId::from("s");

    for key in [a, b] {
        node.hub.receive(key, find().into(), now);
    }

    for (key, partner, initiator) in [(a, b, true), (b, a, false)] {
        let (user, partner) = (node.card(key).user, node.card(partner));
        let (interests, profile) = (Vec::new(), FindPartner::default());
        node.hub.note(
            Note::Matched {
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
        "they are in a call"
    );

    (a, b, session)
}

/// Somebody at `to` wants the place of `key` at `from`: `from` has given it up, and the store knows. The notes that tell
/// `to` so are still on their way.
fn give_up(
    from: &mut Node,
    key: ClientKey,
    to: &mut Node,
    now: Instant,
) -> (ClientKey, Vec<String>) {
    let token = from.hub.peers[&key].token.clone();
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
    from.hear(&asked, now);
    let (_, handed, _) = from.effects();

    (moved, handed)
}

#[test]
fn a_census_removes_nobody_who_is_on_the_way_here() {
    let [mut one, mut other] = NODES.map(Node::new);
    let start = Instant::now();
    let (a, _, session) = pair(&mut one, None, start);
    let user = one.card(a).user;
    let (moved, handed) = give_up(&mut one, a, &mut other, start);
    other
        .hub
        .outcome(Outcome::Census(vec![user.clone()]), start);

    assert_eq!(other.removed(), [], "it is on its way");
    let soon = other.wait(start, 1);
    other.hear(&handed, soon);
    other.wait(soon, 60);

    assert_eq!(other.removed(), [], "it has arrived");
    assert_eq!(
        other.hub.call(moved).map(|call| &call.session),
        Some(&session),
        "and its call goes on"
    );
    assert_eq!(other.card(moved).user, user);
}

#[test]
fn a_census_removes_nobody_whose_handover_is_lost() {
    let [mut one, mut other] = NODES.map(Node::new);
    let start = Instant::now();
    let (a, _, session) = pair(&mut one, None, start);
    let (card, token) = (one.card(a), one.hub.peers[&a].token.clone());
    let partner = one
        .hub
        .call(a)
        .map(|call| call.partner.user.clone())
        .expect("a call");
    let (moved, _) = give_up(&mut one, a, &mut other, start);
    other
        .hub
        .outcome(Outcome::Census(vec![card.user.clone()]), start);
    // The store is asked instead, and takes its time, too.
    let late = other.wait(start, 9);

    assert_eq!(other.removed(), [], "the store is still being asked");
    let partner = Card {
        user: partner,
        socket: "p".into(),
        person: "p".into(),
        node: card.node.clone(),
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
    }));
    other
        .hub
        .outcome(Outcome::Adopted { ticket: 0, record }, late);
    other.wait(late, 60);

    assert_eq!(other.removed(), [], "it is here");
    assert_eq!(
        other.hub.call(moved).map(|call| &call.session),
        Some(&session),
        "and its call goes on"
    );
}

#[test]
fn a_search_that_the_store_begins_anew_is_looked_at_again() {
    let mut node = Node::new(NODES[0]);
    let start = Instant::now();
    let searching = node.join(None);
    node.hub.receive(searching, find().into(), start);
    let soon = node.wait(start, 9);
    node.effects();
    // After a step of its clock the store counts the wait from here.
    node.hub.note(Note::LookAgain, soon);
    node.effects();
    let before = node.wait(soon, 9);
    node.effects();
    node.wait(before, 2);
    let is_retry = |effect: &Effect| matches!(effect, Effect::Store(Command::Retry(..)));
    let looked: Vec<_> = std::iter::from_fn(|| node.hub.poll_effect())
        .filter(is_retry)
        .collect();

    assert_eq!(
        looked.len(),
        1,
        "once the hold is over by the store's count, too: {looked:?}"
    );

    node.hub
        .receive(searching, ClientMessage::CancelSearch.into(), before);
    node.hub.outcome(
        Outcome::Cancelled {
            key: searching,
            is_matched: false,
            id: None,
        },
        before,
    );
    node.wait(before, 60);
    let left = std::iter::from_fn(|| node.hub.poll_effect()).find(is_retry);

    assert!(left.is_none(), "nothing is left of the search: {left:?}");
}

#[test]
fn who_left_while_the_store_was_away_is_removed_once() {
    let mut node = Node::new(NODES[0]);
    let start = Instant::now();
    let here = node.join(None);
    let user = node.card(here).user;
    let census = || Outcome::Census(vec!["gone".into(), user.clone(), "gone, too".into()]);
    node.hub.outcome(census(), start);
    let soon = node.wait(start, 2);
    // Looking again does not begin anew.
    node.hub.outcome(census(), soon);
    node.wait(soon, 2);

    assert_eq!(
        node.removed(),
        [UserId::from("gone"), UserId::from("gone, too")],
        "nobody came for them"
    );

    node.wait(soon, 60);
    assert_eq!(node.removed(), [], "that was all");
}

#[test]
fn who_moves_can_report_a_call_that_ended_before_until_ten_minutes_after_its_end() {
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
    let (moved, handed) = give_up(&mut one, a, &mut other, later);
    other.hear(&handed, later);
    let (sent, ..) = other.effects();

    assert!(
        matches!(sent[..], [ServerMessage::Resumed(_)]),
        "it goes on at the other node: {sent:?}"
    );
    assert!(!one.hub.peers.contains_key(&a), "and nowhere else");

    let report = || ClientMessage::Report {
        session_id: session.clone(),
        category: ReportCategory::Spam,
        text: None,
    };

    other
        .hub
        .receive(moved, report().into(), later + Duration::from_secs(299));
    let (_, _, reports) = other.effects();
    let reported = &reports.first().expect("it is recorded").reported;

    assert_eq!(
        (&reported.user_id, reported.subject.as_deref()),
        (&one.card(b).user, Some("bob")),
        "whom it met"
    );

    other
        .hub
        .receive(moved, report().into(), later + Duration::from_secs(300));
    let (sent, ..) = other.effects();
    assert_eq!(
        code(&sent),
        ErrorCode::NoSuchSession,
        "ten minutes are over, wherever they were spent"
    );
}
