//! Connections to the message buses of a Linux desktop.

use std::time::Duration;

use zbus::Connection;
use zbus::connection::Builder;

use crate::SystemError;

/// Longest wait for a service. The bus may have to start it first, which takes a busy machine a
/// second or two.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A message bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bus {
    /// The bus of the user's session: `DBUS_SESSION_BUS_ADDRESS`, or the socket in the user's
    /// runtime folder.
    Session,
    /// The bus of the machine: `DBUS_SYSTEM_BUS_ADDRESS`, or the usual socket.
    System,
    /// A bus at an address in D-Bus' own notation, such as `unix:path=/run/user/1000/bus`.
    Address(String),
}

/// The buses to use, and how long to wait for them. The default is right for every desktop; tests
/// have buses of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buses {
    /// Where the desktop's services are.
    pub session: Bus,
    /// Where logind is.
    pub system: Bus,
    /// Longest wait for one service, including the connection to the bus.
    pub timeout: Duration,
}

impl Default for Buses {
    fn default() -> Self {
        Self {
            session: Bus::Session,
            system: Bus::System,
            timeout: TIMEOUT,
        }
    }
}

impl Bus {
    /// A new connection, which ends when its last copy is dropped.
    ///
    /// # Errors
    /// There is no bus. A bus that accepts the connection and stays silent is waited for without
    /// end: the caller has a timeout.
    pub(crate) async fn connect(&self) -> Result<Connection, SystemError> {
        let builder = match self {
            Self::Session => Builder::session(),
            Self::System => Builder::system(),
            Self::Address(address) => Builder::address(address.as_str()),
        };

        builder
            .build()
            .await
            .map_err(|error| SystemError::NoBus(error.into()))
    }
}

/// Runs `request` for at most `limit`.
///
/// # Errors
/// Those of the request, and [`SystemError::NoAnswer`].
pub(crate) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, SystemError>>,
) -> Result<T, SystemError> {
    tokio::time::timeout(limit, request)
        .await
        .unwrap_or(Err(SystemError::NoAnswer))
}
