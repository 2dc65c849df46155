//! A partner that speaks the signaling protocol correctly and everything else badly. The call ends
//! with the right code or continues; the process never panics.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a test may panic, and a table of cases reads best in place"
)]

mod support;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_call::internals::PeerError;
use tandem_call::{CallEventKind, EndCode};
use tandem_signaling::message::ServerMessage;

use support::hostile::Hostile;
use support::hostile_call::in_call_after;
use support::peers::peer;
use support::{Side, room, server};

const TIMEOUT: Duration = Duration::from_secs(20);

fn sdp(kind: &str, media: &str) -> String {
    let head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    serde_json::json!({ "type": kind, "sdp": format!("{head}{media}") }).to_string()
}

/// How a call ends after the partner sent `description`.
async fn end_after(description: &dyn Fn(&str) -> String) -> EndCode {
    let server = server().await;
    let room = room();
    let mut honest = Side::start(&server, &room);
    let mut hostile = Hostile::join(&server);
    hostile.send_description(&room, description).await;
    let code = honest.ended(TIMEOUT).await;
    honest.call.finished().await;
    let gone =
        hostile.until(|message| matches!(message, ServerMessage::PartnerLeft(_)).then_some(()));
    gone.await;
    server.shutdown().await;

    code
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_description_ends_the_call() {
    let cases: [(&str, &dyn Fn(&str) -> String); 8] = [
        ("a string", &|_| "\"null\"".into()),
        ("a number", &|_| "7".into()),
        ("no sdp", &|kind| format!(r#"{{"type":"{kind}"}}"#)),
        ("the wrong type", &|_| sdp("rollback", "")),
        ("not SDP", &|kind| {
            format!(r#"{{"type":"{kind}","sdp":"GET / HTTP/1.1"}}"#)
        }),
        ("60,000 times the same letter", &|kind| {
            sdp(kind, &"a".repeat(60_000))
        }),
        ("350 media", &|kind| {
            sdp(kind, &"m=video 9 UDP/TLS/RTP/SAVPF 102\r\n".repeat(350))
        }),
        ("media without ICE and DTLS", &|kind| {
            sdp(
                kind,
                "m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=rtpmap:102 H264/90000\r\n\
                 a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n",
            )
        }),
    ];

    for (name, description) in cases {
        assert_eq!(
            end_after(description).await,
            EndCode::BadDescription,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_offers_again_and_again_is_left() {
    let mut call = in_call_after(&[]).await;
    call.honest
        .until(TIMEOUT, "connected", |kind| {
            *kind == CallEventKind::Connected
        })
        .await;

    let code = call.ended_while_offering(TIMEOUT).await;
    assert_eq!(code, EndCode::PartnerMisbehaved);
    call.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_without_a_common_codec_ends_the_call() {
    let media = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=rtpmap:0 PCMU/8000\r\n\
                 m=video 9 UDP/TLS/RTP/SAVPF 35\r\na=rtpmap:35 AV1/90000\r\n";
    assert_eq!(
        end_after(&|kind| sdp(kind, media)).await,
        EndCode::NoCommonCodec
    );

    let rejected = "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n\
                    m=video 0 UDP/TLS/RTP/SAVPF 102\r\na=rtpmap:102 H264/90000\r\n";
    assert_eq!(
        end_after(&|kind| sdp(kind, rejected)).await,
        EndCode::NoCommonCodec,
        "every medium rejected"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_candidates_do_not_keep_the_valid_ones_from_connecting() {
    let invalid = [
        "null",
        "{}",
        "[]",
        "17",
        r#"{"candidate":""}"#,
        r#"{"candidate":"candidate:"}"#,
        r#"{"candidate":"candidate:1 1 udp 99999999999999 999.1.2.3 99999 typ host"}"#,
        r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"nowhere","sdpMLineIndex":65535}"#,
    ];

    let mut call = in_call_after(&invalid).await;
    call.honest
        .until(TIMEOUT, "connected", |kind| {
            *kind == CallEventKind::Connected
        })
        .await;

    // Without its candidates, the partner would only be known by the checks that came from it.
    let mut route = None;
    for _ in 0..200 {
        let stats = call.honest.call.stats().await;
        route = stats.route.map(|route| route.remote);
        if route.as_deref() == Some("host") {
            break;
        }

        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    assert_eq!(route.as_deref(), Some("host"), "the valid ones are used");
    call.close().await;
}

/// Descriptions that are almost right get much further into the parsers than plain garbage.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_offers_and_answers_never_panic() {
    let mut random = StdRng::seed_from_u64(0x7a6d_656d);
    let offer = peer().await.0.create_offer().await.expect("an offer");
    // Accepted, without a common codec, rejected.
    let mut outcomes = [0_usize; 3];

    for round in 0..200 {
        let damaged = damage(&offer, &mut random);
        let (mut receiver, _events) = peer().await;
        let result = if round % 2 == 0 {
            receiver.apply_offer(&damaged, false).await.map(drop)
        } else {
            receiver.create_offer().await.expect("an offer");
            receiver
                .apply_answer(&damaged.replacen("\"offer\"", "\"answer\"", 1))
                .await
        };

        match result {
            Ok(()) => outcomes[0] += 1,
            Err(PeerError::NoCommonCodec(_)) => outcomes[1] += 1,
            Err(_) => outcomes[2] += 1,
        }

        receiver.close().await;
    }

    assert!(
        outcomes[0] > 0 && outcomes[2] > 0,
        "some damage is harmless and some is not: {outcomes:?}"
    );
}

/// Removes, repeats or changes a few lines or characters of a description's SDP.
fn damage(json: &str, random: &mut StdRng) -> String {
    let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
    let sdp = value["sdp"].as_str().unwrap();
    let mut lines: Vec<String> = sdp.split("\r\n").map(str::to_owned).collect();

    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..lines.len());
        match random.random_range(0..5) {
            0 => {
                lines.remove(at);
            }
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let to = random.random_range(0..lines.len());
                lines.swap(at, to);
            }
            3 => {
                let cut = random.random_range(0..=lines[at].len());
                lines[at].truncate(cut);
            }
            _ => {
                let position = random.random_range(0..=lines[at].len());
                lines[at].insert(position, char::from(random.random_range(0x20..0x7f_u8)));
            }
        }
    }

    value["sdp"] = lines.join("\r\n").into();
    value.to_string()
}
