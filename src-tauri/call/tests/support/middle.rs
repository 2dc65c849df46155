//! A man in the middle: a signaling server that replaces both descriptions by those of peer connections
//! of its own, so that it ends DTLS with both sides and could show each what it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tandem_call::internals::{Peer, PeerEvent};
use tandem_trust::{
    Fingerprint, Handshake, Input, Message, Method, Outcome, Role, SafetyWords, Session,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::foreign::{Seen, send_video, video_payload_type, video_track};
use super::meddler::{Instead, Meddle};
use super::peers::peer;

/// How long the server's own connections may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A server between two sides, of which the first makes the offer.
pub(crate) struct Middle {
    /// The connections to them.
    ends: [End; 2],
    /// The answer to the first side.
    answer: Mutex<Option<Value>>,
    /// For safety words, the server takes part in a handshake of its own with each side. Otherwise it
    /// passes the moves on.
    handshakes: Option<Mutex<Handshakes>>,
}

/// The server's own handshakes with the two sides.
#[derive(Default)]
struct Handshakes {
    /// In which the first side makes the offer, and the one in which the server makes it.
    sides: [Option<Handshake>; 2],
    /// The third move to the second side.
    third: Option<Value>,
}

/// The server's connection to one side. Shows it a video as soon as it is up.
struct End {
    peer: tokio::sync::Mutex<Peer>,
    candidates: tokio::sync::Mutex<UnboundedReceiver<Value>>,
    connected: watch::Sender<bool>,
    /// How many streams the side sends.
    tracks: AtomicUsize,
    payload_type: Mutex<Option<u8>>,
}

impl Middle {
    /// A server that passes the moves on.
    pub(crate) async fn new() -> Arc<Self> {
        Self::with(None).await
    }

    /// A server that compares words with each side, as if it were the other one.
    pub(crate) async fn with_words() -> Arc<Self> {
        Self::with(Some(Mutex::default())).await
    }

    async fn with(handshakes: Option<Mutex<Handshakes>>) -> Arc<Self> {
        let (first, first_events) = End::new().await;
        let (second, second_events) = End::new().await;
        let middle = Arc::new(Self {
            ends: [first, second],
            answer: Mutex::default(),
            handshakes,
        });
        for (number, (events, candidates)) in [first_events, second_events].into_iter().enumerate()
        {
            let middle = Arc::clone(&middle);
            tokio::spawn(async move {
                middle.ends[number].run(events, candidates).await;
            });
        }

        middle
    }

    /// What the server does with the messages to the two sides.
    pub(crate) fn meddles(self: &Arc<Self>) -> [Meddle; 2] {
        [0, 1].map(|to| -> Meddle {
            let middle = Arc::clone(self);
            Arc::new(move |message| {
                let middle = Arc::clone(&middle);
                block_in_place(|| Handle::current().block_on(middle.pass(to, message)))
            })
        })
    }

    /// Whether DTLS is up between the server and this side.
    pub(crate) fn is_connected(&self, side: usize) -> bool {
        *self.ends[side].connected.borrow()
    }

    /// How many streams the server gets from this side.
    pub(crate) fn tracks(&self, side: usize) -> usize {
        self.ends[side].tracks.load(Relaxed)
    }

    /// The words that the server has in common with each side.
    pub(crate) fn words(&self) -> [Option<SafetyWords>; 2] {
        let handshakes = self.handshakes.as_ref().expect("it has words").lock();
        [0, 1].map(|side| match handshakes.sides[side].as_ref()?.outcome()? {
            Outcome::Words(words, _) => Some(words),
            other => panic!("no words: {other:?}"),
        })
    }

    /// The moves for the answer to the first side, and for the offer to the second.
    async fn first_moves(&self, session: &str, offer: &Value) -> [Value; 2] {
        let Some(handshakes) = &self.handshakes else {
            return [Value::Null, offer["pake"].clone()];
        };

        let mut locals = Vec::new();
        for end in &self.ends {
            locals.push(end.peer.lock().await.fingerprint());
        }
        let start = |role, local, random| {
            let session = Session {
                id: session,
                role,
                local,
            };
            Handshake::start(Method::Words, &session, [random; 32]).expect("it starts")
        };
        let (mut first, _) = start(Role::Answerer, locals[0], 7);
        let (second, offered) = start(Role::Offerer, locals[1], 8);
        let pake = offer["pake"].to_string();
        let answered = first.handle(&Input::Offer {
            pake: Some(&pake),
            remote: certificate(offer),
        });
        handshakes.lock().sides = [Some(first), Some(second)];
        [answered.send, offered].map(|sent| json(&sent.expect("a move").message))
    }

    /// The second side has answered: makes the third move to it.
    fn third_move(&self, answer: &Value) {
        if let Some(handshakes) = &self.handshakes {
            let mut handshakes = handshakes.lock();
            let pake = answer["pake"].to_string();
            let step = handshakes.sides[1]
                .as_mut()
                .expect("it has begun")
                .handle(&Input::Answer {
                    pake: Some(&pake),
                    remote: certificate(answer),
                });
            handshakes.third = step.send.map(|sent| json(&sent.message));
        }
    }

    /// What the second side gets instead of the first side's third move.
    fn swapped_third(&self, pake: Value) -> Value {
        let Some(handshakes) = &self.handshakes else {
            return pake;
        };

        let mut handshakes = handshakes.lock();
        let first = handshakes.sides[0].as_mut().expect("it has begun");
        let pake = pake.to_string();
        first.handle(&Input::Candidate { pake: &pake });
        handshakes.third.take().expect("the second side answered")
    }

    async fn pass(&self, to: usize, mut message: Value) -> Instead {
        match message["type"].as_str() {
            Some("webrtc_offer") => {
                let [from_first, to_second] = &self.ends;
                let theirs = message["offer"].clone();
                let session = message["sessionId"].as_str().expect("an id");
                let [answered, offered] = self.first_moves(session, &theirs).await;
                let mut answer = from_first.answer(&theirs).await;
                answer["pake"] = answered;
                *self.answer.lock() = Some(answer);
                let mut offer = to_second.offer().await;
                offer["pake"] = offered;
                message["offer"] = offer;
                to_second.with_candidates(message).await
            }
            Some("webrtc_answer") => {
                let [to_first, from_second] = &self.ends;
                let theirs = message["answer"].clone();
                from_second.apply(&theirs).await;
                let answer = self.answer.lock().take();
                let mut answer = answer.expect("there was an offer");
                self.third_move(&theirs);
                if answer["pake"].is_null() {
                    answer["pake"] = theirs["pake"].clone();
                }
                message["answer"] = answer;
                to_first.with_candidates(message).await
            }
            Some("ice_candidate") if message["candidate"]["pake"].is_null() => {
                self.ends[1 - to].add(&message["candidate"]).await;
                Instead::new()
            }
            Some("ice_candidate") => {
                // The side that awaits this move has time to be connected to the server.
                let mut connected = self.ends[1].connected.subscribe();
                let connected = timeout(TIMEOUT, connected.wait_for(|is| *is)).await;
                assert!(connected.is_ok(), "the server ends DTLS");
                if to == 1 {
                    let pake = message["candidate"]["pake"].take();
                    message["candidate"]["pake"] = self.swapped_third(pake);
                }
                vec![(Duration::ZERO, message)]
            }
            _ => vec![(Duration::ZERO, message)],
        }
    }
}

fn json(message: &Message) -> Value {
    serde_json::from_str(&message.to_json()).expect("JSON")
}

/// The certificate that a description names.
fn certificate(description: &Value) -> Option<Fingerprint> {
    Fingerprint::in_description(description["sdp"].as_str()?).ok()
}

type Events = (
    UnboundedReceiver<PeerEvent>,
    tokio::sync::mpsc::UnboundedSender<Value>,
);

impl End {
    async fn new() -> (Self, Events) {
        let (peer, events) = peer().await;
        let (sender, candidates) = unbounded_channel();
        let end = Self {
            peer: peer.into(),
            candidates: candidates.into(),
            connected: watch::Sender::default(),
            tracks: AtomicUsize::default(),
            payload_type: Mutex::default(),
        };
        (end, (events, sender))
    }

    async fn run(
        &self,
        mut events: UnboundedReceiver<PeerEvent>,
        candidates: tokio::sync::mpsc::UnboundedSender<Value>,
    ) {
        while let Some(event) = events.recv().await {
            match event {
                PeerEvent::Candidate(text) => {
                    let candidate = serde_json::from_str(text.as_ref()).expect("JSON");
                    let _ = candidates.send(candidate);
                }
                PeerEvent::Connected => {
                    let track = video_track(&*self.peer.lock().await).await;
                    let payload_type = *self.payload_type.lock();
                    tokio::spawn(send_video(track, payload_type, Arc::new(Seen::default())));
                    self.connected.send_replace(true);
                }
                PeerEvent::Track(..) | PeerEvent::Undeclared(..) => {
                    self.tracks.fetch_add(1, Relaxed);
                }
                _ => {}
            }
        }
    }

    async fn offer(&self) -> Value {
        let offer = self.peer.lock().await.create_offer().await;
        serde_json::from_str(&offer.expect("an offer")).expect("JSON")
    }

    async fn answer(&self, offer: &Value) -> Value {
        let text = offer.to_string();
        *self.payload_type.lock() = video_payload_type(&text);
        let answer = self.peer.lock().await.apply_offer(&text, false).await;
        serde_json::from_str(&answer.expect("an offer to answer")).expect("JSON")
    }

    async fn apply(&self, answer: &Value) {
        let text = answer.to_string();
        *self.payload_type.lock() = video_payload_type(&text);
        let applied = self.peer.lock().await.apply_answer(&text).await;
        applied.expect("an answer");
    }

    async fn add(&self, candidate: &Value) {
        let candidate = candidate.to_string();
        let _ = self.peer.lock().await.add_candidate(&candidate).await;
    }

    /// The message with a description of this connection, and its candidates.
    async fn with_candidates(&self, described: Value) -> Instead {
        let mut instead = vec![(Duration::ZERO, described.clone())];
        let mut candidates = self.candidates.lock().await;
        while let Ok(Some(candidate)) = timeout(TIMEOUT, candidates.recv()).await
            && !candidate.is_null()
        {
            let mut message = described.clone();
            let fields = message.as_object_mut().expect("an object");
            fields.retain(|field, _| field != "offer" && field != "answer");
            fields.insert("type".into(), "ice_candidate".into());
            fields.insert("candidate".into(), candidate);
            instead.push((Duration::ZERO, message));
        }
        instead
    }
}
