//! People on the same network: who is there, and how this user can be called by them.
//!
//! While the list is open, or always if the user wants that, this app runs a ring-only signaling
//! server and announces it. Its connection to that server brings the rings of others; to ring one of
//! them, a call connects to theirs.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tandem_call::Profile;
use tandem_nearby::{NearbyChange, Neighbour, NeighbourId, Reach};
use tandem_signaling::ServerUrl;
use tandem_signaling::client::ClientConfig;
use tandem_signaling::message::KnockId;

use super::meet::Ringing;
use super::target::Target;
use super::{App, Effect, LineEvent, LineId, Now, partner};
use crate::desktop::command::{CommandError, CommandErrorCode};
use crate::desktop::state::{
    CallerKind, NearbyPerson, NearbyReach, NearbyState, NearbyStatus, ProblemPlace, Screen,
};
use crate::error_code::AppErrorCode;
use crate::invite::NearbyAddress;
use crate::values::RoomText;

type CommandResult = Result<(), CommandError>;

/// For how long a caller who was declined does not ring again.
const DECLINED_FOR: Duration = Duration::from_secs(60);
/// The most callers that are remembered as declined.
const MAX_DECLINED: usize = 64;

/// What happens to the people nearby.
#[derive(Debug, Clone, PartialEq)]
pub enum NearbyEvent {
    /// Others on the network can call this user.
    Opened {
        /// This user's id in the announcement.
        id: NeighbourId,
        /// This user's own server, as this app connects to it.
        server: Box<ClientConfig>,
        /// Its addresses for others, the likeliest first.
        addresses: Vec<SocketAddr>,
    },
    /// Others are there, or not any more.
    Changed {
        /// Who, and whether the network carries what they announce.
        change: NearbyChange,
        /// This user's addresses for them.
        addresses: Vec<SocketAddr>,
    },
    /// Others can call this user, but nobody finds anybody; the reason.
    CannotFind(String),
    /// Others cannot call this user; the reason.
    Failed(String),
}

/// Who nearby can ring the user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NearbyUse {
    /// Nobody.
    #[default]
    Nobody,
    /// Everyone on the network.
    People {
        /// The room in which a guest of the user's invite rings who cannot reach the server of the
        /// invite. That call is by the code, too.
        invite: Option<String>,
    },
}

/// What the app knows of people nearby beyond what the page shows.
#[derive(Debug, Default)]
pub(super) struct Nearby {
    open: Option<Open>,
    /// It could not be opened, and the user has not tried again.
    has_failed: bool,
    declined: Vec<(IpAddr, Instant)>,
}

/// What the effects so far leave open.
#[derive(Debug)]
struct Open {
    /// The connection to this user's own server.
    line: LineId,
    /// The announced name.
    name: Option<String>,
    /// The announced id, and how this app reaches its own server; `None` until it runs.
    own: Option<(NeighbourId, Box<ClientConfig>)>,
    /// Who can ring.
    used_for: NearbyUse,
    /// The running call has the connection.
    in_call: bool,
    people: Vec<Neighbour>,
    /// Where others most likely reach this user.
    address: Option<NearbyAddress>,
}

impl App {
    pub(super) fn open_nearby(&mut self) -> CommandResult {
        if !self.is_between_calls() {
            return Err(CommandErrorCode::NotNow.into());
        }

        self.forget_failure();
        self.state.screen = Screen::Lobby;
        self.state.nearby.open = true;
        Ok(())
    }

    pub(super) fn close_nearby(&mut self) {
        self.state.nearby.open = false;
        self.forget_failure();
    }

    /// The user has changed something: it is worth another attempt.
    fn forget_failure(&mut self) {
        self.solved(ProblemPlace::Nearby);
        if std::mem::take(&mut self.nearby.has_failed) {
            self.state.nearby.status = NearbyStatus::Off;
        }
    }

    pub(super) fn set_always_nearby(&mut self, on: bool) -> CommandResult {
        self.forget_failure();
        self.change_settings(|settings| settings.always_nearby = on)
    }

