//! What happens to a peer connection, as events.

use std::sync::Arc;

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::mpsc::UnboundedSender;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionIceEvent,
    RTCPeerConnectionState,
};

use super::formats::MediaKind;
use super::workarounds::{HandshakeDone, LinkLocal};
use super::{description, privacy};
use crate::machine::Text;

/// What happens to a peer connection.
pub enum PeerEvent {
    /// A candidate for the partner, as JSON; `null` ends the candidates.
    Candidate(Text),
    /// ICE and DTLS are up.
    Connected,
    /// The route is broken; it may come back.
    Disconnected,
    /// The route is given up.
    Failed,
    /// The partner closed the connection.
    Closed,
    /// A stream of the partner begins.
    Track(MediaKind, Arc<dyn TrackRemote>),
    /// A data channel: ours, or one that the partner opened, whatever its label.
    Channel(Arc<dyn DataChannel>),
}

/// Turns webrtc's callbacks into [`PeerEvent`]s. They run on the task that drives the connection,
/// so they must not wait.
pub(super) struct Handler {
    events: UnboundedSender<PeerEvent>,
    relay_only: bool,
    handshake_done: HandshakeDone,
    link_local: LinkLocal,
}

impl Handler {
    /// With `relay_only`, only relay candidates become events. `handshake_done` follows the state
    /// of the connection. `link_local` are the addresses that have stand-ins.
    pub(super) fn new(
        events: UnboundedSender<PeerEvent>,
        relay_only: bool,
        handshake_done: HandshakeDone,
        link_local: LinkLocal,
    ) -> Self {
        Self {
            events,
            relay_only,
            handshake_done,
            link_local,
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
        let Ok(candidate) = event.candidate.to_json() else {
            return;
        };

        let candidate = if self.relay_only {
            privacy::candidate(candidate)
        } else {
            Some(candidate)
        };

        if let Some(mut candidate) = candidate.filter(description::names_an_address) {
            candidate.candidate = self.link_local.named(&candidate.candidate);
            self.send(PeerEvent::Candidate(
                description::candidate_to_json(&candidate).into(),
            ));
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
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
            RTCPeerConnectionState::Disconnected => self.send(PeerEvent::Disconnected),
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
