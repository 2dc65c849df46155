//! What the page may ask of the app, and how it is refused.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::state::Theme;

/// Something that the user wants. Each is a Tauri command of the same name in snake case.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are the command's arguments")]
pub enum Command {
    /// Meet anybody.
    FindPartner,
    /// Meet whoever gives the same code.
    CallWithCode { code: String },
    /// Stop searching, or give up a connection that does not come about.
    Cancel,
    /// End the call.
    HangUp,
    /// Leave the partner and search for another; after a call: search again as before.
    Next,
    /// Give up a connection that takes too long and search again; after a call that failed: the same as [`Self::Next`].
    Retry,
    /// Leave the last screen of a call.
    ToLobby,
    /// Send silence, or the microphone.
    SetMuted { muted: bool },
    /// Camera on, or off and released.
    SetCameraOn { on: bool },
    /// Choose a camera.
    SetCamera { id: Option<String> },
    /// Choose a microphone.
    SetMicrophone { id: Option<String> },
    /// Choose a speaker.
    SetSpeaker { id: Option<String> },
    /// The name that partners see.
    SetName { name: String },
    /// The relay to ask.
    SetRelayUrl { url: String },
    /// Light or dark.
    SetTheme { theme: Theme },
    /// What is done to the microphone's sound.
    SetProcessing {
        echo_cancellation: bool,
        noise_suppression: bool,
        auto_gain: bool,
    },
    /// Be the relay for this machine, or for the network.
    StartHost { lan: bool },
    /// Stop being the relay.
    StopHost,
    /// Play a sound on the chosen speaker.
    TestSpeaker,
    /// Look for devices again.
    RefreshDevices,
    /// The user has read it.
    DismissProblem { id: u32 },
}

/// Why a command was refused. A refused command changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{code:?}")]
pub struct CommandError {
    /// A stable code.
    pub code: CommandErrorCode,
    /// More of it, for those who want to know.
    pub detail: Option<String>,
}

/// Why a command was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommandErrorCode {
    /// It makes no sense on this screen.
    NotNow,
    /// A room code has 1 to 64 of `A-Z a-z 0-9 - _`.
    BadRoom,
    /// A name has at most 40 characters.
    BadName,
    /// A relay's address looks like `ws://host:9000/ws`.
    BadRelayUrl,
    /// No device has this id.
    UnknownDevice,
    /// There is no problem with this id (any more).
    UnknownProblem,
    /// Too many commands at once.
    RateLimited,
    /// The app is closing.
    Closing,
}

impl From<CommandErrorCode> for CommandError {
    fn from(code: CommandErrorCode) -> Self {
        Self { code, detail: None }
    }
}

/// Where the page gets pictures: see the module `frames`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct FrameSocket {
    /// `ws://127.0.0.1:PORT/frames`; the token is to be added as `?token=…`.
    pub url: String,
    /// Opens one connection, within half a minute.
    pub token: String,
}

/// What the page sends on the frame socket: the next picture, please. Answered as soon as there is a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrameRequest {
    /// Whose picture.
    pub stream: StreamName,
    /// The sequence number of the last picture that came, 0 at the beginning.
    pub after: u32,
    /// The most pixels in a row that can be shown.
    pub max_width: u32,
    /// The most rows that can be shown.
    pub max_height: u32,
}

/// Whose picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum StreamName {
    /// The own one.
    Local,
    /// The partner's.
    Remote,
}
