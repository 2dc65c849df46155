//! Where the user is: lobby, search, call or its end.

use serde::Serialize;
use ts_rs::TS;

/// One of the app's screens, with what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Screen {
    /// Before a call.
    Lobby,
    /// Looking for a partner.
    Waiting {
        /// The code that both give; without one anybody will do.
        room: Option<String>,
        /// When the search began.
        started_at_ms: u64,
    },
    /// A partner is found; the connection is being made.
    Connecting {
        /// Who it is.
        partner: Partner,
        /// What is happening.
        step: ConnectingStep,
        /// When the partner was found.
        started_at_ms: u64,
        /// It takes too long: offer to try again.
        timed_out: bool,
    },
    /// Talking.
    InCall(InCall),
    /// The call is over.
    Ended {
        /// The code of `EndCode`: `PARTNER_LEFT`.
        reason: String,
        /// How long it lasted; none if it never came about.
        duration_ms: Option<u64>,
        /// The room it was in, to search there again.
        room: Option<String>,
    },
}

/// A call as its screen shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct InCall {
    /// Who it is.
    pub partner: Partner,
    /// Since when.
    pub connected_at_ms: u64,
    /// The path of picture and sound, once it is known.
    pub route: Option<RouteKind>,
    /// Whether picture and sound are encrypted: true once the ciphers are known.
    pub encrypted: bool,
    /// 3 is good, 1 is bad; none before it can be told.
    #[ts(type = "1 | 2 | 3 | null")]
    pub quality: Option<u8>,
    /// The own microphone is muted.
    pub muted: bool,
    /// The own camera is on, as far as the user wants.
    pub camera_on: bool,
    /// Whether there is a picture to send at all.
    pub sends_video: bool,
    /// The partner's microphone is muted.
    pub partner_muted: bool,
    /// The partner's camera is off.
    pub partner_camera_off: bool,
    /// Nothing comes from the partner at the moment.
    pub partner_reconnecting: bool,
    /// The relay is out of reach; the call goes on without it.
    pub relay_lost: bool,
}

/// What the partner tells about themself. All of it is foreign text: show it as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Partner {
    /// The name.
    pub name: Option<String>,
    /// The age in years.
    pub age: Option<u8>,
    /// The place.
    pub location: Option<String>,
    /// A `data:image/` URL.
    pub picture: Option<String>,
}

/// What happens while the connection is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ConnectingStep {
    /// The two apps tell each other where they can be reached.
    Exchanging,
    /// Paths are being tried.
    Checking,
}

/// The path that picture and sound take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum RouteKind {
    /// From computer to computer.
    Direct,
    /// Through a TURN server.
    Relayed,
}
