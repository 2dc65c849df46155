//! Notifications with answers.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{SystemError, text};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "linux")]
mod shown;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux::Server;
#[cfg(target_os = "macos")]
use macos::Server;
#[cfg(windows)]
use windows::Server;

#[cfg(target_os = "linux")]
use crate::Buses;

/// Longest title, in characters. Desktops show one line of it.
const MAX_TITLE_CHARS: usize = 100;
/// Longest body, in characters. Desktops show two to five lines of it.
const MAX_BODY_CHARS: usize = 400;
/// Longest label of an action, in characters.
const MAX_LABEL_CHARS: usize = 40;
/// Most actions: GNOME shows no more than three.
const MAX_ACTIONS: usize = 3;
/// Events that may wait for the window. A notification has at most two, its answer and its end.
const MAX_WAITING_EVENTS: usize = 64;

/// The program, as desktops show it beside its notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its name, for people.
    pub name: String,
    /// Windows' AppUserModelID: the `identifier` of `tauri.conf.json`, which the installer gives to
    /// the entry in the start menu. Without that entry, Windows shows nothing.
    pub id: String,
    /// The name of the `.desktop` file and of the icon on Linux, without extension.
    pub desktop_entry: String,
    /// The label of a click on the notification itself. Few desktops show it.
    pub open_label: String,
}

/// A notification. Its text may come from strangers: [`Notifications::show`] cuts it to a bounded
/// length and removes control characters and changes of writing direction from it; markup is shown
/// as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Names it in [`Notifications::close`] and in events. A notification replaces the one with the
    /// same tag. At most 64 characters on Windows.
    pub tag: String,
    /// One line, at most 100 characters.
    pub title: String,
    /// At most 400 characters.
    pub body: String,
    /// At most three buttons.
    pub actions: Vec<Action>,
    /// How much the desktop insists.
    pub urgency: Urgency,
    /// Whether the desktop makes its own sound.
    pub sound: Sound,
    /// When the notification disappears by itself. A desktop may decide otherwise, so close what no
    /// longer applies.
    pub timeout: Timeout,
}

impl Notification {
    /// A notification of normal urgency with a title, and without body, actions or sound.
    #[must_use]
    pub fn new(tag: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            title: title.into(),
            body: String::new(),
            actions: Vec::new(),
            urgency: Urgency::Normal,
            sound: Sound::None,
            timeout: Timeout::Default,
        }
    }

    /// With all text and the number of actions within their bounds.
    fn bounded(self) -> Self {
        let actions = self.actions.into_iter().take(MAX_ACTIONS);
        let actions = actions.map(|action| Action {
            label: text::one_line(&action.label, MAX_LABEL_CHARS),
            ..action
        });

        Self {
            title: text::one_line(&self.title, MAX_TITLE_CHARS),
            body: text::lines(&self.body, MAX_BODY_CHARS),
            actions: actions.collect(),
            ..self
        }
    }
}

/// A button of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Names it in [`EventKind::Action`]. Not `default`, which is the click on the notification.
    pub key: String,
    /// What the button says, at most 40 characters.
    pub label: String,
}

impl Action {
    /// A button.
    #[must_use]
    pub fn new(key: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            label: label.into(),
        }
    }
}

/// How much the desktop insists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It may only be listed.
    Low,
    /// As the desktop usually does.
    Normal,
    /// It stays until it is answered, in front of programs in full screen where the desktop allows
    /// that. For a ring.
    Critical,
}

/// Whether the desktop makes its own sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// No sound: the program plays its own, or none is needed.
    None,
    /// The desktop's usual sound for notifications, if it has one.
    Usual,
}

/// When a notification disappears by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// When the desktop thinks right.
    Default,
    /// Not before it is answered or closed.
    Never,
    /// After this time.
    After(Duration),
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Whether the person can use its actions. If not, the program has to ask in its window.
    pub has_actions: bool,
}

/// Something happened to a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The notification's tag.
    pub tag: String,
    /// What happened.
    pub kind: EventKind,
    /// Allows the program to bring its window to the front, where the desktop wants a permission
    /// for that (Wayland): GTK takes it as the window's startup id. Only with an answer.
    pub activation_token: Option<String>,
}

/// What happened to a notification. An answer is usually followed by [`Self::Closed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A button was pressed: its key.
    Action(String),
    /// The notification itself was clicked.
    Clicked,
    /// It is gone: closed by the person, by the desktop, or by [`Notifications::close`]. A
    /// notification that was replaced by another one with its tag is not gone.
    Closed,
}

