//! The ways to meet someone again or for the first time: invites, links, people who ring and people
//! of earlier calls.

use std::net::{IpAddr, SocketAddr};

use tandem_call::{CallCode, Profile, SharedGuesses};
use tandem_signaling::ServerUrl;
use tandem_signaling::message::{ClaimToken, FormerClaim, KnockId, MAX_LISTEN_ROOMS, UserId};
use tandem_trust::Party;

use super::target::Target;
use super::trust::GuestCodes;
use super::{App, Effect, LineUse, Now, RoomClaim, partner};
use crate::desktop::command::{CommandError, CommandErrorCode};
use crate::desktop::recents::Recent;
use crate::desktop::state::{
    CallerKind, HostStatus, IncomingCall, Invitation, Mismatch, OpenedInvite, Partner,
    ProblemPlace, RecentCall, Screen, ServerStatus,
};
use crate::error_code::AppErrorCode;
use crate::invite::{Invite, InviteLink, NearbyAddress};
use crate::values::{self, RoomText};

type CommandResult = Result<(), CommandError>;

/// What the app knows about meeting people beyond what the page shows.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    /// The server that was asked for the invite.
    server: Option<ServerUrl>,
    /// The room of the user's invite.
    claimed: Option<Claim>,
    /// The room of the user's invite until the server forgot the user, or the connection ended.
    lost: Option<Claim>,
    /// An invite that the user may have given to others no longer works.
    was_replaced: bool,
    /// Who rings, the first first: at most one at the signaling server, and one nearby.
    pub(super) ringing: Vec<Ringing>,
    /// The codes of other people's invites that the user has joined with.
    pub(super) guest_codes: GuestCodes,
    /// The invite or code that was opened as a link.
    opened: Option<RoomText>,
    /// People of earlier calls, in the order in which the page shows them.
    recents: Vec<Recent>,
}

/// A person who rings.
#[derive(Debug, Clone)]
pub(super) struct Ringing {
    pub(super) knock: KnockId,
    /// In which room.
    pub(super) room: String,
    /// How the person is verified, if they have the invite.
    pub(super) code: Option<CallCode>,
    /// Where from, if it is a person nearby.
    pub(super) address: Option<IpAddr>,
    /// As the page shows it.
    pub(super) call: IncomingCall,
}

impl Ringing {
    pub(super) fn is_nearby(&self) -> bool {
        self.call.kind == CallerKind::Nearby
    }

    /// Whether the caller is at one of these addresses.
    pub(super) fn is_from(&self, addresses: &[SocketAddr]) -> bool {
        let from = |address: IpAddr| addresses.iter().any(|known| known.ip() == address);
        self.address.is_some_and(from)
    }

    pub(super) fn into_target(self) -> Target {
        Target::Answer {
            knock: self.knock,
            name: self.call.name,
            room: self.room,
            kind: self.call.kind,
            code: self.code,
        }
    }
}

/// A room that belongs to the user.
#[derive(Debug, Clone)]
struct Claim {
    invite: Invite,
    /// The guesses at its code, in all calls with it.
    guesses: SharedGuesses,
    /// With what to ask for the room again.
    former: Option<FormerClaim>,
    /// As whom the server knew this app.
    owner: Option<UserId>,
}

impl Meeting {
    pub(super) fn new(recents: Vec<Recent>) -> Self {
        Self {
            recents,
            ..Self::default()
        }
    }

    /// Whether this knock rings.
    pub(super) fn rings(&self, knock: &KnockId) -> bool {
        self.ringing.iter().any(|ringing| ringing.knock == *knock)
    }
}

