//! Which datagrams of one socket may pass, so that a partner learns no address of this machine but
//! those that [`Disclosure`] allows. Sans-IO: the system's routes are an argument.
//!
//! A candidate that is never named still reveals its address when a check leaves from there. With
//! server-reflexive candidates, only that socket of each IP version is used from whose address the system
//! sends to the internet, not those of a VPN or a second network beside it (RFC 8828 §5.2, mode 2). The
//! addresses of the servers do not matter to that: the signaling server picks them, and could name one
//! behind each network that it asks about. With relay candidates, a socket sends to servers and hears
//! them, and nobody else.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::stun::{self, Purpose};
use crate::interfaces::Prefix;
use crate::peer::privacy::Disclosure;

/// Servers that one socket may ask. A signaling server names fewer.
const MAX_SERVERS: usize = 64;

/// Addresses that the system reaches by its default routes: those of a.root-servers.net, which IANA
/// changes once in decades (<https://www.iana.org/domains/root/servers>). Nothing is sent there.
const INTERNET_V4: Ipv4Addr = Ipv4Addr::new(198, 41, 0, 4);
const INTERNET_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30);

/// From which address the system sends to another one.
pub(in crate::peer) type SourceAddress = fn(IpAddr) -> Option<IpAddr>;

/// The filter of one socket.
pub(in crate::peer) struct AddressFilter {
    disclosure: Disclosure,
    local: IpAddr,
    /// `None`: the socket is none of the system's, whose routes say nothing about it.
    source_address: Option<SourceAddress>,
    /// The networks that this machine is in.
    networks: Vec<Prefix>,
    /// The servers that were asked from here, and whether they may be.
    servers: Vec<(SocketAddr, bool)>,
    /// A server was asked from here, and the system sends from here to the internet.
    reaches_internet: bool,
}

impl AddressFilter {
    /// For a socket at `local`, on a machine that is in these `networks`.
    pub(in crate::peer) fn new(
        disclosure: Disclosure,
        local: IpAddr,
        source_address: Option<SourceAddress>,
        networks: Vec<Prefix>,
    ) -> Self {
        Self {
            disclosure,
            local,
            source_address,
            networks,
            servers: Vec::new(),
            reaches_internet: false,
        }
    }

    /// Whether a datagram may leave for `to`.
    pub(super) fn may_leave(&mut self, to: SocketAddr, datagram: &[u8]) -> bool {
        if self.disclosure == Disclosure::All {
            return true;
        }

        match stun::purpose(datagram) {
            Purpose::ServerRequest => self.ask(to),
            Purpose::ThroughServer => self.uses(to),
            Purpose::Partner => self.may_meet(to.ip()),
        }
    }

    /// Whether a datagram may come in from `from`.
    pub(super) fn may_enter(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        self.disclosure == Disclosure::All
            || (self.uses(from) && !stun::is_check(datagram))
            || (stun::purpose(datagram) == Purpose::Partner && self.may_meet(from.ip()))
    }

    /// Notes a request to a server. Whether it may leave from here.
    fn ask(&mut self, server: SocketAddr) -> bool {
        let known = self.servers.iter().find(|(known, _)| *known == server);
        if let Some((_, is_used)) = known {
            return *is_used;
        }

        if self.servers.len() == MAX_SERVERS {
            return false;
        }

        // A TURN server may be reached by any way: it gives away no address of this machine.
        let by_any_way = self.disclosure == Disclosure::Relay
            || self.disclosure.is_within(self.local, server.ip());
        let reaches_internet = self.disclosure != Disclosure::Relay && self.is_on_default_route();
        self.reaches_internet |= reaches_internet;
        let is_used = by_any_way || reaches_internet;
        self.servers.push((server, is_used));
        is_used
    }

    /// Whether the system sends from here to the internet.
    fn is_on_default_route(&self) -> bool {
        let local = self.local.to_canonical();
        let internet = match local {
            IpAddr::V4(_) => INTERNET_V4.into(),
            IpAddr::V6(_) => INTERNET_V6.into(),
        };
        self.source_address
            .is_none_or(|source_address| source_address(internet) == Some(local))
    }

    /// Whether this socket asks `server`.
    fn uses(&self, server: SocketAddr) -> bool {
        self.servers.contains(&(server, true))
    }

