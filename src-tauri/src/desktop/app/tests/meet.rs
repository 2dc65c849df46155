//! Scenarios of people who meet: invites, links, rings, and people of earlier calls.

use tandem_media::audio::AudioSink;
use tandem_signaling::client::ClientErrorCode;
use tandem_signaling::message::FormerClaim;

use super::*;
use crate::desktop::command::Secret;
use crate::desktop::state::{Invitation, OpenedInvite};

impl World {
    /// An app whose server has registered it.
    fn connected_to_server() -> Self {
        let mut world = Self::new();
        world.line(LineEvent::Connected { user: "me".into() });
        world.effects();
        world
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
            former: Some(former("7")),
            random: 1,
        });

        match &self.app.state().invitation {
            Some(Invitation::Ready { code, .. }) => code.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Somebody rings in `room`. Returns the id for commands.
    fn knock(&mut self, room: &str) -> u32 {
        self.line(LineEvent::Knock {
            id: "k1".into(),
            room: room.into(),
            profile: Box::new(Profile {
                user_name: Some("Bea\u{202E}".into()),
                user_picture: Some("https://example.org/who-looks.png".into()),
                ..Profile::default()
            }),
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

#[test]
fn the_lobby_shows_whether_the_server_can_be_reached() {
    let mut world = World::new();
    let server = |world: &World| world.app.state().server.clone();
    assert_eq!(server(&world).status, ServerStatus::Connecting);
    assert_eq!(server(&world).name.as_deref(), Some("127.0.0.1:1"));

    world.line(LineEvent::Lost {
        cause: ClientErrorCode::TlsExpired,
    });
    assert_eq!(server(&world).status, ServerStatus::Unreachable);
    assert_eq!(server(&world).cause, Some(ClientErrorCode::TlsExpired));

    world.effects();
    world.command(Command::RetryServer).unwrap();
    let effects = world.effects();
    assert!(
        matches!(effects[..], [Effect::CloseLine, Effect::OpenLine(..)]),
        "it connects at once: {effects:?}"
    );

    world.line(LineEvent::Connected { user: "me".into() });
    assert_eq!(server(&world).status, ServerStatus::Connected);
    assert_eq!(server(&world).cause, None);
}

#[test]
fn without_a_server_nothing_is_searched_and_nothing_is_connected() {
    let mut world = World::new();
    world.app = App::new(
        Settings::default(),
        Vec::new(),
        Access::default(),
        Launch::default(),
    );
    assert_eq!(world.app.state().server.status, ServerStatus::Idle);
    assert!(!world.app.state().settings.welcomed, "the first start");

    for command in [Command::FindPartner, Command::Invite] {
        assert_eq!(world.command(command), Err(CommandErrorCode::NoServer));
    }
    assert!(
        !world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::OpenLine(..) | Effect::StartCall(..)))
    );

    // The link of a friend needs no server of one's own.
    let link = "tandem://join/chat.example.org/7#garden-lantern";
    world.input(Input::Opened(link.into()));
    world.command(Command::JoinOpened).unwrap();
    let plan = world.start_call_plan();
    assert_eq!(plan.server.url, "chat.example.org".parse().unwrap());
    assert_eq!(
        world.app.state().settings.server_url,
        None,
        "for this call only"
    );
}

#[test]
fn an_invite_rings_and_its_guest_is_accepted() {
    let mut world = World::connected_to_server();
    let code = world.invite();
    assert_eq!(
        world.line_use(),
        LineUse {
            claim: RoomClaim::Hold,
            rooms: vec!["7".into()],
        },
        "anyone who has the number can ring"
    );

    let Some(Invitation::Ready {
        app_link, web_link, ..
    }) = &world.app.state().invitation
    else {
        panic!("the invite is ready")
    };
    let words = code.split_once('-').unwrap().1;
    assert_eq!(
        app_link.as_deref(),
        Some(format!("tandem://join/127.0.0.1:1/7#{words}").as_str())
    );
    assert!(
        web_link
            .as_deref()
            .is_some_and(|link| link.ends_with(words))
    );

    let id = world.knock("7");
    let incoming = world.app.state().incoming.clone().unwrap();
    assert_eq!(incoming.name.as_deref(), Some("Bea"), "as plain text");
    assert_eq!(incoming.picture, None, "a link would tell who looks at it");
    assert!(incoming.invited);
    let effects = world.effects();
    assert!(
        matches!(
            &effects[..],
            [Effect::Play(Some(ToneSpec {
                tone: Tone::Ring,
                ..
            }))]
        ),
        "it rings, and nothing else happens: {effects:?}"
    );

    world.command(Command::AcceptCall { id }).unwrap();
    let effects = world.effects();
    assert_eq!(effects[0], Effect::Play(None), "silent before the call");
    let Some(Effect::StartCall(_, plan)) = effects
        .iter()
        .find(|effect| matches!(effect, Effect::StartCall(..)))
    else {
        panic!("a call starts: {effects:?}")
    };
    assert_eq!(plan.goal, CallGoal::Answer("k1".into()));
    assert!(plan.line.is_some(), "on the connection where it rang");
    assert_eq!(world.app.state().incoming, None);

    world.find_partner();
    let Screen::InCall(call) = world.screen() else {
        panic!("connected")
    };
    assert!(call.known, "no stranger, so there is no Next");
    assert_eq!(world.command(Command::Next), Err(CommandErrorCode::NotNow));
    assert_eq!(
        world.app.state().invitation,
        None,
        "an invite serves one call"
    );

    world.command(Command::HangUp).unwrap();
    let Screen::Ended { again, .. } = world.screen() else {
        panic!("ended")
    };
    assert_eq!(*again, None, "the other side may have an older Tandem");
}

#[test]
fn a_caller_can_be_declined_and_can_give_up() {
    let mut world = World::connected_to_server();
    world.invite();
    let id = world.knock("7");
    world.effects();
    world.command(Command::DeclineCall { id }).unwrap();
    assert_eq!(
        world.effects(),
        [Effect::Decline("k1".into()), Effect::Play(None)]
    );
    assert_eq!(
        world.command(Command::AcceptCall { id }),
        Err(CommandErrorCode::UnknownCall)
    );

    let id = world.knock("7");
    world.line(LineEvent::KnockEnded { id: "k0".into() });
    assert!(world.app.state().incoming.is_some(), "another knock ended");
    world.line(LineEvent::KnockEnded { id: "k1".into() });
    assert_eq!(world.app.state().incoming, None);
    assert_eq!(
        world.command(Command::AcceptCall { id }),
        Err(CommandErrorCode::UnknownCall)
    );
    assert!(
        matches!(world.app.state().invitation, Some(Invitation::Ready { .. })),
        "the invite still works"
    );
}

#[test]
fn a_ring_reaches_a_user_who_looks_elsewhere() {
    let mut world = World::connected_to_server();
    world.invite();
    world.input(Input::Focused(false));
    world.effects();
    let id = world.knock("7");
    let bea = Some(Notification::Ringing {
        id,
        name: Some("Bea".into()),
    });
    let effects = world.effects();
    assert_eq!(
        effects[1..],
        [Effect::Notify(bea), Effect::AskForAttention(true)],
        "{effects:?}"
    );

    world.input(Input::Focused(true));
    assert_eq!(
        world.effects(),
        [Effect::Notify(None), Effect::AskForAttention(false)],
        "the window shows it, and it rings on"
    );

    world.input(Input::Focused(false));
    world.effects();
    let late = NotificationReply::Accept { id: id - 1 };
    world.input(Input::Notification(late));
    assert_eq!(
        world.effects(),
        [Effect::ShowWindow],
        "the answer to an earlier ring accepts no other"
    );

    world.input(Input::Notification(NotificationReply::Accept { id }));
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::ShowWindow) && effects.contains(&Effect::Notify(None)),
        "{effects:?}"
    );
    assert!(matches!(world.screen(), Screen::Waiting { .. }));
}

