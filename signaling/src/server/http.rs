//! The HTTP before the WebSocket: one request, then the upgrade or a short answer.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, Method};
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

/// The longest request head, in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The WebSocket subprotocol of Tandem. A browser that offers subprotocols closes the connection
/// unless the server picks one of them.
pub(super) const SUBPROTOCOL: &str = "tandem";

/// A request's head, and the bytes that came after it in the same packets.
pub(super) struct Head {
    pub(super) request: Request,
    pub(super) rest: Vec<u8>,
}

/// A short answer instead of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    body: Bytes,
    content_type: &'static str,
    /// More headers, each as `Name: value`.
    headers: Vec<Cow<'static, str>>,
}

impl Answer {
    pub(super) const fn new(status: u16, body: &'static str) -> Self {
        Self {
            status,
            body: Bytes::from_static(body.as_bytes()),
            content_type: "text/plain; charset=utf-8",
            headers: Vec::new(),
        }
    }

    /// The same with a text that was made for this answer.
    pub(super) fn text(status: u16, text: String) -> Self {
        Self {
            body: text.into(),
            ..Self::new(status, "")
        }
    }

    /// The metrics, as [`Metrics::text`](super::edge::Metrics::text) writes them.
    pub(super) fn metrics(text: String, content_type: &'static str) -> Self {
        Self {
            body: text.into(),
            content_type,
            ..Self::new(200, "")
        }
    }

    /// An HTML page for people, with its `Content-Security-Policy`. The address of the page may
    /// hold a secret, so the sites that it links to do not learn it.
    pub(super) fn page(status: u16, html: Bytes, policy: &str) -> Self {
        let page = Self {
            body: html,
            content_type: "text/html; charset=utf-8",
            ..Self::new(status, "")
        };

        page.header(format!("Content-Security-Policy: {policy}"))
            .header("Referrer-Policy: no-referrer")
            .header("X-Content-Type-Options: nosniff")
            .header("Permissions-Policy: camera=(self), microphone=(self)")
            .header("Vary: Accept-Encoding")
    }

    /// Says that the body is compressed in this way.
    pub(super) fn encoded(self, coding: &str) -> Self {
        self.header(format!("Content-Encoding: {coding}"))
    }

    fn header(mut self, header: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push(header.into());
        self
    }

    /// Adds a `Retry-After`: whole seconds, rounded up, at least one.
    pub(super) fn retry_after(self, time: Duration) -> Self {
        let seconds = time.as_millis().div_ceil(1000).max(1);
        self.header(format!("Retry-After: {seconds}"))
    }

    fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            426 => "Upgrade Required",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Bad Request",
        }
    }

    /// Writes the answer to a request with this method, and ends the connection. The answer to HEAD
    /// is the head of the answer to GET (RFC 9110 §9.3.2).
    pub(super) async fn write(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        method: &Method,
    ) -> io::Result<()> {
        let Self {
            status,
            body,
            content_type,
            headers,
        } = self;
        let reason = self.reason();
        let headers: String = headers
            .iter()
            .map(|header| format!("{header}\r\n"))
            .collect();
        // A line of text ends like one; what is compressed must not change.
        let is_line = content_type.starts_with("text/plain") && !body.ends_with(b"\n");
        let end: &[u8] = if is_line { b"\n" } else { b"" };
        let length = body.len() + end.len();
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\n{headers}Connection: close\r\n\r\n"
        );

        let mut bytes = head.into_bytes();
        if method != Method::HEAD {
            bytes.extend_from_slice(body);
            bytes.extend_from_slice(end);
        }

        stream.write_all(&bytes).await?;

        stream.shutdown().await
    }
}

/// Why there is no request to handle.
#[derive(Debug)]
pub(super) enum HeadError {
    /// The client gets this answer.
    Reject(Answer),
    /// The client is gone.
    Gone,
    /// It speaks STUN: these are its first bytes.
    Stun(Vec<u8>),
}

/// Whether bytes begin like a STUN message, with two zero bits (RFC 8489 §5), and so like no HTTP request.
fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first >> 6 == 0)
}

/// Reads one request head. The caller sets a timeout.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Head, HeadError> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Err(HeadError::Gone),
            Ok(_) if is_stun(&bytes) => return Err(HeadError::Stun(bytes)),
            Ok(_) => {}
        }

        if let Some(parsed) = parse_head(&bytes) {
            let (length, request) = parsed.map_err(HeadError::Reject)?;
            return Ok(Head {
                request,
                rest: bytes.split_off(length),
            });
        }
    }
}

