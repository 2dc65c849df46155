//! Scenarios of a user in front of the app.

#![allow(clippy::disallowed_methods, reason = "tests start their clock now")]

mod access;
mod calls;
mod command_line;
mod devices;
mod invites;
mod links;
mod nearby;
mod profile;
mod random;
mod recents;
mod ringing;
mod ringing_at_once;
mod server;
mod strangers;
mod trust;
mod window;

use std::time::{Duration, Instant};

use tandem_call::{CallEventKind, EndCode, Profile};
use tandem_media::audio::AudioSource;
use tandem_media::video::VideoSpec;
use tandem_media::{DeviceError, MediaErrorCode};
use tandem_signaling::message::FormerClaim;

use super::*;
use crate::desktop::command::CommandErrorCode;
use crate::desktop::state::{CallerKind, Invitation, Search};

/// An app with its own clock.
struct World {
    app: App,
    now: Now,
}

impl World {
    fn new() -> Self {
        let launch = Launch {
            video: Some(VideoSpec::Test),
            audio: Some(AudioSource::Test),
            ..at_server()
        };

        Self::with(Settings::default(), Vec::new(), launch)
    }

    /// An app that finds these settings and people, and is started like this.
    /// The user has met strangers before, with the camera on.
    fn with(settings: Settings, recents: Vec<Recent>, launch: Launch) -> Self {
        let settings = Settings {
            rules_accepted: true,
            stranger_camera: true,
            ..settings
        };
        Self::first(settings, recents, launch)
    }

    /// The same for a user who may have met none.
    fn first(settings: Settings, recents: Vec<Recent>, launch: Launch) -> Self {
        Self {
            app: App::new(settings, recents, Access::default(), launch),
            now: Now {
                at: Instant::now(),
                unix_ms: 1_000,
            },
        }
    }

    /// Lets time pass.
    fn wait(&mut self, time: Duration) {
        self.now.at += time;
        self.now.unix_ms += time.as_millis() as u64;

        if self
            .app
            .poll_timeout()
            .is_some_and(|deadline| deadline <= self.now.at)
        {
            self.app.handle_timeout(self.now);
        }
    }

    fn command(&mut self, command: Command) -> Result<(), CommandErrorCode> {
        self.app
            .command(self.now, command)
            .map_err(|error| error.code)
    }

    fn input(&mut self, input: Input) {
        self.app.handle(self.now, input);
    }

    /// Passes in an event of the running call.
    fn call_event(&mut self, event: CallEventKind) {
        let id = self.app.call.as_ref().expect("a call runs").id;
        self.input(Input::Call(id, event));
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.app.poll_effect()).collect()
    }

    /// The plan of the call that the effects since the last time start.
    fn start_call_plan(&mut self) -> CallPlan {
        self.effects()
            .into_iter()
            .find_map(|effect| match effect {
                Effect::StartCall(_, plan) => Some(*plan),
                _ => None,
            })
            .expect("a call starts")
    }

    /// The preview that the effects since the last time start.
    fn started_preview(&mut self) -> Option<PreviewId> {
        self.effects().into_iter().find_map(|effect| match effect {
            Effect::StartPreview(id, ..) => Some(id),
            _ => None,
        })
    }

    fn screen(&self) -> &Screen {
        &self.app.state().screen
    }

    fn problems(&self) -> Vec<&str> {
        self.app
            .state()
            .problems
            .iter()
            .map(|problem| problem.code.as_str())
            .collect()
    }

    /// Goes from the lobby into a call with a stranger.
    fn connect(&mut self) {
        self.command(Command::FindPartner)
            .expect("a search is possible");
        self.find_partner();
    }

    /// Goes from the lobby into a call with someone the user knows.
    fn connect_known(&mut self) {
        let code = "garden-42".into();
        self.command(Command::CallWithCode { code })
            .expect("a search is possible");
        self.find_partner();
    }

    /// Goes from the search into a call.
    fn find_partner(&mut self) {
        self.call_event(CallEventKind::Registered);
        self.call_event(matched());
        self.call_event(CallEventKind::Connected);

        assert!(
            matches!(self.screen(), Screen::InCall(_)),
            "connected: {:?}",
            self.screen()
        );
    }

    /// An app whose server has registered it.
    fn connected_to_server() -> Self {
        let mut world = Self::new();
        world.line(LineEvent::Connected { user: "me".into() });
        world.effects();
        world
    }

    /// The server registers this client as a new user, which asks for its invite again and gets the
    /// same number.
    fn registered_again(&mut self) {
        self.line(LineEvent::Connected { user: "new".into() });
        self.line(LineEvent::Claimed {
            room: "7".into(),
            guest: None,
            former: Some(former("7")),
            random: 2,
        });
    }

    /// Passes in an event of the present connection to the server.
    fn line(&mut self, event: LineEvent) {
        let id = self.app.line_id().expect("there is a connection");
        self.input(Input::Line(id, event));
    }

    /// Asks for an invite and gets number 7. Returns the code.
    fn invite(&mut self) -> String {
        self.command(Command::Invite)
            .expect("an invite is possible");
        self.line(LineEvent::Claimed {
            room: "7".into(),
            guest: None,
            former: Some(former("7")),
            random: 1,
        });

        match &self.app.state().invitation {
            Some(Invitation::Ready { code, .. }) => code.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// A partner rings in `room`. Returns the id for commands.
    fn knock(&mut self, room: &str) -> u32 {
        self.line(LineEvent::Knock {
            id: "k1".into(),
            room: room.into(),
            profile: Box::new(Profile {
                user_name: Some("Bea\u{202E}".into()),
                user_picture: Some("https://example.org/who-looks.png".into()),
                ..Profile::default()
            }),
            address: None,
        });
        self.app.state().incoming.as_ref().expect("it rings").id
    }

    /// Holds a call with a person who is known, in which both agree to meet again in `room`, and
    /// ends it.
    fn call_known(&mut self, room: &str) {
        self.find_partner();
        self.call_event(CallEventKind::MeetAgain { room: room.into() });
        self.command(Command::HangUp).expect("the call can end");
    }

    fn line_use(&mut self) -> LineUse {
        let last = self.effects().into_iter().rev();
        let mut uses = last.filter_map(|effect| match effect {
            Effect::UseLine(used) => Some(used),
            _ => None,
        });
        uses.next()
            .expect("the connection is used for something else")
    }
}

/// A start with a server.
fn at_server() -> Launch {
    Launch {
        server_url: Some("ws://127.0.0.1:1".parse().unwrap()),
        ..Launch::default()
    }
}

fn matched() -> CallEventKind {
    let partner = Profile {
        user_name: Some("Bea".into()),
        ..Profile::default()
    };

    CallEventKind::Matched {
        session_id: "s".into(),
        initiator: true,
        partner_id: "p".into(),
        partner,
        interests: vec!["chess".into()],
    }
}

fn ended(code: EndCode) -> CallEventKind {
    CallEventKind::Ended {
        reason: code.into(),
    }
}

/// A search with the code "blue".
fn blue() -> Search {
    Search::Room {
        code: "blue".into(),
        server: None,
        invited: false,
    }
}

fn former(room: &str) -> FormerClaim {
    FormerClaim {
        room: room.into(),
        claim_token: "token".to_owned().into(),
    }
}

fn recent(room: &str, name: &str) -> Recent {
    Recent {
        room: room.into(),
        server: "ws://127.0.0.1:1".parse().unwrap(),
        name: Some(name.into()),
        at_ms: 5,
    }
}

fn in_use() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamInUse,
        "The camera is used by another app.",
    )
}
