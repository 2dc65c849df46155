//! Scenarios of people on the same network.

use std::net::SocketAddr;

use tandem_nearby::{NearbyChange, Neighbour, NeighbourId, Reach};
use tandem_signaling::client::{BearerToken, ClientErrorCode};
use tandem_trust::Party;

use super::*;
use crate::desktop::state::{IncomingCall, NearbyReach, NearbyStatus};
use crate::invite::Invite;

/// This user's id in the announcement.
const OWN: u64 = 5;

fn person(id: u64, name: &str) -> Neighbour {
    Neighbour {
        id: id.into(),
        name: Some(name.into()),
        room: format!("room-{id}"),
        addresses: vec![address(id), "[fe80::7%3]:9010".parse().unwrap()],
    }
}

fn address(id: u64) -> SocketAddr {
    SocketAddr::from(([192, 168, 7, id as u8], 9010))
}

/// People nearby can ring, also by this invite.
fn listens(invite: Option<&str>) -> Effect {
    Effect::ListenNearby(NearbyUse::People {
        invite: invite.map(str::to_owned),
    })
}

fn own_server() -> ClientConfig {
    ClientConfig {
        token: BearerToken::new("owner").ok(),
        ..ClientConfig::new("ws://127.0.0.1:9010".parse().unwrap())
    }
}

impl World {
    /// The list is open, and these people are on it.
    fn nearby(people: &[Neighbour]) -> Self {
        let mut world = Self::new();
        world.command(Command::OpenNearby).unwrap();
        world.opened_nearby();
        world.people(people);
        world.effects();
        world
    }

    fn nearby_line(&self) -> LineId {
        self.app.nearby_line().expect("it is open")
    }

    fn opened_nearby(&mut self) {
        let opened = NearbyEvent::Opened {
            id: OWN.into(),
            server: Box::new(own_server()),
            addresses: vec![address(OWN)],
        };
        self.input(Input::Nearby(self.nearby_line(), opened));
    }

    fn people(&mut self, people: &[Neighbour]) {
        let changed = NearbyEvent::Changed {
            change: NearbyChange {
                people: people.to_vec(),
                reach: Reach::Heard,
            },
            addresses: vec![address(OWN)],
        };
        self.input(Input::Nearby(self.nearby_line(), changed));
    }

    fn nearby_knock(&mut self, knock: &str, from: SocketAddr) {
        self.nearby_knock_in("own-room", knock, from);
    }

    fn nearby_knock_in(&mut self, room: &str, knock: &str, from: SocketAddr) {
        let event = LineEvent::Knock {
            id: knock.into(),
            room: room.into(),
            profile: Box::new(Profile {
                user_name: Some("Bea".into()),
                ..Profile::default()
            }),
            address: Some(from.ip()),
        };
        self.input(Input::Line(self.nearby_line(), event));
    }

    fn incoming(&self) -> Option<&IncomingCall> {
        self.app.state().incoming.as_ref()
    }

    fn call_nearby(&mut self, id: u64) -> Result<(), CommandErrorCode> {
        let id = NeighbourId::from(id).to_string();
        self.command(Command::CallNearby { id })
    }
}

#[test]
fn people_nearby_are_looked_for_only_while_the_list_is_open() {
    let mut world = World::new();
    assert!(!has_nearby_effect(&world.effects()), "off unless opened");

    world
        .command(Command::SetName { name: "Ann".into() })
        .unwrap();
    world.command(Command::OpenNearby).unwrap();
    let line = world.nearby_line();
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::OpenNearby(line, Some("Ann".into()))),
        "{effects:?}"
    );
    assert_eq!(world.app.state().nearby.status, NearbyStatus::Starting);

    world.opened_nearby();
    assert!(world.effects().contains(&listens(None)));
    world.people(&[person(1, "Bea\u{202E}")]);
    let nearby = &world.app.state().nearby;
    assert_eq!(nearby.status, NearbyStatus::On);
    assert_eq!(nearby.reach, NearbyReach::Heard);
    assert_eq!(
        nearby.people[0].name.as_deref(),
        Some("Bea"),
        "as plain text"
    );
    assert_eq!(nearby.addresses, ["192.168.7.5"]);
    assert_eq!(
        nearby.link.as_deref(),
        Some("tandem://nearby/192.168.7.5:9010")
    );

    world.command(Command::CloseNearby).unwrap();
    assert!(world.effects().contains(&Effect::CloseNearby));
    assert_eq!(world.app.state().nearby, NearbyState::default());
}

