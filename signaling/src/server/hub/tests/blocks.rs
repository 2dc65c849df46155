//! Blocks, reports, and users with a token.

use super::*;

#[test]
fn a_block_ends_the_call_and_holds_while_both_are_there() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let received = world.say(
        a,
        ClientMessage::Block {
            partner_id: world.user(b),
        },
    );
    let received: Vec<_> = received.iter().map(ServerMessage::kind).collect();

    assert_eq!(received, ["session_ended", "blocked"]);
    assert_eq!(left(&world.take(b)), LeaveReason::Blocked);

    for key in [a, b] {
        world.say(key, in_room("r"));
    }

    world.wait(3600);
    assert!(
        world.hub.call(a).is_none(),
        "not in a room, and not after an hour"
    );

    assert_eq!(
        code(&world.say(
            a,
            ClientMessage::Block {
                partner_id: world.user(a)
            }
        )),
        ErrorCode::BadMessage
    );

    let unknown = world.say(
        a,
        ClientMessage::Block {
            partner_id: "gone".into(),
        },
    );

    assert!(
        matches!(unknown[..], [ServerMessage::Blocked(_)]),
        "blocking a user who is gone succeeds: that name never comes back"
    );

    let (c, _) = world.come_back(b, 0);
    for key in [a, c] {
        world.say(key, find());
    }

    world.wait(3600);
    assert!(
        world.hub.call(a).is_none(),
        "a block also holds after a resume"
    );

    world.lose(c);
    world.wait(30);
    assert!(
        world.hub.blocks.is_empty(),
        "blocks of clients that are gone take no memory"
    );
}

#[test]
fn a_call_can_be_reported_until_ten_minutes_after_its_end() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let (session, reported) = (world.session(a), world.user(b));
    let report = || ClientMessage::Report {
        session_id: session.clone(),
        category: ReportCategory::Spam,
        text: Some("x".into()),
        snapshot: None,
    };

    let received = world.say(a, report());
    let [ServerMessage::ReportReceived(received)] = &received[..] else {
        panic!("{received:?}")
    };

    assert_eq!(world.reports[0].report_id, received.report_id);
    assert_eq!(
        (
            &world.reports[0].reported.user_id,
            &world.reports[0].session_id
        ),
        (&reported, &session)
    );

    world.say(b, ClientMessage::Bye);
    world.take(a);
    world.wait(599);

    assert!(
        matches!(
            world.say(a, report())[..],
            [ServerMessage::ReportReceived(_)]
        ),
        "even when the partner is gone"
    );
    assert_eq!(world.reports[1].reported.user_id, reported);
    assert_eq!(
        world.reports[1].report_id, world.reports[0].report_id,
        "one report of each call and reporter: the second updates it"
    );
    world.wait(1);

    assert_eq!(
        code(&world.say(a, report())),
        ErrorCode::NoSuchSession,
        "ten minutes are over"
    );

    let unknown = ClientMessage::Report {
        session_id: "x".into(),
        category: ReportCategory::Spam,
        text: None,
        snapshot: None,
    };

    assert_eq!(code(&world.say(a, unknown)), ErrorCode::NoSuchSession);
    let (c, _) = world.pair();
    world.hub.config.takes_reports = false;
    let current = ClientMessage::Report {
        session_id: world.session(c),
        category: ReportCategory::Minor,
        text: None,
        snapshot: None,
    };

    world.take(c);
    assert_eq!(
        code(&world.say(c, current)),
        ErrorCode::Unavailable,
        "the server does not record reports, and says so"
    );
}

#[test]
fn a_report_names_both_sides_by_their_hashes() {
    let hash = |byte| PeerHash::of_bytes([byte; 16]);
    let mut world = World::new();
    let mut join = |peer| {
        let key = world.hub.connect(None, ClientRole::Anyone, Some(peer));
        world.settle();
        world.take(key);
        world.say(key, find());
        key
    };
    let (a, b) = (join(hash(1)), join(hash(2)));
    let report = ClientMessage::Report {
        session_id: world.session(a),
        category: ReportCategory::Spam,
        text: None,
        snapshot: None,
    };

    world.say(a, report.clone());
    let peers = |report: &Report| (report.reporter.peer, report.reported.peer);
    assert_eq!(peers(&world.reports[0]), (Some(hash(1)), Some(hash(2))));

    // It comes back from another network.
    let token = world.hub.clients[&b].token.as_str().to_owned();
    world.lose(b);
    let b = world.hub.connect(None, ClientRole::Anyone, Some(hash(3)));
    world.say(
        b,
        ClientMessage::Resume {
            resume_token: token,
            last_seq: 0,
        },
    );
    world.say(a, report.clone());
    assert_eq!(peers(&world.reports[1]).1, Some(hash(3)));
    world.say(b, ClientMessage::Bye);
    world.say(a, report);
    assert_eq!(
        peers(&world.reports[2]).1,
        Some(hash(3)),
        "where it was last, not where the call began"
    );
}

#[test]
fn a_person_with_a_token_stays_blocked_and_is_not_matched_with_itself() {
    let mut world = World::new();
    let join = |world: &mut World, subject: &str| {
        let key = world
            .hub
            .connect(Some(subject.into()), ClientRole::Anyone, None);
        world.settle();
        world.take(key);

        key
    };

    let (a, b) = (join(&mut world, "ann"), join(&mut world, "ann"));
    world.say(a, find());
    world.say(b, find());
    world.wait(60);

    assert!(world.hub.call(a).is_none(), "two devices of one person");
    let c = join(&mut world, "bob");
    world.say(c, find());
    world.say(
        c,
        ClientMessage::Block {
            partner_id: world.user(a),
        },
    );

    for key in [a, b, c] {
        world.say(key, ClientMessage::Bye);
    }

    let (a, c) = (join(&mut world, "ann"), join(&mut world, "bob"));
    world.say(a, find());
    world.say(c, find());
    world.wait(60);

    assert!(
        world.hub.call(a).is_none(),
        "ann and bob are never matched again, whatever their userIds"
    );

    let stolen = world.hub.clients[&a].token.as_str().to_owned();
    let thief = join(&mut world, "eve");
    let resume = ClientMessage::Resume {
        resume_token: stolen,
        last_seq: 0,
    };

    assert_eq!(
        code(&world.say(thief, resume)),
        ErrorCode::Unauthorized,
        "a resume token does not carry an identity"
    );
}
