//! What nodes send to each other, and what they ask of the shared store: the types.
//!
//! [`NodeMessage`], [`Record`] and everything in them travel between nodes as JSON, and
//! `cluster.lua` reads and writes some of it. Nodes of different versions may share a store during
//! an upgrade, so fields and variants keep their names.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::{
    ClaimToken, ErrorCode, FindPartner, Knock, KnockEnd, KnockId, LeaveReason, RelayedAnswer,
    RelayedCandidate, RelayedOffer, RequestId, ServerMessage, SessionId, SocketId, UserId,
};
use crate::server::client_key::ClientKey;
use crate::server::edge::KnockEvent;
use crate::server::hub::ids::{PersonId, ResumeToken, Ticket};
use crate::server::moderation::key::PeerHash;
use crate::server::moderation::report::Report;
use crate::server::moderation::report_file::Written;

/// One node of the cluster: a random UUID, new with each start.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(in crate::server) struct NodeId(Arc<str>);

impl NodeId {
    pub(in crate::server) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for NodeId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.as_str().to_owned()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who a client is and where: what other nodes need to know about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct Card {
    pub(in crate::server) user: UserId,
    pub(in crate::server) socket: SocketId,
    pub(in crate::server) person: PersonId,
    pub(in crate::server) node: NodeId,
    /// Not in the cards that `cluster.lua` writes: see [`StoredProfile`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::server) peer: Option<PeerHash>,
}

/// A profile as the store keeps it and passes it on, unread: with who the client is to the operator,
/// which another node needs for a report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct StoredProfile {
    #[serde(flatten)]
    pub(in crate::server) profile: FindPartner,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::server) peer: Option<PeerHash>,
}

/// A client as the store keeps it, from its first search on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct Record {
    pub(in crate::server) card: Card,
    pub(in crate::server) token: ResumeToken,
    pub(in crate::server) profile: FindPartner,
    /// The partner of the last call that ended.
    #[serde(default)]
    pub(in crate::server) last_partner: Option<PersonId>,
    #[serde(default)]
    pub(in crate::server) call: Option<RemoteCall>,
    /// Oldest first. Only filled when the client changes nodes: the store keeps its own list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::server) ended: Vec<EndedCall>,
    /// Only filled when the client changes nodes and in [`StoreCommand::Sync`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::server) listening: Option<ListeningRecord>,
    /// The rooms that it has claimed, oldest first. Only filled when the client changes nodes and in
    /// [`StoreCommand::Sync`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::server) claims: Vec<ClaimRecord>,
}

/// A room that a client has claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct ClaimRecord {
    pub(in crate::server) room: String,
    /// The [`ClaimHash`](crate::server::hub::ids::ClaimHash) of its token, as text.
    pub(in crate::server) hash: String,
    /// In how many milliseconds it ends, because the client's call there is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::server) ends_ms: Option<u64>,
}

/// In which rooms a client listens, and who rings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct ListeningRecord {
    pub(in crate::server) rooms: Vec<String>,
    #[serde(default)]
    pub(in crate::server) knock: Option<Box<Knock>>,
    /// The last knock that the client may not know to have ended.
    #[serde(default)]
    pub(in crate::server) shown: Option<KnockId>,
}

/// A call that is over and can still be reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct EndedCall {
    pub(in crate::server) session: SessionId,
    pub(in crate::server) partner: UserId,
    pub(in crate::server) person: PersonId,
    /// Not in what `cluster.lua` writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::server) peer: Option<PeerHash>,
    /// Milliseconds since it ended. An age, not a time: nodes do not share a clock.
    pub(in crate::server) ago_ms: u64,
}

/// A call as the store and other nodes know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct RemoteCall {
    pub(in crate::server) session: SessionId,
    pub(in crate::server) partner: Card,
}

/// What a client sends to its partner, as the bytes that came: the server does not parse it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::server) enum Payload {
    Offer(Box<RawValue>),
    Answer(Box<RawValue>),
    Candidate(Box<RawValue>),
}

impl Payload {
    /// Length of the JSON text.
    pub(in crate::server) fn bytes(&self) -> usize {
        let (Self::Offer(raw) | Self::Answer(raw) | Self::Candidate(raw)) = self;
        raw.get().len()
    }

