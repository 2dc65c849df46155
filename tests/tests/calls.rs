//! Calls between two Tandems: connecting, measuring, recording, ending.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tandem_tests::process::{Process, wait_until};
use tandem_tests::{Outcome, Part, ServerProcess, Tandem, built, require, signal, wav, y4m};

/// Limit for a call of a few seconds from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Test video small enough for a debug build on two cores.
const SMALL: [&str; 6] = ["--size", "640x360", "--fps", "30", "--speaker", "none"];

/// Waits until a recording is longer than 1 MB, which is three frames of 640x360.
fn wait_for_recording(path: &Path) {
    let has_frames = || {
        fs::metadata(path)
            .is_ok_and(|file| file.len() > 1_000_000)
            .then_some(())
    };

    wait_until("frames are being recorded", TIMEOUT, has_frames).expect("the call connects");
}

/// Checks what the report of any good call says, on a fast or slow machine.
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
        "a call's milestones come in order: {timings:?}"
    );

    let received = peer.figure("/video/received/frames");
    assert!(
        received >= 20.0,
        "at least 20 frames arrived, not {received}"
    );

    let latency = peer.figure("/video/received/glassToGlassMsP50");
    assert!(
        latency > 0.0 && latency < 2000.0,
        "the frame's own timestamp was read: {latency} ms"
    );

    assert!(
        peer.figure("/audio/received/packets") >= 50.0,
        "at least 50 audio packets arrived"
    );

    let mouth_to_ear = peer.figure("/audio/received/mouthToEarMsP50");
    assert!(
        mouth_to_ear > 0.0 && mouth_to_ear < 2000.0,
        "the audio's own timestamp was read: {mouth_to_ear} ms"
    );

    for pointer in [
        "/video/sent/encodeMsP50",
        "/video/received/decodeMsP50",
        "/process/cpuSeconds",
    ] {
        assert!(
            peer.figure(pointer) > 0.0,
            "{pointer} is measured, and takes time"
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
        "the report has the bitrate over time"
    );
}

/// Two peers that meet through a signaling server process, each with its own arguments.
fn two_processes(server: &ServerProcess, first: &[&str], second: &[&str]) -> [Outcome; 2] {
    let url = server.url();
    let common = ["--signaling", &url, "--room", "two", "--duration", "4s"];
    let start = |extra: &[&str]| {
        Tandem::start([&common, &SMALL[..], extra].concat()).expect("tandem starts")
    };
    let peers = [start(first), start(second)];

    peers.map(|peer| peer.finish(TIMEOUT).expect("the call ends by itself"))
}

#[test]
fn a_pair_in_one_process_sees_and_hears_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = folder
        .path()
        .join("remote.png")
        .to_string_lossy()
        .into_owned();
    let arguments = ["--pair", "--duration", "4s", "--snapshot", &snapshot];
    let outcome = Tandem::start([&arguments, &SMALL[..]].concat())
        .expect("tandem starts")
        .finish(TIMEOUT)
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

    let png = fs::read(&snapshot).expect("the snapshot was written");
    assert!(
        png.starts_with(b"\x89PNG") && png.len() > 5_000,
        "a PNG with something in it: {} bytes",
        png.len()
    );
}

#[test]
fn two_processes_call_each_other() {
    let server = ServerProcess::start().expect("the server starts");
    for outcome in two_processes(&server, &[], &[]) {
        outcome.assert_ok("a process");
        assert_media_flowed(&outcome, "H264");
    }
}

#[test]
fn two_peers_that_prefer_vp8_use_it() {
    let server = ServerProcess::start().expect("the server starts");
    for outcome in two_processes(&server, &["--codec", "vp8"], &["--codec", "vp8"]) {
        outcome.assert_ok("a process");
        assert_media_flowed(&outcome, "VP8");
    }
}