    /// Whether the partner may be met at `address`, from here and without a TURN server of this side.
    /// Nobody in this machine's own networks needs to learn who calls, whether their addresses are
    /// private or not.
    fn may_meet(&self, address: IpAddr) -> bool {
        if self.disclosure.is_within(self.local, address) {
            return true;
        }

        self.disclosure.may_check(address)
            && self.reaches_internet
            && !self
                .networks
                .iter()
                .any(|network| network.contains(address))
    }
}

impl fmt::Debug for AddressFilter {
    /// Without addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressFilter")
            .field("disclosure", &self.disclosure)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::stun::examples::{check, indication, message};
    use super::*;

    const STUN: &str = "198.51.100.9:3478";
    const PARTNER: &str = "198.51.100.77:5000";
    const NEIGHBOUR: &str = "203.0.113.77:5000";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The system sends from the first of these.
    fn filters(disclosure: Disclosure) -> [AddressFilter; 2] {
        ["203.0.113.5", "192.0.2.5"].map(|local| {
            AddressFilter::new(
                disclosure,
                local.parse().unwrap(),
                Some(|_| "203.0.113.5".parse().ok()),
                vec![
                    Prefix::new("203.0.113.5".parse().unwrap(), 24),
                    Prefix::new("2001:db8:1::5".parse().unwrap(), 64),
                ],
            )
        })
    }

    fn ask() -> Vec<u8> {
        message(0x0001, 1, &[])
    }

    #[test]
    fn only_the_socket_on_the_default_route_is_used() {
        let [mut usual, mut other] = filters(Disclosure::ServerReflexive);
        let check = check(2);
        assert!(
            !usual.may_leave(at(PARTNER), &check),
            "no server has been asked"
        );

        assert!(usual.may_leave(at(STUN), &ask()));
        assert!(!other.may_leave(at(STUN), &ask()));
        for datagram in [&check[..], &[0x16, 0xfe], &[0x80, 0x60]] {
            assert!(usual.may_leave(at(PARTNER), datagram));
            assert!(usual.may_enter(at(PARTNER), datagram));
            assert!(!other.may_leave(at(PARTNER), datagram));
            assert!(!other.may_enter(at(PARTNER), datagram));
        }

        let answer = message(0x0101, 1, &[]);
        assert!(usual.may_enter(at(STUN), &answer));
        assert!(!other.may_enter(at(STUN), &answer));
    }

    #[test]
    fn a_server_in_another_network_is_not_asked_from_there() {
        const BEHIND_VPN: &str = "192.0.2.200:3478";

        let socket = |local: &str| {
            AddressFilter::new(
                Disclosure::ServerReflexive,
                local.parse().unwrap(),
                Some(|to| match to {
                    IpAddr::V6(_) => "2001:db8:1::5".parse().ok(),
                    IpAddr::V4(to) if to.octets()[..3] == [192, 0, 2] => "192.0.2.5".parse().ok(),
                    IpAddr::V4(_) => "203.0.113.5".parse().ok(),
                }),
                Vec::new(),
            )
        };

        for (local, server, is_used) in [
            ("203.0.113.5", STUN, true),
            ("203.0.113.5", BEHIND_VPN, true),
            ("192.0.2.5", STUN, false),
            ("192.0.2.5", BEHIND_VPN, false),
            ("2001:db8:1::5", "[2001:db8:9::9]:3478", true),
            ("2001:db8:2::5", "[2001:db8:9::9]:3478", false),
        ] {
            let mut socket = socket(local);
            assert_eq!(
                socket.may_leave(at(server), &ask()),
                is_used,
                "{local} to {server}"
            );
            assert_eq!(
                socket.may_leave(at(PARTNER), &check(2)),
                is_used,
                "{local} to the partner"
            );
        }
    }

    #[test]
    fn a_computer_without_a_way_to_the_internet_uses_no_socket() {
        let local = "192.0.2.5".parse().unwrap();
        let mut filter = AddressFilter::new(
            Disclosure::ServerReflexive,
            local,
            Some(|_| None),
            Vec::new(),
        );
        assert!(!filter.may_leave(at(STUN), &ask()));
        assert!(!filter.may_leave(at(PARTNER), &check(2)));
    }

