//! The signaling server as a program: its one line of output, its logs, its signals and what it
//! refuses.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;

use crate::support::process::{command, run, start, start_command};
use crate::support::{DEADLINE, Peer, UPGRADE, frame, pair, raw, within};

#[tokio::test]
async fn sigterm_and_ctrl_c_drain_and_end_the_server() {
    for (name, signal) in [("SIGTERM", libc::SIGTERM), ("SIGINT", libc::SIGINT)] {
        let mut server = start(&[]);
        let mut peer = Peer::connect(server.address()).await;
        peer.expect_quiet().await;
        server.process().signal(signal);
        peer.expect("server_draining").await;

        assert_eq!(peer.expect_close().await, 1001, "{name}");
        let code = server.process().wait(DEADLINE).expect("it ends");
        let stdout = server.process().stdout();

        assert_eq!(stdout.lines().count(), 1, "one line on stdout: {stdout}");
        assert_eq!(code, Some(0), "{name}: {}", server.process().stderr());
    }
}

#[tokio::test]
async fn a_second_signal_cuts_the_calls() {
    let mut server = start(&["--drain-deadline", "1h"]);
    let ((mut a, _), _b) = pair(server.address()).await;
    server.process().signal(libc::SIGTERM);
    a.expect("server_draining").await;
    server.process().signal(libc::SIGTERM);
    a.expect_close().await;

    assert_eq!(server.finish(DEADLINE).expect("it ends").0, Some(0));
}

#[tokio::test]
async fn the_log_holds_nothing_private() {
    let mut server = start(&["--log-level", "trace", "--log-format", "json"]);
    let address = server.address();
    let ((mut a, found), (mut b, _)) = pair(address).await;
    let secrets = [
        "Secret Name",
        "203.0.113.77",
        "candidate:secret",
        "127.0.0.1",
        "v=0 secret",
        "Secret Town",
        "data:image",
        "secret interest",
        "secret words",
        "SECRETTOKEN",
        "secret-origin",
    ];

    let to = b.registered["socketId"].clone();
    a.send(
        json!({ "type": "ice_candidate", "to": to, "candidate": "candidate:secret 203.0.113.77" }),
    )
    .await;
    b.expect("ice_candidate").await;

    for kind in ["offer", "answer"] {
        let message = json!({ "type": format!("webrtc_{kind}"), "to": to, kind: { "type": kind, "sdp": "v=0 secret" } });
        a.send(message).await;
        b.expect(&format!("webrtc_{kind}")).await;
    }

    let session = found["sessionId"].clone();
    a.send(json!({ "type": "report", "sessionId": session, "category": "other", "text": "secret words" })).await;
    a.expect("error").await;

    let mut c = Peer::connect(address).await;
    c.send(json!({
        "type": "find_partner", "userName": "Secret Name", "userLocation": "Secret Town", "userAge": 30,
        "userPicture": "data:image/png;base64,AAAA", "interests": ["secret interest"],
    }))
    .await;
    c.expect("searching").await;
    drop(c);

    for lines in [
        "X-Forwarded-For: 203.0.113.77\r\n",
        "Authorization: Bearer SECRETTOKEN\r\n",
        "Origin: https://secret-origin\r\n",
    ] {
        let upgrade = UPGRADE.replace("/ws", "/ws?token=SECRETTOKEN");
        // A broken frame ends the connections that are let in.
        let request = [
            format!("{upgrade}{lines}\r\n").as_bytes(),
            &frame(0xc1, b"candidate:secret"),
        ]
        .concat();
        raw(address, &request).await;
    }

    raw(
        address,
        b"GET /Secret Name HTTP/1.1\r\nHost: secret-origin\r\n\r\n",
    )
    .await;

    a.send(
        json!({ "type": "find_partner", "userName": "Secret Name", "userAge": "candidate:secret" }),
    )
    .await;
    a.expect_error("bad_message").await;
    a.send(json!({ "type": "Secret Name" })).await;
    a.expect_error("unknown_type").await;

    for peer in [&mut a, &mut b] {
        peer.send(json!({ "type": "bye" })).await;
        peer.expect_close().await;
    }

    server.process().signal(libc::SIGTERM);
    let (code, log) = server.finish(DEADLINE).expect("it ends");
    assert_eq!(code, Some(0));
    assert!(
        log.lines().any(|line| line.contains("ice_candidate")),
        "the log reaches down to single messages: {log}"
    );

    for line in log.lines() {
        assert!(
            serde_json::from_str::<serde_json::Value>(line).is_ok(),
            "--log-format json: {line}"
        );

        for secret in secrets {
            assert!(
                !line.contains(secret),
                "{secret} must not be logged: {line}"
            );
        }
    }
}

#[test]
fn bad_arguments_are_exit_2_with_a_sentence() {
    for (args, word) in [
        (&["--redis", "http://127.0.0.1"][..], "--redis"),
        (&["--tls-cert", "x"], "--tls-key"),
        (&["--resume-window", "long"], "--resume-window"),
        (&["--turn-url", "turn:127.0.0.1:3478"], "--turn-secret"),
        (&["--config", "/nowhere/node.toml"], "/nowhere/node.toml"),
        (&["--heartbeat", "soon"], "25s"),
        (&["--heartbeat", "60s", "--silent", "60s"], "--silent"),
        (&["--log-level", "loud=very=much"], "--log-level"),
        (&["--stun-url", "http://x"], "stun:"),
        (&["--max-connections", "many"], "--max-connections"),
        (&["--ban-file", "/nowhere/bans"], "/nowhere/bans"),
        (
            &["--tls-cert", "/nowhere/cert", "--tls-key", "/nowhere/key"],
            "/nowhere/cert",
        ),
        (&["--jwt-key", "/nowhere/key"], "/nowhere/key"),
        (&["--reports", "/nowhere/reports"], "/nowhere/reports"),
        (&["--trusted-proxy", "10.0.0.0/40"], "--trusted-proxy"),
        (&["--frobnicate"], "--frobnicate"),
    ] {
        let (code, output) = run(command(args));
        let stderr = output.stderr();
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(
            stderr.contains(word),
            "{args:?}: the sentence names {word}: {stderr}"
        );
        assert!(output.stdout().is_empty(), "{args:?}: nothing on stdout");
    }

    let mut from_environment = command(&[]);
    from_environment.env("TANDEM_SIGNALING_HEARTBEAT", "soon");
    assert_eq!(
        run(from_environment).0,
        Some(2),
        "a bad variable counts like a bad argument"
    );
}

