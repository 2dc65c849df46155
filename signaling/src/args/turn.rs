//! The settings of the TURN server in this program.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tandem_signaling::server::{TurnQuotas, TurnSettings};

use super::values::{cidr, port_range};

const MEGABIT: u64 = 1_000_000;

/// A host's name, and a port if there is one.
type TlsName = (String, Option<u16>);

/// The settings of the TURN server in this program.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TurnArgs {
    /// Run a TURN server at this address, over UDP and TCP. Can be repeated.
    ///
    /// Clients get it, with credentials that expire. On 0.0.0.0 or [::] it needs --turn-external-ip.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_LISTEN",
        value_delimiter = ',',
        value_name = "ADDR:PORT"
    )]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_listen: Vec<SocketAddr>,

    /// The address under which others reach this machine; one of IPv4 and one of IPv6.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_EXTERNAL_IP",
        value_delimiter = ',',
        value_name = "IP"
    )]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_external_ip: Vec<IpAddr>,

    /// Take TURN over TLS on the port of HTTPS, too, under this name of the certificate; with a port if
    /// that is another one from outside.
    ///
    /// For people whose firewall lets only HTTPS through. Needs --tls-cert.
    #[arg(long, env = "TANDEM_SIGNALING_TURN_TLS_NAME", value_name = "NAME[:PORT]", value_parser = tls_name)]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_tls_name: Option<TlsName>,

    /// UDP ports for clients whose partner uses no TURN server, or another one.
    ///
    /// Two clients of this server need none that is open to the outside.
    #[arg(long, env = "TANDEM_SIGNALING_TURN_PORTS", default_value = "49152-65535", value_name = "FIRST-LAST", value_parser = port_range)]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_ports: RangeInclusive<u16>,

    /// Forward to private addresses, and those in the machine's own networks, in this range, too. Can be
    /// repeated.
    ///
    /// Others are denied, so that nobody reaches your own network through the server.
    #[arg(long, env = "TANDEM_SIGNALING_TURN_ALLOW_PEER", value_delimiter = ',', value_name = "CIDR", value_parser = cidr)]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_allow_peer: Vec<IpNet>,

    /// Forward to no address in this range, even if it is public or allowed. Can be repeated.
    ///
    /// For neighbors with public addresses in other networks than the machine's own.
    #[arg(long, env = "TANDEM_SIGNALING_TURN_DENY_PEER", value_delimiter = ',', value_name = "CIDR", value_parser = cidr)]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_deny_peer: Vec<IpNet>,

    /// The file of the key that credentials are made with: 64 hexadecimal digits. Made at the first start.
    ///
    /// For servers that clients reach at the same address: each takes the credentials of all that have
    /// the same key. Default: a new key with each start.
    #[arg(long, env = "TANDEM_SIGNALING_TURN_KEY", value_name = "FILE")]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_key: Option<PathBuf>,

    /// Allocations at the same time; a call needs one or two on each side. 0: no limit.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_ALLOCATIONS",
        default_value_t = 2000,
        value_name = "N"
    )]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_allocations: u32,

    /// Allocations from one address (IPv6: from one /64). 0: no limit.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_ALLOCATIONS_PER_ADDRESS",
        default_value_t = 100,
        value_name = "N"
    )]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_allocations_per_address: u32,

    /// Allocations of one client. 0: no limit.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_ALLOCATIONS_PER_USER",
        default_value_t = 12,
        value_name = "N"
    )]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_allocations_per_user: u32,

    /// Megabits per second of all clients, each packet counted once. 0: no limit.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_BANDWIDTH",
        default_value_t = 1000,
        value_name = "MBIT"
    )]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_bandwidth: u32,

    /// Megabits per second of one client, both directions together. 0: no limit.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_BANDWIDTH_PER_USER",
        default_value_t = 20,
        value_name = "MBIT"
    )]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_bandwidth_per_user: u32,

    /// Megabits per second of all clients of one address (IPv6: of one /64). 0: no limit.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_BANDWIDTH_PER_ADDRESS",
        default_value_t = 100,
        value_name = "MBIT"
    )]
    #[arg(help_heading = "TURN server in this program")]
    pub(crate) turn_bandwidth_per_address: u32,
}

impl TurnArgs {
    /// Checks that the settings fit together.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.turn_listen.is_empty() {
            let lost = [
                (!self.turn_external_ip.is_empty(), "--turn-external-ip"),
                (!self.turn_allow_peer.is_empty(), "--turn-allow-peer"),
                (!self.turn_deny_peer.is_empty(), "--turn-deny-peer"),
                (self.turn_tls_name.is_some(), "--turn-tls-name"),
                (self.turn_key.is_some(), "--turn-key"),
            ];
            return match lost.iter().find(|(is_set, _)| *is_set) {
                Some((_, flag)) => Err(format!(
                    "{flag} needs --turn-listen: without it there is no TURN server in this program"
                )),
                None => Ok(()),
            };
        }

        let of_v4 = self
            .turn_external_ip
            .iter()
            .filter(|ip| ip.is_ipv4())
            .count();
        if of_v4 > 1 || self.turn_external_ip.len() - of_v4 > 1 {
            return Err(
                "--turn-external-ip names two addresses of one kind: peers see one, so name that"
                    .into(),
            );
        }

        Ok(())
    }

    /// The settings for the server, if it is to run. Credentials for a call are valid for `ttl`.
    pub(crate) fn settings(self, ttl: Duration) -> Option<TurnSettings> {
        let megabits = |number: u32| u64::from(number) * MEGABIT;
        (!self.turn_listen.is_empty()).then(|| TurnSettings {
            listen: self.turn_listen,
            external: self.turn_external_ip,
            ports: self.turn_ports,
            allowed_peers: self.turn_allow_peer,
            denied_peers: self.turn_deny_peer,
            tls_name: self.turn_tls_name,
            key: self.turn_key,
            quotas: TurnQuotas {
                per_user: self.turn_allocations_per_user,
                per_address: self.turn_allocations_per_address,
                total: self.turn_allocations,
                user_bandwidth: megabits(self.turn_bandwidth_per_user),
                address_bandwidth: megabits(self.turn_bandwidth_per_address),
                total_bandwidth: megabits(self.turn_bandwidth),
            },
            ttl,
        })
    }
}

/// Reads a host's name, and a port if there is one.
fn tls_name(text: &str) -> Result<TlsName, String> {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => {
            let port = port.parse().ok().filter(|port| *port > 0);
            (
                name,
                Some(port.ok_or("the port is a number from 1 to 65535")?),
            )
        }
        None => (text, None),
    };

    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    if !is_name {
        return Err("this is no name of a host, such as chat.example.org".into());
    }

    Ok((name.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_a_port() {
        let read = |text| tls_name(text).ok();
        let name = |name: &str, port| Some((name.to_owned(), port));
        assert_eq!(read("chat.example.org"), name("chat.example.org", None));
        assert_eq!(read("a-b.example:443"), name("a-b.example", Some(443)));
        for bad in [
            "", ":443", "a:0", "a:65536", "a:x", "turns:a", "a/b", "a b", "[::1]",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
