//! `org.freedesktop.Notifications` (Desktop Notifications Specification 1.2).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, Variant};

use super::shown::{DEFAULT_ACTION, ShownSet, Signal};
use super::{App, EventSender, Notification, Shown, Sound, Timeout, Urgency, WeakEventSender};
use crate::bus::within;
use crate::{Buses, SystemError, text};

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// How long a reply may take to a request that nobody waits for any more. What is shown later than
/// that stays until the person closes it.
const LATEST_REPLY: Duration = Duration::from_secs(120);

/// A connection to the notification server, whichever program that is at the moment.
#[derive(Debug)]
pub(super) struct Server {
    connection: Connection,
    app: App,
    timeout: Duration,
    /// The listener owns them: they end when it does.
    events: WeakEventSender,
    shown: Arc<Mutex<ShownSet>>,
    /// One request at a time, so that requests with one tag stay in order.
    turn: tokio::sync::Mutex<()>,
    listener: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Server {
    pub(super) async fn connect(
        buses: &Buses,
        app: App,
        events: EventSender,
    ) -> Result<Self, SystemError> {
        within(buses.timeout, async {
            let connection = buses.session.connect().await?;

            let signals = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender(NAME)
                .interface(NAME)
                .build()?;
            let signals = MessageStream::for_match_rule(signals, &connection, None).await?;

            let owners = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender("org.freedesktop.DBus")
                .interface("org.freedesktop.DBus")
                .member("NameOwnerChanged")
                .arg(0, NAME)
                .build()?;
            let owners = MessageStream::for_match_rule(owners, &connection, None).await?;

            let shown = Arc::new(Mutex::new(ShownSet::default()));
            let messages = futures_util::stream::select(signals, owners);
            let weak_events = events.downgrade();
            let listener = listen(messages, Arc::clone(&shown), events);

            Ok(Self {
                connection,
                app,
                timeout: buses.timeout,
                events: weak_events,
                shown,
                turn: tokio::sync::Mutex::default(),
                listener: tokio::spawn(listener),
            })
        })
        .await
    }

    pub(super) async fn show(&self, notification: Notification) -> Result<Shown, SystemError> {
        let _turn = self.turn.lock().await;

        let replaces = self.shown.lock().begin(&notification.tag);
        let abandon_unless_shown = Abandon(&self.shown);
        let shown = within(self.timeout, self.request(&notification, replaces)).await;
        drop(abandon_unless_shown);
        shown
    }

    async fn request(
        &self,
        notification: &Notification,
        replaces: u32,
    ) -> Result<Shown, SystemError> {
        // Each time: another server may run by now.
        let capabilities = call(&self.connection, "GetCapabilities", &()).await?;
        let capabilities: Vec<String> = capabilities.body().deserialize()?;
        let has = |name: &str| capabilities.iter().any(|capability| capability == name);

        let has_actions = has("actions");
        let body = if has("body-markup") {
            text::escaped(&notification.body)
        } else {
            notification.body.clone()
        };

        let notify = Notify {
            app: self.app.clone(),
            replaces,
            title: notification.title.clone(),
            body,
            actions: if has_actions {
                actions(&self.app, notification)
            } else {
                Vec::new()
            },
            urgency: notification.urgency,
            sound: notification.sound,
            timeout: notification.timeout,
        };
        let (server, id) = self.notify(notify).await?;

        let keys = notification.actions.iter().map(|action| action.key.clone());
        let mut shown = self.shown.lock();
        for event in shown.finish(&notification.tag, &server, id, keys.collect()) {
            self.events.send(event);
        }
        Ok(Shown { has_actions })
    }

    /// Sends the request from a task of its own: if nobody waits for the reply when it comes, the
    /// notification is closed again.
    async fn notify(&self, notify: Notify) -> Result<(String, u32), SystemError> {
        let (reply, replied) = oneshot::channel();
        let connection = self.connection.clone();

        tokio::spawn(async move {
            let result = within(LATEST_REPLY, notify.send(&connection)).await;
            if let Err(Ok((_, id))) = reply.send(result) {
                tracing::debug!(id, "closing a notification that came too late");
                // There is nobody to tell.
                let _ = within(LATEST_REPLY, close(&connection, id)).await;
            }
        });

        replied.await.unwrap_or(Err(SystemError::NoAnswer))
    }

    pub(super) async fn close(&self, tag: &str) -> Result<(), SystemError> {
        let _turn = self.turn.lock().await;

        let Some((id, event)) = self.shown.lock().close(tag) else {
            return Ok(());
        };
        self.events.send(event);

        match within(self.timeout, close(&self.connection, id)).await {
            // It was gone already.
            Err(SystemError::Refused(_)) => Ok(()),
            result => result,
        }
    }

    pub(super) fn tags(&self) -> Vec<String> {
        self.shown.lock().tags()
    }
}

/// Ends the wait for a reply when a request to show something ends, however it ends.
struct Abandon<'a>(&'a Mutex<ShownSet>);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.lock().abandon();
    }
}

