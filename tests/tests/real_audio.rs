//! Speech from a sound server through a call to a sound server, with ALSA's default devices at both
//! ends.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests with real devices run in real time"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tandem_tests::process::wait_until;
use tandem_tests::speech::{self, Voice};
use tandem_tests::{Part, PulseAudio, ServerProcess, Tandem, pulse, require, signal, wav};

const TIMEOUT: Duration = Duration::from_secs(90);

/// How long the echo canceller adapts before a test measures, in seconds.
const ADAPTATION_S: u64 = 5;
/// How long a test measures, in seconds.
const MEASURED_S: u64 = 9;
/// How many of the measured seconds a stall of the machine may spoil: a gap moves the echo, and
/// then the canceller has to find it again.
const SPOILED_S: usize = 2;

/// No audio processing except what a test is about, so that what goes in comes out.
const PLAIN: [&str; 4] = ["--noise-suppression", "off", "--gain-control", "off"];

/// Length of a recording in progress, in whole seconds.
fn recorded_s(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len() / 96_000)
}

/// Waits until a recording holds `seconds` of audio. It starts with the process, before the call
/// connects.
fn wait_for_audio(path: &Path, seconds: u64) {
    let enough = || {
        fs::metadata(path)
            .is_ok_and(|file| file.len() > seconds * 96_000)
            .then_some(())
    };

    wait_until("audio is being recorded", TIMEOUT, enough).expect("the audio engine runs");
}

#[test]
fn a_sentence_travels_from_the_microphone_to_the_partners_speaker() {
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
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
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
        .expect("the speaking side starts");
    let listener = Tandem::start_in(&environment, [&common[..], &hears].concat())
        .expect("the listening side starts");
    wait_for_audio(Path::new(&heard), 1);

    let recording = sound.record(pulse::SPEAKER).expect("the recorder starts");
    let before = (
        Instant::now(),
        talker
            .process()
            .time_on_core("microphone")
            .expect("a thread reads the microphone"),
    );
    let mut player = sound
        .play(&sentence, pulse::MICROPHONE_FEED)
        .expect("the player starts");
    player.wait(TIMEOUT).expect("the player finishes");
    let after = talker
        .process()
        .time_on_core("microphone")
        .expect("the thread still reads the microphone");
    let took = after
        .checked_sub(before.1)
        .expect("the microphone was not reopened");
    let share = took.as_secs_f64() / before.0.elapsed().as_secs_f64();

    assert!(
        share < 0.02,
        "the thread waits for audio instead of spinning: {:.1} % of a core",
        share * 100.0
    );

    recording
        .wait_for_more(Duration::from_secs(1))
        .expect("the server keeps running");
    let recorded = recording.finish().expect("a recording");
    talker.process().signal(libc::SIGINT);
    talker
        .finish(TIMEOUT)
        .expect("it ends")
        .assert_ok("the talker");

    listener
        .finish(TIMEOUT)
        .expect("it ends")
        .assert_ok("the listener");

    let said = wav::read(&sentence).expect("the sentence");
    let similarity = similarity(&said, &recorded);
    println!(
        "{:.0} % of the sentence's parts arrive intact, median correlation {:.2}",
        similarity.0 * 100.0,
        similarity.1
    );

    assert!(
        similarity.0 >= 0.9,
        "nine tenths of the sentence arrive intact: {similarity:?}"
    );
}

