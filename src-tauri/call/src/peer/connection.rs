//! The connection itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rtc::interceptor::Slot;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tandem_media::codec::VideoCodec;
use tokio::sync::mpsc::UnboundedSender;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, RTCIceServer, RTCSdpType,
    RTCSessionDescription,
};
use webrtc::runtime::Runtime;

use super::PeerError;
use super::description;
use super::ear::{Ear, LastHeard};
use super::formats::{self, Format, MediaKind};
use super::handler::{Handler, PeerEvent};
use super::negotiated::{Negotiated, agree, same_format};
use super::prompt_runtime::{PromptRuntime, Settled};
use super::told_candidates::ToldCandidates;
use super::{privacy, setup};
use crate::congestion::{self, LinkConfig};
use crate::link::LinkState;
use crate::partner_state::CHANNEL;

/// Behind congestion control's own taps, in front of everything that consumes packets.
const EAR: Slot = Slot::Custom(2_400);

/// What a peer connection is made for.
#[derive(Clone)]
pub struct PeerConfig {
    /// The video codec that is offered first and chosen first.
    pub codec: VideoCodec,
    /// Whether pictures may be sent.
    pub send_video: bool,
    /// Whether sound may be sent.
    pub send_audio: bool,
    /// Bounds of the bandwidth estimate.
    pub link: LinkConfig,
    /// STUN servers, and TURN servers with their credentials.
    pub ice_servers: Vec<RTCIceServer>,
    /// Use TURN and nothing else: no address of this machine leaves it, in candidates or descriptions.
    pub relay_only: bool,
    /// Where to bind. Empty: every address of this machine, loopback included.
    pub addresses: Vec<SocketAddr>,
    /// Sockets and clock of another world: a simulated network. `None`: the real ones, on tokio.
    pub runtime: Option<Arc<dyn Runtime>>,
}

/// A stream that this side sends.
#[derive(Clone)]
pub struct LocalTrack {
    /// Where packets go.
    pub track: Arc<TrackLocalStaticRTP>,
    /// Their SSRC.
    pub ssrc: u32,
}

/// One peer connection. [`close`](Self::close) it; dropping alone leaves the partner waiting.
pub struct Peer {
    connection: Arc<dyn PeerConnection>,
    config: PeerConfig,
    settled: Settled,
    link: Arc<LinkState>,
    heard: Arc<LastHeard>,
    audio: Option<LocalTrack>,
    video: Option<LocalTrack>,
    /// Tracks are in place: a second offer only renegotiates.
    prepared: bool,
    negotiated: Negotiated,
    events: UnboundedSender<PeerEvent>,
    told: ToldCandidates,
}

impl Peer {
    /// Makes a peer connection that waits for [`create_offer`](Self::create_offer) or
    /// [`apply_offer`](Self::apply_offer). What it tells goes to `events`.
    ///
    /// # Errors
    /// [`PeerError::Congestion`] for contradicting bitrates, [`PeerError::Connection`] if no socket can be bound.
    pub async fn new(
        config: PeerConfig,
        events: UnboundedSender<PeerEvent>,
    ) -> Result<Self, PeerError> {
        let failed = |_| PeerError::Connection("start");
        let mut engine = MediaEngine::default();
        formats::register(&mut engine, &formats::video(config.codec)).map_err(failed)?;
        let (registry, link) = congestion::register(&mut engine, config.link)?;
        let heard = LastHeard::new(Instant::now());
        let registry = registry.with(EAR, Ear::new(Arc::clone(&heard)));
        let settled = Settled::default();
        let mut urls = config.ice_servers.iter().flat_map(|server| &server.urls);
        let has_turn = urls.any(|url| url.starts_with("turn:") || url.starts_with("turns:"));
        let mut builder = PeerConnectionBuilder::new()
            .with_configuration(setup::configuration(&config.ice_servers, config.relay_only))
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(setup::settings(config.relay_only, has_turn))
            .with_handler(Arc::new(Handler::new(
                events.clone(),
                config.relay_only,
                settled.clone(),
            )))
            .with_udp_addrs(setup::addresses(&config.addresses));

        builder = builder.with_runtime(Arc::new(PromptRuntime::new(
            config.runtime.as_ref(),
            settled.clone(),
            has_turn,
        )));
        let connection: Arc<dyn PeerConnection> = Arc::new(builder.build().await.map_err(failed)?);
        let negotiated = Negotiated::default();

        Ok(Self {
            connection,
            config,
            settled,
            link,
            heard,
            audio: None,
            video: None,
            prepared: false,
            negotiated,
            events,
            told: ToldCandidates::default(),
        })
    }

