//! Every published error code of the program. Devices and calls have enums of their own; this
//! module adds the faults that the program finds itself, and one type for all of them.

use std::fmt;

use serde::Serialize;
use tandem_call::EndCode;
use tandem_media::MediaErrorCode;
use tandem_signaling::client::ClientErrorCode;

/// Any code of this program, serialized as its published string. TypeScript's union is generated
/// from it, and the page has words for each of its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "desktop", derive(ts_rs::TS))]
#[serde(untagged)]
pub enum ErrorCode {
    /// A device or a media file.
    Media(MediaErrorCode),
    /// The end of a call.
    End(EndCode),
    /// The signaling server.
    Signaling(ClientErrorCode),
    /// The program itself.
    App(AppErrorCode),
}

impl ErrorCode {
    /// The published string, such as `CAM_IN_USE`: what serde writes, too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Media(code) => code.as_str(),
            Self::End(code) => code.as_str(),
            Self::Signaling(code) => code.as_str(),
            Self::App(code) => code.as_str(),
        }
    }
}

impl From<MediaErrorCode> for ErrorCode {
    fn from(code: MediaErrorCode) -> Self {
        Self::Media(code)
    }
}

impl From<EndCode> for ErrorCode {
    fn from(code: EndCode) -> Self {
        Self::End(code)
    }
}

impl From<ClientErrorCode> for ErrorCode {
    fn from(code: ClientErrorCode) -> Self {
        Self::Signaling(code)
    }
}

impl From<AppErrorCode> for ErrorCode {
    fn from(code: AppErrorCode) -> Self {
        Self::App(code)
    }
}

/// The codes of the faults that the program finds itself, as reports and the window show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "desktop", derive(ts_rs::TS))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AppErrorCode {
    /// The system refused to start the program's threads (headless).
    Internal,
    /// A link or a text that was opened is no invite.
    BadInvite,
    /// The signaling server does not know invites: it is too old.
    InviteNotSupported,
    /// The signaling server gives no invite now.
    InviteRefused,
    /// The code of the user's invite was guessed at too often: it no longer works.
    InviteSpent,
    /// The file with certificates cannot be read.
    CaFileUnreadable,
    /// The file with certificates holds none, or one that cannot be used, or is too large.
    CaFileInvalid,
    /// The command line has a token, but there is no server that it is for.
    TokenWithoutServer,
    /// The token could not be written.
    TokenNotSaved,
    /// The file with the token could not be deleted.
    TokenNotDeleted,
    /// The call connected, but something that should have been sent or received was not (headless).
    NoMedia,
    /// The embedded signaling server did not start.
    RelayNotStarted,
    /// People nearby cannot call the user: the signaling server for it did not start.
    NearbyNotStarted,
    /// The settings file is not valid. It was set aside.
    SettingsBroken,
    /// The settings file is from a newer version. It was set aside.
    SettingsNewer,
    /// The settings could not be written.
    SettingsNotSaved,
    /// The profile picture could not be written.
    PictureNotSaved,
    /// The settings file could not be read.
    SettingsUnreadable,
}

impl AppErrorCode {
    /// Every code, in the order of the enum.
    pub const ALL: [Self; 18] = [
        Self::Internal,
        Self::BadInvite,
        Self::InviteNotSupported,
        Self::InviteRefused,
        Self::InviteSpent,
        Self::CaFileUnreadable,
        Self::CaFileInvalid,
        Self::TokenWithoutServer,
        Self::TokenNotSaved,
        Self::TokenNotDeleted,
        Self::NoMedia,
        Self::RelayNotStarted,
        Self::NearbyNotStarted,
        Self::SettingsBroken,
        Self::SettingsNewer,
        Self::SettingsNotSaved,
        Self::PictureNotSaved,
        Self::SettingsUnreadable,
    ];

    /// The published string, such as `RELAY_NOT_STARTED`: what serde writes, too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "INTERNAL",
            Self::BadInvite => "BAD_INVITE",
            Self::InviteNotSupported => "INVITE_NOT_SUPPORTED",
            Self::InviteRefused => "INVITE_REFUSED",
            Self::InviteSpent => "INVITE_SPENT",
            Self::CaFileUnreadable => "CA_FILE_UNREADABLE",
            Self::CaFileInvalid => "CA_FILE_INVALID",
            Self::TokenWithoutServer => "TOKEN_WITHOUT_SERVER",
            Self::TokenNotSaved => "TOKEN_NOT_SAVED",
            Self::TokenNotDeleted => "TOKEN_NOT_DELETED",
            Self::NoMedia => "NO_MEDIA",
            Self::RelayNotStarted => "RELAY_NOT_STARTED",
            Self::NearbyNotStarted => "NEARBY_NOT_STARTED",
            Self::SettingsBroken => "SETTINGS_BROKEN",
            Self::SettingsNewer => "SETTINGS_NEWER",
            Self::SettingsNotSaved => "SETTINGS_NOT_SAVED",
            Self::PictureNotSaved => "PICTURE_NOT_SAVED",
            Self::SettingsUnreadable => "SETTINGS_UNREADABLE",
        }
    }
}

impl fmt::Display for AppErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_writes_the_published_strings() {
        let has_one_spelling = |code: ErrorCode, spelled: &str| {
            let written = serde_json::to_value(code).expect("a code is a string");
            assert_eq!(written, spelled, "in reports and for the page");
            assert_eq!(code.as_str(), spelled, "in logs");
        };

        for code in AppErrorCode::ALL {
            has_one_spelling(code.into(), code.as_str());
        }

        for code in ClientErrorCode::ALL {
            has_one_spelling(code.into(), code.as_str());
        }

        for code in EndCode::ALL {
            has_one_spelling(code.into(), code.as_str());
        }

        for code in MediaErrorCode::ALL {
            has_one_spelling(code.into(), code.as_str());
        }
    }
}
