//! The way to a server: its name looked up, TCP by the fastest of its addresses, through a proxy if
//! the system has one, and TLS.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::http::Uri;
use tower_service::Service;
use url::Host;

use super::ClientConfig;
use super::error::{ClientError, ProxyError};
use super::tls::TrustedRoots;
use crate::ServerUrl;
use crate::server_url::is_private_ip;

/// For TCP, shared by the addresses of a host, so that one that does not answer leaves time for the
/// others.
const TCP_TIMEOUT: Duration = Duration::from_secs(8);
/// The head start of one known address before the next (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// What follows the handshake of TLS, as ALPN names it (RFC 7301 §6, RFC 7443 §2).
const HTTP: &[u8] = b"http/1.1";
const TURN: &[u8] = b"stun.turn";

/// The library does not export the name of this type.
type TunnelError = <Tunnel<HttpConnector<Resolver>> as Service<Uri>>::Error;

/// A connection to a server, with or without TLS.
pub(super) type Transport = Box<dyn Stream>;

/// What a WebSocket, or TURN, needs of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to a server.
///
/// Of a host with several addresses the first that answers is used; one of the other family starts
/// 300 ms later (Happy Eyeballs, RFC 8305). A proxy comes from `HTTPS_PROXY`, `HTTP_PROXY`,
/// `ALL_PROXY` and `NO_PROXY`, or from the settings of Windows and macOS. Like browsers, this
/// machine itself is always reached directly.
///
/// Known addresses are used instead, as described at [`ClientConfig::addresses`].
///
/// `has_token`: a token will be sent. Without TLS, this then takes a proxy and a public address for
/// what they are, whatever the host's name promises: others could read it.
pub(super) async fn connect(
    config: &ClientConfig,
    has_token: bool,
) -> Result<Transport, ClientError> {
    let ClientConfig {
        url,
        addresses,
        roots,
        ..
    } = config;
    let is_found = !addresses.is_empty();
    let proxy = if is_found { None } else { proxy(url) };
    let must_be_private = has_token && !url.is_tls();
    if must_be_private && proxy.is_some() {
        return Err(ClientError::TokenExposed);
    }

    let stream = if is_found {
        connect_to_first(addresses)
            .await
            .map_err(ClientError::Unreachable)?
    } else {
        connect_to(url, proxy).await?
    };

    if must_be_private {
        let peer = stream.peer_addr().map_err(ClientError::Unreachable)?;
        if !is_private_ip(peer.ip()) {
            return Err(ClientError::TokenExposed);
        }
    }

    secure(url, stream, roots, HTTP).await
}

/// A connection to a TURN server.
pub struct TurnConnection {
    /// What is sent and received, below TLS if the server has that.
    pub stream: Box<dyn Stream>,
    /// From which address of this machine. `None` if the system does not tell.
    pub local: Option<IpAddr>,
}

/// Connects to a TURN server over TCP or TLS (RFC 8656 §3.1), as to a signaling server: through a proxy
/// if the system has one. Of `url`, the scheme says whether it has TLS, and the path does not count.
///
/// # Errors
/// Why there is no connection.
pub async fn connect_to_turn(
    url: &ServerUrl,
    roots: &TrustedRoots,
) -> Result<TurnConnection, ClientError> {
    let stream = connect_to(url, proxy(url)).await?;
    let local = stream.local_addr().ok().map(|address| address.ip());
    let stream = secure(url, stream, roots, TURN).await?;

    Ok(TurnConnection { stream, local })
}

async fn connect_to(url: &ServerUrl, proxy: Option<Intercept>) -> Result<TcpStream, ClientError> {
    match proxy {
        None => connect_directly(url).await,
        Some(proxy) => connect_through(&proxy, url)
            .await
            .map_err(ClientError::Proxy),
    }
}

/// The handshake, if `url` has TLS. `protocol` is what follows.
async fn secure(
    url: &ServerUrl,
    stream: TcpStream,
    roots: &TrustedRoots,
    protocol: &'static [u8],
) -> Result<Transport, ClientError> {
    if !url.is_tls() {
        return Ok(Box::new(stream));
    }

    let stream = roots
        .connect(url.host(), stream, protocol)
        .await
        .map_err(ClientError::Tls)?;

    Ok(Box::new(stream))
}

/// The proxy for `url`, if there is one.
fn proxy(url: &ServerUrl) -> Option<Intercept> {
    if is_this_machine(&url.host()) {
        return None;
    }

    Matcher::from_system().intercept(&destination(url))
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(ip) => ip.is_loopback() || ip.is_link_local(),
        Host::Ipv6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// Host and port as a connector takes them, with the scheme that the rules for proxies know.
fn destination(url: &ServerUrl) -> Uri {
    let scheme = if url.is_tls() { "https" } else { "http" };
    format!("{scheme}://{}:{}/", url.host(), url.port())
        .parse()
        .expect("a host and a port make a URI")
}

fn connector() -> HttpConnector<Resolver> {
    let mut connector = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(TCP_TIMEOUT));
    connector
}

