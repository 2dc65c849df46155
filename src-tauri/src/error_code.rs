//! The codes of the faults that this crate finds itself. Devices, calls and the signaling client
//! have their own.

use std::fmt;

/// A stable code, as reports and the page show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppErrorCode {
    /// The system refused to start the program's threads (headless).
    Internal,
    /// The call connected, but something that should have been sent or received was not (headless).
    NoMedia,
    /// The embedded signaling server did not start.
    RelayNotStarted,
    /// The settings file is not valid. It was set aside.
    SettingsBroken,
    /// The settings file is from a newer version. It was set aside.
    SettingsNewer,
    /// The settings could not be written.
    SettingsNotSaved,
    /// The settings file could not be read.
    SettingsUnreadable,
}

impl AppErrorCode {
    /// The code as it is written in reports: `RELAY_NOT_STARTED`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "INTERNAL",
            Self::NoMedia => "NO_MEDIA",
            Self::RelayNotStarted => "RELAY_NOT_STARTED",
            Self::SettingsBroken => "SETTINGS_BROKEN",
            Self::SettingsNewer => "SETTINGS_NEWER",
            Self::SettingsNotSaved => "SETTINGS_NOT_SAVED",
            Self::SettingsUnreadable => "SETTINGS_UNREADABLE",
        }
    }
}

impl fmt::Display for AppErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
