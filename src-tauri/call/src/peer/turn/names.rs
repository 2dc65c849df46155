//! The addresses of STUN and TURN servers that have names.
//!
//! The library asks for one name after the other, for each as often as it is written, on the task that also
//! moves its packets. It waits for as long as the system's resolver does: 10 s and more for each name where
//! nobody answers, as behind an HTTP proxy that resolves the names of its clients. So all names are looked up
//! at once when the call begins, and the library waits for a bounded time for all of them together.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it notes when names were asked for"
)]

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use webrtc::peer_connection::RTCIceServer;
use webrtc::runtime::Runtime;

/// How long the library waits for the names of a call if there are servers that it needs none of them for:
/// those over TCP and TLS.
const LIMIT: Duration = Duration::from_secs(1);
/// The same if there are not: the system's resolver repeats a request that got lost after 5 s.
const LIMIT_OF_UDP: Duration = Duration::from_secs(7);
/// More names are not looked up. A signaling server names a few.
const MAX_NAMES: usize = 32;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// `None`: the name has no address.
type Lookup = Shared<Boxed<Option<Arc<[IpAddr]>>>>;

/// What the system's resolver finds for a host and a port.
pub(in crate::peer) type Found = Boxed<io::Result<Vec<SocketAddr>>>;

/// The names of a connection's servers.
#[derive(Default)]
pub(super) struct Names(Mutex<State>);

#[derive(Default)]
struct State {
    lookups: HashMap<String, Lookup>,
    /// When the first name was asked for.
    since: Option<Instant>,
}

/// Begins to look up the names of these servers, which the library will ask `runtime` for.
pub(in crate::peer) fn look_up(servers: &[RTCIceServer], runtime: &Arc<dyn Runtime>) {
    let urls = servers.iter().filter_map(|server| server.urls().ok());
    for url in urls.flatten() {
        if url.host.parse::<IpAddr>().is_ok() {
            continue;
        }

        let (runtime, place) = (Arc::clone(runtime), format!("{}:{}", url.host, url.port));
        tokio::spawn(async move {
            // The library gets the same answer when it asks.
            let _ = runtime.resolve_host(&place).await;
        });
    }
}

impl Names {
    /// The addresses of `place`, a host and a port, that `resolver` finds. `is_udp_only`: no server is
    /// reached otherwise.
    pub(super) async fn resolve(
        &self,
        place: &str,
        is_udp_only: bool,
        resolver: impl FnOnce(String) -> Found,
    ) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = place.parse() {
            return Ok(vec![address]);
        }

        let unknown = || io::Error::from(io::ErrorKind::NotFound);
        let (name, port) = place.rsplit_once(':').ok_or_else(unknown)?;
        let port: u16 = port.parse().map_err(|_| unknown())?;
        let (lookup, since) = self.lookup(name, resolver).ok_or_else(unknown)?;
        let limit = if is_udp_only { LIMIT_OF_UDP } else { LIMIT };
        match timeout_at(since + limit, lookup).await {
            Ok(found) => {
                let ips = found.ok_or_else(unknown)?;
                Ok(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
            }
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// What looks a name up, and when the first one was. `None` if there are too many.
    fn lookup(
        &self,
        name: &str,
        resolver: impl FnOnce(String) -> Found,
    ) -> Option<(Lookup, Instant)> {
        let mut state = self.0.lock();
        let since = *state.since.get_or_insert_with(Instant::now);
        if let Some(known) = state.lookups.get(name) {
            return Some((known.clone(), since));
        }

        if state.lookups.len() == MAX_NAMES {
            return None;
        }

        let found = resolver(format!("{name}:0"));
        let looking: Boxed<Option<Arc<[IpAddr]>>> = Box::pin(async move {
            let found = found.await.ok()?;
            Some(found.iter().map(SocketAddr::ip).collect())
        });
        let lookup = looking.shared();
        state.lookups.insert(name.to_owned(), lookup.clone());
        // It goes on when nobody waits any more.
        tokio::spawn(lookup.clone());
        Some((lookup, since))
    }

    /// Forgets what was found: this machine may be in another network.
    pub(super) fn start_over(&self) {
        *self.0.lock() = State::default();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests measure virtual time")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::sleep;

    use super::*;

    /// Finds 192.0.2.1 after this time.
    fn after(time: Duration) -> impl FnOnce(String) -> Found {
        move |place| {
            Box::pin(async move {
                sleep(time).await;
                let port = place.rsplit_once(':').unwrap().1.parse().unwrap();
                Ok(vec![SocketAddr::from(([192, 0, 2, 1], port))])
            })
        }
    }

    const NEVER: Duration = Duration::from_secs(3_600);

    async fn resolve(names: &Names, place: &str, time: Duration) -> Option<Vec<SocketAddr>> {
        names.resolve(place, false, after(time)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_nobody_answers_are_waited_for_together() {
        let (names, start) = (Names::default(), Instant::now());
        let found = tokio::join!(
            resolve(&names, "a.example:3478", NEVER),
            resolve(&names, "b.example:3478", NEVER),
        );
        assert_eq!(found, (None, None));
        assert_eq!(resolve(&names, "c.example:3478", NEVER).await, None);
        assert_eq!(start.elapsed(), LIMIT);

        let names = Names::default();
        let found = names.resolve("a.example:1", true, after(2 * LIMIT)).await;
        assert!(found.is_ok(), "there is nothing else to use: {found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_used_by_the_next_who_asks() {
        let names = Names::default();
        assert_eq!(resolve(&names, "a.example:1", 2 * LIMIT).await, None);
        sleep(LIMIT).await;
        let found = resolve(&names, "a.example:9", NEVER).await;
        let expected = SocketAddr::from(([192, 0, 2, 1], 9));
        assert_eq!(found, Some(vec![expected]));

        names.start_over();
        assert_eq!(resolve(&names, "a.example:9", NEVER).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_once_and_an_address_never() {
        let (names, asked) = (Names::default(), AtomicUsize::new(0));
        let count = |place| {
            asked.fetch_add(1, Ordering::Relaxed);
            after(Duration::ZERO)(place)
        };
        for (place, expected) in [
            ("a.example:1", "192.0.2.1:1"),
            ("a.example:2", "192.0.2.1:2"),
            ("198.51.100.7:3", "198.51.100.7:3"),
            ("[2001:db8::7]:4", "[2001:db8::7]:4"),
        ] {
            let found = names.resolve(place, false, count).await;
            let expected: SocketAddr = expected.parse().unwrap();
            assert_eq!(found.unwrap(), [expected]);
        }
        assert_eq!(asked.into_inner(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn endless_names_are_not_looked_up() {
        let names = Names::default();
        for number in 0..=MAX_NAMES {
            let place = format!("{number}.example:1");
            let found = resolve(&names, &place, Duration::ZERO).await;
            assert_eq!(found.is_some(), number < MAX_NAMES, "{place}");
        }
    }
}
