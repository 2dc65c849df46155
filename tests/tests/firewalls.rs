//! Calls from networks whose firewalls let no UDP through: media goes to a TURN server over TCP or TLS,
//! through a proxy where nothing else leads out. Where it cannot, the report says why.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "tests print what they measure")]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;
use tandem_tests::authority::{Authority, Identity, Validity};
use tandem_tests::{
    Coturn, Host, Network, Outcome, Part, ServerProcess, Tandem, Tinyproxy, built, require,
};

/// Limit for a call of a few seconds from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
const SECRET: &str = "a shared secret";
/// The longest time from the match to a connection to a TURN server nearby, ms. There is no fixed wait for
/// direct routes that cannot come.
const CONNECTED_MS: f64 = 1_500.0;

/// The longest time from the match until the reason is told why no connection comes up, ms: 3 s by the
/// design, and what a busy machine may add.
const TOLD_MS: f64 = 3_250.0;

/// The hosts by their numbers.
const PEOPLE: [usize; 2] = [0, 1];
const FIREWALL: usize = 2;
const SERVERS: usize = 3;

/// Two people, each in a network of their own, behind one firewall; the servers are on the other side.
fn network() -> Network {
    let network =
        Network::with_addresses(&["10.1.0.1/24", "10.2.0.1/24", "10.1.0.254/24", "10.9.0.1/24"])
            .expect("a network of four");
    network
        .host(SERVERS)
        .add_address("10.9.0.2/24")
        .expect("an address");
    let firewall = network.host(FIREWALL);
    for address in ["10.2.0.254/24", "10.9.0.254/24"] {
        firewall.add_address(address).expect("an address");
    }

    firewall.forward().expect("it forwards");
    for (host, gateway) in [
        (0, "10.1.0.254"),
        (1, "10.2.0.254"),
        (SERVERS, "10.9.0.254"),
    ] {
        network.host(host).without_ipv6().expect("IPv6 goes");
        network.host(host).set_gateway(gateway).expect("a gateway");
    }

    network
}

/// A signaling server at `address` that names the TURN servers at `turn`.
fn signaling(network: &Network, address: &str, turn: &[&str], secret: &str) -> ServerProcess {
    let mut command = network.host(SERVERS).command(built("tandem-signaling"));
    command.args(["--listen", address, "--turn-secret", secret]);
    for url in turn {
        command.args(["--turn-url", url]);
    }

    ServerProcess::start_command(command).expect("the server listens on the host's address")
}

/// Both people start a call with these arguments.
fn call(network: &Network, server: &ServerProcess, arguments: &[&str]) -> [Outcome; 2] {
    call_at(network, &server.url(), arguments)
}

/// The same at the server with this address.
fn call_at(network: &Network, url: &str, arguments: &[&str]) -> [Outcome; 2] {
    call_in(network, url, arguments, [&[], &[]])
}

/// The same, each of them with environment variables of their own.
fn call_in(
    network: &Network,
    url: &str,
    arguments: &[&str],
    environments: [&[(&str, &str)]; 2],
) -> [Outcome; 2] {
    let usual = [
        "--signaling",
        url,
        "--room",
        "turn",
        "--duration",
        "8s",
        "--size",
        "640x360",
        "--video",
        "test",
        "--audio",
        "test",
        "--speaker",
        "none",
        "--wait",
        "30s",
    ];
    let arguments = [&usual[..], arguments].concat();
    let people = PEOPLE.map(|number| {
        let host = network.host(number);
        Tandem::start_on_in(host, environments[number], &arguments).expect("Tandem starts")
    });
    people.map(|person| person.finish(TIMEOUT).expect("the call ends by itself"))
}

/// Checks that media went through the TURN server, over `transport`, and that no log names a server.
fn assert_relayed(outcomes: &[Outcome], transport: &str) {
    for outcome in outcomes {
        outcome.assert_ok(transport);
        outcome.assert_relayed(transport);
        assert_eq!(
            outcome.report["route"]["relayTransport"], transport,
            "the report says how the server was reached: {}",
            outcome.report["route"]
        );
        let frames = outcome.figure("/video/received/frames");
        assert!(frames > 10.0, "video flows, not {frames} frames");
        for address in ["10.9.0.2", "240.0.0."] {
            assert!(
                !outcome.log.contains(address),
                "the log names no TURN server ({address}):\n{}",
                outcome.log
            );
        }

        let timing = |name: &str| outcome.figure(&format!("/timingsMs/{name}"));
        let connecting = timing("connected") - timing("matched");
        let first_frame = timing("firstRemoteFrame") - timing("connected");
        println!(
            "{transport}: connected after {connecting} ms, first frame {first_frame} ms later"
        );
        assert!(
            connecting <= CONNECTED_MS,
            "{transport}: connected {connecting} ms after the match"
        );
    }
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address and a port")
}

