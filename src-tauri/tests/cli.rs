//! The `tandem` binary from outside: exit codes, what it prints where, and the report of a real call in one process.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Not to be found in any log.
const NAME: &str = "Grace of Arlington";

/// No call of these tests takes longer, even on a slow machine.
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

/// Runs to the end, with a deadline.
fn run(arguments: &[&str]) -> Output {
    finish(tandem(arguments).spawn().expect("the binary starts"))
}

fn finish(child: std::process::Child) -> Output {
    let (id, start) = (child.id(), Instant::now());
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));

    match waiting.recv_timeout(DEADLINE) {
        Ok(output) => output.expect("the process can be waited for"),
        Err(_) => panic!("process {id} still runs after {:?}", start.elapsed()),
    }
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All of stdout as one JSON object: anything else on it is an error.
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
        .unwrap_or_else(|| panic!("{path} is a figure in {report:#}"))
}

#[test]
#[cfg(target_os = "linux")]
fn without_a_screen_it_says_what_to_run_instead() {
    let mut command = tandem(&[]);
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let output = finish(command.spawn().expect("the binary starts"));
    // A build without a window takes it for a wrong command line; one with a window finds no screen.
    let expected = if cfg!(feature = "desktop") { 1 } else { 2 };

    assert_eq!(
        code(&output),
        Some(expected),
        "there is nothing to do: {}",
        stderr(&output)
    );
    assert!(output.stdout.is_empty(), "errors go to stderr");
    assert!(
        stderr(&output).contains("tandem --headless --pair"),
        "a command that works: {}",
        stderr(&output)
    );
}

#[test]
fn help_and_version_are_no_errors() {
    let help = run(&["--help"]);
    assert_eq!(code(&help), Some(0), "help was asked for");
    let text = String::from_utf8_lossy(&help.stdout).into_owned();

    for flag in [
        "--signaling",
        "--host",
        "--pair",
        "--record-video",
        "--relay-only",
        "Exit codes",
    ] {
        assert!(text.contains(flag), "{flag} is explained");
    }

    assert_eq!(
        code(&run(&["--version"])),
        Some(0),
        "the version was asked for"
    );
}

#[test]
fn nonsense_ends_with_2_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.y4m");
    std::fs::write(&clip, b"not a video").unwrap();
    let missing = folder.path().join("missing").join("report.json");
    let cases: [(&[&str], &str); 10] = [
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
            "{arguments:?} makes no sense: {}",
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
fn nobody_there_is_3_and_still_a_report() {
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
        "the relay was reached: {report:#}"
    );

    assert_eq!(
        report["timingsMs"]["matched"],
        Value::Null,
        "nobody was found"
    );

    assert_eq!(
        report["video"]["received"]["frames"],
        Value::Null,
        "no stream, no figure"
    );

    assert!(
        stderr(&output).contains("relay listening on 127.0.0.1:"),
        "the host says where: {}",
        stderr(&output)
    );
}

#[test]
fn no_relay_is_4() {
    // Bound and closed again: nothing listens there.
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
        "the relay is not there: {}",
        stderr(&output)
    );

    assert_eq!(
        report(&output)["error"]["code"],
        "RELAY_UNREACHABLE",
        "and it is said so"
    );
}

#[test]
fn a_taken_port_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--headless", "--host", &address, "--report", "-"]);

    assert_eq!(
        code(&output),
        Some(4),
        "the relay cannot start: {}",
        stderr(&output)
    );

    assert_eq!(
        report(&output)["error"]["code"],
        "RELAY_NOT_STARTED",
        "and it is said so"
    );
}

#[test]
fn a_pair_holds_a_call_and_measures_it() {
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
    assert_eq!(pair["ok"], true, "both are fine");
    check_log(&stderr(&output));
    let peers = pair["peers"].as_array().expect("two reports");

    assert_eq!(peers.len(), 2, "one a peer");
    assert_ne!(
        peers[0]["initiator"], peers[1]["initiator"],
        "exactly one makes the offer"
    );

    assert_eq!(
        peers[0]["sessionId"], peers[1]["sessionId"],
        "they are in one call"
    );

    for peer in peers {
        check_peer(peer);
    }

    assert!(
        peers[0]["warnings"].as_array().is_some_and(Vec::is_empty),
        "nothing went wrong: {:#}",
        peers[0]["warnings"]
    );

    assert_eq!(
        std::fs::read(&png).unwrap()[..4],
        *b"\x89PNG",
        "the picture is saved"
    );

    check_recordings(
        Path::new(&video),
        Path::new(&audio),
        number(&peers[0], "/video/received/frames"),
    );
}

/// Logs hold no session description, candidate, address or name, at any level.
fn check_log(log: &str) {
    for secret in [NAME, "a=fingerprint", "a=ice-", "candidate:", "127.0.0.1"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} must not be logged");
    }

    assert!(log.contains("tandem_"), "there is a log at all: {log}");
}

fn check_peer(peer: &Value) {
    let sent = number(peer, "/video/sent/frames");
    let received = number(peer, "/video/received/frames");
    assert!(
        sent >= 30.0 && received >= 30.0,
        "4 s at 15 a second, with room for a slow machine: {sent}, {received}"
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
        "50 packets of sound a second: {peer:#}"
    );

    let timing = |name: &str| number(peer, &format!("/timingsMs/{name}"));
    assert!(
        timing("registered") <= timing("matched") && timing("matched") <= timing("connected"),
        "in this order"
    );

    assert!(
        timing("connected") <= timing("firstRemoteFrame"),
        "pictures come over the connection"
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
            "{name} of the route: {peer:#}"
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
        "the call cost something"
    );
}

fn check_recordings(video: &Path, audio: &Path, frames: f64) {
    let picture = 320 * 240 * 3 / 2 + b"FRAME\n".len() as u64;
    let recorded = std::fs::metadata(video)
        .expect("the recording is there")
        .len()
        / picture;

    assert!(
        recorded > 0 && recorded as f64 <= frames,
        "{recorded} of {frames} pictures are recorded"
    );

    let sound = std::fs::read(audio).expect("the recording is there");
    assert_eq!(
        (&sound[..4], &sound[8..12]),
        (&b"RIFF"[..], &b"WAVE"[..]),
        "a sound file"
    );

    assert!(
        sound.len() > 2 * 48_000,
        "with more than a second of 48 kHz mono: {} bytes",
        sound.len()
    );
}

#[test]
fn without_a_report_flag_there_is_a_table() {
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
        "sound flowed: {table}\n{}",
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
fn devices_are_listed_for_people_and_programs() {
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
        "a list for people"
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_call_properly_and_reports() {
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
        // It listens, so it runs: the line comes before the search begins.
        let mut line = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped"));
        lines.read_line(&mut line).expect("stderr can be read");

        assert!(
            line.contains("relay listening"),
            "the first line says where: {line}"
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
        assert_eq!(report["error"]["code"], "CANCELLED", "it was stopped");
    }
}
