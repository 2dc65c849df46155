//! The life of one call as a state machine without sockets, threads or clocks: `Idle → Searching →
//! Connecting → InCall → Ended`.
//!
//! The shell feeds [`Input`]s and the time, carries out the [`Effect`]s in order, and calls
//! [`CallMachine::handle_timeout`] when [`CallMachine::poll_timeout`] is due. The machine does not
//! read descriptions and candidates: it passes them between the signaling server and the peer
//! connection.
//!
//! When both sides offer at once, perfect negotiation decides (W3C webrtc §10.7): the side that the
//! signaling server calls `initiator` ignores the other's offer; the other side is the polite peer
//! and rolls its own offer back.
//!
//! If the peer connection itself breaks, or restarting ICE does not help, a fresh one takes its place
//! in the same call, if the partner says that it can do that ([`Effect::ReplacePeer`]). Their numbers
//! tell what belongs to which (`connections`).

mod call;
mod connections;
mod ids;
mod problem;
mod reason;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use call::CallMachine;
pub(crate) use ids::{
    CandidateJson, DescriptionJson, KnockId, MoveJson, PeerId, SessionId, SocketId, Text,
};
pub use problem::ConnectProblem;
pub use reason::{EndCode, EndReason};

use std::time::{Duration, Instant};

/// Where a call is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Not started.
    Idle,
    /// Waiting for the signaling server to find a partner.
    Searching,
    /// Matched; the peer connection is being established.
    Connecting,
    /// Connected: media flows.
    InCall,
    /// Over, with a reason. Final.
    Ended,
}

/// How long a call waits before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimeouts {
    /// For the first connection to the signaling server.
    pub signaling: Duration,
    /// For the signaling server to come back during a search.
    pub signaling_return: Duration,
    /// For a partner, from the first search on. `None`: no limit.
    pub partner: Option<Duration>,
    /// From the match to the connection.
    pub connect: Duration,
    /// From the match to the end of the handshake that verifies the partner. By the code of an invite
    /// the call ends then; otherwise there are no safety words, unless they come later.
    pub verification: Duration,
    /// In a call: for any packet from the partner, RTP or RTCP, while the signaling server is out of
    /// reach or no longer knows the session. A muted partner still sends RTCP every second. In a call
    /// without media, the partner answers checks.
    pub silence: Duration,
    /// In a call: the same, while the signaling server keeps the session. It drops one whose client
    /// stays away.
    pub silence_in_session: Duration,
    /// Silence after which the call reports that it is reconnecting.
    pub silence_notice: Duration,
    /// Silence after which the call looks for another route though nothing has changed here. Until
    /// then, the old one may come back, which looking for another one prevents.
    pub restart: Duration,
}

impl Default for CallTimeouts {
    fn default() -> Self {
        Self {
            signaling: Duration::from_secs(5),
            signaling_return: Duration::from_secs(30),
            partner: None,
            connect: Duration::from_secs(20),
            // The moves are three messages through the server; the connection may take longer.
            verification: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            silence_in_session: Duration::from_secs(120),
            silence_notice: Duration::from_secs(2),
            restart: Duration::from_secs(10),
        }
    }
}

/// The partner that the signaling server found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    /// The session's id.
    pub(crate) session_id: SessionId,
    /// Where messages for the partner go: `to` in the protocol.
    pub(crate) partner: SocketId,
    /// Whether this side makes the offer.
    pub(crate) initiator: bool,
}

/// Why the signaling server says that the partner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    /// The partner hung up, moved on or blocked this side.
    Left,
    /// The signaling server lost its connection to the partner; media may still flow.
    Lost,
}

/// Why the peer connection could not do what an [`Effect`] asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerFault {
    /// The partner's description does not parse, or contradicts itself.
    BadDescription,
    /// The two sides share no video or audio format.
    NoCommonCodec,
    /// The partner opens more channels, sends more streams or packets, or makes more offers than a
    /// call has use for.
    Misbehaved,
    /// The peer connection could not be created, or broke down.
    Internal,
}

