//! The life of one call as a state machine without sockets, threads or clocks: `Idle → Searching → Connecting →
//! InCall → Ended`.
//!
//! The owner feeds [`Input`]s and the time, carries out the [`Effect`]s in order, and calls
//! [`CallMachine::handle_timeout`] when [`CallMachine::poll_timeout`] says so. Descriptions and candidates pass through
//! unread: they are the partner's and the peer connection's business.
//!
//! Offers that cross are settled by perfect negotiation (W3C webrtc, §10.7): the side that the relay calls `initiator`
//! ignores the other's offer, the other side is the polite one and takes its own back.

mod call;
mod reason;
mod session;
#[cfg(test)]
mod tests;

pub use call::CallMachine;
pub use reason::{EndCode, EndReason};

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Text that the machine passes on without looking into it: the JSON of a description or of a candidate, an id.
pub type Text = Arc<str>;

/// Names one peer connection of this call, so that late news of a closed one cannot be mistaken for the present one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerId(pub u32);

/// Where a call is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing was asked for yet.
    Idle,
    /// Waiting for the relay to find a partner.
    Searching,
    /// A partner was found; the peer connection is being made.
    Connecting,
    /// Media flows.
    InCall,
    /// Over, with a reason. Final.
    Ended,
}

/// How long the machine waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the first connection to the relay.
    pub relay: Duration,
    /// For the relay to come back during a search.
    pub relay_return: Duration,
    /// For a partner, from the first search on. `None`: as long as it takes.
    pub partner: Option<Duration>,
    /// From being matched to being connected.
    pub connect: Duration,
    /// In a call: for any packet of the partner, RTP or RTCP. A muted partner still sends RTCP every second.
    pub silence: Duration,
    /// The same after the relay lost the partner too.
    pub silence_unregistered: Duration,
    /// Silence after which the user is told that the partner is having trouble.
    pub silence_notice: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            relay: Duration::from_secs(5),
            relay_return: Duration::from_secs(30),
            partner: None,
            connect: Duration::from_secs(20),
            silence: Duration::from_millis(5_600),
            silence_unregistered: Duration::from_secs(3),
            silence_notice: Duration::from_secs(2),
        }
    }
}

/// The partner that the relay found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The session's id.
    pub session_id: Text,
    /// The partner's socket id: what stands in `to`.
    pub partner: Text,
    /// Whether this side makes the offer.
    pub initiator: bool,
}

/// Why the relay says that the partner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Hung up, skipped or blocked: the partner wanted it.
    Wanted,
    /// The relay lost the partner's connection; the media may still flow.
    Lost,
}

/// What is wrong with a description that the partner sent, or with the peer connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerFault {
    /// The description does not parse, or contradicts itself.
    BadDescription,
    /// No video or audio format is known to both sides.
    NoCommonCodec,
    /// The peer connection could not be made or has broken down.
    Internal,
}

/// Everything that can happen to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The user wants a partner.
    Find,
    /// The user no longer wants a partner.
    Cancel,
    /// The user ends the call.
    HangUp,
    /// The user wants another partner.
    Next,
    /// The relay has registered us (again).
    SignalingUp,
    /// The relay took us back as who we were, without a search. `session_id`: the call that goes on there.
    SignalingResumed {
        /// The session, if one lives.
        session_id: Option<Text>,
    },
    /// The connection to the relay is lost; it is being tried again.
    SignalingDown,
    /// The relay offers no TURN server, and without one nothing may be sent.
    NoTurnServer,
    /// The relay refuses a search. `retry_after`: it may be tried again later.
    SearchRefused {
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// The relay found a partner.
    PartnerFound(Match),
    /// The partner's offer.
    Offer {
        /// The session it belongs to.
        session_id: Text,
        /// The offer as JSON.
        offer: Text,
    },
    /// The partner's answer.
    Answer {
        /// The session it belongs to.
        session_id: Text,
        /// The answer as JSON.
        answer: Text,
    },
    /// A candidate of the partner; the JSON `null` ends them.
    Candidate {
        /// The session it belongs to.
        session_id: Text,
        /// The candidate as JSON.
        candidate: Text,
    },
    /// The relay says that the partner is gone.
    PartnerLeft {
        /// The session that ended.
        session_id: Text,
        /// Of its own will or not.
        departure: Departure,
    },
    /// The relay lost the partner and waits for its return.
    PartnerReconnecting {
        /// The session.
        session_id: Text,
    },
    /// The partner is back at the relay.
    PartnerResumed {
        /// The session.
        session_id: Text,
    },
    /// The peer connection made an offer, to be sent.
    LocalOffer(PeerId, Text),
    /// The peer connection made an answer, to be sent.
    LocalAnswer(PeerId, Text),
    /// The peer connection found a candidate, to be sent; the JSON `null` ends them.
    LocalCandidate(PeerId, Text),
    /// The peer connection is up: DTLS is done.
    PeerConnected(PeerId),
    /// The path to the partner is broken at the moment; it may come back.
    PeerDisconnected(PeerId),
    /// The peer connection gave up.
    PeerFailed(PeerId),
    /// The partner closed the peer connection.
    PeerClosed(PeerId),
    /// An effect on the peer connection failed.
    PeerFaulted(PeerId, PeerFault),
    /// When the last packet of the partner came in (any RTP or RTCP).
    Heard(PeerId, Instant),
}

/// A message for the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// `find_partner`, with the profile that the shell knows.
    FindPartner,
    /// `cancel_search`.
    CancelSearch,
    /// `next`.
    Next {
        /// The session to leave.
        session_id: Text,
    },
    /// `end_session`.
    EndSession {
        /// The session to leave.
        session_id: Text,
    },
    /// `webrtc_offer`.
    Offer {
        /// The partner's socket.
        to: Text,
        /// The offer as JSON.
        offer: Text,
    },
    /// `webrtc_answer`.
    Answer {
        /// The partner's socket.
        to: Text,
        /// The answer as JSON.
        answer: Text,
    },
    /// `ice_candidate`.
    Candidate {
        /// The partner's socket.
        to: Text,
        /// The candidate as JSON, or `null`.
        candidate: Text,
    },
}

/// What the owner has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a message to the relay.
    Send(Outgoing),
    /// Make a peer connection.
    CreatePeer(PeerId),
    /// Make an offer and report it as [`Input::LocalOffer`].
    CreateOffer(PeerId),
    /// Apply the partner's offer, make an answer and report it as [`Input::LocalAnswer`].
    ApplyOffer {
        /// The peer connection.
        peer: PeerId,
        /// The offer as JSON.
        offer: Text,
        /// Take back the own offer first.
        rollback: bool,
    },
    /// Apply the partner's answer.
    ApplyAnswer {
        /// The peer connection.
        peer: PeerId,
        /// The answer as JSON.
        answer: Text,
    },
    /// Add a candidate of the partner.
    AddCandidate {
        /// The peer connection.
        peer: PeerId,
        /// The candidate as JSON, or `null`.
        candidate: Text,
    },
    /// Close the peer connection.
    ClosePeer(PeerId),
    /// Tell the user.
    Notify(Notice),
}

/// News for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The search began (again).
    Searching,
    /// A partner was found.
    Matched(Match),
    /// The call is up.
    Connected,
    /// The relay is out of reach; a call goes on without it.
    SignalingLost,
    /// The relay is back.
    SignalingBack,
    /// The partner is having trouble; the call may come back.
    PartnerReconnecting,
    /// The partner is back.
    PartnerBack,
    /// The call is over.
    Ended(EndReason),
}
