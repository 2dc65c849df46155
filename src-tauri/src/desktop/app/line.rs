//! The connection to the signaling server between calls: it shows whether the server can be reached,
//! holds the user's invite, and lets people ring.

use std::net::IpAddr;

use tandem_call::{BlockOutcome, Profile, ReportOutcome};
use tandem_signaling::ServerUrl;
use tandem_signaling::client::{ClientConfig, ClientErrorCode};
use tandem_signaling::message::{ClaimToken, FormerClaim, KnockId, UserId};

use super::target::Target;
use super::{App, Effect, Now};
use crate::desktop::state::{Screen, ServerState, ServerStatus};

/// Identifies one connection, so that late events of an earlier one are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineId(pub u32);

/// What the app uses the connection for at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineUse {
    /// The room of the user's invite.
    pub claim: RoomClaim,
    /// The rooms in which this user can be rung, at most
    /// [`MAX_LISTEN_ROOMS`](tandem_signaling::message::MAX_LISTEN_ROOMS).
    pub rooms: Vec<String>,
}

/// What the user needs of the room for an invite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RoomClaim {
    /// None: the server can give it to others.
    #[default]
    None,
    /// Ask for one; for this one, if the user had it on an earlier connection.
    Ask(Option<FormerClaim>),
    /// Keep the one that the server gave.
    Hold,
}

/// What happens on the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum LineEvent {
    /// The server has registered this app, or has it back.
    Connected {
        /// As whom.
        user: UserId,
    },
    /// The connection is lost, or an attempt failed.
    Lost {
        /// Why.
        cause: ClientErrorCode,
    },
    /// This room belongs to the user now.
    Claimed {
        /// The room.
        room: String,
        /// With what to ask for it again.
        former: Option<FormerClaim>,
        /// With what a guest comes in, on a server where others need a token.
        guest: Option<ClaimToken>,
        /// Random bits for the words of the invite.
        random: u32,
    },
    /// The server does not know invites, or refuses one now.
    ClaimRefused {
        /// It never gives any: it is too old.
        never: bool,
    },
    /// The connection that a call had is closed: it needs a new one.
    Closed,
    /// The server is too old to ring this app.
    CannotRing,
    /// Someone rings.
    Knock {
        /// For the answer.
        id: KnockId,
        /// The room in which the user is rung.
        room: String,
        /// What the person shows.
        profile: Box<Profile>,
        /// Where from, if the server tells: that of this app, for people nearby.
        address: Option<IpAddr>,
    },
    /// Someone no longer rings.
    KnockEnded {
        /// Who.
        id: KnockId,
    },
    /// What became of a report about the partner of the last call.
    Reported(ReportOutcome),
    /// What became of a block.
    Blocked(BlockOutcome),
}

/// The connection that the effects so far leave open.
#[derive(Debug)]
pub(super) struct Line {
    id: LineId,
    config: ClientConfig,
    /// What the app uses it for, as of the last effect; `None` if a call had it since.
    used_for: Option<LineUse>,
    /// As whom the server knows this app.
    user: Option<UserId>,
    /// The running call has it.
    in_call: bool,
}

impl App {
    /// The user's server, and how to connect to it: the one in this app while it runs, else that of
    /// the settings, if there is one.
    pub(super) fn own_server(&self) -> Option<ClientConfig> {
        let url = self
            .local_server_url
            .as_ref()
            .or(self.state.settings.server_url.as_ref())?;
        Some(self.server_config(url.clone()))
    }

    /// How to connect to `url`. A token goes to its own server only.
    pub(super) fn server_config(&self, url: ServerUrl) -> ClientConfig {
        ClientConfig {
            token: self.access.token_for(&url),
            roots: self.access.roots(),
            ..ClientConfig::new(url)
        }
    }

    /// Opens, closes and uses the connection as the screen needs it. A call that runs has it, or has
    /// its own.
    pub(super) fn sync_line(&mut self) {
        if self.call.is_some() {
            return;
        }

        let wanted = self.own_server().filter(|_| !self.closing);
        self.keep_invite_of(wanted.as_ref().map(|config| &config.url));
        if self.line.as_ref().map(|line| &line.config) != wanted.as_ref() {
            let present = self.line.as_ref().map(|line| &line.config.url);
            if present.is_some() && present == wanted.as_ref().map(|config| &config.url) {
                // The user's access to it has changed: the same server knows the number.
                self.reopen_later();
            } else if self.line.is_some() || wanted.is_none() {
                // After a call at another server there is none to close.
                self.close_line();
            }

            if let Some(config) = wanted {
                self.open_line(config);
            }
        }

        let needed = self.line_use();
        if let Some(line) = &mut self.line
            && line.used_for.as_ref() != Some(&needed)
        {
            line.used_for = Some(needed.clone());
            self.effects.push_back(Effect::UseLine(needed));
        }
    }

    fn open_line(&mut self, config: ClientConfig) {
        self.state.server = server_state(&config.url, ServerStatus::Connecting);
        let id = LineId(self.next_id());
        self.effects
            .push_back(Effect::OpenLine(id, Box::new(config.clone())));
        self.line = Some(Line {
            id,
            config,
            used_for: Some(LineUse::default()),
            user: None,
            in_call: false,
        });
    }

