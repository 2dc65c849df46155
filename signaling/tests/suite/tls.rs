//! TLS of the real process, and the renewal of its certificate by SIGHUP.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::process::start;
use crate::support::{DEADLINE, raw, within};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A certificate and its key, in files that the server reads.
pub(crate) struct Files {
    _folder: tempfile::TempDir,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (cert, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );

        let files = Self {
            _folder: folder,
            cert,
            key,
        };

        files.renew();
        files
    }

    fn renew(&self) {
        let pair =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(&self.cert, pair.cert.pem()).expect("a writable folder");
        std::fs::write(&self.key, pair.signing_key.serialize_pem()).expect("a writable folder");
    }
}

/// The handshake of a client that trusts the certificate in this file and no other, and names these
/// protocols.
pub(crate) async fn handshake(
    address: SocketAddr,
    cert: &Path,
    protocols: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(cert).expect("a certificate"))
        .expect("a valid one");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let name = ServerName::try_from("localhost").expect("a name");

    within(
        "TLS",
        TlsConnector::from(Arc::new(config)).connect(name, stream),
    )
    .await
}

/// A registered client that trusts the certificate in this file and no other.
async fn connect(address: SocketAddr, cert: &Path) -> io::Result<Socket> {
    let stream = handshake(address, cert, &[]).await?;
    let mut socket = client_async("wss://localhost/ws", stream)
        .await
        .expect("an upgrade")
        .0;

    let registered = within("registration", socket.next())
        .await
        .expect("a message")
        .expect("a complete message");

    assert!(
        registered
            .to_text()
            .expect("text")
            .contains("user_registered")
    );

    Ok(socket)
}

async fn assert_open(socket: &mut Socket) {
    socket
        .send(Message::text(r#"{"type":"ping","t":1}"#))
        .await
        .expect("the connection is open");

    let pong = within("a pong", socket.next())
        .await
        .expect("a message")
        .expect("a complete message");
    assert!(pong.to_text().expect("text").contains("pong"), "{pong}");
}

#[tokio::test]
async fn sighup_serves_the_new_certificate_and_leaves_connections_alone() {
    let files = Files::new();
    let paths = [&files.cert, &files.key].map(|path| path.display().to_string());
    let reports = files.cert.with_extension("reports");
    let flags = [
        "--tls-cert",
        &paths[0],
        "--tls-key",
        &paths[1],
        "--reports",
        reports.to_str().expect("plain"),
    ];
    let mut server = start(&flags);
    let address = server.address();
    let mut first = connect(address, &files.cert)
        .await
        .expect("the certificate is good");
    let old = files.cert.with_extension("old");
    std::fs::copy(&files.cert, &old).expect("a writable folder");
    files.renew();

    assert!(
        connect(address, &files.cert).await.is_err(),
        "the new certificate is not served before the server reads it"
    );

    server.process().signal(libc::SIGHUP);
    within("the new certificate", async {
        while connect(address, &files.cert).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;

    assert!(
        connect(address, &old).await.is_err(),
        "the old certificate is no longer served"
    );
    assert_open(&mut first).await;

    // Files that do not belong together leave the last certificate in service.
    std::fs::copy(&files.cert, &old).expect("a writable folder");
    files.renew();
    std::fs::copy(&old, &files.cert).expect("a writable folder");
    std::fs::remove_file(&reports).expect("it was created at the start");
    server.process().signal(libc::SIGHUP);
    within(
        "the file of reports, which is opened again after the certificate is read",
        async {
            while !reports.exists() {
                sleep(Duration::from_millis(20)).await;
            }
        },
    )
    .await;
    let mut second = connect(address, &old)
        .await
        .expect("the last good certificate is served");
    // Plain HTTP to the TLS port does no harm.
    raw(address, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;

    assert_open(&mut first).await;
    assert_open(&mut second).await;
    server.process().signal(libc::SIGTERM);
    let (code, log) = server.finish(DEADLINE).expect("it ends");

    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("is not the private key of"),
        "the log says why: {log}"
    );
}
