//! The address of a signaling server.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

/// The path of the WebSocket, used when an address has none.
const DEFAULT_PATH: &str = "/ws";
/// No address is longer: a host has at most 253 characters, and paths are short.
const MAX_CHARS: usize = 2_000;

/// The address of a signaling server: `wss://HOST[:PORT][/PATH]`, or `ws://` without TLS, with
/// `/ws` for a missing path.
///
/// This is the only parser of such addresses. It reads what people write (`chat.example.org`,
/// `https://chat.example.org`, `192.168.1.20:9000`) and prints the normalized form: scheme and host
/// in lower case, the default port left out, the path written out. An address without a scheme
/// means TLS, unless its host [is private](Self::is_private).
///
/// ```
/// use tandem_signaling::ServerUrl;
///
/// # fn main() -> Result<(), tandem_signaling::ServerUrlError> {
/// let url: ServerUrl = "Chat.example.org".parse()?;
/// assert_eq!(url.to_string(), "wss://chat.example.org/ws");
///
/// let url: ServerUrl = "192.168.1.20:9000".parse()?;
/// assert_eq!(url.to_string(), "ws://192.168.1.20:9000/ws");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl(Url);

/// What a bearer token belongs to: the scheme, host and port of a [`ServerUrl`] (RFC 6454 §4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServerOrigin(String);

impl ServerOrigin {
    /// As in `wss://chat.example.org:443`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not the address of a signaling server. The text is for people: it says what is
/// wrong and what to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// Not a URL, or a URL without a host.
    #[error(
        "this is not the address of a server: write it like chat.example.org or ws://127.0.0.1:9000/ws"
    )]
    Invalid(#[source] url::ParseError),
    /// The scheme is none of `wss`, `https` and `ws`.
    #[error("the server's address must start with wss:// or ws://, like wss://chat.example.org/ws")]
    UnsupportedScheme,
    /// The port is 0.
    #[error("the port of the server's address must be 1 to 65535")]
    PortZero,
    /// A user name or password stands before the host.
    #[error(
        "the server's address must not contain a user name or password: remove what stands before @"
    )]
    Credentials,
    /// A `?query` or `#fragment` stands behind the path.
    #[error(
        "the server's address must end after its path: remove what follows ? or #. A token has a place of its own"
    )]
    QueryOrFragment,
    /// Longer than any address.
    #[error("the server's address is too long: it has at most {MAX_CHARS} characters")]
    TooLong,
}

impl ServerUrl {
    /// The address at which this machine reaches a server that listens on `address` without TLS:
    /// through loopback if it listens on every interface.
    ///
    /// # Panics
    /// If the port is 0, on which no server can be reached.
    #[must_use]
    pub fn listening_on(address: SocketAddr) -> Self {
        assert_ne!(address.port(), 0, "a listening server has a port");
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };

        let address = SocketAddr::new(ip, address.port());
        let url = Url::parse(&format!("ws://{address}{DEFAULT_PATH}"));
        Self(url.expect("an IP address and a port make a URL"))
    }

    /// The normalized address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the connection is encrypted and the server proves its name.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "wss"
    }

    /// Whether the host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host() {
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.is_loopback(),
            Host::Domain(name) => name == "localhost",
        }
    }

    /// Whether the host is on this machine or in a private network, by its address (RFC 1918,
    /// RFC 3927, RFC 4193, RFC 4291) or its name (RFC 6761, RFC 6762, RFC 8375, or a name without
    /// a dot, which no public host has).
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self.host() {
            Host::Ipv4(ip) => is_private_ip(ip.into()),
            Host::Ipv6(ip) => is_private_ip(ip.into()),
            Host::Domain(name) => {
                // `chat.` is a public name: its dot says that no local domain follows.
                let has_dot = name.contains('.');
                let name = name.strip_suffix('.').unwrap_or(name);
                let is_under = |zone: &str| {
                    name.strip_suffix(zone)
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                };

                !has_dot || is_under("localhost") || is_under("local") || is_under("home.arpa")
            }
        }
    }

    /// Whether others on the way can read and change what is sent: no TLS, and a host that is not
    /// [private](Self::is_private).
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !self.is_tls() && !self.is_private()
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> ServerOrigin {
        let (scheme, port) = (self.0.scheme(), self.port());
        ServerOrigin(format!("{scheme}://{}:{port}", self.host()))
    }

    /// The host and, unless it is the default, the port: what people recognize a server by.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.authority()
    }

    /// The host and the port, also if that is the default.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// The host, as the connection needs it.
    pub(crate) fn host(&self) -> Host<&str> {
        self.0.host().expect("`ws` URLs have a host")
    }

    /// The port; 443 or, without TLS, 80 if the address has none.
    pub(crate) fn port(&self) -> u16 {
        self.0
            .port_or_known_default()
            .expect("`ws` and `wss` have a default port")
    }
}

