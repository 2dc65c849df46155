//! Voices through a sound server, a call and a sound server again: ALSA's default devices at both ends.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tandem_tests::process::wait_until;
use tandem_tests::speech::{self, Voice};
use tandem_tests::{Part, PulseAudio, Relay, Tandem, pulse, require, signal, wav};

const PATIENCE: Duration = Duration::from_secs(90);

/// Plain sound: what goes in should come out, so nothing but what a test is about may change it.
const PLAIN: [&str; 4] = ["--noise-suppression", "off", "--gain-control", "off"];

/// Waits until a recording of the call holds `seconds` of sound.
fn wait_for_sound(path: &Path, seconds: u64) {
    let enough = || {
        fs::metadata(path)
            .is_ok_and(|file| file.len() > seconds * 96_000)
            .then_some(())
    };

    wait_until("sound is being recorded", PATIENCE, enough).expect("the call comes about");
}

#[test]
fn a_sentence_goes_from_the_microphone_to_the_partners_speaker() {
    require!(Part::PulseAudio, Part::Speech);
    let folder = tempfile::tempdir().expect("a folder");
    let sentence =
        speech::say(folder.path(), "near", Voice::Male, speech::NEAR).expect("a sentence");
    let sound = PulseAudio::start().expect("the sound server starts");
    let environment = sound.environment();
    let heard = folder
        .path()
        .join("heard.wav")
        .to_string_lossy()
        .into_owned();
    let relay = Relay::start().expect("the relay starts");
    let url = relay.url();
    let common = ["--signaling", &url, "--room", "voice", "--video", "none"];
    let speaks = [
        "--audio",
        "microphone",
        "--speaker",
        "none",
        "--echo-cancellation",
        "off",
    ];

    let hears = [
        "--audio",
        "none",
        "--speaker",
        "default",
        "--record-audio",
        &heard,
    ];
    let mut talker = Tandem::start_in(&environment, [&common[..], &speaks, &PLAIN].concat())
        .expect("the talker starts");
    let listener = Tandem::start_in(&environment, [&common[..], &hears].concat())
        .expect("the listener starts");
    wait_for_sound(Path::new(&heard), 1);

    let recording = sound.record(pulse::SPEAKER).expect("the recorder starts");
    let before = (
        Instant::now(),
        talker
            .process()
            .time_on_core("microphone")
            .expect("it reads the microphone"),
    );
    let mut player = sound
        .play(&sentence, pulse::MOUTH)
        .expect("the player starts");
    player.wait(PATIENCE).expect("the sentence ends");
    let after = talker
        .process()
        .time_on_core("microphone")
        .expect("it still does");
    let took = after
        .checked_sub(before.1)
        .expect("the microphone was not opened anew");
    let share = took.as_secs_f64() / before.0.elapsed().as_secs_f64();

    assert!(
        share < 0.02,
        "reading waits for sound instead of turning: {:.1} % of a core",
        share * 100.0
    );

    recording
        .wait_for_more(Duration::from_secs(1))
        .expect("the server goes on");
    let recorded = recording.finish().expect("a recording");
    talker.process().signal(libc::SIGINT);
    talker
        .finish(PATIENCE)
        .expect("it ends")
        .assert_ok("the talker");

    listener
        .finish(PATIENCE)
        .expect("it ends")
        .assert_ok("the listener");

    let said = wav::read(&sentence).expect("the sentence");
    let likeness = likeness(&said, &recorded);
    println!(
        "{:.0} % of the sentence's parts are heard as said, median correlation {:.2}",
        likeness.0 * 100.0,
        likeness.1
    );

    assert!(
        likeness.0 >= 0.9,
        "nine tenths of the sentence are understood: {likeness:?}"
    );
}

/// The share of parts of 400 ms of `said`, silence left out, that are found in `heard` with a correlation of 0.6 or
/// more; and the median correlation. Parts, because a jitter buffer may stretch the pauses between them.
fn likeness(said: &[f32], heard: &[f32]) -> (f64, f64) {
    const PART: usize = 19_200;
    let parts: Vec<&[f32]> = said
        .chunks_exact(PART)
        .filter(|part| signal::rms_db(part) > -40.0)
        .collect();

    assert!(
        parts.len() >= 5,
        "a sentence is longer than {} parts",
        parts.len()
    );

    let found: Vec<f64> = parts
        .iter()
        .map(|part| signal::find(part, heard).correlation)
        .collect();

    let good = found
        .iter()
        .filter(|correlation| **correlation >= 0.6)
        .count();

    (
        good as f64 / parts.len() as f64,
        signal::median(&found).unwrap_or(0.0),
    )
}

/// What the far end hears while it speaks itself, and the near end perhaps, too.
struct EchoCall {
    sound: PulseAudio,
    folder: tempfile::TempDir,
}

