//! What the page may ask of the app, and how the app refuses.
//!
//! The page sends a [`Command`] as JSON to the Tauri command `run`, with the variant's name in
//! `type`:
//!
//! ```json
//! { "type": "setMuted", "muted": true }
//! ```
//!
//! TypeScript's view of these types is generated into `ui/src/generated/contract.ts`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use super::state::{Codec, ReportReason, Theme, VideoSize};

/// What the user requests with a button, a menu or a key.
///
/// All fields are required, even those that may be `null`. Serde refuses unknown fields, except
/// beside the `type` of a command without fields, where it ignores them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, TS)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[allow(missing_docs, reason = "fields are the command's arguments")]
pub enum Command {
    /// Search for anyone who is searching too.
    FindPartner,
    /// Search for the person who enters the same code.
    CallWithCode { code: String },
    /// Ask the signaling server for an invite, and ring when someone uses it.
    Invite,
    /// Withdraw the invite.
    CancelInvite,
    /// Answer the person who rings; with sound only if `video` is false.
    AcceptCall { id: u32, video: bool },
    /// Decline the person who rings.
    DeclineCall { id: u32 },
    /// Call the person whose invite was opened as a link.
    JoinOpened,
    /// Forget the invite that was opened as a link.
    DismissOpened,
    /// Ring a person of an earlier call.
    CallRecent { id: u32 },
    /// Forget a person of an earlier call.
    RemoveRecent { id: u32 },
    /// Forget all people of earlier calls.
    ClearRecents,
    /// Open the list of people nearby. They find this user, too, as long as it is open.
    OpenNearby,
    /// Close the list of people nearby.
    CloseNearby,
    /// Ring a person nearby.
    CallNearby { id: String },
    /// Ring the person at this address on the same network.
    CallAddress { address: String },
    /// Let people nearby find this user also while the list is closed, or not.
    SetAlwaysNearby { on: bool },
    /// Show the window on the whole screen, or as a window again.
    ToggleFullScreen,
    /// The user has seen the ways to call.
    Welcomed,
    /// Connect to the signaling server again.
    RetryServer,
    /// Answer whether to close the window in a call.
    ConfirmClose { close: bool },
    /// Stop searching or connecting.
    Cancel,
    /// End the call.
    HangUp,
    /// Leave the partner and search again; after a call, repeat the last search.
    Next,
    /// Give up a connection that takes too long and search again; after a call, the same as
    /// [`Self::Next`].
    Retry,
    /// Leave the last screen of a call, back to the home screen.
    ToLobby,
    /// Mute or unmute the microphone.
    SetMuted { muted: bool },
    /// Turn the camera on, or turn it off and release it.
    SetCameraOn { on: bool },
    /// Choose a camera: a device's id, `null` for the system's default, `"none"` for no camera.
    SetCamera {
        #[serde(deserialize_with = "Option::deserialize")]
        id: Option<String>,
    },
    /// Choose a microphone, as in [`Self::SetCamera`].
    SetMicrophone {
        #[serde(deserialize_with = "Option::deserialize")]
        id: Option<String>,
    },
    /// Choose a speaker, as in [`Self::SetCamera`].
    SetSpeaker {
        #[serde(deserialize_with = "Option::deserialize")]
        id: Option<String>,
    },
    /// Choose the speaker that rings, `null` for the one that calls use, and how loud it rings.
    SetRing {
        #[serde(deserialize_with = "Option::deserialize")]
        speaker: Option<String>,
        volume: u8,
    },
    /// Play the ring.
    TestRing,
    /// Set the name that others see; empty for none.
    SetName { name: String },
    /// Set what else others see: an age, and a place, which may be empty.
    SetAbout { age: Option<u8>, location: String },
    /// Set the profile picture, a `data:image/jpeg` URL; `null` for none.
    SetPicture { picture: Option<String> },
    /// Set the signaling server's address; empty for none.
    SetServerUrl { url: String },
    /// Set the access token for the user's server. The page never gets it back.
    SetToken {
        #[ts(type = "string")]
        token: Secret,
    },
    /// Forget the access token.
    ForgetToken,
    /// Set the path of a file with certificates to trust; empty for none.
    SetCaFile { path: String },
    /// Have the keys M and V alone do something, or not (WCAG 2.1.4).
    SetSingleKeyShortcuts { on: bool },
    /// Choose light or dark.
    SetTheme { theme: Theme },
    /// Choose how much data the video of the next call may take.
    SetVideoQuality {
        size: VideoSize,
        codec: Codec,
        max_bitrate_kbps: u32,
    },
    /// Choose how the microphone's audio is processed.
    SetProcessing {
        echo_cancellation: bool,
        noise_suppression: bool,
        auto_gain: bool,
    },
    /// Start the embedded signaling server: for the local network, or for this machine alone.
    StartHost { lan: bool },
    /// Stop the embedded signaling server.
    StopHost,
    /// Play the speaker test sound.
    TestSpeaker,
    /// The user has compared the four safety words that the page showed with those on the other
    /// screen. If they differ, the call ends.
    WordsCompared { words: [String; 4], equal: bool },
    /// The user has read the rules for meeting strangers and is 18 or older.
    AcceptRules,
    /// Calls with strangers go through a TURN server, or directly.
    SetStrangerRelay { on: bool },
    /// Calls with strangers may go directly at this server, the last screen's `asksDirectAt`: the
    /// settings may have another one by now.
    AllowStrangerDirect { server: String },
    /// They may no longer do so at this server of `strangerDirect`.
    TakeBackStrangerDirect { server: String },
    /// Set what the user likes to talk about.
    SetInterests { interests: Vec<String> },
    /// The page shows who the stranger with this id is.
    StrangerShown { id: u32 },
    /// Report the stranger of this call or of the one that has just ended; with what they showed
    /// last, if the user says so.
    Report {
        reason: ReportReason,
        text: String,
        snapshot: bool,
    },
    /// Never meet this stranger again.
    Block,
    /// List the devices again, and try those that do not work.
    RefreshDevices,
    /// Remove a problem from the screen.
    DismissProblem { id: u32 },
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Command {
    /// Reads a command that the page sent.
    ///
    /// # Errors
    /// `BAD_COMMAND` if there is no command, its type is unknown, or its arguments do not fit.
    pub fn parse(json: Option<Value>) -> Result<Self, CommandError> {
        let json = json.unwrap_or_default();
        serde_json::from_value(json).map_err(|error| CommandError {
            code: CommandErrorCode::BadCommand,
            detail: Some(error.to_string()),
        })
    }
}

/// Why the app refused a command. A refused command changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{code:?}")]
pub struct CommandError {
    /// A stable code.
    pub code: CommandErrorCode,
    /// The cause, for a bug report; nothing that a user needs to act on.
    pub detail: Option<String>,
}

/// The stable codes of [`CommandError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommandErrorCode {
    /// It makes no sense on this screen.
    NotNow,
    /// No such command, or its arguments do not fit.
    BadCommand,
    /// A room code has 1 to 64 of `A-Z a-z 0-9 - _`.
    BadRoom,
    /// The link to a call is not complete, or leads elsewhere.
    BadLink,
    /// A name has at most 40 characters.
    BadName,
    /// An age is from 18 to 120.
    BadAge,
    /// A place has at most 80 characters.
    BadLocation,
    /// A picture is a small JPEG.
    BadPicture,
    /// A signaling server's address looks like `ws://host:9000/ws`.
    BadRelayUrl,
    /// A token has no spaces, line breaks or control characters.
    BadToken,
    /// The connection to the user's server is not encrypted, so a token is not sent there.
    TokenExposed,
    /// A path of a file must be absolute.
    BadPath,
    /// No device has this id.
    UnknownDevice,
    /// No signaling server is chosen.
    NoServer,
    /// No one rings under this id, or not any more.
    UnknownCall,
    /// No earlier call has this id, or not any more.
    UnknownRecent,
    /// Not an address on the same network.
    BadAddress,
    /// No person nearby has this id, or not any more.
    UnknownNearby,
    /// The rules for meeting strangers come first.
    RulesNotAccepted,
    /// There are at most 10 interests, of at most 32 characters.
    BadInterests,
    /// The text of a report has at most 1,000 characters.
    BadReport,
    /// The bitrate is out of range.
    BadBitrate,
    /// There is no problem with this id, or not any more.
    UnknownProblem,
    /// Too many commands in too short a time.
    RateLimited,
    /// The app is closing.
    Closing,
}