    /// Makes an offer and applies it on this side. Returns it as JSON.
    ///
    /// # Errors
    /// [`PeerError::Connection`].
    pub async fn create_offer(&mut self) -> Result<String, PeerError> {
        if !self.prepared {
            let video = formats::video(self.config.codec);
            self.add(MediaKind::Audio, &[formats::opus()]).await?;
            self.add(MediaKind::Video, &video).await?;
            self.open_channel().await?;
            self.prepared = true;
        }

        let offer = self
            .connection
            .create_offer(None)
            .await
            .map_err(|_| PeerError::Connection("make an offer"))?;
        self.set_local(offer).await
    }

    /// Applies the partner's offer, taking back an own one first if `rollback`. Returns the answer as JSON.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`], [`PeerError::NoCommonCodec`], [`PeerError::Connection`].
    pub async fn apply_offer(&mut self, offer: &str, rollback: bool) -> Result<String, PeerError> {
        let remote = description::from_json(offer, RTCSdpType::Offer)?;
        let agreed = agree(&remote.media)?;

        if rollback {
            let back = RTCSessionDescription::rollback(None)
                .map_err(|_| PeerError::Connection("take an offer back"))?;
            let done = self.connection.set_local_description(back).await;
            done.map_err(|_| PeerError::Connection("take an offer back"))?;
        }

        if !self.prepared {
            for (kind, formats) in [
                (MediaKind::Audio, &agreed.audio),
                (MediaKind::Video, &agreed.video),
            ] {
                // Chosen by our preference, named as the partner does.
                let ours = match kind {
                    MediaKind::Audio => vec![formats::opus()],
                    MediaKind::Video => formats::video(self.config.codec),
                };
                let both: Vec<Format> = ours
                    .into_iter()
                    .filter(|own| formats.iter().any(|theirs| same_format(own, theirs)))
                    .collect();
                if !both.is_empty() {
                    self.add(kind, &both[..1]).await?;
                }
            }

            self.prepared = true;
        }

        self.set_remote(remote.description).await?;
        let answer = self
            .connection
            .create_answer(None)
            .await
            .map_err(|_| PeerError::Connection("make an answer"))?;
        self.negotiated = agree(&description::media_sections(&answer)?)?;

        self.set_local(answer).await
    }

    /// Applies the partner's answer.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`], [`PeerError::NoCommonCodec`].
    pub async fn apply_answer(&mut self, answer: &str) -> Result<(), PeerError> {
        let remote = description::from_json(answer, RTCSdpType::Answer)?;
        self.negotiated = agree(&remote.media)?;
        self.follow_answer().await?;

        self.set_remote(remote.description).await
    }

    /// Adds a candidate of the partner.
    ///
    /// # Errors
    /// [`PeerError::BadCandidate`]; the connection goes on without it.
    pub async fn add_candidate(&self, candidate: &str) -> Result<(), PeerError> {
        let Some(candidate) = description::candidate_from_json(candidate)? else {
            return Ok(());
        };

        if !self.told.take(&candidate.candidate) {
            return Err(PeerError::BadCandidate);
        }

        self.connection
            .add_ice_candidate(candidate)
            .await
            .map_err(|_| PeerError::BadCandidate)
    }

    /// Uses these servers, with fresh credentials, from now on: those of allocations that live are renewed in place.
    ///
    /// # Errors
    /// [`PeerError::Connection`]; the old ones stay.
    pub async fn set_ice_servers(&self, servers: &[RTCIceServer]) -> Result<(), PeerError> {
        let failed = |_| PeerError::Connection("change its servers");
        let changed = setup::configuration(servers, self.config.relay_only);
        self.connection
            .set_configuration(changed)
            .await
            .map_err(failed)?;

        // New servers count from the next gathering on, and this begins one. No offer follows, so nothing restarts.
        self.connection.restart_ice().await.map_err(failed)
    }

