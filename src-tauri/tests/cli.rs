//! The `tandem` binary from outside: exit codes, stdout and stderr, and the report of a real call
//! in one process.

#![allow(clippy::disallowed_methods, reason = "tests wait for real processes")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A display name, which must not appear in any log.
const NAME: &str = "Grace of Arlington";

/// No run of these tests takes longer, even on a slow machine.
const DEADLINE: Duration = Duration::from_secs(120);

fn tandem(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end, with a deadline.
fn run(arguments: &[&str]) -> Output {
    finish(tandem(arguments).spawn().expect("the binary starts"))
}

fn finish(child: std::process::Child) -> Output {
    let (id, start) = (child.id(), Instant::now());
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));

    match waiting.recv_timeout(DEADLINE) {
        Ok(output) => output.expect("the process ends"),
        Err(_) => panic!("process {id} still runs after {:?}", start.elapsed()),
    }
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Parses stdout as one JSON object. Anything else on it is an error.
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let stdout = String::from_utf8_lossy(&output.stdout);
        panic!(
            "stdout is not one JSON object ({error}):\n{stdout}\nstderr:\n{}",
            stderr(output)
        )
    })
}

fn number(report: &Value, path: &str) -> f64 {
    report
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("{path} is a number in {report:#}"))
}

#[test]
#[cfg(target_os = "linux")]
fn without_a_screen_the_program_names_a_command_that_works() {
    let mut command = tandem(&[]);
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let output = finish(command.spawn().expect("the binary starts"));
    // In a build without a window the command line is wrong (2); one with a window finds no screen
    // (1).
    let expected = if cfg!(feature = "desktop") { 1 } else { 2 };

    assert_eq!(
        code(&output),
        Some(expected),
        "nothing can be opened: {}",
        stderr(&output)
    );
    assert!(output.stdout.is_empty(), "errors go to stderr");
    assert!(
        stderr(&output).contains("tandem --headless --pair"),
        "suggests a command: {}",
        stderr(&output)
    );
}

#[test]
fn help_and_version_are_not_errors() {
    let help = run(&["--help"]);
    assert_eq!(code(&help), Some(0), "help");
    let text = String::from_utf8_lossy(&help.stdout).into_owned();

    for flag in [
        "--signaling",
        "--host",
        "--pair",
        "--record-video",
        "--relay-only",
        "--link",
        "Exit codes",
    ] {
        assert!(text.contains(flag), "{flag} is explained");
    }

    assert_eq!(code(&run(&["--version"])), Some(0), "version");
}

#[test]
fn bad_arguments_exit_with_2_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.y4m");
    std::fs::write(&clip, b"not a video").unwrap();
    let missing = folder.path().join("missing").join("report.json");
    let cases: [(&[&str], &str); 13] = [
        (
            &["--headless", "--link", "home-wify"],
            "home-wifi, busy-cafe",
        ),
        (&["--headless", "--link", "loss=5"], "give a percentage"),
        (&["--link", "home-wifi"], "--headless"),
        (&["--headless", "--host", "--relay-only"], "TURN"),
        (
            &["--headless", "--host", "--signaling", "ws://127.0.0.1:1"],
            "--signaling",
        ),
        (&["--headless", "--size", "641x480"], "even"),
        (&["--headless", "--fps", "0"], "1 to 120"),
        (
            &["--headless", "--video", clip.to_str().unwrap()],
            "FILE_BAD_FORMAT",
        ),
        (&["--headless", "--audio", "missing.wav"], "FILE_UNREADABLE"),
        (
            &["--headless", "--report", missing.to_str().unwrap()],
            "cannot be written",
        ),
        (&["--headless", "--duration", "soon"], "10s"),
        (&["--headless", "--no-such-flag"], "--no-such-flag"),
        (&["devices", "--headless"], "--headless"),
    ];

    for (arguments, expected) in cases {
        let output = run(arguments);
        assert_eq!(
            code(&output),
            Some(2),
            "{arguments:?} are bad arguments: {}",
            stderr(&output)
        );

        assert!(
            stderr(&output).contains(expected),
            "{arguments:?} is refused with {expected:?}: {}",
            stderr(&output)
        );

        assert!(
            output.stdout.is_empty(),
            "{arguments:?}: errors go to stderr"
        );
    }
}

