//! The library in a process of its own: its sound server is named by environment variables, which a
//! process has only once. The process is this test program again, at a test that obeys commands.

use std::io::{BufRead, stdin};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_media::audio::{
    AudioDeviceWatch, AudioSink, MicrophoneMonitor, Repeat, RingOptions, RingSound, RingTone,
    list_microphones, list_speakers,
};
use tandem_media::error::MediaEvent;
use tandem_tests::{Process, PulseAudio};

const TIMEOUT: Duration = Duration::from_secs(30);
/// What a line with an answer or a report begins with. The test harness prints lines, too.
const ANSWER: &str = "remote: ";

/// The library under remote control.
pub(crate) struct Remote {
    process: Process,
    /// How many commands were sent.
    sent: usize,
}

impl Remote {
    /// Starts it with a sound server.
    pub(crate) fn start(pulse: &PulseAudio) -> Self {
        Self::start_with(pulse, None)
    }

    /// Starts it with a sound server, and another configuration for ALSA than the fixture's.
    pub(crate) fn start_with(pulse: &PulseAudio, alsa: Option<&Path>) -> Self {
        let test = std::env::current_exe().expect("a running test knows its own path");
        let mut command = Command::new(test);
        command
            .args(["--exact", "remote::obey", "--ignored", "--nocapture"])
            .envs(pulse.environment())
            .envs(alsa.map(|file| ("ALSA_CONFIG_PATH", file)));
        Self {
            process: Process::start_with_input(command).expect("the test program starts again"),
            sent: 0,
        }
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn tell(&mut self, command: &Value) -> Value {
        self.sent += 1;
        self.process
            .write_line(&command.to_string())
            .expect("the process reads commands");

        let number = self.sent;
        self.wait_for(|message| (message["answer"] == number).then(|| message["value"].clone()))
    }

    /// Waits for a message that `pick` accepts, also an earlier one.
    pub(crate) fn wait_for<T>(&self, pick: impl Fn(&Value) -> Option<T>) -> T {
        self.wait_within(TIMEOUT, pick)
            .expect("the process answers")
    }

    /// Like [`Remote::wait_for`], with a time limit and without a failure.
    pub(crate) fn wait_within<T>(
        &self,
        limit: Duration,
        pick: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, String> {
        self.process
            .wait_for_line(limit, |line| {
                pick(&serde_json::from_str(line.split_once(ANSWER)?.1).ok()?)
            })
            .map_err(|error| format!("{error:#}"))
    }

    /// Starts a ring and waits until it is over. Returns its result.
    pub(crate) fn ring(&mut self, ring: &Value) -> Value {
        let number = self.tell(ring);
        self.wait_for(|message| (message["ring"] == number).then(|| message["result"].clone()))
    }
}

/// Prints a message for [`Remote::wait_for`].
fn print(message: &Value) {
    println!("{ANSWER}{message}");
}

/// A speaker by name, or the default one.
fn sink(name: &Value) -> AudioSink {
    name.as_str()
        .map_or(AudioSink::Default, |name| AudioSink::Named(name.to_owned()))
}

/// Obeys the commands of a [`Remote`] until it closes the input.
#[test]
#[ignore = "the other tests start it in a process of its own"]
fn obey() {
    let (mut ring, mut watch, mut monitor) = (None, None, None);
    let mut rings = 0;

    for (number, line) in stdin().lock().lines().enumerate() {
        let command: Value = serde_json::from_str(&line.expect("a line")).expect("a command");
        let value = match command["do"].as_str().expect("a command has a name") {
            "ring" => {
                let options = RingOptions {
                    sound: match command["sound"].as_str().expect("a sound") {
                        "ringback" => RingSound::Ringback,
                        "found" => RingSound::Found,
                        _ => RingSound::Incoming,
                    },
                    sink: sink(&command["speaker"]),
                    volume: 1.0,
                    repeat: if command["once"] == true {
                        Repeat::Once
                    } else {
                        Repeat::UntilStopped
                    },
                };

                rings += 1;
                ring = Some(RingTone::start(
                    options,
                    Box::new(move |result| {
                        print(
                            &json!({"ring": rings, "result": result.map_err(|error| error.code)}),
                        );
                    }),
                ));
                json!(rings)
            }
            "stop ringing" => {
                ring = None;
                Value::Null
            }
            "list" => json!({
                "microphones": list_microphones().expect("a list"),
                "speakers": list_speakers().expect("a list"),
            }),
            "watch" => {
                let mut changes = 0;
                watch = Some(AudioDeviceWatch::start(Box::new(move || {
                    changes += 1;
                    print(&json!({"changes": changes}));
                })));
                Value::Null
            }
            "listen" => {
                monitor = Some(MicrophoneMonitor::start(
                    command["microphone"].as_str().map(str::to_owned),
                    Box::new(|level| print(&json!({"level": level.peak}))),
                    Arc::new(|event: MediaEvent| {
                        if let Some((_, error)) = event.into_failure() {
                            print(&json!({"failed": error.code}));
                        }
                    }),
                ));
                Value::Null
            }
            other => panic!("{other} is not a command"),
        };

        print(&json!({"answer": number + 1, "value": value}));
    }

    drop((ring, watch, monitor));
}
