//! Whole calls in which the library's connection breaks, and a fresh one takes its place.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use support::breakable::Breakable;
use support::meddler::{Meddle, meddler};
use support::{Side, TestServer, options, room, server};
use tandem_call::{CallCode, CallEventKind, CallOptions, EndCode};
use tandem_trust::{Badge, Code, Fingerprint, Party, Word};

const TIMEOUT: Duration = Duration::from_secs(20);
/// How long until half a second of frames has come again. It takes 0.55 s.
const BACK: Duration = Duration::from_secs(5);
const MALLORY: Fingerprint = Fingerprint::from_digest([0xC3; 32]);

/// Two sides of a call, each behind a server of its own kind. The second one makes the offer.
struct Pair {
    sides: [Side; 2],
    runtimes: [Arc<Breakable>; 2],
    server: TestServer,
}

impl Pair {
    async fn start(meddles: [Meddle; 2], change: impl Fn(usize, &mut CallOptions)) -> Self {
        let server = server().await;
        let room = room();
        let runtimes = [Breakable::new(), Breakable::new()];
        let mut sides = Vec::new();
        for (number, meddle) in meddles.into_iter().enumerate() {
            let url = meddler(server.address(), meddle).await;
            let mut options = options(url, &room);
            options.media_runtime = Some(Arc::clone(&runtimes[number]) as _);
            change(number, &mut options);
            if number > 0 {
                server.until_searched().await;
            }
            sides.push(Side::with(options));
        }

        let sides = sides
            .try_into()
            .unwrap_or_else(|_| unreachable!("two sides"));
        let pair = Self {
            sides,
            runtimes,
            server,
        };
        for side in &pair.sides {
            side.wait_for_frames(TIMEOUT, 1).await;
        }

        pair
    }

    /// Frames come on both sides again, and how long that took.
    async fn until_media_is_back(&self) -> Duration {
        let begin = Instant::now();
        let before = self.sides.each_ref().map(Side::frame_count);
        for (side, before) in self.sides.iter().zip(before) {
            // Some were on their way.
            side.wait_for_frames(BACK, before + 15).await;
        }

        begin.elapsed()
    }
}

/// Passes on what the server sends, and keeps it.
fn keeping(kept: &Arc<Mutex<Vec<Value>>>) -> Meddle {
    let kept = Arc::clone(kept);
    changing(move |message| kept.lock().push(message.clone()))
}

