//! Windows with the microphones and speakers of a PulseAudio server, and one without any device.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests with real devices run in real time"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tandem_tests::process::wait_until;
use tandem_tests::pulse::{HEADPHONES, HEADSET, HEADSET_FEED, MICROPHONE_FEED, SPEAKER};
use tandem_tests::speech::{self, Voice};
use tandem_tests::window::{Home, TIMEOUT};
use tandem_tests::{Part, PulseAudio, Screen, ServerProcess, Tandem, Window, require, signal, wav};

/// Level above which a device or the partner counts as heard, in dB of full scale.
const AUDIBLE_DB: f64 = -45.0;

/// The value of the level meter, 0 to 100.
fn level(window: &Window) -> u32 {
    let level = window
        .attribute("#level", "aria-valuenow")
        .expect("the page answers")
        .expect("the meter has a value");
    level.parse().expect("the value is a number")
}

/// The highest value of the level meter while a sentence plays into a microphone.
fn level_while_saying(window: &Window, pulse: &PulseAudio, sentence: &Path, feed: &str) -> u32 {
    wait_until("the meter falls to 0", TIMEOUT, || {
        (level(window) == 0).then_some(())
    })
    .expect("it is silent before");
    let mut player = pulse.play(sentence, feed).expect("the player starts");
    let mut highest = 0;

    while player.is_running() {
        highest = highest.max(level(window));
    }

    highest
}

/// Presses the button for the speaker test and returns its level on the speaker and on the
/// headphones, in dB.
fn speaker_test_levels(window: &Window, pulse: &PulseAudio) -> [f64; 2] {
    let recordings =
        [SPEAKER, HEADPHONES].map(|sink| pulse.record(sink).expect("the recorder starts"));
    window.press("test-speaker").expect("the button is there");
    recordings[0]
        .wait_for_more(Duration::from_secs(4))
        .expect("the recorder keeps running");

    recordings.map(|recording| signal::rms_db(&recording.finish().expect("a recording")))
}

#[test]
fn the_level_meter_and_the_speaker_test_use_the_chosen_devices() {
    require!(Part::Window, Part::PulseAudio, Part::Speech);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sentence = speech::say(folder.path(), "phrase", Voice::Male, speech::PHRASE)
        .expect("the sentence is synthesized");
    let (screen, pulse) = (
        Screen::start().expect("Xvfb starts"),
        PulseAudio::start().expect("PulseAudio starts"),
    );
    let home = Home::new()
        .expect("a home folder")
        .with_sound_server(&pulse);
    let window = Window::open_as(home, &screen, &["--video", "test"]).expect("the window opens");
    window
        .wait_for_screen("lobby")
        .expect("the window opens in the lobby");
    let listening = || (pulse.listeners().ok()? == 1).then_some(());
    wait_until("the window listens to the microphone", TIMEOUT, listening)
        .expect("the meter needs it");

    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        assert_eq!(level(&window), 0, "the meter is at 0 while nobody speaks");
    }

    let shown = level_while_saying(&window, &pulse, &sentence, MICROPHONE_FEED);
    assert!(shown > 30, "the meter shows speech: {shown}");

    let shown = level_while_saying(&window, &pulse, &sentence, HEADSET_FEED);
    assert_eq!(shown, 0, "the meter ignores the other microphone");

    window
        .choose("#microphone", HEADSET)
        .expect("the menu offers the headset");
    window
        .wait_for_state("/settings/microphone", &json!(HEADSET))
        .expect("the headset is chosen");
    let shown =
        || (level_while_saying(&window, &pulse, &sentence, HEADSET_FEED) > 30).then_some(());
    wait_until("the meter shows speech into the headset", TIMEOUT, shown)
        .expect("the headset is in use");
    let shown = level_while_saying(&window, &pulse, &sentence, MICROPHONE_FEED);
    assert_eq!(shown, 0, "the meter now ignores the first microphone");

    window
        .choose("#microphone", "none")
        .expect("the menu offers no microphone");
    let released = || (pulse.listeners().ok()? == 0).then_some(());
    wait_until("the app stops reading the microphone", TIMEOUT, released)
        .expect("the microphone is released");

    let [speaker, headphones] = speaker_test_levels(&window, &pulse);
    assert!(
        speaker > AUDIBLE_DB,
        "the test sound plays on the default speaker: {speaker:.0} dB"
    );
    assert!(
        headphones < -90.0,
        "the headphones are silent: {headphones:.0} dB"
    );

    window
        .choose("#speaker", HEADPHONES)
        .expect("the menu offers the headphones");
    window
        .wait_for_state("/settings/speaker", &json!(HEADPHONES))
        .expect("the headphones are chosen");
    let [speaker, headphones] = speaker_test_levels(&window, &pulse);
    assert!(
        headphones > AUDIBLE_DB,
        "the test sound plays on the headphones: {headphones:.0} dB"
    );
    assert!(speaker < -90.0, "the speaker is silent: {speaker:.0} dB");
    assert_eq!(
        window.state().expect("the app answers")["problems"],
        json!([]),
        "no problem is reported"
    );
}

