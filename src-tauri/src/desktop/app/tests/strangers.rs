//! Meeting strangers.

use std::time::Duration;

use tandem_call::{BlockOutcome, ReportOutcome, StrangerRoute};
use tandem_signaling::ServerOrigin;
use tandem_signaling::client::ClientErrorCode;
use tandem_signaling::message::ReportCategory;

use super::*;
use crate::desktop::state::{BlockStatus, ReportReason, ReportStatus, StrangerState};

fn stranger(world: &World) -> &StrangerState {
    let stranger = world.app.state().stranger.as_ref();
    stranger.expect("the call is one with a stranger")
}

/// The reports that the effects since the last time send.
fn reports(world: &mut World) -> Vec<PlannedReport> {
    let reports = world
        .effects()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Report(report) => Some(*report),
            _ => None,
        });
    reports.collect()
}

fn report(reason: ReportReason) -> Command {
    Command::Report {
        reason,
        text: "  Shouts. ".into(),
        snapshot: true,
    }
}

#[test]
fn nobody_is_met_before_the_rules_are_accepted() {
    let mut world = World::first(Settings::default(), Vec::new(), at_server());
    assert_eq!(
        world.command(Command::FindPartner),
        Err(CommandErrorCode::RulesNotAccepted)
    );
    assert_eq!(*world.screen(), Screen::Lobby);

    world.command(Command::AcceptRules).unwrap();
    world.command(Command::FindPartner).unwrap();
    let saved = world
        .effects()
        .into_iter()
        .any(|effect| matches!(effect, Effect::Save(settings) if settings.rules_accepted));
    assert!(saved, "the user is asked once");
}

#[test]
fn strangers_have_toggles_of_their_own_and_the_camera_is_off_at_first() {
    let mut world = World::first(
        Settings {
            rules_accepted: true,
            ..Settings::default()
        },
        Vec::new(),
        at_server(),
    );
    world.command(Command::FindPartner).unwrap();
    let plan = world.start_call_plan();
    assert_eq!((plan.camera_on, plan.muted), (false, false));

    // While waiting and in the call, the switches are those for strangers.
    world.command(Command::SetCameraOn { on: true }).unwrap();
    world.find_partner();
    world.command(Command::SetMuted { muted: true }).unwrap();
    let Screen::InCall(call) = world.screen() else {
        unreachable!("it is connected");
    };
    assert_eq!((call.camera_on, call.muted), (true, true));
    let settings = &world.app.state().settings;
    assert!(settings.camera_enabled && !settings.muted, "for friends");
    assert!(settings.stranger_camera && settings.stranger_muted);

    world.command(Command::HangUp).unwrap();
    world.command(Command::ToLobby).unwrap();
    world.command(Command::SetCameraOn { on: false }).unwrap();
    world.effects();
    world.command(Command::FindPartner).unwrap();
    let plan = world.start_call_plan();
    assert_eq!((plan.camera_on, plan.muted), (true, true), "remembered");

    // Not for anyone else.
    world.command(Command::Cancel).unwrap();
    world.effects();
    let code = "garden-42".into();
    world.command(Command::CallWithCode { code }).unwrap();
    let plan = world.start_call_plan();
    assert_eq!((plan.camera_on, plan.muted), (false, false));
    assert_eq!(plan.stranger, None);
}

#[test]
fn the_way_to_strangers_follows_from_the_settings() {
    for (relay, direct, route) in [
        (true, false, StrangerRoute::Relay),
        (true, true, StrangerRoute::RelayIfOffered),
        (false, false, StrangerRoute::Direct),
        (false, true, StrangerRoute::Direct),
    ] {
        let mut world = World::new();
        if direct {
            allow_direct(&mut world);
        }

        if !relay {
            let on = false;
            world.command(Command::SetStrangerRelay { on }).unwrap();
        }

        assert_eq!(
            route_to_stranger(&mut world),
            route,
            "relay {relay}, direct {direct}"
        );
    }

    assert!(Settings::default().stranger_relay, "the default");
    assert_eq!(Settings::default().stranger_direct, [], "the user is asked");
}