fn changing(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Meddle {
    Arc::new(move |mut message| {
        change(&mut message);
        vec![(Duration::ZERO, message)]
    })
}

fn honest() -> Meddle {
    changing(|_| {})
}

/// The description in a message, if it carries one.
fn description(message: &mut Value) -> Option<&mut Value> {
    let kind = match message["type"].as_str() {
        Some("webrtc_offer") => "offer",
        Some("webrtc_answer") => "answer",
        _ => return None,
    };
    message.get_mut(kind)
}

fn swap_certificate(description: &mut Value) {
    let sdp = description["sdp"].as_str().expect("a text").to_owned();
    let lines = sdp.split("\r\n").map(|line| match line {
        line if line.starts_with("a=fingerprint:") => format!("a=fingerprint:{MALLORY}"),
        line => line.to_owned(),
    });
    description["sdp"] = lines.collect::<Vec<_>>().join("\r\n").into();
}

/// By the code of an invite.
fn by_code(number: usize, options: &mut CallOptions) {
    let words = ["garden", "lantern"].map(|word| word.parse::<Word>().expect("a listed word"));
    let party = [Party::Inviter, Party::Guest][number];
    options.code = Some(CallCode::new(Code::new(7, words), party));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_connection_breaks_goes_on_verified_over_a_fresh_one() {
    for broken in [0, 1] {
        let kept: Arc<Mutex<Vec<Value>>> = Arc::default();
        let meddles = [keeping(&kept), keeping(&kept)];
        let mut pair = Pair::start(meddles, by_code).await;
        for side in &mut pair.sides {
            side.until(TIMEOUT, "the badge", |kind| {
                matches!(kind, CallEventKind::Verification(state)
                    if state.badge == Badge::VerifiedByCode)
            })
            .await;
            side.wait_for_frames(TIMEOUT, 60).await;
        }

        let mut before = Vec::new();
        for side in &pair.sides {
            before.push(side.call.stats().await);
        }

        pair.runtimes[broken].break_connections();
        let back = pair.until_media_is_back().await;
        eprintln!("side {broken} broke: media came back after {back:?}");

        // What the data channel carries goes on, too.
        pair.sides[broken].call.set_muted(true);
        pair.sides[1 - broken]
            .until(TIMEOUT, "the partner's state", |kind| match kind {
                CallEventKind::Verification(state) => panic!("verified anew: {state:?}"),
                CallEventKind::PartnerState { muted, .. } => *muted,
                _ => false,
            })
            .await;

        for (side, before) in pair.sides.iter().zip(before) {
            let after = side.call.stats().await;
            let frames = |stats: &tandem_call::CallStats| {
                let received = stats.video_received.as_ref().expect("video comes");
                let sent = stats.video_sent.as_ref().expect("video is sent");
                [received.frames, received.packets, sent.frames, sent.bytes]
            };
            for (after, before) in frames(&after).into_iter().zip(frames(&before)) {
                assert!(after > before, "figures go on: {before} then {after}");
            }

            let packets = |stats: &tandem_call::CallStats| {
                [stats.audio.sent_packets, stats.audio.jitter.packets]
            };
            for (after, before) in packets(&after).into_iter().zip(packets(&before)) {
                assert!(after > before, "sound goes on: {before} then {after}");
            }

            assert!(after.route.is_some(), "it names the route of now");
        }

        let kept = kept.lock().clone();
        let numbers = |kind: &str, payload: &str, field: &str| {
            let messages = kept.iter().filter(|message| message["type"] == kind);
            let mut numbers: Vec<u64> = messages
                .filter_map(|message| message[payload][field].as_u64())
                .collect();
            numbers.dedup();
            numbers
        };
        assert_eq!(numbers("webrtc_offer", "offer", "connection"), [0, 1]);
        assert_eq!(numbers("webrtc_answer", "answer", "connection"), [0, 1]);
        assert_eq!(numbers("ice_candidate", "candidate", "connection"), [1]);
        let rounds = numbers("webrtc_offer", "offer", "round");
        assert!(!rounds.is_empty(), "offers are numbered");
        assert_eq!(numbers("webrtc_answer", "answer", "round"), rounds);

        let [left, right] = pair.sides;
        let (mut stays, leaves) = if broken == 0 {
            (left, right)
        } else {
            (right, left)
        };
        leaves.call.hang_up().await;
        assert_eq!(stays.ended(TIMEOUT).await, EndCode::PartnerLeft);
        pair.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_that_break_at_once_become_one_fresh_one() {
    let pair = Pair::start([honest(), honest()], |_, _| {}).await;
    for runtime in &pair.runtimes {
        runtime.break_connections();
    }

    let back = pair.until_media_is_back().await;
    eprintln!("both broke: media came back after {back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_numbers_no_connections_is_offered_no_fresh_one() {
    let kept: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&kept);
    let without = changing(|message| {
        if let Some(description) = description(message).and_then(Value::as_object_mut) {
            description.remove("connection").expect("there is a number");
        }
    });
    let watching = changing(move |message| {
        if let Some(description) = description(message) {
            seen.lock().push(description["connection"].clone());
        }
    });

    let mut pair = Pair::start([without, watching], |_, _| {}).await;
    pair.runtimes[0].break_connections();
    let [broken, _] = &mut pair.sides;
    assert_eq!(broken.ended(TIMEOUT).await, EndCode::ConnectionFailed);
    assert_eq!(*kept.lock(), [Value::from(0)], "nothing follows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_connection_with_another_certificate_ends_the_call() {
    // The second time, the two have no safety words to find it out by.
    for has_words in [true, false] {
        let changes = move |message: &mut Value| {
            let Some(description) = description(message) else {
                return;
            };

            if !has_words {
                let fields = description.as_object_mut().expect("an object");
                fields.remove("pake");
            }

            if description["connection"] == 1 {
                swap_certificate(description);
            }
        };
        let mut pair = Pair::start([changing(changes), changing(changes)], |_, _| {}).await;
        pair.runtimes[0].break_connections();
        let [_, other] = &mut pair.sides;
        assert_eq!(other.ended(TIMEOUT).await, EndCode::CodeMismatch);
        pair.server.shutdown().await;
    }
}

/// The server leaves the offer as it is, so that the side which answers finds nothing wrong.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_a_fresh_connection_with_another_certificate_ends_the_call() {
    for has_words in [true, false] {
        let without_words = move |message: &mut Value| {
            if let Some(fields) = description(message).and_then(Value::as_object_mut)
                && !has_words
            {
                fields.remove("pake");
            }
        };
        let swapping = move |message: &mut Value| {
            without_words(message);
            let is_answer = message["type"] == "webrtc_answer";
            if let Some(description) = description(message)
                && is_answer
                && description["connection"] == 1
            {
                swap_certificate(description);
            }
        };
        let meddles = [changing(swapping), changing(without_words)];
        let mut pair = Pair::start(meddles, |_, _| {}).await;
        pair.runtimes[0].break_connections();
        let [offers, answers] = &mut pair.sides;
        assert_eq!(offers.ended(TIMEOUT).await, EndCode::CodeMismatch);
        answers.ended(TIMEOUT).await;
        pair.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_before_its_fresh_connection_is_answered_reports_what_it_had() {
    let (offered, mut is_offered) = tokio::sync::mpsc::unbounded_channel();
    // It sends audio and wants none.
    let refusing = changing(|message| {
        if let Some(description) = description(message) {
            let sdp = description["sdp"].as_str().expect("a text");
            let audio = sdp.find("m=audio").expect("it has audio");
            let (before, after) = sdp.split_at(audio);
            let refused = after.replacen("a=sendrecv", "a=sendonly", 1);
            description["sdp"] = format!("{before}{refused}").into();
        }
    });
    let losing: Meddle = Arc::new(move |message| {
        let is_offer = message["type"] == "webrtc_offer";
        if is_offer && message["offer"]["connection"] == 1 {
            // Fails once the test is over.
            let _ = offered.send(());
            return Vec::new();
        }
        vec![(Duration::ZERO, message)]
    });
    let mut pair = Pair::start([refusing, losing], |_, _| {}).await;
    let before = pair.sides[0].call.stats().await;
    assert!(
        before.refused.audio && !before.refused.video,
        "{:?}",
        before.refused
    );
    assert!(before.route.is_some());

    pair.runtimes[0].break_connections();
    let offer = tokio::time::timeout(TIMEOUT, is_offered.recv()).await;
    offer.expect("a fresh one is offered");
    let [broken, other] = &mut pair.sides;
    let meanwhile = broken.call.stats().await;
    broken.call.hang_up().await;
    other.ended(TIMEOUT).await;

    let after = broken.call.stats().await;
    for (when, stats) in [("meanwhile", &meanwhile), ("after the end", &after)] {
        let agreed =
            |stats: &tandem_call::CallStats| (stats.video_codec, stats.audio_codec, stats.refused);
        assert_eq!(agreed(stats), agreed(&before), "{when}");
        let route = stats.route.as_ref().expect("it had one");
        let known = before.route.as_ref().expect("it had one");
        assert_eq!((&route.local, &route.remote), (&known.local, &known.remote));
        assert_eq!(route.dtls, known.dtls, "{when}");
        let sent = |stats: &tandem_call::CallStats| {
            stats.video_sent.as_ref().expect("video was sent").frames
        };
        assert!(sent(stats) >= sent(&before), "{when}");
    }
}
