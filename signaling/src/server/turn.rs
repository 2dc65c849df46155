//! The TURN server in this program: its settings and its start. `turn_test` tests it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use tandem_turn::{Quotas, RelayAddresses, Runner, RunnerConfig};
use tokio::task::JoinHandle;

use super::ice::Turn;
use super::key_file::{self, KEY_BYTES};
use super::own_networks;
use super::turn_test::TurnTest;

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
    /// Peers that are allowed although they are private, this machine or in its networks.
    pub allowed_peers: Vec<IpNet>,
    /// Peers that are denied, even if they are allowed.
    pub denied_peers: Vec<IpNet>,
    /// The name under which clients reach the port of this program for TURN over TLS, and the port if it
    /// is another one from outside. `None`: no TURN over TLS.
    pub tls_name: Option<(String, Option<u16>)>,
    /// The file of the key that credentials are made with. Servers with the same one take each other's.
    /// `None`: a new key with each start.
    pub key: Option<PathBuf>,
    /// How much may be used.
    pub quotas: TurnQuotas,
    /// How long credentials for a call are valid. Those outside of a call are valid for two minutes.
    pub ttl: Duration,
}

/// The server, what tests it, and what clients need to use it.
pub(super) struct Started {
    pub(super) runner: Runner,
    pub(super) test: TurnTest,
    pub(super) turn: Turn,
    /// Follows the addresses of this machine.
    pub(super) networks: JoinHandle<()>,
}

/// Starts the server and tests it: what is wrong goes to the log. `port` is the one of HTTPS, which TURN
/// over TLS shares; `clock` is the time of day; `is_node`: there are other servers.
///
/// # Errors
/// A sentence about an address that cannot be bound, or one that is missing.
pub(super) async fn start(
    settings: TurnSettings,
    port: u16,
    clock: fn() -> SystemTime,
    is_node: bool,
) -> Result<Started, String> {
    say_if_key_is_missing(&settings, is_node);
    let secret = secret(settings.key.as_deref())?;
    let ttl = settings.ttl;
    let own = own_networks::list().unwrap_or_else(|error| {
        tracing::warn!(
            kind = %error.kind(),
            "cannot list this machine's addresses: TURN denies only the ones in the settings"
        );
        Vec::new()
    });
    let runner = Runner::start(&RunnerConfig {
        listen: settings.listen,
        external: settings.external,
        ports: settings.ports,
        allowed_peers: settings.allowed_peers,
        denied_peers: settings.denied_peers,
        own: own.clone(),
        quotas: settings.quotas,
        secret: secret.clone(),
        // Those outside of a call are valid for a shorter time.
        credential_lifetime: ttl,
    })?;

    let mut urls = urls(runner.addresses(), runner.relay_addresses());
    urls.extend(settings.tls_name.map(|(name, outside)| {
        let port = outside.unwrap_or(port);
        format!("turns:{name}:{port}?transport=tcp")
    }));
    tracing::info!(?urls, "TURN server: clients get these");
    let test = TurnTest::new(&runner, secret.clone(), urls.clone(), clock);
    test.log().await;
    let control = runner.control();
    let networks = own_networks::watch(own, own_networks::list, move |own| control.set_own(own));
    Ok(Started {
        runner,
        test,
        turn: Turn { urls, secret, ttl },
        networks: tokio::spawn(networks),
    })
}

/// The secret that makes passwords: of the key in this file, or else of this start.
///
/// # Errors
/// A sentence about the file.
fn secret(key: Option<&Path>) -> Result<String, String> {
    let key: [u8; KEY_BYTES] = match key {
        Some(path) => {
            let (key, is_new) = key_file::read_or_make(path, "TURN key")?;
            if is_new {
                tracing::info!("made a new TURN key: copy it to the servers that are to share it");
            }
            key
        }
        None => key_file::random()?,
    };

    Ok(STANDARD.encode(key))
}

/// Says what a server of a cluster needs whose TURN address other servers may have, too.
fn say_if_key_is_missing(settings: &TurnSettings, is_node: bool) {
    match (&settings.key, &settings.tls_name) {
        (None, Some((name, _))) if is_node => tracing::warn!(
            "the other servers do not take the TURN credentials of this one: if they have the name \
             {name}, too, give all of them the same turn-key"
        ),
        (None, None) if is_node => tracing::info!(
            "the other servers do not take the TURN credentials of this one (turn-key): its \
             turn-external-ip must lead to no other server"
        ),
        _ => {}
    }
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
    fn every_start_has_another_secret_unless_there_is_a_key() {
        let (one, other) = (secret(None).unwrap(), secret(None).unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 44, "256 bits");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("turn.key");
        let kept = secret(Some(&path)).unwrap();
        assert_eq!(secret(Some(&path)).unwrap(), kept);
        assert_ne!(kept, one);

        std::fs::write(&path, "hunter2").unwrap();
        let error = secret(Some(&path)).unwrap_err();
        assert!(
            error.contains("TURN key") && error.contains("turn.key") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