fn has_nearby_effect(effects: &[Effect]) -> bool {
    let is_about = |effect: &Effect| {
        matches!(
            effect,
            Effect::OpenNearby(..) | Effect::CloseNearby | Effect::ListenNearby(_)
        )
    };
    effects.iter().any(is_about)
}

#[test]
fn who_wants_it_is_always_visible() {
    let settings = Settings {
        always_nearby: true,
        ..Settings::default()
    };
    let mut world = World::with(settings, Vec::new(), at_server());
    assert!(has_nearby_effect(&world.effects()), "from the start");

    world.command(Command::OpenNearby).unwrap();
    world.command(Command::CloseNearby).unwrap();
    assert!(!has_nearby_effect(&world.effects()), "nothing changes");
    assert!(!world.app.state().nearby.open);

    world
        .command(Command::SetAlwaysNearby { on: false })
        .unwrap();
    assert!(world.effects().contains(&Effect::CloseNearby));
}

#[test]
fn another_name_is_announced() {
    let mut world = World::nearby(&[]);
    world
        .command(Command::SetName { name: "Zoe".into() })
        .unwrap();
    assert!(
        world
            .effects()
            .contains(&Effect::RenameNearby(Some("Zoe".into())))
    );
}

#[test]
fn a_click_rings_at_that_person() {
    let mut world = World::nearby(&[person(1, "Bea"), person(9, "Cem")]);
    world.call_nearby(9).unwrap();
    let plan = world.start_call_plan();
    assert_eq!(
        plan.goal,
        CallGoal::Room {
            room: "room-9".into(),
            must_exist: true
        }
    );
    assert_eq!(plan.server.addresses, person(9, "").addresses);
    assert_eq!(plan.server.token, None, "the owner's token stays here");
    let Screen::Waiting { search, .. } = world.screen() else {
        panic!("it rings")
    };
    let cem = Search::Nearby {
        name: Some("Cem".into()),
    };
    assert_eq!(*search, cem);

    // The next attempt goes to where that person is now.
    let moved = Neighbour {
        addresses: vec![address(77)],
        ..person(9, "Cem")
    };
    world.people(&[moved]);
    world.call_event(ended(EndCode::NoAnswer));
    let Screen::Ended { again, .. } = world.screen() else {
        panic!("over")
    };
    assert_eq!(*again, Some(cem));
    world.command(Command::Next).unwrap();
    assert_eq!(world.start_call_plan().server.addresses, [address(77)]);

    world.command(Command::Cancel).unwrap();
    assert_eq!(
        world.call_nearby(3),
        Err(CommandErrorCode::UnknownNearby),
        "nobody of that id is there"
    );
    assert_eq!(
        world.command(Command::CallNearby { id: "?".into() }),
        Err(CommandErrorCode::UnknownNearby)
    );
}

#[test]
fn a_call_with_a_person_nearby_is_not_remembered() {
    let mut world = World::nearby(&[person(1, "Bea")]);
    world.call_nearby(1).unwrap();
    world.call_known("a-room");
    assert!(world.app.state().recents.is_empty(), "the address changes");
}

#[test]
fn who_rings_is_answered_on_the_own_server() {
    let mut world = World::nearby(&[]);
    world.nearby_knock("k1", address(9));
    let incoming = world.incoming().expect("it rings").clone();
    assert_eq!(incoming.kind, CallerKind::Nearby);
    assert_eq!(incoming.name.as_deref(), Some("Bea"));

    world.effects();
    world
        .command(Command::AcceptCall {
            id: incoming.id,
            video: true,
        })
        .unwrap();
    let plan = world.start_call_plan();
    assert_eq!(plan.goal, CallGoal::Answer("k1".into()));
    assert_eq!(plan.line, Some(world.nearby_line()));
    assert_eq!(plan.server, own_server());

    world.find_partner();
    world.effects();
    world.command(Command::HangUp).unwrap();
    assert!(
        world.effects().contains(&listens(None)),
        "others can ring again"
    );
}

