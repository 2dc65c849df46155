//! A window with a microphone and loudspeakers that can be heard, and one with no device at all.

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
use tandem_tests::pulse::{HEADPHONES, HEADSET, HEADSET_MOUTH, MOUTH, SPEAKER};
use tandem_tests::speech::{self, Voice};
use tandem_tests::window::{Home, PATIENCE};
use tandem_tests::{Part, PulseAudio, Screen, ServerProcess, Tandem, Window, require, signal, wav};

/// Louder than this is a sound, softer is none (dB of full scale).
const AUDIBLE_DB: f64 = -45.0;

/// What the level meter shows, 0 to 100.
fn level(window: &Window) -> u32 {
    let level = window
        .attribute("#level", "aria-valuenow")
        .expect("a page")
        .expect("a meter");
    level.parse().expect("a number")
}

/// The highest level while a sentence is said into a microphone.
fn level_while_saying(window: &Window, sound: &PulseAudio, sentence: &Path, mouth: &str) -> u32 {
    wait_until("the meter falls back", PATIENCE, || {
        (level(window) == 0).then_some(())
    })
    .expect("silence before");
    let mut player = sound.play(sentence, mouth).expect("the player starts");
    let mut highest = 0;

    while player.is_running() {
        highest = highest.max(level(window));
    }

    highest
}

/// Presses the speaker test and gives how loud it was on the speaker and on the headphones.
fn heard_at_speaker_test(window: &Window, sound: &PulseAudio) -> [f64; 2] {
    let recordings =
        [SPEAKER, HEADPHONES].map(|sink| sound.record(sink).expect("the recorder starts"));
    window.press("test-speaker").expect("a button");
    recordings[0]
        .wait_for_more(Duration::from_secs(4))
        .expect("the chime is long over");

    recordings.map(|recording| signal::rms_db(&recording.finish().expect("a recording")))
}

#[test]
fn the_level_meter_and_the_speaker_test_use_the_chosen_devices() {
    require!(Part::Window, Part::PulseAudio, Part::Speech);
    let folder = tempfile::tempdir().expect("a folder");
    let sentence =
        speech::say(folder.path(), "near", Voice::Male, speech::NEAR).expect("a sentence");
    let (screen, sound) = (
        Screen::start().expect("a screen"),
        PulseAudio::start().expect("a sound server"),
    );
    let home = Home::new().expect("a user").with_sound(&sound);
    let window = Window::open_as(home, &screen, &["--video", "test"]).expect("a window");
    window.wait_for_screen("lobby").expect("the lobby");
    let listening = || (sound.listeners().ok()? == 1).then_some(());
    wait_until("the window listens to the microphone", PATIENCE, listening).expect("for its meter");

    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(level(&window), 0, "nobody speaks");
    }

    let shown = level_while_saying(&window, &sound, &sentence, MOUTH);
    assert!(shown > 30, "speech is seen on the meter: {shown}");
    let shown = level_while_saying(&window, &sound, &sentence, HEADSET_MOUTH);

    assert_eq!(shown, 0, "the other microphone was not chosen");

    window
        .choose("#microphone", HEADSET)
        .expect("the menu offers the headset");
    window
        .wait_for_state("/settings/microphone", &json!(HEADSET))
        .expect("it is chosen");
    let shown =
        || (level_while_saying(&window, &sound, &sentence, HEADSET_MOUTH) > 30).then_some(());
    wait_until("speech into the headset is seen", PATIENCE, shown).expect("now it is the one");
    let shown = level_while_saying(&window, &sound, &sentence, MOUTH);

    assert_eq!(shown, 0, "and the first is not any more");

    window
        .choose("#microphone", "none")
        .expect("there is a way to do without");
    let released = || (sound.listeners().ok()? == 0).then_some(());
    wait_until("nobody listens any more", PATIENCE, released).expect("the microphone is released");

    let [speaker, headphones] = heard_at_speaker_test(&window, &sound);
    assert!(
        speaker > AUDIBLE_DB,
        "the chime comes out of the default speaker: {speaker:.0} dB"
    );
    assert!(headphones < -90.0, "and of no other: {headphones:.0} dB");
    window
        .choose("#speaker", HEADPHONES)
        .expect("the menu offers the headphones");
    window
        .wait_for_state("/settings/speaker", &json!(HEADPHONES))
        .expect("they are chosen");
    let [speaker, headphones] = heard_at_speaker_test(&window, &sound);

    assert!(
        headphones > AUDIBLE_DB,
        "now it comes out of the headphones: {headphones:.0} dB"
    );
    assert!(speaker < -90.0, "and of nothing else: {speaker:.0} dB");
    assert_eq!(
        window.state().expect("a state")["problems"],
        json!([]),
        "nothing went wrong"
    );
}

