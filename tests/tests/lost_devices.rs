//! Devices that are in use or disappear, with kernel drivers in a guest machine: the call continues
//! with what is left.

#![cfg(unix)]

use std::time::Duration;

use serde_json::Value;
use tandem_tests::speech::{self, Voice};
use tandem_tests::{Guest, Part, built, require};

/// Runs in the guest. First another program holds both devices; then the camera and the microphone
/// are unplugged during a call.
const SCRIPT: &str = r#"
tandem=$1 server=$2 out=$3
. "$4"
start_server
speak "$out/said.wav"

ffmpeg -nostdin -loglevel error -f v4l2 -input_format yuyv422 -video_size 640x360 -i /dev/video0 -f rawvideo -y /tmp/held.raw &
holder=$!
arecord -q -D plughw:Loopback,1,0 -f S16_LE -r 48000 /tmp/held.wav &
recorder=$!
await 'a frame for the other program' 20 holds /tmp/held.raw 400000
await 'sound for the other program' 20 holds /tmp/held.wav 9600
"$tandem" devices > "$out/devices.txt" 2>&1
receiver taken-partner &
sender taken --duration 3s
echo $? > "$out/taken.exit"
wait $!
kill $holder $recorder
wait $holder $recorder

peer unplugged-partner --video none --audio none --speaker none --record-video "$out/before.y4m" &
partner=$!
sender unplugged --duration 20s &
sending=$!
await 'the first frames' 30 holds "$out/before.y4m" 1500000
echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind
await 'news of the camera' 20 grep -q CAM_UNPLUGGED "$out/unplugged.log"
echo snd_aloop.0 > /sys/bus/platform/drivers/snd_aloop/unbind &
await 'news of the microphone' 20 grep -q MIC_UNPLUGGED "$out/unplugged.log"
wait $sending
echo $? > "$out/unplugged.exit"
wait $partner
exit 0
"#;

/// Runs in the guest. Another program can open the camera exactly while the call has switched it
/// off.
const SWITCH: &str = r#"
tandem=$1 server=$2 out=$3
. "$4"
start_server
take() { timeout 10 ffmpeg -nostdin -loglevel error -f v4l2 -input_format yuyv422 -video_size 640x360 -i /dev/video0 -frames:v 2 -f rawvideo -y "$1"; }

peer partner --video none --audio none --speaker none --record-video "$out/seen.y4m" &
mkfifo /tmp/switch
"$out/camera_switch" ws://127.0.0.1:9000/ws guest < /tmp/switch > "$out/switch.txt" 2>&1 &
switch=$!
exec 3> /tmp/switch
await 'the first frames' 40 holds "$out/seen.y4m" 1000000
take /tmp/stolen.raw 2> /dev/null && fail 'the camera is in use and was given away'
echo off >&3
await 'the camera for another program' 20 take "$out/taken.raw"
kill -0 $switch || fail 'the call did not go on'
before=$(stat -c %s "$out/seen.y4m")
echo on >&3
await 'frames again' 40 holds "$out/seen.y4m" $((before + 1000000))
echo end >&3
await 'the end of the call' 20 grep -q ended "$out/switch.txt"
await "the partner's end" 20 test -s "$out/partner.json"
exit 0
"#;

/// Runs in the guest. The camera, which another program has left in YU12, and the microphone are
/// unplugged during a call, and plugged in again.
const RETURN: &str = r#"
tandem=$1 server=$2 out=$3
. "$4"
start_server
speak "$out/said.wav"
drivers=/sys/bus/platform/drivers
# Leaves the camera in a format that nokhwa has no name for.
ffmpeg -nostdin -loglevel error -f v4l2 -input_format yuv420p -video_size 640x360 -i /dev/video0 -frames:v 1 -f rawvideo -y /dev/null

peer partner --video none --audio none --speaker none --record-video "$out/seen.y4m" &
sender returned --duration 25s &
sending=$!
await 'the first frames' 40 holds "$out/seen.y4m" 1500000
echo vivid.0 > $drivers/vivid/unbind
await 'news of the camera' 20 grep -q CAM_UNPLUGGED "$out/returned.log"
echo snd_aloop.0 > $drivers/snd_aloop/unbind &
unbinding=$!
await 'news of the microphone' 20 grep -q MIC_UNPLUGGED "$out/returned.log"
wait $unbinding
before=$(stat -c %s "$out/seen.y4m")

echo vivid.0 > $drivers/vivid/bind
await 'the camera again' 20 grep -q 'video of the camera again' "$out/returned.log"
await 'frames again' 20 holds "$out/seen.y4m" $((before + 1500000))
echo snd_aloop.0 > $drivers/snd_aloop/bind
await 'the microphone again' 20 grep -q 'part of the audio works again' "$out/returned.log"
wait $sending
echo $? > "$out/returned.exit"
exit 0
"#;