#[test]
fn a_call_is_not_cut_off_by_what_it_came_by() {
    let mut world = World::nearby(&[]);
    world.nearby_knock("k1", address(9));
    let id = world.incoming().unwrap().id;
    world
        .command(Command::AcceptCall { id, video: true })
        .unwrap();
    world.find_partner();
    world.command(Command::CloseNearby).unwrap();
    assert!(!world.effects().contains(&Effect::CloseNearby));
    world.command(Command::HangUp).unwrap();
    assert!(world.effects().contains(&Effect::CloseNearby), "then it is");
}

#[test]
fn nobody_rings_during_a_call() {
    let mut world = World::nearby(&[]);
    world.command(Command::FindPartner).unwrap();
    assert!(
        world
            .effects()
            .contains(&Effect::ListenNearby(NearbyUse::Nobody))
    );
    world.nearby_knock("k1", address(9));
    assert_eq!(world.incoming(), None);
    world.command(Command::Cancel).unwrap();
    assert!(world.effects().contains(&listens(None)));
}

#[test]
fn who_was_declined_does_not_ring_again_at_once() {
    let mut world = World::nearby(&[]);
    world.nearby_knock("k1", address(9));
    let id = world.incoming().unwrap().id;
    world.command(Command::DeclineCall { id }).unwrap();
    let declined = |knock: &str| Effect::DeclineNearby(knock.into());
    assert!(world.effects().contains(&declined("k1")));

    world.nearby_knock("k2", address(9));
    assert_eq!(world.incoming(), None, "not even for a moment");
    assert!(world.effects().contains(&declined("k2")));
    world.nearby_knock("k3", address(8));
    assert!(world.incoming().is_some(), "others may");
    let id = world.incoming().unwrap().id;
    world.command(Command::DeclineCall { id }).unwrap();

    world.wait(Duration::from_secs(61));
    world.nearby_knock("k4", address(9));
    assert!(world.incoming().is_some(), "after a while");
}

#[test]
fn of_two_rings_at_once_that_of_the_smaller_id_counts() {
    // The other one is smaller: this user takes the ring of that one.
    let mut world = World::nearby(&[person(1, "Bea")]);
    world.call_nearby(1).unwrap();
    assert!(
        !world
            .effects()
            .contains(&Effect::ListenNearby(NearbyUse::Nobody)),
        "who is called may ring at the same moment"
    );
    world.nearby_knock("k1", address(1));
    let plan = world.start_call_plan();
    assert_eq!(plan.goal, CallGoal::Answer("k1".into()));
    assert_eq!(plan.line, Some(world.nearby_line()));
    assert_eq!(world.incoming(), None, "nobody is asked");

    // The other one is larger, and takes this user's ring.
    let mut world = World::nearby(&[person(9, "Cem")]);
    world.call_nearby(9).unwrap();
    world.effects();
    world.nearby_knock("k1", address(9));
    assert_eq!(world.effects(), [], "it goes on ringing");
    assert!(matches!(world.screen(), Screen::Waiting { .. }));
    assert_eq!(world.incoming(), None, "she is about to answer");
    let ended = LineEvent::KnockEnded { id: "k1".into() };
    world.input(Input::Line(world.nearby_line(), ended));
    world.find_partner();
}

#[test]
fn somebody_else_who_rings_meanwhile_is_not_taken_for_the_one_who_was_called() {
    let mut world = World::nearby(&[person(1, "Bea")]);
    world.call_nearby(1).unwrap();
    world.effects();
    world.nearby_knock("k1", address(66));
    assert!(matches!(world.screen(), Screen::Waiting { .. }));
    let rings = world.incoming().expect("the user decides").id;

    world.command(Command::Cancel).unwrap();
    assert_eq!(world.incoming().map(|call| call.id), Some(rings));
}

#[test]
fn a_click_on_the_person_who_rings_answers() {
    let mut world = World::nearby(&[person(1, "Bea")]);
    world.nearby_knock("k1", address(1));
    world.call_nearby(1).unwrap();
    assert_eq!(world.start_call_plan().goal, CallGoal::Answer("k1".into()));
}