    /// Rings a person nearby. If that person rings here now, this answers.
    pub(super) fn call_nearby(&mut self, now: Now, id: &str) -> CommandResult {
        let wanted: Option<NeighbourId> = id.parse().ok();
        let neighbour = wanted
            .and_then(|id| self.neighbour(id))
            .cloned()
            .ok_or(CommandErrorCode::UnknownNearby)?;

        let is_same = |ringing: &Ringing| ringing.is_from(&neighbour.addresses);
        if self.is_between_calls()
            && let Some(index) = self.meeting.ringing.iter().position(is_same)
        {
            let ringing = self.meeting.ringing.remove(index);
            return self.start_call(now, ringing.into_target());
        }

        self.search(now, Target::Nearby(Box::new(neighbour)))
    }

    /// Rings the person at an address that the user typed.
    pub(super) fn call_address(&mut self, now: Now, text: &str) -> CommandResult {
        let address: Option<NearbyAddress> = text.parse().ok();
        let address = address
            .filter(|address| address.is_nearby())
            .ok_or(CommandErrorCode::BadAddress)?;
        self.search(now, Target::Room(RoomText::Nearby(address)))
    }

    fn neighbour(&self, id: NeighbourId) -> Option<&Neighbour> {
        let open = self.nearby.open.as_ref()?;
        open.people.iter().find(|person| person.id == id)
    }

    /// How to connect to the server of a person nearby, who may have another address by now.
    pub(super) fn nearby_server(&self, neighbour: &Neighbour) -> ClientConfig {
        let present = self.neighbour(neighbour.id).unwrap_or(neighbour);
        server_at(&present.addresses)
    }

    /// How this app reaches its own server for people nearby.
    pub(super) fn own_nearby_server(&self) -> Option<ClientConfig> {
        let (_, server) = self.nearby.open.as_ref()?.own.as_ref()?;
        Some((**server).clone())
    }

    /// Starts, stops and changes what lets people nearby call this user.
    pub(super) fn sync_nearby(&mut self) {
        let is_wanted = self.state.nearby.open || self.state.settings.always_nearby;
        let is_wanted = is_wanted && !self.closing && !self.nearby.has_failed;
        let name = self.profile().user_name;

        match &self.nearby.open {
            None if is_wanted => {
                let line = LineId(self.next_id());
                self.effects
                    .push_back(Effect::OpenNearby(line, name.clone()));
                self.state.nearby.status = NearbyStatus::Starting;
                self.nearby.open = Some(Open {
                    line,
                    name: name.clone(),
                    own: None,
                    used_for: NearbyUse::default(),
                    in_call: false,
                    people: Vec::new(),
                    address: None,
                });
            }
            Some(open) if !is_wanted && !open.in_call => self.stop_nearby(),
            _ => {}
        }

        let needed = self.nearby_use();
        let Some(open) = &mut self.nearby.open else {
            return;
        };

        if open.name != name {
            open.name.clone_from(&name);
            self.effects.push_back(Effect::RenameNearby(name));
        }

        if open.own.is_some() && !open.in_call && open.used_for != needed {
            open.used_for = needed.clone();
            self.effects.push_back(Effect::ListenNearby(needed));
        }
    }

    /// Stops what lets people nearby call this user.
    fn stop_nearby(&mut self) {
        if self.nearby.open.take().is_some() {
            self.effects.push_back(Effect::CloseNearby);
        }

        self.meeting.ringing.retain(|ringing| !ringing.is_nearby());
        self.state.nearby = NearbyState {
            open: self.state.nearby.open,
            ..NearbyState::default()
        };
    }

    /// Whether the user rings a person nearby, who has not answered yet. That person may ring the user
    /// at the same moment.
    pub(super) fn is_ringing_nearby(&self) -> bool {
        let call = self.call.as_ref();
        let rings = call.is_some_and(|call| call.target.rings_nearby());
        rings && matches!(self.state.screen, Screen::Waiting { .. })
    }

    /// Who nearby can ring, given the screen.
    fn nearby_use(&self) -> NearbyUse {
        if self.can_be_rung_nearby() {
            NearbyUse::People {
                invite: self.invite_room_nearby(),
            }
        } else {
            NearbyUse::Nobody
        }
    }

    fn can_be_rung_nearby(&self) -> bool {
        self.is_between_calls() || self.is_ringing_nearby()
    }

    /// Lets a call that answers a person nearby have the connection on which that person rings.
    pub(super) fn lend_nearby_line(&mut self) -> Option<LineId> {
        let open = self.nearby.open.as_mut()?;
        open.in_call = true;
        self.meeting.ringing.retain(|ringing| !ringing.is_nearby());
        Some(open.line)
    }

