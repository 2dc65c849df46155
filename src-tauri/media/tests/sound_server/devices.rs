//! The sound server's devices: their list, the choice of one, and changes.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_tests::pulse::{HEADPHONES, HEADSET, HEADSET_FEED, MICROPHONE, SPEAKER};
use tandem_tests::{Part, PulseAudio, require, signal};

use crate::remote::Remote;

/// Everything louder was played, in dB; everything quieter is silence.
const AUDIBLE_DB: f64 = -60.0;

/// Adds a speaker to the server and returns the number of its module.
fn plug_in(pulse: &PulseAudio, name: &str, description: &str) -> String {
    let name = format!("sink_name={name}");
    let properties = format!("sink_properties='device.description=\"{description}\"'");
    pulse
        .control(&["load-module", "module-null-sink", &name, &properties])
        .expect("the server adds a sink")
        .trim()
        .to_owned()
}

/// One kind of device of a list: id, name, and whether it is the default.
fn devices<'a>(list: &'a Value, kind: &str) -> Vec<(&'a str, &'a str, bool)> {
    let text = |device: &'a Value, key: &str| device[key].as_str().expect("a text");
    list[kind]
        .as_array()
        .expect("a list")
        .iter()
        .map(|device| {
            (
                text(device, "id"),
                text(device, "name"),
                device["default"] == true,
            )
        })
        .collect()
}

fn ids<'a>(list: &'a Value, kind: &str) -> Vec<&'a str> {
    devices(list, kind).into_iter().map(|(id, ..)| id).collect()
}

/// Plays the chime on a speaker, and returns its level on each of `sinks`, in dB.
fn levels<const N: usize>(
    pulse: &PulseAudio,
    remote: &mut Remote,
    speaker: &Value,
    sinks: [&str; N],
) -> [f64; N] {
    let recordings = sinks.map(|sink| pulse.record(sink).expect("the recorder starts"));
    let ring = json!({"do": "ring", "sound": "found", "speaker": speaker, "once": true});
    let result = remote.ring(&ring);
    assert_eq!(result, json!({"Ok": null}), "{speaker} plays the chime");

    recordings.map(|recording| {
        recording
            .wait_for_more(Duration::from_millis(500))
            .expect("the server keeps running");
        signal::rms_db(&recording.finish().expect("a recording"))
    })
}

#[test]
fn the_servers_devices_are_listed_under_their_descriptions() {
    require!(Part::PulseAudio);
    let pulse = PulseAudio::start().expect("the sound server starts");
    plug_in(&pulse, "living", "Living room");
    let mut remote = Remote::start(&pulse);

    let list = remote.tell(&json!({"do": "list"}));
    let speakers = devices(&list, "speakers");
    assert_eq!(speakers[0].0, SPEAKER, "the default is the first");
    assert!(speakers[0].2, "and marked");
    assert!(
        speakers.contains(&("living", "Living room", false)),
        "a sink has its description: {speakers:?}"
    );

    let microphones = ids(&list, "microphones");
    assert_eq!(
        microphones,
        [MICROPHONE, HEADSET],
        "the sources without the monitors, and nothing of ALSA's"
    );

    pulse
        .control(&["set-default-sink", "living"])
        .expect("the server obeys");
    let list = remote.tell(&json!({"do": "list"}));
    assert_eq!(
        devices(&list, "speakers")[0],
        ("living", "Living room", true),
        "the default is the server's"
    );
}

#[test]
fn the_chosen_speaker_plays_and_the_default_is_the_servers() {
    require!(Part::PulseAudio);
    let pulse = PulseAudio::start().expect("the sound server starts");
    plug_in(&pulse, "living", "Living room");
    let mut remote = Remote::start(&pulse);
    let sinks = ["living", SPEAKER, HEADPHONES];

    for (chosen, expected) in [
        (json!("living"), "living"),
        (json!("Living room"), "living"),
        (json!("living ro"), "living"),
        (Value::Null, SPEAKER),
        (json!("pulse"), SPEAKER),
        (json!("plughw:CARD=Unplugged,DEV=0"), SPEAKER),
        (json!(HEADPHONES), HEADPHONES),
    ] {
        let levels = levels(&pulse, &mut remote, &chosen, sinks);
        for (sink, level) in sinks.iter().zip(levels) {
            assert_eq!(
                level > AUDIBLE_DB,
                *sink == expected,
                "{chosen} is heard on {expected}, and on {sink} with {level:.0} dB"
            );
        }
    }

    pulse
        .control(&["set-default-sink", HEADPHONES])
        .expect("the server obeys");
    let [speaker, headphones] = levels(&pulse, &mut remote, &Value::Null, [SPEAKER, HEADPHONES]);
    assert!(
        headphones > AUDIBLE_DB && speaker < AUDIBLE_DB,
        "the default follows the server: {headphones:.0} and {speaker:.0} dB"
    );
}

