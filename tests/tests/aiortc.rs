//! Calls between Tandem and aiortc: a partner without trickle ICE, and with other habits than
//! browsers.

#![cfg(unix)]

use std::time::Duration;

use serde_json::{Value, json};
use tandem_tests::{Aiortc, Outcome, Part, ServerProcess, Tandem, require};

const TIMEOUT: Duration = Duration::from_secs(90);

/// Holds a call and returns what both sides report.
fn call(codec: &str, plan: &str, tandem_first: bool) -> (Outcome, Value) {
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let arguments = [
        "--signaling",
        &url,
        "--room",
        "foreign",
        "--codec",
        codec,
        "--speaker",
        "none",
        "--size",
        "320x240",
        "--duration",
        "30s",
        "--wait",
        "60s",
    ];
    let tandem = || Tandem::start(arguments).expect("tandem starts and searches");
    let aiortc = || Aiortc::start(&url, "foreign", codec, plan, 4).expect("aiortc starts");
    let (tandem, aiortc) = if tandem_first {
        let tandem = tandem();
        (tandem, aiortc())
    } else {
        let aiortc = aiortc();
        (tandem(), aiortc)
    };

    let report = aiortc.finish(TIMEOUT).expect("aiortc reports the call");
    (tandem.finish(TIMEOUT).expect("the call ends"), report)
}

fn received(report: &Value, kind: &str) -> f64 {
    report["received"][kind].as_f64().unwrap_or(-1.0)
}

fn assert_both_ways(codec: &str) {
    for tandem_first in [true, false] {
        let (tandem, report) = call(codec, "both", tandem_first);
        tandem.assert_ok("Tandem");
        // The side that searched first makes the offer.
        assert_eq!(tandem.report["initiator"], json!(tandem_first));
        assert_eq!(tandem.report["video"]["codec"], codec.to_uppercase());
        assert_eq!(tandem.report["refused"], json!([]));
        assert!(received(&report, "video") >= 30.0, "{report}");
        assert!(received(&report, "audio") >= 100.0, "{report}");
        assert!(
            tandem.figure("/video/received/frames") >= 30.0,
            "{}",
            tandem.report
        );
        assert!(
            tandem.figure("/audio/received/packets") >= 100.0,
            "{}",
            tandem.report
        );
    }
}

#[test]
fn tandem_and_aiortc_call_with_h264() {
    require!(Part::Aiortc);
    assert_both_ways("h264");
}

#[test]
fn tandem_and_aiortc_call_with_vp8() {
    require!(Part::Aiortc);
    assert_both_ways("vp8");
}

#[test]
fn a_partner_that_only_listens_gets_everything() {
    require!(Part::Aiortc);
    for tandem_first in [true, false] {
        let (tandem, report) = call("vp8", "listen", tandem_first);
        tandem.assert_ok("Tandem");
        assert!(received(&report, "video") >= 30.0, "{report}");
        assert!(received(&report, "audio") >= 100.0, "{report}");
        assert_eq!(tandem.report["refused"], json!([]));
    }
}

#[test]
fn a_partner_without_video_gets_sound() {
    require!(Part::Aiortc);
    for tandem_first in [true, false] {
        let (tandem, report) = call("vp8", "sound", tandem_first);
        tandem.assert_ok("Tandem");
        // An answer takes the video all the same; an offer has none.
        let offered = tandem.report["initiator"] == json!(false);
        let refused = if offered { json!(["video"]) } else { json!([]) };
        assert_eq!(tandem.report["refused"], refused);
        assert!(received(&report, "audio") >= 100.0, "{report}");
        assert!(
            tandem.figure("/audio/received/packets") >= 100.0,
            "{}",
            tandem.report
        );
    }
}

#[test]
fn video_that_is_added_in_a_call_flows_both_ways() {
    require!(Part::Aiortc);
    for tandem_first in [true, false] {
        let (tandem, report) = call("vp8", "later", tandem_first);
        tandem.assert_ok("Tandem");
        assert_eq!(tandem.report["initiator"], json!(tandem_first));
        // The second offer is aiortc's, with other numbers if the first was Tandem's.
        let frames = tandem.figure("/video/received/frames");
        assert!(frames >= 20.0, "{}", tandem.report);
        assert!(received(&report, "video") >= 20.0, "{report}");
    }
}

#[test]
fn a_partner_can_hold_the_call_and_go_on() {
    require!(Part::Aiortc);
    for tandem_first in [true, false] {
        let (tandem, report) = call("vp8", "hold", tandem_first);
        tandem.assert_ok("Tandem");
        assert_eq!(report["held"], json!({ "audio": 0, "video": 0 }));

        let samples = tandem.report["bitrate"].as_array().expect("samples");
        // aiortc sends a still image and a quiet tone.
        for (name, least) in [("sentBps", 50_000.0), ("receivedBps", 4_000.0)] {
            let rates = samples.iter().filter_map(|sample| sample[name].as_f64());
            let rates: Vec<f64> = rates.collect();
            let held = rates.iter().rposition(|rate| *rate == 0.0);
            let (before, after) = rates.split_at(held.expect("nothing flows meanwhile"));
            let flows = |part: &[f64]| part.iter().filter(|rate| **rate > least).count() >= 2;
            assert!(flows(before) && flows(after), "{name}: {rates:?}");
        }

        // When aiortc 1.16 offers again, its formats get the numbers of an offer of its own. Its
        // receivers know only those of the first description, its partner's or its own.
        for (kind, least) in [("audio", 100.0), ("video", 60.0)] {
            let resumed = report["resumed"][kind].as_f64();
            assert!(tandem_first || resumed >= Some(least), "{kind}: {report}");
        }
    }
}