    /// Closes the connection. What depends on it ends with it.
    fn close_line(&mut self) {
        if let Some(line) = self.line.take() {
            // So that no guest waits in the user's room until the server frees it.
            let unused = LineUse::default();
            if line.used_for.as_ref() != Some(&unused) {
                self.effects.push_back(Effect::UseLine(unused));
            }

            self.effects.push_back(Effect::CloseLine);
        }

        self.state.server = ServerState::default();
        self.withdraw_invite();
        self.end_knock();
    }

    /// Closes the connection for now. An invite is asked for again on the next one.
    fn reopen_later(&mut self) {
        self.claim_again_later();
        self.end_knock();

        if self.line.take().is_some() {
            self.effects.push_back(Effect::CloseLine);
        }
    }

    /// Connects again at once, instead of after the next delay.
    pub(super) fn retry_line(&mut self) {
        if let Some(line) = &self.line {
            let config = line.config.clone();
            self.effects.push_back(Effect::CloseLine);
            self.end_knock();
            self.open_line(config);
        }
    }

    /// Lets a call that is about to start have the connection, if it goes to the same server and
    /// works; closes it otherwise. A call that answers a person nearby has the connection on which
    /// that person rings. Returns the connection that the call has.
    pub(super) fn lend_line(&mut self, server: &ClientConfig, target: &Target) -> Option<LineId> {
        let is_connected = self.state.server.status == ServerStatus::Connected;
        let is_for_nearby = target.answers_nearby();
        match &mut self.line {
            Some(line) if line.config == *server && is_connected && !is_for_nearby => {
                line.in_call = true;
                Some(line.id)
            }
            _ => {
                self.reopen_later();
                self.state.server = server_state(&server.url, ServerStatus::Connecting);
                if !target.is_known() {
                    // The call makes its own and leaves it here: without it, the server would not know
                    // who reports or blocks the stranger afterwards.
                    return Some(self.line_of_call(server.clone()));
                }

                is_for_nearby.then(|| self.lend_nearby_line()).flatten()
            }
        }
    }

    /// A connection that the call makes.
    fn line_of_call(&mut self, config: ClientConfig) -> LineId {
        let id = LineId(self.next_id());
        self.line = Some(Line {
            id,
            config,
            used_for: None,
            user: None,
            in_call: true,
        });
        id
    }

    /// The connection that the running call has and gives back.
    pub(super) fn lent_line(&self) -> Option<LineId> {
        let line = self.line.as_ref().filter(|line| line.in_call);
        line.map(|line| line.id)
    }

    /// The call that ended gives the connection back, in the state that it reported last. It is used
    /// for nothing then.
    pub(super) fn take_back_line(&mut self) {
        self.take_back_nearby_line();
        match &mut self.line {
            Some(line) if line.in_call => {
                line.in_call = false;
                line.used_for = None;
            }
            _ => self.state.server = ServerState::default(),
        }
    }

    /// Whether the connection is used for being rung in this room.
    pub(super) fn listens_in(&self, room: &str) -> bool {
        let line = self.line.as_ref();
        let used_for = line.and_then(|line| line.used_for.as_ref());
        used_for.is_some_and(|used| used.rooms.iter().any(|listened| listened == room))
    }

    /// The present connection.
    pub(super) fn line_id(&self) -> Option<LineId> {
        self.line.as_ref().map(|line| line.id)
    }

    /// As whom the server knows this app.
    pub(super) fn line_user(&self) -> Option<UserId> {
        self.line.as_ref()?.user.clone()
    }

    pub(super) fn on_line(&mut self, now: Now, id: LineId, event: LineEvent) {
        if self.call.is_some() || self.line.as_ref().is_none_or(|line| line.id != id) {
            return;
        }

        match event {
            LineEvent::Connected { user } => {
                self.state.server.status = ServerStatus::Connected;
                self.state.server.cause = None;
                self.on_registered(&user);
                if let Some(line) = &mut self.line {
                    line.user = Some(user);
                }
            }
            LineEvent::Lost { cause } => {
                self.state.server.status = ServerStatus::Unreachable;
                self.state.server.cause = Some(cause);
                self.end_knock();
                self.on_answers_lost();
            }
            LineEvent::Claimed {
                room,
                former,
                guest,
                random,
            } => self.on_claimed(&room, former, guest.as_ref(), random),
            LineEvent::ClaimRefused { never } => self.on_claim_refused(never),
            LineEvent::Closed => {
                self.on_answers_lost();
                self.retry_line();
            }
            LineEvent::CannotRing => self.wait_in_own_room(now),
            LineEvent::Knock {
                id, room, profile, ..
            } => self.on_knock(id, &room, &profile),
            LineEvent::KnockEnded { id } => self.on_knock_ended(&id),
            LineEvent::Reported(outcome) => self.on_reported(outcome),
            LineEvent::Blocked(outcome) => self.on_blocked(&outcome),
        }
    }

    /// Whether people can ring now: on the screens between calls.
    pub(super) fn is_between_calls(&self) -> bool {
        matches!(self.state.screen, Screen::Lobby | Screen::Ended { .. }) && !self.closing
    }
}

fn server_state(url: &ServerUrl, status: ServerStatus) -> ServerState {
    ServerState {
        status,
        name: Some(url.authority().to_owned()),
        cause: None,
        exposed: url.is_exposed(),
    }
}