#[test]
fn two_who_ring_in_different_ways_ring_one_after_the_other() {
    let mut world = World::connected_to_server();
    world.invite();
    world.command(Command::OpenNearby).unwrap();
    world.opened_nearby();
    world.nearby_knock("n1", address(9));
    let nearby = world.incoming().unwrap().id;
    assert_eq!(world.knock("7"), nearby, "the first stays on the screen");

    world.command(Command::DeclineCall { id: nearby }).unwrap();
    let invited = world.incoming().expect("then the second rings");
    assert_eq!(invited.kind, CallerKind::Invited);
    let id = invited.id;
    world
        .command(Command::AcceptCall { id, video: true })
        .unwrap();
    assert_eq!(world.start_call_plan().goal, CallGoal::Answer("k1".into()));
}

#[test]
fn an_address_on_the_network_is_called() {
    let mut world = World::new();
    let call = |world: &mut World, address: &str| {
        let address = address.to_owned();
        world.command(Command::CallAddress { address })
    };
    call(&mut world, " 192.168.7.9 ").unwrap();
    let plan = world.start_call_plan();
    assert_eq!(plan.server.addresses, [address(9)]);
    assert_eq!(
        plan.goal,
        CallGoal::Room {
            room: "nearby".into(),
            must_exist: true
        }
    );
    world.command(Command::Cancel).unwrap();

    for elsewhere in ["8.8.8.8", "fe80::1", "garden-42", "laptop", "192.168.1", ""] {
        assert_eq!(
            call(&mut world, elsewhere),
            Err(CommandErrorCode::BadAddress),
            "{elsewhere}"
        );
    }
}

#[test]
fn a_link_to_an_address_waits_for_a_click() {
    let mut world = World::new();
    for (open, text) in [
        (true, "tandem://nearby/192.168.7.9:9010"),
        (false, "tandem://nearby/192.168.7.9:9010"),
        (false, "192.168.7.9"),
    ] {
        if open {
            world.input(Input::Opened(text.into()));
        } else {
            let code = text.to_owned();
            world.command(Command::CallWithCode { code }).unwrap();
        }

        assert_eq!(*world.screen(), Screen::Lobby);
        let opened = world.app.state().opened.clone().expect("it waits");
        assert_eq!(opened.code, "192.168.7.9");
        assert!(opened.other_server && !opened.exposed);
        world.command(Command::JoinOpened).unwrap();
        assert_eq!(world.start_call_plan().server.addresses, [address(9)]);
        world.command(Command::Cancel).unwrap();
    }
}

#[test]
fn two_who_ring_each_other_by_address_can_answer_each_other() {
    let mut world = World::nearby(&[]);
    let typed = "192.168.7.9".to_owned();
    let call = Command::CallAddress { address: typed };
    world.command(call).unwrap();
    world.effects();
    world.nearby_knock("k1", address(9));
    let id = world.incoming().expect("the other one rings, too").id;
    world
        .command(Command::AcceptCall { id, video: true })
        .unwrap();
    let effects = world.effects();
    let ended = effects
        .iter()
        .position(|effect| matches!(effect, Effect::EndCall(_)));
    let started = effects
        .iter()
        .position(|effect| matches!(effect, Effect::StartCall(_, plan) if plan.goal == CallGoal::Answer("k1".into())));
    assert!(ended.is_some() && ended < started, "{effects:?}");
}

#[test]
fn a_ring_whose_address_is_announced_only_later_is_recognized() {
    let over_ipv6 = "[fe80::66%3]:9010".parse().unwrap();
    let known = Neighbour {
        addresses: vec![address(1), over_ipv6],
        ..person(1, "Bea")
    };

    let mut world = World::nearby(&[person(1, "Bea")]);
    world.call_nearby(1).unwrap();
    world.effects();
    world.nearby_knock("k1", over_ipv6);
    assert!(world.incoming().is_some(), "it could be anyone");
    assert!(matches!(world.screen(), Screen::Waiting { .. }));

    world.people(std::slice::from_ref(&known));
    assert_eq!(world.start_call_plan().goal, CallGoal::Answer("k1".into()));
    assert_eq!(world.incoming(), None, "nobody is asked");

    // Announced between the click and the ring.
    let mut world = World::nearby(&[person(1, "Bea")]);
    world.call_nearby(1).unwrap();
    world.people(&[known]);
    world.effects();
    world.nearby_knock("k1", over_ipv6);
    assert_eq!(world.start_call_plan().goal, CallGoal::Answer("k1".into()));
}

