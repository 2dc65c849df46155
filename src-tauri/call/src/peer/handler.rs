//! What a peer connection tells on its own.

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
use super::prompt_runtime::Settled;
use super::{description, privacy};
use crate::machine::Text;

/// What a peer connection tells on its own.
pub enum PeerEvent {
    /// A candidate for the partner, as JSON; `null` ends them.
    Candidate(Text),
    /// ICE and DTLS are up.
    Connected,
    /// The path is broken; it may come back.
    Disconnected,
    /// The path is given up.
    Failed,
    /// Closed by the partner.
    Closed,
    /// A stream of the partner begins.
    Track(MediaKind, Arc<dyn TrackRemote>),
    /// A data channel: ours, or one that the partner opened, whatever its label.
    Channel(Arc<dyn DataChannel>),
}

/// Passes news on. Its methods run on the task that drives the connection, so they must not wait.
pub(super) struct Handler {
    events: UnboundedSender<PeerEvent>,
    relay_only: bool,
    settled: Settled,
}

impl Handler {
    /// With `relay_only` no candidate but a relay's is told. `settled` learns when the connection is up.
    pub(super) fn new(
        events: UnboundedSender<PeerEvent>,
        relay_only: bool,
        settled: Settled,
    ) -> Self {
        Self {
            events,
            relay_only,
            settled,
        }
    }

    fn tell(&self, event: PeerEvent) {
        // Nobody listens any more once the call is over.
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

        if let Some(candidate) = candidate {
            self.tell(PeerEvent::Candidate(
                description::candidate_to_json(&candidate).into(),
            ));
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.tell(PeerEvent::Candidate("null".into()));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let is_underway = matches!(
            state,
            RTCPeerConnectionState::New | RTCPeerConnectionState::Connecting
        );
        self.settled.set(!is_underway);

        match state {
            RTCPeerConnectionState::Connected => self.tell(PeerEvent::Connected),
            RTCPeerConnectionState::Disconnected => self.tell(PeerEvent::Disconnected),
            RTCPeerConnectionState::Failed => self.tell(PeerEvent::Failed),
            RTCPeerConnectionState::Closed => self.tell(PeerEvent::Closed),
            _ => {}
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.tell(PeerEvent::Channel(channel));
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let kind = match track.kind().await {
            RtpCodecKind::Audio => MediaKind::Audio,
            RtpCodecKind::Video => MediaKind::Video,
            _ => return,
        };

        self.tell(PeerEvent::Track(kind, track));
    }
}