    /// The call that ended gives the connection back. The server has ended the listening then.
    pub(super) fn take_back_nearby_line(&mut self) {
        if let Some(open) = self.nearby.open.as_mut().filter(|open| open.in_call) {
            open.in_call = false;
            open.used_for = NearbyUse::Nobody;
        }
    }

    #[cfg(test)]
    pub(super) fn nearby_line(&self) -> Option<LineId> {
        self.nearby.open.as_ref().map(|open| open.line)
    }

    pub(super) fn is_nearby_line(&self, id: LineId) -> bool {
        let open = self.nearby.open.as_ref();
        open.is_some_and(|open| open.line == id)
    }

    pub(super) fn on_nearby(&mut self, now: Now, id: LineId, event: NearbyEvent) {
        let Some(open) = self.nearby.open.as_mut().filter(|open| open.line == id) else {
            return;
        };

        match event {
            NearbyEvent::Opened {
                id,
                server,
                addresses,
            } => {
                open.own = Some((id, server));
                self.state.nearby.status = NearbyStatus::On;
                self.show_own_addresses(&addresses);
            }
            NearbyEvent::Changed { change, addresses } => {
                self.state.nearby.people = change.people.iter().map(shown).collect();
                self.state.nearby.reach = match change.reach {
                    Reach::Unknown => NearbyReach::Unknown,
                    Reach::Heard => NearbyReach::Heard,
                    Reach::Silent => NearbyReach::Silent,
                };
                open.people = change.people;
                self.show_own_addresses(&addresses);
                self.give_way_to_known(now);
            }
            NearbyEvent::CannotFind(why) => {
                tracing::warn!(why, "people nearby cannot be found");
                self.state.nearby.reach = NearbyReach::Silent;
            }
            // It runs, if a call came by it.
            NearbyEvent::Failed(_) if open.in_call => {}
            NearbyEvent::Failed(why) => {
                self.nearby.has_failed = true;
                self.stop_nearby();
                self.state.nearby.status = NearbyStatus::Failed;
                self.problem(
                    ProblemPlace::Nearby,
                    AppErrorCode::NearbyNotStarted,
                    Some(why),
                );
            }
        }
    }

    fn show_own_addresses(&mut self, addresses: &[SocketAddr]) {
        let typed = addresses.iter().copied().filter_map(NearbyAddress::new);
        let typed: Vec<NearbyAddress> = typed.collect();

        self.state.nearby.link = typed.first().map(|address| address.link());
        self.state.nearby.addresses = typed.iter().map(ToString::to_string).collect();
        if let Some(open) = &mut self.nearby.open {
            open.address = typed.first().copied();
        }
    }

    /// Where others on the network most likely reach this user, if they can.
    pub(super) fn nearby_address(&self) -> Option<NearbyAddress> {
        self.nearby.open.as_ref()?.address
    }

    /// An event of the connection to this user's own server.
    pub(super) fn on_nearby_line(&mut self, now: Now, event: LineEvent) {
        if self.nearby.open.as_ref().is_none_or(|open| open.in_call) {
            return;
        }

        match event {
            LineEvent::Knock {
                id,
                room,
                profile,
                address,
            } => self.on_nearby_knock(now, id, &room, &profile, address),
            LineEvent::KnockEnded { id } => self.on_knock_ended(&id),
            LineEvent::Connected { .. } => self.state.nearby.status = NearbyStatus::On,
            LineEvent::Lost { .. } => {
                self.meeting.ringing.retain(|ringing| !ringing.is_nearby());
                self.state.nearby.status = NearbyStatus::Starting;
            }
            // A call did not give it back.
            LineEvent::Closed => self.stop_nearby(),
            // People nearby are no strangers.
            LineEvent::Reported(_)
            | LineEvent::Blocked(_)
            | LineEvent::Claimed { .. }
            | LineEvent::ClaimRefused { .. }
            | LineEvent::CannotRing => {}
        }
    }