    #[test]
    fn no_check_goes_to_a_neighbour_with_a_public_address() {
        let [mut usual, _] = filters(Disclosure::ServerReflexive);
        assert!(usual.may_leave(at(STUN), &ask()));
        let check = check(2);
        for neighbour in [NEIGHBOUR, "[2001:db8:1::77]:5000", "[::ffff:203.0.113.7]:5"] {
            assert!(!usual.may_leave(at(neighbour), &check), "{neighbour}");
            assert!(!usual.may_enter(at(neighbour), &check), "{neighbour}");
        }

        assert!(usual.may_leave(at("[2001:db8:2::77]:5000"), &check));
    }

    #[test]
    fn a_side_with_relay_candidates_talks_to_its_servers_and_nobody_else() {
        for mut filter in filters(Disclosure::Relay) {
            let check = check(2);
            assert!(filter.may_leave(at(STUN), &ask()));
            assert!(filter.may_leave(at(STUN), &indication(at(PARTNER), &check)));
            assert!(filter.may_enter(at(STUN), &indication(at(PARTNER), &check)));
            assert!(filter.may_enter(at(STUN), &[0x40, 0, 0, 1, 7]));
            assert!(!filter.may_leave(at(PARTNER), &indication(at(PARTNER), &check)));

            for datagram in [&check[..], &ask(), &[0x16, 0xfe], &[0x80, 0x60]] {
                assert!(!filter.may_enter(at(PARTNER), datagram), "{datagram:?}");
            }

            for datagram in [&check[..], &[0x16, 0xfe], &[0x80, 0x60]] {
                assert!(!filter.may_leave(at(PARTNER), datagram), "{datagram:?}");
            }
        }
    }

    #[test]
    fn in_a_private_network_no_address_beyond_it_is_shown() {
        let socket = |local: &str| {
            AddressFilter::new(
                Disclosure::Private,
                local.parse().unwrap(),
                Some(|to| match to {
                    IpAddr::V6(_) => "2001:db8:1::5".parse().ok(),
                    IpAddr::V4(_) => "10.0.0.5".parse().ok(),
                }),
                vec![
                    Prefix::new("10.0.0.5".parse().unwrap(), 24),
                    Prefix::new("2001:db8:1::5".parse().unwrap(), 64),
                ],
            )
        };

        // From, to, whether a server inside or outside has been asked, whether a check may pass.
        for (local, to, server, may_pass) in [
            ("10.0.0.5", "10.0.0.77:5000", None, true),
            ("10.9.0.5", "10.0.0.77:5000", None, true),
            ("127.0.0.1", "127.0.0.1:5000", None, true),
            ("fd00::5", "[fd00::77]:5000", None, true),
            // It would show the address that is not named.
            ("2001:db8:1::5", "[fd00::77]:5000", Some(STUN), false),
            ("2001:db8:1::5", "[2001:db8:1::77]:5000", Some(STUN), false),
            ("203.0.113.5", "10.0.0.77:5000", Some(STUN), false),
            // The one that a server sees.
            ("10.0.0.5", PARTNER, None, false),
            ("10.0.0.5", PARTNER, Some(STUN), true),
            // Not that of another network, through whatever server.
            ("10.9.0.5", PARTNER, Some(STUN), false),
            ("10.9.0.5", PARTNER, Some("10.9.0.1:3478"), false),
        ] {
            let mut filter = socket(local);
            if let Some(server) = server {
                filter.may_leave(at(server), &ask());
            }

            let check = check(2);
            assert_eq!(
                filter.may_leave(at(to), &check),
                may_pass,
                "{local} to {to}"
            );
            assert_eq!(
                filter.may_enter(at(to), &check),
                may_pass,
                "{to} to {local}"
            );
        }
    }

    #[test]
    fn friends_are_met_anywhere() {
        for mut filter in filters(Disclosure::All) {
            let check = check(2);
            for to in [PARTNER, NEIGHBOUR, "192.168.0.7:5000"] {
                assert!(filter.may_leave(at(to), &check) && filter.may_enter(at(to), &check));
            }
        }
    }

    #[test]
    fn sockets_of_a_simulated_network_follow_no_routes_of_the_system() {
        let local = "192.0.2.5".parse().unwrap();
        let mut filter = AddressFilter::new(Disclosure::ServerReflexive, local, None, Vec::new());
        assert!(filter.may_leave(at(STUN), &ask()));
        assert!(filter.may_leave(at(PARTNER), &check(2)));
    }
}