fn route_to_stranger(world: &mut World) -> StrangerRoute {
    world.effects();
    world.command(Command::FindPartner).unwrap();
    let plan = world.start_call_plan().stranger.expect("it is a stranger");
    world.command(Command::Cancel).unwrap();
    plan.route
}

/// A command for the question of the last screen.
fn allow_at(server: &str) -> Command {
    Command::AllowStrangerDirect {
        server: server.into(),
    }
}

/// The server that the last screen asks about.
fn asked_about(world: &World) -> Option<String> {
    let Screen::Ended { asks_direct_at, .. } = world.screen() else {
        return None;
    };

    asks_direct_at
        .as_ref()
        .map(|server| server.as_str().to_owned())
}

/// The server of the settings offers no TURN server.
fn find_no_turn_server(world: &mut World) {
    world.command(Command::FindPartner).unwrap();
    world.call_event(ended(EndCode::NoTurnServer));
}

/// The user is asked at the server of the settings, and agrees.
fn allow_direct(world: &mut World) {
    find_no_turn_server(world);
    let server = asked_about(world).expect("the user is asked");
    world.command(allow_at(&server)).unwrap();
}

fn set_server(world: &mut World, url: &str) {
    let url = url.to_owned();
    world.command(Command::SetServerUrl { url }).unwrap();
}

#[test]
fn consent_to_direct_calls_is_for_one_server_and_can_be_taken_back() {
    let mut world = World::new();
    set_server(&mut world, "wss://one.example/ws");
    allow_direct(&mut world);
    assert_eq!(route_to_stranger(&mut world), StrangerRoute::RelayIfOffered);

    set_server(&mut world, "wss://two.example/ws");
    assert_eq!(
        route_to_stranger(&mut world),
        StrangerRoute::Relay,
        "the user was not asked about that one"
    );
    allow_direct(&mut world);
    world.command(allow_at("wss://two.example:443")).unwrap();
    let shown = |world: &World| -> Vec<String> {
        let servers = &world.app.state().settings.stranger_direct;
        servers
            .iter()
            .map(|server| server.as_str().to_owned())
            .collect()
    };
    assert_eq!(
        shown(&world),
        ["wss://one.example:443", "wss://two.example:443"]
    );

    let take_back = |server: &str| Command::TakeBackStrangerDirect {
        server: server.into(),
    };
    world.command(take_back("wss://one.example:443")).unwrap();
    assert_eq!(
        world.command(take_back("wss://one.example:443")),
        Err(CommandErrorCode::NotNow)
    );
    assert_eq!(route_to_stranger(&mut world), StrangerRoute::RelayIfOffered);
    // Another path of the same server.
    set_server(&mut world, "wss://one.example/other");
    assert_eq!(route_to_stranger(&mut world), StrangerRoute::Relay);

    world
        .command(Command::SetStrangerRelay { on: true })
        .unwrap();
    assert_eq!(
        shown(&world),
        [""; 0],
        "who hides the address hides it everywhere"
    );
}

#[test]
fn consent_is_for_the_server_that_the_user_was_asked_about() {
    let mut world = World::new();
    set_server(&mut world, "wss://one.example/ws");
    find_no_turn_server(&mut world);
    assert_eq!(
        asked_about(&world).as_deref(),
        Some("wss://one.example:443")
    );

    // The settings change while the question is on the screen.
    set_server(&mut world, "wss://two.example/ws");
    assert_eq!(
        world.command(allow_at("wss://two.example:443")),
        Err(CommandErrorCode::NotNow),
        "nobody asked about that one"
    );
    world.command(allow_at("wss://one.example:443")).unwrap();
    assert_eq!(route_to_stranger(&mut world), StrangerRoute::Relay);
    assert_eq!(
        world.command(allow_at("wss://one.example:443")),
        Err(CommandErrorCode::NotNow),
        "the question is gone"
    );

    set_server(&mut world, "wss://one.example/ws");
    assert_eq!(route_to_stranger(&mut world), StrangerRoute::RelayIfOffered);
}

