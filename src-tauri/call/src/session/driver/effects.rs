//! Carries out what the state machine asks for: messages to the signaling server, the peer
//! connection and its descriptions, and the events for the user.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: the task that gives the state machine the time"
)]

use std::sync::Arc;
use std::time::Instant;

use tandem_media::error::{DeviceError, MediaErrorCode, MediaEvent, MediaPart};
use tandem_media::video::VideoSpec;
use tandem_trust::Message;
use tokio::sync::mpsc::unbounded_channel;

use super::Driver;
use crate::congestion::BitrateBounds;
use crate::machine::{
    DescriptionJson, Effect, EndCode, Input, Notice, Outgoing, PeerFault, PeerId, Phase,
};
use crate::partner_state::Share;
use crate::peer::{Peer, PeerConfig, PeerError};
use crate::session::limit::or_hung;
use crate::session::line::SignalingLine;
use crate::session::local_video::LocalVideo;
use crate::session::network_watch::{Addresses, NetworkWatch};
use crate::session::partner::PartnerConnection;
use crate::session::trouble::TroubleWatch;
use crate::session::verification::{Reaction, Verifier, with_move};
use crate::session::{CallEventKind, signaling};

/// What audio needs beside video, in bits per second: 24 kbit/s of Opus, FEC, headers.
const AUDIO_ALLOWANCE_BPS: u64 = 80_000;

