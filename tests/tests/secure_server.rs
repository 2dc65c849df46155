//! Calls through a server as it stands on the internet: TLS, tokens, proxies, and what the user is
//! told when one of these is wrong.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use tandem_tests::{Authority, HttpProxy, Outcome, ServerProcess, Tandem, Validity, token};

/// Limit for a call of a few seconds from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
const SMALL: [&str; 6] = ["--size", "640x360", "--fps", "30", "--speaker", "none"];
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// A server with a certificate for these names, and further flags.
fn server(
    authority: &Authority,
    names: &[&str],
    validity: Validity,
    flags: &[&str],
) -> ServerProcess {
    let identity = authority.sign(names, validity).expect("a certificate");
    let [cert, key] = [&identity.cert, &identity.key].map(|path| text(path));
    let tls = ["--tls-cert", cert, "--tls-key", key];

    ServerProcess::start_with(&[&tls, flags].concat()).expect("the server starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Both ends of a call of 2 s in the room `secure`. The environment has no proxy but those given.
fn call(environment: &[(&str, &str)], arguments: &[&str]) -> [Outcome; 2] {
    let room = ["--room", "secure", "--duration", "2s"];
    let line = [arguments, &room, &SMALL].concat();
    let start = || Tandem::start_in(environment, &line).expect("it starts");
    let sides = [start(), start()];

    sides.map(|side| side.finish(TIMEOUT).expect("it ends"))
}

/// One end that fails although it would wait for 10 minutes, with the message of its report.
fn failure(environment: &[(&str, &str)], arguments: &[&str]) -> (Outcome, String) {
    let line = [arguments, &["--room", "secure", "--wait", "10m"], &SMALL].concat();
    let outcome = Tandem::start_in(environment, &line)
        .expect("it starts")
        .finish(TIMEOUT)
        .expect("it ends");
    assert_eq!(outcome.code, Some(4), "no connection: {}", outcome.report);
    assert!(
        !outcome.log.contains("panicked at"),
        "it crashed:\n{}",
        outcome.log
    );

    let message = outcome.report["error"]["message"]
        .as_str()
        .expect("a sentence")
        .to_owned();
    (outcome, message)
}

#[test]
fn two_people_meet_over_tls_at_a_server_that_wants_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let [key, ours] = ["key", "token"].map(|name| folder.path().join(name));
    fs::write(&key, SECRET).expect("a writable folder");
    fs::write(&ours, format!("{}\n", token(SECRET, "ada"))).expect("a writable folder");

    let authority = Authority::new().expect("an authority");
    let flags = ["--jwt-key", text(&key)];
    let server = server(&authority, &["localhost"], Validity::Valid, &flags);
    // As people write it: without scheme and path.
    let address = format!("https://localhost:{}", server.address().port());
    let common = ["--signaling", &address, "--ca-file", text(authority.file())];

    // One with the token in a file, the other with one of its own in the environment.
    let room = ["--room", "secure", "--duration", "2s"];
    let start = |environment: &[(&str, &str)], extra: &[&str]| {
        let line = [&common[..], &room, &SMALL, extra].concat();
        Tandem::start_in(environment, line).expect("it starts")
    };
    let ben = token(SECRET, "ben");
    let sides = [
        start(&[], &["--token-file", text(&ours)]),
        start(&[("TANDEM_TOKEN", &ben)], &[]),
    ];

    for side in sides {
        let outcome = side.finish(TIMEOUT).expect("it ends");
        outcome.assert_ok("over TLS");
        assert!(
            !outcome.log.contains(&ben) && !outcome.log.contains("eyJ"),
            "no token in the log:\n{}",
            outcome.log
        );
    }

    let (_, without) = failure(&[], &common);
    assert!(without.contains("requires a token"), "{without}");

    let (_, stranger) = failure(&[("TANDEM_TOKEN", &token(b"other", "eve"))], &common);
    assert!(stranger.contains("does not accept the token"), "{stranger}");
}

#[test]
fn a_call_goes_through_the_proxy_of_the_environment() {
    let authority = Authority::new().expect("an authority");
    // A name that only the proxy can reach.
    let server = server(&authority, &["chat.test"], Validity::Valid, &[]);
    let credentials = "Basic YWRhOnNlY3JldA==";
    let proxy = HttpProxy::start(server.address(), Some(credentials)).expect("a port");
    let common = [
        "--signaling",
        "wss://chat.test",
        "--ca-file",
        text(authority.file()),
    ];

    let with_password = proxy.url("ada:secret@");
    for outcome in call(&[("HTTPS_PROXY", &with_password)], &common) {
        outcome.assert_ok("through a proxy");
    }
    let asked = proxy.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|host| host == "chat.test:443"),
        "the proxy resolves the name: {asked:?}"
    );

    let (_, without) = failure(&[("HTTPS_PROXY", &proxy.url(""))], &common);
    assert!(without.contains("user name and a password"), "{without}");

    let nothing = ("HTTPS_PROXY", "http://127.0.0.1:1");
    let closed = [&common[..], &["--wait", "1s"]].concat();
    let outcome = Tandem::start_in(&[nothing], [&closed[..], &SMALL].concat())
        .and_then(|tandem| tandem.finish(TIMEOUT))
        .expect("it ends");
    let message = outcome.report["error"]["message"].to_string();
    assert!(message.contains("proxy"), "{message}");
}

