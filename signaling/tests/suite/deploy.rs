//! The files in `deploy/`, as an operator uses them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tandem_tests::{Part, Redis, require};

use crate::support::nodes::{Node, candidate, eventually, pair, room};
use crate::support::process::{command, run, start_command};
use crate::support::{Peer, raw, store};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(FOLDER).join(name)).expect("a file of the repository")
}

#[tokio::test]
async fn the_example_settings_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let reports = folder.path().join("reports.jsonl").display().to_string();
    let socket = folder.path().join("admin.sock").display().to_string();
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/tandem-signaling.toml");
    let flags = [
        "--config",
        settings,
        "--reports",
        &reports,
        "--admin-socket",
        &socket,
        "--listen",
        "127.0.0.1:0",
    ];
    let (code, output) = run(command(&flags));
    assert_eq!(
        code,
        Some(2),
        "the example's secret is refused: it is public"
    );
    assert!(
        output.stderr().contains("openssl rand"),
        "the sentence says what to do: {}",
        output.stderr()
    );

    let server = start_command(command(&[&flags[..], &["--turn-secret", "x"]].concat()));
    let peer = Peer::connect(server.address()).await;
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

/// Redis with the example settings and the password that they suggest; only port and folder differ.
#[tokio::test]
async fn a_cluster_runs_on_redis_as_it_is_deployed() {
    require!(Part::Redis);
    let settings = Path::new(FOLDER).join("redis.conf");
    let redis = Redis::start_with_password(&settings, "a-password").expect("Redis starts");

    let mut database = store::connect(&redis);
    let mut setting = |name: &str| -> String {
        let pair: Vec<String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query(&mut database)
            .expect("an answer");
        pair.into_iter().nth(1).unwrap_or_default()
    };

    assert_eq!(
        (setting("maxmemory-policy"), setting("save")),
        ("noeviction".into(), String::new()),
        "Redis uses these settings"
    );

    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let ((mut a, _), (mut b, _)) = pair(&one, &other).await;
    a.send(candidate(&b, 1)).await;

    assert_eq!(
        b.expect("ice_candidate").await["candidate"],
        1,
        "it carries calls"
    );

    // A full Redis drops nothing, as the file says.
    let limit = |bytes: &str| {
        let mut database = store::connect(&redis);
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("maxmemory")
            .arg(bytes)
            .exec(&mut database)
            .expect("an answer");
    };

    let before: BTreeSet<String> = store::keys(&redis).into_iter().collect();
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
        before.is_subset(&store::keys(&redis).into_iter().collect()),
        "nothing was dropped: {before:?}"
    );

    limit("256mb");
    one.ready(true).await;
    other.ready(true).await;
    b.send(candidate(&a, 2)).await;

    assert_eq!(
        a.expect("ice_candidate").await["candidate"],
        2,
        "the call continues"
    );
}

/// The names of the server's metrics in an expression of PromQL.
fn metrics_in(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("tandem_"))
}

fn expressions<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    // The query of the variable that chooses a data source is not an expression.
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
async fn the_dashboard_and_the_alerts_use_metrics_that_exist() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let node = Node::start(&redis).await;
    let answer = raw(
        node.address,
        b"GET /metrics HTTP/1.1\r\nHost: tandem\r\n\r\n",
    )
    .await;
    let answer = String::from_utf8(answer).expect("text");
    let (_, text) = answer.split_once("\r\n\r\n").expect("a body");
    let sample = |line: &'_ str| line.split(['{', ' ']).next().map(str::to_owned);
    let existing: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(sample)
        .collect();
    let dashboard: Value = serde_json::from_str(&file("grafana-dashboard.json")).expect("JSON");
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);

    assert!(asked.len() > 15, "every panel has an expression: {asked:?}");
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md");
    let guide = std::fs::read_to_string(guide).expect("a file of the repository");
    // A row of the table of alerts begins with an expression.
    let alerts: Vec<&str> = guide
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("tandem_"))
        .collect();

    assert!(alerts.len() >= 4, "the table of alerts: {alerts:?}");
    for expression in asked.into_iter().chain(alerts) {
        let names: Vec<&str> = metrics_in(expression).collect();
        assert!(
            !names.is_empty(),
            "the expression uses the server's metrics: {expression}"
        );

        for name in names {
            assert!(
                existing.contains(name),
                "{name} of {expression:?} is not among {existing:?}"
            );
        }

        // An expression with an unknown label selects nothing.
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
fn systemd_accepts_the_unit() {
    require!(Part::SystemdAnalyze);
    let folder = tempfile::tempdir().expect("a folder");
    // The unit starts the installed program; the test checks it with the one that was just built.
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
        .expect("systemd-analyze starts");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let about_the_unit: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("tandem-signaling"))
        .collect();

    assert!(
        verified.status.success() && about_the_unit.is_empty(),
        "{said}"
    );
}
