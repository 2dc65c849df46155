//! The files in `deploy/`, as an operator uses them.
#![cfg(all(unix, feature = "redis"))]

#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/process.rs"]
mod process;
#[path = "support/redis.rs"]
mod redis_server;
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use nodes::{Node, candidate, eventually, pair, room};
use process::{command, ready};
use redis_server::{Redis, skip};
use support::{Peer, raw, within};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(FOLDER).join(name)).expect("a file of the repository")
}

#[tokio::test]
async fn the_settings_to_start_from_are_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let reports = folder.path().join("reports.jsonl").display().to_string();
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/tandem-signaling.toml");
    let flags = [
        "--config",
        settings,
        "--reports",
        &reports,
        "--listen",
        "127.0.0.1:0",
    ];
    let untouched = within("the refusal", command(&flags).output())
        .await
        .expect("the binary starts");

    assert_eq!(
        untouched.status.code(),
        Some(2),
        "the example's secret is everybody's"
    );

    assert!(
        String::from_utf8_lossy(&untouched.stderr).contains("openssl rand"),
        "what to do"
    );

    let (_child, address, _stdout) =
        ready(command(&[&flags[..], &["--turn-secret", "x"]].concat())).await;
    let peer = Peer::connect(address).await;
    let servers = &peer.registered["iceServers"];

    assert_eq!(
        servers[0]["urls"],
        json!(["stun:turn.example.org:3478"]),
        "{servers}"
    );

    assert_eq!(
        servers[1]["urls"],
        json!(["turn:turn.example.org:3478"]),
        "{servers}"
    );
}

/// Redis with the settings to start from, and with the password that they speak of. Only its port and folder are others.
#[tokio::test]
async fn a_cluster_runs_on_redis_as_it_is_deployed() {
    let settings = format!("{FOLDER}/redis.conf");
    let Some(redis) = Redis::start_with(&settings, "a-password") else {
        return;
    };

    let mut store = redis.connect();
    let mut setting = |name: &str| -> String {
        let pair: Vec<String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query(&mut store)
            .expect("an answer");
        pair.into_iter().nth(1).unwrap_or_default()
    };

    assert_eq!(
        (setting("maxmemory-policy"), setting("save")),
        ("noeviction".into(), String::new()),
        "these settings"
    );

    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let ((mut a, _), (mut b, _)) = pair(&one, &other).await;
    a.send(candidate(&b, 1)).await;

    assert_eq!(
        b.expect("ice_candidate").await["candidate"],
        1,
        "it carries calls"
    );

    // What the file says of a Redis that is full: nothing is thrown away.
    let limit = |bytes: &str| {
        let mut store = redis.connect();
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("maxmemory")
            .arg(bytes)
            .exec(&mut store)
            .expect("an answer");
    };

    let before: BTreeSet<String> = redis.keys().into_iter().collect();
    limit("1");
    let mut c = one.peer().await;
    eventually("`unavailable`", async || {
        c.send(room("full")).await;
        let answer: Value =
            serde_json::from_str(&c.next().await.expect("it stays connected")).expect("JSON");

        if answer["type"] == "searching" {
            // The refusal follows.
            assert_eq!(c.expect_error("unavailable").await["type"], "error");
            c.expect("search_cancelled").await;
        }

        answer["code"] == "unavailable" || answer["type"] == "searching"
    })
    .await;

    assert!(
        before.is_subset(&redis.keys().into_iter().collect()),
        "nothing was thrown away: {before:?}"
    );

    limit("256mb");
    one.ready(true).await;
    other.ready(true).await;
    b.send(candidate(&a, 2)).await;

    assert_eq!(
        a.expect("ice_candidate").await["candidate"],
        2,
        "the call goes on"
    );
}

/// Words in an expression of PromQL that begin like our metrics.
fn metrics_in(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("tandem_"))
}

fn expressions<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    // The query of the variable that chooses a data source is only a word.
                    Some(text) if ["expr", "query", "definition"].contains(&name.as_str()) => {
                        found.extend(Some(text).filter(|text| *text != "prometheus"));
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_and_the_alarms_ask_for_metrics_that_there_are() {
    let Some(redis) = Redis::start() else { return };
    let node = Node::start(&redis).await;
    let answer = raw(
        node.address,
        b"GET /metrics HTTP/1.1\r\nHost: relay\r\n\r\n",
    )
    .await;
    let answer = String::from_utf8(answer).expect("text");
    let (_, text) = answer.split_once("\r\n\r\n").expect("a body");
    let sample = |line: &'_ str| line.split(['{', ' ']).next().map(str::to_owned);
    let there: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(sample)
        .collect();
    let dashboard: Value = serde_json::from_str(&file("grafana-dashboard.json")).expect("JSON");
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);

    assert!(asked.len() > 15, "every panel asks something: {asked:?}");
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md");
    let guide = std::fs::read_to_string(guide).expect("a file of the repository");
    // A row of the table of alarms begins with an expression.
    let alarms: Vec<&str> = guide
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("tandem_"))
        .collect();

    assert!(alarms.len() >= 4, "the table of alarms: {alarms:?}");
    for expression in asked.into_iter().chain(alarms) {
        let names: Vec<&str> = metrics_in(expression).collect();
        assert!(
            !names.is_empty(),
            "it asks for something of ours: {expression}"
        );

        for name in names {
            assert!(
                there.contains(name),
                "{name} of {expression:?} is not among {there:?}"
            );
        }

        // A label that a metric does not have selects nothing.
        for (name, label) in [
            ("tandem_errors_total", "code"),
            ("tandem_refused_total", "status"),
        ] {
            if expression.contains(&format!("{name}{{{label}")) {
                assert!(
                    text.contains(&format!("{name}{{{label}=\"")),
                    "{expression}"
                );
            }
        }
    }
}

#[test]
fn systemd_takes_the_unit() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip("systemd-analyze is not installed");
    };

    assert!(version.status.success(), "it says its version");
    let folder = tempfile::tempdir().expect("a folder");
    // The installed program stands where this one does not.
    let unit = file("tandem-signaling.service").replace(
        "/usr/local/bin/tandem-signaling",
        env!("CARGO_BIN_EXE_tandem-signaling"),
    );
    let path = folder.path().join("tandem-signaling.service");
    std::fs::write(&path, unit).expect("a writable folder");
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&path)
        .output()
        .expect("it ran before");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let about_it: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("tandem-signaling"))
        .collect();

    assert!(verified.status.success() && about_it.is_empty(), "{said}");
}
