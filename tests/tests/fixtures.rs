//! Tests of the fixtures themselves, so that other tests can trust them.

#![cfg(unix)]

use std::path::Path;
use std::time::Duration;

use tandem_tests::coturn::Allocation;
use tandem_tests::process::tool;
use tandem_tests::speech::{self, Voice};
use tandem_tests::{
    Browser, Coturn, Guest, Overlay, Part, PulseAudio, ServerProcess, browser, clip, pulse,
    require, signal, wav, y4m,
};

#[test]
fn the_speaker_can_be_recorded() {
    require!(Part::PulseAudio, Part::Speech);
    let folder = tempfile::tempdir().expect("a folder");
    let sentence =
        speech::say(folder.path(), "near", Voice::Male, speech::NEAR).expect("a sentence");
    let sound = PulseAudio::start().expect("the sound server starts");
    let recording = sound.record(pulse::SPEAKER).expect("the recorder starts");
    let mut player = sound
        .play(&sentence, pulse::SPEAKER)
        .expect("the player starts");

    assert_eq!(
        player.wait(Duration::from_secs(30)).expect("it ends"),
        Some(0),
        "the player plays the whole sentence"
    );

    recording
        .wait_for_more(Duration::from_secs(1))
        .expect("the server keeps running");
    let recorded = recording.finish().expect("a recording");
    let said = wav::read(&sentence).expect("the sentence");
    let found = signal::find(&said, &recorded);

    assert!(
        found.correlation > 0.95,
        "the recording matches what was played: {found:?}"
    );
}

#[test]
fn the_echo_path_carries_the_speaker_to_the_microphone() {
    require!(Part::PulseAudio, Part::Speech);
    let folder = tempfile::tempdir().expect("a folder");
    let sentence =
        speech::say(folder.path(), "far", Voice::Female, speech::FAR).expect("a sentence");
    let sound = PulseAudio::start().expect("the sound server starts");
    let play_and_record = || {
        let recording = sound
            .record(pulse::MICROPHONE_FEED)
            .expect("the recorder starts");
        let mut player = sound
            .play(&sentence, pulse::SPEAKER)
            .expect("the player starts");
        player
            .wait(Duration::from_secs(30))
            .expect("the player finishes");
        recording
            .wait_for_more(Duration::from_secs(1))
            .expect("the server keeps running");

        recording.finish().expect("a recording")
    };

    let silent = signal::rms_db(&play_and_record());
    assert!(
        silent < -90.0,
        "without an echo path the microphone hears nothing, but it heard {silent:.0} dB"
    );

    sound.open_echo_path(20, 9).expect("the echo path opens");
    let recorded = play_and_record();
    // Half a second of it: the server stretches time slightly to keep the delay, and a longer piece
    // would show that.
    let said = &wav::read(&sentence).expect("the sentence")[48_000..72_000];
    let found = signal::find(said, &recorded);

    assert!(
        found.correlation > 0.8,
        "with an echo path the microphone hears the speaker: {found:?}"
    );

    let heard = &recorded[found.offset..found.offset + said.len()];
    let loss = signal::rms_db(said) - signal::rms_db(heard);
    assert!(
        (loss - 9.0).abs() < 2.0,
        "the requested loss is applied: {loss:.1} dB"
    );
}

#[test]
fn the_guest_has_a_camera_and_a_sound_card() {
    require!(Part::Guest);
    let share = tempfile::tempdir().expect("a folder");
    let grab = "ffmpeg -nostdin -loglevel error -f v4l2 -video_size 640x480 -i /dev/video0 -frames:v 2 -pix_fmt yuv420p \
                -strict -1 -y \"$1/camera.y4m\" && arecord -l | grep -c Loopback && exit 7";
    let path = share.path().to_string_lossy().into_owned();
    let guest = Guest::run(
        share.path(),
        Duration::from_secs(150),
        ["bash", "-c", grab, "guest", &path],
    );

    let (code, output) = guest
        .expect("the emulator starts")
        .finish()
        .expect("the guest exits in time");

    assert_eq!(
        code, 7,
        "the guest passes on the command's exit code; it printed: {output}"
    );

    let camera =
        y4m::Video::read(&share.path().join("camera.y4m")).expect("the guest saved two frames");
    assert_eq!(
        (camera.width, camera.height, camera.frames.len()),
        (640, 480, 2),
        "frames of the camera's size"
    );

    let (darkest, brightest) = camera
        .luma(0)
        .iter()
        .fold((255, 0), |(low, high), y| (low.min(*y), high.max(*y)));

    assert!(
        brightest - darkest > 150,
        "the camera shows color bars: luma {darkest} to {brightest}"
    );
}

