//! What lets people nearby call this user: a ring-only signaling server in the app, the announcement
//! that leads to it, and this app's own connection, on which the rings arrive.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tandem_call::{SignalingLine, interfaces};
use tandem_nearby::{Announcement, Nearby, NeighbourId};
use tandem_signaling::ServerUrl;
use tandem_signaling::client::{BearerToken, ClientConfig};
use tandem_signaling::message::KnockId;
use tandem_signaling::server::{SignalingServer, StartError};

use super::line::IdleLine;
use super::{Handle, addresses, drop_blocking};
use crate::desktop::app::{Input, LineId, LineUse, NearbyEvent, NearbyUse, RoomClaim};
use crate::embedded;
use crate::invite::{NEARBY_PORT, NEARBY_ROOM};

/// The most addresses to show.
const MAX_ADDRESSES: usize = 4;
/// When the server is closed, how long it has to send what is left.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// Everything that is open for people nearby.
pub(super) struct RunningNearby {
    id: LineId,
    /// The announced room. Random, so that a click on an outdated entry of a list rings at no one else.
    room: String,
    server: SignalingServer,
    /// `None` if this machine cannot announce anything.
    service: Option<Nearby>,
    /// `None` while a call has it.
    line: Option<IdleLine>,
    handle: Handle,
}

impl RunningNearby {
    /// Opens it, and reports what happens as [`NearbyEvent`]s and as events of the connection `id`.
    pub(super) async fn open(
        id: LineId,
        name: Option<String>,
        handle: Handle,
    ) -> Result<Self, StartError> {
        let owner = format!("{:032x}", rand::random::<u128>());
        let server = start(&owner).await?;
        let port = server.local_addr().port();
        let me = Announcement {
            id: NeighbourId::from(rand::random::<u64>()),
            name,
            room: format!("{:032x}", rand::random::<u128>()),
            port,
        };

        let config = ClientConfig {
            addresses: vec![
                (Ipv4Addr::LOCALHOST, port).into(),
                (Ipv6Addr::LOCALHOST, port).into(),
            ],
            token: BearerToken::new(&owner).ok(),
            ..ClientConfig::new(ServerUrl::listening_on((Ipv4Addr::LOCALHOST, port).into()))
        };
        let notify = |event| handle.notify(Input::Nearby(id, event));
        // Before anything else about it.
        notify(NearbyEvent::Opened {
            id: me.id,
            server: Box::new(config.clone()),
            addresses: own_addresses(port),
        });

        let line = SignalingLine::connect(config);
        let line = IdleLine::start(id, line, handle.clone());
        let service = announce(&me, id, &handle)
            .await
            .inspect_err(|why| notify(NearbyEvent::CannotFind(why.clone())))
            .ok();

        Ok(Self {
            id,
            room: me.room,
            server,
            service,
            line: Some(line),
            handle,
        })
    }

    /// Lets people ring from now on, or not.
    pub(super) fn listen(&self, wanted: NearbyUse) {
        let rooms = match wanted {
            NearbyUse::Nobody => Vec::new(),
            NearbyUse::People { invite } => [self.room.clone(), NEARBY_ROOM.to_owned()]
                .into_iter()
                .chain(invite)
                .collect(),
        };

        if let Some(line) = &self.line {
            line.use_for(LineUse {
                claim: RoomClaim::None,
                rooms,
            });
        }
    }

    pub(super) fn decline(&self, knock: KnockId) {
        if let Some(line) = &self.line {
            line.decline(knock);
        }
    }

    /// Announces another name.
    pub(super) fn rename(&self, name: Option<String>) {
        if let Some(service) = &self.service
            && let Err(error) = service.rename(name)
        {
            tracing::warn!(%error, "people nearby still see the former name");
        }
    }

    /// The connection, if it is this one, for a call to take over.
    pub(super) fn take_line(&mut self, id: LineId) -> Option<IdleLine> {
        self.line.take_if(|line| line.id() == id)
    }

    /// Whether the connection `id` belongs here.
    pub(super) fn owns(&self, id: LineId) -> bool {
        self.id == id
    }

    /// A call gives the connection back.
    pub(super) fn give_back(&mut self, line: SignalingLine) {
        self.line = Some(IdleLine::start(self.id, line, self.handle.clone()));
    }

    /// Lets the others know that this user is gone, and closes everything.
    pub(super) async fn close(self) {
        if let Some(service) = self.service {
            drop_blocking("the announcement", service).await;
        }

        if let Some(line) = self.line
            && let Some(line) = line.stop().await
        {
            line.close().await;
        }

        self.server.shutdown_within(STOP_TIMEOUT).await;
    }
}

/// On the port that people need not type, if it is free. On a machine without IPv6, for IPv4 alone.
async fn start(owner: &str) -> Result<SignalingServer, StartError> {
    let on = |address: SocketAddr| embedded::ring_only(address.to_string(), owner).start();
    let mut result = on((Ipv6Addr::UNSPECIFIED, NEARBY_PORT).into()).await;

    for address in [
        (Ipv6Addr::UNSPECIFIED, 0).into(),
        (Ipv4Addr::UNSPECIFIED, NEARBY_PORT).into(),
        (Ipv4Addr::UNSPECIFIED, 0).into(),
    ] {
        if result.is_err() {
            result = on(address).await;
        }
    }

    result
}

/// Announces `me` and reports who else is there. On failure, returns the reason.
async fn announce(me: &Announcement, id: LineId, handle: &Handle) -> Result<Nearby, String> {
    let (me, handle) = (me.clone(), handle.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let port = me.port;
        Nearby::open(&me, interfaces::is_virtual, move |change| {
            let addresses = own_addresses(port);
            let event = NearbyEvent::Changed { change, addresses };
            handle.notify(Input::Nearby(id, event));
        })
    });

    match opened.await {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(panic) => {
            tracing::error!(%panic, "announcing this user failed");
            Err("internal error".to_owned())
        }
    }
}

/// Where others on the network reach this user.
fn own_addresses(port: u16) -> Vec<SocketAddr> {
    let is_real = |name: &str| !interfaces::is_virtual(name);
    let v4 = addresses::of_this_machine().into_iter();
    let v4 = v4.filter(|(name, _)| is_real(name));
    let v6 = addresses::ipv6_of_this_machine().into_iter();
    let v6 = v6.filter(|(name, _)| is_real(name));

    v4.map(|(_, ip)| (ip, port).into())
        .chain(v6.map(|(_, ip)| (ip, port).into()))
        .take(MAX_ADDRESSES)
        .collect()
}