/// Whether only this machine or its network can have this address.
pub(crate) fn is_private_ip(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Reads an address without a scheme: with TLS unless the host is private.
fn parse_without_scheme(text: &str) -> Result<Url, ServerUrlError> {
    // IPv6 as people write it, without brackets.
    let bracketed = text.parse::<Ipv6Addr>().map(|ip| format!("[{ip}]"));
    let text = bracketed.as_deref().unwrap_or(text);

    // A lone word is more likely a mistake than a machine.
    if !text.contains(['.', ':']) && !text.eq_ignore_ascii_case("localhost") {
        return Err(ServerUrlError::Invalid(
            url::ParseError::RelativeUrlWithoutBase,
        ));
    }

    let plain = Url::parse(&format!("ws://{text}")).map_err(ServerUrlError::Invalid)?;
    if plain.host().is_some() && ServerUrl(plain.clone()).is_private() {
        return Ok(plain);
    }

    Url::parse(&format!("wss://{text}")).map_err(ServerUrlError::Invalid)
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.chars().nth(MAX_CHARS).is_some() {
            return Err(ServerUrlError::TooLong);
        }

        // `localhost:9000` also has the form of a URL, with the scheme `localhost`.
        let mut url = match text.split_once("://") {
            None => parse_without_scheme(text)?,
            Some((scheme, rest)) => {
                let scheme = match scheme.to_ascii_lowercase().as_str() {
                    "wss" | "https" => "wss",
                    "ws" => "ws",
                    _ => return Err(ServerUrlError::UnsupportedScheme),
                };

                Url::parse(&format!("{scheme}://{rest}")).map_err(ServerUrlError::Invalid)?
            }
        };

        if let Some(Host::Domain(name)) = url.host() {
            let name = name.strip_suffix('.').unwrap_or(name);
            // `..` is a host for the library, which comes from a path such as `../folder`.
            if name.split('.').any(str::is_empty) {
                return Err(ServerUrlError::Invalid(url::ParseError::EmptyHost));
            }
        }

        if url.port() == Some(0) {
            return Err(ServerUrlError::PortZero);
        }

        if !url.username().is_empty() || url.password().is_some() {
            return Err(ServerUrlError::Credentials);
        }

        if url.query().is_some() || url.fragment().is_some() {
            return Err(ServerUrlError::QueryOrFragment);
        }

        match url.path() {
            "" | "/" | "/ws/" => url.set_path(DEFAULT_PATH),
            _ => {}
        }

        Ok(Self(url))
    }
}

impl TryFrom<&str> for ServerUrl {
    type Error = ServerUrlError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = ServerUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerUrl").field(&self.as_str()).finish()
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, ServerUrlError> {
        text.parse::<ServerUrl>().map(|url| url.to_string())
    }