/// Everything that can happen to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// The user asks for a partner.
    Find,
    /// The user answers somebody who rings.
    Accept(KnockId),
    /// The user stops the search.
    Cancel,
    /// The user ends the call.
    HangUp,
    /// The user asks for another partner.
    Next,
    /// The user chose a camera or another video source.
    CameraSelected {
        /// Whether the current connection was negotiated to send video.
        negotiated: bool,
    },
    /// The user chose a microphone or another audio source.
    MicrophoneSelected {
        /// Whether the current connection was negotiated to send audio.
        negotiated: bool,
    },
    /// The signaling server registered this client as a new one.
    SignalingUp,
    /// The signaling server took this client back: what it sent meanwhile has been delivered.
    SignalingResumed {
        /// The session that it still keeps for this client.
        session_id: Option<SessionId>,
    },
    /// The connection to the signaling server broke; the client is reconnecting.
    SignalingDown,
    /// The signaling server is out of reach or serves no clients of this kind, and the client has
    /// given up: trying again would not help.
    SignalingRefused(EndCode),
    /// The people who run the signaling server have ended this client. Not the server's absence, which a
    /// call survives: someone decided that.
    Expelled(EndCode),
    /// The signaling server offers no server of a kind that media needs.
    MissingServer(EndCode),
    /// No route to the partner can come up, so that there is nothing to wait for.
    NoRoute(PeerId),
    /// The signaling server ended the search, for this reason.
    SearchEnded(EndCode),
    /// Whether the person who is called hears it now.
    Ringing(bool),
    /// The signaling server refused a search.
    SearchRefused {
        /// When to try again. `None`: trying again would not help.
        retry_after: Option<Duration>,
    },
    /// The signaling server found a partner.
    PartnerFound(Match),
    /// The partner's offer.
    Offer {
        /// The session it belongs to.
        session_id: SessionId,
        /// The number of the connection that it describes. `None`: the partner numbers none.
        connection: Option<u32>,
        /// Its session description.
        offer: DescriptionJson,
    },
    /// The partner's answer.
    Answer {
        /// The session it belongs to.
        session_id: SessionId,
        /// The number of the connection that it describes. `None`: the partner numbers none.
        connection: Option<u32>,
        /// Its session description.
        answer: DescriptionJson,
    },
    /// One of the partner's moves in the handshake that verifies it, which came in a candidate of its
    /// own. Unlike a candidate it is never held or dropped.
    Move {
        /// The session it belongs to.
        session_id: SessionId,
        /// The move.
        pake: MoveJson,
    },
    /// One of the partner's candidates.
    Candidate {
        /// The session it belongs to.
        session_id: SessionId,
        /// The number of its connection. `None`: the first one.
        connection: Option<u32>,
        /// The candidate, or the end of candidates.
        candidate: CandidateJson,
    },
    /// The partner found no way to connect, and is about to leave for that.
    PartnerGaveUp {
        /// The session it belongs to.
        session_id: SessionId,
    },
    /// The signaling server says that the partner is gone.
    PartnerLeft {
        /// The session that ended.
        session_id: SessionId,
        /// Whether the partner left on purpose.
        departure: Departure,
    },
    /// The signaling server lost the partner and waits for it to resume.
    PartnerReconnecting {
        /// The session it belongs to.
        session_id: SessionId,
    },
    /// The partner is back at the signaling server.
    PartnerResumed {
        /// The session it belongs to.
        session_id: SessionId,
    },
    /// The peer connection made an offer to send.
    LocalOffer(PeerId, DescriptionJson),
    /// The peer connection made an answer to send.
    LocalAnswer(PeerId, DescriptionJson),
    /// The peer connection gathered a candidate to send.
    LocalCandidate(PeerId, CandidateJson),
    /// A move for the partner, in a candidate of its own.
    LocalMove(PeerId, MoveJson),
    /// The partner is verified, on the connection that is up.
    PartnerVerified(PeerId),
    /// The partner is not who it should be.
    CodeMismatch(PeerId),
    /// The peer connection is up: ICE and DTLS are done.
    PeerConnected(PeerId),
    /// The peer connection gave up.
    PeerFailed(PeerId),
    /// The partner closed the peer connection.
    PeerClosed(PeerId),
    /// An effect on the peer connection failed.
    PeerFaulted(PeerId, PeerFault),
    /// When the partner's last packet arrived (any RTP or RTCP).
    Heard(PeerId, Instant),
    /// The addresses of this machine have changed so that the route to the partner is lost, or may
    /// be.
    RouteLost(PeerId),
    /// No other route can be offered now.
    RestartFailed(PeerId),
    /// This program has not run for a while, so that it could not hear anything.
    Woken,
}

