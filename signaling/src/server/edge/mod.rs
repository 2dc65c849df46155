//! What stands between the internet and the hub: which clients may come in, how much each may send,
//! and what the operator sees.
//!
//! The decisions are sans-IO modules of their own: `rate`, `table`, `room_meter`, `addresses`,
//! `traffic`, `identities`, `proxy`, `own_origin`, `bans`, `token`. [`Edge`] puts them together. `accept`, `tls`, `stream`,
//! and `slot` are the shell; `metrics` counts.

mod accept;
mod addresses;
mod bans;
mod identities;
mod metrics;
mod own_origin;
mod proxy;
mod rate;
mod room_meter;
mod slot;
mod stream;
mod table;
mod tls;
pub(super) mod token;
mod traffic;
mod turn_metrics;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::handshake::server::Request;

pub(super) use self::accept::Acceptor;
pub(super) use self::addresses::AddressKey;
use self::addresses::{AddressLimits, Addresses};
use self::bans::BanList;
use self::identities::Identities;
pub(super) use self::metrics::{KnockEvent, Levels, Metrics, ReportEvent, WebhookEvent};
use self::own_origin::{Front, is_own_origin};
use self::proxy::{client_address, is_trusted};
use self::rate::Rate;
use self::slot::OnlineTable;
pub(super) use self::slot::Slot;
pub(super) use self::stream::Stream;
use self::tls::Tls;
pub(super) use self::tls::{asks_for_turn, check_name};
use self::token::{Identity, TokenVerifier, bearer, guest_token};
use self::traffic::TrafficLimits;
pub(super) use self::traffic::TrafficMeter;
use super::client_key::ClientKey;
use super::http::{Answer, accept_upgrade, origin_allowed};
use super::hub::ids::ClaimHash;
use super::moderation::{Moderation, ModerationConfig};
use super::outbound::CloseReason;
use crate::message::{ClaimToken, ClientMessage, ErrorCode, Fault};

/// The operator's settings. For every number, zero means no limit.
#[derive(Debug, Clone, Default)]
pub(super) struct EdgeConfig {
    /// Connections that may be open at the same time.
    pub(super) max_connections: usize,
    /// Connections from one address that may be open at the same time.
    pub(super) max_connections_per_address: u32,
    /// Upgrades and visits of the pages per minute and address.
    pub(super) rate_upgrades: u32,
    /// Messages per second and connection.
    pub(super) rate_messages: u32,
    /// Bytes per second and connection.
    pub(super) rate_bytes: u32,
    /// Searches per minute and connection, and per minute for all connections of one bearer token's
    /// identity.
    pub(super) rate_find: u32,
    /// Reports, counted like `rate_find`.
    pub(super) rate_reports: u32,
    /// Different rooms per minute and address, a third of them on one connection and by one person.
    pub(super) rate_rooms: u32,
    /// The origins of pages that may connect; `*` for any.
    pub(super) allowed_origins: Vec<String>,
    pub(super) trusted_proxies: Vec<IpNet>,
    /// Pages of the server's own origin may connect: guests call from there.
    pub(super) guest_page: bool,
    pub(super) ban_file: Option<PathBuf>,
    pub(super) jwt_key: Option<PathBuf>,
    /// Certificate chain and private key.
    pub(super) tls: Option<(PathBuf, PathBuf)>,
    pub(super) moderation: ModerationConfig,
    /// TURN over TLS shares the port.
    pub(super) turn_over_tls: bool,
    /// Only its owner can be called here, by a ring.
    pub(super) ring_only: Option<RingOnly>,
}

/// Who may come to a ring-only server.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingOnly {
    /// The hash of the owner's token.
    pub(super) owner: ClaimHash,
    /// Whether a visitor may come from this address.
    pub(super) admits: fn(IpAddr) -> bool,
}

/// Sockets to accept beyond `max_connections`, for requests that are not upgraded (yet).
const MAX_PENDING: usize = 1024;

/// The edge of one server.
pub(super) struct Edge {
    pub(super) metrics: Metrics,
    pub(super) limits: TrafficLimits,
    pub(super) tls: Option<Tls>,
    pub(super) moderation: Moderation,
    config: EdgeConfig,
    addresses: Mutex<Addresses>,
    identities: Mutex<Identities>,
    bans: RwLock<BanList>,
    verifier: Option<RwLock<TokenVerifier>>,
    /// One permit for each connection that may be open.
    slots: Arc<Semaphore>,
    online: OnlineTable,
}

/// What an admitted upgrade needs.
pub(super) struct Admission {
    /// The bytes of the HTTP response.
    pub(super) response: Vec<u8>,
    /// Who the client is, or why it is rejected. A rejected client is upgraded anyway,
    /// because a browser does not show its page the status of an HTTP response.
    pub(super) identity: Result<Option<Identity>, Rejection>,
    pub(super) slot: Slot,
}

/// Why a WebSocket is closed before it begins.
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) fault: Fault,
    pub(super) reason: CloseReason,
}

