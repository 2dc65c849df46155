//! What the page shows. The app is the only source of it: the page fetches it once and then gets
//! each change.
//!
//! The TypeScript declarations of these types are generated into `ui/src/generated/contract.ts`
//! (see [`typescript`]); a test fails when they differ. Times are Unix time in milliseconds.

mod call;
mod change;
mod meet;
mod nearby;
mod settings;
mod stranger;
#[cfg(test)]
pub(super) mod typescript;
mod verification;

pub use call::{ConnectingStep, InCall, Partner, RouteKind, Screen};
pub use change::{MicrophoneLevel, StateChange, StateChanges};
pub use meet::{CallerKind, IncomingCall, Invitation, OpenedInvite, RecentCall, Search};
pub use nearby::{NearbyPerson, NearbyReach, NearbyState, NearbyStatus};
pub use settings::{Codec, Settings, Theme, TokenState, VideoSize};
pub use stranger::{BlockStatus, ReportReason, ReportStatus, StrangerState};
pub use verification::{BadgeKind, InviteEnd, Mismatch, Verification, WordsState};

use serde::Serialize;
use tandem_signaling::ServerUrl;
use tandem_signaling::client::ClientErrorCode;
use ts_rs::TS;

use crate::error_code::ErrorCode;

/// Everything that the page shows.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct AppState {
    /// Increases by one with each change.
    pub revision: u64,
    /// The screen that is shown.
    pub screen: Screen,
    /// The user's settings.
    pub settings: Settings,
    /// The user's profile picture, a `data:image/jpeg` URL; `null` for none.
    pub picture: Option<String>,
    /// The codecs that this build can send, the best first. Never changes.
    pub codecs: Vec<Codec>,
    /// The devices in the menus.
    pub devices: Devices,
    /// The local video on the home screen.
    pub preview: Preview,
    /// The connection to the signaling server.
    pub server: ServerState,
    /// The access token that is set, if there is one.
    pub token: Option<TokenState>,
    /// The signaling server in this app, for other people on the network.
    pub host: HostState,
    /// People on the same network.
    pub nearby: NearbyState,
    /// The user's invite, if there is one.
    pub invitation: Option<Invitation>,
    /// The person who rings.
    pub incoming: Option<IncomingCall>,
    /// An invite that was opened as a link, and waits for the user's click.
    pub opened: Option<OpenedInvite>,
    /// People of earlier calls, the newest first.
    pub recents: Vec<RecentCall>,
    /// The stranger of the call on the screen, or of the one that has just ended.
    pub stranger: Option<StrangerState>,
    /// The window is to be closed in a call, and waits for the user to confirm it.
    pub confirm_close: bool,
    /// What is wrong now, each shown in its place.
    pub problems: Vec<Problem>,
}

/// The devices of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Devices {
    /// Cameras.
    pub cameras: Vec<MenuDevice>,
    /// Microphones.
    pub microphones: Vec<MenuDevice>,
    /// Speakers.
    pub speakers: Vec<MenuDevice>,
}

/// A device in a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct MenuDevice {
    /// Its id in commands and settings.
    pub id: String,
    /// Its name for people.
    pub name: String,
}

/// The local video on the home screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Whether it is shown.
    pub status: PreviewStatus,
}

/// Whether the home screen shows the local video.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum PreviewStatus {
    /// No. The camera is free, or a call has it.
    #[default]
    Off,
    /// Not yet: the camera is being opened.
    Starting,
    /// Yes.
    On,
    /// No. The camera failed: see the problems.
    Failed,
}

/// The connection to the signaling server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ServerState {
    /// Its status.
    pub status: ServerStatus,
    /// The server's name, such as `chat.example.org`; `null` if none is chosen.
    pub name: Option<String>,
    /// What is wrong with it, if it is unreachable.
    pub cause: Option<ClientErrorCode>,
    /// Anyone on the network between here and the server can see who calls whom, and can change it.
    pub exposed: bool,
}

/// The status of the connection to the signaling server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ServerStatus {
    /// No server is chosen.
    #[default]
    Idle,
    /// Being made.
    Connecting,
    /// The server has registered this app.
    Connected,
    /// The server does not respond, refuses this app, or the connection is lost.
    Unreachable,
}

/// The signaling server in this app, for other people on the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct HostState {
    /// Whether it runs. While it does, this app uses it too.
    pub status: HostStatus,
    /// The `ws://` addresses for other people to type.
    #[ts(type = "Array<string>")]
    pub addresses: Vec<ServerUrl>,
}

/// Whether the signaling server in this app runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum HostStatus {
    /// No.
    #[default]
    Off,
    /// Not yet: it is being started.
    Starting,
    /// Yes.
    On,
    /// No. It failed to start: see the problems.
    Failed,
}

/// Something that is wrong now. The page has the words for its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Its id, to dismiss it.
    pub id: u32,
    /// What is wrong, such as `CAM_IN_USE`.
    pub code: ErrorCode,
    /// Where to show it.
    pub place: ProblemPlace,
    /// More detail for experts. Never needed to act on the problem.
    pub detail: Option<String>,
}

/// Where a problem is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ProblemPlace {
    /// At the camera menu and the local video.
    Camera,
    /// At the microphone menu.
    Microphone,
    /// At the speaker menu.
    Speaker,
    /// At the server's address.
    Server,
    /// At the token and the certificates for a private server.
    Access,
    /// At the signaling server in this app.
    Host,
    /// At "People nearby".
    Nearby,
    /// At the settings.
    Settings,
    /// At the room code.
    Room,
    /// At the invite.
    Invite,
    /// In the call.
    Call,
}