/// A window in a call with somebody who records what they hear and sends a test sound.
struct CallWithSound {
    window: Window,
    sound: PulseAudio,
    /// What the partner hears: mono, 16 bits, 48 kHz.
    heard: PathBuf,
}

impl CallWithSound {
    /// How loud it is at the partner while `sentence` is said into a microphone.
    fn at_partner(&self, sentence: &Path, mouth: &str) -> f64 {
        let length = || fs::metadata(&self.heard).map_or(0, |file| file.len());
        let samples = |bytes: u64| usize::try_from(bytes / 2).expect("a short recording");
        let before = length();
        let mut player = self.sound.play(sentence, mouth).expect("the player starts");
        player.wait(PATIENCE).expect("the sentence ends");
        let wanted = length() + 96_000;
        wait_until("the partner hears more", PATIENCE, || {
            (length() >= wanted).then_some(())
        })
        .expect("the call goes on");
        let all = fs::read(&self.heard).expect("a recording");
        let all: Vec<f32> = all[44..]
            .chunks_exact(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
            .collect();

        signal::rms_db(&all[samples(before).min(all.len())..])
    }

    /// How loud the partner is on the speaker and on the headphones.
    fn here(&self) -> [f64; 2] {
        let recordings =
            [SPEAKER, HEADPHONES].map(|sink| self.sound.record(sink).expect("the recorder starts"));
        recordings[0]
            .wait_for_more(Duration::from_secs(3))
            .expect("the server goes on");
        recordings.map(|recording| {
            let samples = recording.finish().expect("a recording");
            // The newest two seconds.
            signal::rms_db(&samples[samples.len().saturating_sub(96_000)..])
        })
    }
}

#[test]
fn microphone_and_speaker_change_in_a_call() {
    require!(Part::Window, Part::PulseAudio, Part::Speech);
    let folder = tempfile::tempdir().expect("a folder");
    let sentence =
        speech::say(folder.path(), "near", Voice::Male, speech::NEAR).expect("a sentence");
    let (screen, sound) = (
        Screen::start().expect("a screen"),
        PulseAudio::start().expect("a sound server"),
    );
    let relay = ServerProcess::start().expect("a relay");
    let (url, heard) = (relay.url(), folder.path().join("heard.wav"));
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
            .expect("a partner");
    let home = Home::new().expect("a user").with_sound(&sound);
    let arguments = ["--video", "test", "--size", "320x180", "--signaling", &url];
    let window = Window::open_as(home, &screen, &arguments).expect("a window");
    window.fill("#room-code", "sound").expect("a code");
    window.press("call-with-code").expect("a button");
    window.wait_for_screen("in-call").expect("a call");
    let call = CallWithSound {
        window,
        sound,
        heard,
    };

    let recorded = || {
        fs::metadata(&call.heard)
            .is_ok_and(|file| file.len() > 96_000)
            .then_some(())
    };

    wait_until("the partner records", PATIENCE, recorded).expect("sound flows");

    let [speaker, headphones] = call.here();
    assert!(
        speaker > AUDIBLE_DB,
        "the partner is heard on the speaker: {speaker:.0} dB"
    );
    assert!(headphones < -90.0, "and nowhere else: {headphones:.0} dB");
    let level = call.at_partner(&sentence, MOUTH);

    assert!(
        level > AUDIBLE_DB,
        "what is said into the microphone reaches the partner: {level:.0} dB"
    );

    let level = call.at_partner(&sentence, HEADSET_MOUTH);
    assert!(
        level < AUDIBLE_DB - 10.0,
        "what is said into the other does not: {level:.0} dB"
    );

    call.window
        .press("settings")
        .expect("the menus are in the settings");
    call.window
        .choose("#microphone", HEADSET)
        .expect("a headset");
    call.window
        .choose("#speaker", HEADPHONES)
        .expect("headphones");
    call.window.press("close-settings").expect("a button");
    let moved = || call.here()[1].gt(&AUDIBLE_DB).then_some(());
    wait_until("the partner is heard on the headphones", PATIENCE, moved)
        .expect("the sound has moved");
    let [speaker, headphones] = call.here();

    assert!(
        speaker < -90.0,
        "nothing is left on the speaker: {speaker:.0} dB; {headphones:.0} dB"
    );

    let level = call.at_partner(&sentence, HEADSET_MOUTH);
    assert!(
        level > AUDIBLE_DB,
        "what is said into the headset reaches the partner now: {level:.0} dB"
    );

    let level = call.at_partner(&sentence, MOUTH);
    assert!(
        level < AUDIBLE_DB - 10.0,
        "what is said into the first does not: {level:.0} dB"
    );

    assert_eq!(
        call.window.screen().expect("a page"),
        "in-call",
        "the call has gone on"
    );

    assert_eq!(
        call.window.state().expect("a state")["problems"],
        json!([]),
        "nothing went wrong"
    );

    call.window.press("hang-up").expect("a button");
    call.window.wait_for_screen("ended").expect("over");
    let released = || (call.sound.listeners().ok()? == 0).then_some(());
    wait_until("nobody listens any more", PATIENCE, released).expect("the microphone is released");
    bot.finish(PATIENCE)
        .expect("the partner's call ends, too")
        .assert_ok("the partner");

    assert!(
        wav::read(&call.heard).expect("a recording").len() > 48_000,
        "the recording was finished properly"
    );
}

#[test]
fn without_any_device_one_can_still_watch_and_listen() {
    require!(Part::Window, Part::NoCamera);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        ServerProcess::start().expect("a relay"),
    );
    let url = relay.url();
    let home = Home::new()
        .expect("a user")
        .without_sound()
        .expect("without sound");
    let window = Window::open_as(home, &screen, &["--signaling", &url])
        .expect("a window opens all the same");
    window.wait_for_screen("lobby").expect("in the lobby");

