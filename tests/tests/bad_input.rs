//! Bad input from everywhere: each time a clear error, never a crash, never a hang.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tandem_tests::rogue::{Partner, RogueServer};
use tandem_tests::{Outcome, Part, ServerProcess, Tandem, require};

const TIMEOUT: Duration = Duration::from_secs(60);
const SMALL: [&str; 6] = ["--size", "640x360", "--fps", "30", "--speaker", "none"];

/// Checks that nothing panicked and that the error is a sentence.
fn assert_clear(outcome: &Outcome, what: &str) {
    assert!(
        !outcome.log.contains("panicked at"),
        "{what}: it crashed:\n{}",
        outcome.log
    );

    let message = outcome.report["error"]["message"]
        .as_str()
        .unwrap_or(&outcome.log);
    assert!(
        message.trim().len() > 15 && message.contains(' '),
        "{what}: no sentence: {message:?}"
    );
}

#[test]
fn bad_arguments_are_refused() {
    let cases: &[&[&str]] = &[
        &["--headless", "--no-such-option"],
        &["--headless", "--size", "huge"],
        &["--headless", "--size", "0x0"],
        &["--headless", "--fps", "0"],
        &["--headless", "--fps", "fast"],
        &["--headless", "--codec", "theora"],
        &["--headless", "--duration", "soon"],
        &["--headless", "--max-bitrate", "-1"],
        &["--headless", "--room", "with spaces"],
        &["--headless", "--room", ""],
        &["--headless", "--signaling", "http://127.0.0.1/"],
        &["--headless", "--signaling", "nonsense"],
        &[
            "--headless",
            "--pair",
            "--signaling",
            "ws://127.0.0.1:9000/ws",
        ],
        &["--headless", "--pair", "--relay-only"],
        &["--headless", "--pair", "--link", "los=5%"],
        &["--headless", "--echo-cancellation", "perhaps"],
        &["--headless", "--pair", "--video", "no-such-file.y4m"],
        &["--headless", "--pair", "--audio", "no-such-file.wav"],
        &[
            "--headless",
            "--pair",
            "--record-video",
            "/no/such/folder/a.y4m",
        ],
        &[
            "--headless",
            "--pair",
            "--snapshot",
            "/no/such/folder/a.png",
        ],
        &["--headless", "--pair", "--report", "/no/such/folder/a.json"],
    ];

    for arguments in cases {
        let outcome = Tandem::run(*arguments).expect("it exits at once");
        let line = arguments.join(" ");
        assert_eq!(
            outcome.code,
            Some(2),
            "`{line}` is a bad argument; the program said: {}",
            outcome.log
        );
        assert_clear(&outcome, &line);
    }
}

#[test]
fn an_empty_room_ends_with_no_partner() {
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let arguments = ["--signaling", &url, "--room", "empty", "--wait", "1s"];
    let outcome = Tandem::start([&arguments, &SMALL[..]].concat())
        .expect("starts")
        .finish(TIMEOUT)
        .expect("it ends");

    assert_eq!(
        outcome.code,
        Some(3),
        "no partner in time: {}",
        outcome.report
    );

    assert_eq!(
        outcome.report["error"]["code"], "NO_PARTNER",
        "the report says why"
    );
    assert_clear(&outcome, "no partner");
}

#[test]
fn an_unreachable_server_is_reported() {
    // A port that was bound and closed: nothing listens there.
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("ws://{}/ws", free.expect("a free port"));
    let arguments = ["--signaling", &url, "--room", "nowhere", "--wait", "3s"];
    let outcome = Tandem::start([&arguments, &SMALL[..]].concat())
        .expect("starts")
        .finish(TIMEOUT)
        .expect("it ends");

    assert!(
        matches!(outcome.code, Some(3 | 4)),
        "there was no call: {}",
        outcome.report
    );

    assert_eq!(
        outcome.report["error"]["code"], "RELAY_UNREACHABLE",
        "the report says why"
    );
    assert_clear(&outcome, "no server");
}

