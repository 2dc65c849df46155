//! The address at which a person on the same network can be called, for when the two do not find each
//! other by themselves.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use tandem_signaling::ServerUrl;
use url::Url;

use super::link::SCHEME;

/// The room in which everyone who knows the address can call a person nearby.
pub const NEARBY_ROOM: &str = "nearby";
/// The port at which a person nearby can be called, unless it was taken there.
pub const NEARBY_PORT: u16 = 9010;

/// Where a person nearby can be called. Written as `192.168.1.20`, with `:PORT` if it is not
/// [`NEARBY_PORT`], and as the link `tandem://nearby/192.168.1.20:9010`.
///
/// ```
/// use tandem::invite::NearbyAddress;
///
/// let link: NearbyAddress = "tandem://nearby/192.168.1.20:9010".parse().expect("a link");
/// assert_eq!(link, "192.168.1.20".parse().expect("an address"));
/// assert_eq!(link.to_string(), "192.168.1.20");
/// assert_eq!(link.link(), "tandem://nearby/192.168.1.20:9010");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearbyAddress(SocketAddr);

/// A text is not the address of a person nearby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address of a person nearby: it looks like 192.168.1.20")]
pub struct NotNearbyAddress;

impl NearbyAddress {
    /// For this IP address and port; `None` if nobody can be reached there.
    #[must_use]
    pub fn new(address: SocketAddr) -> Option<Self> {
        let ip = address.ip();
        let is_useful = address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast();
        is_useful.then_some(Self(address))
    }

    /// The IP address and the port.
    #[must_use]
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }

    /// Whether it can be on the same network: a private or link-local address, the latter with the
    /// zone that it needs for IPv6.
    #[must_use]
    pub fn is_nearby(self) -> bool {
        let has_zone = match self.0 {
            SocketAddr::V6(address) => {
                !address.ip().is_unicast_link_local() || address.scope_id() != 0
            }
            SocketAddr::V4(_) => true,
        };
        has_zone && self.server().is_private()
    }

    /// The link that opens Tandem.
    #[must_use]
    pub fn link(self) -> String {
        format!("{SCHEME}://nearby/{}", self.0)
    }

    /// The signaling server of that person. It has no name for the zone of a link-local address:
    /// connect to [`socket_addr`](Self::socket_addr).
    #[must_use]
    pub fn server(self) -> ServerUrl {
        ServerUrl::listening_on(self.0)
    }
}

impl fmt::Display for NearbyAddress {
    /// As people type it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SocketAddr::V4(address) if address.port() == NEARBY_PORT => address.ip().fmt(f),
            SocketAddr::V6(address) if address.port() == NEARBY_PORT && address.scope_id() == 0 => {
                address.ip().fmt(f)
            }
            address => address.fmt(f),
        }
    }
}

impl FromStr for NearbyAddress {
    type Err = NotNearbyAddress;

    fn from_str(text: &str) -> Result<Self, NotNearbyAddress> {
        let text = text.trim();
        let address = match Url::parse(text) {
            Ok(url) if url.scheme() == SCHEME => {
                let is_bare = url.query().is_none() && url.fragment().is_none();
                let path = url.path().strip_prefix('/').filter(|_| is_bare);
                match (url.host_str(), path) {
                    (Some("nearby"), Some(address)) => address.to_owned(),
                    _ => return Err(NotNearbyAddress),
                }
            }
            _ => text.to_owned(),
        };

        let with_port = address.parse::<SocketAddr>();
        let without = || address.parse::<IpAddr>().map(|ip| (ip, NEARBY_PORT).into());
        with_port
            .or_else(|_| without())
            .ok()
            .and_then(Self::new)
            .ok_or(NotNearbyAddress)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        for (text, expected) in [
            ("192.168.1.20", "192.168.1.20:9010"),
            (" 192.168.1.20:4000 ", "192.168.1.20:4000"),
            ("fd00::7", "[fd00::7]:9010"),
            ("[fe80::1%3]:4000", "[fe80::1%3]:4000"),
            ("tandem://nearby/192.168.1.20:4000", "192.168.1.20:4000"),
            ("TANDEM://nearby/[fd00::7]:4000", "[fd00::7]:4000"),
        ] {
            let found: NearbyAddress = text.parse().expect(text);
            let expected: SocketAddr = expected.parse().unwrap();
            assert_eq!(found.socket_addr(), expected, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "7",
            "garden-42",
            "192.168.1",
            "192.168.1.20:0",
            "192.168.1.20:70000",
            "0.0.0.0",
            "224.0.0.251:5353",
            "example.org:9010",
            "tandem://nearby/",
            "tandem://nearby/example.org",
            "tandem://nearby/192.168.1.20/7",
            "tandem://nearby/192.168.1.20#garden-lantern",
            "tandem://join/192.168.1.20",
            "https://192.168.1.20",
        ] {
            assert_eq!(
                text.parse::<NearbyAddress>(),
                Err(NotNearbyAddress),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ip: IpAddr, port: u16) {
            prop_assume!(NearbyAddress::new((ip, port).into()).is_some());
            let address = NearbyAddress::new((ip, port).into()).unwrap();
            prop_assert_eq!(address.link().parse(), Ok(address));
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = text.parse::<NearbyAddress>();
        }
    }
}
