//! A partner that speaks WebRTC as Tandem does, but describes it in words of its own: every
//! description passes through an [`Edit`] of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use tandem_call::internals::{MediaKind, Packetizer, Peer, PeerEvent};
use tandem_media::I420;
use tandem_media::codec::{EncoderConfig, VideoCodec, VideoEncoder, encoder};
use tandem_media::video::test_pattern;
use tandem_signaling::client::ClientEvent;
use tandem_signaling::message::{ClientMessage, RawValue, ServerMessage};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::TestServer;
use super::hostile::Hostile;
use super::peers::peer;

/// Changes the SDP of a description of this type.
pub(crate) type Edit = fn(kind: &str, sdp: String) -> String;

/// Leaves a description as it is.
pub(crate) fn unchanged(_: &str, sdp: String) -> String {
    sdp
}

/// A partner with words of its own.
pub(crate) struct Foreign {
    /// What has happened so far.
    pub seen: Arc<Seen>,
    offers: UnboundedSender<Edit>,
    task: JoinHandle<()>,
}

/// What the partner has received.
#[derive(Default)]
pub(crate) struct Seen {
    /// RTP packets of audio.
    pub audio: AtomicUsize,
    /// RTP packets of video.
    pub video: AtomicUsize,
    /// The first bytes of video payloads: what kind of H.264 packets they are.
    pub kinds: Mutex<Vec<u8>>,
    /// Whether to leave out the parameter sets of the video.
    pub without_parameters: AtomicBool,
    /// The SDP of every description, as it arrived.
    pub descriptions: Mutex<Vec<String>>,
}

impl Foreign {
    /// Searches in `room` and calls the partner that it finds. The descriptions that it sends pass
    /// through `out`, those that it receives through `back`.
    pub(crate) async fn join(server: &TestServer, room: &str, out: Edit, back: Edit) -> Self {
        let seen = Arc::new(Seen::default());
        let (offers, orders) = unbounded_channel();
        let mut signaling = Hostile::join(server);
        signaling.search(room).await;
        let act = act(signaling, (out, back), orders, Arc::clone(&seen));

        Self {
            seen,
            offers,
            task: tokio::spawn(act),
        }
    }

    /// Offers again in the call, with this description.
    pub(crate) fn offer(&self, edit: Edit) {
        self.offers.send(edit).expect("the partner is there");
    }

