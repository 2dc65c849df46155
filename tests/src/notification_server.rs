//! The desktop's notification server of a test: python-dbusmock stands for it.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::message_bus::{MessageBus, PYTHON};
use crate::process::{Process, tool, wait_until};

/// How long a notification may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Presses a button of a notification: the arguments are the bus, the notification and the button.
const PRESS: &str = r"
import sys, dbus, dbus.bus
_, bus, notification, button = sys.argv
service = dbus.bus.BusConnection(bus).get_object('org.freedesktop.Notifications', '/org/freedesktop/Notifications')
service.EmitSignal('org.freedesktop.Notifications', 'ActionInvoked', 'us',
    [dbus.UInt32(int(notification)), button], dbus_interface='org.freedesktop.DBus.Mock')
";

/// A notification server that shows buttons. Stopped when dropped.
pub struct NotificationServer {
    process: Process,
    bus: String,
}

/// A notification that a program has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownNotification {
    /// The server's number for it.
    pub id: usize,
    /// The call that showed it: title, text and buttons.
    pub text: String,
}

impl ShownNotification {
    /// The key of the button with this label.
    pub fn button(&self, label: &str) -> Option<String> {
        // The buttons are a list of keys, each before its label.
        let (before, _) = self.text.split_once(&format!("\"{label}\""))?;
        Some(before.rsplit('"').nth(1)?.to_owned())
    }
}

impl NotificationServer {
    /// Starts the server and waits until programs can reach it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(bus: &MessageBus) -> Result<Self> {
        let process = bus.start_mock(&[
            "--session",
            "--template",
            "notification_daemon",
            "--parameters",
            r#"{"capabilities": "actions body"}"#,
        ])?;
        bus.wait_for_name("org.freedesktop.Notifications")?;

        Ok(Self {
            process,
            bus: bus.address().to_owned(),
        })
    }

    /// Waits for a notification with this in its title or text.
    ///
    /// # Errors
    /// When none is shown.
    pub fn wait_for(&self, text: &str) -> Result<ShownNotification> {
        wait_until(&format!("a notification: {text}"), TIMEOUT, || {
            let log = self.process.stdout();
            let shown = log.lines().filter(|line| line.contains(" Notify "));
            shown
                .enumerate()
                .filter(|(_, line)| line.contains(text))
                .map(|(index, line)| ShownNotification {
                    // Numbers from 1, unless one replaces another.
                    id: index + 1,
                    text: line.to_owned(),
                })
                .last()
        })
    }

    /// Waits until the program has removed this notification.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_until_closed(&self, notification: &ShownNotification) -> Result<()> {
        let closed = format!(" CloseNotification {}", notification.id);
        wait_until("the notification is removed", TIMEOUT, || {
            let log = self.process.stdout();
            log.lines()
                .any(|line| line.ends_with(&closed))
                .then_some(())
        })
    }

    /// Presses the button with this label, as a user would.
    ///
    /// # Errors
    /// When there is no such button.
    pub fn press(&self, notification: &ShownNotification, label: &str) -> Result<()> {
        let key = notification
            .button(label)
            .with_context(|| format!("no button {label}: {}", notification.text))?;
        let id = notification.id.to_string();
        tool(PYTHON, ["-c", PRESS, &self.bus, &id, &key]).map(drop)
    }
}