#[test]
fn no_partner_exits_with_3_and_a_report() {
    let output = run(&[
        "--headless",
        "--host",
        "127.0.0.1:0",
        "--speaker",
        "none",
        "--wait",
        "500ms",
        "--report",
        "-",
    ]);
    let report = report(&output);
    assert_eq!(code(&output), Some(3), "no partner in time: {report:#}");
    assert_eq!(report["ok"], false, "there was no call");
    assert_eq!(
        report["error"]["code"], "NO_PARTNER",
        "the reason has a code"
    );

    assert!(
        report["timingsMs"]["registered"].is_u64(),
        "the server was reached: {report:#}"
    );

    assert_eq!(
        report["timingsMs"]["matched"],
        Value::Null,
        "no one was found"
    );

    assert_eq!(
        report["video"]["received"]["frames"],
        Value::Null,
        "no stream has no figures"
    );

    assert!(
        stderr(&output).contains("server listening on 127.0.0.1:"),
        "prints where the server listens: {}",
        stderr(&output)
    );
}

#[test]
fn an_unreachable_server_exits_with_4() {
    // A port that was bound and closed: nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("ws://127.0.0.1:{port}/ws");
    let output = run(&[
        "--headless",
        "--signaling",
        &url,
        "--speaker",
        "none",
        "--wait",
        "1s",
        "--report",
        "-",
    ]);

    assert_eq!(
        code(&output),
        Some(4),
        "no server listens there: {}",
        stderr(&output)
    );

    assert_eq!(
        report(&output)["error"]["code"],
        "RELAY_UNREACHABLE",
        "the report has the reason"
    );
}

#[test]
fn a_taken_port_exits_with_4() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--headless", "--host", &address, "--report", "-"]);

    assert_eq!(
        code(&output),
        Some(4),
        "the server cannot start: {}",
        stderr(&output)
    );

    assert_eq!(
        report(&output)["error"]["code"],
        "RELAY_NOT_STARTED",
        "the report has the reason"
    );
}

#[test]
fn a_pair_holds_and_measures_a_call() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (png, video, audio) = (file("a.png"), file("a.y4m"), file("a.wav"));
    let arguments = [
        "--headless",
        "--pair",
        "--size",
        "320x240",
        "--fps",
        "15",
        "--duration",
        "4s",
        "--report",
        "-",
        "--log-level",
        "trace",
        "--name",
        NAME,
        "--snapshot",
        &png,
        "--record-video",
        &video,
        "--record-audio",
        &audio,
    ];
    let output = run(&arguments);
    let pair = report(&output);

    assert_eq!(code(&output), Some(0), "media flowed both ways: {pair:#}");
    assert_eq!(pair["ok"], true, "both peers succeeded");
    check_log(&stderr(&output));
    let peers = pair["peers"].as_array().expect("two reports");

    assert_eq!(peers.len(), 2, "one per peer");
    assert_ne!(
        peers[0]["initiator"], peers[1]["initiator"],
        "exactly one peer makes the offer"
    );

    assert_eq!(
        peers[0]["sessionId"], peers[1]["sessionId"],
        "both are in the same call"
    );

    for peer in peers {
        check_peer(peer);
    }

    assert!(
        peers[0]["warnings"].as_array().is_some_and(Vec::is_empty),
        "there are no warnings: {:#}",
        peers[0]["warnings"]
    );

    assert_eq!(
        std::fs::read(&png).unwrap()[..4],
        *b"\x89PNG",
        "the snapshot is a PNG"
    );

    check_recordings(
        Path::new(&video),
        Path::new(&audio),
        number(&peers[0], "/video/received/frames"),
    );
}

#[test]
fn both_ends_of_an_invite_verify_each_other_by_its_words() {
    for (room, badge, has_words) in [
        ("7-garden-lantern", "verifiedByCode", false),
        ("7", "notVerified", true),
    ] {
        let output = run(&[
            "--headless",
            "--pair",
            "--room",
            room,
            "--duration",
            "2s",
            "--report",
            "-",
        ]);
        let pair = report(&output);
        assert_eq!(code(&output), Some(0), "media flowed both ways: {pair:#}");
        let [first, second] = [0, 1].map(|number| &pair["peers"][number]["verification"]);
        assert_eq!(first["badge"], badge, "{room}: {first}");
        assert_eq!(first["words"].is_array(), has_words, "{room}: {first}");
        assert_eq!(first, second, "the same on both sides: {room}");
    }
}

/// Logs contain no session description, candidate, address or name, at any level.
fn check_log(log: &str) {
    for secret in [NAME, "a=fingerprint", "a=ice-", "candidate:", "127.0.0.1"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} must not be logged");
    }

    assert!(log.contains("tandem_"), "something was logged: {log}");
}