/// A window in a call with a headless partner that sends the test tone and records the audio it
/// receives.
struct DeviceCall {
    window: Window,
    pulse: PulseAudio,
    /// The partner's recording: mono, 16 bits, 48 kHz.
    heard: PathBuf,
}

impl DeviceCall {
    /// The level at the partner while `sentence` plays into a microphone, in dB.
    fn level_at_partner(&self, sentence: &Path, feed: &str) -> f64 {
        let length = || fs::metadata(&self.heard).map_or(0, |file| file.len());
        let samples = |bytes: u64| usize::try_from(bytes / 2).expect("a short recording");
        let before = length();
        let mut player = self.pulse.play(sentence, feed).expect("the player starts");
        player.wait(TIMEOUT).expect("the player finishes");
        let wanted = length() + 96_000;
        wait_until("another second is recorded", TIMEOUT, || {
            (length() >= wanted).then_some(())
        })
        .expect("the call continues");
        let all = fs::read(&self.heard).expect("a recording");
        let all: Vec<f32> = all[44..]
            .chunks_exact(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
            .collect();

        signal::rms_db(&all[samples(before).min(all.len())..])
    }

    /// The level of the partner on the speaker and on the headphones, in dB.
    fn local_levels(&self) -> [f64; 2] {
        let recordings =
            [SPEAKER, HEADPHONES].map(|sink| self.pulse.record(sink).expect("the recorder starts"));
        recordings[0]
            .wait_for_more(Duration::from_secs(3))
            .expect("the recorder keeps running");
        recordings.map(|recording| {
            let samples = recording.finish().expect("a recording");
            // The last two seconds.
            signal::rms_db(&samples[samples.len().saturating_sub(96_000)..])
        })
    }
}

#[test]
fn microphone_and_speaker_can_be_changed_during_a_call() {
    require!(Part::Window, Part::PulseAudio, Part::Speech);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sentence = speech::say(folder.path(), "phrase", Voice::Male, speech::PHRASE)
        .expect("the sentence is synthesized");
    let (screen, pulse) = (
        Screen::start().expect("Xvfb starts"),
        PulseAudio::start().expect("PulseAudio starts"),
    );
    let server = ServerProcess::start().expect("the server starts");
    let (url, heard) = (server.url(), folder.path().join("heard.wav"));
    let recording = heard.to_string_lossy().into_owned();
    let bot = [
        "--signaling",
        &url,
        "--room",
        "sound",
        "--size",
        "320x180",
        "--speaker",
        "none",
    ];
    let bot =
        Tandem::start([&bot[..], &["--audio", "test", "--record-audio", &recording]].concat())
            .expect("tandem starts");
    let home = Home::new()
        .expect("a home folder")
        .with_sound_server(&pulse);
    let arguments = ["--video", "test", "--size", "320x180", "--signaling", &url];
    let window = Window::open_as(home, &screen, &arguments).expect("the window opens");
    window
        .fill("#room-code", "sound")
        .expect("the code can be typed");
    window.press("call-with-code").expect("the button is there");
    window
        .wait_for_screen("in-call")
        .expect("the call connects");
    let call = DeviceCall {
        window,
        pulse,
        heard,
    };

    let is_recording = || {
        fs::metadata(&call.heard)
            .is_ok_and(|file| file.len() > 96_000)
            .then_some(())
    };

    wait_until("the partner records audio", TIMEOUT, is_recording)
        .expect("the partner's engine runs");

    let [speaker, headphones] = call.local_levels();
    assert!(
        speaker > AUDIBLE_DB,
        "the partner plays on the speaker: {speaker:.0} dB"
    );
    assert!(
        headphones < -90.0,
        "the headphones are silent: {headphones:.0} dB"
    );

    let level = call.level_at_partner(&sentence, MICROPHONE_FEED);
    assert!(
        level > AUDIBLE_DB,
        "speech into the chosen microphone reaches the partner: {level:.0} dB"
    );

    let level = call.level_at_partner(&sentence, HEADSET_FEED);
    assert!(
        level < AUDIBLE_DB - 10.0,
        "speech into the other microphone does not: {level:.0} dB"
    );

    call.window.press("settings").expect("the button is there");
    call.window
        .choose("#microphone", HEADSET)
        .expect("the menu offers the headset");
    call.window
        .choose("#speaker", HEADPHONES)
        .expect("the menu offers the headphones");
    call.window
        .press("close-settings")
        .expect("the button is there");
    let has_moved = || call.local_levels()[1].gt(&AUDIBLE_DB).then_some(());
    wait_until("the partner plays on the headphones", TIMEOUT, has_moved)
        .expect("the speaker change takes effect");
    let [speaker, headphones] = call.local_levels();
    assert!(
        speaker < -90.0,
        "the speaker is silent: {speaker:.0} dB; headphones {headphones:.0} dB"
    );

    let level = call.level_at_partner(&sentence, HEADSET_FEED);
    assert!(
        level > AUDIBLE_DB,
        "speech into the headset reaches the partner now: {level:.0} dB"
    );

    let level = call.level_at_partner(&sentence, MICROPHONE_FEED);
    assert!(
        level < AUDIBLE_DB - 10.0,
        "speech into the first microphone no longer does: {level:.0} dB"
    );
    assert_eq!(
        call.window.screen().expect("the page answers"),
        "in-call",
        "the call continues"
    );
    assert_eq!(
        call.window.state().expect("the app answers")["problems"],
        json!([]),
        "no problem is reported"
    );

    call.window.press("hang-up").expect("the button is there");
    call.window
        .wait_for_screen("ended")
        .expect("the call is over");
    let released = || (call.pulse.listeners().ok()? == 0).then_some(());
    wait_until("the app stops reading the microphone", TIMEOUT, released)
        .expect("the microphone is released");
    bot.finish(TIMEOUT)
        .expect("the partner exits")
        .assert_ok("the partner");

    assert!(
        wav::read(&call.heard).expect("a recording").len() > 48_000,
        "the recording is complete and holds over a second"
    );
}

#[test]
fn a_user_without_devices_can_still_watch_and_listen() {
    require!(Part::Window, Part::NoCamera);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );
    let url = server.url();
    let home = Home::new()
        .expect("a home folder")
        .without_audio_devices()
        .expect("the configuration is written");
    let window = Window::open_as(home, &screen, &["--signaling", &url])
        .expect("the window opens without devices");
    window
        .wait_for_screen("lobby")
        .expect("the window opens in the lobby");

