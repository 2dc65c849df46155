//! Calls that begin only when the partner is verified.

use super::*;

const PEER: PeerId = PeerId(0);

fn pake(text: &str) -> Input {
    Input::Move {
        session_id: "s1".into(),
        pake: text.into(),
    }
}

fn check(text: &str) -> Effect {
    Effect::CheckMove {
        peer: PEER,
        pake: text.into(),
    }
}

fn sent(text: &str) -> Effect {
    Effect::Send(Outgoing::Move {
        to: "them".into(),
        pake: text.into(),
    })
}

#[test]
fn the_call_begins_when_it_is_connected_and_verified_in_either_order() {
    let (connected, verified) = (Input::PeerConnected(PEER), Input::PartnerVerified(PEER));
    for order in [[&connected, &verified], [&verified, &connected]] {
        let mut bench = Bench::verifying().connecting(true);
        bench.feed(answer());
        assert!(
            !bench
                .feed(order[0].clone())
                .contains(&Effect::Notify(Notice::Connected)),
            "not yet"
        );
        assert_eq!(bench.machine.phase(), Phase::Connecting);
        let effects = bench.feed(order[1].clone());
        assert_eq!(effects, [Effect::Notify(Notice::Connected)]);
        assert_eq!(bench.machine.phase(), Phase::InCall);
    }
}

#[test]
fn a_call_that_is_not_verified_in_time_never_begins() {
    let mut bench = Bench::verifying().connecting(true);
    bench.feed(answer());
    bench.feed(Input::PeerConnected(PEER));
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.ended_with(), Some(EndCode::ConnectTimeout));
}

#[test]
fn a_move_is_checked_when_a_candidate_would_be_held_or_dropped() {
    // Before any description, and after more candidates than are held.
    let mut bench = Bench::verifying().connecting(true);
    for number in 0..100 {
        assert_eq!(bench.feed(candidate(&number.to_string())), []);
    }
    assert_eq!(bench.feed(pake("x")), [check("x")]);

    // While the partner's offer lost a collision.
    let mut bench = Bench::new().in_call();
    bench.feed(Input::RouteLost(PEER));
    bench.feed(offer());
    assert_eq!(
        bench.feed(candidate("late")),
        [],
        "it belongs to the lost offer"
    );
    assert_eq!(bench.feed(pake("y")), [check("y")]);
}

#[test]
fn a_move_of_another_session_is_not_checked() {
    let mut bench = Bench::verifying().connecting(true);
    let other = Input::Move {
        session_id: "s0".into(),
        pake: "x".into(),
    };
    assert_eq!(bench.feed(other), []);
}

#[test]
fn the_last_move_is_sent_again_when_the_server_is_back() {
    let mut bench = Bench::verifying().connecting(true);
    bench.feed(answer());
    assert_eq!(bench.feed(Input::LocalMove(PEER, "x".into())), [sent("x")]);

    // It may have been written into the connection that broke.
    bench.feed(Input::SignalingDown);
    let resumed = Input::SignalingResumed {
        session_id: Some("s1".into()),
    };
    assert!(bench.feed(resumed.clone()).contains(&sent("x")));

    bench.feed(Input::SignalingDown);
    assert_eq!(bench.feed(Input::LocalMove(PEER, "y".into())), []);
    let effects = bench.feed(resumed);
    assert!(
        effects.contains(&sent("y")) && !effects.contains(&sent("x")),
        "{effects:?}"
    );
}

#[test]
fn a_mismatch_ends_the_call_after_the_last_move() {
    let mut bench = Bench::verifying().connecting(false);
    assert_eq!(bench.feed(Input::LocalMove(PEER, "x".into())), [sent("x")]);
    assert_eq!(
        bench.feed(Input::CodeMismatch(PEER)),
        [
            end_session(),
            Effect::ClosePeer(PEER),
            ended(EndCode::CodeMismatch)
        ]
    );
}

#[test]
fn a_connection_that_the_partner_closes_may_be_explained_a_moment_later() {
    let connected = |in_call: bool| {
        let mut bench = Bench::verifying().connecting(true);
        bench.feed(answer());
        bench.feed(Input::PeerConnected(PEER));
        if in_call {
            bench.feed(Input::PartnerVerified(PEER));
        }
        bench.feed(Input::PeerClosed(PEER));
        assert_eq!(bench.ended_with(), None);
        bench
    };

    for in_call in [false, true] {
        let mut bench = connected(in_call);
        assert_eq!(bench.feed(pake("refusal")), [check("refusal")]);
        bench.feed(Input::CodeMismatch(PEER));
        assert_eq!(bench.ended_with(), Some(EndCode::CodeMismatch));

        let mut bench = connected(in_call);
        bench.feed(Input::PartnerLeft {
            session_id: "s1".into(),
            departure: Departure::Left,
        });
        assert_eq!(bench.ended_with(), Some(EndCode::PartnerLeft));

        let mut bench = connected(in_call);
        bench.pass(Duration::from_secs(1));
        let expected = if in_call {
            EndCode::PartnerLeft
        } else {
            EndCode::ConnectionFailed
        };
        assert_eq!(bench.ended_with(), Some(expected), "nothing more came");
    }
}

#[test]
fn other_calls_wait_for_an_explanation_once_they_have_begun() {
    let mut bench = Bench::new().connecting(true);
    bench.feed(Input::PeerClosed(PEER));
    assert_eq!(bench.ended_with(), Some(EndCode::ConnectionFailed));

    // The partner's user may have said that the safety words differ.
    let mut bench = Bench::new().in_call();
    bench.feed(Input::PeerClosed(PEER));
    assert_eq!(bench.ended_with(), None);
    assert_eq!(bench.feed(pake("refusal")), [check("refusal")]);
    bench.feed(Input::CodeMismatch(PEER));
    assert_eq!(bench.ended_with(), Some(EndCode::CodeMismatch));

    let mut bench = Bench::new().in_call();
    bench.feed(Input::PeerClosed(PEER));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.ended_with(), Some(EndCode::PartnerLeft));

    // Nothing can come any more.
    let mut bench = Bench::new().in_call();
    bench.feed(Input::SignalingDown);
    bench.feed(Input::PeerClosed(PEER));
    assert_eq!(bench.ended_with(), Some(EndCode::PartnerLeft));
}
