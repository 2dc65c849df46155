//! The address of a client behind a proxy.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The client's address: `remote`, where the connection comes from, unless that is a trusted proxy;
/// then the rightmost address in `X-Forwarded-For` that is not a trusted proxy.
///
/// Each proxy appends the address that it got the request from. So everything to the left of the
/// rightmost untrusted address was written by the client, and may be made up. `forwarded` are the
/// lines of the header, in order.
pub(crate) fn client_address<'a>(
    remote: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let mut client = remote.to_canonical();

    if !is_trusted(client, trusted) {
        return client;
    }

    for entry in forwarded.rev().flat_map(|line| line.rsplit(',')) {
        // Not an address: the proxy that passed it on is the last one whose address is known.
        let Some(address) = address(entry.trim()) else {
            return client;
        };

        client = address.to_canonical();
        if !is_trusted(client, trusted) {
            return client;
        }
    }

    client
}

/// Whether the address is a trusted proxy's.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|range| range.contains(&address))
}

/// Reads `192.0.2.1`, `2001:db8::1`, and both with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(remote: &str, lines: &[&str]) -> String {
        let trusted = [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8:ffff::/48".parse().unwrap(),
        ];
        client_address(remote.parse().unwrap(), lines.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client("192.0.2.9", &["203.0.113.1"]), "192.0.2.9");
    }

    #[test]
    fn the_rightmost_untrusted_address_counts() {
        assert_eq!(client("10.0.0.1", &["203.0.113.1"]), "203.0.113.1");
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1, 203.0.113.1, 10.2.3.4"]),
            "203.0.113.1",
            "what the client wrote is ignored"
        );

        assert_eq!(
            client("10.0.0.1", &["1.1.1.1", "203.0.113.1,10.9.9.9"]),
            "203.0.113.1",
            "several lines are one list"
        );

        assert_eq!(
            client("2001:db8:ffff::1", &["[2001:db8::5]:4711"]),
            "2001:db8::5",
            "with brackets and a port"
        );

        assert_eq!(
            client("::ffff:10.0.0.1", &["203.0.113.1:80"]),
            "203.0.113.1",
            "a proxy's address may come mapped into IPv6"
        );
    }

    #[test]
    fn without_a_readable_header_the_last_proxy_is_the_client() {
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(
            client("10.0.0.1", &["203.0.113.1, _hidden, 10.0.0.7"]),
            "10.0.0.7"
        );

        assert_eq!(
            client("10.0.0.1", &["10.0.0.8, 10.0.0.7"]),
            "10.0.0.8",
            "all are proxies: the leftmost is the client"
        );
    }
}