#[test]
fn what_is_announced_during_a_call_answers_nobody() {
    let mut world = World::nearby(&[person(1, "Bea")]);
    world.call_nearby(1).unwrap();
    world.nearby_knock("k1", address(66));
    world.find_partner();
    world.effects();
    let also_there = Neighbour {
        addresses: vec![address(1), address(66)],
        ..person(1, "Bea")
    };
    world.people(&[also_there]);
    assert!(matches!(world.screen(), Screen::InCall(_)));
    assert_eq!(world.effects(), []);
}

#[test]
fn a_call_answered_with_sound_only_begins_with_the_camera_off() {
    let mut world = World::nearby(&[]);
    world.nearby_knock("k1", address(9));
    let id = world.incoming().unwrap().id;
    world
        .command(Command::AcceptCall { id, video: false })
        .unwrap();
    assert!(!world.start_call_plan().camera_on);
    world.find_partner();
    let Screen::InCall(call) = world.screen() else {
        panic!("connected")
    };
    assert!(!call.camera_on);
    assert!(
        world.app.state().settings.camera_enabled,
        "the next call is another matter"
    );

    world.command(Command::SetCameraOn { on: true }).unwrap();
    let Screen::InCall(call) = world.screen() else {
        panic!("connected")
    };
    assert!(call.camera_on && call.sends_video);
}

#[test]
fn what_cannot_be_opened_is_said_and_tried_again_on_demand() {
    let mut world = World::new();
    world.command(Command::OpenNearby).unwrap();
    let failed = NearbyEvent::Failed("no socket".into());
    world.input(Input::Nearby(world.nearby_line(), failed));
    assert_eq!(world.problems(), ["NEARBY_NOT_STARTED"]);
    assert_eq!(world.app.state().nearby.status, NearbyStatus::Failed);
    world.effects();

    world.command(Command::CloseNearby).unwrap();
    assert_eq!(world.app.state().nearby.status, NearbyStatus::Off);
    assert!(world.problems().is_empty());
    world.command(Command::OpenNearby).unwrap();
    assert!(has_nearby_effect(&world.effects()));

    let blocked = NearbyEvent::CannotFind("blocked".into());
    world.opened_nearby();
    world.input(Input::Nearby(world.nearby_line(), blocked));
    let nearby = &world.app.state().nearby;
    assert_eq!(
        (nearby.status, nearby.reach),
        (NearbyStatus::On, NearbyReach::Silent),
        "an address still works"
    );
}

#[test]
fn a_lost_connection_is_opened_anew() {
    let mut world = World::nearby(&[]);
    let before = world.nearby_line();
    world.nearby_knock("k1", address(9));
    let lost = LineEvent::Lost {
        cause: ClientErrorCode::Broken,
    };
    world.input(Input::Line(before, lost));
    assert_eq!(world.incoming(), None, "the caller is gone with it");
    assert_eq!(world.app.state().nearby.status, NearbyStatus::Starting);

    world.input(Input::Line(before, LineEvent::Closed));
    let effects = world.effects();
    assert!(effects.contains(&Effect::CloseNearby), "{effects:?}");
    assert_ne!(world.nearby_line(), before);
}

#[test]
fn an_invite_says_where_its_maker_is_on_the_network() {
    let mut world = World::connected_to_server();
    world.invite();
    let app_link = |world: &World| match &world.app.state().invitation {
        Some(Invitation::Ready { app_link, .. }) => app_link.clone().expect("a link"),
        other => panic!("{other:?}"),
    };
    assert!(!app_link(&world).contains("?at="));
    world.command(Command::OpenNearby).unwrap();
    world.opened_nearby();
    let link = app_link(&world);
    assert!(link.contains("/7?at=192.168.7.5:9010#"), "{link}");
    world.command(Command::CloseNearby).unwrap();
    assert!(!app_link(&world).contains("?at="));
}

