//! Whether the person wants programs to be dark or light: the Linux desktop's setting, as the
//! portal gives it (`org.freedesktop.portal.Settings`). Windows and macOS tell the web view
//! themselves.

use futures_util::StreamExt;
use zbus::message::Type;
use zbus::{MatchRule, MessageStream, OwnedVariant, Variant};

use crate::bus::within;
use crate::{Buses, SystemError};

const PORTAL: &str = "org.freedesktop.portal.Desktop";
const PORTAL_PATH: &str = "/org/freedesktop/portal/desktop";
const SETTINGS: &str = "org.freedesktop.portal.Settings";
/// The setting's namespace and name.
const SETTING: (&str, &str) = ("org.freedesktop.appearance", "color-scheme");

/// What the person prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorScheme {
    /// The program may choose. Most desktops mean light.
    NoPreference,
    /// Light text on dark.
    Dark,
    /// Dark text on light.
    Light,
}

impl ColorScheme {
    /// Asks the desktop, and listens to changes from then on.
    ///
    /// # Errors
    /// The desktop has no portal or no such setting, or the portal does not answer in time.
    pub async fn watch() -> Result<(Self, ColorSchemeChanges), SystemError> {
        Self::watch_on(&Buses::default()).await
    }

    /// As [`Self::watch`], on these buses.
    ///
    /// # Errors
    /// As [`Self::watch`].
    pub async fn watch_on(buses: &Buses) -> Result<(Self, ColorSchemeChanges), SystemError> {
        within(buses.timeout, async {
            let connection = buses.session.connect().await?;

            let (namespace, name) = SETTING;
            let changes = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender(PORTAL)
                .interface(SETTINGS)
                .member("SettingChanged")
                .arg(0, namespace)
                .arg(1, name)
                .build()?;
            // Before the question, so that no change is missed.
            let changes = MessageStream::for_match_rule(changes, &connection, None).await?;

            let reply = connection
                .call_method(Some(PORTAL), PORTAL_PATH, Some(SETTINGS), "Read", &SETTING)
                .await?;
            let value: OwnedVariant = reply.body().deserialize()?;
            let scheme = understood(&value)
                .ok_or_else(|| SystemError::Refused("the setting is not a number".into()))?;
            Ok((scheme, ColorSchemeChanges(changes)))
        })
        .await
    }
}

/// Changes of the desktop's setting.
#[derive(Debug)]
pub struct ColorSchemeChanges(MessageStream);

impl ColorSchemeChanges {
    /// Waits for the next change. `None` when the connection to the message bus has ended.
    pub async fn recv(&mut self) -> Option<ColorScheme> {
        loop {
            let message = self.0.next().await?.ok()?;
            let body = message.body();
            let changed: Result<(&str, &str, OwnedVariant), _> = body.deserialize();
            if let Some(scheme) = changed.ok().and_then(|(.., value)| understood(&value)) {
                return Some(scheme);
            }
        }
    }
}

/// `Read` puts the number into two variants, one in the other, and signals into one.
fn understood(value: &Variant<'_>) -> Option<ColorScheme> {
    match value {
        Variant::Variant(inner) => understood(inner),
        Variant::U32(1) => Some(ColorScheme::Dark),
        Variant::U32(2) => Some(ColorScheme::Light),
        // The specification: other numbers mean the same as 0.
        Variant::U32(_) => Some(ColorScheme::NoPreference),
        _ => None,
    }
}
