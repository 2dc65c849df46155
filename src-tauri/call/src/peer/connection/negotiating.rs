//! Offers, answers and candidates of one peer connection.

use std::time::Instant;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::RTCOfferOptions;
use webrtc::peer_connection::{RTCSdpType, RTCSessionDescription};

use super::Peer;
use crate::partner_state::CHANNEL;
use crate::peer::error::{PeerError, could_not};
use crate::peer::formats::{self, MediaKind};
use crate::peer::handler::PeerEvent;
use crate::peer::negotiation::ForLibrary;
use crate::peer::privacy::Disclosure;
use crate::peer::workarounds::multicast_dns;
use crate::peer::{description, setup, turn};

impl Peer {
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
        self.route_watch().lock().on_restart(Instant::now());
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
