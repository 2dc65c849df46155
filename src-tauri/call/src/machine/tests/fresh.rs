//! Fresh peer connections under the same call.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn offer_on(connection: u32) -> Input {
    Input::Offer {
        session_id: "s1".into(),
        connection: Some(connection),
        offer: "offer".into(),
    }
}

fn answer_on(connection: u32) -> Input {
    Input::Answer {
        session_id: "s1".into(),
        connection: Some(connection),
        answer: "answer".into(),
    }
}

fn candidate_on(connection: Option<u32>, name: &str) -> Input {
    Input::Candidate {
        session_id: "s1".into(),
        connection,
        candidate: name.into(),
    }
}

fn broken(peer: u32) -> Input {
    Input::PeerFaulted(PeerId(peer), PeerFault::Internal)
}

/// This side begins connection `number`, and offers it.
fn made(peer: u32, number: u32) -> [Effect; 2] {
    let peer = PeerId(peer);
    [
        Effect::ReplacePeer { peer, number },
        Effect::CreateOffer {
            peer,
            restart: false,
        },
    ]
}

/// This side takes the partner's offer of connection `number`.
fn taken(peer: u32, number: u32) -> [Effect; 2] {
    let peer = PeerId(peer);
    [
        Effect::ReplacePeer { peer, number },
        Effect::ApplyOffer {
            peer,
            offer: "offer".into(),
            rollback: false,
        },
    ]
}

fn restarts(effects: &[Effect]) -> usize {
    let is_restart = |effect: &&Effect| matches!(effect, Effect::CreateOffer { restart: true, .. });
    effects.iter().filter(is_restart).count()
}

impl Bench {
    /// In a call with a partner that can take a fresh connection.
    fn renewable(initiator: bool) -> Self {
        let mut bench = Self::new().connecting(initiator);
        bench.feed(if initiator { answer_on(0) } else { offer_on(0) });
        bench.feed(Input::PeerConnected(PeerId(0)));
        assert_eq!(bench.machine.phase(), Phase::InCall);
        bench
    }
}

#[test]
fn a_connection_that_broke_is_replaced_under_the_same_call() {
    for initiator in [true, false] {
        let mut bench = Bench::renewable(initiator);
        assert_eq!(bench.feed(broken(0)), made(1, 1));
        assert_eq!(bench.feed(broken(0)), [], "that one is gone");

        let sent = bench.feed(Input::LocalOffer(PeerId(1), "mine".into()));
        assert!(matches!(sent[..], [Effect::Send(Outgoing::Offer { .. })]));
        let applied = Effect::ApplyAnswer {
            peer: PeerId(1),
            answer: "answer".into(),
        };
        assert_eq!(bench.feed(answer_on(1)), [applied]);

        bench.now += SECOND;
        assert_eq!(bench.feed(Input::PeerConnected(PeerId(1))), []);
        assert_eq!(bench.machine.phase(), Phase::InCall, "it never ended");
        assert_eq!(bench.machine.peer(), Some(PeerId(1)));
    }
}

#[test]
fn a_partner_that_numbers_no_connections_gets_no_fresh_one() {
    let mut bench = Bench::new().in_call();
    bench.feed(broken(0));
    assert_eq!(bench.ended_with(), Some(EndCode::ConnectionFailed));

    // Nothing comes of restarts either, and they go on.
    let mut bench = Bench::new().in_call();
    for _ in 0..5 {
        let effects = bench.pass(10 * SECOND);
        assert_eq!(restarts(&effects), 1, "{effects:?}");
        bench.feed(answer());
    }

    assert_eq!(bench.machine.peer(), Some(PeerId(0)));
}

#[test]
fn a_connection_that_never_came_up_is_not_replaced() {
    let mut bench = Bench::new().connecting(true);
    bench.feed(answer_on(0));
    bench.feed(broken(0));
    assert_eq!(bench.ended_with(), Some(EndCode::ConnectionFailed));
}

#[test]
fn two_restarts_that_bring_nothing_are_followed_by_a_fresh_connection() {
    let mut bench = Bench::renewable(true);
    for _ in 0..2 {
        assert_eq!(restarts(&bench.pass(10 * SECOND)), 1);
        bench.feed(answer_on(0));
    }

    let effects = bench.pass(10 * SECOND);
    assert_eq!(effects, made(1, 1));

    // One that brings packets is not counted.
    let mut bench = Bench::renewable(true);
    for _ in 0..5 {
        assert_eq!(restarts(&bench.pass(10 * SECOND + MS)), 1);
        bench.feed(answer_on(0));
        bench.feed(Input::Heard(PeerId(0), bench.now + MS));
    }
}

#[test]
fn changes_of_the_network_in_quick_succession_only_restart_ice() {
    let mut bench = Bench::renewable(true);
    for _ in 0..6 {
        let effects = bench.feed(Input::RouteLost(PeerId(0)));
        assert_eq!(restarts(&effects), 1, "{effects:?}");
        bench.feed(answer_on(0));
        bench.now += SECOND;
    }
}