/// A call of 3 s between a side with these arguments and one that sends test video and audio.
fn call_with(extra: &[&str]) -> [Outcome; 2] {
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let common = ["--signaling", &url, "--room", "devices", "--duration", "3s"];
    let start =
        |extra: &[&str]| Tandem::start([&common, &SMALL[..], extra].concat()).expect("starts");

    [start(extra), start(&[])].map(|peer| peer.finish(TIMEOUT).expect("the call ends by itself"))
}

#[test]
fn without_a_camera_the_call_still_has_audio() {
    let [without, partner] = call_with(&["--video", "camera:no such camera"]);
    assert_eq!(without.code, Some(5), "a device failed: {}", without.report);
    assert_eq!(
        without.report["error"]["code"], "CAM_NOT_FOUND",
        "the report says which device and why"
    );
    assert_clear(&without, "no camera");
    assert!(
        without.figure("/audio/received/packets") > 50.0,
        "the call continued: {}",
        without.report
    );

    assert!(
        without.figure("/video/received/frames") > 20.0,
        "the partner's video still arrives"
    );

    partner.assert_ok("the partner, who only lacks video");
    assert!(
        partner.figure("/audio/received/packets") > 50.0,
        "audio arrives: {}",
        partner.report
    );
}

#[test]
fn without_a_microphone_the_call_still_has_video() {
    let [without, partner] = call_with(&["--audio", "microphone:no such microphone"]);
    assert_eq!(without.code, Some(5), "a device failed: {}", without.report);
    assert_eq!(
        without.report["error"]["code"], "MIC_NOT_FOUND",
        "the report says which device and why"
    );
    assert_clear(&without, "no microphone");
    partner.assert_ok("the partner, who only lacks audio");

    assert!(
        partner.figure("/video/received/frames") > 20.0,
        "video arrives: {}",
        partner.report
    );
}

fn y4m(header: &str, frames: &[&[u8]]) -> Vec<u8> {
    let mut data = format!("{header}\n").into_bytes();
    for frame in frames {
        data.extend(b"FRAME\n");
        data.extend(*frame);
    }

    data
}

#[test]
fn broken_video_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let frame = [128_u8; 64 * 48 * 3 / 2];
    let cases: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        (
            "noise",
            (0..4096_u32)
                .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect(),
        ),
        ("no size", y4m("YUV4MPEG2 F25:1 C420jpeg", &[&frame])),
        ("size zero", y4m("YUV4MPEG2 W0 H0 F25:1 C420jpeg", &[])),
        (
            "absurd size",
            y4m(
                "YUV4MPEG2 W4000000000 H4000000000 F25:1 C420jpeg",
                &[&frame],
            ),
        ),
        (
            "unknown pixel format",
            y4m("YUV4MPEG2 W64 H48 F25:1 C444p16", &[&frame]),
        ),
        (
            "no complete frame",
            y4m("YUV4MPEG2 W64 H48 F25:1 C420jpeg", &[&frame[..100]]),
        ),
    ];

    for (name, data) in cases {
        refuse_file(folder.path(), "--video", &format!("{name}.y4m"), &data);
    }
}

#[test]
fn broken_audio_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let header = |rate: u32, channels: u16| {
        let mut data = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00".to_vec();
        data.extend(channels.to_le_bytes());
        data.extend(rate.to_le_bytes());
        data.extend((rate.wrapping_mul(2)).to_le_bytes());
        data.extend(b"\x02\x00\x10\x00data\x00\x00\x00\x00");

        data
    };

    let cases: [(&str, Vec<u8>); 5] = [
        ("empty", Vec::new()),
        ("not audio", b"This is a letter, not audio.".to_vec()),
        ("cut in the header", header(48_000, 1)[..20].to_vec()),
        ("no channel", header(48_000, 0)),
        ("no rate", header(0, 1)),
    ];
    for (name, data) in cases {
        refuse_file(folder.path(), "--audio", &format!("{name}.wav"), &data);
    }
}

