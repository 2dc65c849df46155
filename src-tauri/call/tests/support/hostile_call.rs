//! A call between an honest side and a peer connection with which a test does what it likes.

use std::sync::Arc;
use std::time::Duration;

use rtc::rtcp::Packet as RtcpPacket;
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tandem_call::EndCode;
use tandem_call::internals::{MediaKind, Packetizer, Peer, PeerEvent};
use tandem_media::I420;
use tandem_media::codec::{EncoderConfig, VideoCodec, VideoEncoder, encoder};
use tandem_media::video::test_pattern;
use tandem_signaling::client::ClientEvent;
use tandem_signaling::message::{ClientMessage, RawValue, ServerMessage, SocketId};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::RTCSessionDescription;

use super::hostile::Hostile;
use super::peers::peer;
use super::{Side, TestServer, room, server};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// The payload types of the offers of both sides, which the answers take over.
pub(crate) const H264: u8 = 102;
pub(crate) const VP8: u8 = 96;

/// A hostile side in a call with an honest one.
pub(crate) struct InCall {
    pub server: TestServer,
    pub honest: Side,
    pub hostile: Peer,
    signaling: Hostile,
    events: UnboundedReceiver<PeerEvent>,
    /// The honest side's address at the signaling server.
    to: SocketId,
    /// The data channel for states, if it was there before the connection.
    channel: Option<Arc<dyn DataChannel>>,
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("the peer makes JSON")
}

/// Connects the two.
pub(crate) async fn in_call() -> InCall {
    in_call_after(&[]).await
}

/// Connects the two after the hostile side has sent these candidates, as JSON: before the
/// descriptions and after them.
pub(crate) async fn in_call_after(garbage: &[&str]) -> InCall {
    let (server, room) = (server().await, room());
    let honest = Side::start(&server, &room);
    let mut signaling = Hostile::join(&server);
    let found = signaling.meet(&room).await;
    let (mut hostile, mut events) = peer().await;
    let send = |signaling: &Hostile, message| {
        signaling.client.send(message).expect("the server is there");
    };
    let to = || found.socket_id.clone();

    let send_garbage = |signaling: &Hostile| {
        for candidate in garbage {
            let candidate = raw(candidate);
            send(
                signaling,
                ClientMessage::IceCandidate {
                    to: to(),
                    candidate,
                },
            );
        }
    };
    send_garbage(&signaling);

    if found.initiator {
        let offer = raw(&hostile.create_offer().await.expect("an offer"));
        send(&signaling, ClientMessage::WebrtcOffer { to: to(), offer });
    }

    let mut channel = None;
    let connect = async {
        loop {
            tokio::select! {
                event = events.recv() => match event.expect("the connection lives") {
                    PeerEvent::Candidate(text) => {
                        let candidate = raw(&text);
                        send(&signaling, ClientMessage::IceCandidate { to: to(), candidate });
                    }
                    PeerEvent::Channel(first) => channel = Some(first),
                    PeerEvent::Connected => return,
                    _ => {}
                },
                event = signaling.events.recv() => match event {
                    Some(ClientEvent::Message(ServerMessage::WebrtcOffer(relayed))) => {
                        let answer = hostile.apply_offer(relayed.offer.get(), false).await;
                        let answer = raw(&answer.expect("an honest offer"));
                        send(&signaling, ClientMessage::WebrtcAnswer { to: to(), answer });
                        send_garbage(&signaling);
                    }
                    Some(ClientEvent::Message(ServerMessage::WebrtcAnswer(relayed))) => {
                        let applied = hostile.apply_answer(relayed.answer.get()).await;
                        applied.expect("an honest answer");
                        send_garbage(&signaling);
                    }
                    Some(ClientEvent::Message(ServerMessage::IceCandidate(relayed))) => {
                        let _ = hostile.add_candidate(relayed.candidate.get()).await;
                    }
                    _ => {}
                },
            }
        }
    };
    timeout(TIMEOUT, connect).await.expect("the two connect");

    InCall {
        server,
        honest,
        hostile,
        signaling,
        events,
        to: found.socket_id,
        channel,
    }
}

