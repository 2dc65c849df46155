//! What a server does to itself when it starts: everything that a call needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::auth::password;
use crate::client::{RequestError, TurnClient};
use crate::server::RelayAddresses;

/// How long the test's credentials are valid, in seconds.
const LIFETIME: u64 = 60;
const CHANNEL: u16 = 0x4000;
const GREETING: &[u8] = b"can you hear me";

/// Lets two clients exchange a packet through the server that listens at `address` on this machine.
/// `unix` is the time of day in seconds. Blocks, for a few seconds if the server does not answer.
///
/// # Errors
/// What went wrong first.
pub fn self_test(
    address: SocketAddr,
    relay: RelayAddresses,
    secret: &str,
    unix: u64,
) -> Result<(), RequestError> {
    let server = SocketAddr::new(reachable(address.ip(), relay), address.port());
    let mut clients = ["self-test-a", "self-test-b"].map(|user| {
        let name = format!("{}:{user}", unix + LIFETIME);
        TurnClient::new(server, &name, &password(secret, &name))
    });
    let [Ok(one), Ok(other)] = &mut clients else {
        let error = clients.into_iter().find_map(Result::err);
        return Err(error.map_or(RequestError::BadAnswer, RequestError::Io));
    };

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