    /// The message for the receiver.
    pub(in crate::server) fn into_message(
        self,
        from: SocketId,
        session_id: SessionId,
        seq: u64,
    ) -> ServerMessage {
        match self {
            Self::Offer(offer) => ServerMessage::WebrtcOffer(RelayedOffer {
                offer,
                from,
                session_id,
                seq,
            }),
            Self::Answer(answer) => ServerMessage::WebrtcAnswer(RelayedAnswer {
                answer,
                from,
                session_id,
                seq,
            }),
            Self::Candidate(candidate) => ServerMessage::IceCandidate(RelayedCandidate {
                candidate,
                from,
                session_id,
                seq,
            }),
        }
    }

    /// The reverse of [`into_message`](Self::into_message).
    pub(in crate::server) fn from_message(
        message: &ServerMessage,
    ) -> Option<(Self, &SocketId, &SessionId, u64)> {
        Some(match message {
            ServerMessage::WebrtcOffer(RelayedOffer {
                offer,
                from,
                session_id,
                seq,
            }) => (Self::Offer(offer.clone()), from, session_id, *seq),
            ServerMessage::WebrtcAnswer(RelayedAnswer {
                answer,
                from,
                session_id,
                seq,
            }) => (Self::Answer(answer.clone()), from, session_id, *seq),
            ServerMessage::IceCandidate(RelayedCandidate {
                candidate,
                from,
                session_id,
                seq,
            }) => (Self::Candidate(candidate.clone()), from, session_id, *seq),
            _ => return None,
        })
    }
}

/// From one node to another, or from `cluster.lua` to a node. `user` is the client that it is for.
///
/// Externally tagged, because serde can only pass a `RawValue` through that representation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::server) enum NodeMessage {
    /// The store has matched `user` with `partner`, whose profile is `profile`.
    Matched {
        user: UserId,
        session: SessionId,
        initiator: bool,
        interests: Vec<String>,
        partner: Card,
        profile: StoredProfile,
    },
    /// An offer, answer or candidate from `user`'s partner, who is `sender` on `node`.
    Relay {
        user: UserId,
        session: SessionId,
        from: SocketId,
        sender: UserId,
        node: NodeId,
        payload: Payload,
    },
    /// A message that `user` sent to its partner was not delivered: the partner is gone, or away
    /// with as much as allowed waiting for it.
    Refused { user: UserId, session: SessionId },
    /// The partner has left the call.
    Left {
        user: UserId,
        session: SessionId,
        reason: LeaveReason,
    },
    /// A caller rings at `user`, who listens.
    Knock { user: UserId, knock: Box<Knock> },
    /// A knock at `user` has ended without its decision.
    KnockEnded {
        user: UserId,
        knock: KnockId,
        reason: KnockEnd,
    },
    /// The search of `user` with this number rings, or, without a knock, no longer does.
    Ringing {
        user: UserId,
        search: u64,
        knock: Option<KnockId>,
    },
    /// The search of `user` with this number may ring in `ms` milliseconds: look again then.
    KnockLater { user: UserId, search: u64, ms: u64 },
    /// The search of `user` with this number has failed.
    SearchEnded {
        user: UserId,
        search: u64,
        code: ErrorCode,
    },
    /// The partner's connection is broken.
    Away { user: UserId, session: SessionId },
    /// The partner is back, on `node`.
    Back {
        user: UserId,
        session: SessionId,
        node: NodeId,
        /// Who the partner is to the operator there: it may be in another network. Not from older nodes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<PeerHash>,
    },
    /// The store may have passed over searches of this node, because the node stood still or the
    /// clock was set: send the store everything again.
    LookAgain,
    /// A client connected to node `by` with a resume token of this node.
    Takeover {
        token: ResumeToken,
        subject: Option<String>,
        by: NodeId,
        ticket: Ticket,
    },
    /// The answer to it; without a state if the token is not known here.
    Handover {
        ticket: Ticket,
        state: Option<Box<HandoverState>>,
    },
    /// For all nodes: what is over for their TURN servers. `by` has told its own already.
    TurnEnded { by: NodeId, end: TurnEnd },
}

/// What may use no TURN server any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::server) enum TurnEnd {
    Session(SessionId),
    User(UserId),
}