/// The share of 400 ms parts of `said` (without silence) that occur in `heard` with a correlation
/// of at least 0.6, and the median correlation. It compares parts because a jitter buffer may
/// stretch the pauses between them.
fn similarity(said: &[f32], heard: &[f32]) -> (f64, f64) {
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

/// A call in which the far end speaks and records what it hears, while the near end may speak too.
struct EchoCall {
    sound: PulseAudio,
    folder: tempfile::TempDir,
}

impl EchoCall {
    fn new() -> Self {
        let sound = PulseAudio::start().expect("the sound server starts");
        // Like a laptop on a desk: the microphone hears the loudspeaker half as loud as the person
        // in front of it.
        sound.open_echo_path(20, 9).expect("the echo path opens");
        Self {
            sound,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn sentence(&self, name: &str, voice: Voice, text: &str) -> PathBuf {
        speech::say(self.folder.path(), name, voice, text).expect("a sentence")
    }

    /// Holds one call. The far end plays `far` in a loop. After 5 s of it, in which the canceller
    /// adapts, the near end plays `near`. Returns what the far end received from then on: at least
    /// 9 s.
    fn hold(&self, cancel: bool, far: Option<&Path>, near: Option<&Path>) -> Vec<f32> {
        let name = format!(
            "far-heard-{cancel}-{}-{}.wav",
            far.is_some(),
            near.is_some()
        );
        let heard = self.folder.path().join(name);
        let file = heard.to_string_lossy().into_owned();
        let far_audio = far.map_or_else(
            || String::from("none"),
            |path| path.to_string_lossy().into_owned(),
        );
        let server = ServerProcess::start().expect("the server starts");
        let url = server.url();
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
            &far_audio,
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

        // The canceller adapts only while the far end is audible, which takes longer on a busy
        // machine: the recording starts before the call connects.
        let audible_s = if far.is_some() {
            self.wait_until_far_end_is_audible();
            recorded_s(&heard) + 1
        } else {
            0
        };

        let adapted_s = audible_s + ADAPTATION_S;
        wait_for_audio(&heard, adapted_s);

        if let Some(near) = near {
            let mut player = self
                .sound
                .play(near, pulse::MICROPHONE_FEED)
                .expect("the player starts");
            player.wait(TIMEOUT).expect("the player finishes");
        }

        wait_for_audio(&heard, adapted_s + MEASURED_S);
        near_peer.process().signal(libc::SIGINT);
        near_peer
            .finish(TIMEOUT)
            .expect("it ends")
            .assert_ok("the near end");

        far_peer
            .finish(TIMEOUT)
            .expect("it ends")
            .assert_ok("the far end");
        let samples = wav::read(&heard).expect("a recording of the far end");
        samples[adapted_s as usize * 48_000..].to_vec()
    }

    /// Waits until the near end's speaker plays the far end.
    fn wait_until_far_end_is_audible(&self) {
        let is_audible = || {
            let recording = self.sound.record(pulse::SPEAKER).ok()?;
            recording.wait_for_more(Duration::from_millis(500)).ok()?;
            (signal::rms_db(&recording.finish().ok()?) > -50.0).then_some(())
        };

        wait_until("the far end is audible", TIMEOUT, is_audible).expect("the call connects");
    }
}

#[test]
fn the_far_end_does_not_hear_itself() {
    require!(Part::PulseAudio, Part::Speech);
    let call = EchoCall::new();
    let far = call.sentence("far", Voice::Female, speech::FAR);
    let echo = undisturbed_level_db(&call.hold(false, Some(&far), None));
    let cancelled = undisturbed_level_db(&call.hold(true, Some(&far), None));
    println!("echo {echo:.1} dB without cancellation, {cancelled:.1} dB with");

    assert!(
        echo > -50.0,
        "without cancellation the far end hears itself: {echo:.1} dB"
    );

    assert!(
        echo - cancelled >= 20.0,
        "cancellation removes at least 20 dB: {echo:.1} dB, then {cancelled:.1} dB"
    );
}

/// The level of the measured seconds, without the loudest [`SPOILED_S`], in dB of full scale. In a
/// mean over all of them, 90 ms of uncancelled echo would outweigh the rest: they are 1 % of 9 s,
/// and 20 dB are a factor of 100.
fn undisturbed_level_db(samples: &[f32]) -> f64 {
    let measured = MEASURED_S as usize;
    let mut seconds: Vec<&[f32]> = samples.chunks_exact(48_000).take(measured).collect();
    assert_eq!(seconds.len(), measured, "the far end recorded long enough");

    seconds.sort_by(|a, b| signal::rms_db(a).total_cmp(&signal::rms_db(b)));
    seconds.truncate(measured - SPOILED_S);
    signal::rms_db(&seconds.concat())
}

#[test]
fn double_talk_keeps_the_near_end_audible() {
    require!(Part::PulseAudio, Part::Speech);
    let call = EchoCall::new();
    let far = call.sentence("far", Voice::Female, speech::FAR);
    let near = call.sentence("near", Voice::Male, speech::NEAR);
    let alone = call.hold(true, None, Some(&near));
    let both = call.hold(true, Some(&far), Some(&near));
    let said = wav::read(&near).expect("the sentence");
    let unsaid = wav::read(&far).expect("the sentence that nobody says in the first call");
    let chance = speech_gain_db(&unsaid, &alone);
    let (alone, both) = (speech_gain_db(&said, &alone), speech_gain_db(&said, &both));
    println!(
        "near-end speech: {alone:.1} dB alone, {both:.1} dB in double talk, {chance:.1} dB by chance"
    );

    assert!(
        alone > -12.0,
        "alone, the near end arrives at about its own level: {alone:.1} dB"
    );

    assert!(
        alone - chance >= 6.0,
        "a sentence that nobody says is not found: {chance:.1} dB"
    );

    assert!(
        alone - both <= 3.0,
        "double talk costs at most 3 dB: {alone:.1} dB, then {both:.1} dB"
    );
}

/// The level of `said` in `heard`, in dB: the energy of its parts, each found by projection so that
/// other audio does not count. The parts are short because the jitter buffer and drift correction
/// move them.
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