#[test]
fn a_search_that_finds_somebody_calls_the_user_back_once() {
    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.input(Input::Focused(false));
    world.effects();
    world.call_event(matched());
    let effects = world.effects();
    let found = Notification::Found {
        name: Some("Bea".into()),
    };
    assert!(
        effects.contains(&Effect::Notify(Some(found))),
        "{effects:?}"
    );
    let tones = |effects: &[Effect]| {
        effects
            .iter()
            .filter(|effect| matches!(effect, Effect::PlayOnce(_)))
            .count()
    };
    assert_eq!(tones(&effects), 1);

    world.call_event(CallEventKind::Connected);
    assert_eq!(tones(&world.effects()), 0, "nothing rings twice");
    world.input(Input::Focused(true));
    assert!(world.effects().contains(&Effect::Notify(None)));
}

#[test]
fn a_server_that_forgot_the_user_gives_another_invite() {
    let mut world = World::connected_to_server();
    world.invite();
    world.line(LineEvent::Lost {
        cause: ClientErrorCode::Closed,
    });
    world.line(LineEvent::Connected { user: "me".into() });
    assert!(
        matches!(world.app.state().invitation, Some(Invitation::Ready { .. })),
        "the server still knows the user"
    );

    world.line(LineEvent::Connected { user: "new".into() });
    assert_eq!(world.app.state().invitation, Some(Invitation::Asking));
    assert_eq!(
        world.line_use().claim,
        RoomClaim::Ask(Some(former("7"))),
        "the same number, if it is still free"
    );
    world.line(LineEvent::Claimed {
        room: "8".into(),
        former: None,
        random: 2,
    });
    let Some(Invitation::Ready { code, replaced, .. }) = &world.app.state().invitation else {
        panic!("a new invite")
    };
    assert!(code.starts_with("8-") && *replaced, "and the user is told");
}