/// A guest opened this link, and its server cannot be reached.
fn guest_of(link: &str) -> World {
    let mut guest = World::new();
    guest.input(Input::Opened(link.into()));
    guest.command(Command::JoinOpened).unwrap();
    guest.effects();
    guest.call_event(ended(EndCode::RelayUnreachable));
    guest
}

const LINK: &str = "tandem://join/chat.example.org/7?at=192.168.7.5:9010#garden-lantern";

#[test]
fn a_link_whose_server_is_away_is_tried_nearby_with_its_code() {
    let invite: Invite = "7-garden-lantern".parse().unwrap();
    let mut guest = guest_of(LINK);
    let plan = guest.start_call_plan();
    assert_eq!(plan.server.addresses, [address(OWN)], "another attempt");
    let in_its_room = CallGoal::Room {
        room: "invite-7".into(),
        must_exist: true,
    };
    assert_eq!(plan.goal, in_its_room);
    let PlannedCode(code) = plan.code.expect("the words are checked");
    assert_eq!((code.code, code.party), (invite.code(), Party::Guest));
    code.guesses.spend();

    // Nobody answers there: what counts is that the server is away.
    for end in [EndCode::NoSuchRoom, EndCode::RelayUnreachable] {
        let mut guest = guest_of(LINK);
        guest.call_event(ended(end));
        let Screen::Ended {
            reason,
            other_server,
            again,
            ..
        } = guest.screen()
        else {
            panic!("once: {:?}", guest.screen())
        };
        assert_eq!(*reason, EndCode::RelayUnreachable);
        assert_eq!(other_server.as_deref(), Some("chat.example.org"));
        assert!(matches!(again, Some(Search::Room { invited: true, .. })));
    }

    // The next attempt begins at the server, with the guesses of before.
    guest.call_event(ended(EndCode::NoAnswer));
    guest.command(Command::Next).unwrap();
    let plan = guest.start_call_plan();
    assert_eq!(plan.server.url.authority(), "chat.example.org");
    let PlannedCode(code) = plan.code.expect("the words are checked");
    assert_eq!(code.guesses.spent(), 1);

    // An address elsewhere is nobody on the same network.
    let guest = guest_of("tandem://join/127.0.0.1:1/7?at=8.8.8.8:9010#garden-lantern");
    assert!(matches!(guest.screen(), Screen::Ended { .. }));
}

#[test]
fn a_guest_who_rings_nearby_is_verified_by_the_code() {
    let mut world = World::connected_to_server();
    let invite: Invite = world.invite().parse().unwrap();
    world.command(Command::OpenNearby).unwrap();
    world.opened_nearby();
    assert!(world.effects().contains(&listens(Some("invite-7"))));
    let lost = LineEvent::Lost {
        cause: ClientErrorCode::Broken,
    };
    world.line(lost);
    let still = world.effects();
    assert!(
        !still
            .iter()
            .any(|effect| matches!(effect, Effect::ListenNearby(_))),
        "{still:?}"
    );

    // Another person nearby is not the guest.
    world.nearby_knock("n1", address(8));
    let other = world.incoming().expect("it rings").clone();
    assert!(!other.by_invite);
    world
        .command(Command::DeclineCall { id: other.id })
        .unwrap();

    world.nearby_knock_in("invite-7", "n2", address(9));
    let guest = world.incoming().expect("it rings").clone();
    assert_eq!((guest.kind, guest.by_invite), (CallerKind::Nearby, true));
    world.effects();
    let accept = Command::AcceptCall {
        id: guest.id,
        video: true,
    };
    world.command(accept).unwrap();
    let plan = world.start_call_plan();
    assert_eq!(plan.line, Some(world.nearby_line()));
    let PlannedCode(code) = plan.code.expect("the words are checked");
    assert_eq!((code.code, code.party), (invite.code(), Party::Inviter));

    // An invite serves one call.
    world.find_partner();
    assert_eq!(world.app.state().invitation, None);
    world.effects();
    world.command(Command::HangUp).unwrap();
    assert!(world.effects().contains(&listens(None)));
}