/// A client on its way from one node to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct HandoverState {
    pub(in crate::server) record: Record,
    /// The number of the last message relayed to it.
    pub(in crate::server) seq: u64,
    /// The messages that it may not have received, oldest first.
    pub(in crate::server) kept: Vec<KeptMessage>,
    pub(in crate::server) partner_away: bool,
    /// Whether the store has a record of it.
    pub(in crate::server) is_recorded: bool,
}

/// A relayed message that may have to be sent again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct KeptMessage {
    pub(in crate::server) seq: u64,
    pub(in crate::server) from: SocketId,
    pub(in crate::server) session: SessionId,
    pub(in crate::server) payload: Payload,
}

/// What the hub asks of the shared store. The store carries commands out in order.
#[derive(Debug)]
pub(in crate::server) enum StoreCommand {
    /// Look for a partner, else enter the queue. A match, which gets this session id, comes as
    /// [`NodeMessage::Matched`] to both nodes. The number distinguishes the searches of a client.
    Join(Box<Record>, SessionId, u64),
    /// Replace the rooms in which a client listens. Answered by [`StoreOutcome::Listening`].
    Listen {
        record: Box<Record>,
        rooms: Vec<String>,
        id: Option<RequestId>,
    },
    /// Begin the call with the caller of this knock. The record has the profile and the room
    /// of the call. Answered by [`StoreOutcome::KnockAnswered`].
    Accept {
        record: Box<Record>,
        knock: KnockId,
        session: SessionId,
        id: Option<RequestId>,
    },
    /// End the search of the caller of this knock. Answered by
    /// [`StoreOutcome::KnockAnswered`].
    Decline {
        user: UserId,
        knock: KnockId,
        id: Option<RequestId>,
    },
    /// End a search that has rung for too long.
    Unanswered { user: UserId, knock: KnockId },
    /// Claim the room of `former`, if its token is right, else one that `random` chooses among the
    /// free ones, for which `token` is good then. Answered by [`StoreOutcome::Claimed`].
    Claim {
        record: Box<Record>,
        random: u32,
        token: ClaimToken,
        former: Option<(u32, ClaimToken)>,
        key: ClientKey,
        id: Option<RequestId>,
    },
    /// Free a room that this user has claimed. Answered by [`StoreOutcome::Released`].
    Release {
        user: UserId,
        number: u32,
        key: ClientKey,
        id: Option<RequestId>,
    },
    /// Look for a partner again: one of this client's holds has run out.
    Retry(UserId, SessionId),
    /// Leave the queue. With `reply_to`, answered by [`StoreOutcome::Cancelled`].
    Cancel {
        user: UserId,
        reply_to: Option<(ClientKey, Option<RequestId>)>,
    },
    /// End a call. The store notifies the partner's node, if it is another one.
    End {
        user: UserId,
        session: SessionId,
        reason: LeaveReason,
    },
    /// Forget a client, and end its call.
    Remove { user: UserId, reason: LeaveReason },
    /// Never match the persons behind these two users again: `person` has blocked `other`, whom the
    /// store looks up if this node does not know it.
    Block {
        user: UserId,
        person: PersonId,
        partner: UserId,
        other: Option<PersonId>,
    },
    /// Blocks of people with a bearer token that this node knows: who has blocked, and whom.
    BlockAgain(Vec<(PersonId, PersonId)>),
    /// Pass a message on to another node. If no node listens there, the outcome is
    /// [`StoreOutcome::Undelivered`].
    Send(NodeId, Box<NodeMessage>),
    /// Pass a message on to all nodes, this one included.
    Tell(Box<NodeMessage>),
    /// Take over a client whose node has died. Answered by [`StoreOutcome::Adopted`].
    Adopt {
        ticket: Ticket,
        token: ResumeToken,
        subject: Option<String>,
    },
    /// The current state of a client, after it changed nodes or the store was away. If the store
    /// knows that its call is over, the outcome is [`StoreOutcome::Ended`].
    Sync(Box<Record>),
    /// A client now belongs to another node.
    Move { user: UserId, to: NodeId },
    /// Which clients the store believes to be on this node. Answered by [`StoreOutcome::Census`].
    Census,
    /// Record a report. Answered by [`StoreOutcome::Reported`].
    Report {
        key: ClientKey,
        report: Box<Report>,
        id: Option<RequestId>,
    },
}

