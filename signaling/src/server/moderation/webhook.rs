//! Notifies another program of new reports, by HTTP.
//!
//! A notice says which report there is, not what the user wrote: the report stays on this server. The
//! queue is bounded and nothing waits for it. Redirections are not followed.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};
use url::{Host, Url};

use super::report::{Party, Report};
use crate::message::{ReportCategory, SessionId};
use crate::server::edge::{Edge, WebhookEvent};

/// Notices that may wait. Beyond that, new ones are dropped.
pub(crate) const MAX_WAITING: usize = 256;
/// For one attempt, from the name of the host to the status of the answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts. After the last one, the notice is given up.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(25),
    Duration::from_secs(125),
];
/// A status line is never this long.
const MAX_STATUS_LINE: u64 = 1024;

/// Where notices go.
#[derive(Debug, Clone)]
pub(crate) struct WebhookTarget {
    host: Host,
    port: u16,
    is_encrypted: bool,
    /// As the request's head has it, with the query.
    path: String,
    /// The host as the request's head has it, with the port.
    authority: String,
}

impl WebhookTarget {
    /// Reads an address: `https://…`, or `http://…` on this machine.
    ///
    /// # Errors
    /// A sentence that does not show the address, which may hold a secret.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let not_valid = || "the webhook's address is not valid: write it like https://…".to_owned();
        let url = Url::parse(text).map_err(|_| not_valid())?;
        let host = url.host().ok_or_else(not_valid)?.to_owned();
        let is_encrypted = match url.scheme() {
            "https" => true,
            "http" if is_loopback(&host) => false,
            _ => {
                return Err(
                    "the webhook needs https://, unless it is on this machine: reports must not \
                     cross a network in clear text"
                        .into(),
                );
            }
        };

        if !url.username().is_empty() || url.password().is_some() {
            return Err("the webhook's address takes no user and password".into());
        }

        let port = url.port_or_known_default().ok_or_else(not_valid)?;
        let query = url.query().map(|query| format!("?{query}"));
        Ok(Self {
            authority: format!("{host}:{port}"),
            path: format!("{}{}", url.path(), query.unwrap_or_default()),
            host,
            port,
            is_encrypted,
        })
    }

    /// The bytes of the request.
    fn request(&self, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tandem-signaling/{}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.path,
            self.authority,
            env!("CARGO_PKG_VERSION"),
            body.len(),
        );
        [head.as_bytes(), body].concat()
    }
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

/// What the other program is told: everything but what the user wrote and showed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notice {
    event: &'static str,
    report_id: String,
    at_ms: u64,
    session_id: SessionId,
    category: ReportCategory,
    reporter: Party,
    reported: Party,
}

impl From<&Report> for Notice {
    fn from(report: &Report) -> Self {
        Self {
            event: "report",
            report_id: report.report_id.clone(),
            at_ms: report.at_ms,
            session_id: report.session_id.clone(),
            category: report.said.category,
            reporter: report.reporter.clone(),
            reported: report.reported.clone(),
        }
    }
}

/// Sends notices, one after the other, until their channel is closed or this future dropped.
pub(in crate::server) async fn run(
    target: WebhookTarget,
    mut notices: mpsc::Receiver<Notice>,
    edge: Arc<Edge>,
) {
    let mut tls = None;
    while let Some(notice) = notices.recv().await {
        let body = serde_json::to_vec(&notice).expect("a notice has string keys");
        let outcome = deliver(&target, &body, &mut tls).await;

        let event = match outcome {
            Ok(()) => WebhookEvent::Delivered,
            Err(cause) => {
                tracing::error!(
                    cause,
                    report_id = notice.report_id,
                    "the webhook was not told of a report: read it with `admin`"
                );
                WebhookEvent::Failed
            }
        };
        edge.metrics.webhook(event);
    }
}

/// Why an attempt failed.
#[derive(Debug)]
enum AttemptError {
    /// Another attempt may succeed.
    Later(String),
    /// The other program does not want it.
    Refused(u16),
}

impl From<io::Error> for AttemptError {
    fn from(error: io::Error) -> Self {
        Self::Later(error.kind().to_string())
    }
}

async fn deliver(
    target: &WebhookTarget,
    body: &[u8],
    tls: &mut Option<TlsConnector>,
) -> Result<(), String> {
    let mut pauses = PAUSES.iter();
    loop {
        let attempt = timeout(ATTEMPT_TIMEOUT, attempt(target, body, tls)).await;
        let cause = match attempt {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(AttemptError::Refused(status))) => return Err(format!("status {status}")),
            Ok(Err(AttemptError::Later(cause))) => cause,
            Err(_) => "no answer in time".to_owned(),
        };

        let Some(pause) = pauses.next() else {
            return Err(cause);
        };
        tracing::debug!(cause, "the webhook will be tried again");
        sleep(*pause).await;
    }
}