#[test]
fn a_restart_that_cannot_be_made_for_long_is_followed_by_a_fresh_connection() {
    let mut bench = Bench::renewable(true);
    assert_eq!(restarts(&bench.feed(Input::RouteLost(PeerId(0)))), 1);
    assert_eq!(bench.feed(Input::RestartFailed(PeerId(0))), []);
    assert_eq!(restarts(&bench.pass(10 * SECOND)), 1);
    assert_eq!(bench.feed(Input::RestartFailed(PeerId(0))), made(1, 1));
}

#[test]
fn a_fresh_connection_waits_until_the_partner_can_answer() {
    let away = Input::PartnerReconnecting {
        session_id: "s1".into(),
    };
    let back = Input::PartnerResumed {
        session_id: "s1".into(),
    };
    let mut bench = Bench::renewable(true);
    bench.feed(away);
    assert_eq!(bench.feed(broken(0)), []);
    assert!(bench.feed(back).ends_with(&made(1, 1)));

    let mut bench = Bench::renewable(true);
    bench.feed(Input::SignalingDown);
    assert_eq!(bench.feed(broken(0)), []);
    let resumed = bench.feed(Input::SignalingResumed {
        session_id: Some("s1".into()),
    });
    assert!(resumed.ends_with(&made(1, 1)), "{resumed:?}");
}

#[test]
fn silence_ends_a_call_whose_fresh_connection_does_not_come_up() {
    let mut bench = Bench::renewable(true);
    bench.feed(Input::SignalingDown);
    bench.feed(broken(0));
    bench.pass(30 * SECOND - MS);
    assert_eq!(bench.ended_with(), None);
    bench.pass(MS);
    assert_eq!(bench.ended_with(), Some(EndCode::PartnerVanished));

    let mut bench = Bench::renewable(true);
    bench.feed(broken(0));
    bench.feed(answer_on(1));
    bench.pass(120 * SECOND);
    assert_eq!(bench.ended_with(), Some(EndCode::PartnerVanished));
}

#[test]
fn a_server_that_forgot_the_session_leaves_nothing_to_replace_it_with() {
    let mut bench = Bench::renewable(true);
    bench.feed(Input::SignalingDown);
    bench.feed(Input::SignalingUp);
    bench.feed(broken(0));
    assert_eq!(bench.ended_with(), Some(EndCode::ConnectionFailed));
}

#[test]
fn an_offer_of_a_fresh_connection_that_is_lost_is_made_again_at_a_bounded_pace() {
    let mut bench = Bench::renewable(true);
    assert_eq!(bench.feed(broken(0)), made(1, 1));
    let begin = bench.now;
    let effects = bench.pass(10 * SECOND);
    assert!(effects.ends_with(&made(2, 2)), "{effects:?}");

    // Each one fails at once.
    let mut made = 0;
    let mut peer = 2;
    while bench.now < begin + 60 * SECOND {
        bench.feed(broken(peer));
        let replaced = bench.pass(SECOND);
        let is_made = |effect: &&Effect| matches!(effect, Effect::ReplacePeer { .. });
        let count = replaced.iter().filter(is_made).count() as u32;
        (made, peer) = (made + count, peer + count);
    }

    assert_eq!(made, 5, "one in ten seconds");
}

#[test]
fn connections_that_come_up_and_break_again_end_the_call() {
    let mut bench = Bench::renewable(true);
    let is_made = |effect: &Effect| matches!(effect, Effect::ReplacePeer { .. });
    let mut peer = 0;
    while peer < 20 {
        let mut is_replaced = bench.feed(broken(peer)).iter().any(is_made);
        if bench.ended_with().is_some() {
            break;
        }

        // One in ten seconds.
        for _ in 0..11 {
            is_replaced = is_replaced || bench.pass(SECOND).iter().any(is_made);
        }
        assert!(is_replaced, "connection {peer} is replaced");
        peer += 1;
        bench.feed(answer_on(peer));
        bench.feed(Input::PeerConnected(PeerId(peer)));
    }

    assert_eq!(bench.ended_with(), Some(EndCode::ConnectionFailed));
    assert_eq!(peer, 9, "the tenth in a row");
}

#[test]
fn a_side_whose_own_fresh_connection_broke_takes_the_partners() {
    let mut bench = Bench::renewable(true);
    bench.feed(broken(0));
    bench.feed(broken(1));
    let taken = bench.feed(offer_on(1));
    let is_taken = |effect: &Effect| matches!(effect, Effect::ReplacePeer { number: 1, .. });
    assert!(taken.iter().any(is_taken), "{taken:?}");
}