impl Edge {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// What is wrong with the first file that is missing or not valid, as a sentence that names it.
    pub(super) fn new(config: EdgeConfig) -> Result<Self, String> {
        const MINUTE: Duration = Duration::from_secs(60);

        let slots = match config.max_connections {
            0 => Semaphore::MAX_PERMITS,
            connections => connections.min(Semaphore::MAX_PERMITS),
        };

        let limits = TrafficLimits::new(
            config.rate_messages,
            config.rate_bytes,
            config.rate_find,
            config.rate_reports,
            config.rate_rooms,
        );

        let address_limits = AddressLimits {
            connections: config.max_connections_per_address,
            upgrades: Rate::new(config.rate_upgrades, MINUTE, config.rate_upgrades),
            rooms: limits.rooms.address,
        };

        let tls = config
            .tls
            .as_ref()
            .map(|(cert, key)| Tls::read(cert, key, config.turn_over_tls))
            .transpose()?;
        let moderation = Moderation::new(config.moderation.clone())?;
        let bans = config
            .ban_file
            .as_deref()
            .map(BanList::read)
            .transpose()?
            .unwrap_or_default();
        let verifier = config
            .jwt_key
            .as_deref()
            .map(TokenVerifier::read)
            .transpose()?
            .map(RwLock::new);

        Ok(Self {
            metrics: Metrics::new(),
            limits,
            tls,
            moderation,
            addresses: Mutex::new(Addresses::new(address_limits)),
            identities: Mutex::new(Identities::new()),
            bans: RwLock::new(bans),
            verifier,
            slots: Arc::new(Semaphore::new(slots)),
            online: OnlineTable::default(),
            config,
        })
    }

    /// How many sockets to accept at the same time, including those that are not upgraded.
    pub(super) fn max_sockets(&self) -> usize {
        match self.config.max_connections {
            0 => usize::MAX,
            connections => connections.saturating_add(MAX_PENDING),
        }
    }

    /// Whether clients can become banned while they are connected.
    pub(super) fn has_ban_list(&self) -> bool {
        self.config.ban_file.is_some()
    }

    /// Whether TURN over TLS shares the port.
    pub(super) fn takes_turn(&self) -> bool {
        self.config.turn_over_tls
    }

    /// Reads the certificate, the token key and the ban list again, A file
    /// that is not valid is logged, and what it contained before stays in force.
    pub(super) fn reload(&self) {
        let log = |what: &str, result: Result<(), String>| match result {
            Ok(()) => tracing::info!(what, "reloaded"),
            Err(error) => tracing::error!(what, error, "cannot reload: the old one stays in force"),
        };

        if let Some(tls) = &self.tls {
            log("certificate", tls.reload());
        }

        if let Some((verifier, path)) = self.verifier.as_ref().zip(self.config.jwt_key.as_deref()) {
            let read = TokenVerifier::read(path).map(|new| *verifier.write() = new);
            log("token key", read);
        }

        if let Some(path) = self.config.ban_file.as_deref() {
            let read = BanList::read(path).map(|new| *self.bans.write() = new);
            log("ban list", read);
        }
    }

    /// The clients on connections of this server that are on the ban list now.
    pub(super) fn newly_banned(&self) -> Vec<ClientKey> {
        let bans = self.bans.read();
        let banned = self
            .online
            .filter(|address, identity| bans.contains(address, identity.map(Identity::as_str)));

        tracing::info!(
            entries = bans.len(),
            closed = banned.len(),
            "ban list is in force"
        );
        banned
    }

    /// Decides whether a request from the address `remote` may upgrade, and which identity it has.
    ///
    /// # Errors
    /// The HTTP answer that refuses it.
    pub(super) fn admit(
        self: &Arc<Self>,
        request: &Request,
        remote: IpAddr,
        is_draining: bool,
        now: Instant,
    ) -> Result<Admission, Answer> {
        if !origin_allowed(request, &self.config.allowed_origins)
            && !self.is_own_page(request, remote)
        {
            return Err(Answer::new(
                403,
                "Pages of this Origin may not connect to this server.",
            ));
        }

        if is_draining {
            return Err(Answer::new(503, "The server is shutting down."));
        }

        let response = accept_upgrade(request)?;
        let address = forwarded_for(request, remote, &self.config.trusted_proxies);
        let is_owner = self.is_owner(request);
        let guest = self.guest(request);
        let slot = self.slot(address, is_owner, guest, now)?;
        if let Some(config) = self.config.ring_only
            && !is_owner
            && !(config.admits)(address.to_canonical())
        {
            return Err(Answer::new(
                403,
                "Only people on the same network can call here.",
            ));
        }

        let identity = self.identify(request, &slot);

        Ok(Admission {
            response,
            identity,
            slot,
        })
    }

