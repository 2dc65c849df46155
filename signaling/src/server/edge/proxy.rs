//! Whose connection it is when a proxy stands before the relay.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The client's address: the connection's own unless that is a trusted proxy, then the rightmost address of
/// `X-Forwarded-For` that is none.
///
/// Each proxy appends whom it heard from, so what stands to the left of the first untrusted address was written by the
/// client and may be anything. `forwarded` are the header's lines in order.
pub(crate) fn client_address<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(&address));
    let mut client = peer.to_canonical();

    if !is_trusted(client) {
        return client;
    }

    for entry in forwarded.rev().flat_map(|line| line.rsplit(',')) {
        // What cannot be read was not written by a proxy that could be trusted: its sender counts.
        let Some(address) = address(entry.trim()) else {
            return client;
        };

        client = address.to_canonical();
        if !is_trusted(client) {
            return client;
        }
    }

    client
}

/// `192.0.2.1`, `2001:db8::1`, and both with a port.
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

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8:ffff::/48".parse().unwrap(),
        ];
        client_address(peer.parse().unwrap(), lines.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn who_is_no_proxy_cannot_choose_an_address() {
        assert_eq!(client("192.0.2.9", &["203.0.113.1"]), "192.0.2.9");
    }

    #[test]
    fn the_rightmost_untrusted_address_counts() {
        assert_eq!(client("10.0.0.1", &["203.0.113.1"]), "203.0.113.1");
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1, 203.0.113.1, 10.2.3.4"]),
            "203.0.113.1",
            "the client's own is left"
        );

        assert_eq!(
            client("10.0.0.1", &["1.1.1.1", "203.0.113.1,10.9.9.9"]),
            "203.0.113.1",
            "lines are one list"
        );

        assert_eq!(
            client("2001:db8:ffff::1", &["[2001:db8::5]:4711"]),
            "2001:db8::5",
            "with brackets and a port"
        );

        assert_eq!(
            client("::ffff:10.0.0.1", &["203.0.113.1:80"]),
            "203.0.113.1",
            "a mapped proxy is a proxy"
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
            "all are proxies: the first of them"
        );
    }
}