impl From<CommandErrorCode> for CommandError {
    fn from(code: CommandErrorCode) -> Self {
        Self { code, detail: None }
    }
}

/// Where the page gets frames: see the module `frames`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct FrameSocket {
    /// `ws://127.0.0.1:PORT/frames`. The page offers the subprotocols `tandem-frames` and
    /// `bearer.TOKEN`.
    pub url: String,
    /// Opens one connection, within half a minute.
    pub token: String,
}

/// What the page sends on the frame socket to request the next frame. The app answers as soon as it
/// has a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrameRequest {
    /// Which stream.
    pub stream: StreamName,
    /// The sequence number of the last frame received; 0 before the first.
    pub after: u32,
    /// The width available on the screen, in pixels.
    pub max_width: u32,
    /// The height available on the screen, in pixels.
    pub max_height: u32,
}

/// A stream of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum StreamName {
    /// The local camera.
    Local,
    /// The partner's video.
    Remote,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_are_read_from_their_type_and_arguments() {
        let id = || Some("mic-1".to_owned());
        for (json, command) in [
            (json!({ "type": "findPartner" }), Command::FindPartner),
            (
                json!({ "type": "setMuted", "muted": true }),
                Command::SetMuted { muted: true },
            ),
            (
                json!({ "type": "setMicrophone", "id": "mic-1" }),
                Command::SetMicrophone { id: id() },
            ),
            (
                json!({ "type": "setSpeaker", "id": null }),
                Command::SetSpeaker { id: None },
            ),
            (
                json!({ "type": "setServerUrl", "url": "ws://a/ws" }),
                Command::SetServerUrl {
                    url: "ws://a/ws".into(),
                },
            ),
            (
                json!({ "type": "setTheme", "theme": "dark" }),
                Command::SetTheme { theme: Theme::Dark },
            ),
            (
                json!({
                    "type": "setProcessing",
                    "echoCancellation": true,
                    "noiseSuppression": false,
                    "autoGain": true,
                }),
                Command::SetProcessing {
                    echo_cancellation: true,
                    noise_suppression: false,
                    auto_gain: true,
                },
            ),
        ] {
            assert_eq!(Command::parse(Some(json.clone())), Ok(command), "{json}");
        }
    }

    #[test]
    fn malformed_commands_are_refused_with_a_code_and_a_cause() {
        for json in [
            json!(null),
            json!([]),
            json!("hangUp"),
            json!({}),
            json!({ "type": null }),
            json!({ "type": "hang_up" }),
            json!({ "type": "HangUp" }),
            json!({ "type": "toString" }),
            json!({ "type": "__proto__" }),
            json!({ "type": "setName" }),
            json!({ "type": "setName", "name": 7 }),
            json!({ "type": "setName", "name": null }),
            json!({ "type": "setName", "name": "Ann", "age": 33 }),
            json!({ "type": "setMuted", "muted": "yes" }),
            json!({ "type": "setCamera" }),
            json!({ "type": "setCamera", "id": {} }),
            json!({ "type": "setTheme", "theme": "pink" }),
            json!({ "type": "setProcessing", "echoCancellation": true }),
            json!({ "type": "dismissProblem", "id": -1 }),
            json!({ "type": "dismissProblem", "id": 1e300 }),
            json!({ "type": "dismissProblem", "id": u64::MAX }),
            json!({ "type": "startHost", "lan": [] }),
        ] {
            let error = Command::parse(Some(json.clone())).expect_err(&json.to_string());
            assert_eq!(error.code, CommandErrorCode::BadCommand, "{json}");
            assert!(error.detail.is_some(), "{json} has a cause to report");
        }

        let missing = Command::parse(None).expect_err("no command at all");
        assert_eq!(missing.code, CommandErrorCode::BadCommand);
    }
}