    /// Goes away without a word.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

fn edited(description: &str, edit: Edit) -> Box<RawValue> {
    let mut parsed: serde_json::Value = serde_json::from_str(description).expect("JSON");
    let kind = parsed["type"].as_str().expect("a type").to_owned();
    let sdp = parsed["sdp"].as_str().expect("SDP").to_owned();
    parsed["sdp"] = edit(&kind, sdp).into();
    RawValue::from_string(parsed.to_string()).expect("JSON")
}

/// The payload type that comes first in the video section.
pub(crate) fn video_payload_type(description: &str) -> Option<u8> {
    let (_, rest) = description.split_once("m=video 9 UDP/TLS/RTP/SAVPF ")?;
    rest.split(|letter: char| !letter.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

async fn act(
    mut signaling: Hostile,
    (out, back): (Edit, Edit),
    mut orders: UnboundedReceiver<Edit>,
    seen: Arc<Seen>,
) {
    let found = signaling.found().await;
    let (mut peer, mut events) = peer().await;
    let to = || found.socket_id.clone();
    let mut payload_type = None;
    let mut edit = out;
    let mut offer_again = found.initiator;

    loop {
        if std::mem::take(&mut offer_again) {
            let offer = peer.create_offer().await.expect("an offer");
            let offer = edited(&offer, edit);
            let message = ClientMessage::WebrtcOffer { to: to(), offer };
            signaling.client.send(message).expect("the server");
        }

        let message = tokio::select! {
            Some(order) = orders.recv() => {
                (edit, offer_again) = (order, true);
                continue;
            }
            event = events.recv() => {
                match event.expect("the connection lives") {
                    PeerEvent::Candidate(text) => {
                        let candidate = RawValue::from_string(text.to_string()).expect("JSON");
                        let message = ClientMessage::IceCandidate { to: to(), candidate };
                        // The other side may be gone.
                        let _ = signaling.client.send(message);
                    }
                    PeerEvent::Connected => {
                        let track = video_track(&peer).await;
                        tokio::spawn(send_video(track, payload_type, Arc::clone(&seen)));
                    }
                    PeerEvent::Track(kind, track) => {
                        tokio::spawn(count(kind, track, Arc::clone(&seen)));
                    }
                    _ => {}
                }
                continue;
            }
            message = signaling.events.recv() => message,
        };

        match message {
            Some(ClientEvent::Message(ServerMessage::WebrtcOffer(relayed))) => {
                seen.descriptions
                    .lock()
                    .push(relayed.offer.get().to_owned());
                let offer = edited(relayed.offer.get(), back);
                payload_type = video_payload_type(offer.get());
                let answer = peer.apply_offer(offer.get(), false).await;
                let answer = edited(&answer.expect("an offer to answer"), edit);
                let message = ClientMessage::WebrtcAnswer { to: to(), answer };
                signaling.client.send(message).expect("the server");
            }
            Some(ClientEvent::Message(ServerMessage::WebrtcAnswer(relayed))) => {
                seen.descriptions
                    .lock()
                    .push(relayed.answer.get().to_owned());
                let answer = edited(relayed.answer.get(), back);
                payload_type = payload_type.or(video_payload_type(answer.get()));
                peer.apply_answer(answer.get()).await.expect("an answer");
            }
            Some(ClientEvent::Message(ServerMessage::IceCandidate(relayed))) => {
                let _ = peer.add_candidate(relayed.candidate.get()).await;
            }
            None => return,
            _ => {}
        }
    }
}

pub(crate) type Track = Arc<dyn webrtc::media_stream::track_local::TrackLocal>;

pub(crate) async fn video_track(peer: &Peer) -> Track {
    for sender in peer.connection().get_senders().await {
        if sender.track().kind().await == rtc::rtp_transceiver::rtp_sender::RtpCodecKind::Video {
            return Arc::clone(sender.track());
        }
    }

    panic!("a peer has a video track");
}

/// What a partner's video looks like.
const VIDEO: EncoderConfig = EncoderConfig {
    width: 320,
    height: 240,
    fps: 15.0,
    bitrate_bps: 300_000,
    max_nal_bytes: None,
};

/// The keyframe `number`, as a byte stream.
fn keyframe(encoder: &mut dyn VideoEncoder, number: u16) -> Option<Vec<u8>> {
    let mut image = I420::new(VIDEO.width, VIDEO.height);
    test_pattern::draw(&mut image, number, u32::from(number) * 66);
    let frame = encoder.encode(&image, u64::from(number) * 66, true);
    Some(frame.expect("a frame")?.data)
}

/// The NAL units of a byte stream that `keep` wants, by their type.
fn units(stream: &[u8], keep: impl Fn(u8) -> bool) -> Vec<Vec<u8>> {
    let starts: Vec<usize> = (0..stream.len().saturating_sub(3))
        .filter(|at| stream[*at..].starts_with(&[0, 0, 0, 1]))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| stream[start + 4..end].to_vec())
        .filter(|unit| keep(unit[0] & 0x1f))
        .collect()
}

fn is_parameter_set(kind: u8) -> bool {
    matches!(kind, 7 | 8)
}

/// The parameter sets of the video, as in `sprop-parameter-sets`.
pub(crate) fn parameter_sets() -> String {
    let mut encoder = encoder(VideoCodec::H264, VIDEO).expect("an encoder");
    let stream = keyframe(&mut *encoder, 0).expect("a keyframe");
    let sets = units(&stream, is_parameter_set);
    let text = sets.iter().map(|set| BASE64_STANDARD.encode(set));
    text.collect::<Vec<String>>().join(",")
}

/// Sends a keyframe fifteen times a second.
pub(crate) async fn send_video(track: Track, payload_type: Option<u8>, seen: Arc<Seen>) {
    let Some(payload_type) = payload_type else {
        return;
    };

    let mut encoder = encoder(VideoCodec::H264, VIDEO).expect("an encoder");
    let mut packetizer = Packetizer::new(VideoCodec::H264);
    let ssrc = track.ssrcs().await[0];
    let mut sequence = 1_u16;
    let mut clock = tokio::time::interval(Duration::from_millis(66));

    for number in 0_u16.. {
        clock.tick().await;
        let Some(mut frame) = keyframe(&mut *encoder, number) else {
            continue;
        };
        if seen.without_parameters.load(Relaxed) {
            let slices = units(&frame, |kind| !is_parameter_set(kind));
            let parts = slices
                .iter()
                .flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat());
            frame = parts.collect();
        }

        for payload in packetizer.packetize(frame) {
            let header = Header {
                version: 2,
                marker: payload.marker,
                payload_type,
                sequence_number: sequence,
                timestamp: u32::from(number) * 6_000,
                ssrc,
                ..Header::default()
            };
            sequence = sequence.wrapping_add(1);
            let packet = Packet {
                header,
                payload: payload.data,
            };
            if track.write_rtp(packet).await.is_err() {
                return;
            }
        }
    }
}

async fn count(kind: MediaKind, track: Arc<dyn TrackRemote>, seen: Arc<Seen>) {
    while let Some(event) = track.poll().await {
        if let TrackRemoteEvent::OnRtpPacket(packet) = event {
            match kind {
                MediaKind::Audio => seen.audio.fetch_add(1, Relaxed),
                MediaKind::Video => {
                    seen.kinds.lock().extend(packet.payload.first());
                    seen.video.fetch_add(1, Relaxed)
                }
            };
        }
    }
}