impl InCall {
    /// Sends one offer ten times a second, whatever the honest side answers, until that ends the call.
    pub(crate) async fn ended_while_offering(&mut self, limit: Duration) -> EndCode {
        let offer = self.hostile.connection().create_offer(None).await;
        let sdp = offer.expect("an offer").sdp;
        let json = serde_json::json!({ "type": "offer", "sdp": sdp }).to_string();
        let (to, client) = (&self.to, &self.signaling.client);
        let offering = async {
            loop {
                let message = ClientMessage::WebrtcOffer {
                    to: to.clone(),
                    offer: raw(&json),
                };
                client.send(message).expect("the server is there");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };

        tokio::select! {
            code = self.honest.ended(limit) => code,
            () = offering => unreachable!("it has no end"),
        }
    }

    /// Offers again, with all that the connection has now: past the peer, which has one section of
    /// each kind.
    pub(crate) async fn renegotiate(&mut self) {
        let connection = Arc::clone(self.hostile.connection());
        let offer = connection.create_offer(None).await.expect("an offer");
        let json = serde_json::json!({ "type": "offer", "sdp": offer.sdp });
        let applied = connection.set_local_description(offer).await;
        applied.expect("its own offer");
        let offer = raw(&json.to_string());
        let to = self.to.clone();
        let offer = ClientMessage::WebrtcOffer { to, offer };
        self.signaling
            .client
            .send(offer)
            .expect("the server is there");

        let answer = self.signaling.until(|message| match message {
            ServerMessage::WebrtcAnswer(relayed) => Some(relayed.answer),
            _ => None,
        });
        let answer = answer.await;
        let answer: serde_json::Value = serde_json::from_str(answer.get()).expect("JSON");
        let sdp = answer["sdp"].as_str().expect("SDP").to_owned();
        let answer = RTCSessionDescription::answer(sdp).expect("SDP");
        let applied = connection.set_remote_description(answer).await;
        applied.expect("an honest answer");
    }

    /// The hostile side's own video track, and its SSRC.
    pub(crate) async fn video(&self) -> (Arc<dyn TrackLocal>, u32) {
        for sender in self.hostile.connection().get_senders().await {
            let track = sender.track().track().await;
            if track.kind() == RtpCodecKind::Video {
                let ssrc = track.ssrcs().next().expect("it sends");
                return (Arc::clone(sender.track()), ssrc);
            }
        }

        panic!("the peer sends video");
    }

    /// The honest side's video, as it arrives.
    pub(crate) async fn remote_video(&mut self) -> Arc<dyn TrackRemote> {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the connection lives");
                if let PeerEvent::Track(MediaKind::Video, track) = event {
                    return track;
                }
            }
        };

        timeout(TIMEOUT, search)
            .await
            .expect("the honest side sends video")
    }

    /// The data channel on which the two report their states, open.
    pub(crate) async fn state_channel(&mut self) -> Arc<dyn DataChannel> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => loop {
                let event = timeout(TIMEOUT, self.events.recv()).await;
                if let Some(PeerEvent::Channel(channel)) = event.expect("a channel") {
                    break channel;
                }
            },
        };
        let open = async {
            while !matches!(channel.poll().await, None | Some(DataChannelEvent::OnOpen)) {}
        };
        timeout(TIMEOUT, open).await.expect("it opens");
        channel
    }

    pub(crate) async fn close(self) {
        self.hostile.close().await;
        self.server.shutdown().await;
    }
}

/// A test pattern as RTP packets.
pub(crate) struct Stream {
    encoder: Box<dyn VideoEncoder>,
    packetizer: Packetizer,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    number: u16,
}

impl Stream {
    /// A stream whose first frame has this number.
    pub(crate) fn new(codec: VideoCodec, ssrc: u32, first: u16) -> Self {
        let config = EncoderConfig {
            width: 320,
            height: 240,
            fps: 30.0,
            bitrate_bps: 400_000,
            max_nal_bytes: None,
        };

        Self {
            encoder: encoder(codec, config).expect("the encoder starts"),
            packetizer: Packetizer::new(codec),
            payload_type: match codec {
                VideoCodec::H264 => H264,
                VideoCodec::Vp8 => VP8,
            },
            ssrc,
            sequence: 0,
            number: first,
        }
    }

    /// The next frame; a keyframe if asked for.
    pub(crate) fn frame(&mut self, keyframe: bool) -> Vec<Packet> {
        let mut image = I420::new(320, 240);
        let millis = u32::from(self.number) * 33;
        test_pattern::draw(&mut image, self.number, millis);
        self.number += 1;
        let encoded = self.encoder.encode(&image, millis.into(), keyframe);
        let Some(encoded) = encoded.expect("it encodes") else {
            return Vec::new();
        };

        let payloads = self.packetizer.packetize(encoded.data).into_iter();
        payloads
            .map(|payload| self.packet(millis * 90, payload.marker, payload.data))
            .collect()
    }

    /// One packet with any payload.
    pub(crate) fn packet(
        &mut self,
        timestamp: u32,
        marker: bool,
        payload: impl Into<bytes::Bytes>,
    ) -> Packet {
        self.sequence = self.sequence.wrapping_add(1);
        Packet {
            header: Header {
                version: 2,
                marker,
                payload_type: self.payload_type,
                sequence_number: self.sequence,
                timestamp,
                ssrc: self.ssrc,
                ..Header::default()
            },
            payload: payload.into(),
        }
    }

    /// Sends ten seconds of frames, 30 a second, and a keyframe every second.
    pub(crate) async fn play(&mut self, track: &dyn TrackLocal) {
        for number in 0..300 {
            for packet in self.frame(number % 30 == 0) {
                track.write_rtp(packet).await.expect("the connection lives");
            }

            tokio::time::sleep(Duration::from_millis(33)).await;
        }
    }
}

/// An RTCP packet for [`TrackRemote::write_rtcp`].
pub(crate) fn rtcp(packet: impl RtcpPacket + 'static) -> Box<dyn RtcpPacket> {
    Box::new(packet)
}