/// Parses the head of a GET or HEAD request. Returns it with its length in bytes, or the answer that
/// refuses it. `None`: it is not complete yet.
pub(super) fn parse_head(bytes: &[u8]) -> Option<Result<(usize, Request), Answer>> {
    match parse_get_or_head(bytes) {
        Ok(Some((length, request))) => Some(only_one_reading(&request).map(|()| (length, request))),
        Ok(None) if bytes.len() < MAX_HEAD_BYTES => None,
        Ok(None) => Some(Err(Answer::new(431, "The request head is too long."))),
        Err(tungstenite::Error::Protocol(ProtocolError::WrongHttpMethod)) => Some(Err(
            Answer::new(405, "Only GET and HEAD are served here.").header("Allow: GET, HEAD"),
        )),
        Err(_) => Some(Err(Answer::new(
            400,
            "This is not a proper HTTP/1.1 request.",
        ))),
    }
}

/// What [`Request::try_parse`] does, and HEAD, which it takes for a wrong method.
fn parse_get_or_head(bytes: &[u8]) -> tungstenite::Result<Option<(usize, Request)>> {
    let Some(rest) = bytes.strip_prefix(b"HEAD ") else {
        return Request::try_parse(bytes);
    };

    let parsed = Request::try_parse(&[b"GET ", rest].concat())?;
    Ok(parsed.map(|(length, mut request)| {
        *request.method_mut() = Method::HEAD;
        (length + "HEAD".len() - "GET".len(), request)
    }))
}

/// Refuses requests that a proxy in front might read differently: with a body, which the server
/// would take for WebSocket frames, or with more than one `Host` (RFC 9112 §3.2 and §11.2).
fn only_one_reading(request: &Request) -> Result<(), Answer> {
    let headers = request.headers();

    let has_body = headers.contains_key("transfer-encoding")
        || headers
            .get_all("content-length")
            .iter()
            .any(|length| length.as_bytes() != b"0");

    if has_body {
        return Err(Answer::new(400, "A request must not have a body."));
    }

    if headers.get_all("host").iter().count() != 1 {
        return Err(Answer::new(400, "A request must have exactly one Host."));
    }

    Ok(())
}

/// The response that accepts an upgrade (RFC 6455 §4.2.2), or the answer to a request that is not
/// one. Extensions are declined by not mentioning them.
pub(super) fn accept_upgrade(request: &Request) -> Result<Vec<u8>, Answer> {
    let mut response = create_response(request).map_err(|error| match error {
        tungstenite::Error::Protocol(ProtocolError::WrongHttpMethod) => {
            Answer::new(405, "A WebSocket begins with GET.").header("Allow: GET")
        }
        tungstenite::Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => Answer::new(426, "Connect with a WebSocket client.").header("Upgrade: websocket"),
        tungstenite::Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            Answer::new(426, "This server speaks WebSocket version 13.")
                .header("Sec-WebSocket-Version: 13")
        }
        _ => Answer::new(400, "This is not a proper WebSocket handshake."),
    })?;

    if subprotocols(request.headers()).any(|offered| offered == SUBPROTOCOL) {
        response.headers_mut().insert(
            "sec-websocket-protocol",
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }

    let mut bytes = Vec::with_capacity(160);
    write_response(&mut bytes, &response)
        .map_err(|_| Answer::new(400, "This is not a proper WebSocket handshake."))?;
    Ok(bytes)
}

/// Whether a client takes a compressed answer (RFC 9110 §12.5.3).
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers
        .get_all("accept-encoding")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','));

    codings
        .map(|coding| coding.split_once(';').unwrap_or((coding, "")))
        .any(|(name, weight)| {
            let is_refused = weight
                .trim()
                .strip_prefix("q=")
                .is_some_and(|weight| weight.parse() == Ok(0.0_f32));
            name.trim().eq_ignore_ascii_case("gzip") && !is_refused
        })
}

/// The subprotocols that a client offers.
pub(super) fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all("sec-websocket-protocol")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

