//! One peer connection, from its sockets to its tracks.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it owns sockets and tasks"
)]

mod known;
mod negotiating;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::Slot;
use tokio::sync::mpsc::UnboundedSender;
use webrtc::peer_connection::{MediaEngine, PeerConnection, PeerConnectionBuilder, RTCIceServer};
use webrtc::runtime::Runtime;

use super::candidates::Candidates;
use super::checks::RouteWatch;
use super::config::PeerConfig;
use super::error::{PeerError, could_not};
use super::formats;
use super::handler::{Handler, PeerEvent, SentCandidates};
use super::identity::Identity;
use super::negotiation::{Negotiated, Negotiation};
use super::privacy::Disclosure;
use super::setup;
use super::sockets::{Sockets, are_systems};
use super::tracks::Tracks;
use super::turn::{self, Turn};
use super::workarounds::{DriverEnd, HandshakeDone, HandshakeRuntime, LinkLocal, multicast_dns};
use crate::congestion;
use crate::interceptors::{
    Declared, IdleReportTap, LastHeard, LastHeardTap, PassThrough, SentTap, TrackOpening,
    UndeclaredTap,
};
use crate::link::LinkState;

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
                identity.names_left.clone(),
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

    /// Closes the connection and its sockets.
    pub async fn close(&self) {
        self.closing().await;
    }

    /// Another connection takes this one's place: when it closes, it does not tell the partner, for whom
    /// that would be the end of the call.
    pub(crate) fn leave_silently(&self) {
        self.handshake_done.leave_silently();
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
