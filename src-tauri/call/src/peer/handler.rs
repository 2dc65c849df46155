//! What happens to a peer connection, as events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};

use parking_lot::Mutex;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::mpsc::UnboundedSender;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceCandidateInit, RTCIceCandidateType, RTCIceGatheringState,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};

use super::description;
use super::formats::MediaKind;
use super::privacy::Disclosure;
use super::workarounds::{HandshakeDone, LinkLocal};
use crate::machine::Text;

/// What happens to a peer connection.
pub enum PeerEvent {
    /// A candidate for the partner, as JSON; `null` ends the candidates.
    Candidate(Text),
    /// ICE and DTLS are up.
    Connected,
    /// The route is given up.
    Failed,
    /// The partner closed the connection.
    Closed,
    /// The connection cannot be used any more: the task that drives it is gone.
    Ended,
    /// A stream of the partner begins.
    Track(MediaKind, Arc<dyn TrackRemote>),
    /// The partner sends a stream with this SSRC and payload type that it did not announce.
    Undeclared(u32, u8),
    /// A data channel: ours, or one that the partner opened, whatever its label.
    Channel(Arc<dyn DataChannel>),
}

/// Turns webrtc's callbacks into [`PeerEvent`]s. They run on the task that drives the connection,
/// so they must not wait.
pub(super) struct Handler {
    events: UnboundedSender<PeerEvent>,
    disclosure: Disclosure,
    handshake_done: HandshakeDone,
    link_local: LinkLocal,
    sent: SentCandidates,
    /// There are TURN servers, and none of them has given an address yet.
    lacks_relay: AtomicBool,
}

/// The newest candidates that became events: gathering again names them again.
#[derive(Clone, Default)]
pub(super) struct SentCandidates {
    newest: Arc<Mutex<VecDeque<String>>>,
    /// The place of the section that they belong to.
    line: Arc<AtomicU16>,
}

/// How many candidates to remember: more than a machine has.
const REMEMBERED: usize = 128;

impl SentCandidates {
    /// ICE restarts: the partner needs all of them again.
    pub(super) fn forget(&self) {
        self.newest.lock().clear();
    }

    /// Candidates belong to the section in this place from now on.
    pub(super) fn belong_to(&self, line: u16) {
        self.line.store(line, Relaxed);
    }

    /// Whether the candidate is new to the partner.
    fn add(&self, candidate: &RTCIceCandidateInit) -> bool {
        let mut sent = self.newest.lock();
        if sent.contains(&candidate.candidate) {
            return false;
        }

        if sent.len() == REMEMBERED {
            sent.pop_front();
        }

        sent.push_back(candidate.candidate.clone());
        true
    }
}

impl Handler {
    /// Only candidates that `disclosure` allows become events. `handshake_done` follows the state
    /// of the connection. `link_local` are the addresses that have stand-ins. `has_turn`: there are
    /// TURN servers.
    pub(super) fn new(
        events: UnboundedSender<PeerEvent>,
        sent: SentCandidates,
        disclosure: Disclosure,
        handshake_done: HandshakeDone,
        link_local: LinkLocal,
        has_turn: bool,
    ) -> Self {
        Self {
            events,
            disclosure,
            handshake_done,
            link_local,
            sent,
            lacks_relay: AtomicBool::new(has_turn),
        }
    }

    fn send(&self, event: PeerEvent) {
        // Once the call is over, the receiver is gone.
        let _ = self.events.send(event);
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if event.candidate.typ == RTCIceCandidateType::Relay {
            self.lacks_relay.store(false, Relaxed);
        }

        let Ok(candidate) = event.candidate.to_json() else {
            return;
        };

        let candidate = self.disclosure.candidate(candidate);
        let is_news = |candidate: &RTCIceCandidateInit| {
            description::names_an_address(candidate) && self.sent.add(candidate)
        };
        if let Some(mut candidate) = candidate.filter(is_news) {
            candidate.candidate = self.link_local.named(&candidate.candidate);
            candidate.sdp_mline_index = Some(self.sent.line.load(Relaxed));
            self.send(PeerEvent::Candidate(
                description::candidate_to_json(&candidate).into(),
            ));
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            // The library says so with addresses and credentials.
            if self.lacks_relay.swap(false, Relaxed) {
                tracing::warn!(
                    "no TURN server gave this side an address: it is out of reach or refuses the credentials"
                );
            }

            self.send(PeerEvent::Candidate("null".into()));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let in_handshake = matches!(
            state,
            RTCPeerConnectionState::New | RTCPeerConnectionState::Connecting
        );
        self.handshake_done.set(!in_handshake);

        match state {
            RTCPeerConnectionState::Connected => self.send(PeerEvent::Connected),
            RTCPeerConnectionState::Failed => self.send(PeerEvent::Failed),
            RTCPeerConnectionState::Closed => self.send(PeerEvent::Closed),
            _ => {}
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.send(PeerEvent::Channel(channel));
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let kind = match track.kind().await {
            RtpCodecKind::Audio => MediaKind::Audio,
            RtpCodecKind::Video => MediaKind::Video,
            _ => return,
        };

        self.send(PeerEvent::Track(kind, track));
    }
}