fn refuse_file(folder: &Path, option: &str, name: &str, data: &[u8]) {
    let path: PathBuf = folder.join(name);
    fs::write(&path, data).expect("a broken file");
    let file = path.to_string_lossy().into_owned();
    let arguments = [
        "--headless",
        "--pair",
        "--duration",
        "1s",
        "--report",
        "-",
        option,
        &file,
    ];
    let outcome = Tandem::run([&arguments, &SMALL[..]].concat()).expect("it ends by itself");

    assert!(
        matches!(outcome.code, Some(2 | 5)),
        "{name} is refused: exit {:?}\n{}",
        outcome.code,
        outcome.log
    );

    assert!(
        !outcome.log.contains("panicked at"),
        "{name}: it crashed:\n{}",
        outcome.log
    );

    let output = format!("{}{}", outcome.report, outcome.log);
    assert!(
        output.contains(name),
        "{name}: the message names the file: {output}"
    );
}

/// Follows the advice of the refusal in a shell, with the file in place of `input` and with `output`
/// in place of the new file's name. Returns the new file.
fn follow_advice(folder: &Path, option: &str, file: &str, input: &str, output: &str) -> String {
    let arguments = ["--headless", "--pair", "--duration", "1s", "--report", "-"];
    let refused =
        Tandem::run([&arguments[..], &SMALL, &[option, file]].concat()).expect("it ends by itself");
    let text = format!("{}{}", refused.report, refused.log);
    let (_, advice) = text
        .split_once("ffmpeg -i ")
        .unwrap_or_else(|| panic!("{file} is refused with advice: {text}"));
    let end = advice.find(output).expect("the name of the new file");
    let new = folder.join(format!("new{output}"));
    let command = format!("ffmpeg -nostdin -y -i {advice}", advice = &advice[..end])
        .replace(&format!("-i {input} "), &format!("-i '{file}' "));

    let done = std::process::Command::new("sh")
        .args(["-c", &format!("{command} '{}'", new.display())])
        .output()
        .expect("a shell");
    assert!(done.status.success(), "{command}: {done:?}");
    new.to_string_lossy().into_owned()
}

#[test]
fn the_advice_for_files_that_cannot_be_played_works() {
    require!(Part::Ffmpeg);
    let folder = tempfile::tempdir().expect("a folder");
    let make = |name: &str, arguments: &[&str]| {
        let path = folder.path().join(name).to_string_lossy().into_owned();
        let done = std::process::Command::new("ffmpeg")
            .args(["-nostdin", "-y", "-f", "lavfi"])
            .args(arguments)
            .arg(&path)
            .output()
            .expect("ffmpeg runs");
        assert!(done.status.success(), "{name}: {done:?}");
        path
    };

    let interlaced =
        "testsrc=s=320x240:d=0.5:r=50,tinterlace=interleave_top,setfield=tff,format=yuv420p";
    let wide = "testsrc=s=5000x20:d=0.2,format=yuv420p";
    let fast = "testsrc=s=64x48:d=0.2:r=1000,format=yuv444p";
    let videos = [
        make(
            "interlaced.y4m",
            &["-i", interlaced, "-flags", "+ildct", "-field_order", "tt"],
        ),
        make("wide.y4m", &["-i", wide]),
        make("fast.y4m", &["-strict", "-1", "-i", fast]),
    ];
    let sine = ["-i", "sine=d=1"];
    let sounds = [
        make("law.wav", &[&sine[..], &["-c:a", "pcm_mulaw"]].concat()),
        make("adpcm.wav", &[&sine[..], &["-c:a", "adpcm_ms"]].concat()),
    ];

    let tries = videos
        .iter()
        .map(|file| ("--video", file, "VIDEO", "FILE.y4m"))
        .chain(
            sounds
                .iter()
                .map(|file| ("--audio", file, "AUDIO", "FILE.wav")),
        );
    for (option, file, input, output) in tries {
        let new = follow_advice(folder.path(), option, file, input, output);
        let arguments = ["--headless", "--pair", "--duration", "1s", "--report", "-"];
        let played = Tandem::run([&arguments[..], &SMALL, &[option, &new]].concat())
            .expect("it ends by itself");
        assert_eq!(played.code, Some(0), "{file}: {}", played.log);
    }
}