#[test]
fn an_address_that_is_in_use_is_exit_1() {
    let server = start(&[]);
    let (code, output) = run(command(&["--listen", &server.address().to_string()]));
    let stderr = output.stderr();

    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("choose another address"),
        "the sentence says what to do: {stderr}"
    );
}

#[tokio::test]
async fn a_flag_beats_the_environment_which_beats_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    let settings = "listen = '127.0.0.1:0'\nheartbeat = '11s'\nsilent = '22s'\nstun-url = ['stun:a', 'stun:b:1']\n";
    std::fs::write(&file, settings).expect("a writable folder");

    let mut command = command(&["--silent", "44s"]);
    command
        .env("TANDEM_SIGNALING_CONFIG", &file)
        .env("TANDEM_SIGNALING_HEARTBEAT", "33s");
    let server = start_command(command);
    let peer = Peer::connect(server.address()).await;

    assert_eq!(
        peer.registered["heartbeatMs"], 33_000,
        "the environment beats the file"
    );
    assert_eq!(peer.registered["silentMs"], 44_000, "the flag beats both");
    assert_eq!(
        peer.registered["iceServers"],
        json!([{ "urls": ["stun:a", "stun:b:1"] }]),
        "what only the file sets is used"
    );
}

#[tokio::test]
async fn rooms_are_limited_unless_the_operator_says_otherwise() {
    for (arguments, is_limited) in [(&[][..], true), (&["--rate-rooms", "0"], false)] {
        let server = start(arguments);
        let mut peer = Peer::connect(server.address()).await;
        let mut listen = async |first: usize| {
            let rooms: Vec<_> = (first..first + 20).map(|n| format!("r{n}")).collect();
            peer.send(json!({ "type": "listen", "rooms": rooms })).await;
            if first > 0 && is_limited {
                peer.expect_error("rate_limited").await;
            } else {
                peer.expect("listening").await;
            }
        };

        listen(0).await;
        listen(20).await;
    }
}

#[tokio::test]
async fn without_descriptors_new_clients_are_refused_and_the_others_served() {
    // The server leaves half of them free, so that it can count the connections.
    serve_with_descriptors(60, 10).await;
    // Less than half of them are left once it has started: it cannot accept what it refuses.
    serve_with_descriptors(20, 1).await;
}

/// Connects more clients than a server with this many file descriptors has room for, in which at
/// least `served` find a place beside a call.
async fn serve_with_descriptors(descriptors: u32, served: usize) {
    let binary = env!("CARGO_BIN_EXE_tandem-signaling");
    let script = format!(
        "ulimit -n {descriptors}; exec {binary} --listen 127.0.0.1:0 --max-connections-per-address 0"
    );
    let mut limited = Command::new("sh");
    limited.args(["-c", &script]);

    let mut server = start_command(limited);
    let address = server.address();
    let ((mut a, _), (mut b, _)) = pair(address).await;
    let upgrade = async || {
        let stream = TcpStream::connect(address)
            .await
            .expect("the kernel accepts connections");
        client_async(format!("ws://{address}/ws"), stream).await
    };

    let mut others = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        match within("an answer", upgrade()).await {
            Ok((socket, _)) => others.push(socket),
            Err(_) => refused += 1,
        }
    }

    assert!(
        others.len() >= served && refused >= 40,
        "{} were served and {refused} refused, none was left waiting",
        others.len()
    );

    let to = b.registered["socketId"].clone();
    a.send(json!({ "type": "ice_candidate", "to": to, "candidate": 7 }))
        .await;
    assert_eq!(
        b.expect("ice_candidate").await["candidate"],
        7,
        "the call continues"
    );

    drop(others);
    within("room for new clients", async {
        while upgrade().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    server.process().signal(libc::SIGKILL);
}

#[tokio::test]
async fn sighup_reads_the_ban_list_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let bans = folder.path().join("bans");
    std::fs::write(&bans, "").expect("a writable folder");
    let mut server = start(&["--ban-file", &bans.display().to_string()]);
    let mut peer = Peer::connect(server.address()).await;

    std::fs::write(&bans, "127.0.0.0/8\n").expect("a writable folder");
    server.process().signal(libc::SIGHUP);
    peer.expect_error("banned").await;

    assert_eq!(peer.expect_close().await, 4005);
    server.process().signal(libc::SIGTERM);
    assert_eq!(
        server.finish(DEADLINE).expect("it ends").0,
        Some(0),
        "SIGHUP does not end it"
    );
}

#[test]
fn the_help_names_settings_signals_and_examples() {
    let (code, output) = run(command(&["--help"]));
    let text = output.stdout();
    assert_eq!(code, Some(0));

    for word in [
        "--listen",
        "--turn-secret",
        "TANDEM_SIGNALING_REDIS",
        "Examples:",
        "SIGHUP",
        "Limits (0 switches one off)",
    ] {
        assert!(text.contains(word), "{word} in {text}");
    }
}
