//! The addresses of this machine, and the networks around them: the TURN server denies them as peers. They
//! change while it runs, with DHCP, a VPN or a cable.

use std::io;
use std::time::Duration;

use if_addrs::{IfAddr, Interface};
use ipnet::IpNet;
use tandem_turn::NotTaken;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How often to look. A lease or a new interface is rare, and a look takes a fraction of a millisecond.
const INTERVAL: Duration = Duration::from_secs(30);

/// The addresses of this machine's interfaces, each with the prefix length of its network.
///
/// # Errors
/// The system's error.
pub(super) fn list() -> io::Result<Vec<IpNet>> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(interfaces.iter().map(address_of).collect())
}

fn address_of(interface: &Interface) -> IpNet {
    let ip = interface.ip();
    let prefix = match &interface.addr {
        IfAddr::V4(address) => address.prefixlen,
        IfAddr::V6(address) => address.prefixlen,
    };

    IpNet::new(ip, prefix).unwrap_or_else(|_| IpNet::from(ip))
}

/// Hands the addresses to `apply` whenever they are others than `known`, until this future is dropped.
/// While they cannot be listed, the last ones stay.
pub(super) async fn watch(
    mut known: Vec<IpNet>,
    list: impl Fn() -> io::Result<Vec<IpNet>> + Clone + Send + 'static,
    apply: impl Fn(Vec<IpNet>) -> Result<(), NotTaken>,
) {
    known.sort_unstable();
    let mut could_list = true;
    loop {
        sleep(INTERVAL).await;
        let listed = spawn_blocking(list.clone()).await;
        match listed.map_err(io::Error::other).flatten() {
            Ok(mut found) => {
                could_list = true;
                found.sort_unstable();
                // If it is not taken, the next look finds the same change.
                if found != known && apply(found.clone()).is_ok() {
                    tracing::info!(
                        addresses = found.len(),
                        "the addresses of this machine have changed: TURN denies the new ones as peers"
                    );
                    known = found;
                }
            }
            Err(error) if could_list => {
                could_list = false;
                tracing::warn!(
                    kind = %error.kind(),
                    "cannot list this machine's addresses: TURN goes on denying the ones it knows"
                );
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::time::timeout;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn this_machine_has_loopback_with_its_network() {
        let listed = list().unwrap();
        let loopback: Vec<_> = listed
            .iter()
            .filter(|net| net.addr().is_loopback())
            .collect();
        assert!(!loopback.is_empty(), "{listed:?}");
        for net in loopback {
            let expected = if net.addr().is_ipv4() { 8 } else { 128 };
            assert_eq!(net.prefix_len(), expected, "{net}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_handed_on_once_and_again_if_it_was_not_taken() {
        let (old, new) = (nets(&["192.0.2.1/24"]), nets(&["192.0.2.1/24", "::1/128"]));
        // What each look finds, and whether it is taken.
        let looks = [
            (Ok(old.clone()), true),
            (Err(io::ErrorKind::Other), true),
            (Ok(new.clone()), false),
            (Ok(new.clone()), true),
            // Another order is no change.
            (Ok(new.iter().rev().copied().collect()), true),
            (Ok(old.clone()), true),
        ];
        let count = looks.len();
        let (next, applied) = (Arc::new(Mutex::new(0)), Mutex::new(Vec::new()));
        let seen = next.clone();
        let found: Vec<Result<Vec<IpNet>, io::ErrorKind>> =
            looks.iter().map(|(found, _)| found.clone()).collect();
        let list = move || {
            let mut next = next.lock();
            let found = found[*next % count].clone();
            *next += 1;
            found.map_err(io::Error::from)
        };
        let apply = |found: Vec<IpNet>| {
            let look = *seen.lock() - 1;
            applied.lock().push((look, found));
            looks[look].1.then_some(()).ok_or(NotTaken)
        };

        let watching = watch(old.clone(), list, apply);
        let looking = INTERVAL * u32::try_from(count).unwrap() + INTERVAL / 2;
        assert!(timeout(looking, watching).await.is_err(), "it goes on");
        assert_eq!(*seen.lock(), count, "it looks every 30 s");
        let expected = [(2, new.clone()), (3, new), (5, old)];
        assert_eq!(*applied.lock(), expected);
    }
}