#[test]
fn an_invite_whose_number_comes_back_stays_the_same() {
    let mut world = World::connected_to_server();
    let code = world.invite();
    world.line(LineEvent::Connected { user: "new".into() });
    world.line(LineEvent::Claimed {
        room: "7".into(),
        former: Some(former("7")),
        random: 2,
    });
    assert!(
        matches!(
            &world.app.state().invitation,
            Some(Invitation::Ready { code: now, replaced: false, .. }) if *now == code
        ),
        "with the same words: {:?}",
        world.app.state().invitation
    );
}

#[test]
fn an_invite_that_is_withdrawn_or_used_frees_its_number() {
    let mut world = World::connected_to_server();
    world.invite();
    world.command(Command::CancelInvite).unwrap();
    assert_eq!(world.line_use(), LineUse::default());

    world.invite();
    let id = world.knock("7");
    world.command(Command::AcceptCall { id }).unwrap();
    world.find_partner();
    world.effects();
    world.command(Command::HangUp).unwrap();
    assert_eq!(
        world.line_use(),
        LineUse::default(),
        "said again, because a call had the connection"
    );
}

#[test]
fn an_invite_that_cannot_be_had_is_a_problem_with_a_reason() {
    for (never, code) in [(true, "INVITE_NOT_SUPPORTED"), (false, "INVITE_REFUSED")] {
        let mut world = World::connected_to_server();
        world.command(Command::Invite).unwrap();
        world.line(LineEvent::ClaimRefused { never });
        assert_eq!(world.app.state().invitation, None);
        assert_eq!(world.problems(), [code]);

        world.command(Command::Invite).unwrap();
        assert_eq!(world.problems(), [""; 0], "trying again removes it");
    }

    let mut world = World::connected_to_server();
    world.invite();
    world.line(LineEvent::CannotRing);
    assert!(
        matches!(world.screen(), Screen::Waiting { .. }),
        "without a ring the first guest is matched"
    );
}

#[test]
fn a_link_waits_for_a_click_and_names_its_server() {
    let mut world = World::connected_to_server();
    let link = "https://chat.example.org/j/7#garden-lantern";
    for open in [
        |world: &mut World, link: &str| world.input(Input::Opened(link.into())),
        |world: &mut World, link: &str| {
            let code = link.into();
            world.command(Command::CallWithCode { code }).unwrap();
        },
    ] {
        open(&mut world, link);
        assert_eq!(
            world.app.state().opened,
            Some(OpenedInvite {
                code: "7-garden-lantern".into(),
                server: Some("chat.example.org".into()),
                other_server: true,
                exposed: false,
            })
        );
        let effects = world.effects();
        assert!(
            effects.iter().all(|effect| *effect == Effect::ShowWindow),
            "nothing happens without a click: {effects:?}"
        );

        world.command(Command::DismissOpened).unwrap();
        assert_eq!(world.app.state().opened, None);
    }

    world.input(Input::Opened(
        "http://192.0.2.1:9000/j/7#garden-lantern".into(),
    ));
    assert!(world.app.state().opened.as_ref().unwrap().exposed);

    world.command(Command::JoinOpened).unwrap();
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::CloseLine),
        "the own server has no part in it: {effects:?}"
    );
    let Screen::Waiting { search, .. } = world.screen() else {
        panic!("searching")
    };
    assert_eq!(
        *search,
        Search::Room {
            code: "7-garden-lantern".into(),
            server: Some("192.0.2.1:9000".into()),
            invited: true,
        }
    );

    world.call_event(ended(EndCode::NoSuchRoom));
    assert!(
        world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::OpenLine(..))),
        "and then the own server is connected again"
    );
}

