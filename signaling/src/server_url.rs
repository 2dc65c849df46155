//! The address of a signaling server.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::client::ClientErrorCode;

/// The path of the WebSocket, used when an address has none.
const DEFAULT_PATH: &str = "/ws";

/// The address of a signaling server: `ws://HOST[:PORT][/PATH]`, with `/ws` for a missing path.
///
/// This is the only parser of such addresses. It prints the normalized form: scheme and host in
/// lower case, the default port 80 left out, the path written out.
///
/// ```
/// use tandem_signaling::ServerUrl;
///
/// # fn main() -> Result<(), tandem_signaling::ServerUrlError> {
/// let url: ServerUrl = "WS://Chat.example:9000".parse()?;
/// assert_eq!(url.to_string(), "ws://chat.example:9000/ws");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl(Url);

/// Why a text is not the address of a signaling server.
///
/// [`code`](Self::code) is for programs. The text is for people: it says what is wrong and what to
/// write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// Not a URL, or a URL without a host.
    #[error("the server's address is not a URL: write it like ws://127.0.0.1:9000/ws")]
    Invalid(#[source] url::ParseError),
    /// The scheme is neither `ws` nor `wss`.
    #[error("the server's address must start with ws://, like ws://127.0.0.1:9000/ws")]
    UnsupportedScheme,
    /// The scheme is `wss`: this version has no TLS.
    #[error("this version cannot connect to a server over TLS: use ws:// or a local TLS proxy")]
    TlsUnsupported,
    /// The port is 0.
    #[error("the port of the server's address must be 1 to 65535")]
    PortZero,
    /// A user name or password stands before the host.
    #[error(
        "the server's address must not contain a user name or password: remove what stands before @"
    )]
    Credentials,
    /// A `?query` or `#fragment` stands behind the path.
    #[error("the server's address must end after its path: remove what follows ? or #")]
    QueryOrFragment,
}

impl ServerUrlError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(self) -> ClientErrorCode {
        match self {
            Self::Invalid(_) => ClientErrorCode::UrlInvalid,
            Self::TlsUnsupported => ClientErrorCode::TlsUnsupported,
            Self::UnsupportedScheme
            | Self::PortZero
            | Self::Credentials
            | Self::QueryOrFragment => ClientErrorCode::UrlUnsupported,
        }
    }
}

impl ServerUrl {
    /// The address at which this machine reaches a server that listens on `address`: through
    /// loopback if it listens on every interface.
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

    /// The host, as the connection needs it.
    pub(crate) fn host(&self) -> url::Host<&str> {
        self.0.host().expect("`ws` URLs have a host")
    }

    /// The port, 80 if the address has none.
    pub(crate) fn port(&self) -> u16 {
        self.0
            .port_or_known_default()
            .expect("`ws` has a default port")
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut url = Url::parse(text).map_err(ServerUrlError::Invalid)?;

        match url.scheme() {
            "ws" => {}
            "wss" => return Err(ServerUrlError::TlsUnsupported),
            _ => return Err(ServerUrlError::UnsupportedScheme),
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

        if matches!(url.path(), "" | "/") {
            url.set_path(DEFAULT_PATH);
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
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }

        let url: ServerUrl = "ws://chat.example".parse().expect("a good address");
        assert_eq!(url.port(), 80, "the default port of ws://");
    }

    #[test]
    fn a_bad_address_says_what_is_wrong() {
        use ServerUrlError::{
            Credentials, PortZero, QueryOrFragment, TlsUnsupported, UnsupportedScheme,
        };
        for (text, error) in [
            ("wss://chat.example/ws", TlsUnsupported),
            ("WSS://chat.example/ws", TlsUnsupported),
            ("http://chat.example/ws", UnsupportedScheme),
            ("localhost:9000", UnsupportedScheme),
            ("ws://chat.example:0", PortZero),
            ("ws://ada:secret@chat.example/ws", Credentials),
            ("WS://chat.example/ws?token=1", QueryOrFragment),
            ("ws://chat.example/ws#1", QueryOrFragment),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }

        for text in [
            "",
            "chat",
            "127.0.0.1:9000",
            "ws://",
            "ws://:9000",
            "ws://a b/",
            "ws://chat.example:99999",
        ] {
            assert!(
                matches!(parse(text), Err(ServerUrlError::Invalid(_))),
                "{text:?} is not a URL: {:?}",
                parse(text)
            );
        }
    }

    #[test]
    fn each_error_has_its_published_code() {
        let code = |text: &str| parse(text).expect_err(text).code().as_str();
        assert_eq!(code("chat"), "SIGNALING_URL_INVALID");
        assert_eq!(code("http://chat.example"), "SIGNALING_URL_UNSUPPORTED");
        assert_eq!(code("ws://chat.example?a"), "SIGNALING_URL_UNSUPPORTED");
        assert_eq!(code("wss://chat.example"), "SIGNALING_TLS_UNSUPPORTED");
    }

    #[test]
    fn serde_reads_and_writes_the_text() {
        let url: ServerUrl = serde_json::from_str(r#""WS://Chat.example""#).expect("an address");
        assert_eq!(
            serde_json::to_string(&url).expect("a string"),
            r#""ws://chat.example/ws""#
        );

        let error = serde_json::from_str::<ServerUrl>(r#""chat""#).expect_err("not an address");
        assert!(
            error.to_string().contains("ws://127.0.0.1:9000/ws"),
            "the error gives an example: {error}"
        );
    }
}