#[test]
fn a_clip_becomes_frames_with_motion() {
    require!(Part::Ffmpeg, Part::Clip("bikes.mp4"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("clip.y4m");
    clip::y4m("bikes.mp4", &path, (640, 272), 25, 50).expect("ffmpeg converts the clip");
    let video = y4m::Video::read(&path).expect("a video");

    assert_eq!(
        (video.width, video.height, video.frames.len()),
        (640, 272, 50),
        "the requested size and length"
    );

    let between = |a, b| signal::psnr(video.luma(a), video.luma(b));
    let likest = (1..50)
        .map(|frame| between(frame - 1, frame))
        .fold(0.0, f64::max);
    assert!(
        likest < 45.0,
        "consecutive frames differ enough to be told apart: {likest}"
    );
}

#[test]
fn the_browsers_test_pattern_reader_passes_its_tests() {
    require!(Part::Chromium);
    let folder = tandem_tests::part::source("browser");
    tool("node", ["--test", &folder.to_string_lossy()])
        .expect("the browser scripts' unit tests pass");
}

#[test]
fn two_browsers_can_call_each_other() {
    require!(Part::Chromium);
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let options = browser::Options {
        kind: tandem_tests::guest_browser::Kind::Chromium,
        signaling: &url,
        room: "browsers",
        codec: "vp8",
        source: "pattern",
        oddity: browser::Oddity::None,
        seconds: 4,
    };

    let first = Browser::open(&options).expect("the first browser searches");
    let second = Browser::open(&options).expect("the second browser searches");
    let reports = [first, second].map(|browser| {
        browser
            .report(Duration::from_secs(60))
            .expect("the call connects and ends")
    });

    assert_ne!(
        reports[0]["initiator"], reports[1]["initiator"],
        "exactly one side makes the offer"
    );

    for report in &reports {
        assert_eq!(
            report["stats"]["videoReceived"]["codec"], "video/VP8",
            "the codec that both prefer: {report}"
        );

        let coded = report["seen"]["coded"].as_u64().expect("a count");
        assert!(
            coded >= 40,
            "most of 4 s at 30 frames/s carry a readable code, not {coded}: {report}"
        );

        assert_eq!(
            report["seen"]["disorder"], 0,
            "frames arrive in order: {report}"
        );

        assert!(
            report["stats"]["audioReceived"]["energy"].as_f64() > Some(0.0),
            "the fake microphone beeps: {report}"
        );
    }
}

#[test]
fn the_turn_server_relays_only_with_credentials() {
    require!(Part::Coturn);
    let server = Coturn::start("a secret of the test").expect("coturn starts");
    // The output of `printf 2000000000:tandem | openssl dgst -sha1 -hmac "a secret of the test"
    // -binary | base64`.
    let (user, credential) = ("2000000000:tandem", "yzLzPDb3WJeRzbyFQpOQnSaS1LE=");
    let relayed = server.allocate(user, credential).expect("the client runs");

    assert_eq!(
        relayed,
        Allocation::Relayed,
        "these credentials are valid until 2033"
    );
    let refused = server
        .allocate(user, "not the credential")
        .expect("the client runs");
    assert_eq!(
        refused,
        Allocation::Refused,
        "a wrong credential is refused"
    );

    assert!(
        server.log().contains("username=<2000000000:tandem>"),
        "the log names the user: {}",
        server.log()
    );
}

#[test]
fn changes_in_an_overlay_leave_nothing_behind() {
    require!(Part::Overlay);
    const FILE: &str = "/etc/tandem-overlay-test";
    let machine = Overlay::start().expect("a machine");
    machine
        .run("sh", ["-c", &format!("echo changed > {FILE}")])
        .expect("a command runs in the overlay");

    assert_eq!(
        machine.run("cat", [FILE]).expect("the file"),
        "changed\n",
        "the overlay shows the change"
    );
    assert!(!Path::new(FILE).exists(), "the machine itself is unchanged");
    drop(machine);
    let another = Overlay::start().expect("another machine");

    assert!(
        another.run("cat", [FILE]).is_err(),
        "a new overlay does not show it"
    );
}