    fn on_nearby_knock(
        &mut self,
        now: Now,
        knock: KnockId,
        room: &str,
        profile: &Profile,
        address: Option<IpAddr>,
    ) {
        let is_known = self.meeting.rings(&knock);
        // Nobody is answered before it is known how.
        let can_answer = self.own_nearby_server().is_some() && self.can_be_rung_nearby();
        if is_known || !can_answer {
            return;
        }

        self.nearby
            .declined
            .retain(|(_, since)| now.at.saturating_duration_since(*since) < DECLINED_FOR);
        let caller = address.map(computer_of);
        let is_declined = |(declined, _): &(IpAddr, Instant)| Some(*declined) == caller;
        if self.nearby.declined.iter().any(is_declined) {
            self.effects.push_back(Effect::DeclineNearby(knock));
            return;
        }

        let is_guest = self.invite_room_nearby().as_deref() == Some(room);
        let code = is_guest.then(|| self.invite_code()).flatten();
        let caller = partner::sanitized(profile);
        let ringing = Ringing {
            knock,
            room: room.to_owned(),
            address,
            call: self.incoming(caller, CallerKind::Nearby, code.is_some()),
            code,
        };

        self.meeting.ringing.push(ringing);
        self.give_way_to_known(now);
    }

    /// If two people ring each other at once, and the ring of the other one counts, gives this user's
    /// own ring up and answers the other. Also when an announcement shows only now who it is that
    /// rings: a ring over IPv6 can arrive before that address has been announced.
    fn give_way_to_known(&mut self, now: Now) {
        if !self.is_ringing_nearby() {
            return;
        }

        let counts = |ringing: &Ringing| self.gives_way_to(ringing);
        let Some(index) = self.meeting.ringing.iter().position(counts) else {
            return;
        };

        let target = self.meeting.ringing.remove(index).into_target();
        self.end_call();
        self.state.screen = Screen::Lobby;
        // It cannot fail: this app's own server runs.
        let _ = self.start_call(now, target);
    }

    /// Whether two people ring each other at once, and the ring of the other one counts: that of the
    /// smaller id. The other app gets this user's ring in the same moment and goes on ringing, so
    /// exactly one of the two rings is answered.
    fn gives_way_to(&self, ringing: &Ringing) -> bool {
        self.id_of_rung(ringing)
            .is_some_and(|(own, other)| own > other)
    }

    /// Whether two people ring each other at once, and the ring of this user counts: the other app is
    /// about to answer it.
    pub(super) fn is_about_to_be_answered(&self, ringing: &Ringing) -> bool {
        self.id_of_rung(ringing)
            .is_some_and(|(own, other)| own < other)
    }

    /// If the two ring each other: the id of this user and the id of the other person, who is known by
    /// the addresses of the moment of the click and those that are announced now. A device that can announce
    /// an address of someone else after the click can do so before it, so the later ones are worth as
    /// much.
    fn id_of_rung(&self, ringing: &Ringing) -> Option<(NeighbourId, NeighbourId)> {
        let (own, _) = self.nearby.open.as_ref()?.own.as_ref()?;
        let Target::Nearby(rung) = &self.call.as_ref()?.target else {
            return None;
        };

        let present = self.neighbour(rung.id);
        let is_rung = ringing.is_nearby()
            && (ringing.is_from(&rung.addresses)
                || present.is_some_and(|person| ringing.is_from(&person.addresses)));
        is_rung.then_some((*own, rung.id))
    }

    /// The user declined this caller, who does not ring again for a while.
    pub(super) fn on_nearby_declined(&mut self, now: Now, caller: Option<IpAddr>) {
        let declined = &mut self.nearby.declined;
        if let Some(caller) = caller {
            if declined.len() >= MAX_DECLINED {
                declined.remove(0);
            }

            declined.push((computer_of(caller), now.at));
        }
    }
}

/// The address, or for a routed IPv6 address its network: there, a computer has as many as it wants.
fn computer_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if !v6.is_unicast_link_local() => {
            Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()
        }
        other => other,
    }
}

/// How to connect to the server of a person nearby at these addresses, at least one.
fn server_at(addresses: &[SocketAddr]) -> ClientConfig {
    ClientConfig {
        addresses: addresses.to_vec(),
        ..ClientConfig::new(ServerUrl::listening_on(addresses[0]))
    }
}

fn shown(person: &Neighbour) -> NearbyPerson {
    NearbyPerson {
        id: person.id.to_string(),
        name: partner::sanitized_name(person.name.as_deref()),
    }
}