#[test]
fn a_side_that_sends_nothing_still_receives() {
    let server = ServerProcess::start().expect("the server starts");
    let [sender, listener] = two_processes(&server, &[], &["--video", "none", "--audio", "none"]);
    sender.assert_ok("the sending side");
    listener.assert_ok("the receiving side");

    assert!(
        listener.figure("/video/received/frames") >= 20.0,
        "the receiving side gets frames: {}",
        listener.report
    );

    assert_eq!(
        listener.report["video"]["sent"]["frames"],
        Value::Null,
        "nothing was sent, so there is no count"
    );

    assert_eq!(
        sender.report["video"]["received"]["frames"],
        Value::Null,
        "nothing was received, so there is no count"
    );
}

#[test]
fn recordings_hold_what_was_received() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (video, audio, sweep_file) = (file("received.y4m"), file("received.wav"), file("sent.wav"));

    // A sweep correlates with itself at one position only. The file plays in a loop.
    let sweep: Vec<f32> = (0..96_000_u32)
        .map(|index| {
            let t = f64::from(index) / 48_000.0;
            (0.4 * (std::f64::consts::TAU * (300.0 * t + 400.0 * t * t)).sin()) as f32
        })
        .collect();
    wav::write(Path::new(&sweep_file), &sweep).expect("the sweep is written");

    let server = ServerProcess::start().expect("the server starts");
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

    let [sender, recorder] = two_processes(&server, &["--audio", &sweep_file], &records);
    sender.assert_ok("the sender");
    recorder.assert_ok("the recorder");

    let recorded = y4m::Video::read(Path::new(&video)).expect("a complete video file");

    assert_eq!(
        (recorded.width, recorded.height),
        (640, 360),
        "frames of the size that was sent"
    );

    let counted = recorder.figure("/video/received/frames");
    assert!(
        (counted - recorded.frames.len() as f64).abs() <= 2.0,
        "{} of {counted} frames recorded",
        recorded.frames.len()
    );

    let heard = wav::read(Path::new(&audio)).expect("a complete audio file");
    assert!(
        heard.len() >= 3 * 48_000,
        "about 4 s of audio, not {} samples",
        heard.len()
    );

    // Half a second from the middle of the sweep: far from where the loop restarts, and short
    // enough to survive the jitter buffer's time stretching.
    let found = signal::find(&sweep[30_000..54_000], &heard);
    assert!(
        found.correlation > 0.9,
        "the recording contains what was sent: {found:?}"
    );
}

#[test]
fn an_interrupt_ends_the_call_properly_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("received.y4m");
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let common = ["--signaling", &url, "--room", "interrupted"];
    let file = video.to_string_lossy().into_owned();
    let mut first = Tandem::start([&common, &SMALL[..], &["--record-video", &file]].concat())
        .expect("tandem starts");
    let second = Tandem::start([&common, &SMALL[..]].concat()).expect("tandem starts");

    wait_for_recording(&video);
    first.process().signal(libc::SIGINT);

    let first = first.finish(TIMEOUT).expect("the interrupted side ends");
    first.assert_ok("the interrupted side");

    let second = second.finish(TIMEOUT).expect("the other side ends");
    second.assert_ok("the side that was hung up on");
    y4m::Video::read(&video).expect("the recording is complete");
}

#[test]
fn a_closed_terminal_ends_the_call_properly_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.json");
    let video = folder.path().join("received.y4m");
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let file = video.to_string_lossy().into_owned();
    let common = [
        &["--headless", "--signaling", &url, "--room", "terminal"][..],
        &SMALL,
    ]
    .concat();

    // script(1) gives it a terminal of its own, and dies with it.
    let line = format!(
        "{} {} --record-video {file} --report {}",
        built("tandem").display(),
        common.join(" "),
        report.display()
    );
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-c", &line, "/dev/null"]);
    let mut terminal = Process::start(command).expect("script starts");
    let second = Tandem::start(common[1..].iter().copied()).expect("tandem starts");

    wait_for_recording(&video);
    terminal.signal(libc::SIGKILL);
    terminal.wait(TIMEOUT).expect("a killed program exits");

    let second = second.finish(TIMEOUT).expect("the other side ends");
    second.assert_ok("the side that was hung up on");
    let written = wait_until("the report", TIMEOUT, || {
        let text = fs::read_to_string(&report).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    })
    .expect("a report without a terminal");
    assert_eq!(written["ok"], true, "{written}");
    y4m::Video::read(&video).expect("the recording is complete");
}

