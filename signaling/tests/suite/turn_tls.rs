//! TURN over TLS on the port of HTTPS, and the page that tests the TURN server.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_tests::ServerProcess;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::client::TlsStream;

use crate::support::process::{command, run, start};
use crate::support::within;
use crate::tls::{Files, handshake};

const TURN: &[&[u8]] = &[b"stun.turn"];
/// Browsers name no protocol.
const NONE: &[&[u8]] = &[];

fn server(files: &Files, more: &[&str]) -> ServerProcess {
    let (cert, key) = (files.cert.to_str(), files.key.to_str());
    let (cert, key) = (cert.expect("UTF-8"), key.expect("UTF-8"));
    let flags = ["--tls-cert", cert, "--tls-key", key];
    start(&[&flags[..], &["--turn-listen", "127.0.0.1:0"], more].concat())
}

/// A request without attributes, and the kind of message that answers it.
async fn ask(stream: &mut TlsStream<TcpStream>, kind: u16) -> u16 {
    let mut request = kind.to_be_bytes().to_vec();
    request.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
    request.extend([9; 12]);
    stream.write_all(&request).await.expect("it is sent");
    stream.flush().await.expect("it is sent");

    let mut head = [0; 20];
    within("an answer", stream.read_exact(&mut head))
        .await
        .expect("a STUN message");
    assert_eq!(head[8..], [9; 12], "to this request");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
    within("the rest", stream.read_exact(&mut rest))
        .await
        .expect("attributes");
    u16::from_be_bytes([head[0], head[1]])
}

const BINDING: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const ALLOCATE: u16 = 0x0003;
const ALLOCATE_ERROR: u16 = 0x0113;

async fn get(address: SocketAddr, files: &Files, path: &str) -> String {
    let mut stream = handshake(address, &files.cert, NONE).await.expect("TLS");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is sent");
    let mut answer = String::new();
    // The server ends the connection, perhaps without a closing alert.
    let _ = within("an answer", stream.read_to_string(&mut answer)).await;
    answer
}

#[tokio::test]
async fn turn_and_http_share_a_port() {
    let files = Files::new();
    let server = server(&files, &["--turn-tls-name", "localhost"]);
    let address = server.address();
    for protocols in [TURN, NONE] {
        let mut stream = handshake(address, &files.cert, protocols)
            .await
            .expect("TLS");
        assert_eq!(ask(&mut stream, BINDING).await, BINDING_SUCCESS);
        assert_eq!(
            ask(&mut stream, ALLOCATE).await,
            ALLOCATE_ERROR,
            "no credentials"
        );
    }

    let answer = get(address, &files, "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_turn_client_has_more_time_than_an_upgrade_but_not_forever() {
    let files = Files::new();
    let server = server(&files, &["--turn-tls-name", "localhost"]);
    let connect = || handshake(server.address(), &files.cert, TURN);
    let (mut turn, mut http) = (
        connect().await.expect("TLS"),
        handshake(server.address(), &files.cert, NONE)
            .await
            .expect("TLS"),
    );

    sleep(Duration::from_secs(7)).await;
    assert_eq!(ask(&mut turn, BINDING).await, BINDING_SUCCESS);
    let ended = within("the end", http.read(&mut [0; 16])).await;
    assert!(!matches!(ended, Ok(1..)), "no request in 5 s: {ended:?}");

    // Without an allocation, it ends after 20 s at most.
    let ended = within("the end", turn.read(&mut [0; 16])).await;
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
}

#[tokio::test]
async fn a_handshake_of_one_byte_a_second_is_cut_off_and_holds_up_nobody() {
    let files = Files::new();
    let server = server(&files, &["--turn-tls-name", "localhost"]);
    let slow = TcpStream::connect(server.address())
        .await
        .expect("the server listens");
    let (mut reading, mut writing) = slow.into_split();
    // A handshake message as long as a record may be, which would take four and a half hours.
    let trickle = async {
        let head = [22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc].into_iter();
        for byte in head.chain(std::iter::repeat(0)) {
            // Reading notices the end, too.
            let _ = writing.write_all(&[byte]).await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    let others = async {
        for protocols in [TURN, NONE] {
            let mut stream = handshake(server.address(), &files.cert, protocols)
                .await
                .expect("TLS");
            assert_eq!(ask(&mut stream, BINDING).await, BINDING_SUCCESS);
        }

        let answer = get(server.address(), &files, "/livez").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    };
    let mut rest = Vec::new();
    let ended = within("the end of the slow one", async {
        tokio::select! {
            ended = reading.read_to_end(&mut rest) => ended,
            () = trickle => unreachable!("it never ends"),
        }
    });

    let (ended, ()) = tokio::join!(ended, others);
    assert!(!matches!(ended, Ok(1..)), "no handshake: {ended:?}");
}

#[tokio::test]
async fn without_a_name_there_is_no_turn_on_the_port() {
    let files = Files::new();
    let server = server(&files, &[]);
    let refused = handshake(server.address(), &files.cert, TURN).await;
    assert!(refused.is_err(), "the server knows no such protocol");

    let mut stream = handshake(server.address(), &files.cert, NONE)
        .await
        .expect("TLS");
    stream.write_all(&[0; 20]).await.expect("it is sent");
    let mut answer = String::new();
    let _ = within("an answer", stream.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn a_name_that_cannot_work_ends_the_program() {
    let files = Files::new();
    let (cert, key) = (files.cert.to_str(), files.key.to_str());
    let tls = [
        "--tls-cert",
        cert.expect("UTF-8"),
        "--tls-key",
        key.expect("UTF-8"),
    ];
    let turn = ["--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0"];
    for (flags, expected) in [
        (&tls[..], "is not for chat.example.org"),
        (&[], "--turn-tls-name needs --tls-cert"),
    ] {
        let flags = [&turn[..], flags, &["--turn-tls-name", "chat.example.org"]].concat();
        let (code, process) = run(command(&flags));
        assert_ne!(code, Some(0));
        assert!(process.stderr().contains(expected), "{}", process.stderr());
    }
}

#[tokio::test]
async fn the_test_page_says_what_is_wrong() {
    let files = Files::new();
    let all = server(&files, &["--turn-tls-name", "localhost:443"]);
    let page = get(all.address(), &files, "/turn-test").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("private address"), "loopback: {page}");
    assert!(page.contains("turns:localhost:443?transport=tcp"), "{page}");

    // No allocation is left for the test, nor for anybody else.
    let full = start(&["--turn-listen", "127.0.0.1:0", "--turn-allocations", "1"]);
    let (status, page) = full.get("/turn-test").expect("an answer");
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("raise turn-allocations"), "{page}");
    assert!(page.contains("Fault: UDP at 127.0.0.1:"), "{page}");

    let none = start(&[]);
    let (status, page) = none.get("/turn-test").expect("an answer");
    assert_eq!(status, 404, "{page}");
}
