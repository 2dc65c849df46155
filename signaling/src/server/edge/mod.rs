//! What stands between the internet and the hub: who may come in, how much each may send, and what the operator sees.
//!
//! The decisions are sans-IO modules of their own (`rate`, `addresses`, `conduct`, `identities`, `proxy`, `bans`, `token`); [`Edge`]
//! puts them together.

mod accept;
mod addresses;
mod bans;
mod conduct;
mod identities;
pub(crate) mod metrics;
mod proxy;
mod rate;
pub(crate) mod reports;
mod stream;
mod tls;
pub(crate) mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_tungstenite::tungstenite::handshake::server::Request;

use super::http::{Answer, accept_upgrade, origin_allowed};
use super::outbound::{CloseReason, Outbound};
use super::tighten::Tighten;
use crate::message::{ClientMessage, ErrorCode, Fault};
pub(super) use accept::Acceptor;
use addresses::{AddressKey, AddressLimits, Addresses};
use bans::BanList;
pub(super) use conduct::{Conduct, ConductLimits};
use identities::Identities;
pub(super) use metrics::{Levels, Metrics};
use proxy::client_address;
use rate::Rate;
use reports::ReportFile;
pub(super) use stream::Stream;
use tls::Tls;
use token::{Identity, TokenError, TokenVerifier, bearer};

/// What the operator chose. Zero: no limit.
#[derive(Debug, Clone, Default)]
pub(super) struct EdgeConfig {
    pub(super) max_connections: usize,
    pub(super) max_connections_per_address: u32,
    /// A minute, for each address.
    pub(super) rate_upgrades: u32,
    /// A second, for each connection; so the next.
    pub(super) rate_messages: u32,
    pub(super) rate_bytes: u32,
    /// A minute, for each connection, and for all connections of one bearer token's identity; so the next.
    pub(super) rate_find: u32,
    pub(super) rate_reports: u32,
    /// `*` for any.
    pub(super) allowed_origins: Vec<String>,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) ban_file: Option<PathBuf>,
    pub(super) jwt_key: Option<PathBuf>,
    /// Certificate chain and key.
    pub(super) tls: Option<(PathBuf, PathBuf)>,
    pub(super) reports: Option<PathBuf>,
}

/// Beyond the connections that are allowed: requests that are not upgraded yet.
const PENDING: usize = 1024;

/// The edge of one relay.
pub(super) struct Edge {
    pub(super) metrics: Metrics,
    pub(super) conduct: ConductLimits,
    pub(super) tls: Option<Tls>,
    pub(super) reports: Option<ReportFile>,
    config: EdgeConfig,
    addresses: Mutex<Addresses>,
    identities: Mutex<Identities>,
    bans: RwLock<BanList>,
    verifier: Option<RwLock<TokenVerifier>>,
    slots: Arc<Semaphore>,
    online: Mutex<HashMap<u64, Online>>,
    next_place: AtomicU64,
}

/// Somebody who could become banned.
struct Online {
    address: IpAddr,
    identity: Option<Identity>,
    outbound: Arc<Outbound>,
}

/// An upgrade that is granted.
pub(super) struct Admission {
    /// The response's head.
    pub(super) response: Vec<u8>,
    /// Who it is; or what the client is told before it is closed, because a browser sees nothing of an HTTP status.
    pub(super) identity: Result<Option<Identity>, TurnedAway>,
    pub(super) place: Place,
}

/// Why an upgraded connection ends before it begins.
#[derive(Debug)]
pub(super) struct TurnedAway {
    pub(super) fault: Fault,
    pub(super) reason: CloseReason,
}

