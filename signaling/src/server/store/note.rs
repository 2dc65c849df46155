//! What relay nodes tell each other and the shared store: the types, without a socket.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::*;
use crate::server::edge::reports::Report;
use crate::server::hub::ClientKey;

/// One relay node: a random UUID for each start.
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

/// What a node needs to know of somebody else's user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct Card {
    pub(in crate::server) user: UserId,
    pub(in crate::server) socket: SocketId,
    /// Under whom blocks and re-match rules are kept.
    pub(in crate::server) person: UserId,
    pub(in crate::server) node: NodeId,
}

/// A user as the store keeps it, from the first search on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct Record {
    pub(in crate::server) card: Card,
    pub(in crate::server) token: String,
    pub(in crate::server) profile: FindPartner,
    /// The person of the last call that ended.
    #[serde(default)]
    pub(in crate::server) last_partner: Option<UserId>,
    #[serde(default)]
    pub(in crate::server) call: Option<RemoteCall>,
    /// Only on the way to another node, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::server) ended: Vec<EndedCall>,
}

/// A call that ended a short while ago and can still be reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct EndedCall {
    pub(in crate::server) session: SessionId,
    pub(in crate::server) partner: UserId,
    pub(in crate::server) person: UserId,
    /// Nodes do not share a clock.
    pub(in crate::server) ago_ms: u64,
}

/// A call as the store and other nodes know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct RemoteCall {
    pub(in crate::server) session: SessionId,
    pub(in crate::server) partner: Card,
}

/// One relayed payload, still as the bytes that came.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::server) enum Payload {
    Offer(Box<RawValue>),
    Answer(Box<RawValue>),
    Candidate(Box<RawValue>),
}

impl Payload {
    pub(in crate::server) fn bytes(&self) -> usize {
        let (Self::Offer(raw) | Self::Answer(raw) | Self::Candidate(raw)) = self;
        raw.get().len()
    }

    /// As the message to its receiver.
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

/// From node to node, or from a script of the store to a node. Tagged from outside: payloads pass unparsed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::server) enum Note {
    /// The store has matched a user of this node.
    Matched {
        user: UserId,
        session: SessionId,
        initiator: bool,
        interests: Vec<String>,
        partner: Card,
        profile: FindPartner,
    },
    /// To a user of this node, from their partner.
    Relay {
        user: UserId,
        session: SessionId,
        from: SocketId,
        sender: UserId,
        node: NodeId,
        payload: Payload,
    },
    /// A user's relayed message was not taken: the partner is away and its buffer full, or it is gone.
    Refused { user: UserId, session: SessionId },
    /// The call is over because of the partner.
    Left {
        user: UserId,
        session: SessionId,
        reason: LeaveReason,
    },
    /// The partner's connection broke.
    Away { user: UserId, session: SessionId },
    /// The partner is back, on this node.
    Back {
        user: UserId,
        session: SessionId,
        node: NodeId,
    },
    /// Who waits may have been passed over: all that the store should know is said again.
    LookAgain,
    /// Somebody wants to go on at node `by` with a token of this node.
    Takeover {
        token: String,
        subject: Option<String>,
        by: NodeId,
        ticket: u64,
    },
    /// The answer to it.
    Handover {
        ticket: u64,
        state: Option<Box<Handed>>,
    },
}

/// A user on the way from one node to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct Handed {
    pub(in crate::server) record: Record,
    pub(in crate::server) seq: u64,
    pub(in crate::server) kept: Vec<HandedMessage>,
    pub(in crate::server) partner_away: bool,
    /// The store knows this user.
    pub(in crate::server) is_recorded: bool,
}

/// A message that may have to be sent again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::server) struct HandedMessage {
    pub(in crate::server) seq: u64,
    pub(in crate::server) from: SocketId,
    pub(in crate::server) session: SessionId,
    pub(in crate::server) payload: Payload,
}

/// What the hub asks of the shared store, in order.
#[derive(Debug)]
pub(in crate::server) enum Command {
    /// Enter the queue. A partner comes as [`Note::Matched`], to both nodes.
    Join(Box<Record>, SessionId),
    /// A hold of this user has run out: look again.
    Retry(UserId, SessionId),
    /// Leave the queue; answered by [`Outcome::Cancelled`] if somebody asks.
    Cancel {
        user: UserId,
        ask: Option<(ClientKey, Option<RequestId>)>,
    },
    /// End a call. The partner's node is told, if it is another one.
    End {
        user: UserId,
        session: SessionId,
        reason: LeaveReason,
    },
    /// Forget a user.
    Remove { user: UserId, reason: LeaveReason },
    /// Two persons never meet again.
    Block { user: UserId, partner: UserId },
    /// To another node.
    Tell(NodeId, Box<Note>),
    /// Take over a user whose node has died; answered by [`Outcome::Adopted`].
    Adopt {
        ticket: u64,
        token: String,
        subject: Option<String>,
    },
    /// What this node knows of a user, after it moved or after the store was away.
    Sync(Box<Record>),
    /// A user goes on at another node: from now on its fate is that node's.
    Move { user: UserId, to: NodeId },
    /// Whom the store takes for users of this node; answered by [`Outcome::Census`].
    Census,
    /// Write a report down; answered by [`Outcome::Reported`].
    Report {
        key: ClientKey,
        report: Box<Report>,
        id: Option<RequestId>,
    },
}

/// What became of a [`Command`].
#[derive(Debug)]
pub(in crate::server) enum Outcome {
    /// The store did not take a search.
    NotJoined(UserId),
    /// `is_matched`: the store has found a partner before.
    Cancelled {
        key: ClientKey,
        is_matched: bool,
        id: Option<RequestId>,
    },
    /// No node listens there.
    Undelivered(Box<Note>),
    Adopted {
        ticket: u64,
        record: Option<Box<Record>>,
    },
    /// Users of this node, as the store knows it.
    Census(Vec<UserId>),
    /// The store knows that this call has ended.
    Ended { user: UserId, session: SessionId },
    Reported {
        key: ClientKey,
        report_id: String,
        recorded: bool,
        id: Option<RequestId>,
    },
}

impl Command {
    /// What follows when the store could not be asked.
    pub(in crate::server) fn failed(self) -> Option<Outcome> {
        match self {
            Self::Join(record, _) => Some(Outcome::NotJoined(record.card.user)),
            Self::Cancel {
                ask: Some((key, id)),
                ..
            } => Some(Outcome::Cancelled {
                key,
                is_matched: false,
                id,
            }),
            Self::Tell(_, note) => Some(Outcome::Undelivered(note)),
            Self::Adopt { ticket, .. } => Some(Outcome::Adopted {
                ticket,
                record: None,
            }),
            Self::Report { key, report, id } => Some(Outcome::Reported {
                key,
                report_id: report.report_id,
                recorded: false,
                id,
            }),
            // When the store is back it hears what is true then.
            Self::Retry(..)
            | Self::Cancel { ask: None, .. }
            | Self::End { .. }
            | Self::Remove { .. }
            | Self::Block { .. }
            | Self::Move { .. }
            | Self::Census
            | Self::Sync(_) => None,
        }
    }
}
