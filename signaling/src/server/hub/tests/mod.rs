//! The hub's rules, one by one, and random walks that check its invariants after every step
//! (`random`).
#![allow(clippy::disallowed_methods, reason = "tests start at the present")]

mod blocks;
mod calls;
mod claims;
mod cluster_ring;
mod guests;
mod random;
mod resume;
mod ring;
mod takeover;
mod turn_access;

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::client::PartnerLocation;
use super::*;
use crate::message::{ClaimRoom, FindPartner, FormerClaim, ReportCategory, SessionId};

/// More deadlines than a hub has within the longest wait of a test.
const MAX_DEADLINES: u32 = 100_000;

/// A hub with a clock, and the messages sent to each client.
struct World {
    hub: Hub,
    now: Instant,
    inbox: BTreeMap<ClientKey, Vec<ServerEnvelope>>,
    closed: BTreeMap<ClientKey, CloseReason>,
    reports: Vec<Report>,
    /// The searches that were no failed guesses.
    found_rooms: Vec<ClientKey>,
    /// What the metrics counted of knocks.
    knocks: Vec<KnockEvent>,
    /// What the TURN server was told.
    revoked: Vec<Revocation>,
    /// The rooms that clients have claimed, oldest first, with their tokens.
    claims: Vec<FormerClaim>,
}

impl World {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: HubConfig) -> Self {
        Self {
            hub: Hub::new(config, counting_ids(0)),
            now: Instant::now(),
            inbox: BTreeMap::new(),
            closed: BTreeMap::new(),
            reports: Vec::new(),
            found_rooms: Vec::new(),
            knocks: Vec::new(),
            revoked: Vec::new(),
            claims: Vec::new(),
        }
    }

    fn settle(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(to, envelope) => {
                    self.inbox.entry(to).or_default().push((*envelope).clone());
                }
                Effect::Report(key, report, id) => {
                    self.hub
                        .report_recorded(key, report.report_id.clone(), Ok(()), id);
                    self.reports.push(*report);
                }
                Effect::Store(command) => panic!("this hub has no store: {command:?}"),
                Effect::RoomFound(key) => self.found_rooms.push(key),
                Effect::Recorded(..) => panic!("this hub has no store"),
                Effect::Knock(event) => self.knocks.push(event),
                Effect::Revoke(revocation) => self.revoked.push(revocation),
                Effect::Close(key, reason) => {
                    assert!(
                        !self.hub.clients.contains_key(&key),
                        "the hub forgets a client that it closes"
                    );

                    assert!(
                        self.closed.insert(key, reason).is_none(),
                        "a client is closed once"
                    );
                }
            }
        }
    }

    fn join(&mut self) -> ClientKey {
        self.join_as(ClientRole::Anyone)
    }

    fn join_as(&mut self, role: ClientRole) -> ClientKey {
        let key = self.hub.connect(None, role, None);
        self.settle();
        let inbox = self.take(key);

        assert!(
            matches!(inbox[..], [ServerMessage::UserRegistered(_)]),
            "registration comes first: {inbox:?}"
        );

        key
    }

    /// Sends a message. Returns what the sender got.
    fn say(&mut self, key: ClientKey, message: ClientMessage) -> Vec<ServerMessage> {
        self.hub.receive(key, message.into(), self.now);
        self.settle();
        let heard = self.take(key);
        for message in &heard {
            if let ServerMessage::RoomClaimed(claimed) = message {
                self.claims.push(FormerClaim {
                    room: claimed.room.clone(),
                    claim_token: claimed.claim_token.clone().expect("a token"),
                });
            }
        }

        heard
    }

    /// The connection breaks.
    fn lose(&mut self, key: ClientKey) {
        self.hub.disconnect(key, self.now);
        self.settle();
    }

    /// A new connection resumes `old`. Returns its key and what it got.
    fn come_back(&mut self, old: ClientKey, last_seq: u64) -> (ClientKey, Vec<ServerMessage>) {
        let resume_token = self.hub.clients[&old].token.as_str().to_owned();
        let key = self.join();
        let heard = self.say(
            key,
            ClientMessage::Resume {
                resume_token,
                last_seq,
            },
        );

        (key, heard)
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        for _ in 0..MAX_DEADLINES {
            let Some(deadline) = self.hub.next_deadline().filter(|&deadline| deadline <= end)
            else {
                self.now = end;
                return;
            };

            self.now = self.now.max(deadline);
            self.hub.tick(self.now);
            self.settle();
        }

        panic!("the hub has a new deadline at the same time over and over");
    }

    fn take(&mut self, key: ClientKey) -> Vec<ServerMessage> {
        self.inbox
            .remove(&key)
            .unwrap_or_default()
            .into_iter()
            .map(|envelope| envelope.message)
            .collect()
    }

    fn kinds(&mut self, key: ClientKey) -> Vec<&'static str> {
        self.take(key).iter().map(ServerMessage::kind).collect()
    }

    fn pair(&mut self) -> (ClientKey, ClientKey) {
        let (a, b) = (self.join(), self.join());
        self.say(a, find());
        self.say(b, find());

        assert_eq!(
            self.kinds(a),
            ["partner_found"],
            "two clients that search are matched"
        );

        (a, b)
    }

    fn session(&self, key: ClientKey) -> SessionId {
        self.hub.clients[&key]
            .call
            .as_ref()
            .expect("in a call")
            .session
            .clone()
    }

    fn partner(&self, key: ClientKey) -> Option<ClientKey> {
        match self.hub.call(key)?.partner.location {
            PartnerLocation::Local(partner) => Some(partner),
            PartnerLocation::Node(_) => panic!("there are no other nodes"),
        }
    }

    fn socket(&self, key: ClientKey) -> SocketId {
        self.hub.clients[&key].socket.clone()
    }

    fn user(&self, key: ClientKey) -> UserId {
        self.hub.clients[&key].user.clone()
    }
}