#[test]
fn devices_that_are_plugged_in_again_are_used_again() {
    require!(Part::Guest, Part::Speech);
    let share = tempfile::tempdir().expect("a folder");
    speech::say(share.path(), "said", Voice::Male, speech::NEAR).expect("a sentence");
    let guest =
        Guest::script(share.path(), Duration::from_secs(330), RETURN).expect("the emulator starts");
    let (code, output) = guest.finish().expect("the guest exits in time");
    let text = |name: &str| std::fs::read_to_string(share.path().join(name)).unwrap_or_default();
    let record = || ["returned.log", "returned.json"].map(text).join("\n");
    assert_eq!(
        code,
        0,
        "every step of the script was reached\n{output}\n{}",
        record()
    );

    let report: Value =
        serde_json::from_str(&text("returned.json")).unwrap_or_else(|_| panic!("{}", record()));
    assert_eq!(text("returned.exit").trim(), "0", "all is well: {report:#}");
    let warnings = report["warnings"].to_string();
    for code in ["CAM_UNPLUGGED", "MIC_UNPLUGGED"] {
        assert!(
            warnings.contains(code),
            "what happened is in the report: {warnings}"
        );
    }
}

#[test]
fn a_camera_that_is_switched_off_is_free_for_other_programs() {
    require!(Part::Guest);
    let share = tempfile::tempdir().expect("a folder");
    std::fs::copy(
        built("examples/camera_switch"),
        share.path().join("camera_switch"),
    )
    .expect("the program");
    let guest =
        Guest::script(share.path(), Duration::from_secs(330), SWITCH).expect("the emulator starts");
    let (code, output) = guest.finish().expect("the guest exits in time");
    let text = |name: &str| std::fs::read_to_string(share.path().join(name)).unwrap_or_default();
    let record = || {
        ["switch.txt", "partner.log", "partner.json"]
            .map(text)
            .join("\n")
    };

    assert_eq!(
        code,
        0,
        "every step of the script was reached\n{output}\n{}",
        record()
    );
    assert_eq!(
        text("switch.txt").trim(),
        "ended",
        "no failure was reported"
    );
    let taken = std::fs::metadata(share.path().join("taken.raw")).map_or(0, |file| file.len());

    assert_eq!(
        taken,
        2 * 640 * 360 * 2,
        "the other program read two complete frames"
    );
}

#[test]
fn a_call_continues_without_devices_that_are_in_use_or_unplugged() {
    require!(Part::Guest, Part::Speech);
    let share = tempfile::tempdir().expect("a folder");
    speech::say(share.path(), "said", Voice::Male, speech::NEAR).expect("a sentence");
    let guest =
        Guest::script(share.path(), Duration::from_secs(330), SCRIPT).expect("the emulator starts");
    let (code, output) = guest.finish().expect("the guest exits in time");
    let text = |name: &str| std::fs::read_to_string(share.path().join(name)).unwrap_or_default();
    let record = || {
        [
            "taken.log",
            "unplugged.log",
            "unplugged.json",
            "devices.txt",
        ]
        .map(text)
        .join("\n")
    };

    assert_eq!(
        code,
        0,
        "every step of the script was reached\n{output}\n{}",
        record()
    );

    let report = |name: &str| -> Value {
        serde_json::from_str(&text(name)).unwrap_or_else(|_| panic!("{}", record()))
    };

    let taken = report("taken.json");
    assert_eq!(text("taken.exit").trim(), "5", "a device failed: {taken:#}");
    assert_eq!(
        taken["error"]["code"], "CAM_IN_USE",
        "the camera comes first: {taken:#}"
    );

    let warnings = taken["warnings"].to_string();
    assert!(
        warnings.contains("MIC_IN_USE"),
        "the microphone is reported as well: {warnings}"
    );

    assert!(
        taken["timingsMs"]["connected"].is_u64(),
        "the call took place: {taken:#}"
    );

    assert!(
        text("devices.txt").contains("vivid"),
        "a camera in use is still listed: {}",
        text("devices.txt")
    );

    let unplugged = report("unplugged.json");
    assert_eq!(
        text("unplugged.exit").trim(),
        "5",
        "a device failed: {unplugged:#}"
    );

    assert_eq!(
        unplugged["error"]["code"], "CAM_UNPLUGGED",
        "the camera was unplugged during the call: {unplugged:#}"
    );

    assert!(
        unplugged["warnings"].to_string().contains("MIC_UNPLUGGED"),
        "then the microphone: {unplugged:#}"
    );

    assert!(
        unplugged["video"]["sent"]["frames"].as_u64() > Some(0),
        "frames had been sent before: {unplugged:#}"
    );

    let held = unplugged["bitrate"]
        .as_array()
        .and_then(|it| it.last())
        .and_then(|it| it["t"].as_f64());

    assert!(
        held >= Some(18.0),
        "the call lasted its full time: {held:?} s"
    );

    let partner = report("unplugged-partner.json");
    assert_eq!(
        partner["error"],
        Value::Null,
        "the partner reports no error: {partner:#}"
    );
}
