//! What is known about one peer connection: what was agreed on, who is at its other end, the route that
//! media takes, and why there is none.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tandem_trust::{Certificates, Fingerprint};
use webrtc::peer_connection::RTCIceCandidateType;

use super::Peer;
use crate::interceptors::{LastHeard, Sent};
use crate::link::LinkState;
use crate::machine::ConnectProblem;
use crate::peer::certificate;
use crate::peer::checks::RouteWatch;
use crate::peer::formats::MediaKind;
use crate::peer::negotiation::{Negotiated, Refused};
use crate::peer::route::{self, Route};
use crate::peer::track::LocalTrack;
use crate::peer::turn::{self, TurnHealth, TurnProblem};
use crate::peer::workarounds::selected_pair;

impl Peer {
    /// Whether the two sides have agreed on anything.
    pub(crate) fn has_agreed(&self) -> bool {
        !self.negotiated.audio.is_empty() || !self.negotiated.video.is_empty()
    }

    /// The kinds of media that this side has and the partner does not want.
    #[must_use]
    pub fn refused(&self) -> Refused {
        let is_refused = |kind| self.has_agreed() && self.negotiated.to_send(kind).is_none();

        Refused {
            audio: self.config.send_audio && is_refused(MediaKind::Audio),
            video: self.config.send_video && is_refused(MediaKind::Video),
        }
    }

    /// The address of this machine that media is sent from. `None` if that is not known.
    pub(crate) async fn local_address(&self) -> Option<IpAddr> {
        let server = self.route_watch.lock().turn_server();
        if let Some(local) = server.and_then(|server| self.turn.local_of(server)) {
            return Some(local);
        }

        let pair = selected_pair(&*self.connection).await?;
        let local = pair.local();
        let address = match local.typ {
            RTCIceCandidateType::Host => &local.address,
            // Where the packets leave that come from there.
            _ => &local.related_address,
        };

        address.parse().ok()
    }

    /// This side's certificate, which all its descriptions name.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint
    }

    /// The certificates that DTLS uses. `None` before its handshake is done.
    pub async fn certificates(&self) -> Option<Certificates> {
        certificate::used(&*self.connection).await
    }

    /// What both sides agreed on. Empty until they have.
    pub(crate) fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// The track for audio. `None` if this side has none, or no description has a section for it.
    pub(crate) fn audio(&self) -> Option<&LocalTrack> {
        self.tracks.audio.as_ref()
    }

    /// The track for video. `None` if this side has none, or no description has a section for it.
    pub(crate) fn video(&self) -> Option<&LocalTrack> {
        self.tracks.video.as_ref()
    }

    /// What congestion control knows about the path.
    pub(crate) fn link(&self) -> &Arc<LinkState> {
        &self.link
    }

    /// When the partner was last heard: the newest packet, RTP or RTCP.
    pub(crate) fn heard(&self) -> &Arc<LastHeard> {
        &self.heard
    }

    /// The partner's newest sign of life. That is a packet, or the answer to a check of a partner who
    /// sends none: where no media was agreed on, a browser sends no RTCP either. For others an answer
    /// says too little: behind another port, a partner can answer and not be heard.
    pub(crate) fn last_sign_of_life(&self) -> Option<Instant> {
        let heard = self.heard.at();
        let answered = self.route_watch.lock().answered();
        let sends_nothing = heard.is_none() || !self.has_media();
        heard.max(answered.filter(|_| sends_nothing))
    }

    /// Whether media was agreed on, in one direction at least.
    fn has_media(&self) -> bool {
        let sends = |kind, track: Option<&LocalTrack>| {
            track.is_some() && self.negotiated.to_send(kind).is_some()
        };
        sends(MediaKind::Audio, self.audio())
            || sends(MediaKind::Video, self.video())
            || self.negotiated.may_come(MediaKind::Audio)
            || self.negotiated.may_come(MediaKind::Video)
    }

    /// What is known about the route that media takes.
    pub(crate) fn route_watch(&self) -> &Mutex<RouteWatch> {
        &self.route_watch
    }

    /// Whether the connection to the TURN server that media went through has ended. Returned once.
    pub(crate) fn has_lost_turn(&self) -> bool {
        self.turn.take_lost_route()
    }

    /// How the TURN server is that media goes through. `heard`: when the signaling server was last heard.
    pub(crate) fn turn_health(&self, now: Instant, heard: Option<Instant>) -> TurnHealth {
        self.turn.health(now, heard)
    }

    /// Whether the partner has answered a check.
    pub(crate) fn has_answer(&self) -> bool {
        self.identity.gate.lock().has_answer()
    }

    /// Why no connection comes up, as far as this side can tell by `now`. `None` while it may still come,
    /// or if nothing is known to be wrong.
    pub(crate) fn problem(&self, now: Instant) -> Option<ConnectProblem> {
        self.problem_with(self.turn.problem(now))
    }

    /// The same a few seconds after the match, when a connection that is possible should be up: a reason
    /// to tell, though it may still come up.
    pub(crate) fn trouble(&self, now: Instant) -> Option<ConnectProblem> {
        // Before both have described themselves, there is nothing to check and perhaps nobody to ask.
        let has_begun = self.has_agreed();
        let has_turn = turn::has_turn(&self.config.ice_servers);
        let of_turn = (has_turn && has_begun).then(|| self.turn.trouble(now));
        self.problem_with(of_turn.flatten())
            .filter(|problem| has_begun || *problem != ConnectProblem::NoTurnOffered)
    }

    /// Why no connection comes up, if this is what the TURN servers say.
    fn problem_with(&self, of_turn: Option<TurnProblem>) -> Option<ConnectProblem> {
        // With a route, something else was wrong.
        if self.has_answer() {
            return None;
        }

        // Without TURN, a direct route is still possible, unless nothing else is allowed.
        match of_turn {
            Some(TurnProblem::Refused) => Some(ConnectProblem::TurnRefused),
            Some(TurnProblem::Failed) => Some(ConnectProblem::TurnFailed),
            Some(TurnProblem::Unreachable) if self.turn.is_udp_only() => {
                Some(ConnectProblem::UdpBlocked)
            }
            Some(TurnProblem::Unreachable) => Some(ConnectProblem::TurnUnreachable),
            None if self.candidates.is_empty() => Some(ConnectProblem::PartnerHasNoRoute),
            None if !turn::has_turn(&self.config.ice_servers) => {
                Some(ConnectProblem::NoTurnOffered)
            }
            None => None,
        }
    }

    /// Whether no connection can come up, by what is known `now`: nothing but TURN is allowed, and no
    /// server gives this side an address.
    pub(crate) fn has_no_route(&self, now: Instant) -> bool {
        self.config.relay_only && self.turn.problem(now).is_some()
    }

    /// What has been sent to the partner of this kind, in the whole call.
    pub(crate) fn sent_of(&self, kind: MediaKind) -> Sent {
        self.identity.sent.of(self.identity.ssrcs[kind as usize])
    }

    /// The route that media takes. `None` until there is one.
    pub fn route(&self) -> impl Future<Output = Option<Route>> + Send + use<> {
        let (connection, candidates) = (Arc::clone(&self.connection), Arc::clone(&self.candidates));
        let (link, watch) = (Arc::clone(&self.link), Arc::clone(&self.route_watch));
        let turn = Arc::clone(&self.turn);
        async move {
            let mut route = route::route(&*connection, &candidates, link.rtt()).await?;
            if route.local == "relay" {
                let server = watch.lock().turn_server();
                route.relay_transport = Some(turn.transport_of(server));
            }

            Some(route)
        }
    }
}
