//! Inhibitions over D-Bus. Each ends when the connection that asked for it ends.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::runtime::Handle;
use zbus::export::serde::Serialize;
use zbus::message::Type;
use zbus::{
    Connection, DynamicType, MatchRule, MessageStream, OwnedFd, OwnedObjectPath, OwnedVariant,
    Variant,
};

use super::{Attempt, KeepAwakeError, Means};
use crate::bus::within;
use crate::{Bus, Buses, SystemError};

/// A service's well-known name, the path of its object, and the interface.
struct Service {
    name: &'static str,
    path: &'static str,
    interface: &'static str,
}

/// `org.freedesktop.portal.Inhibit`, version 3 of the XDG desktop portal.
const PORTAL: Service = Service {
    name: "org.freedesktop.portal.Desktop",
    path: "/org/freedesktop/portal/desktop",
    interface: "org.freedesktop.portal.Inhibit",
};
const PORTAL_REQUEST: &str = "org.freedesktop.portal.Request";

const SESSION_MANAGER: Service = Service {
    name: "org.gnome.SessionManager",
    path: "/org/gnome/SessionManager",
    interface: "org.gnome.SessionManager",
};

/// The idle inhibition specification, draft 1 (<https://people.freedesktop.org/~hadess/idle-inhibition-spec/>).
const SCREEN_SAVER: Service = Service {
    name: "org.freedesktop.ScreenSaver",
    path: "/org/freedesktop/ScreenSaver",
    interface: "org.freedesktop.ScreenSaver",
};

/// systemd's inhibitor locks (`org.freedesktop.login1(5)`).
const LOGIND: Service = Service {
    name: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
};

/// Flags of the portal and of the session manager: the computer does not suspend (4), and the
/// session does not become idle (8), so the screen stays on.
const SUSPEND_AND_IDLE: u32 = 4 | 8;

/// What keeps the system awake, at least one. Ends when dropped.
#[derive(Debug)]
pub(super) struct Inhibition {
    held: Vec<Held>,
    runtime: Handle,
    timeout: Duration,
}

/// One service's inhibition, with the connection that it depends on.
#[derive(Debug)]
struct Held {
    connection: Connection,
    release: Release,
}

/// How an inhibition ends before its connection does.
#[derive(Debug)]
enum Release {
    /// `Close` of the portal's request.
    Portal(OwnedObjectPath),
    /// `Uninhibit` with the session manager's cookie.
    SessionManager(u32),
    /// `UnInhibit` with the screen saver's cookie.
    ScreenSaver(u32),
    /// The last copy of the file is closed.
    Logind(OwnedFd),
}

impl Inhibition {
    pub(super) async fn start(
        buses: &Buses,
        app_name: &str,
        reason: &str,
    ) -> Result<(Vec<Means>, Self), KeepAwakeError> {
        let mut attempts = Vec::new();
        let order = [
            Means::Portal,
            Means::SessionManager,
            Means::ScreenSaver,
            Means::Logind,
        ];

        for means in order {
            match ask(means, buses, app_name, reason).await {
                Ok(held) => {
                    let (mut means, mut held) = (vec![means], vec![held]);
                    if means == [Means::ScreenSaver] {
                        // It keeps only the screen on.
                        match ask(Means::Logind, buses, app_name, reason).await {
                            Ok(lock) => {
                                means.push(Means::Logind);
                                held.push(lock);
                            }
                            Err(error) => {
                                tracing::debug!(%error, "no logind: the computer may suspend");
                            }
                        }
                    }

                    let inhibition = Self {
                        held,
                        runtime: Handle::current(),
                        timeout: buses.timeout,
                    };
                    return Ok((means, inhibition));
                }
                Err(error) => attempts.push(Attempt { means, error }),
            }
        }

        Err(KeepAwakeError { attempts })
    }
}

impl Drop for Inhibition {
    /// Ends it in the background. If the runtime is about to stop, the connections just end, which
    /// has the same effect.
    fn drop(&mut self) {
        for held in self.held.drain(..) {
            let timeout = self.timeout;
            self.runtime.spawn(async move {
                if let Err(error) = within(timeout, held.end()).await {
                    tracing::debug!(%error, "an inhibition ends with its connection instead");
                }
            });
        }
    }
}

