//! Whole calls in which the partner is verified, by the code of an invite or by safety words, through
//! honest servers and through one that meddles with the handshake.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use support::meddler::{Instead, Meddle, meddler};
#[cfg(feature = "internals")]
use support::middle::Middle;
use support::{Side, TestServer, options, room, server};
use tandem_call::{CallCode, CallEventKind, CallOptions, EndCode, VerificationState};
use tandem_trust::{Badge, Code, Fingerprint, MAX_GUESSES, Party, Word, WordsState};

const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a side waits for the partner's moves in tests in which they do not come.
const DEADLINE: Duration = Duration::from_secs(3);
const MALLORY: Fingerprint = Fingerprint::from_digest([0xC3; 32]);

fn code(party: Party, second: &str) -> CallCode {
    let words: [Word; 2] = ["garden", second].map(|word| word.parse().expect("a listed word"));
    CallCode::new(Code::new(7, words), party)
}

/// The inviter and the guest of one invite.
fn right() -> [Option<CallCode>; 2] {
    [Party::Inviter, Party::Guest].map(|party| Some(code(party, "lantern")))
}

/// Two sides of a call, each behind a server of its own kind. The first makes the offer.
struct Pair {
    sides: [Side; 2],
    server: TestServer,
}

fn honest() -> Meddle {
    Arc::new(|message| vec![(Duration::ZERO, message)])
}