async fn connect_directly(url: &ServerUrl) -> Result<TcpStream, ClientError> {
    match connector().call(destination(url)).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => match find_source::<UnknownHost>(&error) {
            Some(UnknownHost(cause)) => Err(ClientError::UnknownHost(copy(cause))),
            None => {
                let cause = find_source::<io::Error>(&error).map(copy);
                Err(ClientError::Unreachable(
                    cause.unwrap_or_else(|| io::Error::other(error)),
                ))
            }
        },
    }
}

/// Connects to the first of these addresses that answers. One that refuses, or does not answer
/// soon, gives way to the next, and may still win.
async fn connect_to_first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut next = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);

    let connected = async {
        loop {
            match next.next() {
                Some(address) => attempts.push(TcpStream::connect(address)),
                None if attempts.is_empty() => return Err(failure),
                None => {}
            }

            tokio::select! {
                Some(attempt) = attempts.next() => match attempt {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = error,
                },
                () = sleep(HEAD_START), if next.len() > 0 => {}
            }
        }
    };

    let stream: TcpStream = match timeout(TCP_TIMEOUT, connected).await {
        Ok(stream) => stream?,
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn connect_through(proxy: &Intercept, url: &ServerUrl) -> Result<TcpStream, ProxyError> {
    let stream: TokioIo<TcpStream> = match proxy.uri().scheme_str() {
        Some("http") => {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), connector());
            if let Some(credentials) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(credentials.clone());
            }

            tunnel
                .call(destination(url))
                .await
                .map_err(|error| match error {
                    TunnelError::ProxyAuthRequired => ProxyError::Unauthorized,
                    error => ProxyError::Failed(error.into()),
                })?
        }
        Some("socks5" | "socks5h") => {
            let mut socks = SocksV5::new(proxy.uri().clone(), connector());
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }

            socks
                .call(destination(url))
                .await
                .map_err(|error| ProxyError::Failed(error.into()))?
        }
        _ => return Err(ProxyError::UnsupportedKind),
    };

    Ok(stream.into_inner())
}

/// The system's resolver, with an error that can be told from the others.
#[derive(Clone)]
struct Resolver(GaiResolver);

/// A name without addresses.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
struct UnknownHost(#[source] io::Error);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = UnknownHost;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, UnknownHost>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UnknownHost>> {
        self.0.poll_ready(cx).map_err(UnknownHost)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let lookup = self.0.call(name);
        Box::pin(async move { lookup.await.map_err(UnknownHost) })
    }
}

/// The first error of this type among `error` and its causes.
fn find_source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| {
        (*error).source()
    });
    causes.find_map(|error| error.downcast_ref())
}

/// An error of the system as a new one: they cannot be cloned.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        text.parse().expect("an address")
    }

    #[test]
    fn a_destination_has_host_and_port() {
        for (text, expected) in [
            ("wss://chat.example", "https://chat.example:443/"),
            ("ws://192.168.1.20:9000/a", "http://192.168.1.20:9000/"),
            ("ws://[::1]", "http://[::1]:80/"),
        ] {
            assert_eq!(destination(&url(text)).to_string(), expected);
        }
    }

    #[test]
    fn this_machine_needs_no_proxy() {
        for (text, expected) in [
            ("ws://127.0.0.1:9000", true),
            ("ws://[::1]:9000", true),
            ("ws://localhost.:9000", true),
            ("ws://a.localhost", true),
            ("ws://169.254.1.1", true),
            ("ws://192.168.1.20", false),
            ("wss://localhost.example", false),
        ] {
            assert_eq!(is_this_machine(&url(text).host()), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_told_from_a_closed_port() {
        let unknown = connect_directly(&url("ws://no-such-name.invalid")).await;
        assert!(
            matches!(unknown, Err(ClientError::UnknownHost(_))),
            "{unknown:?}"
        );

        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();

        match connect_directly(&url(&format!("ws://127.0.0.1:{port}"))).await {
            Err(ClientError::Unreachable(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            }
            other => panic!("expected a refusal: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_first_known_address_that_answers_is_used() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let here = listener.local_addr().expect("its address");
        // It refuses at once; this one (RFC 5737) never answers, or leads nowhere.
        let refuses = SocketAddr::from(([127, 0, 0, 1], 1));
        let silent = SocketAddr::from(([192, 0, 2, 1], 9));

        let stream = connect_to_first(&[silent, refuses, here])
            .await
            .expect("the third answers");
        assert_eq!(stream.peer_addr().expect("an address"), here);

        let error = connect_to_first(&[refuses]).await.expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = connect_to_first(&[]).await.expect_err("nowhere");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