#[test]
fn only_a_search_for_anyone_behind_turn_asks_to_go_directly() {
    let mut world = World::new();
    find_no_turn_server(&mut world);
    assert!(asked_about(&world).is_some());

    let code = "garden-42".into();
    world.command(Command::CallWithCode { code }).unwrap();
    world.call_event(ended(EndCode::NoTurnServer));
    assert_eq!(asked_about(&world), None, "no stranger");

    world.command(Command::FindPartner).unwrap();
    world.call_event(ended(EndCode::NoStunServer));
    assert_eq!(asked_about(&world), None, "it would not help");

    world
        .command(Command::SetStrangerRelay { on: false })
        .unwrap();
    find_no_turn_server(&mut world);
    assert_eq!(asked_about(&world), None, "the user has agreed already");
}

#[test]
fn consent_from_older_settings_is_asked_for_again() {
    for (saved, expected) in [
        ("true", &[][..]),
        (
            "[\"wss://one.example:443\", 7, \"not a server\"]",
            &["wss://one.example:443"],
        ),
    ] {
        let settings: Settings =
            serde_json::from_str(&format!("{{\"strangerDirect\":{saved}}}")).unwrap();
        let servers = settings.stranger_direct.iter();
        let servers: Vec<&str> = servers.map(ServerOrigin::as_str).collect();
        assert_eq!(servers, expected, "{saved}");
        let again: Settings =
            serde_json::from_str(&serde_json::to_string(&settings).unwrap()).unwrap();
        assert_eq!(again, settings);
    }
}

#[test]
fn a_search_without_a_turn_server_can_be_repeated_after_the_user_was_asked() {
    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.call_event(ended(EndCode::NoTurnServer));
    let Screen::Ended { again, .. } = world.screen() else {
        panic!("{:?}", world.screen());
    };
    assert_eq!(*again, Some(Search::Anyone));

    let server = asked_about(&world).expect("the user is asked");
    world.command(allow_at(&server)).unwrap();
    world.effects();
    world.command(Command::Next).unwrap();
    let plan = world.start_call_plan().stranger.expect("it is a stranger");
    assert_eq!(plan.route, StrangerRoute::RelayIfOffered);
}

#[test]
fn nothing_is_released_before_the_page_shows_who_it_is() {
    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.call_event(matched());
    let first = stranger(&world).id;
    world.call_event(CallEventKind::Connected);
    let released = |world: &mut World| {
        let effects = world.effects();
        let releases = |effect: &&Effect| matches!(effect, Effect::ReleaseMedia(..));
        effects.iter().filter(releases).count()
    };
    assert_eq!(released(&mut world), 0, "a match releases nothing");
    assert!(!stranger(&world).shown);

    // The next one is another stranger.
    world.command(Command::Next).unwrap();
    world.call_event(CallEventKind::Searching);
    assert_eq!(world.app.state().stranger, None);
    world.call_event(matched());
    assert_ne!(stranger(&world).id, first);
    assert_eq!(
        world.command(Command::StrangerShown { id: first }),
        Err(CommandErrorCode::NotNow)
    );
    assert_eq!(released(&mut world), 0);

    let id = stranger(&world).id;
    world.command(Command::StrangerShown { id }).unwrap();
    assert!(stranger(&world).shown);
    assert_eq!(released(&mut world), 1);
}

#[test]
fn people_who_know_each_other_are_no_strangers() {
    let mut world = World::new();
    let code = "garden-42".into();
    world.command(Command::CallWithCode { code }).unwrap();
    world.find_partner();
    assert_eq!(world.app.state().stranger, None);
    for command in [report(ReportReason::Spam), Command::Block] {
        assert_eq!(world.command(command), Err(CommandErrorCode::NotNow));
    }
}

