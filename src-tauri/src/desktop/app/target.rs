//! The person that a search looks for.

use tandem_call::CallCode;
use tandem_nearby::Neighbour;
use tandem_signaling::ServerUrl;
use tandem_signaling::message::KnockId;

use super::{CallGoal, partner};
use crate::desktop::recents::Recent;
use crate::desktop::state::{CallerKind, Search};
use crate::invite::{Invite, InviteLink, NearbyAddress};
use crate::values::RoomText;

/// The person or people that a search is for.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Anyone who searches too.
    Anyone,
    /// The person who enters the same code, or sent the invite.
    Room(RoomText),
    /// The person who sent this link, at an address on the network of both: the server of the link
    /// cannot be reached.
    InviterNearby {
        link: Box<InviteLink>,
        address: NearbyAddress,
    },
    /// The guest of the user's invite, in its room: the server is too old to ring.
    OwnRoom {
        /// The invite.
        invite: Invite,
        /// How the guest is verified.
        code: Option<CallCode>,
    },
    /// A person of an earlier call.
    Person(Box<Recent>),
    /// A person nearby.
    Nearby(Box<Neighbour>),
    /// The person who rings.
    Answer {
        knock: KnockId,
        name: Option<String>,
        /// In which room.
        room: String,
        kind: CallerKind,
        /// How the person is verified, if they have the invite.
        code: Option<CallCode>,
    },
}

impl Target {
    pub(super) fn goal(&self) -> CallGoal {
        match self {
            Self::Anyone => CallGoal::Anyone,
            Self::Room(room) => CallGoal::Room {
                room: room.room(),
                must_exist: room.must_exist(),
            },
            Self::InviterNearby { link, .. } => CallGoal::Room {
                room: link.invite.room_nearby(),
                must_exist: true,
            },
            Self::OwnRoom { invite, .. } => CallGoal::Room {
                room: invite.number.to_string(),
                must_exist: true,
            },
            Self::Person(recent) => CallGoal::Room {
                room: recent.room.clone(),
                must_exist: true,
            },
            Self::Nearby(neighbour) => CallGoal::Room {
                room: neighbour.room.clone(),
                must_exist: true,
            },
            Self::Answer { knock, .. } => CallGoal::Answer(knock.clone()),
        }
    }

    /// Whether it rings a person nearby, at the server in that person's app.
    pub(super) fn rings_nearby(&self) -> bool {
        matches!(
            self,
            Self::Nearby(_) | Self::Room(RoomText::Nearby(_)) | Self::InviterNearby { .. }
        )
    }

    /// As the page shows it. `own_server` is the user's.
    pub(super) fn shown(&self, own_server: Option<&ServerUrl>) -> Search {
        match self {
            Self::Anyone => Search::Anyone,
            Self::Room(RoomText::Link(link)) => Search::Room {
                code: link.invite.to_string(),
                server: Some(&link.server)
                    .filter(|server| Some(*server) != own_server)
                    .map(|server| server.authority().to_owned()),
                invited: true,
            },
            Self::Room(RoomText::Nearby(_)) | Self::InviterNearby { .. } => {
                Search::Nearby { name: None }
            }
            Self::Room(room) => Search::Room {
                code: room.to_string(),
                server: None,
                invited: matches!(room, RoomText::Invite(_)),
            },
            Self::OwnRoom { invite, .. } => Search::Room {
                code: invite.to_string(),
                server: None,
                invited: true,
            },
            Self::Person(recent) => Search::Person {
                name: recent.name.clone(),
            },
            Self::Nearby(neighbour) => Search::Nearby {
                name: partner::sanitized_name(neighbour.name.as_deref()),
            },
            Self::Answer { name, .. } => Search::Answer { name: name.clone() },
        }
    }

    /// Whether the two know each other.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Anyone)
    }

    /// The person who sent this link, where it says that they can be reached on the network of both.
    pub(super) fn inviter_nearby(&self) -> Option<Self> {
        let Self::Room(RoomText::Link(link)) = self else {
            return None;
        };

        let address = NearbyAddress::new(link.at?).filter(|address| address.is_nearby())?;
        Some(Self::InviterNearby {
            link: link.clone(),
            address,
        })
    }

    /// What to search for when the user tries again: the server may be back.
    pub(super) fn repeated(self) -> Self {
        match self {
            Self::InviterNearby { link, .. } => Self::Room(RoomText::Link(link)),
            other => other,
        }
    }

    /// Whether it answers a person nearby, on this app's own server.
    pub(super) fn answers_nearby(&self) -> bool {
        matches!(
            self,
            Self::Answer {
                kind: CallerKind::Nearby,
                ..
            }
        )
    }

    /// Whether the call goes to a person on the same network, without a server in between.
    pub(super) fn is_nearby(&self) -> bool {
        self.answers_nearby() || self.rings_nearby()
    }

    /// Whether the same search can be made again, after a call or one that was never connected.
    pub(super) fn can_repeat(&self, was_connected: bool) -> bool {
        match self {
            Self::Anyone
            | Self::Room(RoomText::Code(_) | RoomText::Nearby(_))
            | Self::Person(_)
            | Self::Nearby(_) => true,
            // An invite serves one call.
            Self::Room(_) | Self::InviterNearby { .. } | Self::OwnRoom { .. } => !was_connected,
            Self::Answer { .. } => false,
        }
    }
}