#[test]
fn what_is_no_invite_is_a_problem_and_nothing_more() {
    let long = format!("tandem://join/a.b/7#{}", "x".repeat(3_000));
    for text in [
        "",
        "tandem://",
        "https://example.org/",
        "tandem://join/chat.example.org/7",
        "javascript://join/7",
        "7 \u{FFFD}",
        &long,
    ] {
        let mut world = World::connected_to_server();
        world.input(Input::Opened(text.into()));
        assert_eq!(world.problems(), ["BAD_INVITE"], "{text:?}");
        assert_eq!(world.effects(), [Effect::ShowWindow]);
        assert_eq!(world.app.state().opened, None);
    }
}

#[test]
fn people_of_earlier_calls_can_be_rung_and_can_ring() {
    let mut world = World::connected_to_server();
    world
        .command(Command::CallWithCode {
            code: "7-garden-lantern".into(),
        })
        .unwrap();
    world.call_known("a1");

    let Screen::Ended {
        again: Some(again), ..
    } = world.screen()
    else {
        panic!("ended")
    };
    let bea = Search::Person {
        name: Some("Bea".into()),
    };
    assert_eq!(*again, bea, "the invite is used, but Bea can be rung");
    let recents = world.app.state().recents.clone();
    assert_eq!(recents.len(), 1);
    assert_eq!(recents[0].name.as_deref(), Some("Bea"));
    let effects = world.effects();
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::SaveRecents(saved) if saved.len() == 1))
    );
    world.line(LineEvent::Connected { user: "me".into() });

    // Bea rings.
    let id = world.knock("a1");
    assert!(!world.app.state().incoming.as_ref().unwrap().invited);
    world.command(Command::DeclineCall { id }).unwrap();

    // This side rings, and Bea's Tandem rings.
    world.command(Command::Next).unwrap();
    let plan = world.start_call_plan();
    assert_eq!(
        plan.goal,
        CallGoal::Room {
            room: "a1".into(),
            must_exist: true,
        }
    );
    world.call_event(CallEventKind::Ringing(true));
    let effects = world.effects();
    assert!(
        matches!(
            &effects[..],
            [Effect::Play(Some(ToneSpec {
                tone: Tone::Ringback,
                ..
            }))]
        ),
        "{effects:?}"
    );

    // The next call replaces the room.
    world.call_known("b2");
    assert_eq!(
        world.app.meeting_rooms(),
        ["b2"],
        "one entry for one person"
    );

    // So it does on the side that answers.
    world.line(LineEvent::Connected { user: "me".into() });
    let id = world.knock("b2");
    world.command(Command::AcceptCall { id }).unwrap();
    world.call_known("c3");
    assert_eq!(world.app.meeting_rooms(), ["c3"]);
}

#[test]
fn a_stranger_does_not_become_an_acquaintance() {
    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.call_known("a1");
    assert_eq!(world.app.state().recents, []);
}

#[test]
fn the_lobby_listens_for_twenty_people_at_its_server() {
    let mut recents: Vec<_> = (0..25).map(|n| recent(&format!("r{n}"), "Bea")).collect();
    recents[0].server = "wss://other.example.org".parse().unwrap();
    let mut world = World::new();
    let launch = Launch {
        server_url: Some("ws://127.0.0.1:1".parse().unwrap()),
        ..Launch::default()
    };
    world.app = App::new(Settings::default(), recents, Access::default(), launch);
    let rooms = world.line_use().rooms;
    assert_eq!(rooms.len(), 20);
    assert!(
        !rooms.contains(&"r0".to_owned()),
        "not for those of other servers"
    );

    world.command(Command::ClearRecents).unwrap();
    assert_eq!(world.line_use(), LineUse::default());
}

