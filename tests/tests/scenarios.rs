//! Calls over simulated links, as data: conditions, media, run, check.

#![cfg(unix)]

use std::time::Duration;

use tandem_tests::{Outcome, Tandem};

/// Limit for a call of ten seconds from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A call between two Tandems, the first of which has a link.
struct Scenario {
    /// What it is about, for the message of a failure.
    about: &'static str,
    /// The conditions, as `--link` takes them.
    link: &'static str,
    /// The media: the size of the test video.
    size: &'static str,
    /// The run: how long the call lasts.
    seconds: u32,
    /// What must hold for both sides.
    checks: &'static [Check],
}

/// What must hold for a side's report. No check says how fast this machine is.
#[derive(Debug, Clone, Copy)]
enum Check {
    /// Number at this pointer, at least.
    AtLeast(&'static str, f64),
    /// Number at this pointer, at most.
    AtMost(&'static str, f64),
    /// In the second half of the call, this side receives no more than this many bits per second.
    ReceivesAtMost(f64),
}

use Check::{AtLeast, AtMost, ReceivesAtMost};

const FRAMES: &str = "/video/received/frames";
const FROZEN: &str = "/video/received/frozenMs";
const RECOVERED: &str = "/video/received/recovered";
const PLIS: &str = "/video/received/plis";
const RTT: &str = "/route/rttMs";
const HEARD: &str = "/audio/received/packets";

const SCENARIOS: [Scenario; 10] = [
    Scenario {
        about: "good Wi-Fi is good enough for a call without a keyframe request",
        link: "home-wifi",
        size: "640x360",
        seconds: 8,
        checks: &[
            AtLeast(FRAMES, 80.0),
            AtLeast(HEARD, 200.0),
            AtMost(PLIS, 2.0),
        ],
    },
    Scenario {
        about: "random loss is repaired by retransmissions, hardly ever by keyframes",
        link: "rtt=50ms,loss=5%",
        size: "640x360",
        seconds: 8,
        checks: &[
            AtLeast(RECOVERED, 5.0),
            AtLeast(FRAMES, 60.0),
            AtMost(PLIS, 3.0),
        ],
    },
    Scenario {
        about: "a call over a satellite connects, and knows how far away the partner is",
        link: "satellite",
        size: "640x360",
        seconds: 8,
        checks: &[
            AtLeast(RTT, 600.0),
            AtLeast(FRAMES, 40.0),
            AtLeast(HEARD, 150.0),
        ],
    },
    Scenario {
        about: "congestion control stays below the rate of a narrow line",
        link: "rtt=40ms,rate=500k,queue=300ms",
        size: "640x360",
        seconds: 12,
        checks: &[AtLeast(FRAMES, 40.0), ReceivesAtMost(510e3)],
    },
    Scenario {
        // The video hardly comes: congestion control takes such loss for the path's own.
        about: "a policer lets no more than its rate through, and the sound goes on",
        link: "policer-512k",
        size: "640x360",
        seconds: 12,
        checks: &[AtLeast(HEARD, 300.0), ReceivesAtMost(560e3)],
    },
    Scenario {
        about: "an outage of two seconds freezes the video and does not end the call",
        link: "rtt=40ms;@4s outage=on;@6s outage=off",
        size: "640x360",
        seconds: 10,
        checks: &[AtLeast(FROZEN, 1_500.0), AtMost(FROZEN, 5_000.0)],
    },
    Scenario {
        about: "in a busy café the sound goes on, and video comes",
        link: "busy-cafe",
        size: "640x360",
        seconds: 8,
        checks: &[AtLeast(FRAMES, 40.0), AtLeast(HEARD, 250.0)],
    },
    Scenario {
        about: "an old DSL line carries a call without a queue in front of it",
        link: "dsl-500k",
        size: "640x360",
        seconds: 8,
        checks: &[
            AtLeast(FRAMES, 40.0),
            AtLeast(HEARD, 250.0),
            AtMost(RTT, 200.0),
        ],
    },
    Scenario {
        about: "a modem with a queue of a second does not fill it",
        link: "bufferbloat",
        size: "640x360",
        seconds: 8,
        checks: &[AtLeast(FRAMES, 80.0), AtMost(RTT, 400.0)],
    },
    Scenario {
        about: "a handover in a train interrupts a call for a moment",
        link: "lte-train",
        size: "640x360",
        seconds: 14,
        checks: &[
            AtLeast(FRAMES, 80.0),
            AtLeast(HEARD, 400.0),
            AtMost(FROZEN, 6_000.0),
        ],
    },
];

impl Check {
    /// What is wrong with this side, if anything.
    fn problem(self, side: &Outcome) -> Option<String> {
        let (holds, seen) = match self {
            AtLeast(pointer, least) => {
                let figure = side.figure(pointer);
                (figure >= least, figure)
            }
            AtMost(pointer, most) => {
                let figure = side.figure(pointer);
                (figure <= most, figure)
            }
            ReceivesAtMost(most) => {
                let figure = received_later(side);
                (figure > 0.0 && figure <= most, figure)
            }
        };

        (!holds).then(|| format!("{self:?}, and it is {seen}"))
    }
}

/// The mean of what a side received per second, in the second half of the call.
fn received_later(side: &Outcome) -> f64 {
    let samples = side.report["bitrate"].as_array().expect("a list");
    let later = &samples[samples.len() / 2..];
    let rates = later
        .iter()
        .filter_map(|sample| sample["receivedBps"].as_f64());
    rates.sum::<f64>() / later.len() as f64
}

fn run(scenario: &Scenario) -> Vec<String> {
    let duration = format!("{}s", scenario.seconds);
    let arguments = [
        "--pair",
        "--speaker",
        "none",
        "--size",
        scenario.size,
        "--duration",
        &duration,
        "--link",
        scenario.link,
    ];

    let call = Tandem::start(arguments).expect("Tandem starts");
    let outcome = call.finish(TIMEOUT).expect("the call ends");
    let mut problems = Vec::new();
    for number in 0..2 {
        let side = outcome.peer(number);
        if side.report["ok"] != true {
            problems.push(format!("peer {number} failed: {}", side.report["error"]));
            continue;
        }

        let wrong = scenario
            .checks
            .iter()
            .filter_map(|check| check.problem(&side));
        problems.extend(wrong.map(|problem| format!("peer {number}: {problem}")));
    }

    problems
}

#[test]
fn every_scenario_is_as_it_should_be() {
    let mut failed = Vec::new();
    for scenario in &SCENARIOS {
        // A busy machine can spoil one run, not two.
        let first = run(scenario);
        let problems = if first.is_empty() {
            first
        } else {
            run(scenario)
        };
        println!("{}: {}: {problems:?}", scenario.link, scenario.about);
        if !problems.is_empty() {
            failed.push(format!(
                "{} ({}): {problems:?}",
                scenario.about, scenario.link
            ));
        }
    }

    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
