//! A call with a camera and a sound card that have kernel drivers, in a guest machine.

#![cfg(unix)]

use std::time::Duration;

use tandem_tests::speech::{self, Voice};
use tandem_tests::{Guest, Part, require, signal, wav, y4m};

/// Runs in the guest: saves a frame straight from the camera, then holds a call in which one peer
/// sends camera and microphone and the other records. The sound card's playback is looped back to
/// its microphone.
const SCRIPT: &str = r#"
tandem=$1 server=$2 out=$3
. "$4"
ffmpeg -nostdin -loglevel error -f v4l2 -input_format yuyv422 -video_size 640x360 -i /dev/video0 -frames:v 1 -pix_fmt yuv420p -strict -1 -y "$out/camera.y4m" || exit 90
"$tandem" devices --json > "$out/devices.json" 2> "$out/devices.log" || exit 91
start_server
speak "$out/said.wav"
sender sender --duration 12s &
sending=$!
receiver receiver --duration 12s --record-video "$out/received.y4m" --record-audio "$out/heard.wav"
received=$?
wait $sending; sent=$?
echo "sender $sent, receiver $received"
[ $sent = 0 ] && [ $received = 0 ]
"#;

/// Correlation that two recordings of the same 200 ms of speech reach; unrelated speech stays well
/// below.
const ALIKE: f64 = 0.75;

#[test]
fn a_camera_and_a_microphone_reach_the_partner() {
    require!(Part::Guest, Part::Speech);
    let share = tempfile::tempdir().expect("a folder");
    let file = |name: &str| share.path().join(name);
    speech::say(share.path(), "said", Voice::Male, speech::NEAR).expect("a sentence");
    speech::say(share.path(), "unsaid", Voice::Female, speech::FAR).expect("another sentence");
    let guest =
        Guest::script(share.path(), Duration::from_secs(330), SCRIPT).expect("the emulator starts");
    let (code, output) = guest.finish().expect("the guest exits in time");
    let text = |name: &str| std::fs::read_to_string(file(name)).unwrap_or_default();
    let record = || {
        [
            "sender.json",
            "sender.log",
            "receiver.json",
            "receiver.log",
            "devices.json",
            "devices.log",
        ]
        .map(text)
        .join("\n")
    };

    assert_eq!(
        code,
        0,
        "both sides of the call report success\n{output}\n{}",
        record()
    );

    let devices = text("devices.json");
    assert!(
        devices.contains("vivid"),
        "the list has the camera's name: {devices}"
    );

    let camera = y4m::Video::read(&file("camera.y4m")).expect("a frame straight from the camera");
    let received = y4m::Video::read(&file("received.y4m")).expect("a recording");
    assert_eq!(
        (received.width, received.height),
        (640, 360),
        "the camera's size"
    );

    assert!(
        received.frames.len() >= 50,
        "12 s at 5 frames per second: {} frames",
        received.frames.len()
    );

    // The upper third shows a clock; the rest does not move.
    let below_clock = 160 * 640;
    let last = received.frames.len() - 1;
    let psnr = signal::psnr(
        &camera.luma(0)[below_clock..],
        &received.luma(last)[below_clock..],
    );

    println!(
        "{} frames, PSNR-Y {psnr:.1} dB against the camera's own",
        received.frames.len()
    );

    assert!(
        psnr >= 30.0,
        "the received frame is the camera's: PSNR-Y {psnr:.1} dB"
    );

    // Parts of 200 ms, because the sentence repeats and the recording may begin anywhere in it.
    // Parts of another sentence in another voice show what is found by chance.
    let heard = wav::read(&file("heard.wav")).expect("a recording");
    let found = |sentence: &str| {
        let samples = wav::read(&file(sentence)).expect("a sentence");
        let parts = samples
            .chunks_exact(9_600)
            .filter(|part| signal::rms_db(part) > -30.0);
        parts
            .map(|part| signal::find(part, &heard).correlation)
            .collect::<Vec<f64>>()
    };

    let share =
        |found: &[f64]| found.iter().filter(|it| **it >= ALIKE).count() as f64 / found.len() as f64;
    let (said, unsaid) = (found("said.wav"), found("unsaid.wav"));
    println!(
        "parts found of the spoken sentence {:.2}, of the other {:.2}",
        share(&said),
        share(&unsaid)
    );

    assert!(
        share(&said) >= 0.8,
        "most of the sentence is recorded: {said:.2?}"
    );

    assert!(
        share(&unsaid) <= 0.03,
        "the other sentence is not found: {unsaid:.2?}"
    );
}
