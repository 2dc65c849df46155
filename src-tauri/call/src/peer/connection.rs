//! One peer connection, from its sockets to its tracks.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it owns sockets and tasks"
)]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::Slot;
use rtc::peer_connection::configuration::RTCOfferOptions;
use tandem_media::codec::VideoCodec;
use tandem_signaling::client::TrustedRoots;
use tandem_trust::{Certificates, Fingerprint};
use tokio::sync::mpsc::UnboundedSender;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, RTCIceCandidateType, RTCIceServer,
    RTCSdpType, RTCSessionDescription,
};
use webrtc::runtime::Runtime;

use super::candidates::Candidates;
use super::checks::RouteWatch;
use super::error::{PeerError, could_not};
use super::formats::{self, MediaKind};
use super::handler::{Handler, PeerEvent, SentCandidates};
use super::identity::Identity;
use super::negotiation::{ForLibrary, Negotiated, Negotiation, Refused};
use super::privacy::Disclosure;
use super::route::{self, Route};
use super::sockets::{Sockets, are_systems};
use super::track::LocalTrack;
use super::tracks::Tracks;
use super::turn::{self, Turn, TurnHealth, TurnProblem, WarmConnections};
use super::workarounds::{
    DriverEnd, HandshakeDone, HandshakeRuntime, LinkLocal, multicast_dns, selected_pair,
};
use super::{certificate, description, setup};
use crate::congestion::{self, BitrateBounds};
use crate::interceptors::{
    Declared, IdleReportTap, LastHeard, LastHeardTap, PassThrough, Sent, SentTap, TrackOpening,
    UndeclaredTap,
};
use crate::link::LinkState;
use crate::machine::ConnectProblem;
use crate::partner_state::CHANNEL;

/// Behind congestion control's own taps, in front of everything that consumes packets.
const LAST_HEARD_TAP: Slot = Slot::Custom(2_400);

/// Beside the one before: it looks at the same packets.
const UNDECLARED_TAP: Slot = Slot::Custom(2_410);

/// Beside the others: packets have left the pacer here, and retransmissions are among them.
const SENT_TAP: Slot = Slot::Custom(2_420);

/// In front of everything that consumes packets.
const TRACK_OPENING: Slot = Slot::Custom(2_440);

/// Its reports need no pacing: there is nothing else to send.
const IDLE_REPORT_TAP: Slot = Slot::Custom(2_430);

/// How to set up a peer connection.
#[derive(Clone)]
pub struct PeerConfig {
    /// The video codec that is offered first and chosen first.
    pub codec: VideoCodec,
    /// Whether this side may send video.
    pub send_video: bool,
    /// Whether this side may send audio.
    pub send_audio: bool,
    /// Bounds of the bandwidth estimate.
    pub link: BitrateBounds,
    /// STUN servers, and TURN servers with their credentials.
    pub ice_servers: Vec<RTCIceServer>,
    /// Whose certificates TURN servers with TLS may have.
    pub roots: TrustedRoots,
    /// Connections to TURN servers that were made during the search.
    pub warm: Arc<WarmConnections>,
    /// Use TURN and nothing else: no address of this machine leaves it, neither in candidates nor
    /// in descriptions.
    pub relay_only: bool,
    /// Name no address of this machine to the partner but those that STUN and TURN servers see, and
    /// check no private address of the partner.
    pub hide_local_addresses: bool,
    /// Where to bind. Empty means every address of this machine, loopback included.
    pub addresses: Vec<SocketAddr>,
    /// Bind link-local addresses (RFC 3927, RFC 4291) too: the partner may be on the same cable.
    pub link_local: bool,
    /// Sockets and timers to use, for instance those of a simulated network. `None` means the
    /// system's, on tokio.
    pub runtime: Option<Arc<dyn Runtime>>,
}

