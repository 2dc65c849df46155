//! What a server does to itself when it starts: everything that a call needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::auth::password;
use crate::client::{RequestError, TurnClient};
use crate::server::RelayAddresses;

/// How long the test's credentials are valid, in seconds.
const LIFETIME: u64 = 60;
const CHANNEL: u16 = 0x4000;
const GREETING: &[u8] = b"can you hear me";
/// The server is on the same machine.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How the first of the two test clients talks to the server; the other one always uses UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestLink {
    /// Over UDP.
    Udp,
    /// Over TCP.
    Tcp,
}

/// Lets two clients exchange a packet through the server that listens at `address` on this machine.
/// `unix` is the time of day in seconds. Blocks, for a few seconds if the server does not answer.
///
/// # Errors
/// What went wrong first.
pub fn self_test(
    link: TestLink,
    address: SocketAddr,
    relay: RelayAddresses,
    secret: &str,
    unix: u64,
) -> Result<(), RequestError> {
    let server = SocketAddr::new(reachable(address.ip(), relay), address.port());
    let name = |user| format!("{}:{user}", unix + LIFETIME);
    let (of_one, of_other) = (name("self-test-a"), name("self-test-b"));
    let mut one = match link {
        TestLink::Udp => TurnClient::new(server, &of_one, &password(secret, &of_one))?,
        TestLink::Tcp => TurnClient::over_tcp(server, &of_one, &password(secret, &of_one))?,
    };
    let mut other = TurnClient::new(server, &of_other, &password(secret, &of_other))?;
    one.set_timeout(TIMEOUT)?;
    other.set_timeout(TIMEOUT)?;

    let (of_one, of_other) = (one.allocate()?, other.allocate()?);
    one.bind(CHANNEL, of_other)?;
    other.permit(of_one)?;
    one.send(CHANNEL, GREETING)?;
    let (_, heard) = other.receive()?;

    one.refresh(0)?;
    other.refresh(0)?;
    (heard == GREETING)
        .then_some(())
        .ok_or(RequestError::BadAnswer)
}

/// An address of this machine at which a socket bound to `ip` receives.
fn reachable(ip: IpAddr, relay: RelayAddresses) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // The test's clients ask for a relayed address of the family that they talk to.
        IpAddr::V6(ip) if ip.is_unspecified() && relay.v4.is_some() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