fn check_peer(peer: &Value) {
    let sent = number(peer, "/video/sent/frames");
    let received = number(peer, "/video/received/frames");
    assert!(
        sent >= 30.0 && received >= 30.0,
        "4 s at 15 frames/s would be 60, with room for a slow machine: {sent}, {received}"
    );

    assert_eq!(
        (
            number(peer, "/video/received/width"),
            number(peer, "/video/received/height")
        ),
        (320.0, 240.0),
        "size"
    );

    assert!(
        number(peer, "/audio/received/packets") >= 100.0,
        "4 s at 50 packets/s would be 200: {peer:#}"
    );

    let timing = |name: &str| number(peer, &format!("/timingsMs/{name}"));
    assert!(
        timing("registered") <= timing("matched") && timing("matched") <= timing("connected"),
        "registered, matched, connected"
    );

    assert!(
        timing("connected") <= timing("firstRemoteFrame"),
        "frames arrive over the connection"
    );

    for path in [
        "/video/received/glassToGlassMsP50",
        "/audio/received/mouthToEarMsP50",
        "/video/sent/encodeMsP50",
    ] {
        let value = number(peer, path);
        assert!(
            value > 0.0 && value < 10_000.0,
            "{path} is a latency on this machine: {value}"
        );
    }

    for name in ["local", "remote", "protocol", "dtls", "srtp"] {
        assert!(
            peer["route"][name]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "the route has {name}: {peer:#}"
        );
    }

    assert!(
        peer["bitrate"]
            .as_array()
            .is_some_and(|samples| samples.len() >= 4),
        "a sample every half second"
    );

    assert!(
        number(peer, "/process/cpuSeconds") > 0.0,
        "the call used CPU time"
    );
}

fn check_recordings(video: &Path, audio: &Path, frames: f64) {
    let frame_bytes = 320 * 240 * 3 / 2 + b"FRAME\n".len() as u64;
    let recorded = std::fs::metadata(video)
        .expect("the recording is there")
        .len()
        / frame_bytes;

    assert!(
        recorded > 0 && recorded as f64 <= frames,
        "{recorded} of {frames} frames are recorded"
    );

    let wav = std::fs::read(audio).expect("the recording is there");
    assert_eq!(
        (&wav[..4], &wav[8..12]),
        (&b"RIFF"[..], &b"WAVE"[..]),
        "a WAV file"
    );

    assert!(
        wav.len() > 2 * 48_000,
        "with more than a second of 48 kHz mono: {} bytes",
        wav.len()
    );
}

#[test]
fn without_a_report_flag_the_program_prints_a_table() {
    let output = run(&[
        "--headless",
        "--pair",
        "--video",
        "none",
        "--duration",
        "1s",
    ]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        code(&output),
        Some(0),
        "audio flowed: {table}\n{}",
        stderr(&output)
    );

    for label in [
        "result",
        "glass to glass",
        "mouth to ear",
        "candidates",
        "CPU time",
    ] {
        assert!(
            table.contains(label),
            "{label} is a line of the table:\n{table}"
        );
    }
}

#[test]
fn devices_are_listed_as_text_and_as_json() {
    let output = run(&["devices", "--json"]);
    let devices = report(&output);

    for kind in ["cameras", "microphones", "speakers", "errors"] {
        assert!(devices[kind].is_array(), "{kind} is a list: {devices:#}");
    }

    let failed = devices["errors"]
        .as_array()
        .is_some_and(|errors| !errors.is_empty());
    assert_eq!(
        code(&output),
        Some(if failed { 5 } else { 0 }),
        "5 only if a kind could not be listed: {devices:#}"
    );

    let text = run(&["devices"]);
    assert!(
        String::from_utf8_lossy(&text.stdout).contains("Cameras"),
        "the list as text"
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_call_in_order_with_a_report() {
    use std::io::{BufRead, BufReader};
    for signal in ["INT", "TERM"] {
        let mut child = tandem(&[
            "--headless",
            "--host",
            "127.0.0.1:0",
            "--speaker",
            "none",
            "--report",
            "-",
        ])
        .spawn()
        .expect("the binary starts");
        // The program handles signals before it prints this line.
        let mut line = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped"));
        lines.read_line(&mut line).expect("stderr can be read");

        assert!(
            line.contains("server listening"),
            "the first line says where the server listens: {line}"
        );

        let sent = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "the signal is delivered");
        let output = finish(child);
        let report = report(&output);

        assert_eq!(
            code(&output),
            Some(3),
            "SIG{signal} before a partner was found: {report:#}"
        );
        assert_eq!(
            report["error"]["code"], "CANCELLED",
            "the reason is the signal"
        );
    }
}

#[test]
fn the_flags_that_need_headless_are_listed_for_scripts() {
    let output = run(&["headless-flags"]);
    let flags = String::from_utf8_lossy(&output.stdout).into_owned();

    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(
        flags.lines().any(|flag| flag == "--pair") && flags.lines().all(|flag| flag != "--video"),
        "one flag per line, without those that the window takes:\n{flags}"
    );
}