    #[test]
    fn a_missing_path_is_the_servers_own() {
        for (text, expected) in [
            ("ws://127.0.0.1:9000", "ws://127.0.0.1:9000/ws"),
            ("ws://localhost:9000/", "ws://localhost:9000/ws"),
            ("ws://[::1]", "ws://[::1]/ws"),
            ("ws://[::1]:9000/ws", "ws://[::1]:9000/ws"),
            ("ws://chat.example/other", "ws://chat.example/other"),
            ("wss://chat.example/ws/", "wss://chat.example/ws"),
            ("wss://chat.example/a/", "wss://chat.example/a/"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_listening_server_is_reached_through_loopback_or_its_address() {
        for (listens, expected) in [
            ("0.0.0.0:9000", "ws://127.0.0.1:9000/ws"),
            ("[::]:9000", "ws://[::1]:9000/ws"),
            ("192.0.2.7:80", "ws://192.0.2.7/ws"),
            ("[fe80::1%3]:9000", "ws://[fe80::1]:9000/ws"),
        ] {
            let address = listens.parse().expect("a socket address");
            assert_eq!(ServerUrl::listening_on(address).as_str(), expected);
        }
    }

    #[test]
    fn scheme_host_and_port_are_normalized() {
        for (text, expected) in [
            ("WS://Chat.Example:80/A", "ws://chat.example/A"),
            ("ws://127.1:09000", "ws://127.0.0.1:9000/ws"),
            ("WSS://Chat.Example:443", "wss://chat.example/ws"),
            (
                "https://m\u{fc}nchen.example",
                "wss://xn--mnchen-3ya.example/ws",
            ),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }

        for (text, port) in [("ws://chat.example", 80), ("wss://chat.example", 443)] {
            let url: ServerUrl = text.parse().expect("a good address");
            assert_eq!(url.port(), port, "the default port of {text}");
        }
    }

    #[test]
    fn an_address_is_understood_as_people_write_it() {
        for (text, expected) in [
            ("chat.example.org", "wss://chat.example.org/ws"),
            ("  chat.example.org\n", "wss://chat.example.org/ws"),
            ("chat.example.org/", "wss://chat.example.org/ws"),
            (
                "chat.example.org:9443/room",
                "wss://chat.example.org:9443/room",
            ),
            ("https://chat.example.org", "wss://chat.example.org/ws"),
            ("HTTPS://chat.example.org/ws", "wss://chat.example.org/ws"),
            ("203.0.113.7", "wss://203.0.113.7/ws"),
            ("localhost", "ws://localhost/ws"),
            ("localhost:9000", "ws://localhost:9000/ws"),
            ("127.0.0.1:9000", "ws://127.0.0.1:9000/ws"),
            ("192.168.1.20:9000", "ws://192.168.1.20:9000/ws"),
            ("::1", "ws://[::1]/ws"),
            ("[fd00::7]:9000", "ws://[fd00::7]:9000/ws"),
            ("2001:db8::7", "wss://[2001:db8::7]/ws"),
            ("raspberrypi:9000", "ws://raspberrypi:9000/ws"),
            ("studio.local", "ws://studio.local/ws"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn only_a_public_host_without_tls_is_exposed() {
        for (text, private, exposed) in [
            ("ws://127.0.0.1", true, false),
            ("ws://10.1.2.3", true, false),
            ("ws://172.31.0.1", true, false),
            ("ws://172.32.0.1", false, true),
            ("ws://169.254.9.9", true, false),
            ("ws://[::ffff:192.168.0.1]", true, false),
            ("ws://[fe80::1]", true, false),
            ("ws://[2001:db8::1]", false, true),
            ("ws://localhost.", true, false),
            ("ws://a.localhost", true, false),
            ("ws://notlocalhost.example", false, true),
            ("ws://evil-local", true, false),
            ("ws://evil-local.", false, true),
            ("ws://mylocal.org", false, true),
            ("ws://a.home.arpa", true, false),
            ("ws://192.168.1.20.example", false, true),
            ("ws://chat.example", false, true),
            ("wss://chat.example", false, false),
            ("wss://10.1.2.3", true, false),
        ] {
            let url: ServerUrl = text.parse().expect(text);
            assert_eq!(
                (url.is_private(), url.is_exposed()),
                (private, exposed),
                "{text}"
            );
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |text: &str| text.parse::<ServerUrl>().expect(text).origin();
        assert_eq!(
            origin("wss://chat.example"),
            origin("chat.example:443/other")
        );

        for other in [
            "ws://chat.example:443",
            "wss://chat.example:444",
            "wss://example",
        ] {
            assert_ne!(origin("wss://chat.example"), origin(other), "{other}");
        }
    }

    #[test]
    fn a_listening_servers_address_has_no_tls() {
        let address = "127.0.0.1:9000".parse().expect("a socket address");
        assert!(!ServerUrl::listening_on(address).is_tls());
    }

    #[test]
    fn a_bad_address_says_what_is_wrong() {
        use ServerUrlError::{Credentials, PortZero, QueryOrFragment, TooLong, UnsupportedScheme};
        for (text, error) in [
            ("ftp://chat.example/ws", UnsupportedScheme),
            ("http://chat.example/ws", UnsupportedScheme),
            ("tandem://join/chat.example/7", UnsupportedScheme),
            ("javascript://chat.example", UnsupportedScheme),
            ("ws://chat.example:0", PortZero),
            ("chat.example:0", PortZero),
            ("ws://ada:secret@chat.example/ws", Credentials),
            ("ada@chat.example", Credentials),
            ("WS://chat.example/ws?token=1", QueryOrFragment),
            ("chat.example?token=1", QueryOrFragment),
            ("ws://chat.example/ws#1", QueryOrFragment),
            (&"a".repeat(MAX_CHARS + 1), TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }

        for text in [
            "",
            " ",
            "chat",
            "ws://",
            "://",
            "://chat.example",
            "ws://:9000",
            "ws://a b/",
            "a b",
            "ws://chat.example:99999",
            "chat.example:port",
            "ws://[fe80::1%eth0]:9000",
            "chat\u{0}.example",
            "../../etc",
            ".",
            "ws://..",
            "chat..example",
            ".example",
        ] {
            assert!(
                matches!(
                    parse(text),
                    Err(ServerUrlError::Invalid(_) | UnsupportedScheme)
                ),
                "{text:?} is not an address: {:?}",
                parse(text)
            );
        }
    }

    #[test]
    fn serde_reads_and_writes_the_text() {
        let url: ServerUrl = serde_json::from_str(r#""WS://Chat.example""#).expect("an address");
        assert_eq!(
            serde_json::to_string(&url).expect("a string"),
            r#""ws://chat.example/ws""#
        );

        let error = serde_json::from_str::<ServerUrl>(r#""a b""#).expect_err("not an address");
        assert!(
            error.to_string().contains("ws://127.0.0.1:9000/ws"),
            "the error gives an example: {error}"
        );
    }
}