impl App {
    /// What the app uses the connection for, given the screen.
    pub(super) fn line_use(&self) -> LineUse {
        if !self.is_between_calls() {
            return LineUse::default();
        }

        let claimed = self.claimed_room();
        let server = self.own_server().map(|server| server.url);
        let recents = self
            .meeting
            .recents
            .iter()
            .filter(|recent| Some(&recent.server) == server.as_ref())
            .map(|recent| recent.room.clone());

        LineUse {
            claim: match &self.state.invitation {
                None => RoomClaim::None,
                Some(Invitation::Asking) => {
                    let lost = self.meeting.lost.as_ref();
                    RoomClaim::Ask(lost.and_then(|claim| claim.former.clone()))
                }
                Some(Invitation::Ready { .. }) => RoomClaim::Hold,
            },
            rooms: claimed
                .into_iter()
                .chain(recents)
                .take(MAX_LISTEN_ROOMS)
                .collect(),
        }
    }

    pub(super) fn invite(&mut self) -> CommandResult {
        if !self.is_between_calls() {
            return Err(CommandErrorCode::NotNow.into());
        }

        let server = self.own_server().ok_or(CommandErrorCode::NoServer)?;

        self.solved(ProblemPlace::Invite);
        self.state.screen = Screen::Lobby;
        if self.state.invitation.is_none() {
            self.state.invitation = Some(Invitation::Asking);
            self.meeting.server = Some(server.url);
        }

        Ok(())
    }

    /// Forgets the user's invite.
    pub(super) fn withdraw_invite(&mut self) {
        self.state.invitation = None;
        self.meeting.server = None;
        self.meeting.claimed = None;
        self.meeting.lost = None;
        self.meeting.was_replaced = false;
        self.solved(ProblemPlace::Invite);
    }

    /// Withdraws an invite of another server than this one, which must not get its token. The user may
    /// have chosen this one while a call had a connection of its own.
    pub(super) fn keep_invite_of(&mut self, server: Option<&ServerUrl>) {
        if self.state.invitation.is_some() && self.meeting.server.as_ref() != server {
            self.withdraw_invite();
        }
    }

    /// The connection ends although the user still wants the invite: a later one asks for the same
    /// room.
    pub(super) fn claim_again_later(&mut self) {
        if let Some(claim) = self.meeting.claimed.take() {
            self.meeting.lost = Some(claim);
        }

        if self.state.invitation.is_some() {
            self.state.invitation = Some(Invitation::Asking);
        }
    }

    /// The user's invite, also while its server is away.
    fn given_invite(&self) -> Option<&Claim> {
        let meeting = &self.meeting;
        meeting.claimed.as_ref().or(meeting.lost.as_ref())
    }

    /// The room in which a guest of the user's invite rings on the same network.
    pub(super) fn invite_room_nearby(&self) -> Option<String> {
        Some(self.given_invite()?.invite.room_nearby())
    }

    /// How a guest of the user's invite is verified.
    pub(super) fn invite_code(&self) -> Option<CallCode> {
        let claim = self.given_invite()?;
        Some(CallCode {
            code: claim.invite.code(),
            party: Party::Inviter,
            guesses: claim.guesses.clone(),
        })
    }

    /// Gives up an invite whose code was guessed at too often, and says so if the last screen of the
    /// call does not.
    pub(super) fn withdraw_spent_invite(&mut self) {
        let is_spent = |claim: &Option<Claim>| {
            let guesses = claim.as_ref().map(|claim| &claim.guesses);
            guesses.is_some_and(SharedGuesses::is_void)
        };
        let meeting = &self.meeting;

        // In a call, the guess may still turn out to be right.
        if self.call.is_none() && (is_spent(&meeting.claimed) || is_spent(&meeting.lost)) {
            self.withdraw_invite();
            let is_told = matches!(
                self.state.screen,
                Screen::Ended {
                    mismatch: Some(Mismatch::SpentInvite),
                    ..
                }
            );
            if !is_told {
                self.problem(ProblemPlace::Invite, AppErrorCode::InviteSpent, None);
            }
        }
    }