#[test]
fn a_bad_certificate_ends_the_search_at_once_with_its_reason() {
    let authority = Authority::new().expect("an authority");
    let ca = ["--ca-file", text(authority.file())];

    for (names, validity, extra, expected) in [
        (["localhost"], Validity::Valid, &[][..], "trusts"),
        (["localhost"], Validity::Expired, &ca[..], "expired"),
        (
            ["chat.test"],
            Validity::Valid,
            &ca[..],
            "another server's name",
        ),
    ] {
        let server = server(&authority, &names, validity, &[]);
        let url = format!("wss://localhost:{}", server.address().port());
        let (outcome, message) = failure(&[], &[&["--signaling", &url], extra].concat());

        assert!(
            message.contains(expected),
            "{names:?} {validity:?}: {message}"
        );
        assert_eq!(outcome.report["error"]["code"], "RELAY_UNREACHABLE");
    }

    let plain = ServerProcess::start().expect("the server starts");
    let url = format!("wss://localhost:{}", plain.address().port());
    let (_, message) = failure(&[], &["--signaling", &url]);
    assert!(message.contains("does not use TLS"), "{message}");
}

#[test]
fn the_wait_is_honoured_while_the_server_is_away() {
    // A port that was bound and closed: nothing listens there at first.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let url = format!("ws://{address}/ws");
    let impatient = [&["--signaling", &url, "--room", "late"][..], &SMALL].concat();
    let line = [&impatient[..], &["--duration", "1s", "--wait", "40s"]].concat();
    let early = Tandem::start(&line).expect("it starts");

    // Without --wait a server gets less time. This one started later, and gives up earlier.
    let outcome = Tandem::start(&impatient)
        .and_then(|impatient| impatient.finish(TIMEOUT))
        .expect("it exits");
    assert_eq!(outcome.report["error"]["code"], "RELAY_UNREACHABLE");

    let _server = ServerProcess::start_at(&address.to_string()).expect("the server starts");
    let late = Tandem::start(&line).expect("it starts");

    for side in [early, late] {
        side.finish(TIMEOUT).expect("it ends").assert_ok("met late");
    }
}

#[test]
fn a_token_and_a_file_of_certificates_are_checked_before_the_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("token");
    fs::write(&broken, "two\nlines").expect("a writable folder");
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").expect("a writable folder");

    for (arguments, expected) in [
        (&["--token-file", text(&broken)][..], "line breaks"),
        (&["--token-file", "/nowhere/token"], "cannot be read"),
        (&["--ca-file", text(&empty)], "no certificate"),
        (&["--ca-file", "/nowhere/ca.pem"], "cannot read"),
    ] {
        let outcome = Tandem::run([&["--headless"], arguments].concat()).expect("it exits");
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.log);
        assert!(
            outcome.log.contains(expected),
            "{arguments:?}: {}",
            outcome.log
        );
    }

    fs::write(&broken, "abc").expect("a writable folder");
    let exposed = [
        "--headless",
        "--token-file",
        text(&broken),
        "--signaling",
        "ws://chat.example.org",
    ];
    let outcome = Tandem::run(exposed).expect("it exits");
    assert_eq!(outcome.code, Some(2), "{}", outcome.log);
    assert!(outcome.log.contains("wss://"), "{}", outcome.log);
}