#[test]
fn a_recent_call_can_be_removed() {
    let mut world = World::new();
    let recents = vec![recent("a", "Ann"), recent("b", "Bea")];
    let launch = Launch::default();
    world.app = App::new(Settings::default(), recents, Access::default(), launch);
    let ann = world.app.state().recents[0].id;
    world.command(Command::RemoveRecent { id: ann }).unwrap();
    let names: Vec<_> = world
        .app
        .state()
        .recents
        .iter()
        .map(|recent| recent.name.as_deref())
        .collect();
    assert_eq!(names, [Some("Bea")]);
    assert_eq!(
        world.command(Command::CallRecent { id: ann }),
        Err(CommandErrorCode::UnknownRecent)
    );
}

#[test]
fn the_ring_has_a_speaker_and_a_volume_of_its_own() {
    let mut world = World::connected_to_server();
    world
        .command(Command::SetRing {
            speaker: Some(NONE.into()),
            volume: 250,
        })
        .unwrap();
    world.effects();
    world.invite();
    world.knock("7");
    let effects = world.effects();
    let Some(Effect::Play(Some(spec))) = effects.last() else {
        panic!("it rings: {effects:?}")
    };
    assert_eq!(
        (spec.speaker.clone(), spec.volume),
        (AudioSink::None, 100),
        "at most all of it"
    );
}

#[test]
fn two_with_a_code_who_did_not_get_through_wait_for_each_other_again() {
    let mut world = World::new();
    world
        .command(Command::CallWithCode {
            code: "blue".into(),
        })
        .unwrap();
    world.call_event(matched());
    world.call_event(ended(EndCode::PartnerLeft));
    assert!(
        matches!(world.screen(), Screen::Waiting { search, .. } if *search == blue()),
        "{:?}",
        world.screen()
    );
}

#[test]
fn a_connection_that_does_not_come_up_can_be_tried_again() {
    for (recents, room) in [(vec![recent("a1", "Bea")], "a1"), (Vec::new(), "7")] {
        let mut world = World::new();
        let launch = Launch {
            server_url: Some("ws://127.0.0.1:1".parse().unwrap()),
            ..Launch::default()
        };
        world.app = App::new(Settings::default(), recents, Access::default(), launch);
        let command = match world.app.state().recents.first() {
            Some(bea) => Command::CallRecent { id: bea.id },
            None => Command::CallWithCode {
                code: "7-garden-lantern".into(),
            },
        };
        world.command(command).unwrap();
        world.call_event(matched());
        world.wait(SLOW_CONNECTION_AFTER);
        assert!(
            matches!(
                world.screen(),
                Screen::Connecting {
                    timed_out: true,
                    can_retry: true,
                    ..
                }
            ),
            "{:?}",
            world.screen()
        );

        world.effects();
        world.command(Command::Retry).unwrap();
        let plan = world.start_call_plan();
        assert!(
            matches!(&plan.goal, CallGoal::Room { room: found, .. } if found == room),
            "{:?}",
            plan.goal
        );

        world.call_event(matched());
        world.call_event(ended(EndCode::ConnectTimeout));
        assert!(
            matches!(world.screen(), Screen::Ended { again: Some(_), .. }),
            "also on the last screen"
        );

        world.command(Command::Next).unwrap();
        world.find_partner();
        world.command(Command::HangUp).unwrap();
        let is_offered = matches!(world.screen(), Screen::Ended { again: Some(_), .. });
        assert_eq!(is_offered, room == "a1", "an invite serves one call");
    }
}

