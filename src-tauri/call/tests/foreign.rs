//! Partners that describe media in other words than Tandem: what is understood is answered, sent
//! and received, in calls with real media.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "tests run in real time and may panic, and an edit owns what it changes"
)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tandem_call::CallEventKind;

use support::foreign::{Edit, Foreign, parameter_sets, unchanged};
use support::{Side, TestServer, room, server};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A call of Tandem with a partner of another kind.
struct Call {
    server: TestServer,
    tandem: Side,
    foreign: Foreign,
}

impl Call {
    /// Connects the two. `tandem_first`: Tandem searches first, and so makes the offer.
    async fn connect(tandem_first: bool, out: Edit, back: Edit) -> Self {
        let (server, room) = (server().await, room());
        let (mut tandem, foreign) = if tandem_first {
            let tandem = Side::start(&server, &room);
            server.until_searched().await;
            let foreign = Foreign::join(&server, &room, out, back).await;
            (tandem, foreign)
        } else {
            let foreign = Foreign::join(&server, &room, out, back).await;
            (Side::start(&server, &room), foreign)
        };

        tandem
            .until(TIMEOUT, "connected", |kind| {
                *kind == CallEventKind::Connected
            })
            .await;
        let offers = tandem.call.stats().await.initiator;
        assert_eq!(
            offers,
            Some(tandem_first),
            "the side that searched first makes the offer"
        );
        Self {
            server,
            tandem,
            foreign,
        }
    }

    async fn end(self) {
        self.tandem.call.hang_up().await;
        self.foreign.stop().await;
        self.server.shutdown().await;
    }
}

