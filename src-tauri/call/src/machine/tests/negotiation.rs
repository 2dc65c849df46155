//! From the match to the connection: offers, answers and candidates.

use super::*;

fn add(name: &str) -> Effect {
    Effect::AddCandidate {
        peer: PeerId(0),
        candidate: name.into(),
    }
}

#[test]
fn the_initiator_offers_and_connects() {
    let mut bench = Bench::new().searching();
    let found = partner("s1", true);
    assert_eq!(
        bench.feed(Input::PartnerFound(found.clone())),
        [
            Effect::Notify(Notice::Matched(found)),
            Effect::CreatePeer(PeerId(0)),
            Effect::CreateOffer {
                peer: PeerId(0),
                restart: false
            }
        ]
    );

    assert_eq!(
        bench.feed(Input::LocalOffer(PeerId(0), "mine".into())),
        [Effect::Send(Outgoing::Offer {
            to: "them".into(),
            offer: "mine".into()
        })]
    );

    assert_eq!(
        bench.feed(Input::LocalCandidate(PeerId(0), "c".into())),
        [Effect::Send(Outgoing::Candidate {
            to: "them".into(),
            candidate: "c".into()
        })]
    );

    assert_eq!(
        bench.feed(answer()),
        [Effect::ApplyAnswer {
            peer: PeerId(0),
            answer: "answer".into()
        }]
    );
    assert_eq!(
        bench.feed(answer()),
        [],
        "a second answer has no offer to answer"
    );
    assert_eq!(
        bench.feed(Input::PeerConnected(PeerId(0))),
        [Effect::Notify(Notice::Connected)]
    );
    assert_eq!(bench.machine.phase(), Phase::InCall);
}

#[test]
fn the_other_side_answers_and_applies_early_candidates_in_order() {
    let mut bench = Bench::new().connecting(false);
    assert_eq!(
        bench.feed(candidate("a")),
        [],
        "a candidate that comes before the offer is held"
    );
    assert_eq!(bench.feed(candidate("b")), []);
    assert_eq!(
        bench.feed(offer()),
        [
            Effect::ApplyOffer {
                peer: PeerId(0),
                offer: "offer".into(),
                rollback: false
            },
            add("a"),
            add("b")
        ]
    );

    assert_eq!(
        bench.feed(Input::LocalAnswer(PeerId(0), "mine".into())),
        [Effect::Send(Outgoing::Answer {
            to: "them".into(),
            answer: "mine".into()
        })]
    );

    assert_eq!(
        bench.feed(candidate("c")),
        [add("c")],
        "a later one is applied at once"
    );
}

#[test]
fn at_most_64_candidates_are_held() {
    let mut bench = Bench::new().connecting(false);
    for number in 0..10_000 {
        bench.feed(candidate(&number.to_string()));
    }

    let applied = bench.feed(offer());
    assert_eq!(applied.len(), 65, "the offer and the newest 64 candidates");
    assert_eq!(applied.last(), Some(&add("9999")));
}

#[test]
fn in_a_collision_the_initiator_ignores_the_offer_and_its_candidates() {
    let mut bench = Bench::new().connecting(true);
    assert_eq!(bench.feed(offer()), [], "our offer is under way and wins");
    assert_eq!(bench.feed(answer()).len(), 1, "the answer to it is applied");
    assert_eq!(
        bench.feed(candidate("x")),
        [add("x")],
        "candidates count again after the answer"
    );

    let again = bench.feed(offer());
    assert_eq!(
        again,
        [Effect::ApplyOffer {
            peer: PeerId(0),
            offer: "offer".into(),
            rollback: false
        }],
        "with no offer under way the partner may renegotiate"
    );
}

