//! What a partner may learn of this machine's addresses, and the text that is sent accordingly.
//!
//! In relay-only mode the ICE agent is configured to gather relay candidates only (RFC 8829 §4.1.1,
//! `iceTransportPolicy`). It has no mode in which it uses host candidates and does not name them, as
//! browsers do for pages without permission (RFC 8828 §5.2). So this module checks every text that is
//! sent. It also removes the address that a candidate was made from (`raddr`, RFC 8839 §5.1), which
//! the library reveals.

use std::net::IpAddr;

use webrtc::peer_connection::RTCIceCandidateInit;

use super::PeerConfig;

/// Which candidates of this machine may be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disclosure {
    /// All.
    All,
    /// Those of private networks and of this machine itself, and those that STUN and TURN servers have
    /// given: the partner is in the same private network. An address that the whole internet reaches says
    /// where this machine is beyond that network, so it is not named unless a server sees it anyway.
    Private,
    /// Those that STUN and TURN servers have given: what any server on the internet sees.
    ServerReflexive,
    /// Those of TURN servers.
    Relay,
}

impl Disclosure {
    pub(super) fn of(config: &PeerConfig) -> Self {
        if config.relay_only {
            Self::Relay
        } else if config.hide_local_addresses {
            Self::ServerReflexive
        } else if config.hide_public_addresses {
            Self::Private
        } else {
            Self::All
        }
    }

    /// Whether checks may come from this address of the partner, go there, and be answered, without a
    /// TURN server of this side. A private address would be in this machine's own network, where nobody
    /// needs to learn who calls. With relay candidates only, an answer from here would tell who has guessed
    /// this machine's address that it is the partner's.
    pub(super) fn may_check(self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            // What stays within a private network is another case.
            Self::ServerReflexive | Self::Private => is_public(address),
            Self::Relay => false,
        }
    }

    /// Whether a datagram between these two stays in a private network whose addresses may be named. One
    /// to a private address must not leave from an address that is not named.
    pub(super) fn is_within(self, local: IpAddr, address: IpAddr) -> bool {
        self == Self::Private && is_private(local) && is_private(address)
    }

    /// Whether a candidate of the partner may be checked: not one with a name either, because mDNS
    /// would ask this machine's network for it.
    pub(super) fn may_check_candidate(self, line: &str) -> bool {
        let address = line.split_ascii_whitespace().nth(4);
        let address = address.and_then(|address| address.parse().ok());
        match self {
            Self::All | Self::Relay => true,
            Self::Private => address.is_some_and(|ip| is_public(ip) || is_private(ip)),
            Self::ServerReflexive => address.is_some_and(is_public),
        }
    }

    /// The candidate as it may be sent; `None` if it must not be sent.
    pub(super) fn candidate(self, mut init: RTCIceCandidateInit) -> Option<RTCIceCandidateInit> {
        if self == Self::All {
            return Some(init);
        }

        init.candidate = self.candidate_line(&init.candidate)?;
        // The server's URL is not secret, but the partner does not need it.
        init.url = None;
        Some(init)
    }

    /// The SDP with the candidates that may be named, and without any other address.
    pub(super) fn description(self, sdp: String) -> String {
        if self == Self::All {
            return sdp;
        }

        let mut stripped = String::with_capacity(sdp.len());
        for line in sdp.split_terminator('\n') {
            let line = line.trim_end_matches('\r');
            let kept = match line.split_once([':', '=']) {
                // With ICE, the address for media comes from candidates, not from here (RFC 8839
                // §4.2.1.2, RFC 8866 §5.2).
                Some(("c", _)) => Some("c=IN IP4 0.0.0.0".to_owned()),
                Some(("o", rest)) => Some(format!("o={}", anonymous_origin(rest))),
                Some(("a", attribute)) if attribute.starts_with("candidate") => {
                    let value = attribute.split_once(':').map_or("", |(_, value)| value);
                    self.candidate_line(value).map(|line| {
                        format!("a=candidate:{line}").replacen(
                            "candidate:candidate:",
                            "candidate:",
                            1,
                        )
                    })
                }
                Some(("a", attribute)) if attribute.starts_with("rtcp:") => {
                    Some("a=rtcp:9 IN IP4 0.0.0.0".to_owned())
                }
                Some(("a", attribute)) if attribute.starts_with("remote-candidates") => None,
                _ => Some(line.to_owned()),
            };

            if let Some(kept) = kept {
                stripped.push_str(&kept);
                stripped.push_str("\r\n");
            }
        }

        stripped
    }

    /// A `candidate-attribute` that may be named, without its related address; `None` for any other.
    /// An empty one, which marks the end of candidates, stays.
    fn candidate_line(self, line: &str) -> Option<String> {
        if line.is_empty() {
            return Some(String::new());
        }

        let mut fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let address = fields.get(4)?.parse().ok();
        let may_be_named = match (*fields.get(value_index(&fields, "typ")?)?, self) {
            ("relay", _) => true,
            // A STUN server in this machine's own network sees a private address.
            ("srflx", Self::ServerReflexive) => address.is_some_and(is_public),
            ("srflx", Self::Private) => address.is_some_and(|ip| is_public(ip) || is_private(ip)),
            ("host", Self::Private) => address.is_some_and(is_private),
            _ => false,
        };
        if !may_be_named {
            return None;
        }

        for (name, nothing) in [("raddr", "0.0.0.0"), ("rport", "0")] {
            let value = value_index(&fields, name).and_then(|at| fields.get_mut(at));
            if let Some(value) = value {
                *value = nothing;
            }
        }

        Some(fields.join(" "))
    }
}

