//! Calls that outlive the TURN credentials they began with, through the TURN server inside the
//! signaling server.

#![cfg(target_os = "linux")]

use std::time::Duration;

use serde_json::Value;
use tandem_tests::process::wait_until;
use tandem_tests::{Network, Part, ServerProcess, Tandem, Tap, built, require};

/// Limit for a call of some seconds from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);
const PEOPLE: [usize; 2] = [0, 1];
const SERVER: usize = 2;

/// Two people who reach the server, but not each other.
fn network() -> Network {
    let network = Network::with_addresses(&["10.1.0.1/24", "10.2.0.1/24", "10.1.0.3/24"])
        .expect("a network of three");
    let server = network.host(SERVER);
    server.add_address("10.2.0.3/24").expect("an address");
    server.without_ipv6().expect("IPv6 goes");
    for (number, gateway) in [(0, "10.1.0.3"), (1, "10.2.0.3")] {
        let host = network.host(number);
        host.without_ipv6().expect("IPv6 goes");
        host.set_gateway(gateway).expect("a gateway");
        // As of a machine with containers: nothing comes back to it.
        host.add_address("172.17.0.1/16").expect("an address");
    }
    network
}

/// The signaling server with TURN. Credentials for a call are valid for 8 s.
fn server(network: &Network) -> ServerProcess {
    let mut command = network.host(SERVER).command(built("tandem-signaling"));
    command.args([
        "--listen",
        "10.1.0.3:9000",
        "--turn-listen",
        "10.1.0.3:3478",
    ]);
    command.args(["--turn-ttl", "8s"]);
    ServerProcess::start_command(command).expect("the server listens on the host's address")
}

fn metric(network: &Network, server: &ServerProcess, name: &str) -> f64 {
    let host = network.host(SERVER);
    host.run(|| server.metric(name)).expect("a metric")
}

fn count(messages: &[Value], kind: &str) -> usize {
    let of_kind = |message: &&Value| message["type"] == kind;
    messages.iter().filter(of_kind).count()
}

/// Both people in a call that goes through `tap` for this long.
fn people(network: &Network, tap: &Tap, duration: &str) -> [Tandem; 2] {
    let url = tap.url();
    let arguments = [
        "--signaling",
        &url,
        "--room",
        "turn",
        "--duration",
        duration,
        "--size",
        "320x180",
        "--speaker",
        "none",
        "--wait",
        "30s",
    ];
    PEOPLE.map(|number| Tandem::start_on(network.host(number), arguments).expect("Tandem starts"))
}

fn tap(network: &Network, server: &ServerProcess) -> Tap {
    let host = network.host(SERVER);
    host.run(|| Tap::start_at("10.1.0.3:0", server.address()))
        .expect("a port")
}

/// Waits until this much more media than now has gone through.
fn wait_for_media(network: &Network, server: &ServerProcess) {
    let packets = || metric(network, server, "tandem_turn_joined_packets_total");
    let before = packets();
    wait_until("media through TURN", TIMEOUT, || {
        (packets() > before + 200.0).then_some(())
    })
    .expect("media flows");
}

/// Waits until both sides have asked for new credentials this often.
fn wait_for_renewals(tap: &Tap, times: usize) {
    let asked = count(&tap.said(), "get_ice_servers");
    wait_until("new credentials", TIMEOUT, || {
        (count(&tap.said(), "get_ice_servers") >= asked + 2 * times).then_some(())
    })
    .expect("they are asked for");
}

/// The library asks the TURN server from each of its sockets. Those on loopback and on the containers'
/// network get no answer.
#[test]
fn new_credentials_leave_the_allocations_of_a_call_alone() {
    require!(Part::Network);
    let network = network();
    let server = server(&network);
    let tap = tap(&network, &server);
    let people = people(&network, &tap, "24s");
    // Media flows, so all allocations that the call needs are there.
    wait_for_media(&network, &server);
    let made = metric(&network, &server, "tandem_turn_allocated_total");
    let open = metric(&network, &server, "tandem_turn_allocations");
    wait_for_renewals(&tap, 2);
    assert_eq!(
        metric(&network, &server, "tandem_turn_allocations"),
        open,
        "no allocation was given up"
    );

    for outcome in people.map(|person| person.finish(TIMEOUT).expect("the call ends by itself")) {
        outcome.assert_ok("a call longer than the first credentials are valid");
        outcome.assert_relayed("until the end");
    }
    assert_eq!(
        metric(&network, &server, "tandem_turn_allocated_total"),
        made,
        "and none was made anew"
    );
    assert_eq!(
        count(&tap.said(), "webrtc_offer"),
        1,
        "nobody had to look for another route"
    );
}

#[test]
fn a_call_that_looks_for_another_route_uses_the_newest_credentials() {
    require!(Part::Network);
    let network = network();
    let server = server(&network);
    let tap = tap(&network, &server);
    let people = people(&network, &tap, "40s");
    wait_for_media(&network, &server);
    let made = metric(&network, &server, "tandem_turn_allocated_total");
    // The first credentials have expired then: nobody gets an allocation with them.
    wait_for_renewals(&tap, 2);

    // Another network, with another address: the old sockets lead nowhere.
    let host = network.host(PEOPLE[0]);
    host.add_address("10.1.0.2/25").expect("an address");
    host.remove_address("10.1.0.1/24").expect("it had that");
    wait_until("new allocations", TIMEOUT, || {
        (metric(&network, &server, "tandem_turn_allocated_total") > made).then_some(())
    })
    .expect("ICE restarts");
    wait_for_media(&network, &server);

    for outcome in people.map(|person| person.finish(TIMEOUT).expect("the call ends by itself")) {
        outcome.assert_ok("a call that moved to another network");
        outcome.assert_relayed("until the end");
    }
}
