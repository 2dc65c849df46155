//! One side of a call, and a partner that is only a connection of the library: the test decides when what
//! arrives is looked at.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

use std::time::Duration;

use bytes::Bytes;
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use tandem_media::audio::{AudioConfig, OutgoingAudio};
use tokio::time::timeout;
use webrtc::data_channel::DataChannelEvent;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_remote::TrackRemoteEvent;

use super::*;
use crate::partner_state::{StateMessage, parse, to_json};
use crate::peer::PeerConfig;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Between two attempts at what may come too early.
const PAUSE: Duration = Duration::from_millis(5);
const KINDS: [MediaKind; 2] = [MediaKind::Audio, MediaKind::Video];

const NEAR_SHARE: [u8; 16] = [1; 16];
const FAR_SHARE: [u8; 16] = [2; 16];

fn config() -> PeerConfig {
    PeerConfig {
        addresses: vec!["127.0.0.1:0".parse().expect("an address")],
        ..PeerConfig::default()
    }
}

/// The partner, which makes the offers.
struct Far {
    peer: Peer,
    events: UnboundedReceiver<PeerEvent>,
    channel: Option<Arc<dyn DataChannel>>,
    /// Those of audio and video.
    tracks: [Option<Arc<dyn TrackRemote>>; 2],
}

impl Far {
    async fn start() -> Self {
        let (sender, events) = unbounded_channel();
        let peer = Peer::new(config(), sender).await.expect("a socket");
        Self::of(peer, events)
    }

    fn of(peer: Peer, events: UnboundedReceiver<PeerEvent>) -> Self {
        Self {
            peer,
            events,
            channel: None,
            tracks: [None, None],
        }
    }

    /// The same side on a fresh connection.
    async fn successor(&self) -> Self {
        let (sender, events) = unbounded_channel();
        let peer = self.peer.successor(Vec::new(), sender).await;
        Self::of(peer.expect("a socket"), events)
    }

    fn on_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Channel(channel) => self.channel = Some(channel),
            PeerEvent::Track(kind, track) => self.tracks[kind as usize] = Some(track),
            _ => {}
        }
    }

    async fn send_audio(&self, sequence_number: u16) {
        let local = self.peer.audio().expect("it offers audio");
        let format = self.peer.negotiated().to_send(MediaKind::Audio);
        let header = Header {
            version: 2,
            payload_type: format.expect("the two agree").payload_type,
            sequence_number,
            ssrc: local.ssrc,
            ..Header::default()
        };
        let payload = Bytes::from_static(b"audio");
        let sent = local.track.write_rtp(Packet { header, payload }).await;
        sent.expect("the connection is up");
    }

    async fn report(&self, message: StateMessage) {
        let channel = self.channel.as_ref().expect("it has opened one");
        let sent = channel.send_text(&to_json(message)).await;
        sent.expect("the channel is open");
    }

    async fn until_open(&self) {
        let channel = self.channel.as_ref().expect("it has opened one");
        let open =
            async { while !matches!(channel.poll().await, Some(DataChannelEvent::OnOpen)) {} };
        timeout(TIMEOUT, open).await.expect("the channel opens");
    }

    /// The next message on the data channel.
    async fn message(&self) -> StateMessage {
        let channel = self.channel.as_ref().expect("it has opened one");
        let message = async {
            loop {
                let event = channel.poll().await.expect("the channel stays open");
                if let DataChannelEvent::OnMessage(message) = event {
                    let message = parse(&message.data).expect("it can be read");
                    return message.expect("it is known");
                }
            }
        };
        timeout(TIMEOUT, message).await.expect("a message comes")
    }

    /// The first packet of a kind that has arrived.
    async fn first_packet(&mut self, kind: MediaKind) -> Bytes {
        let packet = async {
            loop {
                if let Some(track) = &self.tracks[kind as usize] {
                    match track.poll().await.expect("the track goes on") {
                        TrackRemoteEvent::OnRtpPacket(packet) => return packet.payload,
                        _ => continue,
                    }
                }

                let event = self.events.recv().await.expect("it lives");
                self.on_event(event);
            }
        };
        timeout(TIMEOUT, packet).await.expect("a packet comes")
    }
}

/// The side that is tested. It does with each event what the driver does.
struct Near {
    partner: PartnerConnection,
    engine: Arc<AudioEngine>,
    options: CallOptions,
    output: CallOutput,
    local: watch::Sender<PartnerState>,
    video: VideoSender,
    gate: AudioGate,
}