/// A message for the signaling server, named as in the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// `find_partner`; the shell adds the profile.
    FindPartner,
    /// `accept`.
    Accept(KnockId),
    /// `cancel_search`.
    CancelSearch,
    /// `next`.
    Next {
        /// The session to leave.
        session_id: SessionId,
    },
    /// `end_session`.
    EndSession {
        /// The session to leave.
        session_id: SessionId,
    },
    /// `webrtc_offer`.
    Offer {
        /// The partner's address at the signaling server.
        to: SocketId,
        /// Its session description.
        offer: DescriptionJson,
    },
    /// `webrtc_answer`.
    Answer {
        /// The partner's address at the signaling server.
        to: SocketId,
        /// Its session description.
        answer: DescriptionJson,
    },
    /// `ice_candidate` with a move of the handshake and nothing else.
    Move {
        /// The partner's address at the signaling server.
        to: SocketId,
        /// The move.
        pake: MoveJson,
    },
    /// `ice_candidate`.
    Candidate {
        /// The partner's address at the signaling server.
        to: SocketId,
        /// The candidate, or the end of candidates.
        candidate: CandidateJson,
    },
}

/// What the shell carries out, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send a message to the signaling server.
    Send(Outgoing),
    /// Create a peer connection.
    CreatePeer(PeerId),
    /// Close the peer connection and create a fresh one for the same call, with the same certificate.
    ReplacePeer {
        /// The fresh one.
        peer: PeerId,
        /// Its number, which its descriptions and candidates carry.
        number: u32,
    },
    /// Make an offer and feed it back as [`Input::LocalOffer`].
    CreateOffer {
        /// The peer connection.
        peer: PeerId,
        /// Look for routes anew, from the addresses that this machine has now (RFC 8839 §4.4.1.1.1).
        restart: bool,
    },
    /// Apply the partner's offer, make an answer and feed it back as [`Input::LocalAnswer`].
    ApplyOffer {
        /// The peer connection.
        peer: PeerId,
        /// Its session description.
        offer: DescriptionJson,
        /// Roll the local offer back first.
        rollback: bool,
    },
    /// Apply the partner's answer.
    ApplyAnswer {
        /// The peer connection.
        peer: PeerId,
        /// Its session description.
        answer: DescriptionJson,
    },
    /// Add one of the partner's candidates.
    AddCandidate {
        /// The peer connection.
        peer: PeerId,
        /// The candidate, or the end of candidates.
        candidate: CandidateJson,
    },
    /// Check a move of the partner.
    CheckMove {
        /// The peer connection.
        peer: PeerId,
        /// The move.
        pake: MoveJson,
    },
    /// Tell the partner why no connection comes up, if that is known: this side is about to leave.
    TellProblem {
        /// The peer connection.
        peer: PeerId,
        /// The partner's address at the signaling server.
        to: SocketId,
    },
    /// Close the peer connection.
    ClosePeer(PeerId),
    /// Let the audio engine forget the partner: the next one's audio starts with an empty jitter
    /// buffer and fresh figures. The devices stay open.
    ForgetAudio,
    /// Notify the user.
    Notify(Notice),
}

/// What the user is notified of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A search began.
    Searching,
    /// Whether the person who is called hears it now.
    Ringing(bool),
    /// A partner was found.
    Matched(Match),
    /// The call is up.
    Connected,
    /// The signaling server is out of reach; a call continues without it.
    SignalingLost,
    /// The signaling server is back.
    SignalingBack,
    /// Nothing arrives from the partner; the call may recover.
    PartnerReconnecting {
        /// When it is given up, unless that changes.
        until: Instant,
    },
    /// The partner is back.
    PartnerBack,
    /// The signaling server has lost the partner. Media may still flow.
    PartnerSignalingLost,
    /// The signaling server has the partner again, or no longer has news of it.
    PartnerSignalingBack,
    /// A camera was chosen in the call, but the two sides did not agree on video from this side.
    CameraNotNegotiated,
    /// A microphone was chosen in the call, but the two sides did not agree on audio from this
    /// side.
    MicrophoneNotNegotiated,
    /// The call is over.
    Ended(EndReason),
}