#[test]
fn a_stranger_is_reported_once_in_the_call_or_after_it() {
    for after_the_call in [false, true] {
        let mut world = World::connected_to_server();
        world.connect();
        if after_the_call {
            world.call_event(ended(EndCode::PartnerLeft));
        }

        world.effects();
        world.command(report(ReportReason::Harassment)).unwrap();
        let sent = reports(&mut world);
        let [sent] = &sent[..] else {
            panic!("one report: {sent:?}");
        };
        assert_eq!(sent.category, ReportCategory::Harassment);
        assert_eq!(sent.text.as_deref(), Some("Shouts."));
        assert!(sent.snapshot && sent.meeting.line == world.app.line_id());
        assert_eq!(
            (
                sent.meeting.session_id.as_str(),
                sent.meeting.partner_id.as_str()
            ),
            ("s", "p")
        );
        assert_eq!(stranger(&world).report, ReportStatus::Sending);
        assert_eq!(
            world.command(report(ReportReason::Spam)),
            Err(CommandErrorCode::NotNow)
        );

        if after_the_call {
            world.line(LineEvent::Reported(ReportOutcome::Recorded));
        } else {
            world.call_event(CallEventKind::Reported(ReportOutcome::Recorded));
        }

        assert_eq!(stranger(&world).report, ReportStatus::Sent);
        assert_eq!(
            world.command(report(ReportReason::Spam)),
            Err(CommandErrorCode::NotNow)
        );
    }
}

#[test]
fn a_report_that_was_not_taken_can_be_sent_again() {
    let mut world = World::new();
    world.connect();
    for (outcome, status) in [
        (ReportOutcome::Failed, ReportStatus::Failed),
        (ReportOutcome::NotRecorded, ReportStatus::NotRecorded),
    ] {
        world.command(report(ReportReason::Minor)).unwrap();
        world.call_event(CallEventKind::Reported(outcome));
        assert_eq!(stranger(&world).report, status);
    }

    let text = "x".repeat(1_001);
    let long = Command::Report {
        reason: ReportReason::Other,
        text,
        snapshot: false,
    };
    assert_eq!(world.command(long), Err(CommandErrorCode::BadReport));
}

/// Without the connection, the server would not know who reports.
#[test]
fn a_report_after_the_call_goes_where_the_call_was_even_if_that_connected_by_itself() {
    let mut world = World::new();
    // The connection of the home screen is not up yet.
    world.command(Command::FindPartner).unwrap();
    let plan = world.start_call_plan();
    let line = plan.line.expect("the call leaves its connection");
    world.find_partner();
    world.command(Command::HangUp).unwrap();
    world.effects();
    world.command(report(ReportReason::Spam)).unwrap();

    assert_eq!(reports(&mut world)[0].meeting.line, Some(line));
    assert_eq!(world.app.line_id(), Some(line));
}

#[test]
fn blocking_ends_the_call_and_is_possible_after_it() {
    let mut world = World::new();
    world.connect();
    world.effects();
    world.command(Command::Block).unwrap();
    let effects = world.effects();
    let at = |what: fn(&Effect) -> bool| effects.iter().position(what);
    let (block, end) = (
        at(|effect| matches!(effect, Effect::Block(_))),
        at(|effect| matches!(effect, Effect::EndCall(_))),
    );
    assert!(block.is_some() && block < end, "{effects:?}");
    assert!(matches!(
        world.screen(),
        Screen::Ended {
            reason: EndCode::HungUp,
            again: Some(Search::Anyone),
            ..
        }
    ));
    assert_eq!(stranger(&world).block, BlockStatus::Sending, "not yet");
    assert_eq!(world.command(Command::Block), Err(CommandErrorCode::NotNow));

    let mut world = World::connected_to_server();
    world.connect();
    world.call_event(ended(EndCode::PartnerLeft));
    world.command(Command::Block).unwrap();
    let other = BlockOutcome::Blocked("someone else".into());
    world.line(LineEvent::Blocked(other));
    assert_eq!(stranger(&world).block, BlockStatus::Sending);
    let confirmed = BlockOutcome::Blocked("p".into());
    world.line(LineEvent::Blocked(confirmed));
    assert_eq!(stranger(&world).block, BlockStatus::Blocked);

    // Back home, it is over.
    world.command(Command::ToLobby).unwrap();
    assert_eq!(world.app.state().stranger, None);
    assert!(world.effects().contains(&Effect::ForgetFrame));
}

