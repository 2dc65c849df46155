//! Reports, bans and the admin socket, over real processes: what a moderator does, from the report to
//! the ban and its end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tandem_tests::ServerProcess;
use tandem_turn::client::RequestError;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::process::{command, run, start, start_command};
use crate::support::{DEADLINE, Peer, pair, within};

/// A server with an admin socket and a file of reports, which believes where clients say that they
/// come from.
struct Moderated {
    folder: tempfile::TempDir,
    server: ServerProcess,
}

impl Moderated {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (socket, reports) = (path("admin.sock"), path("reports.jsonl"));
        let own = [
            "--admin-socket",
            &socket,
            "--reports",
            &reports,
            "--trusted-proxy",
            "127.0.0.0/8",
            "--drain-deadline",
            "5s",
        ];
        let server = start(&[&own, args].concat());
        Self { folder, server }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// A client from this address.
    async fn peer(&self, address: &str) -> Peer {
        let (socket, first) = connect(&self.server, address).await;
        assert_eq!(first["type"], "user_registered", "{first}");
        Peer {
            socket,
            registered: first,
        }
    }

    /// What `admin` prints for these words, which must succeed.
    fn admin(&self, words: &[&str]) -> Value {
        let (code, answer) = admin(&self.socket(), words);
        assert_eq!(code, Some(0), "{words:?}: {answer}");
        answer
    }
}

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

/// Connects from this address. Returns the first message, too.
async fn connect(server: &ServerProcess, address: &str) -> (Socket, Value) {
    let stream = TcpStream::connect(server.address())
        .await
        .expect("the server listens");
    let mut request = format!("ws://{}/ws", server.address())
        .into_client_request()
        .expect("an address");
    let from = address.parse().expect("a header's value");
    request.headers_mut().insert("x-forwarded-for", from);

    let (mut socket, _) = within("the upgrade", client_async(request, stream))
        .await
        .expect("an upgrade");
    let first = match within("the first message", socket.next()).await {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("expected a message: {other:?}"),
    };
    (socket, first)
}

/// Runs `admin --json` with these words: its exit code, and what it printed.
fn admin(socket: &Path, words: &[&str]) -> (Option<i32>, Value) {
    let mut command = command(&["admin", "--json", "--socket"]);
    command.arg(socket).args(words);
    let (code, process) = run(command);
    let answer = serde_json::from_str(&process.stdout());
    (code, answer.unwrap_or_else(|_| process.stderr().into()))
}

/// Puts two clients into a call. Returns its session.
async fn call(a: &mut Peer, b: &mut Peer) -> Value {
    let room = uuid::Uuid::new_v4().to_string();
    for peer in [&mut *a, &mut *b] {
        peer.send(json!({ "type": "find_partner", "room": room }))
            .await;
        peer.expect("searching").await;
    }

    b.expect("partner_found").await;
    a.expect("partner_found").await["sessionId"].clone()
}