    /// Whether the request comes from this server's guest page.
    fn is_own_page(&self, request: &Request, remote: IpAddr) -> bool {
        let front = Front {
            tls: self.tls.is_some(),
            trusted_proxy: is_trusted(remote, &self.config.trusted_proxies),
        };

        self.config.guest_page && !self.is_ring_only() && is_own_origin(request.headers(), front)
    }

    /// Decides whether a page is shown to the address `remote`. It counts as an
    /// upgrade, because the person who opens it goes on to connect.
    ///
    /// # Errors
    /// The HTTP answer that refuses it.
    pub(super) fn admit_visit(
        &self,
        request: &Request,
        remote: IpAddr,
        now: Instant,
    ) -> Result<(), Answer> {
        let address = forwarded_for(request, remote, &self.config.trusted_proxies);
        let visit = self.addresses.lock().visit(address.into(), now);

        visit.map_err(|over| {
            Answer::new(429, "Too many requests from this address.").retry_after(over.retry_after)
        })
    }

    fn slot(
        self: &Arc<Self>,
        address: IpAddr,
        is_owner: bool,
        guest: Option<Box<ClaimHash>>,
        now: Instant,
    ) -> Result<Slot, Answer> {
        let full = || Answer::new(503, "The server is full.").retry_after(Duration::from_secs(5));
        // A crowd of visitors must not keep the owner out.
        if self.is_ring_only() && !is_owner && self.slots.available_permits() <= 1 {
            return Err(full());
        }

        let permit = self.slots.clone().try_acquire_owned().map_err(|_| full())?;

        let key = AddressKey::from(address);
        self.addresses.lock().enter(key, now).map_err(|over| {
            Answer::new(429, "Too many connections from this address.")
                .retry_after(over.retry_after)
        })?;

        Ok(Slot {
            edge: self.clone(),
            id: self.online.next_id(),
            key,
            address,
            is_owner,
            guest,
            _permit: permit,
        })
    }

    pub(super) fn is_ring_only(&self) -> bool {
        self.config.ring_only.is_some()
    }

    /// Whether guests come in with the token in their link, because others need a bearer token.
    pub(super) fn admits_guests(&self) -> bool {
        self.config.guest_page && !self.is_ring_only() && self.verifier.is_some()
    }

    /// The guest token that the client has instead of a bearer token, if guests come in with one.
    fn guest(&self, request: &Request) -> Option<Box<ClaimHash>> {
        let token = guest_token(request.headers()).filter(|_| self.admits_guests())?;
        Some(Box::new(ClaimHash::of(&ClaimToken::from(token))))
    }

    /// Whether this is the owner of a ring-only server.
    fn is_owner(&self, request: &Request) -> bool {
        let token = bearer(request.headers(), None).map(ClaimToken::from);
        self.config
            .ring_only
            .zip(token)
            .is_some_and(|(config, token)| ClaimHash::of(&token).matches(config.owner))
    }

    fn identify(&self, request: &Request, slot: &Slot) -> Result<Option<Identity>, Rejection> {
        let identity = match &self.verifier {
            None => None,
            // The hub knows which guest tokens are valid.
            Some(_) if slot.guest.is_some() => None,
            Some(verifier) => {
                let token = bearer(request.headers(), request.uri().query());
                let identity = verifier.read().identity(token).map_err(|error| Rejection {
                    fault: Fault::new(ErrorCode::Unauthorized, error.to_string()),
                    reason: CloseReason::Unauthorized,
                })?;
                Some(identity)
            }
        };

        let subject = identity.as_ref().map(Identity::as_str);
        if self.bans.read().contains(slot.address, subject) {
            return Err(Rejection {
                fault: banned(),
                reason: CloseReason::Banned,
            });
        }

        let peer = self.moderation.peer(slot.address, subject);
        self.moderation.check(peer).map_err(|fault| Rejection {
            fault,
            reason: CloseReason::Banned,
        })?;

        Ok(identity)
    }

    /// A search of a client at this address was no failed guess at a room: gives back what
    /// [`Slot::take`] counted for it.
    pub(super) fn give_back_guess(&self, address: AddressKey) {
        self.addresses.lock().give_back_guess(address);
    }

    /// Counts a search or a report against its sender's limit, which all connections of one identity
    /// share.
    ///
    /// # Errors
    /// How long to wait before trying again.
    pub(super) fn take_request(
        &self,
        identity: Option<&Identity>,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(identity) = identity.filter(|_| self.limits.limits_request(message)) else {
            return Ok(());
        };

        self.identities
            .lock()
            .request(identity, &self.limits, message, now)
    }
}

/// The address of the client that sent this request; see [`client_address`].
pub(super) fn forwarded_for(request: &Request, remote: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let forwarded = request
        .headers()
        .get_all("x-forwarded-for")
        .iter()
        .map(|line| line.to_str().unwrap_or("?"));

    client_address(remote, forwarded, trusted)
}

/// What a client on the ban list is told.
pub(super) fn banned() -> Fault {
    Fault::new(
        ErrorCode::Banned,
        "You are banned from this server: contact its operator.",
    )
}