fn config() -> HubConfig {
    HubConfig {
        heartbeat: Duration::from_secs(25),
        silent: Duration::from_secs(60),
        resume_window: Duration::from_secs(30),
        takes_reports: true,
        admits_guests: false,
        clock: || SystemTime::UNIX_EPOCH,
        node: None,
        ice: IceSource::new(Vec::new(), None),
        holds: Holds {
            interests: Duration::from_secs(5),
            rematch: Duration::from_secs(10),
        },
    }
}

fn counting_ids(first: u128) -> Box<dyn FnMut() -> Uuid + Send> {
    let mut counter = first;
    Box::new(move || {
        counter += 1;
        Uuid::from_u128(counter)
    })
}

fn find() -> ClientMessage {
    ClientMessage::FindPartner(FindPartner::default())
}

fn in_room(code: &str) -> ClientMessage {
    ClientMessage::FindPartner(FindPartner {
        room: Some(code.into()),
        ..FindPartner::default()
    })
}

fn candidate(to: SocketId) -> ClientMessage {
    ClientMessage::IceCandidate {
        to,
        candidate: RawValue::NULL.to_owned(),
    }
}

fn code(messages: &[ServerMessage]) -> ErrorCode {
    match messages {
        [ServerMessage::Error(report)] => report.code,
        other => panic!("expected one error: {other:?}"),
    }
}

fn left(messages: &[ServerMessage]) -> LeaveReason {
    match messages {
        [ServerMessage::PartnerLeft(left)] => left.reason,
        other => panic!("expected one partner_left: {other:?}"),
    }
}

/// Claims a room for this client, which has none.
fn claim(world: &mut World, key: ClientKey) -> String {
    world.take(key);
    match &world.say(key, ClientMessage::ClaimRoom(ClaimRoom::default()))[..] {
        [ServerMessage::RoomClaimed(claimed)] => {
            assert_eq!(claimed.expires_ms, 600_000);
            claimed.room.clone()
        }
        other => panic!("expected a room: {other:?}"),
    }
}