impl Default for PeerConfig {
    /// Sends both kinds of media, H.264 first, from every address of this machine and without
    /// servers.
    fn default() -> Self {
        Self {
            codec: VideoCodec::H264,
            send_video: true,
            send_audio: true,
            link: BitrateBounds::default(),
            ice_servers: Vec::new(),
            roots: TrustedRoots::default(),
            warm: Arc::default(),
            relay_only: false,
            hide_local_addresses: false,
            addresses: Vec::new(),
            link_local: false,
            runtime: None,
        }
    }
}

/// One peer connection. [`close`](Self::close) it when done; if it is only dropped, the partner
/// waits for a timeout.
pub struct Peer {
    connection: Arc<dyn PeerConnection>,
    config: PeerConfig,
    /// What a fresh connection of the same call takes over.
    identity: Identity,
    handshake_done: HandshakeDone,
    link: Arc<LinkState>,
    heard: Arc<LastHeard>,
    route_watch: Arc<Mutex<RouteWatch>>,
    /// The streams that the library expects.
    declared: Declared,
    tracks: Tracks,
    /// The tracks are in place: a second offer only renegotiates.
    prepared: bool,
    /// An offer of this side waits for its answer.
    is_offering: bool,
    /// The servers that the library knows.
    servers: Vec<RTCIceServer>,
    runtime: Arc<dyn Runtime>,
    /// For the next ICE restart.
    fresh_servers: Option<Vec<RTCIceServer>>,
    /// The candidates that the partner knows.
    sent_candidates: SentCandidates,
    /// The library resolves `.local` names.
    uses_mdns: bool,
    negotiation: Negotiation,
    negotiated: Negotiated,
    events: UnboundedSender<PeerEvent>,
    candidates: Arc<Candidates>,
    link_local: LinkLocal,
    turn: Arc<Turn>,
}

impl Peer {
    /// Sets up a peer connection that waits for [`create_offer`](Self::create_offer) or
    /// [`apply_offer`](Self::apply_offer). What happens to it is sent to `events`.
    ///
    /// # Errors
    /// [`PeerError::Congestion`] for contradicting bitrates, [`PeerError::Connection`] if no socket
    /// can be bound.
    pub async fn new(
        config: PeerConfig,
        events: UnboundedSender<PeerEvent>,
    ) -> Result<Self, PeerError> {
        let identity = Identity::new(config.relay_only)?;
        Self::with_identity(config, events, identity).await
    }

