//! Guests in a browser check the words of an invite: the page comes from an honest server, and the
//! connection of the one who made the invite goes through another that meddles.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::meddler::{Meddle, meddler};
use support::{Side, options, server};
use tandem_call::{CallCode, CallEventKind, EndCode};
use tandem_media::codec::VideoCodec;
use tandem_tests::guest_browser::{Devices, Kind};
use tandem_tests::{Authority, GuestBrowser, Part, Validity, require};
use tandem_trust::{Badge, Code, Fingerprint, Party, Word};

const TIMEOUT: Duration = Duration::from_secs(60);
const MALLORY: Fingerprint = Fingerprint::from_digest([0xC3; 32]);

/// Changes the descriptions that the inviter receives, in place.
fn changing(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Meddle {
    Arc::new(move |mut message| {
        for kind in ["offer", "answer"] {
            if let Some(description) = message.get_mut(kind) {
                change(description);
            }
        }
        vec![(Duration::ZERO, message)]
    })
}

fn swap_certificate(description: &mut Value) {
    let sdp = description["sdp"].as_str().expect("a description");
    let lines = sdp.split("\r\n").map(|line| match line {
        line if line.starts_with("a=fingerprint:") => format!("a=fingerprint:{MALLORY}"),
        line => line.to_owned(),
    });
    description["sdp"] = lines.collect::<Vec<_>>().join("\r\n").into();
}

fn strip(description: &mut Value) {
    let fields = description.as_object_mut().expect("a description");
    assert!(fields.remove("pake").is_some(), "the guest takes part");
}

/// What the guest's page shows at `screen`, and the side of the inviter. `words` are the inviter's.
async fn meet(kind: Kind, words: [&str; 2], meddle: Meddle, screen: &'static str) -> (Value, Side) {
    let server = server().await;
    let mut options = options(meddler(server.address(), meddle).await, "7");
    let words = words.map(|word| word.parse::<Word>().expect("a listed word"));
    options.code = Some(CallCode::new(Code::new(7, words), Party::Inviter));
    // Browsers have it.
    options.codec = VideoCodec::Vp8;
    let side = Side::with(options);
    server.until_searched().await;

    let address = server.address();
    let page = tokio::task::spawn_blocking(move || {
        let authority = Authority::new().expect("an authority");
        let identity = authority
            .sign(&["127.0.0.1"], Validity::Valid)
            .expect("a certificate");
        let mut guest = GuestBrowser::open(kind, Devices::Fake, &identity.cert).expect("it opens");
        guest
            .visit(&format!("http://{address}/j/7#garden-lantern"))
            .expect("the page opens");
        guest.press("join").expect("the guest joins");
        guest.wait_for_screen(screen).expect("it goes on")
    });
    (page.await.expect("no panic"), side)
}

async fn both_notice(kind: Kind, words: [&str; 2], meddle: Meddle, what: &str) {
    let (page, mut side) = meet(kind, words, meddle, "in-call|ended").await;
    assert_eq!(page["screen"], "ended", "{kind:?}, {what}: {page}");
    assert_eq!(page["reason"], "codeMismatch", "{kind:?}, {what}: {page}");
    let end = side.ended(TIMEOUT).await;
    assert_eq!(end, EndCode::CodeMismatch, "{kind:?}, {what}");

    let stats = side.call.stats().await;
    assert_eq!(side.frame_count(), 0, "{kind:?}, {what}: nothing is shown");
    assert!(stats.video_received.is_none() && !stats.audio_received);
    assert!(stats.video_sent.is_none() && stats.audio.sent_packets == 0);
}

async fn notices(kind: Kind) {
    let right = ["garden", "lantern"];
    both_notice(
        kind,
        right,
        changing(swap_certificate),
        "another certificate",
    )
    .await;
    both_notice(kind, right, changing(strip), "no move").await;
    let wrong = ["garden", "kayak"];
    both_notice(kind, wrong, changing(|_| {}), "other words").await;
}

async fn verifies(kind: Kind) {
    let honest = changing(|_| {});
    let (page, mut side) = meet(kind, ["garden", "lantern"], honest, "in-call|ended").await;
    assert_eq!(page["screen"], "in-call", "{page}");
    let verified = |event: &CallEventKind| matches!(event, CallEventKind::Verification(state) if state.badge == Badge::VerifiedByCode);
    side.until(TIMEOUT, "the badge", verified).await;
    let badges = page["badges"].as_array().expect("a list");
    assert!(
        badges.iter().any(|badge| badge == "verified-by-code"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_chromium_is_verified_by_the_words() {
    require!(Part::Chromium);
    verifies(Kind::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_firefox_is_verified_by_the_words() {
    require!(Part::Firefox);
    verifies(Kind::Firefox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_chromium_notices_a_server_that_listens_in() {
    require!(Part::Chromium);
    notices(Kind::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_firefox_notices_a_server_that_listens_in() {
    require!(Part::Firefox);
    notices(Kind::Firefox).await;
}
