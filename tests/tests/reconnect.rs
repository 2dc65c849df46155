//! Calls between programs that go on though a program, a server or the network stops for a while.

#![cfg(target_os = "linux")]

use std::time::Duration;

use tandem_tests::{Network, Part, ServerProcess, Tandem, built, require};

/// Limit for a call from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);

#[test]
fn a_call_goes_on_after_a_program_was_stopped() {
    require!(Part::Network);
    let network = Network::start(2).expect("a network of two");
    network.host(0).add_address("192.168.7.1/24").unwrap();
    network.host(1).add_address("192.168.7.2/24").unwrap();
    let mut command = network.host(0).command(built("tandem-signaling"));
    command.args(["--listen", "192.168.7.1:0"]);
    let server = ServerProcess::start_command(command).expect("the server listens");

    let mut peers = [0, 1].map(|number| {
        let url = server.url();
        let media = ["--video", "test", "--audio", "test", "--speaker", "none"];
        let call = ["--signaling", &url, "--room", "lid", "--duration", "25s"];
        let arguments = [&call[..], &media, &["--size", "640x360"]].concat();
        Tandem::start_on(network.host(number), arguments).expect("Tandem starts")
    });
    for peer in &mut peers {
        let connected = |line: &str| line.contains("connected to the partner").then_some(());
        peer.process()
            .wait_for_log(TIMEOUT, connected)
            .expect("they are in a call");
    }

    // As a laptop does whose lid is closed.
    peers[1].process().signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(10));
    peers[1].process().signal(libc::SIGCONT);

    for peer in peers {
        let outcome = peer.finish(TIMEOUT).expect("the call ends");
        assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.report, outcome.log);
        let frames = outcome.figure("/video/received/frames");
        assert!(
            frames > 15.0 * 30.0 * 0.7,
            "both before and after: {frames}"
        );
        let samples = outcome.report["bitrate"].as_array().expect("a list");
        let last = samples
            .last()
            .and_then(|sample| sample["receivedBps"].as_f64());
        assert!(last > Some(50_000.0), "at its end, media flows: {last:?}");
    }
}
