//! What the page shows. The app is the only source of it: the page gets one snapshot and then each change.
//!
//! TypeScript's view of these types is generated into `ui/src/generated/contract.ts` (see [`typescript`]); a test fails
//! when the two drift apart. Times are Unix time in milliseconds.

mod call;
mod change;
mod settings;
#[cfg(test)]
pub(super) mod typescript;

pub use call::{ConnectingStep, InCall, Partner, RouteKind, Screen};
pub use change::{MicrophoneLevel, StateChange, StateChanges};
pub use settings::{DEFAULT_RELAY_URL, Settings, Theme};

use serde::Serialize;
use ts_rs::TS;

/// Everything that the page shows.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct AppState {
    /// Grows by one with each change.
    pub revision: u64,
    /// Where the user is.
    pub screen: Screen,
    /// What the user chose, as far as it is kept.
    pub settings: Settings,
    /// What the menus offer.
    pub devices: Devices,
    /// The own picture in the lobby.
    pub preview: Preview,
    /// The connection to the relay.
    pub relay: RelayState,
    /// The relay in this app, for others on the network.
    pub host: HostState,
    /// What is wrong now, each to be shown in its place.
    pub problems: Vec<Problem>,
}

/// The devices of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Devices {
    /// Cameras.
    pub cameras: Vec<Device>,
    /// Microphones.
    pub microphones: Vec<Device>,
    /// Speakers.
    pub speakers: Vec<Device>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// What the commands call it.
    pub id: String,
    /// What a person calls it.
    pub name: String,
}

/// The own picture in the lobby.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Whether there is one.
    pub status: PreviewStatus,
}

/// Whether there is a picture in the lobby.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum PreviewStatus {
    /// No camera is wanted, or a call has it: the device is free.
    #[default]
    Off,
    /// The camera is being opened.
    Starting,
    /// Pictures come.
    On,
    /// The camera cannot be used: see the problems.
    Failed,
}

/// The connection to the relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RelayState {
    /// How it is.
    pub status: RelayStatus,
}

/// How the connection to the relay is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum RelayStatus {
    /// Nothing is asked of it.
    #[default]
    Idle,
    /// It is being connected to.
    Connecting,
    /// It knows us.
    Connected,
    /// It does not answer, or the connection is lost; it is being tried again while a call or a search goes on.
    Unreachable,
}

/// The relay in this app, for others on the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct HostState {
    /// Whether it runs. While it does, this app's own calls go through it too.
    pub status: HostStatus,
    /// The `ws://` addresses that others type in.
    pub addresses: Vec<String>,
}

/// Whether the relay in this app runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum HostStatus {
    /// It does not.
    #[default]
    Off,
    /// It is being started.
    Starting,
    /// It does.
    On,
    /// It could not be started: see the problems.
    Failed,
}

/// Something that is wrong now. The words for its code are in the page's locale file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Names it for `dismiss_problem`.
    pub id: u32,
    /// A stable code, such as `CAM_IN_USE`.
    pub code: String,
    /// Where to show it.
    pub place: Place,
    /// More of it, for those who want to know: never needed to act on it.
    pub detail: Option<String>,
}

/// Where a problem is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// At the camera menu and the own picture.
    Camera,
    /// At the microphone menu.
    Microphone,
    /// At the speaker menu.
    Speaker,
    /// At the relay's address.
    Relay,
    /// At "Host on this network".
    Host,
    /// At the settings.
    Settings,
    /// At the room code.
    Room,
    /// In the call.
    Call,
}