/// What happened to the notifications, in order. Ends when [`Notifications`] is dropped or the
/// connection to the desktop breaks; then connect again.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// Waits for the next event. May be cancelled without losing one.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

/// Where the events of one connection go.
#[derive(Debug, Clone)]
struct EventSender(mpsc::Sender<Event>);

impl EventSender {
    /// Drops the event, with a note, if the window does not read them.
    fn send(&self, event: Event) {
        if let Err(error) = self.0.try_send(event) {
            tracing::debug!(%error, "an event of a notification is lost: nobody reads them");
        }
    }

    #[cfg(target_os = "linux")]
    fn downgrade(&self) -> WeakEventSender {
        WeakEventSender(self.0.downgrade())
    }
}

/// As [`EventSender`], but it does not keep the events from ending.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct WeakEventSender(mpsc::WeakSender<Event>);

#[cfg(target_os = "linux")]
impl WeakEventSender {
    fn send(&self, event: Event) {
        if let Some(events) = self.0.upgrade() {
            EventSender(events).send(event);
        }
    }
}

/// Shows notifications on the desktop. Those that are open when it is dropped stay.
#[derive(Debug)]
pub struct Notifications {
    server: Server,
}

impl Notifications {
    /// Connects to the desktop. On Linux this does not start a notification server yet. On macOS
    /// the system asks the person for permission the first time, so connect when there is
    /// something to show.
    ///
    /// # Errors
    /// [`SystemError::NoBus`] or [`SystemError::NoAnswer`] on Linux, [`SystemError::NoBundle`] on
    /// macOS.
    pub async fn connect(app: App) -> Result<(Self, Events), SystemError> {
        #[cfg(target_os = "linux")]
        return Self::connect_to(&Buses::default(), app).await;

        #[cfg(not(target_os = "linux"))]
        {
            let (events, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
            let server = Server::connect(app, EventSender(events))?;
            Ok((Self { server }, Events(receiver)))
        }
    }

    /// As [`Self::connect`], on these buses.
    ///
    /// # Errors
    /// As [`Self::connect`].
    #[cfg(target_os = "linux")]
    pub async fn connect_to(buses: &Buses, app: App) -> Result<(Self, Events), SystemError> {
        let (events, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let server = Server::connect(buses, app, EventSender(events)).await?;
        Ok((Self { server }, Events(receiver)))
    }

    /// Shows a notification, or replaces the one with the same tag. Where the desktop has no
    /// actions, it shows it without.
    ///
    /// If this fails or is cancelled, and the desktop shows it later after all, it is closed.
    ///
    /// # Errors
    /// There is no notification server, it refuses, or it does not answer in time.
    pub async fn show(&self, notification: Notification) -> Result<Shown, SystemError> {
        self.server.show(notification.bounded()).await
    }

    /// Closes the notification with this tag, if there is one. Its event is
    /// [`EventKind::Closed`].
    ///
    /// # Errors
    /// The server does not answer in time, or the connection broke.
    pub async fn close(&self, tag: &str) -> Result<(), SystemError> {
        self.server.close(tag).await
    }

    /// Closes every notification that is open, such as before the program ends.
    ///
    /// # Errors
    /// As [`Self::close`], after it has tried all.
    pub async fn close_all(&self) -> Result<(), SystemError> {
        let mut result = Ok(());
        for tag in self.server.tags() {
            result = self.server.close(&tag).await.and(result);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_actions_are_bounded() {
        let long = "x".repeat(10_000);
        let notification = Notification {
            body: long.clone(),
            actions: vec![Action::new("key", long.as_str()); 10],
            ..Notification::new("tag", long.as_str())
        }
        .bounded();

        let chars = |text: &str| text.chars().count();
        assert_eq!(chars(&notification.title), MAX_TITLE_CHARS);
        assert_eq!(chars(&notification.body), MAX_BODY_CHARS);
        assert_eq!(notification.actions.len(), MAX_ACTIONS);
        assert_eq!(chars(&notification.actions[0].label), MAX_LABEL_CHARS);
    }

    #[test]
    fn a_title_is_one_line() {
        let notification = Notification::new("tag", "Ada\nis calling").bounded();
        assert_eq!(notification.title, "Ada is calling");
    }
}