impl Near {
    async fn start() -> Self {
        let (sender, events) = unbounded_channel();
        let peer = Peer::new(config(), sender).await.expect("a socket");
        let engine = AudioEngine::start(
            AudioConfig::default(),
            Box::new(|_: OutgoingAudio<'_>| ()),
            Arc::new(|_| ()),
        );
        let engine = Arc::new(engine);
        let matched = Match {
            session_id: "s1".into(),
            partner: "them".into(),
            initiator: false,
        };
        let deadline = Instant::now() + TIMEOUT;
        let verifier = Verifier::new(None, "s1", false, peer.fingerprint(), deadline, [7; 32]);
        let verifier = verifier.expect("it starts");
        let share = Some(Share::new(NEAR_SHARE));
        let partner =
            PartnerConnection::new(PeerId(0), peer, events, matched, &engine, share, verifier);

        Self {
            partner,
            engine,
            options: CallOptions::new("ws://127.0.0.1:1".parse().expect("an address")),
            output: CallOutput::default(),
            local: watch::channel(PartnerState::default()).0,
            video: VideoSender::start(Arc::default()),
            gate: AudioGate::default(),
        }
    }

    /// In a call with a partner.
    async fn in_call() -> (Self, Far) {
        let (mut near, mut far) = (Self::start().await, Far::start().await);
        let offer = far.peer.create_offer().await.expect("an offer");
        near.partner.verifier.offer(&offer);
        near.connect(&mut far, &offer).await;
        let reaction = near.partner.check_certificates().await;
        assert!(!reaction.is_mismatch, "both are as described");
        assert!(!near.partner.holds_media(), "the call begins at once");
        near.partner
            .on_connected(Instant::now(), &near.options, &near.video, &near.gate);
        (near, far)
    }

    /// A fresh connection to `far` takes the place of the present one. The description is not looked at,
    /// so that only DTLS shows the certificates.
    async fn renew(&mut self, far: &mut Far) {
        let (sender, events) = unbounded_channel();
        let fresh = self.partner.peer.successor(Vec::new(), sender).await;
        let fresh = fresh.expect("a socket");
        tokio::spawn(self.partner.closing());
        self.partner.replace(PeerId(1), 1, fresh, events);
        let offer = far.peer.create_offer().await.expect("an offer");
        self.connect(far, &offer).await;
    }

    /// Answers the offer, and returns once both connections are up, and this side has been told of the
    /// data channel and of a stream.
    async fn connect(&mut self, far: &mut Far, offer: &str) {
        let answer = self.partner.peer.apply_offer(offer, false).await;
        let answer = answer.expect("an answer");
        self.negotiated();
        far.peer.apply_answer(&answer).await.expect("it fits");

        let (mut is_up, mut is_far_up) = (false, false);
        let (mut has_channel, mut has_track) = (false, false);
        let mut sequence = 0;
        let connect = async {
            while !(is_up && is_far_up && has_channel && has_track) {
                tokio::select! {
                    event = self.partner.events.recv() => match event.expect("it lives") {
                        PeerEvent::Candidate(candidate) => {
                            let added = far.peer.add_candidate(&candidate).await;
                            added.expect("a candidate");
                        }
                        PeerEvent::Connected => is_up = true,
                        event => {
                            has_channel |= matches!(event, PeerEvent::Channel(_));
                            has_track |= matches!(event, PeerEvent::Track(..));
                            self.on_media(event);
                        }
                    },
                    event = far.events.recv() => match event.expect("it lives") {
                        PeerEvent::Candidate(candidate) => {
                            let added = self.partner.peer.add_candidate(&candidate).await;
                            added.expect("a candidate");
                        }
                        PeerEvent::Connected => is_far_up = true,
                        event => far.on_event(event),
                    },
                    () = tokio::time::sleep(PAUSE), if is_up && is_far_up => {
                        far.send_audio(sequence).await;
                        sequence += 1;
                    }
                }
            }
        };
        timeout(TIMEOUT, connect).await.expect("they connect");
        far.until_open().await;
    }

    /// The partner sends a stream, or opens a channel.
    fn on_media(&mut self, event: PeerEvent) {
        let partner = &mut self.partner;
        let is_accepted = match event {
            event if partner.holds_media() => partner.hold(event),
            PeerEvent::Track(kind, track) => {
                partner.on_track(Instant::now(), kind, track, &self.options, &self.output)
            }
            PeerEvent::Channel(channel) => partner.on_channel(channel, self.local.subscribe()),
            _ => true,
        };
        assert!(is_accepted, "they are few");
    }

    fn negotiated(&mut self) {
        self.partner
            .on_negotiated(&self.options, &self.video, &self.gate);
    }

    /// Goes on if the fresh connection has shown its certificates.
    fn resume(&mut self) {
        if self.partner.take_proof() {
            self.negotiated();
            for event in self.partner.release() {
                self.on_media(event);
            }
        }
    }

    /// What the media threads make: one packet of each kind.
    fn send(&self, payload: &'static [u8]) {
        self.gate.send(OutgoingAudio {
            rtp_timestamp: 0,
            payload,
            captured_at: Instant::now(),
            marker: false,
        });
        let output = self.partner.video_output.as_ref().expect("video is sent");
        let format = self.partner.peer.negotiated().to_send(MediaKind::Video);
        let header = Header {
            version: 2,
            payload_type: format.expect("the two agree").payload_type,
            ssrc: output.ssrc,
            ..Header::default()
        };
        let payload = Bytes::from_static(payload);
        // Fails where nothing is sent any more.
        let _ = output.packets.send(vec![Packet { header, payload }]);
    }

    async fn close(self, far: Far) {
        self.partner.peer.close().await;
        far.peer.close().await;
        drop(self.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_over_a_fresh_connection_waits_until_it_has_named_the_calls_certificates() {
    let (mut near, first) = Near::in_call().await;
    let mut far = first.successor().await;
    near.renew(&mut far).await;
    assert!(near.partner.holds_media(), "nothing is known of it");
    assert_eq!(near.partner.held.len(), 2, "a channel and a stream");

    assert!(!near.partner.check_certificates().await.is_mismatch);
    near.resume();
    assert!(!near.partner.holds_media());
    assert!(near.partner.held.is_empty(), "they are received");
    near.close(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_connection_to_someone_else_ends_the_call_and_nothing_is_received() {
    let (mut near, first) = Near::in_call().await;
    let mut other = Far::start().await;
    near.renew(&mut other).await;
    assert!(near.partner.check_certificates().await.is_mismatch);
    near.resume();
    assert!(near.partner.holds_media());
    assert_eq!(near.partner.held.len(), 2, "a channel and a stream");
    first.peer.close().await;
    near.close(other).await;
}

/// The call's first connection never came up, so DTLS has named none before.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_description_says_whose_certificate_a_fresh_connection_has() {
    for is_partner in [true, false] {
        let (mut near, mut first) = (Near::start().await, Far::start().await);
        let offer = first.peer.create_offer().await.expect("an offer");
        near.partner.verifier.offer(&offer);
        let mut far = if is_partner {
            first.successor().await
        } else {
            Far::start().await
        };
        near.renew(&mut far).await;
        let reaction = near.partner.check_certificates().await;
        assert_eq!(reaction.is_mismatch, !is_partner);
        first.peer.close().await;
        near.close(far).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_over_a_fresh_connection_before_it_has_named_the_calls_certificates() {
    let (mut near, first) = Near::in_call().await;
    let mut far = first.successor().await;
    near.renew(&mut far).await;

    // What is sent now would arrive first.
    near.send(b"early");
    let muted = PartnerState {
        muted: true,
        ..PartnerState::default()
    };
    near.local.send_replace(muted);
    assert!(!near.partner.check_certificates().await.is_mismatch);
    near.resume();
    near.send(b"late");

    for kind in KINDS {
        let first = far.first_packet(kind).await;
        assert_eq!(first.as_ref(), b"late", "{kind:?}");
    }
    assert_eq!(far.message().await, StateMessage::State(muted));
    near.close(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_knows_where_to_meet_again_tells_a_partner_whose_connection_broke_before() {
    let (mut near, first) = Near::in_call().await;
    first
        .report(StateMessage::MeetAgain(Share::new(FAR_SHARE)))
        .await;
    let room = async {
        loop {
            if let Some(room) = near.partner.new_meeting_room() {
                return room;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let room = timeout(TIMEOUT, room).await.expect("this side knows it");
    let expected = Share::new(NEAR_SHARE).room(Share::new(FAR_SHARE));
    assert_eq!(room, expected);

    // What this side has sent got lost with the connection.
    let mut far = first.successor().await;
    near.renew(&mut far).await;
    near.partner.check_certificates().await;
    near.resume();
    let share = StateMessage::MeetAgain(Share::new(NEAR_SHARE));
    let sent = [far.message().await, far.message().await];
    assert_eq!(sent[1], share, "beside the state: {sent:?}");

    // The partner's comes again, too, or another one, and changes nothing.
    let muted = PartnerState {
        muted: true,
        ..PartnerState::default()
    };
    for share in [FAR_SHARE, [3; 16]] {
        far.report(StateMessage::MeetAgain(Share::new(share))).await;
    }
    far.report(StateMessage::State(muted)).await;
    let heard = async {
        while near.partner.remote_state.reported() != muted {
            tokio::time::sleep(PAUSE).await;
        }
    };
    timeout(TIMEOUT, heard).await.expect("all has arrived");
    assert_eq!(near.partner.new_meeting_room(), None, "it is known");
    near.close(far).await;
}

#[tokio::test]
async fn an_answer_to_an_earlier_offer_is_told_apart_from_one_to_the_last() {
    let mut near = Near::start().await;
    let offers = [1, 2].map(|_| near.partner.numbered_offer(r#"{"type":"offer","sdp":""}"#));
    let answer = r#"{"type":"answer","sdp":""}"#;
    let answers = offers.map(|offer| near.partner.numbered_answer(answer, &offer));
    let is_late = answers.map(|answer| near.partner.answers_another_offer(&answer));
    assert_eq!(is_late, [true, false]);
    assert!(!near.partner.answers_another_offer(answer), "nobody knows");

    let without = near.partner.numbered_answer(answer, r#"{"type":"offer"}"#);
    assert_eq!(numbers::round(&without), None, "as of an older partner");
    near.partner.peer.close().await;
}
