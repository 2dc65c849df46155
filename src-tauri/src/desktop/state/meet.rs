//! How two people meet: invites, links, a person who rings, and people of earlier calls.

use serde::Serialize;
use ts_rs::TS;

/// The person or people that a search is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Search {
    /// Anyone who searches too.
    Anyone,
    /// The person who enters the same code, or sent the invite.
    Room {
        /// The code or invite, as people write it.
        code: String,
        /// The server of a link, if it is not the user's own.
        server: Option<String>,
        /// The other person made it, and this user joins.
        invited: bool,
    },
    /// A person of an earlier call, who is rung.
    Person {
        /// The name that the person had in that call.
        name: Option<String>,
    },
    /// A person nearby, who is rung.
    Nearby {
        /// The name, as the person announced it.
        name: Option<String>,
    },
    /// The person who rang and was accepted.
    Answer {
        /// The name, as far as it is known.
        name: Option<String>,
    },
}

/// The user's invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(
    tag = "status",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Invitation {
    /// The signaling server is asked for a number.
    Asking,
    /// Anyone who has it can ring.
    Ready {
        /// The invite, to be read aloud: `7-garden-lantern`.
        code: String,
        /// The link that opens Tandem; `null` if a link cannot name the server.
        app_link: Option<String>,
        /// The link to a page of the server, for those who may not have Tandem.
        web_link: Option<String>,
        /// The server's name.
        server: String,
        /// An earlier invite was lost, because the server forgot it, and this one takes its place.
        replaced: bool,
    },
}

/// The person who rings, who wrote the name and the picture: show them as plain text and pixels only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct IncomingCall {
    /// For the commands that answer it.
    pub id: u32,
    /// The name.
    pub name: Option<String>,
    /// The profile picture, as a `data:image/` URL.
    pub picture: Option<String>,
    /// How the person knows this user.
    pub kind: CallerKind,
    /// They have the number of the user's invite, and the call will be verified by its code.
    pub by_invite: bool,
}

/// How a person who rings knows the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum CallerKind {
    /// By the invite.
    Invited,
    /// From an earlier call.
    Known,
    /// By being on the same network.
    Nearby,
}

/// An invite that was opened as a link, and waits for the user's click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct OpenedInvite {
    /// The invite, as people write it.
    pub code: String,
    /// The server that the call goes to; `null` if the invite names none and none is chosen.
    pub server: Option<String>,
    /// It is not the user's own server, and is used for this call only.
    pub other_server: bool,
    /// Anyone on the network between here and that server can see who calls whom, and change it.
    pub exposed: bool,
}

/// A person of an earlier call, who can be rung again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RecentCall {
    /// For commands.
    pub id: u32,
    /// The name that the person had in that call.
    pub name: Option<String>,
    /// When the call began.
    pub at_ms: u64,
}