impl Driver {
    /// Does everything that the state machine has asked for.
    pub(super) async fn carry_out(&mut self, line: &mut SignalingLine, video: &mut LocalVideo) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Send(outgoing) => self.send(line, outgoing),
                Effect::CreatePeer(id) => self.create_peer(id).await,
                Effect::ReplacePeer { peer: id, number } => self.replace_peer(id, number).await,
                Effect::CreateOffer { peer: id, restart } => {
                    let Some(partner) = self.partner(id) else {
                        continue;
                    };

                    let offer = async {
                        if restart {
                            partner.peer.restart().await
                        } else {
                            partner.peer.create_offer().await
                        }
                    };
                    let input = match or_hung("make an offer", offer).await {
                        Err(PeerError::NoNetwork) => Ok(Some(Input::RestartFailed(id))),
                        offer => offer.map(|offer| {
                            let is_first = !restart && partner.number == 0;
                            let offer = if is_first {
                                partner.verifier.first_offer(offer)
                            } else {
                                offer
                            };
                            Some(Input::LocalOffer(id, partner.numbered_offer(&offer).into()))
                        }),
                    };
                    self.feed_result(id, input);
                }
                Effect::ApplyOffer {
                    peer: id,
                    offer,
                    rollback,
                } => {
                    self.apply_offer(id, &offer, rollback, video).await;
                }
                Effect::ApplyAnswer { peer: id, answer } => {
                    self.apply_answer(id, &answer, video).await;
                }
                Effect::CheckMove { peer: id, pake } => {
                    if let Some(partner) = self.partner(id) {
                        let reaction = partner.verifier.candidate(pake.as_str());
                        self.react(id, reaction);
                    }
                }
                Effect::AddCandidate {
                    peer: id,
                    candidate,
                } => {
                    let Some(partner) = self.partner(id) else {
                        continue;
                    };

                    let added = partner.peer.add_candidate(candidate.as_str());
                    let added = or_hung("add a candidate", added).await;
                    self.feed_result(id, added.map(|()| None));
                }
                Effect::TellProblem { peer: id, to } => self.tell_problem(id, &to, line),
                Effect::ClosePeer(id) => self.close_peer(id, video).await,
                Effect::ForgetAudio => self.audio.next_partner().await,
                Effect::Notify(notice) => self.notify(notice, video),
            }
        }
    }

    /// Applies the partner's offer and answers it, unless it shows that the partner is not who it
    /// should be. A refusal goes with the answer, if the partner awaits one there.
    async fn apply_offer(
        &mut self,
        id: PeerId,
        offer: &DescriptionJson,
        rollback: bool,
        video: &LocalVideo,
    ) {
        let Some(partner) = self.partner(id) else {
            return;
        };

        let mut reaction = partner.verifier.offer(offer.as_str());
        if reaction.is_mismatch && reaction.answer.is_none() {
            self.react(id, reaction);
            return;
        }

        if !partner.is_same_partner(offer.as_str()) {
            tracing::warn!("a fresh connection has another certificate: ending the call");
            self.react(id, Reaction::ended(true));
            return;
        }

        let answer = partner.peer.apply_offer(offer.as_str(), rollback);
        let answer = or_hung("apply an offer", answer).await;
        self.on_negotiated(id, video);
        if let Err(PeerError::NoNetwork) = answer {
            self.feed(Input::RestartFailed(id));
        }

        if answer.is_err() && reaction.is_mismatch {
            reaction.candidate = reaction.answer.as_ref().map(Message::to_json);
            self.react(id, reaction);
            return;
        }

        let Some(partner) = self.partner(id) else {
            return;
        };

        let input = answer.map(|answer| {
            let answer = match &reaction.answer {
                Some(message) => with_move(&answer, message),
                None => answer,
            };
            let answer = partner.numbered_answer(&answer, offer.as_str());
            Some(Input::LocalAnswer(id, answer.into()))
        });
        self.report_checking(input.is_ok());
        self.feed_result(id, input);
        self.react(id, reaction);
    }

    /// Applies the partner's answer, unless it shows that the partner is not who it should be.
    async fn apply_answer(&mut self, id: PeerId, answer: &DescriptionJson, video: &LocalVideo) {
        let Some(partner) = self.partner(id) else {
            return;
        };

        let reaction = partner.verifier.answer(answer.as_str());
        if reaction.is_mismatch {
            self.react(id, reaction);
            return;
        }

        if !partner.is_same_partner(answer.as_str()) {
            tracing::warn!("a fresh connection has another certificate: ending the call");
            self.react(id, Reaction::ended(true));
            return;
        }

        // The partner waits for the move, and applying takes longer.
        self.react(id, reaction);
        let Some(partner) = self.partner(id) else {
            return;
        };

        let applied = partner.peer.apply_answer(answer.as_str());
        let applied = or_hung("apply an answer", applied).await;
        self.on_negotiated(id, video);
        self.report_checking(applied.is_ok());
        self.feed_result(id, applied.map(|()| None));
    }

    /// The connection's two sides may have agreed on something else than before.
    fn on_negotiated(&mut self, id: PeerId, video: &LocalVideo) {
        if let Some(partner) = self.partner.as_mut().filter(|partner| partner.id == id) {
            partner.on_negotiated(&self.options, video.sender(), self.audio.gate());
        }
    }

    /// The current connection, if it is the one with this id.
    fn partner(&mut self, id: PeerId) -> Option<&mut PartnerConnection> {
        self.partner.as_mut().filter(|partner| partner.has(id))
    }

    /// Feeds the result of an effect on the peer connection.
    pub(super) fn feed_result(&mut self, id: PeerId, result: Result<Option<Input>, PeerError>) {
        match result {
            Ok(Some(input)) => self.feed(input),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "the peer connection reported an error");

                if let Some(fault) = error.fault() {
                    self.feed(Input::PeerFaulted(id, fault));
                }
            }
        }
    }

    fn send(&self, line: &mut SignalingLine, outgoing: Outgoing) {
        let Some(message) = signaling::message(outgoing, &self.options) else {
            return;
        };

        let kind = message.kind();

        if let Err(error) = line.send(message) {
            tracing::debug!(%error, kind, "cannot send a message to the signaling server: dropped it");
        }
    }

    async fn create_peer(&mut self, id: PeerId) {
        // Of the partner before.
        self.problem = None;
        self.trouble = TroubleWatch::of_match(Instant::now());
        let (Some(matched), Some(engine)) = (self.matched.session.clone(), self.audio.engine())
        else {
            return;
        };

        let code = self.options.code.clone();
        if code.as_ref().is_some_and(|code| code.guesses.is_void()) {
            tracing::warn!("the code has been tried too often: ending the call");
            self.feed(Input::CodeMismatch(id));
            return;
        }

        let both_private = self.matched.both_private;
        if let Some(code) = self.missing_server(both_private) {
            self.feed(Input::MissingServer(code));
            return;
        }

        let options = &self.options;
        let hides = options.hides_local_addresses(both_private);
        let is_relayed = options.is_relayed(self.server.ice_servers.has_turn());
        let is_stranger = options.stranger.is_some();
        let config = PeerConfig {
            codec: options.codec,
            send_video: options.negotiate_video || options.video != VideoSpec::None,
            send_audio: options.negotiate_audio || self.audio.has_source(),
            link: link_bounds(options.max_bitrate_bps),
            ice_servers: signaling::ice_servers(self.server.ice_servers.servers()),
            roots: options.signaling.roots.clone(),
            warm: Arc::clone(&self.server.warm),
            relay_only: is_relayed,
            hide_local_addresses: hides,
            hide_public_addresses: options.hides_public_addresses(both_private),
            addresses: options.media_addresses.clone(),
            // Far-away partners have no use for them, and they can hold a hardware address.
            link_local: options.signaling.url.is_private() && !is_relayed && !is_stranger,
            runtime: options.media_runtime.clone(),
        };

        let share = options.meet_again.then(|| Share::new(rand::random()));
        let (sender, events) = unbounded_channel();

        match or_hung("start", Peer::new(config, sender)).await {
            Ok(peer) => {
                let verifier = Verifier::new(
                    code,
                    matched.session_id.as_str(),
                    matched.initiator,
                    peer.fingerprint(),
                    Instant::now() + options.timeouts.verification,
                    rand::random(),
                );
                let verifier = match verifier {
                    Ok(verifier) => verifier,
                    Err(error) => {
                        tracing::warn!(%error, "cannot verify a partner in this session");
                        self.feed(Input::PeerFaulted(id, PeerFault::Internal));
                        return;
                    }
                };

                let mut partner =
                    PartnerConnection::new(id, peer, events, matched, engine, share, verifier);
                partner.may_send = !self.options.hold_media || !self.local_state.is_held();
                self.partner = Some(partner);
                // Other sockets than the system's know nothing of its addresses.
                self.network = Addresses::read()
                    .filter(|_| self.options.uses_system_sockets())
                    .map(|addresses| NetworkWatch::new(Instant::now(), addresses));
            }
            Err(error) => self.feed_result(id, Err(error)),
        }
    }

    async fn close_peer(&mut self, id: PeerId, video: &LocalVideo) {
        let Some(partner) = self.partner.take_if(|partner| partner.id == id) else {
            return;
        };

        self.problem = self.problem_with(&partner);
        let engine = self.audio.engine().map(Arc::as_ref);
        partner.stop_showing();
        let stats = partner.stats(Instant::now(), engine).await;
        *self.output.final_stats.lock() = stats;
        partner.close(video, self.audio.gate()).await;
    }

    fn notify(&mut self, notice: Notice, video: &LocalVideo) {
        let kind = match notice {
            Notice::Searching => CallEventKind::Searching,
            Notice::Ringing(rings) => CallEventKind::Ringing(rings),
            Notice::Matched(session) => {
                let kind = CallEventKind::Matched {
                    session_id: session.session_id.as_str().to_owned(),
                    initiator: session.initiator,
                    partner_id: self
                        .matched
                        .user
                        .as_ref()
                        .map(|user| user.as_str().to_owned())
                        .unwrap_or_default(),
                    partner: self.matched.profile.clone(),
                    interests: self.matched.interests.clone(),
                };

                self.local_state.set_held(self.options.hold_media);

                self.matched.session = Some(session);
                kind
            }
            Notice::Connected => {
                tracing::info!("connected to the partner");
                self.on_connected(video);
                return;
            }
            Notice::SignalingLost => CallEventKind::SignalingLost,
            Notice::SignalingBack => CallEventKind::SignalingBack,
            Notice::PartnerReconnecting { until } => CallEventKind::PartnerReconnecting { until },
            Notice::PartnerBack => CallEventKind::PartnerBack,
            Notice::PartnerSignalingLost => CallEventKind::PartnerSignalingLost,
            Notice::PartnerSignalingBack => CallEventKind::PartnerSignalingBack,
            Notice::CameraNotNegotiated => {
                not_negotiated(MediaPart::Camera, MediaErrorCode::CamNotNegotiated, "video")
            }
            Notice::MicrophoneNotNegotiated => not_negotiated(
                MediaPart::Microphone,
                MediaErrorCode::MicNotNegotiated,
                "audio",
            ),
            Notice::Ended(mut reason) => {
                // The cause says more than the sentence of the code.
                if let EndCode::RelayUnreachable | EndCode::RelayRefused = reason.code
                    && let Some(error) = &self.server.error
                {
                    reason.message = error.to_string();
                    reason.cause = Some(error.code());
                }

                if let EndCode::ConnectTimeout | EndCode::ConnectionFailed = reason.code
                    && let Some(problem) = self.problem
                {
                    reason.message = problem.message().to_owned();
                    reason.problem = Some(problem);
                }

                CallEventKind::Ended { reason }
            }
        };

        self.report(kind);
    }

    /// The call begins: sends, and receives what the partner has sent meanwhile.
    fn on_connected(&mut self, video: &LocalVideo) {
        let mut held = Vec::new();
        if let Some(partner) = &mut self.partner {
            let (sender, gate) = (video.sender(), self.audio.gate());
            partner.on_connected(Instant::now(), &self.options, sender, gate);
            held = partner.release();
        }

        for event in held {
            self.receive(event);
        }

        self.report(CallEventKind::Connected);
        self.report_verification();
    }

    /// Reports that ICE checks routes. Descriptions that are applied later, in a call, are a
    /// renegotiation.
    fn report_checking(&self, is_applied: bool) {
        if is_applied && self.machine.phase() == Phase::Connecting {
            self.report(CallEventKind::Checking);
        }
    }
}

/// The bounds of the estimate for a video bitrate of at most `max_bitrate_bps`, with room for
/// audio.
fn link_bounds(max_bitrate_bps: u32) -> BitrateBounds {
    let default = BitrateBounds::default();
    let max_bps = u64::from(max_bitrate_bps) + AUDIO_ALLOWANCE_BPS;

    BitrateBounds {
        max_bps: max_bps.max(default.min_bps),
        start_bps: default.start_bps.min(max_bps),
        ..default
    }
}

/// The event for a camera or microphone that was chosen in a call that cannot send it.
fn not_negotiated(part: MediaPart, code: MediaErrorCode, track: &str) -> CallEventKind {
    let message = format!(
        "This call can't send {track}: the two sides didn't agree on it. Call again to send it."
    );

    CallEventKind::Media(MediaEvent::Failed {
        part,
        error: DeviceError::new(code, message),
    })
}