/// Waits until `count` has grown by `more`.
async fn grows(count: &AtomicUsize, more: usize, what: &str) {
    let (start, begin) = (count.load(Relaxed), Instant::now());
    while count.load(Relaxed) < start + more {
        assert!(begin.elapsed() < TIMEOUT, "{what}: {}", count.load(Relaxed));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether `count` stands still for half a second.
async fn stands_still(count: &AtomicUsize) -> bool {
    let before = count.load(Relaxed);
    tokio::time::sleep(Duration::from_millis(500)).await;
    count.load(Relaxed) == before
}

/// Keeps the lines that `keep` wants.
fn lines(sdp: &str, keep: impl Fn(&str) -> bool) -> String {
    sdp.split_inclusive("\r\n")
        .filter(|line| keep(line))
        .collect()
}

/// Gives every section this direction.
fn with_direction(sdp: &str, direction: &str) -> String {
    sdp.replace("a=sendrecv", &format!("a={direction}"))
        .replace("a=recvonly", &format!("a={direction}"))
}

/// The last description that the partner received.
fn last_description(foreign: &Foreign) -> String {
    let descriptions = foreign.seen.descriptions.lock();
    let json: serde_json::Value = serde_json::from_str(descriptions.last().unwrap()).unwrap();
    json["sdp"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_no_section_announces_are_received() {
    for tandem_first in [true, false] {
        let call = Call::connect(
            tandem_first,
            |_, sdp| {
                lines(&sdp, |line| {
                    !line.starts_with("a=ssrc") && !line.starts_with("a=msid")
                })
            },
            unchanged,
        )
        .await;

        call.tandem.wait_for_frames(TIMEOUT, 20).await;
        grows(&call.foreign.seen.video, 20, "video of Tandem").await;
        call.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_waits_for_the_handshake_gets_one() {
    for tandem_first in [true, false] {
        let call = Call::connect(
            tandem_first,
            |_, sdp| {
                sdp.replace("a=setup:actpass", "a=setup:PASSIVE")
                    .replace("sha-256", "SHA-256")
            },
            // An offer of Tandem that wants to begin makes this side answer that it waits.
            |_, sdp| sdp.replace("a=setup:actpass", "a=setup:active"),
        )
        .await;
        let waits = call
            .foreign
            .seen
            .descriptions
            .lock()
            .join("")
            .contains("a=setup:active");
        assert_ne!(
            waits, tandem_first,
            "an answer of Tandem says that it begins"
        );
        call.tandem.wait_for_frames(TIMEOUT, 5).await;
        grows(&call.foreign.seen.video, 5, "video of Tandem").await;
        call.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_goes_on_where_it_was() {
    for tandem_first in [true, false] {
        let call = Call::connect(tandem_first, unchanged, unchanged).await;
        let seen = &call.foreign.seen;
        grows(&seen.video, 20, "video before").await;
        grows(&seen.audio, 10, "audio before").await;

        call.foreign
            .offer(|_, sdp| with_direction(&sdp, "inactive"));
        let begin = Instant::now();
        while !(stands_still(&seen.video).await && stands_still(&seen.audio).await) {
            assert!(begin.elapsed() < TIMEOUT, "what is held is not sent");
        }
        let answer = last_description(&call.foreign);
        assert_eq!(answer.matches("a=inactive").count(), 2, "{answer}");

        // Only listens.
        call.foreign
            .offer(|_, sdp| with_direction(&sdp, "recvonly"));
        grows(&seen.video, 20, "video to a partner that only listens").await;
        let answer = last_description(&call.foreign);
        assert_eq!(answer.matches("a=sendonly").count(), 2, "{answer}");

        call.foreign.offer(unchanged);
        grows(&seen.video, 20, "video after").await;
        grows(&seen.audio, 10, "audio after").await;
        let frames = call.tandem.frame_count();
        call.tandem.wait_for_frames(TIMEOUT, frames + 10).await;
        let answer = last_description(&call.foreign);
        assert!(
            !answer.contains("a=inactive") && !answer.contains("a=sendonly"),
            "{answer}"
        );
        call.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_a_partner_that_declined_it() {
    for tandem_first in [true, false] {
        let call = Call::connect(
            tandem_first,
            |_, sdp| with_direction(&sdp, "sendonly"),
            unchanged,
        )
        .await;
        call.tandem.wait_for_frames(TIMEOUT, 20).await;
        let seen = &call.foreign.seen;
        assert_eq!(seen.video.load(Relaxed), 0, "video");
        assert_eq!(seen.audio.load(Relaxed), 0, "audio");
        call.end().await;
    }
}

/// H.264 in packetization mode 0, under a number of the partner's.
fn single_nal(kind: &str, sdp: String) -> String {
    let sdp = sdp.replace("packetization-mode=1", "packetization-mode=0");
    match kind {
        "offer" => lines(&sdp, |line| {
            !line.contains("VP8")
                && !line.starts_with("a=fmtp:108")
                && !line.starts_with("a=rtpmap:108")
        }),
        _ => sdp,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_without_fragments_gets_whole_nal_units() {
    for tandem_first in [true, false] {
        let call = Call::connect(tandem_first, single_nal, unchanged).await;
        grows(&call.foreign.seen.video, 60, "video of Tandem").await;
        call.tandem.wait_for_frames(TIMEOUT, 20).await;
        let kinds = call.foreign.seen.kinds.lock().clone();
        assert!(
            kinds
                .iter()
                .all(|kind| matches!(kind & 0x1f, 1 | 5 | 7 | 8)),
            "slices and parameter sets: {kinds:?}"
        );
        call.end().await;
    }
}

/// A second video section at the end, as a browser that shares its screen has it.
fn with_screen(kind: &str, sdp: String) -> String {
    let at = sdp.find("m=video").unwrap();
    let section = &sdp[at..];
    let end = section[1..].find("m=").map_or(section.len(), |end| end + 1);
    let screen = section[..end]
        .replace("a=mid:1", "a=mid:screen")
        .replace("a=ssrc:", "a=ssrc:7");
    match kind {
        "offer" => format!(
            "{}{screen}",
            sdp.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1 2 screen")
        ),
        _ => sdp,
    }
}

/// Takes the answer to the second video section away again.
fn without_screen(kind: &str, sdp: String) -> String {
    match (kind, sdp.rfind("m=video 0 ")) {
        ("answer", Some(at)) => sdp[..at].to_owned(),
        _ => sdp,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_video_is_received_of_a_partner_with_two() {
    let call = Call::connect(true, unchanged, without_screen).await;
    call.tandem.wait_for_frames(TIMEOUT, 10).await;
    call.foreign.offer(with_screen);
    let begin = Instant::now();
    while !last_description(&call.foreign).contains("a=mid:screen") {
        assert!(begin.elapsed() < TIMEOUT, "the offer is answered");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let answer = last_description(&call.foreign);
    let screen = &answer[answer.rfind("m=video 0 ").expect("it is rejected")..];
    assert!(screen.contains("a=mid:screen"), "{answer}");
    assert_eq!(answer.matches("m=video 9 ").count(), 1, "{answer}");
    let frames = call.tandem.frame_count();
    call.tandem.wait_for_frames(TIMEOUT, frames + 10).await;

    // It keeps its place, whatever comes after it.
    call.foreign.offer(with_screen);
    grows(&call.foreign.seen.video, 20, "video of Tandem").await;
    call.end().await;
}

/// Tells the parameter sets of the video.
fn with_parameter_sets(_: &str, sdp: String) -> String {
    let sets = format!(
        "packetization-mode=1;sprop-parameter-sets={}",
        parameter_sets()
    );
    sdp.replace("packetization-mode=1", &sets)
}

#[tokio::test(flavor = "multi_thread")]
async fn parameter_sets_may_come_with_the_description_only() {
    let (server, room) = (server().await, room());
    let foreign = Foreign::join(&server, &room, with_parameter_sets, unchanged).await;
    foreign.seen.without_parameters.store(true, Relaxed);
    let tandem = Side::start(&server, &room);
    tandem.wait_for_frames(TIMEOUT, 20).await;
    tandem.call.hang_up().await;
    foreign.stop().await;
    server.shutdown().await;
}

/// Rejects the video of an offer.
fn without_video(kind: &str, sdp: String) -> String {
    match kind {
        "answer" => sdp.replace("m=video 9 ", "m=video 0 "),
        _ => sdp,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_alone_is_a_call() {
    // One of the two orders makes Tandem offer.
    for tandem_first in [true, false] {
        let call = Call::connect(tandem_first, without_video, unchanged).await;
        let seen = &call.foreign.seen;
        grows(&seen.audio, 50, "audio of Tandem").await;
        let stats = call.tandem.call.stats().await;
        let offered = stats.initiator == Some(true);
        assert_eq!(stats.refused.video, offered, "{stats:?}");
        assert!(!stats.refused.audio);
        if offered {
            assert_eq!(seen.video.load(Relaxed), 0, "what was rejected is not sent");
        }
        call.end().await;
    }
}