/// Without an answer, nothing is claimed; a late one counts.
#[test]
fn the_server_has_ten_seconds_to_answer_a_report_and_a_block() {
    let mut world = World::connected_to_server();
    world.connect();
    world.call_event(ended(EndCode::PartnerLeft));
    world.command(report(ReportReason::Spam)).unwrap();
    world.wait(Duration::from_secs(6));
    world.command(Command::Block).unwrap();
    world.wait(Duration::from_millis(3_900));
    assert_eq!(stranger(&world).report, ReportStatus::Sending);
    world.wait(Duration::from_millis(200));
    assert_eq!(stranger(&world).report, ReportStatus::Failed);
    assert_eq!(stranger(&world).block, BlockStatus::Sending);
    world.wait(Duration::from_secs(6));
    assert_eq!(stranger(&world).block, BlockStatus::Failed);
    assert_eq!(world.app.poll_timeout(), None);

    world.line(LineEvent::Reported(ReportOutcome::Failed));
    assert_eq!(stranger(&world).report, ReportStatus::Failed);
    world.line(LineEvent::Reported(ReportOutcome::Recorded));
    assert_eq!(stranger(&world).report, ReportStatus::Sent);
    world.line(LineEvent::Blocked(BlockOutcome::Blocked("p".into())));
    assert_eq!(stranger(&world).block, BlockStatus::Blocked);
}

#[test]
fn a_report_whose_connection_is_lost_has_failed() {
    let lost = LineEvent::Lost {
        cause: ClientErrorCode::Unreachable,
    };
    for event in [None, Some(lost), Some(LineEvent::Closed)] {
        let mut world = World::connected_to_server();
        world.connect();
        if event.is_some() {
            world.call_event(ended(EndCode::PartnerLeft));
        }

        world.command(report(ReportReason::Spam)).unwrap();
        assert_eq!(stranger(&world).report, ReportStatus::Sending);
        match event {
            Some(event) => world.line(event),
            None => world.call_event(CallEventKind::SignalingLost),
        }

        assert_eq!(stranger(&world).report, ReportStatus::Failed);
    }
}

#[test]
fn nobody_is_shown_while_the_window_is_hidden() {
    let mut world = World::new();
    world.connect();
    let id = stranger(&world).id;
    world.input(Input::Visible(false));
    assert_eq!(
        world.command(Command::StrangerShown { id }),
        Err(CommandErrorCode::NotNow)
    );
    assert!(!stranger(&world).shown);

    world.input(Input::Visible(true));
    world.command(Command::StrangerShown { id }).unwrap();
    assert!(stranger(&world).shown);
}

#[test]
fn only_a_strangers_last_frame_is_kept_after_the_call() {
    for is_known in [true, false] {
        let mut world = World::new();
        if is_known {
            let code = "garden-42".into();
            world.command(Command::CallWithCode { code }).unwrap();
            world.find_partner();
        } else {
            world.connect();
        }

        world.effects();
        world.call_event(ended(EndCode::PartnerLeft));
        let effects = world.effects();
        let is_forgotten = effects.contains(&Effect::ForgetFrame);
        assert_eq!(is_forgotten, is_known, "{effects:?}");
    }
}

#[test]
fn interests_are_checked_remembered_and_sent_to_find_strangers_only() {
    let mut world = World::new();
    let set = |interests: &[&str]| Command::SetInterests {
        interests: interests.iter().map(|text| (*text).to_owned()).collect(),
    };
    world
        .command(set(&[" chess", "", "Chess", "sailing"]))
        .unwrap();
    let expected = ["chess".to_owned(), "sailing".to_owned()];
    assert_eq!(world.app.state().settings.interests, expected);

    let long = "x".repeat(33);
    let many: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for interests in [&[long.as_str()][..], &many] {
        assert_eq!(
            world.command(set(interests)),
            Err(CommandErrorCode::BadInterests)
        );
    }

    world.effects();
    world.command(Command::FindPartner).unwrap();
    let plan = world.start_call_plan().stranger.expect("it is a stranger");
    assert_eq!(plan.interests, expected);
    world.find_partner();
    assert_eq!(stranger(&world).interests, ["chess"], "those in common");
}