    /// The room of the invite.
    fn claimed_room(&self) -> Option<String> {
        let claim = self.meeting.claimed.as_ref()?;
        Some(claim.invite.number.to_string())
    }

    /// The server knows this app as `user`. It has to be asked for the rooms of a user that it has
    /// forgotten.
    pub(super) fn on_registered(&mut self, user: &UserId) {
        let is_lost = |claim: &mut Claim| claim.owner.as_ref() != Some(user);
        if let Some(claim) = self.meeting.claimed.take_if(is_lost) {
            self.meeting.lost = Some(claim);
            self.state.invitation = Some(Invitation::Asking);
        }
    }

    /// The user has this room now. If it is the one from before, the invite is the same.
    pub(super) fn on_claimed(
        &mut self,
        room: &str,
        former: Option<FormerClaim>,
        guest: Option<&ClaimToken>,
        random: u32,
    ) {
        if self.state.invitation != Some(Invitation::Asking) {
            return;
        }

        let Ok(number) = room.parse() else {
            self.on_claim_refused(false);
            return;
        };

        let Some(server) = self.invite_server() else {
            // This computer is the server, and is on no network.
            self.on_claim_refused(false);
            return;
        };

        let (invite, guesses) = match self.meeting.lost.take() {
            Some(before) if before.invite.number == number => (before.invite, before.guesses),
            before => {
                self.meeting.was_replaced |= before.is_some();
                (Invite::new(number, random), SharedGuesses::default())
            }
        };
        self.meeting.claimed = Some(Claim {
            invite,
            guesses,
            former,
            owner: self.line_user(),
        });
        self.state.invitation = Some(Invitation::Ready {
            code: invite.to_string(),
            app_link: self.app_link(&server, invite),
            web_link: InviteLink::web(server.clone(), invite).map(|link| match guest {
                Some(token) => InviteLink::for_guest(&link, token),
                None => link,
            }),
            server: server.authority().to_owned(),
            replaced: self.meeting.was_replaced,
        });
    }

    /// The link that opens Tandem. While people nearby can call this user, it says where.
    fn app_link(&self, server: &ServerUrl, invite: Invite) -> Option<String> {
        let link = InviteLink::new(server.clone(), invite)?;
        let at = self.nearby_address().map(NearbyAddress::socket_addr);
        Some(InviteLink { at, ..link }.to_string())
    }

    /// Shows the link of the invite as it is now.
    pub(super) fn show_app_link(&mut self) {
        let Some(invite) = self.meeting.claimed.as_ref().map(|claim| claim.invite) else {
            return;
        };

        let link = self
            .invite_server()
            .and_then(|server| self.app_link(&server, invite));
        if let Some(Invitation::Ready { app_link, .. }) = &mut self.state.invitation {
            *app_link = link;
        }
    }

    /// The server as other people reach it.
    fn invite_server(&self) -> Option<ServerUrl> {
        if self.state.host.status == HostStatus::On {
            return self.state.host.addresses.first().cloned();
        }

        self.own_server().map(|server| server.url)
    }

    pub(super) fn on_claim_refused(&mut self, never: bool) {
        if self.state.invitation.is_none() {
            return;
        }

        self.withdraw_invite();
        let code = if never {
            AppErrorCode::InviteNotSupported
        } else {
            AppErrorCode::InviteRefused
        };
        self.problem(ProblemPlace::Invite, code, None);
    }

    /// The server cannot ring: waits in the room of the invite, where the first to come is matched.
    /// After that the invite is used up, so that the app never starts to wait by itself again.
    pub(super) fn wait_in_own_room(&mut self, now: Now) {
        let invite = self.meeting.claimed.as_ref().map(|claim| claim.invite);
        if let Some(invite) = invite {
            let code = self.invite_code();
            self.withdraw_invite();
            let own_room = Target::OwnRoom { invite, code };
            // There is a server, because it gave the invite.
            let _ = self.start_call(now, own_room);
        }
    }

