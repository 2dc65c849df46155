//! Calls between two Tandems: held, measured, recorded, ended.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tandem_tests::process::wait_until;
use tandem_tests::{Outcome, Part, Relay, Tandem, require, signal, wav, y4m};

/// How long a call of a few seconds may take in all, on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Test picture and sound, small enough for a debug build on two cores.
const SMALL: [&str; 6] = ["--size", "640x360", "--fps", "30", "--speaker", "none"];

/// Waits until a file that is being recorded has grown past its header.
fn wait_for_recording(path: &Path) {
    let has_pictures = || {
        fs::metadata(path)
            .is_ok_and(|file| file.len() > 1_000_000)
            .then_some(())
    };

    wait_until("pictures are being recorded", PATIENCE, has_pictures)
        .expect("the call comes about");
}

/// What any good call's report says, whatever the machine's speed.
fn assert_media_flowed(peer: &Outcome, codec: &str) {
    assert_eq!(
        peer.report["ok"], true,
        "the call was good: {}",
        peer.report
    );

    assert_eq!(
        peer.report["error"],
        Value::Null,
        "a good call has no error"
    );

    assert_eq!(
        peer.report["video"]["codec"], codec,
        "the codec that was asked for"
    );

    let timings: Vec<f64> = ["registered", "matched", "connected", "firstRemoteFrame"]
        .iter()
        .map(|name| peer.figure(&format!("/timingsMs/{name}")))
        .collect();

    assert!(
        timings.is_sorted(),
        "a call's milestones come in their order: {timings:?}"
    );

    let received = peer.figure("/video/received/frames");
    assert!(
        received >= 20.0,
        "pictures came throughout the call, not {received}"
    );

    let latency = peer.figure("/video/received/glassToGlassMsP50");
    assert!(
        latency > 0.0 && latency < 2000.0,
        "the picture's own time stamp was read: {latency} ms"
    );

    assert!(
        peer.figure("/audio/received/packets") >= 50.0,
        "sound came throughout the call"
    );

    let mouth_to_ear = peer.figure("/audio/received/mouthToEarMsP50");
    assert!(
        mouth_to_ear > 0.0 && mouth_to_ear < 2000.0,
        "the sound's own time stamp was read: {mouth_to_ear} ms"
    );

    for pointer in [
        "/video/sent/encodeMsP50",
        "/video/received/decodeMsP50",
        "/process/cpuSeconds",
    ] {
        assert!(
            peer.figure(pointer) > 0.0,
            "{pointer} is measured, and nothing is free"
        );
    }

    assert!(
        peer.report["route"]["srtp"].is_string(),
        "media is encrypted: {}",
        peer.report["route"]
    );

    assert!(
        peer.report["bitrate"]
            .as_array()
            .is_some_and(|samples| samples.len() >= 4),
        "the rate over time is kept"
    );
}

/// Two peers through a relay process, each with arguments of its own.
fn two_processes(relay: &Relay, first: &[&str], second: &[&str]) -> [Outcome; 2] {
    let url = relay.url();
    let common = ["--signaling", &url, "--room", "two", "--duration", "4s"];
    let start =
        |own: &[&str]| Tandem::start([&common, &SMALL[..], own].concat()).expect("tandem starts");
    let peers = [start(first), start(second)];

    peers.map(|peer| peer.finish(PATIENCE).expect("the call ends by itself"))
}

#[test]
fn a_pair_in_one_process_sees_and_hears_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder
        .path()
        .join("remote.png")
        .to_string_lossy()
        .into_owned();
    let own = ["--pair", "--duration", "4s", "--snapshot", &picture];
    let outcome = Tandem::start([&own, &SMALL[..]].concat())
        .expect("tandem starts")
        .finish(PATIENCE)
        .expect("it ends");
    outcome.assert_ok("the pair");
    let peers = [outcome.peer(0), outcome.peer(1)];

    for peer in &peers {
        assert_media_flowed(peer, "H264");
    }

    assert_ne!(
        peers[0].report["initiator"], peers[1].report["initiator"],
        "exactly one side makes the offer"
    );

    assert_eq!(
        peers[0].report["sessionId"], peers[1].report["sessionId"],
        "both are in the same call"
    );

    let png = fs::read(&picture).expect("the received picture was left");
    assert!(
        png.starts_with(b"\x89PNG") && png.len() > 5_000,
        "a PNG with something in it: {} bytes",
        png.len()
    );
}

