//! The app's screens: home, search, connecting, call, and the end of a call.

use serde::Serialize;
use tandem_call::{ConnectProblem, EndCode};
use tandem_signaling::ServerOrigin;
use tandem_signaling::client::ClientErrorCode;
use ts_rs::TS;

use super::{Mismatch, Search, Verification};

/// The screen that is shown, with its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Screen {
    /// The home screen.
    Lobby,
    /// Searching for a partner.
    Waiting {
        /// The person or people that it is for.
        search: Search,
        /// The other person's Tandem rings.
        ringing: bool,
        /// When the search started.
        started_at_ms: u64,
        /// Whether there is video to send: a source is chosen and has not failed. It is shown to
        /// the user meanwhile.
        sends_video: bool,
    },
    /// A partner was found and the connection is being made.
    Connecting {
        /// The partner.
        partner: Partner,
        /// What is happening.
        step: ConnectingStep,
        /// When the partner was found.
        started_at_ms: u64,
        /// Whether it takes long.
        timed_out: bool,
        /// Whether the page can offer to try again then: not to the one who was called.
        can_retry: bool,
        /// Why there is no connection yet, if that is known. It may still come.
        problem: Option<ConnectProblem>,
    },
    /// In a call.
    InCall(InCall),
    /// The call is over.
    Ended {
        /// Why it ended.
        reason: EndCode,
        /// What is wrong with the signaling server, if it ended for that reason.
        cause: Option<ClientErrorCode>,
        /// Why no connection came up, if it ended for that reason and that is known.
        problem: Option<ConnectProblem>,
        /// What did not match, if it ended for that reason.
        mismatch: Option<Mismatch>,
        /// How long it lasted; `null` if it never connected.
        duration_ms: Option<u64>,
        /// The name of the partner, if there was one who gave it.
        name: Option<String>,
        /// The signaling server, unless it is the user's.
        other_server: Option<String>,
        /// The signaling server that the user is asked about: it offers no TURN server, so strangers would
        /// be met directly there. `null` if nothing is asked.
        #[ts(type = "string | null")]
        asks_direct_at: Option<ServerOrigin>,
        /// What `next` searches for from here; `null` if nothing can be searched again.
        again: Option<Search>,
    },
}

/// A connected call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct InCall {
    /// The partner.
    pub partner: Partner,
    /// The two found each other by a code, so neither is a stranger to the other.
    pub known: bool,
    /// When it connected.
    pub connected_at_ms: u64,
    /// The route of the media, once it is known.
    pub route: Option<RouteKind>,
    /// Whether the media is encrypted: true once the ciphers have been negotiated.
    pub encrypted: bool,
    /// What is known about who the partner is.
    pub verification: Verification,
    /// From 1, bad, to 3, good; `null` before it is known.
    #[ts(type = "1 | 2 | 3 | null")]
    pub quality: Option<u8>,
    /// The local microphone is muted.
    pub muted: bool,
    /// The user has the camera switched on. It may have failed nevertheless, see `sendsVideo`.
    pub camera_on: bool,
    /// Whether there is video to send: a source is chosen and has not failed.
    pub sends_video: bool,
    /// The remote microphone is muted.
    pub partner_muted: bool,
    /// The remote camera is off.
    pub partner_camera_off: bool,
    /// The partner does not want audio at the moment.
    pub partner_refuses_audio: bool,
    /// The partner does not want video at the moment.
    pub partner_refuses_video: bool,
    /// Nothing arrives from the partner at the moment: when the call ends, if nothing arrives until
    /// then.
    pub reconnecting_until_ms: Option<u64>,
    /// The partner's connection to the signaling server is lost. The call continues without it.
    pub partner_server_lost: bool,
    /// The connection to the signaling server is lost. The call continues without it.
    pub server_lost: bool,
}

/// The profile of the partner, who wrote it: show it as plain text only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Partner {
    /// The name.
    pub name: Option<String>,
    /// The age in years.
    pub age: Option<u8>,
    /// The location.
    pub location: Option<String>,
    /// The profile picture, as a `data:image/` URL.
    pub picture: Option<String>,
}

/// The steps of making a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ConnectingStep {
    /// The two apps exchange their addresses.
    Exchanging,
    /// They try routes between these.
    Checking,
}

/// The route of the media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum RouteKind {
    /// From one computer to the other.
    Direct,
    /// Through a TURN server.
    Relayed,
}