/// The arguments of `Notify`.
struct Notify {
    app: App,
    replaces: u32,
    title: String,
    body: String,
    /// Keys and labels in turn.
    actions: Vec<String>,
    urgency: Urgency,
    sound: Sound,
    timeout: Timeout,
}

impl Notify {
    /// The unique bus name of the server that shows it, and its number there.
    async fn send(&self, connection: &Connection) -> Result<(String, u32), SystemError> {
        let urgency: u8 = match self.urgency {
            Urgency::Low => 0,
            Urgency::Normal => 1,
            Urgency::Critical => 2,
        };
        let hints = HashMap::from([
            ("desktop-entry", Variant::from(&self.app.desktop_entry)),
            ("urgency", Variant::from(urgency)),
            ("suppress-sound", Variant::from(self.sound == Sound::None)),
        ]);

        let timeout_ms = match self.timeout {
            Timeout::Default => -1,
            Timeout::Never => 0,
            // 0 would be "never".
            Timeout::After(time) => i32::try_from(time.as_millis()).unwrap_or(i32::MAX).max(1),
        };

        let arguments = (
            &self.app.name,
            self.replaces,
            // The icon, by its name.
            &self.app.desktop_entry,
            &self.title,
            &self.body,
            &self.actions,
            hints,
            timeout_ms,
        );
        let reply = call(connection, "Notify", &arguments).await?;
        let id = reply.body().deserialize()?;
        let header = reply.header();
        let server = header.sender().map_or("", |name| name.as_str());
        Ok((server.to_owned(), id))
    }
}

/// The click on the notification, then its buttons: keys and labels in turn.
fn actions(app: &App, notification: &Notification) -> Vec<String> {
    let click = [DEFAULT_ACTION, app.open_label.as_str()];
    let buttons = notification
        .actions
        .iter()
        .flat_map(|action| [action.key.as_str(), action.label.as_str()]);
    click
        .into_iter()
        .chain(buttons)
        .map(str::to_owned)
        .collect()
}

async fn close(connection: &Connection, id: u32) -> Result<(), SystemError> {
    call(connection, "CloseNotification", &(id,)).await?;
    Ok(())
}

async fn call<B>(
    connection: &Connection,
    method: &'static str,
    arguments: &B,
) -> zbus::Result<Message>
where
    B: zbus::export::serde::Serialize + zbus::DynamicType,
{
    connection
        .call_method(Some(NAME), PATH, Some(NAME), method, arguments)
        .await
}

/// Turns the server's signals into events, until the connection ends.
async fn listen(
    messages: impl futures_util::Stream<Item = zbus::Result<Message>>,
    shown: Arc<Mutex<ShownSet>>,
    events: EventSender,
) {
    let mut messages = std::pin::pin!(messages);
    while let Some(Ok(message)) = messages.next().await {
        let mut shown = shown.lock();
        match understood(&message) {
            Some(Heard::Signal { server, id, signal }) => {
                if let Some(event) = shown.signal(&server, id, signal) {
                    events.send(event);
                }
            }
            Some(Heard::ServerGone(server)) => {
                for event in shown.server_gone(&server) {
                    events.send(event);
                }
            }
            None => {}
        }
    }

    tracing::debug!("the connection to the message bus ended: no more notifications");
}

enum Heard {
    /// A server, by its unique name, says something about one of its notifications.
    Signal {
        server: String,
        id: u32,
        signal: Signal,
    },
    /// A program that was the notification server, by its unique name, is gone.
    ServerGone(String),
}

/// The message's meaning, if it has one here.
fn understood(message: &Message) -> Option<Heard> {
    let header = message.header();
    let body = message.body();
    let server = header.sender()?.to_string();

    let (id, signal) = match header.member()?.as_str() {
        "NotificationClosed" => {
            let (id, _reason): (u32, u32) = body.deserialize().ok()?;
            (id, Signal::Closed)
        }
        "ActionInvoked" => {
            let (id, key) = body.deserialize().ok()?;
            (id, Signal::Action(key))
        }
        "ActivationToken" => {
            let (id, token) = body.deserialize().ok()?;
            (id, Signal::ActivationToken(token))
        }
        "NameOwnerChanged" => {
            let (_name, old, _new): (&str, String, &str) = body.deserialize().ok()?;
            return Some(Heard::ServerGone(old));
        }
        _ => return None,
    };

    Some(Heard::Signal { server, id, signal })
}