#[test]
fn the_chosen_microphone_is_heard() {
    require!(Part::PulseAudio);
    let pulse = PulseAudio::start().expect("the sound server starts");
    let mut remote = Remote::start(&pulse);

    remote.tell(&json!({"do": "listen", "microphone": HEADSET}));
    remote.tell(&json!({"do": "ring", "sound": "incoming", "speaker": HEADSET_FEED}));
    remote.wait_for(|message| (message["level"].as_f64()? > 0.1).then_some(()));
}

/// A watch over the devices, and how many of its reports were used.
struct Watch<'a> {
    remote: &'a mut Remote,
    seen: u64,
}

impl<'a> Watch<'a> {
    /// Starts it and adds devices until it reports one: only what changes after its start counts.
    fn start(pulse: &PulseAudio, remote: &'a mut Remote) -> Self {
        remote.tell(&json!({"do": "watch"}));
        let mut watch = Self { remote, seen: 0 };
        let reports = (0..30).any(|number| {
            plug_in(pulse, &format!("early{number}"), "Early");
            watch.next_report(Duration::from_secs(1)).is_ok()
        });
        assert!(reports, "the watch reports a new device");

        watch
    }

    fn next_report(&mut self, limit: Duration) -> Result<(), String> {
        let seen = self.seen;
        self.seen = self.remote.wait_within(limit, |message| {
            message["changes"].as_u64().filter(|now| *now > seen)
        })?;
        Ok(())
    }

    /// Lists the devices after each report until the list `is_right`.
    fn wait_for_list(&mut self, is_right: impl Fn(&Value) -> bool) -> Value {
        loop {
            self.next_report(Duration::from_secs(30))
                .expect("the watch reports the change");
            let list = self.remote.tell(&json!({"do": "list"}));
            if is_right(&list) {
                return list;
            }
        }
    }
}

#[test]
fn devices_that_come_and_go_are_reported() {
    require!(Part::PulseAudio);
    let pulse = PulseAudio::start().expect("the sound server starts");
    let mut remote = Remote::start(&pulse);
    let mut watch = Watch::start(&pulse, &mut remote);

    let start = Instant::now();
    let module = plug_in(&pulse, "late", "A late speaker");
    watch.wait_for_list(|list| ids(list, "speakers").contains(&"late"));
    println!("a new speaker is listed after {:?}", start.elapsed());

    pulse
        .control(&["unload-module", &module])
        .expect("the server obeys");
    watch.wait_for_list(|list| !ids(list, "speakers").contains(&"late"));

    pulse
        .control(&["set-default-source", HEADSET])
        .expect("the server obeys");
    watch.wait_for_list(|list| devices(list, "microphones")[0].0 == HEADSET);
}

#[test]
fn without_a_sound_server_alsas_devices_are_listed() {
    require!(Part::PulseAudio);
    let folder = tempfile::tempdir().expect("a folder");
    let alsa = folder.path().join("asound.conf");
    // A device that ALSA lists, and that opens without a card and without a server.
    let device = "pcm.quiet { type null hint { show on description \"A quiet device\" } }";
    fs::write(&alsa, format!("</usr/share/alsa/alsa.conf>\n{device}\n")).expect("a configuration");

    let pulse = PulseAudio::start().expect("the sound server starts");
    let mut remote = Remote::start_with(&pulse, Some(&alsa));
    let list = remote.tell(&json!({"do": "list"}));
    assert!(
        !ids(&list, "speakers").contains(&"quiet"),
        "the server's devices hide ALSA's: {list}"
    );

    let mut watch = Watch::start(&pulse, &mut remote);
    drop(pulse);
    let list = watch.wait_for_list(|list| !ids(list, "speakers").contains(&SPEAKER));
    assert!(
        devices(&list, "speakers").contains(&("quiet", "A quiet device", false)),
        "ALSA's devices are back: {list}"
    );
}
