//! The TURN server in this program: its settings and its start.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use ring::rand::{SecureRandom, SystemRandom};
use tandem_turn::{PeerRules, Quotas, RelayAddresses, Runner, RunnerConfig, self_test};

use super::ice::Turn;

/// How much of the TURN server may be used; zero stands for no limit.
pub type TurnQuotas = Quotas;

/// The settings of the TURN server in this program.
#[derive(Debug, Clone)]
pub struct TurnSettings {
    /// Addresses for clients, over UDP and TCP. Port 0 picks a free one; `[::]` takes IPv4 as well.
    pub listen: Vec<SocketAddr>,
    /// The addresses under which others reach this machine, at most one of each family. Needed if it
    /// listens on all addresses.
    pub external: Vec<IpAddr>,
    /// Relayed ports.
    pub ports: RangeInclusive<u16>,
    /// Peers that are allowed although they are private, or this machine.
    pub allowed_peers: Vec<IpNet>,
    /// How much may be used.
    pub quotas: TurnQuotas,
    /// How long credentials for a call are valid. Those outside of a call are valid for two minutes.
    pub ttl: Duration,
}

/// Starts the server and tests it: what is wrong goes to the log. Returns it, and what clients need to
/// use it. `clock` is the time of day.
///
/// # Errors
/// A sentence about an address that cannot be bound, or one that is missing.
pub(super) async fn start(
    settings: TurnSettings,
    clock: fn() -> SystemTime,
) -> Result<(Runner, Turn), String> {
    let secret = random_secret()?;
    let ttl = settings.ttl;
    let runner = Runner::start(&RunnerConfig {
        listen: settings.listen,
        external: settings.external,
        ports: settings.ports,
        allowed_peers: settings.allowed_peers,
        own: own_addresses(),
        quotas: settings.quotas,
        secret: secret.clone(),
    })?;

    let urls = urls(runner.addresses(), runner.relay_addresses());
    tracing::info!(?urls, "TURN server: clients get these");
    test(&runner, &secret, clock).await;
    Ok((runner, Turn { urls, secret, ttl }))
}

/// Lets the server serve itself, and warns of what keeps others from using it.
async fn test(runner: &Runner, secret: &str, clock: fn() -> SystemTime) {
    let relay = runner.relay_addresses();
    let public = PeerRules::new(Vec::new(), &[]);
    let is_private = |ip: IpAddr| !public.permits(ip);
    if relay.v4.map(IpAddr::V4).is_some_and(is_private)
        || relay.v6.map(IpAddr::V6).is_some_and(is_private)
    {
        tracing::warn!(
            "TURN server has a private address: only people in this network can use it; if others \
             should, set turn-external-ip"
        );
    }

    for address in runner.addresses().to_vec() {
        let secret = secret.to_owned();
        let tested = tokio::task::spawn_blocking(move || {
            let now = clock().duration_since(UNIX_EPOCH).unwrap_or_default();
            self_test(address, relay, &secret, now.as_secs()).map_err(|error| error.to_string())
        });

        match tested.await {
            Ok(Ok(())) => {
                tracing::info!(%address, "TURN server: two test clients reached each other");
            }
            Ok(Err(error)) => tracing::error!(
                %address,
                error,
                "TURN server fails its own test: calls through it may not connect"
            ),
            // A panic has been printed by the panic hook.
            Err(_) => {}
        }
    }
}

/// A secret of this start: credentials end with the allocations that were made with them.
fn random_secret() -> Result<String, String> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| String::from("the system gives no random numbers"))?;

    Ok(STANDARD.encode(bytes))
}

/// The addresses of this machine, which are no peers.
fn own_addresses() -> Vec<IpAddr> {
    if_addrs::get_if_addrs()
        .unwrap_or_else(|error| {
            tracing::warn!(
                kind = %error.kind(),
                "cannot list this machine's addresses: TURN denies only the ones in the settings"
            );
            Vec::new()
        })
        .iter()
        .map(if_addrs::Interface::ip)
        .collect()
}

/// Where clients find the server: at the address that peers see, first over UDP.
fn urls(listening: &[SocketAddr], external: RelayAddresses) -> Vec<String> {
    let v4 = external.v4.map(IpAddr::V4);
    let v6 = external.v6.map(IpAddr::V6);
    let mut addresses: Vec<SocketAddr> = listening
        .iter()
        .flat_map(|address| {
            let takes_v4 = address.is_ipv4() || address.ip().is_unspecified();
            let takes_v6 = address.is_ipv6();
            [v4.filter(|_| takes_v4), v6.filter(|_| takes_v6)]
                .into_iter()
                .flatten()
                .map(|ip| SocketAddr::new(ip, address.port()))
        })
        .collect();
    addresses.sort();
    addresses.dedup();

    ["udp", "tcp"]
        .into_iter()
        .flat_map(|transport| {
            addresses
                .iter()
                .map(move |address| format!("turn:{address}?transport={transport}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_the_external_address_with_the_port_of_each_listening_one() {
        let external = RelayAddresses {
            v4: Some([203, 0, 113, 9].into()),
            v6: Some("2001:db8::9".parse().unwrap()),
        };
        let listen = |text: &str| vec![text.parse::<SocketAddr>().unwrap()];
        let (v4, v6) = ("203.0.113.9:3478", "[2001:db8::9]:3478");
        let both = |addresses: &[&str]| -> Vec<String> {
            ["udp", "tcp"]
                .into_iter()
                .flat_map(|transport| {
                    addresses
                        .iter()
                        .map(move |address| format!("turn:{address}?transport={transport}"))
                })
                .collect()
        };

        assert_eq!(urls(&listen("[::]:3478"), external), both(&[v4, v6]));
        assert_eq!(urls(&listen("0.0.0.0:3478"), external), both(&[v4]));
        assert_eq!(
            urls(&listen("10.0.0.5:3478"), external),
            both(&[v4]),
            "behind a NAT"
        );
        assert_eq!(urls(&listen("[2001:db8::9]:3478"), external), both(&[v6]));

        let only_v4 = RelayAddresses {
            v6: None,
            ..external
        };
        assert_eq!(urls(&listen("[::]:3478"), only_v4), both(&[v4]));
    }

    #[test]
    fn every_start_has_another_secret() {
        let (one, other) = (random_secret().unwrap(), random_secret().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 44, "256 bits");
    }
}