#[test]
fn two_processes_call_through_the_relay() {
    let relay = Relay::start().expect("the relay starts");
    for outcome in two_processes(&relay, &[], &[]) {
        outcome.assert_ok("a process");
        assert_media_flowed(&outcome, "H264");
    }
}

#[test]
fn both_prefer_vp8_and_get_it() {
    let relay = Relay::start().expect("the relay starts");
    for outcome in two_processes(&relay, &["--codec", "vp8"], &["--codec", "vp8"]) {
        outcome.assert_ok("a process");
        assert_media_flowed(&outcome, "VP8");
    }
}

#[test]
fn one_side_sends_nothing_and_is_heard_of_all_the_same() {
    let relay = Relay::start().expect("the relay starts");
    let [sender, listener] = two_processes(&relay, &[], &["--video", "none", "--audio", "none"]);
    sender.assert_ok("the one who sends");
    listener.assert_ok("the one who only listens");

    assert!(
        listener.figure("/video/received/frames") >= 20.0,
        "the listener sees: {}",
        listener.report
    );

    assert_eq!(
        listener.report["video"]["sent"]["frames"],
        Value::Null,
        "what was not sent has no count"
    );

    assert_eq!(
        sender.report["video"]["received"]["frames"],
        Value::Null,
        "what never came has none either"
    );
}

#[test]
fn recordings_hold_what_was_received() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (video, audio, tone) = (file("received.y4m"), file("received.wav"), file("sent.wav"));
    // A sweep has one place only where it correlates with itself. Its file is played in a loop.
    let sweep: Vec<f32> = (0..96_000_u32)
        .map(|index| {
            let t = f64::from(index) / 48_000.0;
            (0.4 * (std::f64::consts::TAU * (300.0 * t + 400.0 * t * t)).sin()) as f32
        })
        .collect();
    wav::write(Path::new(&tone), &sweep).expect("a file to send");
    let relay = Relay::start().expect("the relay starts");
    let records = [
        "--record-video",
        &video,
        "--record-audio",
        &audio,
        "--video",
        "none",
        "--audio",
        "none",
    ];
    let [sender, recorder] = two_processes(&relay, &["--audio", &tone], &records);
    sender.assert_ok("the sender");
    recorder.assert_ok("the recorder");
    let pictures = y4m::Video::read(Path::new(&video)).expect("a complete video file");

    assert_eq!(
        (pictures.width, pictures.height),
        (640, 360),
        "pictures of the size that was sent"
    );

    let counted = recorder.figure("/video/received/frames");
    assert!(
        (counted - pictures.frames.len() as f64).abs() <= 2.0,
        "{} of {counted} pictures kept",
        pictures.frames.len()
    );

    let sound = wav::read(Path::new(&audio)).expect("a complete sound file");
    assert!(
        sound.len() >= 3 * 48_000,
        "about 4 s of sound, not {} samples",
        sound.len()
    );

    // Half a second from the middle of the sweep: far from the loop's seam, short enough for a jitter buffer's stretching.
    let found = signal::find(&sweep[30_000..54_000], &sound);
    assert!(
        found.correlation > 0.9,
        "what was sent is in the recording: {found:?}"
    );
}

#[test]
fn an_interrupt_ends_the_call_properly_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("received.y4m");
    let relay = Relay::start().expect("the relay starts");
    let url = relay.url();
    let common = ["--signaling", &url, "--room", "interrupted"];
    let file = video.to_string_lossy().into_owned();
    let mut first = Tandem::start([&common, &SMALL[..], &["--record-video", &file]].concat())
        .expect("tandem starts");
    let second = Tandem::start([&common, &SMALL[..]].concat()).expect("tandem starts");
    wait_for_recording(&video);
    first.process().signal(libc::SIGINT);
    let first = first.finish(PATIENCE).expect("the interrupted side ends");
    first.assert_ok("the interrupted side");
    let second = second.finish(PATIENCE).expect("the other side ends");
    second.assert_ok("the side that was hung up on");
    y4m::Video::read(&video).expect("the recording is complete");
}