/// Whether the `Origin` of a request is allowed. A request without one is: only browsers send it.
pub(super) fn origin_allowed(request: &Request, allowed: &[String]) -> bool {
    let mut origins = request.headers().get_all("origin").iter();
    origins.all(|origin| {
        allowed.iter().any(|allowed| {
            allowed == "*" || origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> Request {
        let text = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{head}\r\n");
        Request::try_parse(text.as_bytes()).unwrap().unwrap().1
    }

    #[test]
    fn only_allowed_origins_may_connect() {
        let allowed = ["https://tandem.example".to_owned()];
        assert!(
            origin_allowed(&request(""), &[]),
            "the desktop app sends no Origin"
        );

        assert!(origin_allowed(
            &request("Origin: https://tandem.example\r\n"),
            &allowed
        ));

        assert!(!origin_allowed(
            &request("Origin: https://evil.example\r\n"),
            &allowed
        ));

        assert!(!origin_allowed(
            &request("Origin: https://tandem.example.evil\r\n"),
            &allowed
        ));

        assert!(
            !origin_allowed(&request("Origin: null\r\n"), &allowed),
            "null is an Origin like any other"
        );

        assert!(origin_allowed(
            &request("Origin: null\r\n"),
            &["null".to_owned()]
        ));

        assert!(origin_allowed(
            &request("Origin: http://any\r\n"),
            &["*".to_owned()]
        ));

        let two = "Origin: https://tandem.example\r\nOrigin: https://evil.example\r\n";
        assert!(
            !origin_allowed(&request(two), &allowed),
            "every Origin must be allowed, not just one"
        );
    }

    #[test]
    fn the_example_handshake_of_rfc_6455_is_accepted() {
        let head = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let text = String::from_utf8(accept_upgrade(&request(head)).unwrap())
            .unwrap()
            .to_ascii_lowercase();
        assert!(text.starts_with("http/1.1 101 "), "{text}");
        assert!(
            text.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
            "RFC 6455 §1.3: {text}"
        );
    }

    #[test]
    fn a_request_that_is_not_a_handshake_is_refused_with_the_reason() {
        assert_eq!(
            accept_upgrade(&request("")).unwrap_err().status,
            426,
            "a plain GET"
        );

        let old = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n";
        assert_eq!(
            accept_upgrade(&request(old)).unwrap_err().headers,
            ["Sec-WebSocket-Version: 13"]
        );

        let keyless = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
        assert_eq!(
            accept_upgrade(&request(keyless)).unwrap_err().status,
            400,
            "no key"
        );
    }

    #[test]
    fn extensions_are_declined_and_the_subprotocol_is_picked() {
        let head = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        let text = |head: &str| {
            String::from_utf8(accept_upgrade(&request(head)).unwrap())
                .unwrap()
                .to_ascii_lowercase()
        };

        assert!(
            !text(head).contains("sec-websocket-extensions"),
            "permessage-deflate is declined"
        );

        assert!(
            !text(head).contains("sec-websocket-protocol"),
            "no subprotocol was offered"
        );

        let offered = format!("{head}Sec-WebSocket-Protocol: bearer.x, tandem\r\n");
        assert!(
            text(&offered).contains("sec-websocket-protocol: tandem\r\n"),
            "{}",
            text(&offered)
        );
    }

    #[test]
    fn a_request_that_could_be_read_in_two_ways_is_refused() {
        for head in [
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Host: y\r\n",
            "Content-Length: 0, 5\r\n",
        ] {
            assert_eq!(
                only_one_reading(&request(head)).unwrap_err().status,
                400,
                "{head}"
            );
        }

        assert_eq!(only_one_reading(&request("Content-Length: 0\r\n")), Ok(()));
    }

    #[test]
    fn only_a_client_that_takes_gzip_gets_it() {
        let takes = |line: &str| takes_gzip(request(line).headers());
        assert!(takes("Accept-Encoding: gzip\r\n"));
        assert!(takes("Accept-Encoding: br, GZIP;q=0.5\r\n"));
        assert!(takes("Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n"));

        for line in [
            "",
            "Accept-Encoding: br\r\n",
            "Accept-Encoding: gzip;q=0\r\n",
            "Accept-Encoding: gzip; q=0.0\r\n",
            "Accept-Encoding: x-gzip\r\n",
        ] {
            assert!(!takes(line), "{line}");
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds() {
        let headers = |ms| {
            Answer::new(429, "")
                .retry_after(Duration::from_millis(ms))
                .headers
        };

        assert_eq!(headers(1), ["Retry-After: 1"]);
        assert_eq!(headers(1001), ["Retry-After: 2"]);
    }

    #[test]
    fn head_is_read_like_get() {
        let text = b"HEAD /j/7 HTTP/1.1\r\nHost: x\r\n\r\nmore";
        for end in 0..text.len() - "more".len() {
            assert!(parse_head(&text[..end]).is_none(), "{end} bytes");
        }

        let (length, request) = parse_head(text).expect("complete").expect("valid");
        assert_eq!(length, text.len() - "more".len());
        assert_eq!(request.method(), Method::HEAD);
        assert_eq!(request.uri().path(), "/j/7");

        let upgrade = b"HEAD /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let (_, request) = parse_head(upgrade).expect("complete").expect("valid");
        assert_eq!(accept_upgrade(&request).unwrap_err().status, 405);
    }

    #[tokio::test]
    async fn the_answer_to_head_has_no_body() {
        let answer = Answer::page(200, "<p>text</p>\n".into(), "default-src 'none'");
        let (mut get, mut head) = (Vec::new(), Vec::new());
        answer.write(&mut get, &Method::GET).await.unwrap();
        answer.write(&mut head, &Method::HEAD).await.unwrap();

        let (get, head) = [get, head].map(|it| String::from_utf8(it).unwrap()).into();
        assert_eq!(get, format!("{head}<p>text</p>\n"));
        assert!(head.contains("\r\nContent-Length: 12\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Security-Policy: default-src 'none'\r\n"));
        assert!(head.ends_with("\r\n\r\n"));
    }
}