#[test]
fn where_udp_is_dropped_a_call_goes_over_tcp() {
    require!(Part::Network, Part::Coturn);
    let network = network();
    network.host(FIREWALL).block_udp().expect("no UDP");
    let host = network.host(SERVERS);
    let _turn =
        Coturn::start_over_tcp_on(host, at("10.9.0.2:3478"), SECRET).expect("coturn starts");
    // There is one over UDP, too, as usual; nobody can reach it.
    let turn = [
        "turn:10.9.0.2:3478?transport=udp",
        "turn:10.9.0.2:3478?transport=tcp",
    ];
    let server = signaling(&network, "10.9.0.1:9000", &turn, SECRET);

    assert_relayed(&call(&network, &server, &[]), "tcp");
}

#[test]
fn through_port_443_alone_a_call_goes_over_tls() {
    require!(Part::Network, Part::Coturn);
    let network = network();
    network
        .host(FIREWALL)
        .pass_only_tcp(443)
        .expect("only port 443");
    let authority = Authority::new().expect("an authority");
    let host = network.host(SERVERS);
    let _turn = Coturn::start_over_tls_on(host, at("10.9.0.2:443"), &authority, SECRET)
        .expect("coturn starts");
    let turn = [
        "turn:10.9.0.2:3478?transport=udp",
        "turns:10.9.0.2:443?transport=tcp",
    ];
    let server = signaling(&network, "10.9.0.1:443", &turn, SECRET);
    let trust = ["--ca-file", authority.file().to_str().expect("UTF-8")];

    assert_relayed(&call(&network, &server, &trust), "tls");

    // Its certificate is checked: without the authority there is no call.
    for outcome in call(&network, &server, &["--relay-only"]) {
        assert_eq!(outcome.code, Some(4), "{}", outcome.report);
    }
}

#[test]
fn names_that_nobody_looks_up_do_not_hold_up_a_call() {
    require!(Part::Network, Part::Coturn);
    let network = network();
    network
        .host(FIREWALL)
        .pass_only_tcp(443)
        .expect("only port 443");
    for number in PEOPLE {
        let host = network.host(number);
        host.set_name_server("10.9.0.53").expect("a name server");
    }
    let authority = Authority::new().expect("an authority");
    let host = network.host(SERVERS);
    let _turn = Coturn::start_over_tls_on(host, at("10.9.0.2:443"), &authority, SECRET)
        .expect("coturn starts");
    let turn = [
        "turn:one.tandem.test:3478?transport=udp",
        "turn:two.tandem.test:3478?transport=udp",
        "turns:10.9.0.2:443?transport=tcp",
    ];
    let server = signaling(&network, "10.9.0.1:443", &turn, SECRET);
    let trust = ["--ca-file", authority.file().to_str().expect("UTF-8")];

    for outcome in call(&network, &server, &trust) {
        outcome.assert_ok("without names");
        let took = outcome.figure("/timingsMs/connected") - outcome.figure("/timingsMs/matched");
        println!("connected after {took} ms");
        // The system's resolver waits 10 s for each name.
        assert!(took < 6_000.0, "not after {took} ms");
    }
}

#[test]
fn where_udp_comes_through_nothing_else_is_used() {
    require!(Part::Network, Part::Coturn);
    let network = network();
    let host = network.host(SERVERS);
    let turn = Coturn::start_on(host, at("10.9.0.2:3478").ip(), SECRET).expect("coturn starts");
    let unused = host.run(|| TcpListener::bind("10.9.0.2:3479").expect("a free port"));
    unused.set_nonblocking(true).expect("a plain socket");
    let urls = [
        "turn:10.9.0.2:3479?transport=tcp",
        "turn:10.9.0.2:3478?transport=udp",
    ];
    let server = signaling(&network, "10.9.0.1:9000", &urls, SECRET);

    assert_relayed(&call(&network, &server, &["--relay-only"]), "udp");
    let came = unused.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(
        came,
        Err(ErrorKind::WouldBlock),
        "nobody has connected over TCP:\n{}",
        turn.log()
    );
}

/// Checks that both sides told why no connection comes up within three seconds of the match.
fn assert_told_in_time(outcomes: &[Outcome]) {
    for outcome in outcomes {
        let timings = &outcome.report["timingsMs"];
        let at = |name: &str| timings[name].as_f64();
        let waited = at("connectTrouble").zip(at("matched"));
        let waited = waited.map(|(told, matched)| told - matched);
        println!("told after {waited:?} ms: {}", outcome.report["error"]);
        assert!(
            waited.is_some_and(|ms| ms <= TOLD_MS),
            "told {waited:?} ms after the match: {}",
            outcome.report
        );
    }
}

