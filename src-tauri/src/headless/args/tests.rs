use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::Cli;

fn parsed(arguments: &[&str]) -> Result<CallArgs, String> {
    let all = ["tandem", "--headless"].iter().chain(arguments);
    let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
    cli.call.check().map(|()| cli.call)
}

#[test]
fn the_defaults_are_a_720p_test_call() {
    let args = parsed(&[]).unwrap();
    assert_eq!(
        args.video_quality(),
        VideoQuality {
            format: VideoFormat {
                width: 1280,
                height: 720,
                fps: 30.0
            },
            codec: VideoCodec::H264,
            max_bitrate_bps: 2_500_000,
        },
        "720p30 in H.264 at 2.5 Mbit/s at most"
    );

    assert_eq!(
        (args.video.clone(), args.audio.clone()),
        (VideoSpec::Test, AudioSource::Test),
        "test signals"
    );

    assert_eq!(
        args.server_url().as_str(),
        "ws://127.0.0.1:9000/ws",
        "the signaling server of this machine"
    );

    assert_eq!(
        (args.wait, args.duration),
        (None, None),
        "the usual limits of a search, then none"
    );
    assert_eq!(
        args.processing(),
        Processing::default(),
        "all processing is on"
    );
}

#[test]
fn every_flag_of_the_contract_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let arguments = [
        "--signaling",
        "ws://server.example:9000",
        "--room",
        "blue-7",
        "--name",
        "Ada",
        "--video",
        "camera:1",
        "--audio",
        "microphone:Headset",
        "--speaker",
        "none",
        "--size",
        "640x480",
        "--fps",
        "25",
        "--codec",
        "h264",
        "--max-bitrate",
        "800k",
        "--duration",
        "10s",
        "--wait",
        "1m",
        "--report",
        "-",
        "--snapshot",
        &file("a.png"),
        "--record-video",
        &file("a.y4m"),
        "--record-audio",
        &file("a.wav"),
        "--log-level",
        "debug",
        "--echo-cancellation",
        "off",
        "--noise-suppression",
        "off",
        "--gain-control",
        "off",
    ];
    let args = parsed(&arguments).unwrap();

    assert_eq!(
        args.server_url().as_str(),
        "ws://server.example:9000/ws",
        "adds the path"
    );
    assert_eq!(args.processing(), Processing::OFF, "every switch is off");
    assert_eq!(args.speaker, Some(AudioSink::None), "no speaker");

    assert_eq!(
        (args.video_quality().codec, args.max_bitrate_bps),
        (VideoCodec::H264, Some(800_000)),
        "the chosen codec and bitrate"
    );

    assert!(
        !folder.path().join("a.png").exists(),
        "checking a path leaves nothing behind"
    );
}

#[test]
fn host_needs_no_address() {
    assert_eq!(
        parsed(&["--host"]).unwrap().host,
        "127.0.0.1:9000".parse().ok(),
        "listens on this machine only"
    );

    let given = parsed(&["--host", "0.0.0.0:0", "--room", "a"]).unwrap();
    assert_eq!(
        given.host,
        "0.0.0.0:0".parse().ok(),
        "listens on the given address"
    );
}

#[test]
fn bad_arguments_are_refused_with_what_is_wrong() {
    let cases: [(&[&str], &str); 17] = [
        (&["--host", "--signaling", "ws://a"], "--signaling"),
        (&["--pair", "--signaling", "ws://a"], "--signaling"),
        (&["--pair", "--host"], "--host"),
        (&["--host", "nowhere"], "127.0.0.1:9000"),
        (&["--size", "641x480"], "even"),
        (&["--size", "0x0"], "1280x720"),
        (&["--size", "8000x8000"], "3840x2160"),
        (&["--fps", "0"], "1 to 120"),
        (&["--fps", "NaN"], "1 to 120"),
        (&["--video", "clip.mp4"], ".y4m"),
        (&["--video", "missing.y4m"], "FILE_UNREADABLE"),
        (&["--audio", "missing.wav"], "FILE_UNREADABLE"),
        (&["--audio", "song.mp3"], "FILE.wav"),
        (&["--pair", "--video", "none", "--audio", "none"], "nothing"),
        (&["--pair", "--relay-only"], "TURN"),
        (&["--duration", "10d"], "unit"),
        (&["--echo-cancellation", "maybe"], "on or off"),
    ];

    for (arguments, expected) in cases {
        let error = parsed(arguments).expect_err("bad arguments");
        assert!(
            error.contains(expected),
            "{arguments:?} is refused with {expected:?}: {error}"
        );
    }
}

#[test]
fn a_corrupt_file_is_found_before_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("a.y4m");
    fs::write(&video, b"YUV4MPEG2 W16 H16 F30:1\nFRAME\nshort").unwrap();
    let audio = folder.path().join("a.wav");
    fs::write(&audio, b"RIFF????WAVEnonsense").unwrap();
    let error = parsed(&["--video", video.to_str().unwrap()]).unwrap_err();

    assert!(
        error.contains("FILE_BAD_FORMAT"),
        "the first frame is truncated: {error}"
    );

    let error = parsed(&["--audio", audio.to_str().unwrap()]).unwrap_err();
    assert!(error.contains("FILE_"), "the file holds no audio: {error}");
}

#[test]
fn an_unwritable_output_is_found_before_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let folder_name = at("");
    let cases: [(&[&str], &str); 6] = [
        (
            &["--report", &at("missing/report.json")],
            "cannot be written",
        ),
        (&["--report", &folder_name], "is a folder"),
        (&["--snapshot", &at("picture.jpg")], ".png"),
        (&["--record-video", &at("video.mkv")], ".y4m"),
        (
            &["--record-audio", &at("missing/a.wav")],
            "cannot be written",
        ),
        (
            &["--report", &at("a.png"), "--snapshot", &at("a.png")],
            "same file",
        ),
    ];

    for (arguments, expected) in cases {
        let error = parsed(arguments).expect_err("an output that cannot be written");
        assert!(
            error.contains(expected),
            "{arguments:?} is refused with {expected:?}: {error}"
        );
    }
}

#[test]
fn an_existing_file_is_kept_until_the_call_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    fs::write(&path, "old").unwrap();
    parsed(&["--report", path.to_str().unwrap()]).unwrap();

    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "old",
        "the check does not truncate it"
    );
}

#[test]
fn the_arguments_that_need_headless_are_marked() {
    let matches = Cli::command()
        .try_get_matches_from(["tandem", "--video", "test", "--room", "x", "--wait", "1s"])
        .unwrap();

    assert_eq!(
        given_headless_flags(&matches),
        ["--room", "--wait"],
        "the window knows --video"
    );

    let flags = headless_flags();
    for flag in ["--pair", "--host", "--relay-only", "--record-audio"] {
        assert!(flags.iter().any(|known| known == flag), "{flag}: {flags:?}");
    }

    for flag in ["--signaling", "--name", "--speaker", "--max-bitrate"] {
        assert!(flags.iter().all(|known| known != flag), "{flag}: {flags:?}");
    }
}