/// The result of a [`StoreCommand`], where the hub needs to know it.
#[derive(Debug)]
pub(in crate::server) enum StoreOutcome {
    /// The store did not accept a search.
    NotJoined(UserId),
    /// The store accepted a search.
    Joined(UserId),
    /// The rooms in which a client listens now; `None` if the store was away.
    Listening {
        user: UserId,
        rooms: Option<Vec<String>>,
        id: Option<RequestId>,
    },
    /// The knock was accepted or declined, as `event` says, if it existed; `None` if the store was
    /// away.
    KnockAnswered {
        user: UserId,
        knock: KnockId,
        event: KnockEvent,
        existed: Option<bool>,
        id: Option<RequestId>,
    },
    /// There is no such room, so the search has ended.
    NoSuchRoom(UserId),
    /// Too many guests wait in this claimed room, so the search has ended.
    RoomFull(UserId),
    /// A client has claimed this room, with the token that claims it again; `None`: no room could be
    /// claimed.
    Claimed {
        key: ClientKey,
        claimed: Option<(u32, ClaimToken)>,
        id: Option<RequestId>,
    },
    /// A client's room is free, if it was the client's; `None` if the store was away.
    Released {
        key: ClientKey,
        number: u32,
        existed: Option<bool>,
        id: Option<RequestId>,
    },
    /// The search has ended, or, with `is_matched`, had found a partner before.
    Cancelled {
        key: ClientKey,
        is_matched: bool,
        id: Option<RequestId>,
    },
    /// No node received the message.
    Undelivered(Box<NodeMessage>),
    /// The client is this node's now; without a record if there is nothing to adopt.
    Adopted {
        ticket: Ticket,
        record: Option<Box<Record>>,
    },
    /// The clients that the store believes to be on this node.
    Census(Vec<UserId>),
    /// The store knows that this call is over.
    Ended { user: UserId, session: SessionId },
    /// What became of a report.
    Reported {
        key: ClientKey,
        report: Box<Report>,
        /// `None`: it was not recorded.
        recorded: Option<Written>,
        id: Option<RequestId>,
    },
}

impl StoreCommand {
    /// The outcome if the store cannot be reached.
    pub(in crate::server) fn failed(self) -> Option<StoreOutcome> {
        match self {
            Self::Join(record, ..) => Some(StoreOutcome::NotJoined(record.card.user)),
            Self::Listen { record, id, .. } => Some(StoreOutcome::Listening {
                user: record.card.user,
                rooms: None,
                id,
            }),
            Self::Accept {
                record, knock, id, ..
            } => Some(StoreOutcome::KnockAnswered {
                user: record.card.user,
                knock,
                event: KnockEvent::Accepted,
                existed: None,
                id,
            }),
            Self::Decline { user, knock, id } => Some(StoreOutcome::KnockAnswered {
                user,
                knock,
                event: KnockEvent::Declined,
                existed: None,
                id,
            }),
            Self::Cancel {
                reply_to: Some((key, id)),
                ..
            } => Some(StoreOutcome::Cancelled {
                key,
                is_matched: false,
                id,
            }),
            Self::Claim { key, id, .. } => Some(StoreOutcome::Claimed {
                key,
                claimed: None,
                id,
            }),
            Self::Release {
                key, number, id, ..
            } => Some(StoreOutcome::Released {
                key,
                number,
                existed: None,
                id,
            }),
            Self::Send(_, message) => Some(StoreOutcome::Undelivered(message)),
            Self::Adopt { ticket, .. } => Some(StoreOutcome::Adopted {
                ticket,
                record: None,
            }),
            Self::Report { key, report, id } => Some(StoreOutcome::Reported {
                key,
                report,
                recorded: None,
                id,
            }),
            // When the store is back, it gets the state of that moment anyway; a ring without
            // an answer is reported until it has ended.
            Self::Retry(..)
            | Self::Tell(_)
            | Self::Unanswered { .. }
            | Self::Cancel { reply_to: None, .. }
            | Self::End { .. }
            | Self::Remove { .. }
            | Self::Block { .. }
            | Self::BlockAgain(_)
            | Self::Move { .. }
            | Self::Census
            | Self::Sync(_) => None,
        }
    }
}