/// Checks that nobody got a call, that at least one side says `reason` and `code`, and that the other
/// says so too or heard it from its partner.
fn assert_told(outcomes: &[Outcome], code: &str, reason: &str) {
    assert_told_in_time(outcomes);
    let reasons = [reason, "PARTNER_HAS_NO_ROUTE"];
    let errors: Vec<&Value> = outcomes.iter().map(|it| &it.report["error"]).collect();
    assert!(
        errors
            .iter()
            .any(|error| error["code"] == code && error["reason"] == reason),
        "one side says why: {errors:?}"
    );
    for (outcome, error) in outcomes.iter().zip(&errors) {
        assert_eq!(outcome.code, Some(4), "no connection: {error}");
        assert!(
            error["reason"]
                .as_str()
                .is_some_and(|it| reasons.contains(&it)),
            "{error}"
        );
        assert_eq!(
            outcome.report["timingsMs"]["connected"],
            Value::Null,
            "nothing came up"
        );
    }
}

#[test]
fn a_turn_server_that_refuses_the_credentials_is_told() {
    require!(Part::Network, Part::Coturn);
    let network = network();
    let host = network.host(SERVERS);
    let _turn = Coturn::start_on(host, at("10.9.0.2:3478").ip(), SECRET).expect("coturn starts");
    for url in ["turn:10.9.0.2:3478", "turn:10.9.0.2:3478?transport=tcp"] {
        let server = signaling(&network, "10.9.0.1:9000", &[url], "another secret");
        let outcomes = call(&network, &server, &["--relay-only"]);
        // Not after the time that connecting may take, which would be CONNECT_TIMEOUT.
        assert_told(&outcomes, "CONNECTION_FAILED", "TURN_REFUSED");
    }
}

#[test]
fn a_firewall_that_drops_udp_is_told_if_there_is_no_other_turn_server() {
    require!(Part::Network, Part::Coturn);
    let network = network();
    network.host(FIREWALL).block_udp().expect("no UDP");
    let host = network.host(SERVERS);
    let _turn = Coturn::start_on(host, at("10.9.0.2:3478").ip(), SECRET).expect("coturn starts");
    let server = signaling(&network, "10.9.0.1:9000", &["turn:10.9.0.2:3478"], SECRET);
    let outcomes = call(&network, &server, &["--relay-only"]);
    assert_told(&outcomes, "CONNECTION_FAILED", "UDP_BLOCKED");

    // A call that may go directly, too, waits longer for a route. The reason is told as soon.
    let outcomes = call(&network, &server, &[]);
    assert_told(&outcomes, "CONNECT_TIMEOUT", "UDP_BLOCKED");
}

/// The firewall drops UDP of the first person, both ways, and nobody else's.
fn block_udp_of_the_first(firewall: &Host) {
    for (number, direction) in [("1", "from"), ("2", "to")] {
        let rule = ["rule", "add", "iif", "eth0", direction, "10.1.0.0/24"];
        let action = ["ipproto", "udp", "priority", number, "blackhole"];
        let status = firewall.command("ip").args(rule).args(action).status();
        assert!(status.expect("ip starts").success(), "the rule is added");
    }
}

#[test]
fn the_side_behind_a_firewall_says_so_to_its_partner() {
    require!(Part::Network, Part::Coturn);
    let network = network();
    let host = network.host(SERVERS);
    let _turn = Coturn::start_on(host, at("10.9.0.2:3478").ip(), SECRET).expect("coturn starts");
    let server = signaling(&network, "10.9.0.1:9000", &["turn:10.9.0.2:3478"], SECRET);
    // The other one reaches the TURN server, and nothing is wrong at its end.
    block_udp_of_the_first(network.host(FIREWALL));

    for (arguments, code) in [
        (&["--relay-only"][..], "CONNECTION_FAILED"),
        (&[], "CONNECT_TIMEOUT"),
    ] {
        let outcomes = call(&network, &server, arguments);
        assert_told_in_time(&outcomes);
        let errors = outcomes.each_ref().map(|outcome| &outcome.report["error"]);
        assert_eq!(errors[0]["code"], code, "{arguments:?}: {}", errors[0]);
        assert_eq!(errors[0]["reason"], "UDP_BLOCKED", "{}", errors[0]);
        assert_ne!(errors[1]["code"], "PARTNER_LEFT", "{}", errors[1]);
        assert_eq!(
            errors[1]["reason"], "PARTNER_HAS_NO_ROUTE",
            "{arguments:?}: the other side is told whose network it is: {}",
            errors[1]
        );
        let message = errors[1]["message"].as_str().unwrap_or_default();
        assert!(message.contains("other person"), "in words: {message}");
    }
}