    pub(super) fn on_knock(&mut self, knock: KnockId, room: &str, profile: &Profile) {
        let is_connected = self.state.server.status == ServerStatus::Connected;
        let is_known = self.meeting.rings(&knock);
        // A server could let someone ring in a room that the user has given to nobody.
        let is_wanted = self.listens_in(room);
        if !is_connected || !self.is_between_calls() || is_known || !is_wanted {
            return;
        }

        let is_guest = self.claimed_room().as_deref() == Some(room);
        let code = is_guest.then(|| self.invite_code()).flatten();
        let kind = match &code {
            Some(_) => CallerKind::Invited,
            None => CallerKind::Known,
        };

        // The server shows one caller at a time: another is there because that one is gone.
        self.end_knock();
        let call = self.incoming(partner::sanitized(profile), kind, code.is_some());
        self.meeting.ringing.push(Ringing {
            knock,
            room: room.to_owned(),
            code,
            address: None,
            call,
        });
    }

    /// A caller as the page shows it.
    pub(super) fn incoming(
        &mut self,
        caller: Partner,
        kind: CallerKind,
        by_invite: bool,
    ) -> IncomingCall {
        IncomingCall {
            by_invite,
            id: self.next_id(),
            name: caller.name,
            picture: caller.picture,
            kind,
        }
    }

    /// Shows who rings, if the user can answer now.
    pub(super) fn show_incoming(&mut self) {
        let is_between = self.is_between_calls();
        // Two people who ring each other can also answer each other.
        let rings_nearby = self.is_ringing_nearby();
        let can_answer = |ringing: &&Ringing| {
            is_between
                || (rings_nearby && ringing.is_nearby() && !self.is_about_to_be_answered(ringing))
        };
        let first = self.meeting.ringing.iter().find(can_answer);
        self.state.incoming = first.map(|ringing| ringing.call.clone());
    }

    pub(super) fn on_knock_ended(&mut self, knock: &KnockId) {
        self.meeting
            .ringing
            .retain(|ringing| ringing.knock != *knock);
    }

    /// No one rings any more at the signaling server.
    pub(super) fn end_knock(&mut self) {
        self.meeting.ringing.retain(Ringing::is_nearby);
    }

    /// The person who rings under this id, if the page shows that one.
    fn take_knock(&mut self, id: u32) -> Result<Ringing, CommandError> {
        let is_shown = self
            .state
            .incoming
            .as_ref()
            .is_some_and(|shown| shown.id == id);
        let index = self.meeting.ringing.iter().position(|it| it.call.id == id);
        let index = index.filter(|_| is_shown);

        match index {
            Some(index) => Ok(self.meeting.ringing.remove(index)),
            None => Err(CommandErrorCode::UnknownCall.into()),
        }
    }

    pub(super) fn accept(&mut self, now: Now, id: u32, video: bool) -> CommandResult {
        let ringing = self.take_knock(id)?;
        // The user rang someone nearby, and answers instead.
        self.end_call();
        self.start_call_with(now, ringing.into_target(), video)
    }

    pub(super) fn decline(&mut self, now: Now, id: u32) -> CommandResult {
        let ringing = self.take_knock(id)?;
        if ringing.is_nearby() {
            self.on_nearby_declined(now, ringing.address);
            self.effects.push_back(Effect::DeclineNearby(ringing.knock));
        } else {
            self.effects.push_back(Effect::Decline(ringing.knock));
        }

        Ok(())
    }

    /// A link or an invite from outside: the system's click on a link, or `tandem join`. Nothing
    /// happens until the user clicks.
    pub(super) fn on_opened(&mut self, text: &str) {
        match values::room_text(text.trim()) {
            Ok(room) => {
                self.solved(ProblemPlace::Room);
                self.open(room);
            }
            Err(why) => self.problem(ProblemPlace::Room, AppErrorCode::BadInvite, Some(why)),
        }
    }

