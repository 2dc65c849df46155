//! Screen and computer stay awake while a guard lives.

use std::fmt;

use crate::SystemError;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux::Inhibition;
#[cfg(target_os = "macos")]
use macos::Inhibition;
#[cfg(windows)]
use windows::Inhibition;

#[cfg(target_os = "linux")]
use crate::Buses;

/// What keeps a screen and a computer awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// The desktop portal (`org.freedesktop.portal.Inhibit`): screen and computer, also from a
    /// sandbox.
    Portal,
    /// The session manager of GNOME and its relatives (`org.gnome.SessionManager`): screen and
    /// computer.
    SessionManager,
    /// The screen saver (`org.freedesktop.ScreenSaver`): the screen.
    ScreenSaver,
    /// logind (`org.freedesktop.login1`): the computer, and the screen where the desktop leaves it
    /// to logind.
    Logind,
    /// A power request of Windows: screen and computer.
    PowerRequest,
    /// Power assertions of macOS: screen and computer.
    PowerAssertions,
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portal => "portal",
            Self::SessionManager => "session manager",
            Self::ScreenSaver => "screen saver",
            Self::Logind => "logind",
            Self::PowerRequest => "power request",
            Self::PowerAssertions => "power assertions",
        })
    }
}

/// Keeps the screen and the computer awake until it is dropped. The system ends it, too, when the
/// process dies.
///
/// A person can still turn the screen off, close the lid or send the computer to sleep.
#[derive(Debug)]
#[must_use = "dropping it lets the screen turn off"]
pub struct KeepAwake {
    means: Vec<Means>,
    _inhibition: Inhibition,
}

impl KeepAwake {
    /// Asks the system to keep the screen and the computer awake. `app_name` and `reason` are words
    /// for people: desktops show who keeps a computer awake and why.
    ///
    /// On Linux it asks one service after another until one agrees: the portal, the session manager,
    /// the screen saver together with logind, and logind alone. The wait is bounded, see
    /// [`Buses::timeout`](crate::Buses). Needs a tokio runtime there, which also ends the
    /// inhibition when the guard is dropped.
    ///
    /// # Errors
    /// Nothing on this system can do it: what was tried, and why it failed.
    pub async fn start(app_name: &str, reason: &str) -> Result<Self, KeepAwakeError> {
        #[cfg(target_os = "linux")]
        return Self::start_on(&Buses::default(), app_name, reason).await;

        #[cfg(not(target_os = "linux"))]
        match Inhibition::start(app_name, reason) {
            Ok(inhibition) => Ok(Self {
                means: vec![Inhibition::MEANS],
                _inhibition: inhibition,
            }),
            Err(error) => Err(KeepAwakeError {
                attempts: vec![Attempt {
                    means: Inhibition::MEANS,
                    error,
                }],
            }),
        }
    }

    /// As [`Self::start`], on these buses.
    ///
    /// # Errors
    /// As [`Self::start`].
    #[cfg(target_os = "linux")]
    pub async fn start_on(
        buses: &Buses,
        app_name: &str,
        reason: &str,
    ) -> Result<Self, KeepAwakeError> {
        let (means, inhibition) = Inhibition::start(buses, app_name, reason).await?;
        Ok(Self {
            means,
            _inhibition: inhibition,
        })
    }

    /// What keeps the system awake, for logs. The screen saver may have logind beside it.
    #[must_use]
    pub fn means(&self) -> &[Means] {
        &self.means
    }
}

/// Nothing keeps this system awake.
#[derive(Debug)]
pub struct KeepAwakeError {
    /// What was tried, in this order.
    pub attempts: Vec<Attempt>,
}

/// One attempt to keep the system awake, and why it failed.
#[derive(Debug)]
pub struct Attempt {
    /// What was asked.
    pub means: Means,
    /// Why it failed.
    pub error: SystemError,
}

impl fmt::Display for KeepAwakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing keeps this system awake")?;
        for (n, Attempt { means, error }) in self.attempts.iter().enumerate() {
            let separator = if n == 0 { ':' } else { ',' };
            write!(f, "{separator} {means} ({error})")?;
        }
        Ok(())
    }
}

impl std::error::Error for KeepAwakeError {
    /// The last attempt's error.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let last = self.attempts.last()?;
        Some(&last.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_says_what_was_tried_and_why_it_failed() {
        let attempt = |means, error| Attempt { means, error };
        let error = KeepAwakeError {
            attempts: vec![
                attempt(Means::Portal, SystemError::NoAnswer),
                attempt(Means::Logind, SystemError::Refused("no".into())),
            ],
        };

        assert_eq!(
            error.to_string(),
            "nothing keeps this system awake: portal (no answer in time), logind (the desktop refused)"
        );
    }
}