    /// Closes the connection and its sockets.
    pub async fn close(&self) {
        self.settled.set(true);
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the peer connection was closed already");
        }
    }

    /// What both sides agreed on. Empty before that.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Where sound goes, if both sides want it.
    #[must_use]
    pub fn audio(&self) -> Option<&LocalTrack> {
        self.audio.as_ref()
    }

    /// Where pictures go, if both sides want them.
    #[must_use]
    pub fn video(&self) -> Option<&LocalTrack> {
        self.video.as_ref()
    }

    /// What congestion control knows about the path.
    #[must_use]
    pub fn link(&self) -> &Arc<LinkState> {
        &self.link
    }

    /// When the partner was last heard.
    #[must_use]
    pub fn heard(&self) -> &Arc<LastHeard> {
        &self.heard
    }

    /// The path that media takes. `None` before there is one.
    pub async fn route(&self) -> Option<crate::session::Route> {
        super::route::route(&*self.connection, &self.told, self.link.rtt()).await
    }

    async fn add(&mut self, kind: MediaKind, formats: &[Format]) -> Result<(), PeerError> {
        let failed = |_| PeerError::Connection("add a track");
        let rtc_kind = match kind {
            MediaKind::Audio => RtpCodecKind::Audio,
            MediaKind::Video => RtpCodecKind::Video,
        };

        let send = match kind {
            MediaKind::Audio => self.config.send_audio,
            MediaKind::Video => self.config.send_video,
        };

        if !send {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..RTCRtpTransceiverInit::default()
            };

            self.connection
                .add_transceiver_from_kind(rtc_kind, Some(init))
                .await
                .map_err(failed)?;
            return Ok(());
        }

        let local = local_track(rtc_kind, &formats[0], rand::random());
        let track: Arc<dyn TrackLocal> = Arc::clone(&local.track) as _;
        let sender = self.connection.add_track(track).await.map_err(failed)?;

        if formats.len() > 1 {
            for transceiver in self.connection.get_transceivers().await {
                let is_this = transceiver
                    .sender()
                    .await
                    .ok()
                    .flatten()
                    .is_some_and(|other| other.id() == sender.id());

                if is_this {
                    let all = formats.iter().map(Format::to_rtc).collect();
                    transceiver
                        .set_codec_preferences(all)
                        .await
                        .map_err(failed)?;
                }
            }
        }

        match kind {
            MediaKind::Audio => self.audio = Some(local),
            MediaKind::Video => self.video = Some(local),
        }

        Ok(())
    }

    /// Offers the data channel on which both sides tell their state. The answerer opens none of its own.
    async fn open_channel(&self) -> Result<(), PeerError> {
        let opened = self.connection.create_data_channel(CHANNEL, None).await;
        let channel = opened.map_err(|_| PeerError::Connection("open a data channel"))?;
        // Nobody listens any more once the call is over.
        let _ = self.events.send(PeerEvent::Channel(channel));

        Ok(())
    }

    /// The sender was made for the format that was offered first. If the answer chose another, it has to know before the
    /// stream is bound to the interceptors.
    async fn follow_answer(&mut self) -> Result<(), PeerError> {
        let (Some(local), Some(chosen)) = (&self.video, self.negotiated.video.first()) else {
            return Ok(());
        };

        if chosen.video() == Some(self.config.codec) {
            return Ok(());
        }

        let failed = |_| PeerError::Connection("change the codec");
        let replacement = LocalTrack {
            track: local_track(RtpCodecKind::Video, chosen, local.ssrc).track,
            ssrc: local.ssrc,
        };

        for sender in self.connection.get_senders().await {
            if sender.track().ssrcs().await.contains(&local.ssrc) {
                let track: Arc<dyn TrackLocal> = Arc::clone(&replacement.track) as _;
                sender.replace_track(track).await.map_err(failed)?;
            }
        }

        Ok(())
    }

    async fn set_remote(&self, description: RTCSessionDescription) -> Result<(), PeerError> {
        self.told.renew(&description.sdp);
        self.connection
            .set_remote_description(description)
            .await
            .map_err(|error| {
                tracing::debug!(%error, "the partner's description was refused");
                PeerError::BadDescription("it contradicts itself or what was agreed")
            })
    }

    async fn set_local(&self, description: RTCSessionDescription) -> Result<String, PeerError> {
        let json = if self.config.relay_only {
            privacy::description_to_json(&description)
        } else {
            description::to_json(&description)
        };

        let failed = |_| PeerError::Connection("apply its own description");
        self.connection
            .set_local_description(description)
            .await
            .map_err(failed)?;
        Ok(json)
    }
}

fn local_track(kind: RtpCodecKind, format: &Format, ssrc: u32) -> LocalTrack {
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            ..RTCRtpCodingParameters::default()
        },
        codec: format.to_rtc().rtp_codec,
        ..RTCRtpEncodingParameters::default()
    };

    // Unique on both sides: feedback finds its track by this id.
    let id = uuid::Uuid::new_v4().to_string();
    let track = MediaStreamTrack::new("tandem".into(), id, kind.to_string(), kind, vec![encoding]);
    LocalTrack {
        track: Arc::new(TrackLocalStaticRTP::new(track)),
        ssrc,
    }
}