#[test]
fn messages_of_another_session_and_events_of_another_peer_are_dropped() {
    let mut bench = Bench::new().connecting(true);
    for stray in [
        Input::Offer {
            session_id: "s0".into(),
            connection: None,
            offer: "x".into(),
        },
        Input::Answer {
            session_id: "s0".into(),
            connection: None,
            answer: "x".into(),
        },
        Input::Candidate {
            session_id: "s0".into(),
            connection: None,
            candidate: "x".into(),
        },
        Input::PartnerLeft {
            session_id: "s0".into(),
            departure: Departure::Left,
        },
        Input::LocalOffer(PeerId(9), "x".into()),
        Input::PeerConnected(PeerId(9)),
        Input::PeerFailed(PeerId(9)),
        Input::PeerFaulted(PeerId(9), PeerFault::BadDescription),
        Input::PartnerFound(partner("s2", true)),
    ] {
        assert_eq!(
            bench.feed(stray.clone()),
            [],
            "{stray:?} is not about this session"
        );
        assert_eq!(
            bench.machine.phase(),
            Phase::Connecting,
            "{stray:?} changes nothing"
        );
    }
}

#[test]
fn a_connection_that_never_comes_up_times_out() {
    let mut bench = Bench::new().connecting(false);
    let expected = [
        Effect::TellProblem {
            peer: PeerId(0),
            to: "them".into(),
        },
        end_session(),
        Effect::ClosePeer(PeerId(0)),
        ended(EndCode::ConnectTimeout),
    ];
    assert_eq!(bench.pass(CallTimeouts::default().connect), expected);
}

#[test]
fn a_partner_that_gave_up_did_not_just_leave() {
    let gave_up = || Input::PartnerGaveUp {
        session_id: "s1".into(),
    };
    let left = || Input::PartnerLeft {
        session_id: "s1".into(),
        departure: Departure::Left,
    };

    let mut bench = Bench::new().connecting(true);
    assert_eq!(bench.feed(gave_up()), [], "it leaves right after");
    assert_eq!(bench.machine.phase(), Phase::Connecting);
    let effects = bench.feed(left());
    assert_eq!(bench.ended_with(), Some(EndCode::ConnectionFailed));
    let tells = |effect: &Effect| matches!(effect, Effect::TellProblem { .. });
    assert!(!effects.iter().any(tells), "nobody is there to be told");

    let mut bench = Bench::new().connecting(true);
    bench.feed(left());
    assert_eq!(bench.ended_with(), Some(EndCode::PartnerLeft));

    let mut bench = Bench::new().in_call();
    bench.feed(gave_up());
    bench.feed(left());
    assert_eq!(bench.ended_with(), Some(EndCode::PartnerLeft), "in a call");
}

#[test]
fn a_connection_that_finds_no_route_ends_the_call() {
    let mut bench = Bench::new().connecting(true);
    bench.feed(Input::PeerFailed(PeerId(0)));
    assert_eq!(bench.ended_with(), Some(EndCode::ConnectionFailed));
}

#[test]
fn faults_of_the_peer_connection_end_the_call_with_their_code() {
    for (input, connecting, in_call) in [
        (
            Input::PeerFaulted(PeerId(0), PeerFault::BadDescription),
            EndCode::BadDescription,
            EndCode::BadDescription,
        ),
        (
            Input::PeerFaulted(PeerId(0), PeerFault::NoCommonCodec),
            EndCode::NoCommonCodec,
            EndCode::NoCommonCodec,
        ),
        (
            Input::PeerFaulted(PeerId(0), PeerFault::Misbehaved),
            EndCode::PartnerMisbehaved,
            EndCode::PartnerMisbehaved,
        ),
        (
            Input::PeerFaulted(PeerId(0), PeerFault::Internal),
            EndCode::ConnectionFailed,
            EndCode::ConnectionFailed,
        ),
    ] {
        let mut early = Bench::new().connecting(true);
        early.feed(input.clone());
        assert_eq!(
            early.ended_with(),
            Some(connecting),
            "{input:?} while connecting"
        );

        let mut late = Bench::new().in_call();
        late.feed(input.clone());
        assert_eq!(late.ended_with(), Some(in_call), "{input:?} in a call");
    }
}

#[test]
fn a_call_that_was_connecting_ends_if_the_signaling_server_dropped_its_session() {
    let mut bench = Bench::new().connecting(true);
    bench.feed(Input::SignalingDown);
    bench.feed(Input::SignalingResumed { session_id: None });

    assert_eq!(bench.ended_with(), Some(EndCode::PartnerLeft));
}