    for (menu, code) in [("camera", "CAM_NOT_FOUND"), ("microphone", "MIC_NOT_FOUND")] {
        // In its place: in the same field as the menu that could help.
        let card = format!(".device:has(#{menu}) [data-problem=\"{code}\"]");
        window
            .wait_for_element(&card)
            .expect("what is missing is said where it is chosen");
        assert_eq!(
            window.text(&format!("{card} .problem-code")).expect("text"),
            code,
            "with its code"
        );

        let todo = window.text(&format!("{card} .problem-todo")).expect("text");
        assert!(
            todo.ends_with('.') && todo.matches('.').count() == 1,
            "and one thing to do: {todo}"
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
    let bot = Tandem::start([&bot[..], &["--duration", "10s"]].concat())
        .expect("somebody with test devices");
    window.fill("#room-code", "watch").expect("a code");
    window
        .press("call-with-code")
        .expect("a button that nothing disables");
    window.wait_for_screen("in-call").expect("a call");
    window
        .wait_for_pictures("#remote", 30)
        .expect("the partner is seen");
    window
        .wait_for_state("/screen/encrypted", &json!(true))
        .expect("it is a call like any other");
    let own = window.text("#self-view").expect("text");

    assert_eq!(
        own.trim(),
        "No video",
        "in place of the own picture it says that there is none"
    );

    window
        .wait_for_element("[data-problem=\"CAM_NOT_FOUND\"]")
        .expect("and why");
    let outcome = bot.finish(PATIENCE).expect("its time is over");
    outcome.assert_ok("somebody whose partner sends nothing");

    assert!(
        outcome.figure("/timingsMs/connected") > 0.0,
        "it was connected, too"
    );

    assert!(
        outcome.figure("/video/sent/frames") > 100.0,
        "and sent its picture all the time"
    );

    let picture = &outcome.report["timingsMs"]["firstRemoteFrame"];
    assert!(
        picture.is_null(),
        "and no picture came, for there was none: {picture}"
    );

    window.wait_for_screen("ended").expect("over");
    assert_eq!(
        window.state().expect("a state")["screen"]["reason"],
        "PARTNER_LEFT",
        "in an orderly way"
    );
}