#[test]
fn files_with_odd_sizes_or_a_cut_off_end_play_their_complete_frames() {
    let folder = tempfile::tempdir().expect("a folder");
    let odd = |value: u8| vec![value; 319 * 179 + 2 * 160 * 90];
    let (dark, bright) = (odd(60), odd(180));
    let path = folder.path().join("odd.y4m");
    fs::write(
        &path,
        y4m(
            "YUV4MPEG2 W319 H179 F30:1 C420jpeg",
            &[&dark, &bright, &dark[..1000]],
        ),
    )
    .expect("a file");
    let file = path.to_string_lossy().into_owned();
    let arguments = [
        "--pair",
        "--duration",
        "3s",
        "--video",
        &file,
        "--speaker",
        "none",
    ];

    let outcome = Tandem::start(arguments)
        .expect("starts")
        .finish(TIMEOUT)
        .expect("it ends");

    assert!(
        !outcome.log.contains("panicked at"),
        "it crashed:\n{}",
        outcome.log
    );

    let peer = outcome.peer(1);
    assert!(
        peer.figure("/video/received/frames") > 20.0,
        "the complete frames arrive: {}",
        peer.report
    );

    let (width, height) = (
        peer.figure("/video/received/width"),
        peer.figure("/video/received/height"),
    );

    assert!(
        (318.0..=320.0).contains(&width) && (178.0..=180.0).contains(&height),
        "about its size: {width}x{height}"
    );
}

#[test]
fn garbage_from_the_server_is_survived() {
    let server = RogueServer::start(vec![
        "this is not JSON".into(),
        "[1, 2, 3]".into(),
        "null".into(),
        json!({ "type": "no_such_type", "x": 1 }).to_string(),
        json!({ "type": "partner_found" }).to_string(),
        json!({ "type": "webrtc_offer", "from": 7, "offer": [] }).to_string(),
        json!({ "type": "error", "code": "no_such_code", "message": "?" }).to_string(),
        "[".repeat(50_000),
        format!(
            "{{\"type\":\"error\",\"code\":\"internal\",\"message\":\"{}\"}}",
            "x".repeat(10_000_000)
        ),
    ])
    .expect("a misbehaving server");

    let arguments = [
        "--signaling",
        &server.url(),
        "--room",
        "rogue",
        "--wait",
        "4s",
    ];

    let outcome = Tandem::start([&arguments, &SMALL[..]].concat())
        .expect("starts")
        .finish(TIMEOUT)
        .expect("it ends");
    assert!(server.garbage_sent(), "the client received the garbage");
    assert!(
        matches!(outcome.code, Some(3 | 4)),
        "there was no call and no crash: {}",
        outcome.report
    );
    assert_clear(&outcome, "a misbehaving server");
}

/// Tandem meets a partner who sends this as its offer or, if Tandem offers, as its answer.
fn meet(description: &serde_json::Value) -> Outcome {
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let arguments = ["--signaling", &url, "--room", "rogue", "--duration", "3s"];
    let tandem = Tandem::start([&arguments, &SMALL[..]].concat()).expect("starts");
    let partner =
        Partner::meet(server.address(), "rogue", description).expect("the partner is matched");
    let outcome = tandem
        .finish(TIMEOUT)
        .expect("it does not wait forever for such a partner");
    drop(partner);

    outcome
}

#[test]
fn a_partner_without_a_common_codec_ends_the_call_with_a_reason() {
    let sdp = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n\
        a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
        a=rtpmap:96 THEORA/90000\r\n";
    let outcome = meet(&json!({ "type": "offer", "sdp": sdp }));
    assert_eq!(outcome.code, Some(4), "no connection: {}", outcome.report);
    assert_clear(&outcome, "no common codec");
}

#[test]
fn a_partner_with_a_broken_description_ends_the_call_with_a_reason() {
    for description in [
        json!({ "type": "offer", "sdp": "v=0\r\nbroken" }),
        json!("what?"),
        json!({ "sdp": 5 }),
    ] {
        let outcome = meet(&description);
        assert_eq!(
            outcome.code,
            Some(4),
            "{description}: no connection: {}",
            outcome.report
        );
        assert_clear(&outcome, "a broken description");
    }
}