    /// Offers to call there.
    pub(super) fn open(&mut self, room: RoomText) {
        self.meeting.opened = Some(room);
    }

    /// Shows where the opened invite leads, given the user's server now.
    pub(super) fn show_opened(&mut self) {
        let own = self.own_server().map(|server| server.url);
        self.state.opened = self.meeting.opened.as_ref().map(|room| {
            let code = match room {
                RoomText::Link(link) => link.invite.to_string(),
                other => other.to_string(),
            };
            let server = room.server().or_else(|| own.clone());

            OpenedInvite {
                code,
                other_server: server != own,
                exposed: server.as_ref().is_some_and(ServerUrl::is_exposed),
                server: server.map(|server| server.authority().to_owned()),
            }
        });
    }

    pub(super) fn join_opened(&mut self, now: Now) -> CommandResult {
        let room = self.meeting.opened.clone();
        let room = room.ok_or(CommandErrorCode::NotNow)?;
        self.search(now, Target::Room(room))?;
        self.dismiss_opened();
        Ok(())
    }

    pub(super) fn dismiss_opened(&mut self) {
        self.meeting.opened = None;
    }

    pub(super) fn call_recent(&mut self, now: Now, id: u32) -> CommandResult {
        let recent = self.recent_index(id)?;
        let recent = self.meeting.recents[recent].clone();
        self.search(now, Target::Person(Box::new(recent)))
    }

    pub(super) fn remove_recent(&mut self, id: u32) -> CommandResult {
        let index = self.recent_index(id)?;
        self.meeting.recents.remove(index);
        self.state.recents.remove(index);
        self.save_recents();
        Ok(())
    }

    pub(super) fn clear_recents(&mut self) {
        self.meeting.recents.clear();
        self.state.recents.clear();
        self.save_recents();
    }

    fn recent_index(&self, id: u32) -> Result<usize, CommandError> {
        self.state
            .recents
            .iter()
            .position(|recent| recent.id == id)
            .ok_or_else(|| CommandErrorCode::UnknownRecent.into())
    }

    /// Remembers the person of the running call. `replaces`: the room of the entry by which the call
    /// was made, which is no longer needed.
    pub(super) fn remember(&mut self, recent: Recent, replaces: Option<&str>) {
        let is_old = |known: &Recent| known.room == recent.room || Some(&*known.room) == replaces;
        while let Some(index) = self.meeting.recents.iter().position(is_old) {
            self.meeting.recents.remove(index);
            self.state.recents.remove(index);
        }

        let id = self.next_id();
        self.state.recents.insert(0, shown(id, &recent));
        self.meeting.recents.insert(0, recent);
        self.state.recents.truncate(MAX_LISTEN_ROOMS);
        self.meeting.recents.truncate(MAX_LISTEN_ROOMS);
        self.save_recents();
    }

    /// The person of the call that was remembered last.
    pub(super) fn newest_recent(&self) -> Option<Box<Recent>> {
        self.meeting.recents.first().cloned().map(Box::new)
    }

    /// Shows the people of the file at the start.
    pub(super) fn show_recents(&mut self) {
        let recents = self.meeting.recents.clone();
        self.state.recents = recents
            .iter()
            .map(|recent| shown(self.next_id(), recent))
            .collect();
    }

    #[cfg(test)]
    pub(super) fn meeting_rooms(&self) -> Vec<String> {
        let rooms = self.meeting.recents.iter();
        rooms.map(|recent| recent.room.clone()).collect()
    }

    fn save_recents(&mut self) {
        self.effects
            .retain(|effect| !matches!(effect, Effect::SaveRecents(_)));
        self.effects
            .push_back(Effect::SaveRecents(self.meeting.recents.clone()));
    }
}

fn shown(id: u32, recent: &Recent) -> RecentCall {
    RecentCall {
        id,
        name: recent.name.clone(),
        at_ms: recent.at_ms,
    }
}
