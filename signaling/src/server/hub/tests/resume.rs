//! Connections that break and come back.

use super::*;

#[test]
fn a_resume_takes_the_place_of_the_old_connection() {
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
    let (c, heard) = world.come_back(a, 2);
    let [
        ServerMessage::Resumed(resumed),
        ServerMessage::IceCandidate(third),
        ServerMessage::IceCandidate(fourth),
    ] = &heard[..]
    else {
        panic!("resumed and two messages were expected: {heard:?}")
    };

    assert_eq!(
        (resumed.missed, resumed.session_id.as_ref()),
        (2, Some(&session))
    );

    assert_eq!(
        (third.seq, fourth.seq),
        (3, 4),
        "the one that was written and the one that was kept"
    );
    assert_eq!(world.kinds(b), ["partner_resumed"]);
    assert_eq!(
        (world.socket(c), world.user(c)),
        (socket.clone(), user),
        "names stay"
    );

    world.say(b, candidate(socket));
    assert!(matches!(&world.take(c)[..], [ServerMessage::IceCandidate(fifth)] if fifth.seq == 5));
    world.say(c, candidate(world.socket(b)));

    assert_eq!(world.kinds(b), ["ice_candidate"]);
    world.wait(60);
    assert_eq!(
        world.session(c),
        session,
        "the old connection's time has no meaning any more"
    );
}

#[test]
fn a_token_is_good_once_and_only_at_first() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let resume = |resume_token: String| ClientMessage::Resume {
        resume_token,
        last_seq: 0,
    };

    let used = world.hub.peers[&a].token.clone();
    let c = world.join();
    let fresh = world.hub.peers[&c].token.clone();

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

    let (d, heard) = world.come_back(a, 0);
    assert!(
        matches!(heard[0], ServerMessage::Resumed(_)),
        "also while the old connection seems to live"
    );
    assert_eq!(world.closed.get(&a), Some(&CloseReason::Replaced));
    assert_eq!(world.kinds(b), ["partner_reconnecting", "partner_resumed"]);
    let e = world.join();

    assert_eq!(
        code(&world.say(e, resume(used))),
        ErrorCode::Unauthorized,
        "used"
    );

    let f = world.join();
    assert!(
        matches!(world.say(f, resume(fresh))[0], ServerMessage::Resumed(_)),
        "c's own token is still good"
    );

    let (g, heard) = world.come_back(d, 0);
    assert!(
        matches!(heard[0], ServerMessage::Resumed(_)),
        "the new connection's token is the valid one"
    );
    assert!(world.hub.call(g).is_some());
    let own = world.join();
    let token = world.hub.peers[&own].token.clone();

    assert_eq!(
        code(&world.say(own, resume(token))),
        ErrorCode::Unauthorized,
        "nobody replaces themself"
    );
}

#[test]
fn the_sender_is_told_when_nothing_more_is_kept() {
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
    let (_, heard) = world.come_back(a, 0);

    assert!(
        matches!(&heard[0], ServerMessage::Resumed(resumed) if resumed.missed == 64 && heard.len() == 65)
    );
}

#[test]
fn who_comes_back_hears_what_became_of_the_call() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.lose(a);
    world.lose(b);
    let (c, heard) = world.come_back(a, 0);
    let heard: Vec<_> = heard.iter().map(ServerMessage::kind).collect();

    assert_eq!(
        heard,
        ["resumed", "partner_reconnecting"],
        "the partner is away, too"
    );

    world.lose(c);
    let (d, _) = world.come_back(b, 0);
    world.say(d, ClientMessage::Bye);
    let (_, heard) = world.come_back(c, 0);

    assert!(
        matches!(&heard[..], [ServerMessage::Resumed(resumed)] if resumed.session_id.is_none()),
        "{heard:?}"
    );

    let e = world.join();
    world.say(e, in_room("r"));
    world.lose(e);
    let (_, heard) = world.come_back(e, 0);

    assert!(matches!(&heard[..], [ServerMessage::Resumed(_)]));
    assert_eq!(world.hub.searching(), 0, "a search has ended");
}