#[test]
fn an_invite_waits_for_its_guest_until_the_two_are_connected() {
    let mut world = World::connected_to_server();
    world.invite();
    let id = world.knock("7");
    world.command(Command::AcceptCall { id }).unwrap();
    world.call_event(matched());
    world.effects();
    world.call_event(ended(EndCode::PartnerLeft));
    assert!(
        matches!(world.app.state().invitation, Some(Invitation::Ready { .. })),
        "{:?}",
        world.app.state().invitation
    );
    assert_eq!(
        world.line_use().rooms,
        ["7"],
        "the guest can ring once more"
    );

    let id = world.knock("7");
    world.command(Command::AcceptCall { id }).unwrap();
    world.find_partner();
    assert_eq!(world.app.state().invitation, None);
}

#[test]
fn a_call_at_another_server_leaves_the_user_with_another_invite() {
    let mut world = World::connected_to_server();
    world.invite();
    let link = "tandem://join/chat.example.org/9#garden-lantern";
    world.input(Input::Opened(link.into()));
    world.command(Command::JoinOpened).unwrap();
    assert!(
        world.effects().contains(&Effect::CloseLine),
        "this server is not needed in that call"
    );

    world.command(Command::Cancel).unwrap();
    assert_eq!(world.app.state().invitation, Some(Invitation::Asking));
    assert_eq!(
        world.line_use().claim,
        RoomClaim::Ask(Some(former("7"))),
        "the same number, if it is still free"
    );

    world.line(LineEvent::Connected { user: "new".into() });
    world.line(LineEvent::Claimed {
        room: "8".into(),
        former: None,
        random: 2,
    });
    assert!(
        matches!(
            world.app.state().invitation,
            Some(Invitation::Ready { replaced: true, .. })
        ),
        "and the user is told: {:?}",
        world.app.state().invitation
    );
}

#[test]
fn new_access_to_the_server_keeps_the_invite() {
    let mut world = World::connected_to_server();
    let code = world.invite();
    let token = Secret("secret".into());
    world.command(Command::SetToken { token }).unwrap();
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::CloseLine)
            && effects
                .iter()
                .any(|effect| matches!(effect, Effect::OpenLine(..))),
        "{effects:?}"
    );
    assert_eq!(world.app.state().invitation, Some(Invitation::Asking));

    world.line(LineEvent::Connected { user: "new".into() });
    world.line(LineEvent::Claimed {
        room: "7".into(),
        former: Some(former("7")),
        random: 2,
    });
    assert!(
        matches!(&world.app.state().invitation, Some(Invitation::Ready { code: now, .. }) if *now == code)
    );
}

#[test]
fn an_invite_is_given_up_before_the_connection_closes() {
    for end in [
        |world: &mut World| world.input(Input::Quit),
        |world: &mut World| {
            let url = "wss://chat.example.org".to_owned();
            world.command(Command::SetServerUrl { url }).unwrap();
        },
    ] {
        let mut world = World::connected_to_server();
        world.invite();
        world.effects();
        end(&mut world);
        let effects = world.effects();
        let given_up = effects
            .iter()
            .position(|effect| *effect == Effect::UseLine(LineUse::default()));
        let closed = effects
            .iter()
            .position(|effect| *effect == Effect::CloseLine);
        assert!(
            given_up.is_some() && given_up < closed,
            "no guest waits for someone who is gone: {effects:?}"
        );
    }
}

#[test]
fn a_private_server_of_a_link_is_named() {
    let mut world = World::connected_to_server();
    for (code, other) in [
        (
            "tandem://join/chat.example.org/9#garden-lantern",
            Some("chat.example.org"),
        ),
        ("blue", None),
    ] {
        let code = code.to_owned();
        world.command(Command::CallWithCode { code }).unwrap();
        if other.is_some() {
            world.command(Command::JoinOpened).unwrap();
        }

        world.call_event(ended(EndCode::RelayRefused));
        let Screen::Ended { other_server, .. } = world.screen() else {
            panic!("{:?}", world.screen())
        };
        assert_eq!(
            other_server.as_deref(),
            other,
            "its token must not be entered for the user's own server"
        );
        world.command(Command::ToLobby).unwrap();
    }
}

#[test]
fn the_next_call_gets_the_connection_of_the_one_before() {
    let mut world = World::connected_to_server();
    world.invite();
    world.command(Command::FindPartner).unwrap();
    world.call_event(CallEventKind::Registered);
    world.command(Command::Cancel).unwrap();
    world.effects();

    world.command(Command::FindPartner).unwrap();
    let effects = world.effects();
    assert!(!effects.contains(&Effect::CloseLine), "{effects:?}");
    assert!(
        matches!(world.app.state().invitation, Some(Invitation::Ready { .. })),
        "the invite is still there"
    );
}