impl Edge {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// A sentence on the first that will not do.
    pub(super) fn new(config: EdgeConfig) -> Result<Self, String> {
        const MINUTE: Duration = Duration::from_secs(60);
        let slots = if config.max_connections == 0 {
            Semaphore::MAX_PERMITS
        } else {
            config.max_connections
        };

        let upgrades = Rate::new(config.rate_upgrades, MINUTE, config.rate_upgrades);
        let limits = AddressLimits {
            connections: config.max_connections_per_address,
            upgrades,
        };

        let EdgeConfig {
            rate_messages,
            rate_bytes,
            rate_find,
            rate_reports,
            ..
        } = config;

        Ok(Self {
            metrics: Metrics::default(),
            conduct: ConductLimits::new(rate_messages, rate_bytes, rate_find, rate_reports),
            tls: config
                .tls
                .as_ref()
                .map(|(cert, key)| Tls::read(cert, key))
                .transpose()?,
            reports: config
                .reports
                .as_deref()
                .map(ReportFile::open)
                .transpose()?,
            addresses: Mutex::new(Addresses::new(limits)),
            identities: Mutex::new(Identities::new()),
            bans: RwLock::new(
                config
                    .ban_file
                    .as_deref()
                    .map(BanList::read)
                    .transpose()?
                    .unwrap_or_default(),
            ),
            verifier: config
                .jwt_key
                .as_deref()
                .map(TokenVerifier::read)
                .transpose()?
                .map(RwLock::new),
            slots: Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))),
            online: Mutex::new(HashMap::new()),
            next_place: AtomicU64::new(0),
            config,
        })
    }

    /// How many sockets are taken at a time, those that are not upgraded included.
    pub(super) fn max_sockets(&self) -> usize {
        match self.config.max_connections {
            0 => usize::MAX,
            connections => connections.saturating_add(PENDING),
        }
    }

    /// Certificate, key, ban list and token key are read again, reports opened again. What will not do is logged and
    /// stays as it was.
    pub(super) fn reload(&self) {
        let told = |what: &str, result: Result<(), String>| match result {
            Ok(()) => tracing::info!(what, "read again"),
            Err(error) => tracing::error!(what, error, "not read: the old one stays"),
        };

        if let Some(tls) = &self.tls {
            told("certificate", tls.reload());
        }

        if let Some((verifier, path)) = self.verifier.as_ref().zip(self.config.jwt_key.as_deref()) {
            let read = TokenVerifier::read(path);
            told(
                "token key",
                read.map(|new| *verifier.write().unwrap_or_else(PoisonError::into_inner) = new),
            );
        }

        if let Some(reports) = &self.reports {
            told(
                "reports",
                reports.reopen().map_err(|error| error.kind().to_string()),
            );
        }

        if let Some(path) = self.config.ban_file.as_deref() {
            let read = BanList::read(path);
            told(
                "ban list",
                read.map(|new| *self.bans.write().unwrap_or_else(PoisonError::into_inner) = new),
            );
            self.turn_out();
        }
    }

    /// Closes whoever is banned by now.
    fn turn_out(&self) {
        let bans = self.bans.read().unwrap_or_else(PoisonError::into_inner);
        let online = self.online();
        let banned = online.values().filter(|online| {
            bans.bans(
                online.address,
                online.identity.as_ref().map(Identity::as_str),
            )
        });

        let mut closed = 0;
        for online in banned {
            // A full queue is about to end the connection anyway.
            let _ = online.outbound.push(Box::new(banned_fault().into()));
            online.outbound.close(CloseReason::Banned);
            closed += 1;
        }

        tracing::info!(entries = bans.len(), closed, "the ban list is in force");
    }

    /// Whether a request from this socket may upgrade, and as whom.
    ///
    /// # Errors
    /// What to answer instead.
    pub(super) fn admit(
        self: &Arc<Self>,
        request: &Request,
        peer: IpAddr,
        is_draining: bool,
    ) -> Result<Admission, Answer> {
        if !origin_allowed(request, &self.config.allowed_origins) {
            return Err(Answer::new(
                403,
                "This Origin may not connect to the relay.",
            ));
        }

        if is_draining {
            return Err(Answer::new(503, "The relay is shutting down."));
        }

        let response = accept_upgrade(request)?;
        let address = forwarded_for(request, peer, &self.config.trusted_proxies);
        let place = self.place(address)?;
        let identity = self.identify(request, address);

        Ok(Admission {
            response,
            identity,
            place,
        })
    }

    fn place(self: &Arc<Self>, address: IpAddr) -> Result<Place, Answer> {
        let full = || Answer::new(503, "The relay is full.").retry_after(Duration::from_secs(5));
        let permit = self.slots.clone().try_acquire_owned().map_err(|_| full())?;
        let key = AddressKey::from(address);
        self.addresses()
            .enter(key, Instant::now())
            .map_err(|over| {
                Answer::new(429, "Too many connections from this address.")
                    .retry_after(over.retry_after)
            })?;

        let id = self.next_place.fetch_add(1, Ordering::Relaxed);
        Ok(Place {
            edge: self.clone(),
            id,
            key,
            address,
            _permit: permit,
        })
    }

    fn identify(&self, request: &Request, address: IpAddr) -> Result<Option<Identity>, TurnedAway> {
        let identity = match &self.verifier {
            None => None,
            Some(verifier) => {
                let token = bearer(request.headers(), request.uri().query());
                let verifier = verifier.read().unwrap_or_else(PoisonError::into_inner);
                Some(
                    verifier
                        .identity(token)
                        .map_err(|error: TokenError| TurnedAway {
                            fault: Fault::new(ErrorCode::Unauthorized, error.to_string()),
                            reason: CloseReason::Unauthorized,
                        })?,
                )
            }
        };

        let bans = self.bans.read().unwrap_or_else(PoisonError::into_inner);
        if bans.bans(address, identity.as_ref().map(Identity::as_str)) {
            return Err(TurnedAway {
                fault: banned_fault(),
                reason: CloseReason::Banned,
            });
        }

        Ok(identity)
    }

    /// What a message asks for, after the connection's own limits: a person has no more for having several connections.
    ///
    /// # Errors
    /// When to try again.
    pub(super) fn request(
        &self,
        identity: Option<&Identity>,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(identity) = identity.filter(|_| self.conduct.concern(message)) else {
            return Ok(());
        };

        let mut identities = self
            .identities
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        identities.request(identity, &self.conduct, message, now)
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn online(&self) -> MutexGuard<'_, HashMap<u64, Online>> {
        self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose request it is, see [`client_address`].
pub(super) fn forwarded_for(request: &Request, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let forwarded = request
        .headers()
        .get_all("x-forwarded-for")
        .iter()
        .map(|line| line.to_str().unwrap_or("?"));
    client_address(peer, forwarded, trusted)
}

fn banned_fault() -> Fault {
    Fault::new(
        ErrorCode::Banned,
        "You may not use this relay: ask its operator.",
    )
}

/// One connection's share of the limits; dropping it gives it back.
pub(super) struct Place {
    edge: Arc<Edge>,
    id: u64,
    key: AddressKey,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// The connection can be closed through this queue, should it become banned.
    pub(super) fn occupy(&self, identity: Option<Identity>, outbound: Arc<Outbound>) {
        // Without a ban list nobody becomes banned.
        if self.edge.config.ban_file.is_some() {
            let online = Online {
                address: self.address,
                identity,
                outbound,
            };

            self.edge.online().insert(self.id, online);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.edge.config.ban_file.is_some() {
            let mut online = self.edge.online();
            online.remove(&self.id);
            online.tighten();
        }

        self.edge.addresses().leave(self.key, Instant::now());
    }
}