async fn attempt(
    target: &WebhookTarget,
    body: &[u8],
    tls: &mut Option<TlsConnector>,
) -> Result<(), AttemptError> {
    let request = target.request(body);
    let stream = match &target.host {
        Host::Domain(name) => TcpStream::connect((name.as_str(), target.port)).await?,
        Host::Ipv4(ip) => TcpStream::connect((*ip, target.port)).await?,
        Host::Ipv6(ip) => TcpStream::connect((*ip, target.port)).await?,
    };

    if !target.is_encrypted {
        return exchange(stream, &request).await;
    }

    let connector = match tls {
        Some(connector) => connector,
        None => tls.insert(connector().await?),
    };
    let name = match &target.host {
        Host::Domain(name) => {
            ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(io::Error::other)?
        }
        Host::Ipv4(ip) => IpAddr::from(*ip).into(),
        Host::Ipv6(ip) => IpAddr::from(*ip).into(),
    };
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| AttemptError::Later(format!("TLS: {error}")))?;
    exchange(stream, &request).await
}

/// Sends a request and reads the status of its answer.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> Result<(), AttemptError> {
    stream.write_all(request).await?;
    stream.flush().await?;

    let mut line = Vec::new();
    let mut answer = stream.take(MAX_STATUS_LINE);
    while !line.ends_with(b"\r\n") {
        line.push(answer.read_u8().await?);
    }

    match status(&line) {
        Some(200..300) => Ok(()),
        // RFC 9110 §15.5.9 and RFC 6585 §4: it may work later.
        Some(status @ 300..500) if status != 408 && status != 429 => {
            Err(AttemptError::Refused(status))
        }
        Some(status) => Err(AttemptError::Later(format!("status {status}"))),
        None => Err(AttemptError::Later("the answer is not HTTP".into())),
    }
}

/// The status in `HTTP/1.1 204 No Content` (RFC 9112 §4).
fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("HTTP/1.")?;
    let digits = rest.split(' ').nth(1)?.trim_end();
    let is_status = digits.len() == 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| is_status)
}

/// TLS that trusts what the operating system trusts.
async fn connector() -> Result<TlsConnector, AttemptError> {
    let config = spawn_blocking(|| {
        // Reading the operating system's store takes some milliseconds of file access.
        let provider = Arc::new(ring::default_provider());
        let verifier = rustls_platform_verifier::Verifier::new(provider.clone())?;

        Ok::<_, rustls::Error>(
            ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth(),
        )
    });

    let config = config.await.map_err(io::Error::other)?;
    let config = config.map_err(|error| AttemptError::Later(format!("TLS: {error}")))?;
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn only_https_leaves_this_machine() {
        for good in [
            "https://hooks.example.org/tandem?key=1",
            "https://192.0.2.7:8443/",
            "http://127.0.0.1:8080/x",
            "http://[::1]:8080/",
            "http://localhost:8080/",
        ] {
            assert!(WebhookTarget::parse(good).is_ok(), "{good}");
        }

        for bad in [
            "hooks.example.org/secret",
            "http://hooks.example.org/secret",
            "http://192.0.2.7/secret",
            "http://localhost.example.org/secret",
            "ftp://127.0.0.1/secret",
            "https://user:secret@example.org/",
            "https://",
            "",
        ] {
            let error = WebhookTarget::parse(bad).map(|_| bad).unwrap_err();
            assert!(!error.contains("secret"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_request_has_the_path_and_no_line_of_an_attacker() {
        let target = WebhookTarget::parse("https://[2001:db8::1]/a%20b\r\n?x=1\r\ny: z").unwrap();
        let request = String::from_utf8(target.request(b"{}")).unwrap();
        assert!(
            request.starts_with("POST /a%20b?x=1y:%20z HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"),
            "{request}"
        );
        assert!(request.ends_with("\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"));
    }

    #[test]
    fn a_status_is_three_digits() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status(b"HTTP/1.0 500\r\n"), Some(500));
        for bad in [
            &b"\r\n"[..],
            b"HTTP/2 200\r\n",
            b"HTTP/1.1 +20\r\n",
            b"HTTP/1.1 2000\r\n",
            b"\xFF\r\n",
        ] {
            assert_eq!(status(bad), None, "{bad:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final_and_an_outage_is_not() {
        let answer = async |text: &'static [u8]| {
            let (near, mut far) = tokio::io::duplex(4096);
            far.write_all(text).await.unwrap();
            drop(far.shutdown().await);
            exchange(near, b"POST").await
        };

        assert!(answer(b"HTTP/1.1 200 OK\r\n").await.is_ok());
        for text in [&b"HTTP/1.1 301 Moved\r\n"[..], b"HTTP/1.1 404 Gone\r\n"] {
            assert!(matches!(answer(text).await, Err(AttemptError::Refused(_))));
        }
        for text in [
            &b"HTTP/1.1 429 Slow down\r\n"[..],
            b"HTTP/1.1 503 Busy\r\n",
            b"SSH-2.0\r\n",
            b"HTTP/1.1",
            b"",
            &[b'x'; 4000],
        ] {
            assert!(matches!(answer(text).await, Err(AttemptError::Later(_))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_is_given_up_after_five_attempts() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let attempts = Arc::new(AtomicU32::new(0));
        let counted = attempts.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").await;
            }
        });

        let target = WebhookTarget::parse(&format!("http://{address}/")).unwrap();
        let error = deliver(&target, b"{}", &mut None).await.unwrap_err();
        assert!(!error.is_empty());
        assert_eq!(attempts.load(Ordering::Relaxed), 5);
    }
}
