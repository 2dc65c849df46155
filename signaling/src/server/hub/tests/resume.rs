//! Connections that break and come back.

use super::*;

#[test]
fn a_new_connection_continues_as_the_client_it_resumes() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let (socket, user, session) = (world.socket(a), world.user(a), world.session(a));

    for _ in 0..3 {
        world.say(b, candidate(socket.clone()));
    }

    world.take(a);
    world.lose(a);
    assert_eq!(world.kinds(b), ["partner_reconnecting"]);
    assert!(world.say(b, candidate(socket.clone())).is_empty(), "kept");
    let (c, received) = world.come_back(a, 2);
    let [
        ServerMessage::Resumed(resumed),
        ServerMessage::IceCandidate(third),
        ServerMessage::IceCandidate(fourth),
    ] = &received[..]
    else {
        panic!("expected resumed and two messages: {received:?}")
    };

    assert_eq!(
        (resumed.missed, resumed.session_id.as_ref()),
        (2, Some(&session))
    );

    assert_eq!(
        (third.seq, fourth.seq),
        (3, 4),
        "one was written before the connection broke, one was kept"
    );
    assert_eq!(world.kinds(b), ["partner_resumed"]);
    assert_eq!(
        (world.socket(c), world.user(c)),
        (socket.clone(), user),
        "the client keeps its ids"
    );

    world.say(b, candidate(socket));
    assert!(matches!(&world.take(c)[..], [ServerMessage::IceCandidate(fifth)] if fifth.seq == 5));
    world.say(c, candidate(world.socket(b)));

    assert_eq!(world.kinds(b), ["ice_candidate"]);
    world.wait(60);
    assert_eq!(
        world.session(c),
        session,
        "the end of the resume window no longer matters"
    );
}

#[test]
fn a_token_is_valid_once_and_only_in_the_first_message() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let resume = |resume_token: String| ClientMessage::Resume {
        resume_token,
        last_seq: 0,
    };

    let used = world.hub.clients[&a].token.as_str().to_owned();
    let c = world.join();
    let fresh = world.hub.clients[&c].token.as_str().to_owned();

    assert_eq!(
        code(&world.say(c, resume("unknown".into()))),
        ErrorCode::Unauthorized
    );

    assert_eq!(
        code(&world.say(c, resume(used.clone()))),
        ErrorCode::Unauthorized,
        "not the first message"
    );

    assert!(
        matches!(
            world.say(c, ClientMessage::CancelSearch)[..],
            [ServerMessage::SearchCancelled]
        ),
        "a new user"
    );

    let (d, received) = world.come_back(a, 0);
    assert!(
        matches!(received[0], ServerMessage::Resumed(_)),
        "even while the old connection looks open"
    );
    assert_eq!(world.closed.get(&a), Some(&CloseReason::Replaced));
    assert_eq!(world.kinds(b), ["partner_reconnecting", "partner_resumed"]);
    let e = world.join();

    assert_eq!(
        code(&world.say(e, resume(used))),
        ErrorCode::Unauthorized,
        "already used"
    );

    let f = world.join();
    assert!(
        matches!(world.say(f, resume(fresh))[0], ServerMessage::Resumed(_)),
        "c's own token is still valid"
    );

    let (g, received) = world.come_back(d, 0);
    assert!(
        matches!(received[0], ServerMessage::Resumed(_)),
        "the new connection's token is the valid one"
    );
    assert!(world.hub.call(g).is_some());
    let alone = world.join();
    let token = world.hub.clients[&alone].token.as_str().to_owned();

    assert_eq!(
        code(&world.say(alone, resume(token))),
        ErrorCode::Unauthorized,
        "a connection cannot resume itself"
    );
}

#[test]
fn the_sender_gets_an_error_when_nothing_more_is_kept() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    world.lose(a);
    world.take(b);
    let to = world.socket(a);

    assert!(
        (0..64).all(|_| world.say(b, candidate(to.clone())).is_empty()),
        "64 are kept"
    );
    assert_eq!(code(&world.say(b, candidate(to))), ErrorCode::PartnerGone);
    let (_, received) = world.come_back(a, 0);

    assert!(
        matches!(&received[0], ServerMessage::Resumed(resumed) if resumed.missed == 64 && received.len() == 65)
    );
}

#[test]
fn a_resume_says_what_became_of_the_call() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.lose(a);
    world.lose(b);
    let (c, received) = world.come_back(a, 0);
    let received: Vec<_> = received.iter().map(ServerMessage::kind).collect();

    assert_eq!(
        received,
        ["resumed", "partner_reconnecting"],
        "the partner is away too"
    );

    world.lose(c);
    let (d, _) = world.come_back(b, 0);
    world.say(d, ClientMessage::Bye);
    let (_, received) = world.come_back(c, 0);

    assert!(
        matches!(&received[..], [ServerMessage::Resumed(resumed)] if resumed.session_id.is_none()),
        "{received:?}"
    );

    let e = world.join();
    world.say(e, in_room("r"));
    world.lose(e);
    let (_, received) = world.come_back(e, 0);

    assert!(matches!(&received[..], [ServerMessage::Resumed(_)]));
    assert_eq!(world.hub.searching(), 0, "the search has ended");
}
