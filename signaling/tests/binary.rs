//! The relay as a program: its one line, its logs, its signals and its refusals.
#![cfg(unix)]

#[path = "support/process.rs"]
mod process;
mod support;

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use process::{command, end, ready, signal, start};
use support::{Peer, within};

#[tokio::test]
async fn sigterm_and_ctrl_c_shut_down_properly() {
    for name in ["-TERM", "-INT"] {
        let (child, address, mut stdout) = start(&[]).await;
        let mut peer = Peer::connect(address).await;
        peer.expect_quiet().await;
        signal(&child, name);
        peer.expect("server_draining").await;

        assert_eq!(peer.expect_close().await, 1001, "{name}");
        let rest = within("the end of stdout", stdout.next_line())
            .await
            .expect("text");
        assert_eq!(rest, None, "one line and no more on stdout");
        let (code, log) = end(child).await;

        assert_eq!(code, Some(0), "{name}: {log}");
    }
}

#[tokio::test]
async fn a_second_signal_cuts_the_calls() {
    let (child, address, _stdout) = start(&["--drain-deadline", "1h"]).await;
    let ((mut a, _), _b) = support::pair(address).await;
    signal(&child, "-TERM");
    a.expect("server_draining").await;
    signal(&child, "-TERM");
    a.expect_close().await;

    assert_eq!(end(child).await.0, Some(0));
}

#[tokio::test]
async fn the_log_holds_nothing_private() {
    let (child, address, _stdout) = start(&["--log-level", "trace", "--log-format", "json"]).await;
    let ((mut a, found), (mut b, _)) = support::pair(address).await;
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
        let upgrade = support::UPGRADE.replace("/ws", "/ws?token=SECRETTOKEN");
        // A broken frame ends those that are let in.
        support::raw(
            address,
            &[
                format!("{upgrade}{lines}\r\n").as_bytes(),
                &support::frame(0xc1, b"candidate:secret"),
            ]
            .concat(),
        )
        .await;
    }

    support::raw(
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

    signal(&child, "-TERM");
    let (code, log) = end(child).await;
    assert_eq!(code, Some(0));
    assert!(
        log.lines().any(|line| line.contains("ice_candidate")),
        "the log is on, down to the messages: {log}"
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

#[tokio::test]
async fn bad_arguments_are_exit_2_with_a_sentence() {
    for (args, word) in [
        (&["--redis", "http://127.0.0.1"][..], "--redis"),
        (&["--tls-cert", "x"], "--tls-key"),
        (&["--resume-window", "long"], "--resume-window"),
        (&["--turn-url", "turn:127.0.0.1:3478"], "--turn-secret"),
        (&["--config", "/nowhere/relay.toml"], "/nowhere/relay.toml"),
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
        let output = within("the refusal", command(args).output())
            .await
            .expect("the binary starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(
            stderr.contains(word),
            "{args:?}: the sentence must hold {word}: {stderr}"
        );
        assert!(output.stdout.is_empty(), "{args:?}: nothing on stdout");
    }

    let env = command(&[])
        .env("TANDEM_SIGNALING_HEARTBEAT", "soon")
        .output();
    let env = within("the refusal", env).await.expect("the binary starts");
    assert_eq!(
        env.status.code(),
        Some(2),
        "the environment counts as the command line does"
    );
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_exit_1() {
    let (_child, address, _stdout) = start(&[]).await;
    let second = command(&["--listen", &address.to_string()]).output();
    let second = within("the refusal", second)
        .await
        .expect("the binary starts");
    let stderr = String::from_utf8_lossy(&second.stderr);

    assert_eq!(second.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("choose another address"),
        "what to do: {stderr}"
    );
}

#[tokio::test]
async fn a_flag_beats_the_environment_which_beats_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("relay.toml");
    let settings = "listen = '127.0.0.1:0'\nheartbeat = '11s'\nsilent = '22s'\nstun-url = ['stun:a', 'stun:b:1']\n";
    std::fs::write(&file, settings).expect("a writable folder");
    let mut command = command(&["--silent", "44s"]);
    command
        .env("TANDEM_SIGNALING_CONFIG", &file)
        .env("TANDEM_SIGNALING_HEARTBEAT", "33s");
    let (_child, address, _stdout) = ready(command).await;
    let peer = Peer::connect(address).await;

    assert_eq!(
        peer.registered["heartbeatMs"], 33_000,
        "the environment beats the file"
    );
    assert_eq!(peer.registered["silentMs"], 44_000, "the flag beats both");
    assert_eq!(
        peer.registered["iceServers"],
        json!([{ "urls": ["stun:a", "stun:b:1"] }]),
        "the file beats nothing"
    );
}

#[tokio::test]
async fn without_descriptors_newcomers_are_refused_and_the_others_served() {
    let binary = env!("CARGO_BIN_EXE_tandem-signaling");
    let mut limited = Command::new("sh");
    let script =
        format!("ulimit -n 60; exec {binary} --listen 127.0.0.1:0 --max-connections-per-address 0");
    limited
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let (child, address, _stdout) = ready(limited).await;
    let ((mut a, _), (mut b, _)) = support::pair(address).await;
    let mut others = Vec::new();
    let mut refused = 0;

    for _ in 0..100 {
        let stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("the kernel takes connections");
        match within(
            "an answer",
            tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream),
        )
        .await
        {
            Ok((socket, _)) => others.push(socket),
            Err(_) => refused += 1,
        }
    }

    assert!(
        others.len() >= 10 && refused >= 40,
        "{} were served and {refused} refused, none left waiting",
        others.len()
    );

    let to = b.registered["socketId"].clone();
    a.send(json!({ "type": "ice_candidate", "to": to, "candidate": 7 }))
        .await;
    assert_eq!(
        b.expect("ice_candidate").await["candidate"],
        7,
        "a call goes on"
    );

    drop(others);
    let again = async {
        loop {
            let stream = tokio::net::TcpStream::connect(address)
                .await
                .expect("the kernel takes connections");
            if tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream)
                .await
                .is_ok()
            {
                break;
            }

            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };

    within("room for newcomers", again).await;
    signal(&child, "-KILL");
}

#[tokio::test]
async fn sighup_reads_the_ban_list_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let bans = folder.path().join("bans");
    std::fs::write(&bans, "").expect("a writable folder");
    let (child, address, _stdout) = start(&["--ban-file", &bans.display().to_string()]).await;
    let mut peer = Peer::connect(address).await;
    std::fs::write(&bans, "127.0.0.0/8\n").expect("a writable folder");
    signal(&child, "-HUP");
    peer.expect_error("banned").await;

    assert_eq!(peer.expect_close().await, 4005);
    signal(&child, "-TERM");
    assert_eq!(
        end(child).await.0,
        Some(0),
        "it lives on after SIGHUP and ends properly"
    );
}

#[tokio::test]
async fn the_help_teaches() {
    let output = within("the help", command(&["--help"]).output())
        .await
        .expect("the binary starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));

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
