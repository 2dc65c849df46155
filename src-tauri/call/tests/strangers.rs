//! Consent before media, reports and blocks, in calls with strangers.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run in real time, and may panic"
)]

mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use support::meddler::{Meddle, meddler};
use tandem_call::{CallEventKind, EndCode, StrangerRoute};
use tandem_signaling::ServerUrl;
use tandem_signaling::server::SignalingServer;

/// How long anything may take that should take a moment.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What one side may send before it has seen the other.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_the_user_has_seen_who_it_is() {
    let server = support::server().await;
    let room = support::room();
    let mut shy = support::options(server.url(), &room);
    shy.hold_media = true;
    let mut shy = support::Side::with(shy);
    server.until_searched().await;
    let mut open = support::Side::start(&server, &room);

    let matched = shy
        .until(TIMEOUT, "a match", |kind| {
            matches!(kind, CallEventKind::Matched { .. })
        })
        .await;
    let CallEventKind::Matched { session_id, .. } = matched.kind else {
        unreachable!("it was just matched");
    };

    // The connection is up: what the other side sends arrives, for two seconds.
    shy.wait_for_frames(TIMEOUT, 60).await;
    let state = open
        .until(TIMEOUT, "the state", |kind| {
            matches!(kind, CallEventKind::PartnerState { .. })
        })
        .await;
    assert_eq!(
        state.kind,
        CallEventKind::PartnerState {
            muted: true,
            camera_on: false,
        }
    );
    let stats = open.call.stats().await;
    assert_eq!(
        (open.frame_count(), stats.audio.jitter.packets),
        (0, 0),
        "no frame and no audio packet"
    );
    assert_eq!(shy.call.stats().await.audio.sent_packets, 0);

    // Not that of an earlier partner.
    shy.call.release_media("another session".to_owned());
    shy.wait_for_frames(TIMEOUT, 90).await;
    assert_eq!(open.frame_count(), 0);

    shy.call.release_media(session_id);
    open.wait_for_frames(TIMEOUT, 30).await;
    open.until(TIMEOUT, "the sound", |kind| {
        *kind == CallEventKind::FirstRemoteAudio
    })
    .await;
}

/// At a server in a private network, two who are both there have no other addresses for each other. Whether
/// they are is for the server to say.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_in_one_private_network_need_no_turn_server_if_the_server_sees_both_there() {
    let server = support::server().await;
    for (route, says_so) in [
        (StrangerRoute::RelayIfOffered, true),
        (StrangerRoute::RelayIfOffered, false),
        // Who hides the address hides it there, too.
        (StrangerRoute::Relay, true),
    ] {
        let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
        let meddle = |seen: &Arc<Mutex<Vec<Value>>>| -> Meddle {
            let seen = Arc::clone(seen);
            Arc::new(move |mut message: Value| {
                seen.lock().push(message.clone());
                if !says_so {
                    message.as_object_mut().unwrap().remove("bothPrivate");
                }

                vec![(Duration::ZERO, message)]
            })
        };

        let mut sides = Vec::new();
        for _ in 0..2 {
            let url = meddler(server.address(), meddle(&seen)).await;
            let mut options = support::options(url, "unused");
            options.room = None;
            options.stranger = Some(route);
            sides.push(support::Side::with(options));
        }

        if route == StrangerRoute::Relay {
            for side in &mut sides {
                let code = side.ended(TIMEOUT).await;
                assert_eq!(code, EndCode::NoTurnServer, "the user is asked first");
            }

            assert!(!format!("{:?}", seen.lock()).contains("candidate:"));
            continue;
        }

        if says_so {
            for side in &mut sides {
                side.first_frame(TIMEOUT).await;
            }
        } else {
            let code = sides[0].ended(TIMEOUT).await;
            assert_eq!(code, EndCode::NoStunServer, "nothing can be named");
        }

        let seen = seen.lock().clone();
        let found: Vec<&Value> = seen
            .iter()
            .filter(|message| message["type"] == "partner_found")
            .collect();
        assert!(!found.is_empty(), "they were matched");
        for found in found {
            assert_eq!(found["bothPrivate"], true, "both are on this machine");
        }

        let text = format!("{seen:?}");
        assert_eq!(
            text.contains("typ host"),
            says_so,
            "local addresses are named"
        );
        for (at, _) in text.match_indices(" udp ") {
            // Priority, address, port.
            let address: IpAddr = match text[at..].split_ascii_whitespace().nth(2) {
                Some(address) => address.parse().unwrap(),
                None => panic!("{}", &text[at..]),
            };
            let is_private = match address {
                IpAddr::V4(ip) => ip.is_private() || ip.is_loopback(),
                IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback(),
            };
            assert!(is_private, "{address} is named");
        }
        for side in sides {
            side.call.hang_up().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_recorded_with_its_snapshot_and_a_block_ends_the_call() {
    use tandem_call::{Report, ReportOutcome};
    use tandem_signaling::message::ReportCategory;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reports.jsonl");
    let server = SignalingServer::builder()
        .listen("127.0.0.1:0")
        .reports(&file)
        .start()
        .await
        .unwrap();
    let url = ServerUrl::listening_on(server.local_addr());
    let room = support::room();
    let [mut ann, mut ben] =
        [(); 2].map(|()| support::Side::with(support::options(url.clone(), &room)));
    let matched = ann
        .until(TIMEOUT, "a match", |kind| {
            matches!(kind, CallEventKind::Matched { .. })
        })
        .await;
    let CallEventKind::Matched { partner_id, .. } = matched.kind else {
        unreachable!("it was just matched");
    };
    for side in [&mut ann, &mut ben] {
        side.first_frame(TIMEOUT).await;
    }

    ann.call.report(Report {
        category: ReportCategory::Harassment,
        text: Some("Shouts.".to_owned()),
        snapshot: Some(vec![0xFF, 0xD8, 0xFF, 0xE0, 7]),
    });
    let outcome = ann
        .until(TIMEOUT, "an answer", |kind| {
            matches!(kind, CallEventKind::Reported(_))
        })
        .await;
    assert_eq!(
        outcome.kind,
        CallEventKind::Reported(ReportOutcome::Recorded)
    );

    let line = std::fs::read_to_string(&file).unwrap();
    let report: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&report["category"], &report["text"]),
        (&json!("harassment"), &json!("Shouts."))
    );
    let image = folder
        .path()
        .join("reports.jsonl.snapshots")
        .join(report["snapshot"].as_str().unwrap());
    assert_eq!(
        std::fs::read(image).unwrap(),
        [0xFF, 0xD8, 0xFF, 0xE0, 7],
        "the bytes of the image"
    );

    ann.call.block(partner_id.as_str().into());
    assert_eq!(ann.ended(TIMEOUT).await, EndCode::HungUp);
    assert_eq!(ben.ended(TIMEOUT).await, EndCode::PartnerLeft);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_records_no_reports_says_so_and_the_call_goes_on() {
    use tandem_call::{Report, ReportOutcome};
    use tandem_signaling::message::ReportCategory;

    let server = support::server().await;
    let room = support::room();
    let [mut ann, mut ben] = [(); 2].map(|()| support::Side::start(&server, &room));
    for side in [&mut ann, &mut ben] {
        side.first_frame(TIMEOUT).await;
    }

    ann.call.report(Report {
        category: ReportCategory::Spam,
        text: None,
        snapshot: None,
    });
    ann.until(TIMEOUT, "an answer", |kind| {
        *kind == CallEventKind::Reported(ReportOutcome::NotRecorded)
    })
    .await;
    let frames = ann.frame_count();
    ann.wait_for_frames(TIMEOUT, frames + 30).await;
}