#[test]
fn a_connection_that_a_call_had_to_close_is_opened_again() {
    let mut world = World::connected_to_server();
    world.invite();
    world.command(Command::FindPartner).unwrap();
    world.command(Command::Cancel).unwrap();
    world.effects();

    world.line(LineEvent::Closed);
    let effects = world.effects();
    assert!(
        matches!(effects[..], [Effect::CloseLine, Effect::OpenLine(..), ..]),
        "{effects:?}"
    );

    world.line(LineEvent::Connected { user: "new".into() });
    assert_eq!(world.app.state().invitation, Some(Invitation::Asking));
}

#[test]
fn a_wait_without_ring_does_not_begin_by_itself_again() {
    let mut world = World::connected_to_server();
    world.invite();
    world.line(LineEvent::CannotRing);
    world.command(Command::Cancel).unwrap();
    assert_eq!(world.app.state().invitation, None);

    world.line(LineEvent::CannotRing);
    assert_eq!(*world.screen(), Screen::Lobby);
}

#[test]
fn a_guest_of_the_embedded_server_is_not_remembered() {
    let mut world = World::new();
    world.command(Command::StartHost { lan: true }).unwrap();
    world.input(Input::HostStarted {
        local_url: "ws://127.0.0.1:2".parse().unwrap(),
        addresses: vec!["ws://192.168.1.2:2".parse().unwrap()],
    });
    world
        .command(Command::CallWithCode {
            code: "blue".into(),
        })
        .unwrap();
    world.call_known("a1");
    assert_eq!(
        world.app.state().recents,
        [],
        "the server has another address next time"
    );
}

#[test]
fn closing_in_a_call_can_be_taken_back() {
    let mut world = World::new();
    world.connect();
    world.input(Input::CloseRequested);
    world
        .command(Command::ConfirmClose { close: false })
        .unwrap();
    assert!(!world.app.state().confirm_close);
    assert!(matches!(world.screen(), Screen::InCall(_)));

    world.input(Input::CloseRequested);
    world.effects();
    world
        .command(Command::ConfirmClose { close: true })
        .unwrap();
    assert_eq!(world.effects().last(), Some(&Effect::Exit));
}

#[test]
fn the_system_is_not_asked_back() {
    let mut world = World::new();
    world.connect();
    world.effects();
    world.input(Input::Quit);
    assert_eq!(world.effects().last(), Some(&Effect::Exit));
}

#[test]
fn an_opened_code_follows_the_server_that_the_user_chooses() {
    let mut world = World::new();
    world.app = App::new(
        Settings::default(),
        Vec::new(),
        Access::default(),
        Launch::default(),
    );
    world.input(Input::Opened("7-garden-lantern".into()));
    let opened = |world: &World| world.app.state().opened.clone().expect("it is shown");
    assert_eq!(opened(&world).server, None, "no server is chosen");
    assert_eq!(
        world.command(Command::JoinOpened),
        Err(CommandErrorCode::NoServer)
    );

    for server in ["chat.example.org", "other.example.org"] {
        world
            .command(Command::SetServerUrl { url: server.into() })
            .unwrap();
        assert_eq!(opened(&world).server, Some(server.into()));
        assert!(!opened(&world).other_server);
    }

    world.command(Command::JoinOpened).unwrap();
    let Screen::Waiting { search, .. } = world.screen() else {
        panic!("searching")
    };
    assert!(
        matches!(search, Search::Room { invited: true, .. }),
        "the code is the other person's: {search:?}"
    );
}

#[test]
fn a_broken_link_is_refused_as_a_link() {
    let mut world = World::connected_to_server();
    for (text, code) in [
        ("https://chat.example.org/j/7", CommandErrorCode::BadLink),
        (
            "tandem:join/chat.example.org/7#gar",
            CommandErrorCode::BadLink,
        ),
        ("two words", CommandErrorCode::BadRoom),
    ] {
        let command = Command::CallWithCode { code: text.into() };
        assert_eq!(world.command(command), Err(code), "{text}");
    }
}