#[test]
fn a_turn_server_that_is_away_is_told() {
    require!(Part::Network);
    let network = network();
    let urls = ["turn:10.9.0.2:3478", "turns:10.9.0.2:443"];
    let server = signaling(&network, "10.9.0.1:9000", &urls, SECRET);
    let outcomes = call(&network, &server, &["--relay-only"]);
    assert_told(&outcomes, "CONNECTION_FAILED", "TURN_UNREACHABLE");

    // So does one that is reached over TCP alone.
    let server = signaling(&network, "10.9.0.1:9001", &urls[1..], SECRET);
    let outcomes = call(&network, &server, &["--relay-only"]);
    assert_told(&outcomes, "CONNECTION_FAILED", "TURN_UNREACHABLE");
}

/// Packets to it disappear, as behind a firewall, so that nothing says at once that it is away.
#[test]
fn a_turn_server_over_tls_that_is_silent_is_told_as_soon() {
    require!(Part::Network);
    let network = network();
    let firewall = network.host(FIREWALL);
    firewall.pass_only_tcp(9_000).expect("only signaling");
    let server = signaling(&network, "10.9.0.1:9000", &["turns:10.9.0.2:443"], SECRET);
    for arguments in [&["--relay-only"][..], &[]] {
        let outcomes = call(&network, &server, arguments);
        let code = if arguments.is_empty() {
            "CONNECT_TIMEOUT"
        } else {
            "CONNECTION_FAILED"
        };
        assert_told(&outcomes, code, "TURN_UNREACHABLE");
    }
}

#[test]
fn a_server_without_turn_is_told_where_no_direct_route_exists() {
    require!(Part::Network);
    let network = network();
    network.host(FIREWALL).block_udp().expect("no UDP");
    let mut command = network.host(SERVERS).command(built("tandem-signaling"));
    command.args(["--listen", "10.9.0.1:9000"]);
    let server = ServerProcess::start_command(command).expect("the server listens");
    let outcomes = call(&network, &server, &[]);
    assert_told_in_time(&outcomes);
    let problems = outcomes
        .iter()
        .map(|it| it.report["error"]["reason"].as_str());
    assert!(
        problems.clone().any(|it| it == Some("NO_TURN_OFFERED")),
        "one side at least says why: {:?}",
        problems.collect::<Vec<_>>()
    );
}

/// The signaling server with a TURN server of its own, both behind TLS on port 443.
fn all_in_one(network: &Network, authority: &Authority) -> (ServerProcess, Identity) {
    let identity = authority
        .sign(&["10.9.0.1"], Validity::Valid)
        .expect("a certificate");
    let mut command = network.host(SERVERS).command(built("tandem-signaling"));
    command.args(["--listen", "10.9.0.1:443", "--turn-listen", "10.9.0.1:3478"]);
    command.args(["--turn-tls-name", "10.9.0.1"]);
    command.arg("--tls-cert").arg(&identity.cert);
    command.arg("--tls-key").arg(&identity.key);
    let server = ServerProcess::start_command(command).expect("the server starts");

    (server, identity)
}

#[test]
fn through_port_443_alone_a_call_needs_nothing_but_the_signaling_server() {
    require!(Part::Network);
    let network = network();
    network
        .host(FIREWALL)
        .pass_only_tcp(443)
        .expect("only port 443");
    let authority = Authority::new().expect("an authority");
    let _server = all_in_one(&network, &authority);
    let trust = ["--ca-file", authority.file().to_str().expect("UTF-8")];

    assert_relayed(&call_at(&network, "https://10.9.0.1", &trust), "tls");
}

#[test]
fn where_only_an_http_proxy_leads_out_a_call_goes_through_it() {
    require!(Part::Network, Part::Tinyproxy);
    let network = network();
    let firewall = network.host(FIREWALL);
    firewall.pass_nothing().expect("no way past the proxy");
    let proxy = Tinyproxy::start_on(firewall).expect("tinyproxy starts");
    let authority = Authority::new().expect("an authority");
    let _server = all_in_one(&network, &authority);
    let trust = ["--ca-file", authority.file().to_str().expect("UTF-8")];

    // As companies set it up: for everything, though the proxy refuses all but port 443.
    let urls = ["10.1.0.254", "10.2.0.254"].map(Tinyproxy::url);
    let [a, b] = urls
        .each_ref()
        .map(|url| [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", url)]);
    let outcomes = call_in(&network, "https://10.9.0.1", &trust, [&a, &b]);
    assert_relayed(&outcomes, "tls");
    let asked = proxy.asked_for("10.9.0.1:443");
    assert!(
        asked >= 4,
        "signaling and media of both went through the proxy: {asked} connections"
    );
}