    /// A fresh connection to the same partner in place of this one, as the same side: with the same
    /// certificate, SSRCs and settings, and these servers.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub(crate) async fn successor(
        &self,
        ice_servers: Vec<RTCIceServer>,
        events: UnboundedSender<PeerEvent>,
    ) -> Result<Self, PeerError> {
        let config = PeerConfig {
            ice_servers,
            ..self.config.clone()
        };
        Self::with_identity(config, events, self.identity.clone()).await
    }

    async fn with_identity(
        config: PeerConfig,
        events: UnboundedSender<PeerEvent>,
        identity: Identity,
    ) -> Result<Self, PeerError> {
        let mut engine = MediaEngine::default();
        formats::register(&mut engine, config.codec).map_err(could_not("register its codecs"))?;

        let declared = Declared::default();
        let (registry, link) = congestion::register_with(&mut engine, config.link, &declared)?;
        formats::register_retransmissions(&mut engine, config.codec)
            .map_err(could_not("register its retransmissions"))?;

        let heard = LastHeard::new(Instant::now());
        let undeclared = {
            let events = events.clone();
            move |ssrc, payload_type| {
                // Once the call is over, the receiver is gone.
                let _ = events.send(PeerEvent::Undeclared(ssrc, payload_type));
            }
        };
        let handshake_done = HandshakeDone::default();
        let is_up = {
            let handshake_done = handshake_done.clone();
            Box::new(move || handshake_done.get())
        };
        let registry = registry
            .with(
                LAST_HEARD_TAP,
                PassThrough::new(LastHeardTap::new(Arc::clone(&heard))),
            )
            .with(
                UNDECLARED_TAP,
                PassThrough::new(UndeclaredTap::new(declared.clone(), Box::new(undeclared))),
            )
            .with(TRACK_OPENING, TrackOpening::default())
            .with(
                SENT_TAP,
                PassThrough::new(SentTap::new(Arc::clone(&identity.sent))),
            )
            .with(
                IDLE_REPORT_TAP,
                PassThrough::new(IdleReportTap::new(Instant::now(), rand::random(), is_up)),
            );

        // mDNS asks the local network, which must not notice anything where addresses are hidden.
        let disclosure = Disclosure::of(&config);
        let mdns = if disclosure == Disclosure::All {
            multicast_dns()
        } else {
            MulticastDnsMode::Disabled
        };
        let uses_mdns = mdns != MulticastDnsMode::Disabled;

        let has_turn = turn::has_turn(&config.ice_servers);
        let route_watch: Arc<Mutex<RouteWatch>> = Arc::default();
        let turn = Turn::new(
            &config.ice_servers,
            config.roots.clone(),
            Arc::clone(&route_watch),
        );

        let link_local = if config.link_local {
            LinkLocal::of_this_machine()
        } else {
            LinkLocal::none()
        };
        let sent_candidates = SentCandidates::default();
        let handler = Handler::new(
            events.clone(),
            sent_candidates.clone(),
            disclosure,
            handshake_done.clone(),
            link_local.clone(),
            has_turn,
        );
        let sockets = Sockets {
            link_local: link_local.clone(),
            disclosure,
            are_systems: are_systems(config.runtime.as_ref()),
            turn: Arc::clone(&turn),
            route: Arc::clone(&route_watch),
            gate: Arc::clone(&identity.gate),
            failures: Arc::default(),
        };
        let driver_end = {
            let events = events.clone();
            DriverEnd::new(move || {
                // Once the call is over, the receiver is gone.
                let _ = events.send(PeerEvent::Ended);
            })
        };
        let runtime: Arc<dyn Runtime> = Arc::new(HandshakeRuntime::new(
            config.runtime.as_ref(),
            handshake_done.clone(),
            has_turn,
            sockets,
            driver_end,
        ));

        let servers = turn.for_library(&config.ice_servers);
        turn.connect_ahead(&config.warm);
        turn::look_up(&servers, &runtime);
        let connection = PeerConnectionBuilder::new()
            .with_configuration(setup::first_configuration(
                &servers,
                config.relay_only,
                identity.certificate.clone(),
            ))
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(setup::settings(config.relay_only, has_turn, mdns))
            .with_handler(Arc::new(handler))
            .with_udp_addrs(setup::addresses(
                &config.addresses,
                &link_local,
                config.hide_local_addresses,
            ))
            .with_runtime(Arc::clone(&runtime))
            .build()
            .await
            .map_err(could_not("start"))?;

        let connection: Arc<dyn PeerConnection> = Arc::new(connection);
        Ok(Self {
            tracks: Tracks::new(&connection, &config, identity.ssrcs),
            candidates: Candidates::new(
                Arc::clone(&connection),
                Arc::clone(&runtime),
                disclosure,
                Arc::clone(&identity.gate),
            ),
            connection,
            config,
            identity,
            handshake_done,
            link,
            heard,
            route_watch,
            declared,
            prepared: false,
            is_offering: false,
            servers,
            runtime,
            fresh_servers: None,
            sent_candidates,
            uses_mdns,
            negotiation: Negotiation::default(),
            negotiated: Negotiated::default(),
            events,
            link_local,
            turn,
        })
    }

    /// Creates an offer and applies it on this side. Returns it as JSON.
    ///
    /// # Errors
    /// [`PeerError::Connection`].
    pub async fn create_offer(&mut self) -> Result<String, PeerError> {
        if !self.prepared {
            let video = formats::video(self.config.codec);
            self.tracks
                .add(MediaKind::Audio, &[formats::opus()])
                .await?;
            self.tracks.add(MediaKind::Video, &video).await?;
            self.open_channel().await?;
            self.prepared = true;
        }

        self.offer(false).await
    }

    /// Looks for another route: binds sockets on the addresses that this machine has now and creates
    /// an offer with new ICE credentials. Returns it as JSON. Nothing is sent or received until the
    /// partner has answered.
    ///
    /// # Errors
    /// [`PeerError::NoNetwork`]: the connection is as it was. [`PeerError::Connection`].
    pub async fn restart(&mut self) -> Result<String, PeerError> {
        if !self.can_restart() {
            return Err(PeerError::NoNetwork);
        }

        // The last one was lost on the way, or its answer.
        if self.is_offering {
            self.roll_back().await?;
            self.negotiation.roll_back();
        }

        self.start_over().await?;
        self.offer(true).await
    }

    /// ICE restarts, on new sockets: what is known of the old ones is forgotten, and TURN servers get
    /// the newest credentials.
    async fn start_over(&mut self) -> Result<(), PeerError> {
        self.sent_candidates.forget();
        self.turn.start_over();
        let fresh = self.fresh_servers.take();
        let is_changed = fresh.is_some();
        if let Some(servers) = fresh {
            self.servers = self.turn.for_library(&servers);
        }

        turn::look_up(&self.servers, &self.runtime);
        if !is_changed {
            return Ok(());
        }

        let changed = setup::configuration(&self.servers, self.config.relay_only);
        self.connection
            .set_configuration(changed)
            .await
            .map_err(could_not("change its servers"))
    }

    /// Whether sockets can be bound anew. The library gives up the connection if mDNS is on and its
    /// group cannot be joined any more.
    fn can_restart(&self) -> bool {
        !self.uses_mdns || multicast_dns() != MulticastDnsMode::Disabled
    }

    /// Creates an offer and applies it on this side.
    async fn offer(&mut self, ice_restart: bool) -> Result<String, PeerError> {
        let offer = self
            .connection
            .create_offer(Some(RTCOfferOptions { ice_restart }))
            .await
            .map_err(could_not("create an offer"))?;
        self.is_offering = true;
        let sdp = self.negotiation.offer(&offer)?;
        self.set_local(offer, sdp).await
    }

    /// Applies the partner's offer and returns the answer as JSON. With `rollback`, it takes back
    /// this side's own offer first (RFC 8829 §4.1.10.2).
    ///
    /// # Errors
    /// [`PeerError::BadDescription`], [`PeerError::NoCommonCodec`], [`PeerError::Connection`].
    pub async fn apply_offer(&mut self, offer: &str, rollback: bool) -> Result<String, PeerError> {
        let description::RemoteDescription { remote, candidates } =
            description::from_json(offer, RTCSdpType::Offer)?;
        let plan = self.negotiation.read(RTCSdpType::Offer, remote)?;
        let ufrag = plan.ufrag().to_owned();
        let is_restart = self.candidates.is_restart(&ufrag);
        if is_restart && !self.can_restart() {
            return Err(PeerError::NoNetwork);
        }

        if rollback {
            self.roll_back().await?;
            self.negotiation.roll_back();
            self.is_offering = false;
        }

        self.identity.gate.lock().on_description(plan.is_ice_lite());
        let ForLibrary { sdp, negotiated } = self.negotiation.apply(plan);
        self.declared.set(self.negotiation.streams());
        if is_restart {
            self.start_over().await?;
        }

        self.tracks.add_agreed(&negotiated).await?;
        self.tracks.follow(&negotiated).await?;
        self.prepared = true;
        self.negotiated = negotiated;

        self.set_remote(RTCSdpType::Offer, sdp).await?;
        self.candidates.on_description(&ufrag, candidates).await;
        let answer = self.create_answer().await?;
        let sdp = self.negotiation.answer(&answer, &self.tracks.sent())?;
        self.set_local(answer, sdp).await
    }

    /// Applies the partner's answer.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`], [`PeerError::NoCommonCodec`], [`PeerError::Connection`].
    pub async fn apply_answer(&mut self, answer: &str) -> Result<(), PeerError> {
        let description::RemoteDescription { remote, candidates } =
            description::from_json(answer, RTCSdpType::Answer)?;
        let plan = self.negotiation.read(RTCSdpType::Answer, remote)?;
        let ufrag = plan.ufrag().to_owned();
        self.identity.gate.lock().on_description(plan.is_ice_lite());
        let ForLibrary { sdp, negotiated } = self.negotiation.apply(plan);
        self.declared.set(self.negotiation.streams());
        self.is_offering = false;
        self.tracks.follow(&negotiated).await?;
        self.negotiated = negotiated;

        self.set_remote(RTCSdpType::Answer, sdp).await?;
        self.candidates.on_description(&ufrag, candidates).await;
        Ok(())
    }

    /// The partner sends a stream that its description did not announce: `ssrc`, with packets of
    /// `payload_type`. Makes the library receive it.
    ///
    /// # Errors
    /// [`PeerError::Connection`], [`PeerError::BadDescription`].
    pub(crate) async fn on_undeclared(
        &mut self,
        ssrc: u32,
        payload_type: u8,
    ) -> Result<(), PeerError> {
        // The answer that is on its way makes the library look again.
        let Some((kind, sdp)) = self.negotiation.on_undeclared(ssrc, payload_type) else {
            return Ok(());
        };
        self.declared.set(self.negotiation.streams());
        if self.is_offering {
            return Ok(());
        }

        // The library takes no description out of turn, so both take their turns again. Nothing of
        // it is sent: the partner would not notice a difference.
        tracing::debug!("the partner sends a stream that it did not announce");
        if kind == RTCSdpType::Offer {
            self.set_remote(kind, sdp).await?;
            let answer = self.create_answer().await?;
            return self.apply_own(answer).await;
        }

        let offer = self
            .connection
            .create_offer(None)
            .await
            .map_err(could_not("receive a stream"))?;
        self.apply_own(offer).await?;
        self.set_remote(kind, sdp).await
    }

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

    /// Adds a candidate of the partner, given as JSON.
    ///
    /// # Errors
    /// [`PeerError::BadCandidate`]; the connection continues without it.
    pub async fn add_candidate(&self, candidate: &str) -> Result<(), PeerError> {
        let Some(candidate) = description::candidate_from_json(candidate)? else {
            return Ok(());
        };

        if self.candidates.add(candidate).await {
            Ok(())
        } else {
            Err(PeerError::BadCandidate)
        }
    }

    /// Uses these servers, with fresh credentials, when ICE restarts.
    ///
    /// Nothing changes before. An allocation lives on under the credentials that it was made with for as
    /// long as it is refreshed, and the library cannot change them without harm: it gives up all
    /// allocations if a server has not answered one of its sockets (`turn_relayer.rs`,
    /// `is_credential_only_change`), and coturn refuses another user name for an allocation that is
    /// there (RFC 8656 §5). A restart makes new sockets, and so new allocations.
    pub(crate) fn use_servers(&mut self, servers: Vec<RTCIceServer>) {
        self.fresh_servers = Some(servers);
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

    /// Closes the connection and its sockets.
    pub async fn close(&self) {
        self.closing().await;
    }

    /// The same, for a task of its own.
    pub(crate) fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        self.handshake_done.set(true);
        let connection = Arc::clone(&self.connection);
        async move {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "the peer connection was closed already");
            }
        }
    }

    /// The library's connection, for tests that do with it what Tandem does not.
    #[cfg(feature = "internals")]
    #[must_use]
    pub fn connection(&self) -> &Arc<dyn PeerConnection> {
        &self.connection
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

    /// Why no connection comes up, as far as this side can tell by `now`. `None` while it may still come,
    /// or if nothing is known to be wrong.
    pub(crate) fn problem(&self, now: Instant) -> Option<ConnectProblem> {
        let of_turn = self.turn.problem(now).map(|problem| match problem {
            TurnProblem::Refused => ConnectProblem::TurnRefused,
            TurnProblem::Failed => ConnectProblem::TurnFailed,
            TurnProblem::Unreachable if self.turn.is_udp_only() => ConnectProblem::UdpBlocked,
            TurnProblem::Unreachable => ConnectProblem::TurnUnreachable,
        });

        // With a route, something else was wrong.
        if self.identity.gate.lock().has_answer() {
            return None;
        }

        // Without TURN, a direct route is still possible, unless nothing else is allowed.
        match of_turn {
            Some(problem) => Some(problem),
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

    /// Takes back this side's own offer.
    async fn roll_back(&self) -> Result<(), PeerError> {
        let rollback =
            RTCSessionDescription::rollback(None).map_err(could_not("take back its own offer"))?;
        self.connection
            .set_local_description(rollback)
            .await
            .map_err(could_not("take back its own offer"))
    }

    /// Tells the library which payload types packets carry, where these are not those that it was
    /// given with the descriptions.
    async fn set_wire_formats(&self) -> Result<(), PeerError> {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            if let Some(codecs) = self.negotiation.on_the_wire(kind) {
                self.tracks.set_codecs(kind, codecs).await?;
            }
        }

        Ok(())
    }

    /// Offers the data channel on which both sides send their state. The answerer opens none
    /// itself.
    async fn open_channel(&self) -> Result<(), PeerError> {
        let channel = self
            .connection
            .create_data_channel(CHANNEL, None)
            .await
            .map_err(could_not("open a data channel"))?;
        // Once the call is over, the receiver is gone.
        let _ = self.events.send(PeerEvent::Channel(channel));

        Ok(())
    }

    async fn create_answer(&self) -> Result<RTCSessionDescription, PeerError> {
        self.connection
            .create_answer(None)
            .await
            .map_err(could_not("create an answer"))
    }

    /// Applies what the partner described, in the library's words.
    async fn set_remote(&self, kind: RTCSdpType, sdp: String) -> Result<(), PeerError> {
        let description = match kind {
            RTCSdpType::Offer => RTCSessionDescription::offer(sdp),
            _ => RTCSessionDescription::answer(sdp),
        };
        let applied = match description {
            Ok(description) => self.connection.set_remote_description(description).await,
            Err(error) => Err(error),
        };

        applied.map_err(|error| {
            tracing::debug!(%error, "rejected the partner's description");
            PeerError::BadDescription("it contradicts itself or what was agreed")
        })?;
        // The description has set the library's numbers.
        self.set_wire_formats().await
    }

    /// Applies a description of this side, and returns what to send for it: `sdp` as JSON.
    async fn set_local(
        &self,
        description: RTCSessionDescription,
        sdp: String,
    ) -> Result<String, PeerError> {
        let kind = description.sdp_type;
        let sdp = Disclosure::of(&self.config).description(sdp);

        self.sent_candidates
            .belong_to(self.negotiation.transport_line());
        self.apply_own(description).await?;
        Ok(self.link_local.named(&description::to_json(kind, sdp)))
    }

    /// Applies a description of this side.
    async fn apply_own(&self, description: RTCSessionDescription) -> Result<(), PeerError> {
        self.connection
            .set_local_description(description)
            .await
            .map_err(could_not("apply its own description"))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn a_failed_call_into_webrtc_keeps_its_cause() {
        let config = PeerConfig {
            addresses: vec!["127.0.0.1:0".parse().expect("an address")],
            ..PeerConfig::default()
        };

        let (events, _receiver) = unbounded_channel();
        let mut peer = Peer::new(config, events)
            .await
            .expect("a socket on loopback");
        peer.close().await;

        let error = peer
            .create_offer()
            .await
            .expect_err("a closed connection takes no track");
        assert_eq!(
            error.to_string(),
            "the peer connection could not add a track"
        );

        let cause = error.source().expect("the cause is in the chain");
        assert_eq!(
            cause.to_string(),
            webrtc::error::Error::ErrConnectionClosed.to_string(),
            "and says why"
        );
    }
}
