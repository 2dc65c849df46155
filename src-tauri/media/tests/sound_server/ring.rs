//! The ring tone, as the sound server's monitors hear it.

use std::f64::consts::TAU;
use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use tandem_tests::pulse::{HEADPHONES, SPEAKER};
use tandem_tests::{Part, PulseAudio, require, signal};

use crate::remote::Remote;

/// Everything quieter is silence, in dB.
const SILENCE_DB: f64 = -80.0;

/// Level of one frequency in a recording at 48 kHz, in dB relative to full scale.
fn level_db(samples: &[f32], frequency: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = TAU * frequency * n as f64 / 48_000.0;
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }

    let amplitude = 2.0 * f64::hypot(re, im) / samples.len() as f64;
    20.0 * amplitude.max(1e-10).log10()
}

/// Where the sound is in a recording.
fn sound(recorded: &[f32]) -> Range<usize> {
    let is_loud = |sample: &f32| sample.abs() > 1e-3;
    let start = recorded.iter().position(is_loud).expect("a sound");
    let end = recorded.iter().rposition(is_loud).expect("a sound");
    start..end + 1
}

#[test]
fn a_ring_is_heard_on_the_chosen_speaker_only() {
    require!(Part::PulseAudio);
    let pulse = PulseAudio::start().expect("the sound server starts");
    let mut remote = Remote::start(&pulse);
    let [chosen, other] =
        [HEADPHONES, SPEAKER].map(|sink| pulse.record(sink).expect("the recorder starts"));

    let ring = json!({"do": "ring", "sound": "found", "speaker": HEADPHONES, "once": true});
    let result = remote.ring(&ring);
    assert_eq!(result, json!({"Ok": null}), "the whole sound was played");

    chosen
        .wait_for_more(Duration::from_millis(500))
        .expect("the server keeps running");
    let heard = chosen.finish().expect("a recording");
    let other = other.finish().expect("a recording");
    let chime = &heard[sound(&heard)][..48_000];
    for pitch in [587.33, 880.0] {
        assert!(
            level_db(chime, pitch) > level_db(chime, 700.0) + 20.0,
            "{pitch} Hz is a note of the chime: {:.0} dB, between the notes {:.0}",
            level_db(chime, pitch),
            level_db(chime, 700.0)
        );
    }

    assert!(
        signal::rms_db(&other) < SILENCE_DB,
        "the default speaker is silent"
    );
}

#[test]
fn a_stopped_ring_fades_out_and_has_released_the_speaker() {
    require!(Part::PulseAudio);
    let pulse = PulseAudio::start().expect("the sound server starts");
    let mut remote = Remote::start(&pulse);
    let recording = pulse.record(SPEAKER).expect("the recorder starts");

    // Stopped in the middle of the held tone, where a cut would click.
    remote.tell(&json!({"do": "ring", "sound": "ringback"}));
    recording.wait_for_sound(1e-2).expect("the tone is heard");
    recording
        .wait_for_more(Duration::from_millis(300))
        .expect("the tone goes on");
    remote.tell(&json!({"do": "stop ringing"}));
    let streams = pulse
        .control(&["list", "short", "sink-inputs"])
        .expect("the server answers");
    assert_eq!(streams, "", "the speaker is free");

    recording
        .wait_for_more(Duration::from_millis(500))
        .expect("the server keeps running");
    let heard = recording.finish().expect("a recording");
    let tone = sound(&heard);
    println!("the tone was heard for {} ms", tone.len() / 48);

    // The last 10 ms, and the first sample of silence, to which a cut would jump.
    let last = &heard[tone.end - 480..=tone.end];
    let step = last
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .fold(0.0, f32::max);
    let (before, end) = (
        signal::rms_db(&heard[tone.end - 4_800..tone.end - 480]),
        signal::rms_db(&heard[tone.end - 24..tone.end]),
    );
    // Depending on its phase, a cut tone has up to 3 dB less in half a millisecond, and a faded one 10
    // to 25.
    assert!(
        step < 0.02 && end < before - 6.0,
        "the tone fades, it is not cut: its largest step at the end is {step}, and its last \
         half millisecond has {end:.0} dB after {before:.0}"
    );
}

#[test]
fn a_ring_on_a_missing_speaker_reports_it() {
    require!(Part::PulseAudio);
    let pulse = PulseAudio::start().expect("the sound server starts");
    let mut remote = Remote::start(&pulse);

    let ring = json!({"do": "ring", "sound": "incoming", "speaker": "no such speaker"});
    let result = remote.ring(&ring);
    assert_eq!(result, json!({"Err": "SPEAKER_NOT_FOUND"}));
}