/// Changes what the side receives, in place.
fn changing(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Meddle {
    Arc::new(move |mut message| {
        change(&mut message);
        vec![(Duration::ZERO, message)]
    })
}

impl Pair {
    async fn start(codes: [Option<CallCode>; 2], meddles: [Meddle; 2]) -> Self {
        Self::with(codes, meddles, |_| {}).await
    }

    async fn with(
        codes: [Option<CallCode>; 2],
        meddles: [Meddle; 2],
        change: impl Fn(&mut CallOptions),
    ) -> Self {
        let server = server().await;
        let room = room();
        let mut sides = Vec::new();
        for (code, meddle) in codes.into_iter().zip(meddles) {
            let url = meddler(server.address(), meddle).await;
            let mut options = options(url, &room);
            options.code = code;
            change(&mut options);
            if !sides.is_empty() {
                server.until_searched().await;
            }
            sides.push(Side::with(options));
        }

        let sides = sides
            .try_into()
            .unwrap_or_else(|_| unreachable!("two sides"));
        Self { sides, server }
    }

    /// Waits until both sides are in a call and have shown a frame.
    async fn until_frames(&mut self) {
        for side in &mut self.sides {
            side.first_frame(TIMEOUT).await;
        }
    }

    /// Both sides end because they do not know who the other is, and nothing was shown or sent.
    async fn ends_in_a_mismatch(mut self, what: &str) {
        for (number, side) in self.sides.iter_mut().enumerate() {
            let end = side.ended(TIMEOUT).await;
            assert_eq!(end, EndCode::CodeMismatch, "side {number}: {what}");
            nothing_flowed(side, what).await;
        }
        self.server.shutdown().await;
    }
}

async fn nothing_flowed(side: &Side, what: &str) {
    let stats = side.call.stats().await;
    assert_eq!(side.frame_count(), 0, "no frame is shown: {what}");
    assert!(stats.video_received.is_none(), "no video arrives: {what}");
    assert!(!stats.audio_received, "no sound arrives: {what}");
    assert!(stats.video_sent.is_none(), "no video is sent: {what}");
    assert_eq!(stats.audio.sent_packets, 0, "no sound is sent: {what}");
}

async fn verification(side: &mut Side, badge: Badge) -> VerificationState {
    let event = side
        .until(
            TIMEOUT,
            "the badge",
            |kind| matches!(kind, CallEventKind::Verification(state) if state.badge == badge),
        )
        .await;
    match event.kind {
        CallEventKind::Verification(state) => state,
        other => panic!("not a verification: {other:?}"),
    }
}

/// The words that a side shows, once it has some.
async fn words(side: &mut Side) -> VerificationState {
    let event = side
        .until(
            TIMEOUT,
            "the words",
            |kind| matches!(kind, CallEventKind::Verification(state) if state.words.ready().is_some()),
        )
        .await;
    match event.kind {
        CallEventKind::Verification(state) => state,
        other => panic!("not a verification: {other:?}"),
    }
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

fn swap_certificate(message: &mut Value) {
    if let Some(sdp) = description(message).and_then(|text| text.get_mut("sdp")) {
        let text = sdp.as_str().expect("a text");
        let lines = text.split("\r\n").map(|line| match line {
            line if line.starts_with("a=fingerprint:") => format!("a=fingerprint:{MALLORY}"),
            line => line.to_owned(),
        });
        *sdp = lines.collect::<Vec<_>>().join("\r\n").into();
    }
}

fn strip(message: &mut Value) {
    if let Some(description) = description(message).and_then(Value::as_object_mut) {
        assert!(description.remove("pake").is_some(), "there was a move");
    }
}

fn is_move(message: &Value) -> bool {
    !message["candidate"]["pake"].is_null()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inviter_and_a_guest_are_verified_by_the_code() {
    // Either of them may make the offer.
    for swapped in [false, true] {
        let mut codes = right();
        if swapped {
            codes.reverse();
        }
        let guesses = codes.clone().map(|code| code.expect("a code").guesses);
        let mut pair = Pair::start(codes, [honest(), honest()]).await;
        for side in &mut pair.sides {
            side.until(TIMEOUT, "the call", |kind| {
                *kind == CallEventKind::Connected
            })
            .await;
            let state = verification(side, Badge::VerifiedByCode).await;
            assert_eq!(state.words, WordsState::ByCode);
        }

        pair.until_frames().await;
        for guesses in guesses {
            assert_eq!(guesses.spent(), 0, "an honest call costs no guess");
        }
        pair.sides[0].call.hang_up().await;
        assert_eq!(pair.sides[1].ended(TIMEOUT).await, EndCode::PartnerLeft);
        pair.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_shows_and_sends_nothing_and_five_of_them_void_it() {
    let inviter = code(Party::Inviter, "lantern");
    for spent in 1..=MAX_GUESSES {
        let guest = code(Party::Guest, "kayak");
        let mut codes = [Some(inviter.clone()), Some(guest)];
        if spent % 2 == 0 {
            codes.reverse();
        }
        let pair = Pair::start(codes, [honest(), honest()]).await;
        pair.ends_in_a_mismatch("another code").await;
        assert_eq!(inviter.guesses.spent(), spent, "each call costs a guess");
    }

    assert!(inviter.guesses.is_void());
    let codes = [Some(inviter), Some(code(Party::Guest, "lantern"))];
    let mut pair = Pair::with(codes, [honest(), honest()], |options| {
        options.timeouts.verification = DEADLINE;
    })
    .await;
    assert_eq!(
        pair.sides[0].ended(TIMEOUT).await,
        EndCode::CodeMismatch,
        "not even the right one"
    );
    nothing_flowed(&pair.sides[0], "a void code").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_who_takes_no_part_is_a_mismatch_by_code() {
    for number in [0, 1] {
        let mut codes = right();
        codes[number] = None;
        let mut pair = Pair::start(codes, [honest(), honest()]).await;
        let end = pair.sides[1 - number].ended(TIMEOUT).await;
        assert_eq!(end, EndCode::CodeMismatch);
        nothing_flowed(&pair.sides[1 - number], "the partner has no code").await;
        let end = pair.sides[number].ended(TIMEOUT).await;
        assert_eq!(end, EndCode::CodeMismatch, "its app knows the handshake");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_guests_of_one_invite_are_not_verified() {
    let codes = [Party::Guest, Party::Guest].map(|party| Some(code(party, "lantern")));
    let pair = Pair::start(codes, [honest(), honest()]).await;
    pair.ends_in_a_mismatch("two guests").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_swaps_certificates_is_noticed_on_both_sides() {
    for swapped in [[true, true], [true, false], [false, true]] {
        let meddles = swapped.map(|swap| {
            if swap {
                changing(swap_certificate)
            } else {
                honest()
            }
        });
        let pair = Pair::start(right(), meddles).await;
        pair.ends_in_a_mismatch(&format!("swapped {swapped:?}"))
            .await;
    }
}

#[cfg(feature = "internals")]
#[tokio::test(flavor = "multi_thread")]
async fn a_man_in_the_middle_of_a_call_by_code_sees_and_shows_nothing() {
    let middle = Middle::new().await;
    let pair = Pair::start(right(), middle.meddles()).await;
    pair.ends_in_a_mismatch("a man in the middle").await;
    assert!(middle.is_connected(1), "the server did end DTLS");
    for side in [0, 1] {
        assert_eq!(middle.tracks(side), 0, "side {side} has sent it something");
    }
}

#[cfg(feature = "internals")]
#[tokio::test(flavor = "multi_thread")]
async fn a_man_in_the_middle_who_passes_the_moves_on_is_noticed_without_comparing_words() {
    let middle = Middle::new().await;
    let mut pair = Pair::start([None, None], middle.meddles()).await;
    for side in &mut pair.sides {
        assert_eq!(side.ended(TIMEOUT).await, EndCode::CodeMismatch);
    }
}

#[cfg(feature = "internals")]
#[tokio::test(flavor = "multi_thread")]
async fn with_a_man_in_the_middle_the_safety_words_differ() {
    let middle = Middle::with_words().await;
    let mut pair = Pair::start([None, None], middle.meddles()).await;
    let [left, right] = &mut pair.sides;
    let (left, right) = (words(left).await, words(right).await);
    for (number, side) in pair.sides.iter().enumerate() {
        side.wait_for_frames(TIMEOUT, 1).await;
        assert!(
            middle.is_connected(number),
            "it shows what the server shows"
        );
    }

    let [lefts, rights] = middle.words();
    assert_eq!(
        left.words.ready(),
        lefts,
        "it is the server that the side talks to"
    );
    assert_eq!(right.words.ready(), rights, "on both sides");
    assert_ne!(left.words, right.words);
    assert_eq!(
        (left.badge, right.badge),
        (Badge::NotVerified, Badge::NotVerified)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_removes_the_handshake_is_noticed_on_both_sides() {
    for stripped in [[true, true], [true, false], [false, true]] {
        let meddles = stripped.map(|stripped| if stripped { changing(strip) } else { honest() });
        let pair = Pair::start(right(), meddles).await;
        pair.ends_in_a_mismatch(&format!("stripped {stripped:?}"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_replays_an_earlier_call_is_noticed_on_both_sides() {
    // The moves of an honest call by the same code.
    let kept: Arc<Mutex<Vec<Value>>> = Arc::default();
    let keeping = || {
        let kept = Arc::clone(&kept);
        changing(move |message| {
            if let Some(description) = description(message) {
                kept.lock().push(description["pake"].clone());
            }
        })
    };
    let mut pair = Pair::start(right(), [keeping(), keeping()]).await;
    pair.until_frames().await;
    drop(pair);

    let kept = kept.lock().clone();
    let (offers, answers) = (kept[0].clone(), kept[1].clone());
    let replaying = move |message: &mut Value| {
        let is_offer = message["type"] == "webrtc_offer";
        if let Some(description) = description(message) {
            description["pake"] = if is_offer {
                offers.clone()
            } else {
                answers.clone()
            };
        }
    };
    for number in [0, 1] {
        let mut meddles = [honest(), honest()];
        meddles[number] = changing(replaying.clone());
        let pair = Pair::start(right(), meddles).await;
        pair.ends_in_a_mismatch(&format!("replayed to side {number}"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_reflects_moves_is_noticed_on_both_sides() {
    // What the answerer gets is what the offerer has sent: it is kept and given back in the answer.
    let offered: Arc<Mutex<Value>> = Arc::default();
    let keep = {
        let offered = Arc::clone(&offered);
        changing(move |message| {
            if let Some(description) = description(message) {
                *offered.lock() = description["pake"]["share"].clone();
            }
        })
    };
    let reflect = changing(move |message| {
        if let Some(description) = description(message) {
            description["pake"]["share"] = offered.lock().clone();
        }
    });
    let pair = Pair::start(right(), [reflect, keep]).await;
    pair.ends_in_a_mismatch("reflected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_move_that_is_damaged_or_missing_is_noticed_on_both_sides() {
    let damage: Meddle = changing(|message| {
        if is_move(message) {
            message["candidate"]["pake"]["confirm"] = "A".repeat(86).into();
        }
    });
    let drop: Meddle = Arc::new(|message| {
        if is_move(&message) {
            return Instead::new();
        }
        vec![(Duration::ZERO, message)]
    });
    for (what, meddle) in [("damaged", damage), ("dropped", drop)] {
        let mut pair = Pair::with(right(), [honest(), meddle], |options| {
            options.timeouts.verification = DEADLINE;
        })
        .await;
        // The offerer has verified its partner, and may send until that one refuses.
        for (number, side) in pair.sides.iter_mut().enumerate() {
            let end = side.ended(TIMEOUT).await;
            assert_eq!(end, EndCode::CodeMismatch, "side {number}: {what}");
        }
        nothing_flowed(&pair.sides[1], what).await;
        assert_eq!(pair.sides[0].frame_count(), 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moves_that_come_twice_or_late_do_no_harm() {
    const LATE: Duration = Duration::from_millis(1_500);
    let twice = || -> Meddle {
        Arc::new(|message| {
            let again = (is_move(&message)).then(|| (Duration::ZERO, message.clone()));
            let mut instead = vec![(Duration::ZERO, message)];
            instead.extend(again);
            instead
        })
    };
    let mut pair = Pair::start(right(), [twice(), twice()]).await;
    pair.until_frames().await;
    for side in &pair.sides {
        let before = side.frame_count();
        side.wait_for_frames(TIMEOUT, before + 10).await;
    }

    let delayed: Arc<Mutex<Option<Instant>>> = Arc::default();
    let late: Meddle = {
        let delayed = Arc::clone(&delayed);
        Arc::new(move |message| {
            let delay = if is_move(&message) {
                *delayed.lock() = Some(Instant::now());
                LATE
            } else {
                Duration::ZERO
            };
            vec![(delay, message)]
        })
    };
    let mut pair = Pair::start(right(), [honest(), late]).await;
    let [offerer, answerer] = &mut pair.sides;
    verification(offerer, Badge::VerifiedByCode).await;
    let event = answerer
        .until(TIMEOUT, "the call", |kind| {
            *kind == CallEventKind::Connected
        })
        .await;
    let delayed = delayed.lock().expect("there was a last move");
    assert!(
        event.at >= delayed + LATE,
        "no media before the last move: {:?}",
        event.at - delayed
    );
    verification(answerer, Badge::VerifiedByCode).await;
    answerer.first_frame(TIMEOUT).await;
    offerer.first_frame(TIMEOUT).await;
}

/// The offer that a side gets once more, a second later, with this change.
fn again(change: fn(&mut Value)) -> Meddle {
    Arc::new(move |message| {
        let again = (message["type"] == "webrtc_offer").then(|| {
            let mut again = message.clone();
            change(&mut again);
            (Duration::from_secs(1), again)
        });
        let mut instead = vec![(Duration::ZERO, message)];
        instead.extend(again);
        instead
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renegotiation_keeps_the_verification() {
    // With and without the first move.
    for change in [(|_| {}) as fn(&mut Value), strip] {
        let mut pair = Pair::start(right(), [honest(), again(change)]).await;
        for side in &mut pair.sides {
            verification(side, Badge::VerifiedByCode).await;
            side.first_frame(TIMEOUT).await;
        }

        tokio::time::sleep(Duration::from_millis(1_500)).await;
        for side in &pair.sides {
            side.wait_for_frames(TIMEOUT, side.frame_count() + 20).await;
        }
        pair.sides[0].call.hang_up().await;
        assert_eq!(pair.sides[1].ended(TIMEOUT).await, EndCode::PartnerLeft);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_offer_with_another_certificate_ends_a_verified_call_on_both_sides() {
    let mut pair = Pair::start(right(), [honest(), again(swap_certificate)]).await;
    for side in &mut pair.sides {
        verification(side, Badge::VerifiedByCode).await;
        assert_eq!(side.ended(TIMEOUT).await, EndCode::CodeMismatch);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_code_both_sides_can_compare_the_same_words() {
    let mut pair = Pair::start([None, None], [honest(), honest()]).await;
    let [left, right] = &mut pair.sides;
    let (shown, other) = (words(left).await, words(right).await);
    assert_eq!(shown, other, "the same words on both sides");
    assert_eq!(shown.badge, Badge::NotVerified);

    let shown = shown.words.ready().expect("words");
    left.call.words_compared(shown, true);
    verification(left, Badge::VerifiedByUser).await;
    left.first_frame(TIMEOUT).await;

    right.call.words_compared(shown, false);
    assert_eq!(right.ended(TIMEOUT).await, EndCode::CodeMismatch);
    let told = left.ended(TIMEOUT).await;
    assert_eq!(told, EndCode::CodeMismatch, "and the partner is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_without_words_is_as_it_was_before() {
    // To the answerer, the offerer is an old Tandem or a browser, and the other way round.
    let mut pair = Pair::start([None, None], [honest(), changing(strip)]).await;
    for side in &mut pair.sides {
        side.until(TIMEOUT, "the call", |kind| {
            *kind == CallEventKind::Connected
        })
        .await;
        let state = verification(side, Badge::NotVerified).await;
        assert_eq!(state.words, WordsState::Unavailable);
        side.first_frame(TIMEOUT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_someone_has_changed_end_the_call() {
    let meddle = changing(|message| {
        if is_move(message) {
            message["candidate"] = json!({ "pake": { "method": "words", "open": "A".repeat(43) } });
        }
    });
    let mut pair = Pair::start([None, None], [honest(), meddle]).await;
    for side in &mut pair.sides {
        assert_eq!(side.ended(TIMEOUT).await, EndCode::CodeMismatch);
    }
}
