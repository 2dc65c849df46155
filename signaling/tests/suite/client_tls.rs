//! The client over TLS, against the real server with certificates of an authority of the test.

use std::time::Duration;

use tandem_signaling::ServerUrl;
use tandem_signaling::client::{
    BearerToken, Client, ClientConfig, ClientErrorCode, ClientEvent, TrustedRoots,
};
use tandem_signaling::message::ClientMessage;
use tandem_signaling::server::{SignalingServer, SignalingServerBuilder};
use tandem_tests::{Authority, Validity, token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Events, config, connected, listener, next};
use crate::support::{start, within};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// A server with a certificate for `names`, and the authority that signed it.
async fn server(
    names: &[&str],
    validity: Validity,
    builder: SignalingServerBuilder,
) -> (SignalingServer, Authority) {
    let authority = Authority::new().expect("an authority");
    let identity = authority.sign(names, validity).expect("a certificate");
    let server = start(builder.tls(&identity.cert, &identity.key)).await;

    (server, authority)
}

fn url(server: &SignalingServer, host: &str) -> ServerUrl {
    let port = server.local_addr().port();
    format!("wss://{host}:{port}").parse().expect("an address")
}

/// A client that trusts `authority`, if there is one.
fn trusting(url: ServerUrl, authority: Option<&Authority>) -> ClientConfig {
    let roots = authority.map_or_else(TrustedRoots::default, |authority| {
        TrustedRoots::with_file(authority.file()).expect("a certificate")
    });

    ClientConfig {
        roots,
        ..config(url)
    }
}

/// Why the first attempt failed, and whether another follows.
async fn refused(config: ClientConfig) -> (ClientErrorCode, bool) {
    let (_client, mut events) = Client::connect(config);
    match next(&mut events).await {
        ClientEvent::Disconnected { error, retry_in } => (error.code(), retry_in.is_some()),
        other => panic!("expected a refusal: {other:?}"),
    }
}

async fn assert_works(client: &Client, events: &mut Events) {
    client.send(ClientMessage::CancelSearch).expect("connected");
    match next(events).await {
        ClientEvent::Message(message) => assert_eq!(message.kind(), "search_cancelled"),
        other => panic!("expected an answer: {other:?}"),
    }
}

#[tokio::test]
async fn a_client_meets_a_server_whose_authority_it_trusts() {
    let names = ["localhost", "127.0.0.1"];
    let (server, authority) = server(&names, Validity::Valid, SignalingServer::builder()).await;

    for host in names {
        let config = trusting(url(&server, host), Some(&authority));
        let (client, mut events) = Client::connect(config);
        connected(&mut events).await;
        assert_works(&client, &mut events).await;
        within("closing", client.close()).await;
    }

    server.shutdown().await;
}

#[tokio::test]
async fn a_bad_certificate_is_told_by_its_fault_and_not_tried_again() {
    for (names, validity, is_trusted, code) in [
        (
            ["localhost"],
            Validity::Valid,
            false,
            ClientErrorCode::TlsUntrusted,
        ),
        (
            ["localhost"],
            Validity::Expired,
            true,
            ClientErrorCode::TlsExpired,
        ),
        (
            ["localhost"],
            Validity::NotYet,
            true,
            ClientErrorCode::TlsExpired,
        ),
        (
            ["chat.example"],
            Validity::Valid,
            true,
            ClientErrorCode::TlsWrongName,
        ),
    ] {
        let (server, authority) = server(&names, validity, SignalingServer::builder()).await;
        let config = trusting(url(&server, "localhost"), is_trusted.then_some(&authority));

        assert_eq!(
            refused(config).await,
            (code, false),
            "{names:?} {validity:?}"
        );
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_taken_for_one_with_tls() {
    let plain = start(SignalingServer::builder()).await;
    assert_eq!(
        refused(trusting(url(&plain, "localhost"), None)).await.0,
        ClientErrorCode::TlsMissing,
        "the server answers in HTTP"
    );

    let (encrypted, _) = server(&["localhost"], Validity::Valid, SignalingServer::builder()).await;
    let plain_url = format!("ws://{}", encrypted.local_addr());
    assert_eq!(
        refused(config(plain_url.parse().expect("an address"))).await,
        (ClientErrorCode::NotASignalingServer, false),
        "the server answers in TLS"
    );

    plain.shutdown().await;
    encrypted.shutdown().await;
}

#[tokio::test]
async fn a_server_that_wants_a_token_gets_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, SECRET).expect("a writable folder");
    let builder = SignalingServer::builder().jwt_key(&key);
    let (server, authority) = server(&["localhost"], Validity::Valid, builder).await;

    let with = |token: Option<String>| ClientConfig {
        token: token.map(|token| BearerToken::new(&token).expect("a token")),
        ..trusting(url(&server, "localhost"), Some(&authority))
    };

    assert_eq!(
        refused(with(None)).await,
        (ClientErrorCode::TokenNeeded, false)
    );
    assert_eq!(
        refused(with(Some(token(b"another", "ada")))).await,
        (ClientErrorCode::TokenRefused, false)
    );

    let (client, mut events) = Client::connect(with(Some(token(SECRET, "ada"))));
    connected(&mut events).await;
    assert_works(&client, &mut events).await;

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_token_is_not_sent_where_others_can_read_it() {
    let token = Some(BearerToken::new("secret").expect("a token"));
    let exposed = ClientConfig {
        token: token.clone(),
        // A documentation address (RFC 5737): nothing answers there, and nothing is sent.
        ..config("ws://192.0.2.7:9000".parse().expect("an address"))
    };
    assert_eq!(
        refused(exposed).await,
        (ClientErrorCode::TokenExposed, false),
        "without waiting for a connection"
    );

    let (listener, address) = listener().await;
    let private = ClientConfig {
        token,
        ..config(format!("ws://{address}").parse().expect("an address"))
    };
    let (_client, _events) = Client::connect(private);
    let (mut stream, _) = within("a connection", listener.accept())
        .await
        .expect("a connection");
    let mut head = vec![0; 4096];
    let length = within("a request", stream.read(&mut head))
        .await
        .expect("a request");
    let head = String::from_utf8_lossy(&head[..length]);
    assert!(
        head.to_lowercase()
            .contains("authorization: bearer secret\r\n"),
        "this machine is reached without TLS: {head}"
    );
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let (first, address) = listener().await;
    let (second, elsewhere) = listener().await;
    let config = ClientConfig {
        token: Some(BearerToken::new("secret").expect("a token")),
        ..config(format!("ws://{address}").parse().expect("an address"))
    };

    let (_client, mut events) = Client::connect(config);
    let (mut stream, _) = within("a connection", first.accept())
        .await
        .expect("a connection");
    let answer = format!(
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: ws://{elsewhere}/ws\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.expect("open");

    match next(&mut events).await {
        ClientEvent::Disconnected { error, retry_in } => {
            assert_eq!(error.code(), ClientErrorCode::Redirected);
            assert_eq!(retry_in, None);
        }
        other => panic!("expected a refusal: {other:?}"),
    }

    let visitor = tokio::time::timeout(Duration::from_millis(300), second.accept()).await;
    assert!(visitor.is_err(), "no client came, and no token was sent");
}