impl EchoCall {
    fn new() -> Self {
        let sound = PulseAudio::start().expect("the sound server starts");
        // A laptop on a desk: its microphone hears its loudspeaker half as loud as the person in front of it.
        sound.open_echo_path(20, 9).expect("the echo path opens");
        Self {
            sound,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn sentence(&self, name: &str, voice: Voice, text: &str) -> PathBuf {
        speech::say(self.folder.path(), name, voice, text).expect("a sentence")
    }

    /// One call: the far end says `far` again and again. When the canceller has had 5 s, `near` is said at the near
    /// end. Gives what the far end received from then on.
    fn hold(&self, cancel: bool, far: Option<&Path>, near: Option<&Path>) -> Vec<f32> {
        const SETTLING_S: u64 = 5;
        let name = format!(
            "far-heard-{cancel}-{}-{}.wav",
            far.is_some(),
            near.is_some()
        );
        let heard = self.folder.path().join(name);
        let file = heard.to_string_lossy().into_owned();
        let far = far.map_or_else(
            || String::from("none"),
            |path| path.to_string_lossy().into_owned(),
        );
        let relay = Relay::start().expect("the relay starts");
        let url = relay.url();
        let common = ["--signaling", &url, "--room", "echo", "--video", "none"];
        let switch = if cancel { "on" } else { "off" };
        let near_end = [
            "--audio",
            "microphone",
            "--speaker",
            "default",
            "--echo-cancellation",
            switch,
        ];

        let far_end = [
            "--audio",
            &far,
            "--speaker",
            "none",
            "--record-audio",
            &file,
        ];
        let environment = self.sound.environment();
        let mut near_peer =
            Tandem::start_in(&environment, [&common[..], &near_end, &PLAIN].concat())
                .expect("the near end starts");
        let far_peer = Tandem::start_in(&environment, [&common[..], &far_end].concat())
            .expect("the far end starts");
        wait_for_sound(&heard, SETTLING_S);

        if let Some(near) = near {
            let mut player = self
                .sound
                .play(near, pulse::MOUTH)
                .expect("the player starts");
            player.wait(PATIENCE).expect("the sentence ends");
        }

        wait_for_sound(&heard, SETTLING_S + 9);
        near_peer.process().signal(libc::SIGINT);
        near_peer
            .finish(PATIENCE)
            .expect("it ends")
            .assert_ok("the near end");

        far_peer
            .finish(PATIENCE)
            .expect("it ends")
            .assert_ok("the far end");
        let samples = wav::read(&heard).expect("a recording of the far end");
        samples[SETTLING_S as usize * 48_000..].to_vec()
    }
}

#[test]
fn the_far_end_does_not_hear_itself() {
    require!(Part::PulseAudio, Part::Speech);
    let call = EchoCall::new();
    let far = call.sentence("far", Voice::Female, speech::FAR);
    let echo = signal::rms_db(&call.hold(false, Some(&far), None));
    let cancelled = signal::rms_db(&call.hold(true, Some(&far), None));
    println!("echo {echo:.1} dB without cancellation, {cancelled:.1} dB with");

    assert!(
        echo > -50.0,
        "without cancellation the far end hears itself: {echo:.1} dB"
    );

    assert!(
        echo - cancelled >= 20.0,
        "at least 20 dB less with it: {echo:.1} dB, then {cancelled:.1} dB"
    );
}

#[test]
fn the_near_end_is_heard_while_both_speak() {
    require!(Part::PulseAudio, Part::Speech);
    let call = EchoCall::new();
    let far = call.sentence("far", Voice::Female, speech::FAR);
    let near = call.sentence("near", Voice::Male, speech::NEAR);
    let alone = call.hold(true, None, Some(&near));
    let both = call.hold(true, Some(&far), Some(&near));
    let said = wav::read(&near).expect("the sentence");
    let (alone, both) = (speech_gain_db(&said, &alone), speech_gain_db(&said, &both));
    println!("near-end speech {alone:.1} dB when it speaks alone, {both:.1} dB in double talk");

    assert!(
        alone > -12.0,
        "speaking alone it is heard about as loud as it is: {alone:.1} dB"
    );

    assert!(
        alone - both <= 3.0,
        "double talk costs at most 3 dB: {alone:.1} dB, then {both:.1} dB"
    );
}

/// How loud `said` is in `heard`, in dB: the energy of its parts as they are found there, each by projection, so that
/// whatever else is heard does not count. Short parts, because a jitter buffer and a drift correction move them.
fn speech_gain_db(said: &[f32], heard: &[f32]) -> f64 {
    const PART: usize = 1_200;
    const SLACK: usize = 4_800;
    let whole = signal::find(said, heard);
    let (mut original, mut found) = (0.0, 0.0);

    for (index, part) in said
        .chunks_exact(PART)
        .enumerate()
        .filter(|(_, part)| signal::rms_db(part) > -45.0)
    {
        let from = (whole.offset + index * PART).saturating_sub(SLACK);
        let to = (from + PART + 2 * SLACK).min(heard.len());

        if to.saturating_sub(from) < PART {
            continue;
        }

        let energy: f64 = part.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let gain = signal::find(part, &heard[from..to]).gain.max(0.0);
        original += energy;
        found += energy * gain * gain;
    }

    10.0 * (found / original).log10()
}