#[test]
fn media_goes_on_when_the_relay_dies_and_signaling_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("received.y4m");
    let mut relay = Relay::start().expect("the relay starts");
    let (url, address) = (relay.url(), relay.address());
    let common = [
        "--signaling",
        &url,
        "--room",
        "relayless",
        "--duration",
        "12s",
    ];
    let file = video.to_string_lossy().into_owned();
    let first = Tandem::start([&common, &SMALL[..], &["--record-video", &file]].concat())
        .expect("tandem starts");
    let second = Tandem::start([&common, &SMALL[..]].concat()).expect("tandem starts");
    wait_for_recording(&video);
    relay.process().signal(libc::SIGKILL);
    relay
        .process()
        .wait(PATIENCE)
        .expect("a killed relay is gone");
    let size = || fs::metadata(&video).expect("the recording is there").len();
    let before = size();
    let grown = || (size() > before + 10_000_000).then_some(());
    wait_until("pictures keep coming without a relay", PATIENCE, grown)
        .expect("media needs no relay");
    // Whoever listens where the relay was hears both come back.
    let listener = std::net::TcpListener::bind(address).expect("the relay's port is free again");
    listener
        .set_nonblocking(true)
        .expect("a listening socket can do that");

    for side in ["one side", "the other side"] {
        wait_until(side, Duration::from_secs(10), || listener.accept().ok())
            .expect("signaling reconnects");
    }

    for peer in [first, second] {
        peer.finish(PATIENCE)
            .expect("the call ends by itself")
            .assert_ok("a side without a relay");
    }
}

/// How a partner may be gone without a word.
fn assert_noticed(signal: i32, how: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("received.y4m");
    let relay = Relay::start().expect("the relay starts");
    let url = relay.url();
    let common = ["--signaling", &url, "--room", "vanishing"];
    let file = video.to_string_lossy().into_owned();
    let left = Tandem::start([&common, &SMALL[..], &["--record-video", &file]].concat())
        .expect("tandem starts");
    let mut gone = Tandem::start([&common, &SMALL[..]].concat()).expect("tandem starts");
    wait_for_recording(&video);
    gone.process().signal(signal);
    // 6 s to notice, and the time that it takes to complete the recording and to end.
    let outcome = left
        .finish(Duration::from_secs(6 + 3))
        .expect("the partner's end is noticed in time");
    let code = outcome.report["error"]["code"].as_str();

    assert!(
        outcome.code == Some(0) || code.is_some(),
        "{how}: the end has a reason: {}",
        outcome.report
    );

    assert!(
        outcome.figure("/video/received/frames") > 0.0,
        "{how}: what was seen until then is reported"
    );
}

#[test]
fn a_killed_partner_is_noticed() {
    assert_noticed(libc::SIGKILL, "killed");
}

#[test]
fn a_partner_that_falls_silent_is_noticed() {
    assert_noticed(libc::SIGSTOP, "stopped");
}

#[test]
fn logs_keep_secrets() {
    let relay = Relay::start().expect("the relay starts");
    let name = "Rumpelstiltskin";
    let loud = ["--name", name];

    for outcome in two_processes(&relay, &loud, &loud) {
        outcome.assert_ok("a process");
        for secret in [
            name,
            "a=candidate",
            "candidate:",
            "ice-pwd",
            "v=0",
            "typ host",
            "127.0.0.1:",
        ] {
            assert!(
                !outcome.log.contains(secret),
                "{secret:?} is in the log:\n{}",
                outcome.log
            );
        }
    }
}

#[test]
fn a_recording_on_a_full_disk_ends_alone() {
    require!(Part::FullDisk);
    let folder = tempfile::tempdir().expect("a folder");

    for (option, name) in [
        ("--record-video", "full.y4m"),
        ("--record-audio", "full.wav"),
    ] {
        let path = folder.path().join(name);
        std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
        let file = path.to_string_lossy().into_owned();
        let own = ["--pair", "--duration", "4s", option, &file];
        let pair = Tandem::start([&own, &SMALL[..]].concat()).expect("tandem starts");
        let outcome = pair.finish(PATIENCE).expect("it ends");
        let warnings = outcome.peer(0).report["warnings"].to_string();
        assert!(
            warnings.contains("DISK_FULL"),
            "{name}: the report says that the disk is full: {}",
            outcome.report
        );
        for peer in [outcome.peer(0), outcome.peer(1)] {
            assert!(
                peer.figure("/video/received/frames") >= 20.0,
                "{name}: the call went on: {}",
                peer.report
            );
        }
    }
}
