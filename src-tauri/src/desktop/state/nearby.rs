//! People on the same network.

use serde::Serialize;
use ts_rs::TS;

/// People on the same network, and how they reach this user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct NearbyState {
    /// Whether others can find and call this user.
    pub status: NearbyStatus,
    /// The list of people is open.
    pub open: bool,
    /// Who is there.
    pub people: Vec<NearbyPerson>,
    /// Whether the network carries what makes people find each other.
    pub reach: NearbyReach,
    /// The addresses at which others on the network can call this user, as they type them; the
    /// likeliest first.
    pub addresses: Vec<String>,
    /// The first of them as a link that opens Tandem.
    pub link: Option<String>,
}

/// Whether people on the network can find and call this user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum NearbyStatus {
    /// No.
    #[default]
    Off,
    /// Not yet.
    Starting,
    /// Yes.
    On,
    /// No, and not before the list is opened again: see the problems.
    Failed,
}

/// Whether the network carries what makes people find each other (multicast).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum NearbyReach {
    /// It is too early to tell.
    #[default]
    Unknown,
    /// At least within this computer.
    Heard,
    /// No: something blocks it, or there is no network.
    Silent,
}

/// A person nearby, who wrote the name: show it as plain text only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct NearbyPerson {
    /// For commands.
    pub id: String,
    /// The name.
    pub name: Option<String>,
}
