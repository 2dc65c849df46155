//! The network's side: announces this user and listens for others, by mdns-sd, on two threads.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it waits and reads the clock"
)]

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mdns_sd::{
    IfKind, IfPredicate, Receiver, RecvTimeoutError, ResolvedService, ScopedIp, ServiceDaemon,
    ServiceEvent, ServiceInfo,
};
use parking_lot::Mutex;

use crate::neighbours::{LocalNetwork, Neighbour, Neighbours, is_link_local};
use crate::record::{Announcement, Record, SERVICE, id_of};

/// How soon this machine's own announcement must have come back. It takes a fraction of a second.
const SILENCE: Duration = Duration::from_secs(3);
/// How long closing may take: the time in which the others learn of it.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// The shortest time between two reports: someone may announce changes all the time.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// For how long a list of this machine's networks is good enough.
const NETWORKS_INTERVAL: Duration = Duration::from_millis(500);
/// How long to wait before listening again after a flood.
const RESTART_DELAY: Duration = Duration::from_secs(1);

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

/// Announces this user and listens for others, until it is dropped. Then the others learn that this
/// user is gone.
pub struct Nearby {
    daemon: ServiceDaemon,
    announced: Mutex<Announcement>,
    skip: fn(&str) -> bool,
    is_closing: Arc<AtomicBool>,
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
        // From here on, an error drops this, which ends the library's thread.
        let mut nearby = Self {
            daemon: ServiceDaemon::new()?,
            announced: Mutex::new(me.clone()),
            skip,
            is_closing: Arc::default(),
            listener: None,
        };
        let daemon = &nearby.daemon;
        daemon.disable_interface(vec![
            IfKind::LoopbackV4,
            IfKind::LoopbackV6,
            IfKind::Predicate(IfPredicate::new(move |interface| skip(&interface.name))),
        ])?;

        let listener = Listener {
            events: daemon.browse(SERVICE)?,
            daemon: daemon.clone(),
            is_closing: Arc::clone(&nearby.is_closing),
            neighbours: Neighbours::new(me.id),
            networks: (None, Vec::new()),
            skip,
            on_change,
        };
        daemon.register(service(me, skip)?)?;

        let thread = std::thread::Builder::new().name("nearby".into());
        nearby.listener = Some(thread.spawn(move || listener.run())?);
        Ok(nearby)
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
            // Without it, others notice only after minutes.
            let _ = told.recv_timeout(CLOSE_TIMEOUT);
        }

        self.is_closing.store(true, Ordering::Release);
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        // The queue of the library's thread can be full for a moment.
        while let Err(mdns_sd::Error::Again) = self.daemon.shutdown()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(5));
        }

        // Its events end with the library's thread. It is not waited for: if that one hangs, so would
        // this.
        if let Some(listener) = self.listener.take() {
            listener.thread().unpark();
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

/// The thread that hears who is there.
struct Listener<F> {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    is_closing: Arc<AtomicBool>,
    neighbours: Neighbours,
    /// This machine's networks, and when they were listed.
    networks: (Option<Instant>, Vec<LocalNetwork>),
    skip: fn(&str) -> bool,
    on_change: F,
}

impl<F: Fn(NearbyChange)> Listener<F> {
    fn run(mut self) {
        let mut silent_from = Some(Instant::now() + SILENCE);
        // When to report what has changed since the last report.
        let mut report_at: Option<Instant> = None;
        let mut reported_at: Option<Instant> = None;

        loop {
            let next = [silent_from, report_at].into_iter().flatten().min();
            let event = match next {
                Some(at) => self
                    .events
                    .recv_timeout(at.saturating_duration_since(Instant::now())),
                None => self
                    .events
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };

            let mut has_changed = match event {
                // Most of a flood ends here, at little cost.
                Ok(ServiceEvent::ServiceResolved(service))
                    if id_of(service.get_fullname()).is_none() =>
                {
                    false
                }
                Ok(ServiceEvent::ServiceResolved(service)) => {
                    let record = record(&service);
                    self.look_at_networks();
                    self.neighbours.heard(&record, &self.networks.1)
                }
                Ok(ServiceEvent::ServiceRemoved(_, fullname)) => self.neighbours.gone(&fullname),
                Ok(_) | Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => {
                    if !self.listens_again() {
                        return;
                    }

                    true
                }
            };

            let now = Instant::now();
            if silent_from.take_if(|at| *at <= now).is_some() {
                has_changed |= !self.neighbours.heard_self();
            }

            if has_changed && report_at.is_none() {
                report_at = Some(reported_at.map_or(now, |last| last + REPORT_INTERVAL));
            }

            if report_at.take_if(|at| *at <= now).is_some()
                && !self.is_closing.load(Ordering::Acquire)
            {
                reported_at = Some(now);
                let reach = match (self.neighbours.heard_self(), silent_from) {
                    (true, _) => Reach::Heard,
                    (false, Some(_)) => Reach::Unknown,
                    (false, None) => Reach::Silent,
                };
                (self.on_change)(NearbyChange {
                    people: self.neighbours.people(),
                    reach,
                });
            }
        }
    }

    /// Lists this machine's networks, but not for each of many records.
    fn look_at_networks(&mut self) {
        let now = Instant::now();
        let is_old = |at: Instant| now.saturating_duration_since(at) >= NETWORKS_INTERVAL;
        if self.networks.0.is_none_or(is_old) {
            self.networks = (Some(now), local_networks(self.skip));
        }
    }

    /// The library drops a listener whose queue is full: more happened on the network than this
    /// thread could take. Who is gone since then is not known, so everyone is heard anew. Returns
    /// false when this user is no longer announced.
    fn listens_again(&mut self) -> bool {
        if self.is_closing.load(Ordering::Acquire) {
            return false;
        }

        tracing::warn!("too much happens on the network at once: looking for people anew");
        std::thread::park_timeout(RESTART_DELAY);
        self.neighbours.forget();
        match self.daemon.browse(SERVICE) {
            Ok(events) => {
                self.events = events;
                true
            }
            Err(mdns_sd::Error::Again) => true,
            Err(_) => false,
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

/// Whether `ip` is this machine's, or on a network of it at the moment. `skip` is as in
/// [`Nearby::open`].
#[must_use]
pub fn is_on_local_network(ip: IpAddr, skip: fn(&str) -> bool) -> bool {
    ip.is_loopback()
        || is_link_local(ip)
        || local_networks(skip)
            .iter()
            .any(|network| network.contains(ip))
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