async fn report(peer: &mut Peer, session: &Value) -> String {
    let report = json!({
        "type": "report", "sessionId": session, "category": "harassment", "text": "insults me",
    });
    peer.send(report).await;
    let received = peer.expect("report_received").await;
    received["reportId"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_report_is_found_answered_by_a_ban_and_closed() {
    let moderated = Moderated::start(&[]);
    let mut ann = moderated.peer("203.0.113.7").await;
    let mut ben = moderated.peer("198.51.100.7").await;
    let session = call(&mut ann, &mut ben).await;
    let id = report(&mut ann, &session).await;
    assert_eq!(report(&mut ann, &session).await, id, "an update");

    let listed = moderated.admin(&["reports"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let read = moderated.admin(&["report", &id]);
    assert_eq!(
        (&read["sessionId"], &read["text"]),
        (&session, &json!("insults me"))
    );
    assert!(!read.to_string().contains("198.51"), "no address: {read}");

    let calls = moderated.admin(&["calls"]);
    assert_eq!(calls[0]["session"], session, "{calls}");
    let connections = moderated.admin(&["connections"]);
    assert!(!connections.to_string().contains("198.51"), "{connections}");
    let file = moderated.folder.path().join("reports.jsonl");
    let file = std::fs::read_to_string(file).expect("the file of reports");
    assert!(
        !file.contains("198.51") && !file.contains("203.0"),
        "{file}"
    );
    let states: Vec<_> = connections.as_array().expect("a list").iter().collect();
    assert!(
        states.len() == 2 && states.iter().all(|client| client["state"] == "in_call"),
        "{connections}"
    );

    let banned = moderated.admin(&["ban", &id, "--for", "1h"]);
    assert_eq!(
        (&banned["peer"], &banned["ended"]),
        (&read["reported"]["peer"], &json!(1))
    );
    ben.expect_error("banned").await;
    assert_eq!(ben.expect_close().await, 4005);
    let left = ann.expect("partner_left").await;
    assert_eq!(
        left["reason"], "left",
        "at once, not after the resume window"
    );

    for address in ["198.51.100.7", "198.51.100.200"] {
        let (_, refused) = connect(&moderated.server, address).await;
        assert_eq!(refused["code"], "banned", "the same /24: {refused}");
        let text = refused["message"].as_str().expect("a sentence");
        assert!(text.contains("60 minutes"), "{text}");
    }
    moderated.peer("198.51.101.7").await;
    assert_eq!(moderated.admin(&["stats"])["bans"], 1);
    assert_eq!(
        moderated.server.metric("tandem_bans").expect("a metric"),
        1.0
    );

    moderated.admin(&["close", &id, "--note", "banned for an hour"]);
    assert_eq!(moderated.admin(&["reports"]), json!([]));
    let closed = moderated.admin(&["reports", "--all"]);
    assert_eq!(closed[0]["closed"]["note"], "banned for an hour");

    let peer = banned["peer"].as_str().expect("a hash");
    assert_eq!(moderated.admin(&["unban", peer])["wasBanned"], true);
    moderated.peer("198.51.100.7").await;
    moderated.admin(&["delete", &id]);
    assert_eq!(admin(&moderated.socket(), &["report", &id]).0, Some(1));
}

#[tokio::test]
async fn a_ban_by_a_report_holds_where_the_reported_person_has_moved_since() {
    let moderated = Moderated::start(&[]);
    let mut ann = moderated.peer("203.0.113.7").await;
    let mut ben = moderated.peer("198.51.100.7").await;
    let session = call(&mut ann, &mut ben).await;
    let id = report(&mut ann, &session).await;

    let token = ben.registered["resumeToken"].clone();
    let mut moved = moderated.peer("192.0.2.7").await;
    moved
        .send(json!({ "type": "resume", "resumeToken": token, "lastSeq": 0 }))
        .await;
    moved.expect("resumed").await;
    assert_eq!(ben.expect_close().await, 4002);

    let banned = moderated.admin(&["ban", &id]);
    assert_eq!(banned["ended"], 1, "{banned}");
    moved.expect_error("banned").await;
    assert_eq!(moved.expect_close().await, 4005);
    for address in ["198.51.100.7", "192.0.2.7"] {
        let (_, first) = connect(&moderated.server, address).await;
        assert_eq!(first["code"], "banned", "{address}: {first}");
    }

    let bans = moderated.admin(&["bans"]);
    let peers: Vec<_> = bans.as_array().expect("a list").iter().collect();
    for key in ["peer", "movedTo"] {
        let is_banned = peers.iter().any(|ban| ban["peer"] == banned[key]);
        assert!(is_banned, "{key}: {banned} {bans}");
    }
}

#[tokio::test]
async fn a_kick_ends_what_the_client_has_at_the_turn_server() {
    let moderated = Moderated::start(&["--turn-listen", "127.0.0.1:0"]);
    let mut ann = moderated.peer("203.0.113.7").await;
    let mut ben = moderated.peer("198.51.100.7").await;
    call(&mut ann, &mut ben).await;
    let client = || crate::turn_server::client(&ben.registered["iceServers"]);
    let mut of_ben = client();
    of_ben.allocate().expect("an allocation outside of a call");

    let user = ben.registered["userId"].as_str().expect("an id");
    moderated.admin(&["kick", user]);
    crate::turn_server::wait_for_ended(&moderated.server, 1.0);
    for refused in [of_ben.refresh(600).err(), client().allocate().err()] {
        assert!(
            matches!(refused, Some(RequestError::Refused(401))),
            "{refused:?}"
        );
    }
    assert_eq!(ben.expect_close().await, 4006);
}

#[tokio::test]
async fn when_the_disk_is_full_the_reporter_hears_it_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let reports = folder.path().join("reports.jsonl");
    let mut shell = std::process::Command::new("sh");
    // A write beyond the limit of a file fails, after a part of it, as on a full disk.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"]);
    shell.arg(env!("CARGO_BIN_EXE_tandem-signaling"));
    shell
        .args(["--listen", "127.0.0.1:0", "--reports"])
        .arg(&reports);
    let server = start_command(shell);

    let mut received = Vec::new();
    let error = loop {
        let ((mut a, found), _b) = pair(server.address()).await;
        let session = &found["sessionId"];
        a.send(json!({ "type": "report", "sessionId": session, "category": "spam" }))
            .await;
        let text = a.next().await.expect("an answer");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        if answer["type"] == "error" {
            break answer;
        }

        received.push(answer["reportId"].clone());
        assert!(received.len() < 20, "the file has a limit");
    };

    assert!(!received.is_empty());
    assert_eq!(error["code"], "internal");
    let text = error["message"].as_str().expect("a sentence");
    assert!(text.contains("no room"), "{text}");
    let file = std::fs::read_to_string(&reports).expect("the file of reports");
    let ids: Vec<Value> = file
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("whole lines")["reportId"].clone())
        .collect();
    assert_eq!(ids, received);
    let failed = "tandem_reports_total{event=\"failed\"}";
    assert_eq!(server.metric(failed).expect("a metric"), 1.0);
}

#[tokio::test]
async fn a_ban_ends_by_itself() {
    let moderated = Moderated::start(&[]);
    let mut ben = moderated.peer("198.51.100.7").await;
    let user = ben.registered["userId"].as_str().expect("an id").to_owned();
    moderated.admin(&["ban", &user, "--for", "5s"]);
    ben.expect_error("banned").await;
    let (_, refused) = connect(&moderated.server, "198.51.100.7").await;
    assert_eq!(refused["code"], "banned");

    within("the end of the ban", async {
        while connect(&moderated.server, "198.51.100.7").await.1["type"] != "user_registered" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(moderated.admin(&["bans"]), json!([]));
}

#[tokio::test]
async fn a_ban_outlives_the_server_and_so_does_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("peer.key").display().to_string();
    let mut server = Moderated::start(&["--peer-key", &key]);
    let ben = server.peer("198.51.100.7").await;
    let user = ben.registered["userId"].as_str().expect("an id");
    let banned = server.admin(&["ban", user]);

    for lift in [true, false] {
        server.admin(&["drain"]);
        let code = server.server.process().wait(DEADLINE).expect("it ends");
        assert_eq!(code, Some(0));
        server = Moderated::start(&["--peer-key", &key]);
        let (_, first) = connect(&server.server, "198.51.100.7").await;
        if lift {
            assert_eq!(first["code"], "banned", "{first}");
            let peer = banned["peer"].as_str().expect("a hash");
            server.admin(&["unban", peer]);
        } else {
            assert_eq!(first["type"], "user_registered", "{first}");
        }
    }
}

#[tokio::test]
async fn a_ban_is_on_the_disk_before_the_operator_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("peer.key").display().to_string();
    let mut server = Moderated::start(&["--peer-key", &key]);
    let ben = server.peer("198.51.100.7").await;
    let user = ben.registered["userId"].as_str().expect("an id");
    let banned = server.admin(&["ban", user]);
    let process = server.server.process();
    process.signal(libc::SIGKILL);
    process.wait(DEADLINE).expect("it ends");

    let mut server = Moderated::start(&["--peer-key", &key]);
    let (_, first) = connect(&server.server, "198.51.100.7").await;
    assert_eq!(first["code"], "banned", "{first}");
    server.admin(&["unban", banned["peer"].as_str().expect("a hash")]);
    let process = server.server.process();
    process.signal(libc::SIGKILL);
    process.wait(DEADLINE).expect("it ends");

    let server = Moderated::start(&["--peer-key", &key]);
    server.peer("198.51.100.7").await;
}

#[tokio::test]
async fn a_signal_after_drain_lets_calls_end() {
    let mut moderated = Moderated::start(&[]);
    let mut ann = moderated.peer("203.0.113.7").await;
    let mut ben = moderated.peer("198.51.100.7").await;
    let session = call(&mut ann, &mut ben).await;
    moderated.admin(&["drain"]);
    for peer in [&mut ann, &mut ben] {
        peer.expect("server_draining").await;
    }
    let process = moderated.server.process();
    process
        .wait_for_log(DEADLINE, |line| {
            line.contains("draining: no new").then_some(())
        })
        .expect("it drains");
    process.signal(libc::SIGTERM);
    process
        .wait_for_log(DEADLINE, |line| {
            line.contains("draining already").then_some(())
        })
        .expect("the signal cuts nothing");

    ann.send(json!({ "type": "end_session", "sessionId": session }))
        .await;
    ann.expect("session_ended").await;
    ben.expect("partner_left").await;
    let code = moderated.server.process().wait(DEADLINE).expect("it ends");
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn the_reports_of_one_flooder_are_deleted_at_once() {
    let moderated = Moderated::start(&[]);
    let mut ben = moderated.peer("198.51.100.7").await;
    let mut ids = Vec::new();
    for address in ["203.0.113.7", "203.0.113.8", "192.0.2.7"] {
        let mut ann = moderated.peer(address).await;
        let session = call(&mut ann, &mut ben).await;
        ids.push(report(&mut ann, &session).await);
        ann.send(json!({ "type": "end_session", "sessionId": session }))
            .await;
        ben.expect("partner_left").await;
    }

    let read = moderated.admin(&["report", &ids[0]]);
    let flooder = read["reporter"]["peer"].as_str().expect("a hash");
    let deleted = moderated.admin(&["delete", "--reporter", flooder]);
    assert_eq!(deleted["deleted"], 2, "one network is one reporter");
    let left = moderated.admin(&["reports"]);
    assert_eq!(left[0]["reportId"], json!(ids[2]), "{left}");
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    let (code, error) = admin(&moderated.socket(), &["delete"]);
    assert_eq!(code, Some(2), "{error}");
}

#[tokio::test]
async fn a_ban_also_ends_the_call_of_someone_who_is_away() {
    let moderated = Moderated::start(&[]);
    let mut ann = moderated.peer("203.0.113.7").await;
    let mut ben = moderated.peer("198.51.100.7").await;
    let session = call(&mut ann, &mut ben).await;
    let id = report(&mut ann, &session).await;
    drop(ben);
    ann.expect("partner_reconnecting").await;

    moderated.admin(&["ban", &id]);
    assert_eq!(ann.expect("partner_left").await["reason"], "left");
}

#[tokio::test]
async fn a_kicked_client_may_come_back() {
    let moderated = Moderated::start(&[]);
    let mut ann = moderated.peer("203.0.113.7").await;
    let mut ben = moderated.peer("198.51.100.7").await;
    call(&mut ann, &mut ben).await;
    let user = ben.registered["userId"].as_str().expect("an id").to_owned();
    moderated.admin(&["kick", &user]);
    assert_eq!(ben.expect_close().await, 4006);
    assert_eq!(ann.expect("partner_left").await["reason"], "left");

    let (code, error) = admin(&moderated.socket(), &["kick", &user]);
    assert_eq!(code, Some(1), "{error}");
    moderated.peer("198.51.100.7").await;
}

#[tokio::test]
async fn repeated_reports_restrict_if_several_people_make_them() {
    let moderated = Moderated::start(&["--restrict-after", "2", "--restrict-for", "1h"]);
    let mut ben = moderated.peer("198.51.100.7").await;

    // One person, in two calls.
    let mut ann = moderated.peer("203.0.113.7").await;
    for _ in 0..2 {
        let session = call(&mut ann, &mut ben).await;
        report(&mut ann, &session).await;
        ann.send(json!({ "type": "end_session", "sessionId": session }))
            .await;
        ann.expect("session_ended").await;
        ben.expect("partner_left").await;
    }
    ben.expect_quiet().await;

    let mut cem = moderated.peer("192.0.2.7").await;
    let session = call(&mut cem, &mut ben).await;
    cem.send(json!({ "type": "report", "sessionId": session, "category": "spam" }))
        .await;
    ben.expect_error("banned").await;
    let bans = moderated.admin(&["bans"]);
    assert_eq!(bans.as_array().map(Vec::len), Some(1), "{bans}");
}

#[tokio::test]
async fn a_new_entry_of_the_ban_file_ends_the_call_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let bans = folder.path().join("bans");
    std::fs::write(&bans, "").expect("a writable folder");
    let mut moderated = Moderated::start(&["--ban-file", &bans.display().to_string()]);
    let mut ann = moderated.peer("203.0.113.7").await;
    let mut ben = moderated.peer("198.51.100.7").await;
    call(&mut ann, &mut ben).await;

    std::fs::write(&bans, "198.51.100.7\n").expect("a writable file");
    moderated.server.process().signal(libc::SIGHUP);
    ben.expect_error("banned").await;
    assert_eq!(ben.expect_close().await, 4005);
    let next: Value = serde_json::from_str(&ann.next().await.expect("a message")).expect("JSON");
    assert_eq!(
        (&next["type"], &next["reason"]),
        (&json!("partner_left"), &json!("left")),
        "not a partner who may come back"
    );
}

#[tokio::test]
async fn drain_shuts_the_server_down_and_leaves_no_socket() {
    let mut moderated = Moderated::start(&[]);
    let mut ann = moderated.peer("203.0.113.7").await;
    let socket = moderated.socket();
    moderated.admin(&["drain"]);
    ann.expect("server_draining").await;
    let code = moderated.server.process().wait(DEADLINE).expect("it ends");
    assert_eq!(code, Some(0));
    assert!(!socket.exists());

    let (code, error) = admin(&socket, &["stats"]);
    assert_eq!(code, Some(1));
    assert!(error.to_string().contains("no server listens"), "{error}");
}

#[tokio::test]
async fn commands_that_are_wrong_change_nothing_and_others_still_work() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    let moderated = Moderated::start(&[]);
    let ask = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(moderated.socket()).expect("a server");
        // It may answer, and close, before all of it is written.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };

    for bad in [
        &b"\n"[..],
        b"",
        b"stats\n",
        b"\xFF\xFE\n",
        b"{\"command\":\"format\"}\n",
        b"{\"command\":\"ban\",\"who\":\"everyone\"}\n",
    ] {
        let answer = ask(bad);
        assert!(answer.starts_with("{\"error\":"), "{bad:?}: {answer}");
    }

    // Too long: refused without being read to its end.
    ask(&vec![b'x'; 10 << 20]);
    // These never send or read anything.
    let _idle: Vec<_> = (0..3)
        .map(|_| UnixStream::connect(moderated.socket()).expect("a server"))
        .collect();
    assert_eq!(moderated.admin(&["stats"])["connections"], 0);
    assert_eq!(moderated.admin(&["bans"]), json!([]));
}

#[test]
fn two_servers_do_not_share_an_admin_socket() {
    let moderated = Moderated::start(&[]);
    let mut second = command(&["--listen", "127.0.0.1:0", "--admin-socket"]);
    second.arg(moderated.socket());
    let (code, process) = run(second);
    assert_eq!(code, Some(2));
    assert!(
        process
            .stderr()
            .contains("another server has the admin socket"),
        "{}",
        process.stderr()
    );
    moderated.admin(&["stats"]);
}

#[cfg(feature = "redis")]
mod cluster;

#[tokio::test]
async fn a_snapshot_that_no_report_names_is_deleted_when_the_server_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let reports = folder.path().join("reports.jsonl");
    let snapshots = folder.path().join("reports.jsonl.snapshots");
    std::fs::create_dir(&snapshots).expect("a writable folder");
    let an_hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    let write = |name: String| {
        let path = snapshots.join(name);
        let file = std::fs::File::create(&path).expect("a writable folder");
        file.set_modified(an_hour_ago).expect("a file of its own");
        path
    };

    // Its server was killed before it wrote the report.
    let leftover = write(format!("{}.jpg", uuid::Uuid::new_v4()));
    let named = uuid::Uuid::new_v4();
    let report = json!({ "reportId": named, "atMs": 9_000_000_000_000_000_u64, "snapshot": format!("{named}.jpg") });
    std::fs::write(&reports, format!("{report}\n")).expect("a writable folder");
    let (named, other) = (write(format!("{named}.jpg")), write("cat.jpg".into()));

    let path = reports.display().to_string();
    let server = start(&["--reports", &path]);
    within("the deletion", async {
        while leftover.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(named.exists() && other.exists());
    drop(server);
}
