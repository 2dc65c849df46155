//! Two hosts with a simulated link between them: `tandem-link` over TUN devices, for tests with
//! programs that are not ours.

use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context, Result};
use tandem_link::tun::{DEVICE, End, TunLink};
use tandem_link::{Direction, LinkCounters, LinkSpec};

use crate::network::Host;
use crate::process::built;
use crate::server_process::ServerProcess;

/// Two hosts that reach each other through a link, and nothing else. Up is from the first to the
/// second.
pub struct LinkedHosts {
    // First, because fields are dropped in this order.
    link: TunLink,
    hosts: [Host; 2],
}

impl LinkedHosts {
    /// The addresses of the hosts with their prefixes.
    const ADDRESSES: [&'static str; 2] = ["10.77.0.1/24", "10.77.0.2/24"];

    /// Two hosts with the link that `spec` describes. Its plan begins now.
    ///
    /// # Errors
    /// When this machine does not let this user do that: see
    /// [`Part::Tun`](crate::Part::Tun).
    pub fn start(spec: &str) -> Result<Self> {
        let spec: LinkSpec = spec.parse()?;
        let hosts = [Host::alone()?, Host::alone()?];
        let end = |number: usize| End {
            namespace: hosts[number].name(),
            addresses: &Self::ADDRESSES[number..=number],
        };

        let link = TunLink::start([end(0), end(1)], spec.plan().clone())
            .context("cannot make the link")?;
        Ok(Self { link, hosts })
    }

    /// A host, by its number from 0.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// The address of a host.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn ip(number: usize) -> IpAddr {
        let (ip, _) = Self::ADDRESSES[number].split_once('/').expect("a prefix");
        ip.parse().expect("an address")
    }

    /// What has happened to the packets of this direction.
    #[must_use]
    pub fn counters(&self, direction: Direction) -> LinkCounters {
        self.link.counters(direction)
    }

    /// A signaling server on the first host, for browsers and programs on both.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_server(&self) -> Result<ServerProcess> {
        let mut command: Command = self.hosts[0].command(built("tandem-signaling"));
        let address = format!("{}:0", Self::ip(0));
        command.args(["--allow-origin", "*", "--listen", &address]);
        ServerProcess::start_command(command)
    }
}

/// A VPN between two hosts of a network, over a TUN device in each. Dropping it takes it down.
pub struct Vpn {
    link: TunLink,
}

impl Vpn {
    /// Connects the host `client`, whose traffic then goes through `server` with another address.
    ///
    /// # Errors
    /// When this machine does not let this user do that: see
    /// [`Part::Tun`](crate::Part::Tun).
    pub fn connect(client: &Host, server: &Host) -> Result<Self> {
        let spec: LinkSpec = "delay=0ms".parse()?;
        let ends = [
            End {
                namespace: client.name(),
                addresses: &["10.8.0.2/24"],
            },
            End {
                namespace: server.name(),
                addresses: &["10.8.0.1/24"],
            },
        ];
        let link = TunLink::start(ends, spec.plan().clone()).context("cannot make the link")?;

        // More specific than the default route, which stays for afterwards, as OpenVPN does it.
        for half in ["0.0.0.0/1", "128.0.0.0/1"] {
            client.add_route(half, DEVICE)?;
        }

        Ok(Self { link })
    }

    /// The packets of the client that have gone through it.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.link.counters(Direction::Up).delivered
    }
}

/// Checks that this user can make a link.
pub(crate) fn check() -> Result<(), String> {
    LinkedHosts::start("delay=0ms")
        .map(drop)
        .map_err(|error| format!("cannot make TUN devices: {error:#}"))
}