/// Whether an address can be reached from the whole internet, as far as its number says (the IANA
/// registries of special-purpose addresses, RFC 6890). Documentation addresses count as public: tests
/// use them, and nobody has them.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            let is_special = ip.is_loopback() || ip.is_private() || ip.is_link_local();
            !is_shared && !is_special && a != 0 && a < 224
        }
        // Only 2000::/3 has been given out (RFC 4291 §2.4).
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

/// Whether an address is one of a private network or of this machine itself. Not a link-local one of IPv6,
/// which can hold a hardware address, and not one of a provider's or a VPN's shared space (RFC 6598).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

/// `o=` without the address of its creator.
fn anonymous_origin(origin: &str) -> String {
    let mut fields: Vec<&str> = origin.split(' ').collect();
    if let [.., network, kind, address] = &mut fields[..] {
        (*network, *kind, *address) = ("IN", "IP4", "0.0.0.0");
    }

    fields.join(" ")
}

/// Where the value of the attribute `name` would stand. Attributes follow the six fixed fields.
fn value_index(fields: &[&str], name: &str) -> Option<usize> {
    fields
        .iter()
        .skip(6)
        .position(|field| *field == name)
        .map(|at| at + 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RELAY: &str =
        "candidate:1 1 udp 9 198.51.100.7 50000 typ relay raddr 192.168.0.33 rport 61000 ufrag x";
    const REFLEXIVE: &str =
        "candidate:1 1 udp 9 203.0.113.5 50000 typ srflx raddr 192.168.0.33 rport 50000";
    /// None of these may ever leave.
    const LOCAL: [&str; 8] = [
        "candidate:1 1 udp 9 192.168.0.33 50000 typ host",
        "candidate:1 1 udp 9 203.0.113.5 50000 typ host",
        "candidate:1 1 udp 9 127.0.0.1 50000 typ host",
        "candidate:1 1 udp 9 192.168.0.33 50000 typ srflx raddr 0.0.0.0 rport 0",
        "candidate:1 1 udp 9 203.0.113.5 50000 typ prflx raddr 192.168.0.33 rport 50000",
        "candidate:1 1 udp 9 abc.local 50000 typ host relay",
        "candidate:typ relay",
        "relay",
    ];

    #[test]
    fn only_relay_candidates_pass_in_relay_only_mode_and_without_their_origin() {
        let relay = Disclosure::Relay;
        assert_eq!(
            relay.candidate_line(RELAY).as_deref(),
            Some("candidate:1 1 udp 9 198.51.100.7 50000 typ relay raddr 0.0.0.0 rport 0 ufrag x")
        );

        for line in LOCAL.iter().chain([&REFLEXIVE]) {
            assert_eq!(relay.candidate_line(line), None, "{line}");
        }

        assert_eq!(
            relay.candidate_line("").as_deref(),
            Some(""),
            "the end of candidates"
        );
    }

    #[test]
    fn only_what_servers_see_passes_where_local_addresses_are_hidden() {
        let hidden = Disclosure::ServerReflexive;
        assert_eq!(
            hidden.candidate_line(REFLEXIVE).as_deref(),
            Some("candidate:1 1 udp 9 203.0.113.5 50000 typ srflx raddr 0.0.0.0 rport 0")
        );
        assert!(hidden.candidate_line(RELAY).is_some());

        for line in LOCAL {
            assert_eq!(hidden.candidate_line(line), None, "{line}");
        }
    }

    #[test]
    fn in_a_private_network_its_addresses_are_named_and_none_beyond_it() {
        let private = Disclosure::Private;
        for address in [
            "192.168.0.33",
            "10.0.0.7",
            "172.16.1.1",
            "127.0.0.1",
            "fd00::33",
            "::1",
        ] {
            let line = format!("candidate:1 1 udp 9 {address} 50000 typ host");
            assert_eq!(private.candidate_line(&line).as_deref(), Some(&*line));
            assert!(private.may_check_candidate(&line), "{line}");
        }

        let unnamed = [
            "2001:db8::33",
            "203.0.113.5",
            "100.64.0.7",
            "fe80::211:22ff:fe33:4455",
            "abc.local",
        ];
        for address in unnamed {
            let line = format!("candidate:1 1 udp 9 {address} 50000 typ host");
            assert_eq!(private.candidate_line(&line), None, "{line}");
        }

        assert_eq!(
            private.candidate_line(REFLEXIVE).as_deref(),
            Some("candidate:1 1 udp 9 203.0.113.5 50000 typ srflx raddr 0.0.0.0 rport 0")
        );
        assert!(private.candidate_line(RELAY).is_some());
        let seen_from_inside = LOCAL[3];
        assert!(private.candidate_line(seen_from_inside).is_some());
        for line in &LOCAL[4..] {
            assert_eq!(private.candidate_line(line), None, "{line}");
        }
    }

    #[test]
    fn no_check_goes_into_the_own_network_where_local_addresses_are_hidden() {
        let hidden = Disclosure::ServerReflexive;
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.251",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:192.168.1.1",
            "ff02::fb",
        ] {
            let line = format!("candidate:1 1 udp 9 {address} 50000 typ srflx");
            assert!(!hidden.may_check(address.parse().unwrap()), "{address}");
            assert!(!hidden.may_check_candidate(&line), "{address}");
            assert!(Disclosure::All.may_check_candidate(&line), "{address}");
        }

        for address in ["203.0.113.5", "8.8.8.8", "100.128.0.1", "2001:db8::5"] {
            let line = format!("candidate:1 1 udp 9 {address} 50000 typ host");
            assert!(hidden.may_check(address.parse().unwrap()), "{address}");
            assert!(hidden.may_check_candidate(&line), "{address}");
        }

        let name = "candidate:1 1 udp 9 abc.local 50000 typ host";
        assert!(!hidden.may_check_candidate(name), "mDNS asks the network");
        assert!(Disclosure::All.may_check_candidate(name));
    }

    #[test]
    fn a_description_contains_no_address_of_the_machine() {
        let sdp = format!(
            "v=0\r\no=- 4711 2 IN IP4 192.168.0.33\r\ns=-\r\nc=IN IP6 2001:db8::33\r\nt=0 0\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 192.168.0.33\r\na=rtcp:61000 IN IP4 192.168.0.33\r\n\
             a=candidate:1 1 udp 9 192.168.0.33 61000 typ host\r\na={RELAY}\r\na={REFLEXIVE}\r\n\
             a=end-of-candidates\r\na=mid:0\r\n"
        );

        for (disclosure, names_reflexive) in [
            (Disclosure::Relay, false),
            (Disclosure::ServerReflexive, true),
        ] {
            let stripped = disclosure.description(sdp.clone());
            assert!(
                !stripped.contains("192.168.0.33") && !stripped.contains("2001:db8"),
                "{stripped}"
            );
            assert!(stripped.contains(
                "\r\na=candidate:1 1 udp 9 198.51.100.7 50000 typ relay raddr 0.0.0.0 rport 0"
            ));
            assert_eq!(
                stripped.contains("203.0.113.5"),
                names_reflexive,
                "{stripped}"
            );
            assert!(
                stripped.contains("o=- 4711 2 IN IP4 0.0.0.0\r\n")
                    && stripped.ends_with("a=mid:0\r\n"),
                "{stripped}"
            );
            assert_eq!(
                disclosure.description(stripped.clone()),
                stripped,
                "nothing is left to strip"
            );
        }

        assert_eq!(Disclosure::All.description(sdp.clone()), sdp);
    }

    proptest! {
        #[test]
        fn no_address_of_the_machine_slips_through(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("a=candidate:2 1 udp 9 192.168.0.33 6 typ host".to_owned()),
                    Just(
                        "a=candidate:2 1 tcp 9 192.168.0.33 6 typ srflx raddr 192.168.0.33 rport 6"
                            .to_owned()
                    ),
                    Just(format!("a={RELAY}")),
                    Just(format!("a={REFLEXIVE}")),
                    Just("c=IN IP4 192.168.0.33".to_owned()),
                    Just("o=- 1 1 IN IP4 192.168.0.33".to_owned()),
                    Just("a=rtcp:5 IN IP4 192.168.0.33".to_owned()),
                    "[ -~]{0,40}".prop_filter("not the address by chance", |line| {
                        !line.contains("192.168.0.33")
                    }),
                ],
                0..30,
            )
        ) {
            for disclosure in [Disclosure::Relay, Disclosure::ServerReflexive] {
                let stripped = disclosure.description(lines.join("\r\n"));
                prop_assert!(!stripped.contains("192.168.0.33"), "{}", stripped);
            }
        }
    }
}