    for (menu, code) in [("camera", "CAM_NOT_FOUND"), ("microphone", "MIC_NOT_FOUND")] {
        // The problem is shown in the field of the menu that could solve it.
        let card = format!(".device:has(#{menu}) [data-problem=\"{code}\"]");
        window
            .wait_for_element(&card)
            .expect("the missing device is reported next to its menu");
        window
            .run(
                "document.querySelector(arguments[0]).open = true;",
                &json!([format!("{card} details")]),
            )
            .expect("the card has details");
        assert_eq!(
            window
                .text(&format!("{card} .problem-code"))
                .expect("the page answers"),
            code,
            "the details show the code"
        );

        let todo = window
            .text(&format!("{card} .problem-todo"))
            .expect("the page answers");
        assert!(
            todo.ends_with('.') && todo.matches('.').count() == 1,
            "the card says one thing to do: {todo}"
        );
    }

    let bot = [
        "--signaling",
        &url,
        "--room",
        "watch",
        "--size",
        "640x360",
        "--speaker",
        "none",
        "--name",
        "Bea",
    ];
    let bot = Tandem::start([&bot[..], &["--duration", "10s"]].concat()).expect("tandem starts");
    window
        .fill("#room-code", "watch")
        .expect("the code can be typed");
    window
        .press("call-with-code")
        .expect("the button is enabled without devices");
    window
        .wait_for_screen("in-call")
        .expect("the call connects");
    window
        .wait_for_frames("#remote", 30)
        .expect("the partner's video is shown");
    window
        .wait_for_state("/screen/encrypted", &json!(true))
        .expect("the call is encrypted like any other");
    let local = window.text("#self-view").expect("the page answers");
    assert_eq!(
        local.trim(),
        "No video",
        "the place of the local video says that there is none"
    );

    window
        .wait_for_element("[data-problem=\"CAM_NOT_FOUND\"]")
        .expect("the call still shows why there is no video");
    let outcome = bot.finish(TIMEOUT).expect("the bot exits after its 10 s");
    outcome.assert_ok("the peer whose partner sends nothing");

    assert!(
        outcome.figure("/timingsMs/connected") > 0.0,
        "the bot connected"
    );
    assert!(
        outcome.figure("/video/sent/frames") > 100.0,
        "the bot kept sending video"
    );

    let frame = &outcome.report["timingsMs"]["firstRemoteFrame"];
    assert!(frame.is_null(), "the bot received no frame: {frame}");

    window.wait_for_screen("ended").expect("the call is over");
    assert_eq!(
        window.state().expect("the app answers")["screen"]["reason"],
        "PARTNER_LEFT",
        "the partner hung up properly"
    );
}
