//! The network's side: announces this user and listens for others, by mdns-sd, on two threads.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: waits a moment for its own announcement"
)]

use std::net::{SocketAddr, SocketAddrV6};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mdns_sd::{
    IfKind, IfPredicate, Receiver, RecvTimeoutError, ResolvedService, ScopedIp, ServiceDaemon,
    ServiceEvent, ServiceInfo,
};
use parking_lot::Mutex;

use crate::neighbours::{LocalNetwork, Neighbour, Neighbours};
use crate::record::{Announcement, Record, SERVICE};

/// How soon this machine's own announcement must have come back. It takes a fraction of a second.
const SILENCE: Duration = Duration::from_secs(3);
/// How long closing may take: the time in which others are told.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Whether this machine hears its own announcement. That it does is no proof that the network
/// carries announcements from one machine to another: some access points don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is too early to tell.
    Unknown,
    /// This machine hears its own.
    Heard,
    /// It does not: a firewall or the network blocks multicast, or there is no network.
    Silent,
}

/// What is known of the people nearby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearbyChange {
    /// Who is there.
    pub people: Vec<Neighbour>,
    /// Whether this machine hears its own announcement.
    pub reach: Reach,
}

/// Why people nearby cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum NearbyError {
    /// The system gives no socket for multicast DNS.
    #[error("cannot use multicast DNS")]
    Service(#[from] mdns_sd::Error),
    /// The system starts no more threads.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

/// This user is announced and others are listened for, until it is dropped. Then the others are
/// told.
pub struct Nearby {
    daemon: ServiceDaemon,
    announced: Mutex<Announcement>,
    skip: fn(&str) -> bool,
    listener: Option<JoinHandle<()>>,
}

impl Nearby {
    /// Announces `me` and reports who is there to `on_change`, on a thread of its own. `skip` says
    /// of an interface, by its name, that nobody nearby is behind it.
    ///
    /// # Errors
    /// [`NearbyError`].
    pub fn open(
        me: &Announcement,
        skip: fn(&str) -> bool,
        on_change: impl Fn(NearbyChange) + Send + 'static,
    ) -> Result<Self, NearbyError> {
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(vec![
            IfKind::LoopbackV4,
            IfKind::LoopbackV6,
            IfKind::Predicate(IfPredicate::new(move |interface| skip(&interface.name))),
        ])?;

        let events = daemon.browse(SERVICE)?;
        daemon.register(service(me, skip)?)?;

        let neighbours = Neighbours::new(me.id);
        let listener = std::thread::Builder::new()
            .name("nearby".into())
            .spawn(move || listen(&events, neighbours, skip, &on_change))?;

        Ok(Self {
            daemon,
            announced: Mutex::new(me.clone()),
            skip,
            listener: Some(listener),
        })
    }

    /// Announces another name.
    ///
    /// # Errors
    /// [`NearbyError`]. The former name stays announced then.
    pub fn rename(&self, name: Option<String>) -> Result<(), NearbyError> {
        let mut announced = self.announced.lock();
        if announced.name == name {
            return Ok(());
        }

        let renamed = Announcement {
            name,
            ..announced.clone()
        };
        self.daemon.register(service(&renamed, self.skip)?)?;
        *announced = renamed;
        Ok(())
    }
}

impl Drop for Nearby {
    fn drop(&mut self) {
        let fullname = format!("{}.{SERVICE}", self.announced.get_mut().id);
        if let Ok(told) = self.daemon.unregister(&fullname) {
            // Others notice by themselves if they are not told, but only after minutes.
            let _ = told.recv_timeout(CLOSE_TIMEOUT);
        }

        // Ends the listener, too: its channel closes.
        let _ = self.daemon.shutdown();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn service(me: &Announcement, skip: fn(&str) -> bool) -> Result<ServiceInfo, mdns_sd::Error> {
    let (instance, host) = (me.id.to_string(), me.host());
    let mut service =
        ServiceInfo::new(SERVICE, &instance, &host, "", me.port, me.txt())?.enable_addr_auto();
    let wanted = IfPredicate::new(move |interface| !skip(&interface.name));
    service.set_interfaces(vec![IfKind::Predicate(wanted)]);
    // Both names hold a random number of 64 bits: nobody else has them.
    service.set_requires_probe(false);

    Ok(service)
}

fn listen(
    events: &Receiver<ServiceEvent>,
    mut neighbours: Neighbours,
    skip: fn(&str) -> bool,
    on_change: &dyn Fn(NearbyChange),
) {
    let mut silent_from = Some(Instant::now() + SILENCE);

    loop {
        let event = match silent_from {
            Some(at) => events.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };

        let has_changed = match event {
            Ok(ServiceEvent::ServiceResolved(service)) => {
                neighbours.heard(&record(&service), &local_networks(skip))
            }
            Ok(ServiceEvent::ServiceRemoved(_, fullname)) => neighbours.gone(&fullname),
            Ok(_) => false,
            Err(RecvTimeoutError::Timeout) => {
                silent_from = None;
                !neighbours.heard_self()
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };

        if has_changed {
            let reach = match (neighbours.heard_self(), silent_from) {
                (true, _) => Reach::Heard,
                (false, Some(_)) => Reach::Unknown,
                (false, None) => Reach::Silent,
            };
            on_change(NearbyChange {
                people: neighbours.people(),
                reach,
            });
        }
    }
}

fn record(service: &ResolvedService) -> Record {
    let text = service.get_properties().iter().filter_map(|property| {
        let value = String::from_utf8(property.val()?.to_vec()).ok()?;
        Some((property.key().to_owned(), value))
    });

    let port = service.get_port();
    let addresses = service.get_addresses().iter().filter_map(|ip| match ip {
        ScopedIp::V4(v4) => Some(SocketAddr::from((*v4.addr(), port))),
        ScopedIp::V6(v6) => {
            let scope = v6.scope_id().index;
            Some(SocketAddrV6::new(*v6.addr(), port, 0, scope).into())
        }
        _ => None,
    });

    Record {
        service: service.get_fullname().to_owned(),
        txt: text.collect(),
        addresses: addresses.collect(),
    }
}

/// The networks of this machine at the moment.
fn local_networks(skip: fn(&str) -> bool) -> Vec<LocalNetwork> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list this machine's network addresses");
        Vec::new()
    });

    interfaces
        .iter()
        .filter(|interface| !interface.is_loopback() && !skip(&interface.name))
        .map(|interface| LocalNetwork {
            address: interface.ip(),
            prefix: match &interface.addr {
                if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                if_addrs::IfAddr::V6(v6) => v6.prefixlen,
            },
        })
        .collect()
}