#[test]
fn media_continues_when_the_server_dies_and_signaling_reconnects() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("received.y4m");
    let mut server = ServerProcess::start().expect("the server starts");
    let (url, address) = (server.url(), server.address());
    let common = [
        "--signaling",
        &url,
        "--room",
        "serverless",
        "--duration",
        "12s",
    ];
    let file = video.to_string_lossy().into_owned();
    let first = Tandem::start([&common, &SMALL[..], &["--record-video", &file]].concat())
        .expect("tandem starts");
    let second = Tandem::start([&common, &SMALL[..]].concat()).expect("tandem starts");

    wait_for_recording(&video);
    server.process().signal(libc::SIGKILL);
    server
        .process()
        .wait(TIMEOUT)
        .expect("a killed server exits");

    let size = || fs::metadata(&video).expect("the recording exists").len();
    let before = size();
    let grown = || (size() > before + 10_000_000).then_some(());
    wait_until("frames keep coming without a server", TIMEOUT, grown)
        .expect("media needs no server");

    // Both clients reconnect to whatever listens on the server's port.
    let listener = std::net::TcpListener::bind(address).expect("the server's port is free again");
    listener
        .set_nonblocking(true)
        .expect("a listening socket can be non-blocking");

    for side in ["one side", "the other side"] {
        wait_until(side, Duration::from_secs(10), || listener.accept().ok())
            .expect("signaling reconnects");
    }

    for peer in [first, second] {
        peer.finish(TIMEOUT)
            .expect("the call ends by itself")
            .assert_ok("a side without a server");
    }
}

#[test]
fn a_killed_partner_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("received.y4m");
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let common = ["--signaling", &url, "--room", "vanishing"];
    let file = video.to_string_lossy().into_owned();
    let remaining = Tandem::start([&common, &SMALL[..], &["--record-video", &file]].concat())
        .expect("tandem starts");
    let mut gone = Tandem::start([&common, &SMALL[..]].concat()).expect("tandem starts");

    wait_for_recording(&video);
    gone.process().signal(libc::SIGKILL);

    // For so long it may come back; then the recording is completed.
    let outcome = remaining
        .finish(Duration::from_secs(30 + 5))
        .expect("the partner's absence is noticed in time");
    let code = outcome.report["error"]["code"].as_str();

    assert_eq!(code, Some("PARTNER_VANISHED"), "{}", outcome.report);
    assert!(
        outcome.figure("/video/received/frames") > 0.0,
        "the report counts the frames until then"
    );
}

#[test]
fn logs_contain_no_names_addresses_or_sdp() {
    let server = ServerProcess::start().expect("the server starts");
    let name = "Rumpelstiltskin";
    let named = ["--name", name];

    for outcome in two_processes(&server, &named, &named) {
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
fn a_recording_on_a_full_disk_stops_without_ending_the_call() {
    require!(Part::FullDisk);
    let folder = tempfile::tempdir().expect("a folder");

    for (option, name) in [
        ("--record-video", "full.y4m"),
        ("--record-audio", "full.wav"),
    ] {
        let path = folder.path().join(name);
        std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
        let file = path.to_string_lossy().into_owned();
        let arguments = ["--pair", "--duration", "4s", option, &file];
        let pair = Tandem::start([&arguments, &SMALL[..]].concat()).expect("tandem starts");
        let outcome = pair.finish(TIMEOUT).expect("it ends");
        let warnings = outcome.peer(0).report["warnings"].to_string();
        assert!(
            warnings.contains("DISK_FULL"),
            "{name}: the report says that the disk is full: {}",
            outcome.report
        );
        for peer in [outcome.peer(0), outcome.peer(1)] {
            assert!(
                peer.figure("/video/received/frames") >= 20.0,
                "{name}: the call continued: {}",
                peer.report
            );
        }
    }
}