#[test]
fn the_partners_fresh_connection_takes_the_place_of_the_present_one() {
    for initiator in [true, false] {
        let mut bench = Bench::renewable(initiator);
        // Whatever this side was about to do on the one before is void.
        bench.feed(Input::RouteLost(PeerId(0)));
        assert_eq!(bench.feed(offer_on(1)), taken(1, 1));
        assert_eq!(
            bench.feed(Input::LocalOffer(PeerId(0), "old".into())),
            [],
            "an offer of the connection before"
        );
        assert_eq!(
            bench.feed(Input::LocalCandidate(PeerId(0), "old".into())),
            []
        );
        assert_eq!(bench.feed(answer_on(0)), []);
        let sent = bench.feed(Input::LocalAnswer(PeerId(1), "mine".into()));
        assert!(matches!(sent[..], [Effect::Send(Outgoing::Answer { .. })]));
    }
}

#[test]
fn messages_of_an_earlier_connection_are_dropped() {
    let mut bench = Bench::renewable(true);
    bench.feed(broken(0));
    assert_eq!(bench.feed(answer_on(0)), [], "a late answer to a restart");
    assert_eq!(bench.feed(answer()), []);
    assert_eq!(bench.feed(offer_on(0)), [], "a restart on the way");
    for old in [None, Some(0)] {
        assert_eq!(bench.feed(candidate_on(old, "old")), []);
    }

    bench.feed(candidate_on(Some(1), "new"));
    let added = Effect::AddCandidate {
        peer: PeerId(1),
        candidate: "new".into(),
    };
    assert_eq!(bench.feed(answer_on(1))[1..], [added]);
    assert_eq!(bench.feed(candidate_on(None, "old")), []);
    assert_eq!(bench.feed(candidate_on(Some(2), "of none")), []);
}

#[test]
fn two_fresh_connections_at_once_become_that_of_the_initiator() {
    let mut initiator = Bench::renewable(true);
    let mut polite = Bench::renewable(false);
    initiator.feed(broken(0));
    polite.feed(broken(0));

    assert_eq!(initiator.feed(offer_on(1)), [], "its own wins");
    assert_eq!(initiator.feed(candidate_on(Some(1), "void")), []);
    assert_eq!(polite.feed(offer_on(1)), taken(2, 1), "and this one yields");
    assert_eq!(
        polite.feed(Input::LocalOffer(PeerId(1), "mine".into())),
        [],
        "with the offer that it was making"
    );

    let answered = initiator.feed(answer_on(1));
    let applied = Effect::ApplyAnswer {
        peer: PeerId(1),
        answer: "answer".into(),
    };
    assert_eq!(answered, [applied], "and no candidate of what has yielded");
}

#[test]
fn ice_restarts_on_a_fresh_connection_as_on_the_first() {
    let mut bench = Bench::renewable(false);
    bench.feed(offer_on(1));
    bench.feed(Input::PeerConnected(PeerId(1)));
    assert_eq!(restarts(&bench.feed(Input::RouteLost(PeerId(1)))), 1);
    let effects = bench.feed(offer_on(1));
    let rolled_back = Effect::ApplyOffer {
        peer: PeerId(1),
        offer: "offer".into(),
        rollback: true,
    };
    assert_eq!(effects, [rolled_back]);
}

#[test]
fn a_partner_cannot_make_this_side_connect_in_a_loop() {
    let mut bench = Bench::renewable(false);
    for number in 1..=6 {
        assert_eq!(bench.feed(offer_on(number)), taken(number, number));
    }

    bench.feed(offer_on(7));
    assert_eq!(bench.ended_with(), Some(EndCode::PartnerMisbehaved));

    // One that is made again and again because its answers get lost is honest.
    let mut bench = Bench::renewable(false);
    for number in 1..=12 {
        bench.now += 10 * SECOND;
        bench.feed(offer_on(number));
        bench.feed(Input::Heard(PeerId(number), bench.now));
    }

    assert_eq!(bench.ended_with(), None);
}

#[test]
fn the_highest_number_is_the_last() {
    let mut bench = Bench::renewable(false);
    bench.feed(offer_on(u32::MAX));
    bench.feed(Input::PeerConnected(PeerId(1)));
    bench.feed(broken(1));
    assert_eq!(bench.ended_with(), Some(EndCode::ConnectionFailed));
}

#[test]
fn the_call_begins_on_the_fresh_connection_if_the_partner_needs_one_before() {
    let mut bench = Bench::new().connecting(false);
    bench.feed(offer_on(0));
    assert_eq!(bench.feed(offer_on(1)), taken(1, 1));
    assert_eq!(bench.feed(Input::PeerConnected(PeerId(0))), []);
    assert_eq!(bench.machine.phase(), Phase::Connecting);
    let connected = bench.feed(Input::PeerConnected(PeerId(1)));
    assert_eq!(connected, [Effect::Notify(Notice::Connected)]);
}
