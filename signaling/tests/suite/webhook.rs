//! Notices of new reports to another program.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_tests::{Authority, ServerProcess, Validity};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::process::{command, run, start_command};
use crate::support::{pair, within};

/// A server that tells this address of reports, and trusts `authority` if there is one.
fn start(folder: &tempfile::TempDir, url: &str, authority: Option<&Authority>) -> ServerProcess {
    let reports = folder.path().join("reports.jsonl").display().to_string();
    let mut command = command(&[
        "--listen",
        "127.0.0.1:0",
        "--reports",
        &reports,
        "--report-webhook",
        url,
    ]);
    if let Some(authority) = authority {
        command.env("SSL_CERT_FILE", authority.file());
    }

    start_command(command)
}

/// Makes a report about a new call. Returns its id.
async fn report(server: &ServerProcess) -> String {
    let ((mut a, found), _b) = pair(server.address()).await;
    let report = json!({
        "type": "report", "sessionId": found["sessionId"], "category": "spam", "text": "secret words",
    });
    a.send(report).await;
    let received = a.expect("report_received").await;
    received["reportId"].as_str().expect("an id").to_owned()
}

/// Reads a request and answers it. Returns its head and its body.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: &str) -> (String, Value) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }

    let head = String::from_utf8(head).expect("text");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .and_then(|length| length.parse().ok())
        .expect("a length");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the whole body");
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    stream
        .write_all(answer.as_bytes())
        .await
        .expect("it is read");

    (head, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn a_new_report_is_told_over_tls_and_again_after_an_error() {
    let authority = Authority::new().expect("an authority");
    let identity = authority
        .sign(&["localhost"], Validity::Valid)
        .expect("a certificate");
    let chain = CertificateDer::pem_file_iter(&identity.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .expect("a chain");
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("https://localhost:{port}/hook?key=k");
    let server = start(&folder, &url, Some(&authority));
    let id = report(&server).await;

    for status in ["503 Busy", "204 No Content"] {
        let (stream, _) = within("a connection", listener.accept())
            .await
            .expect("a connection");
        let stream = acceptor.accept(stream).await.expect("the root is trusted");
        let (head, body) = within("a notice", answer(stream, status)).await;
        assert!(head.starts_with("POST /hook?key=k HTTP/1.1\r\n"), "{head}");
        assert_eq!(
            (&body["event"], &body["reportId"], &body["category"]),
            (&json!("report"), &json!(id), &json!("spam"))
        );
        assert!(body["reported"]["peer"].is_string(), "{body}");
        assert!(!body.to_string().contains("secret"), "{body}");
    }

    within("the count", async {
        let delivered = "tandem_webhooks_total{event=\"delivered\"}";
        while server.metric(delivered).expect("a metric") < 1.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_hangs_keeps_nobody_from_reporting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder, &format!("http://{address}/"), None);

    report(&server).await;
    // It is accepted, and never answered.
    let _hanging = within("a connection", listener.accept())
        .await
        .expect("a connection");
    for _ in 0..5 {
        report(&server).await;
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_second_report_of_a_call_in_the_stream_is_not_told_again() {
    use tandem_tests::{Part, Redis, require};

    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let node = crate::support::nodes::Node::start_with(&redis, &["--report-webhook", &url]);
    node.ready(true).await;

    let mut told = Vec::new();
    for _ in 0..2 {
        let ((mut a, found), _b) = crate::support::nodes::pair(&node, &node).await;
        let session = &found["sessionId"];
        let mut ids = Vec::new();
        for category in ["spam", "harassment"] {
            let report = json!({ "type": "report", "sessionId": session, "category": category });
            a.send(report).await;
            ids.push(a.expect("report_received").await["reportId"].clone());
        }
        assert_eq!(ids[0], ids[1]);

        let (stream, _) = within("a connection", listener.accept())
            .await
            .expect("a connection");
        let (_, body) = within("a notice", answer(stream, "204 No Content")).await;
        assert_eq!(body["reportId"], ids[0]);
        told.push(body["reportId"].clone());
    }

    // The second notice was of the second call: nothing came in between.
    assert_ne!(told[0], told[1]);
    let lines = crate::support::store::reports(&redis);
    assert_eq!(lines.len(), 4, "the stream has the updates");
}

#[test]
fn an_address_that_would_tell_the_network_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let reports = folder.path().join("reports.jsonl").display().to_string();
    let refused = command(&[
        "--listen",
        "127.0.0.1:0",
        "--reports",
        &reports,
        "--report-webhook",
        "http://hooks.example.org/secret",
    ]);
    let (code, process) = run(refused);
    assert_eq!(code, Some(2));
    let error = process.stderr();
    assert!(
        error.contains("https://") && !error.contains("secret"),
        "{error}"
    );
}