impl Held {
    async fn end(self) -> Result<(), SystemError> {
        let bus = &self.connection;
        match self.release {
            Release::Portal(request) => {
                let (name, interface) = (Some(PORTAL.name), Some(PORTAL_REQUEST));
                bus.call_method(name, request, interface, "Close", &())
                    .await?;
            }
            Release::SessionManager(cookie) => {
                call(bus, &SESSION_MANAGER, "Uninhibit", &(cookie,)).await?;
            }
            Release::ScreenSaver(cookie) => {
                call(bus, &SCREEN_SAVER, "UnInhibit", &(cookie,)).await?;
            }
            Release::Logind(lock) => drop(lock),
        }

        self.connection.close().await?;
        Ok(())
    }
}

/// Asks one service. Each attempt has a connection of its own: what a slow service grants after the
/// timeout ends with it.
async fn ask(
    means: Means,
    buses: &Buses,
    app_name: &str,
    reason: &str,
) -> Result<Held, SystemError> {
    let request = async {
        let bus = if means == Means::Logind {
            &buses.system
        } else {
            &buses.session
        };
        let connection = Bus::connect(bus).await?;

        let release = match means {
            Means::Portal => Release::Portal(ask_portal(&connection, reason).await?),
            Means::SessionManager => {
                // No window: the inhibition is the program's.
                let window = 0_u32;
                let arguments = (app_name, window, reason, SUSPEND_AND_IDLE);
                let cookie = call(&connection, &SESSION_MANAGER, "Inhibit", &arguments).await?;
                Release::SessionManager(cookie.body().deserialize()?)
            }
            Means::ScreenSaver => {
                let arguments = (app_name, reason);
                let cookie = call(&connection, &SCREEN_SAVER, "Inhibit", &arguments).await?;
                Release::ScreenSaver(cookie.body().deserialize()?)
            }
            // The others belong to other systems.
            Means::Logind | Means::PowerRequest | Means::PowerAssertions => {
                let arguments = ("idle:sleep", app_name, reason, "block");
                let lock = call(&connection, &LOGIND, "Inhibit", &arguments).await?;
                Release::Logind(lock.body().deserialize()?)
            }
        };

        Ok(Held {
            connection,
            release,
        })
    };

    within(buses.timeout, request).await
}

/// Asks the portal and waits for its response. Its frontend answers `Inhibit` before it has asked
/// the desktop; the response says whether the desktop agreed.
async fn ask_portal(connection: &Connection, reason: &str) -> Result<OwnedObjectPath, SystemError> {
    let responses = MatchRule::builder()
        .msg_type(Type::Signal)
        .interface(PORTAL_REQUEST)
        .member("Response")
        .build()?;
    // Before the request, so that the response is not missed.
    let mut responses = MessageStream::for_match_rule(responses, connection, None).await?;

    // An inhibition needs no parent window.
    let window = "";
    let options = HashMap::from([("reason", Variant::from(reason))]);
    let arguments = (window, SUSPEND_AND_IDLE, options);
    let reply = call(connection, &PORTAL, "Inhibit", &arguments).await?;
    let request: OwnedObjectPath = reply.body().deserialize()?;

    while let Some(message) = responses.next().await {
        let message = message?;
        if message.header().path() != Some(&*request) {
            continue;
        }

        let (code, _): (u32, HashMap<String, OwnedVariant>) = message.body().deserialize()?;
        return match code {
            0 => Ok(request),
            code => Err(SystemError::Refused(
                format!("response {code} of the portal").into(),
            )),
        };
    }

    Err(SystemError::NoBus("the bus closed the connection".into()))
}

async fn call<B>(
    connection: &Connection,
    service: &Service,
    method: &'static str,
    arguments: &B,
) -> zbus::Result<zbus::Message>
where
    B: Serialize + DynamicType,
{
    connection
        .call_method(
            Some(service.name),
            service.path,
            Some(service.interface),
            method,
            arguments,
        )
        .await
}
