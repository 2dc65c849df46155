//! Searches: how they begin, wait, are answered, and end.

use super::*;

fn accepting() -> Bench {
    let mut bench = Bench::new();
    bench.feed(Input::SignalingUp);
    assert_eq!(
        bench.feed(Input::Accept("k1".into())),
        [
            Effect::Notify(Notice::Searching),
            Effect::Send(Outgoing::Accept("k1".into()))
        ]
    );
    bench
}

#[test]
fn a_search_waits_for_the_signaling_server() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.feed(Input::Find),
        [Effect::Notify(Notice::Searching)],
        "the signaling server is not connected yet"
    );

    assert_eq!(
        bench.feed(Input::SignalingUp),
        [Effect::Send(Outgoing::FindPartner)]
    );
    assert_eq!(bench.machine.phase(), Phase::Searching);
    assert_eq!(bench.feed(Input::Find), [], "one search at a time");
    assert_eq!(
        bench.feed(Input::Next),
        [],
        "`next` during a search changes nothing"
    );
}

#[test]
fn a_search_can_be_cancelled_and_a_late_match_is_ended() {
    let mut bench = Bench::new().searching();
    assert_eq!(
        bench.feed(Input::Cancel),
        [
            Effect::Send(Outgoing::CancelSearch),
            ended(EndCode::Cancelled)
        ]
    );

    assert_eq!(
        bench.feed(Input::PartnerFound(partner("s1", true))),
        [end_session()],
        "the partner must not wait for us"
    );
}

#[test]
fn cancel_stops_a_search_but_not_a_call() {
    let mut bench = Bench::new().in_call();
    assert_eq!(bench.feed(Input::Cancel), [], "only hanging up ends a call");
    assert_eq!(bench.machine.phase(), Phase::InCall);
}

#[test]
fn next_closes_the_peer_connection_before_it_searches_again() {
    let mut bench = Bench::new().in_call();
    assert_eq!(
        bench.feed(Input::Next),
        [
            Effect::ClosePeer(PeerId(0)),
            Effect::ForgetAudio,
            Effect::Notify(Notice::Searching),
            Effect::Send(Outgoing::Next {
                session_id: "s1".into()
            })
        ]
    );

    let found = bench.feed(Input::PartnerFound(partner("s2", false)));
    assert!(
        found.contains(&Effect::CreatePeer(PeerId(1))),
        "a new peer connection with a new id: {found:?}"
    );

    assert_eq!(
        bench.feed(Input::PeerFailed(PeerId(0))),
        [],
        "the old one no longer counts"
    );
}

#[test]
fn next_without_the_signaling_server_searches_once_it_is_back() {
    let mut bench = Bench::new().in_call();
    bench.feed(Input::SignalingDown);
    assert_eq!(
        bench.feed(Input::Next),
        [
            Effect::ClosePeer(PeerId(0)),
            Effect::ForgetAudio,
            Effect::Notify(Notice::Searching)
        ]
    );

    let back = bench.feed(Input::SignalingUp);
    assert_eq!(
        back,
        [
            Effect::Notify(Notice::SignalingBack),
            Effect::Send(Outgoing::FindPartner)
        ]
    );
}

#[test]
fn next_that_crosses_with_the_end_of_the_session_searches_again() {
    let mut bench = Bench::new().in_call();
    bench.feed(Input::Next);
    let left = Input::PartnerLeft {
        session_id: "s1".into(),
        departure: Departure::Left,
    };
    assert_eq!(
        bench.feed(left.clone()),
        [Effect::Send(Outgoing::FindPartner)],
        "the signaling server ignores `next` for a session that is over"
    );
    assert_eq!(bench.feed(left), [], "once");
}

#[test]
fn a_search_without_a_partner_times_out() {
    let mut bench = Bench::new().searching();
    let expected = [
        Effect::Send(Outgoing::CancelSearch),
        ended(EndCode::NoPartner),
    ];
    assert_eq!(bench.pass(Duration::from_secs(10)), expected);
}

#[test]
fn a_signaling_server_that_never_answers_ends_the_call() {
    let mut bench = Bench::new();
    bench.feed(Input::Find);
    assert_eq!(bench.pass(Duration::from_secs(5) - MS), []);
    assert_eq!(bench.pass(MS), [ended(EndCode::RelayUnreachable)]);
}

#[test]
fn a_signaling_server_that_goes_away_during_the_search_gets_thirty_seconds() {
    let mut bench = Bench::with(CallTimeouts::default()).searching();
    assert_eq!(
        bench.feed(Input::SignalingDown),
        [Effect::Notify(Notice::SignalingLost)]
    );
    assert_eq!(bench.pass(Duration::from_secs(29)), [], "it may come back");
    assert_eq!(
        bench.pass(Duration::from_secs(1)),
        [ended(EndCode::RelayUnreachable)]
    );
}

#[test]
fn a_signaling_server_that_refuses_the_client_ends_a_search_and_no_call() {
    let refused = Input::SignalingRefused(EndCode::RelayRefused);
    let mut bench = Bench::new();
    bench.feed(Input::Find);
    assert_eq!(
        bench.feed(refused.clone()),
        [ended(EndCode::RelayRefused)],
        "at once: waiting would not help"
    );

    let lost = Effect::Notify(Notice::SignalingLost);
    let mut bench = Bench::new().searching();
    assert_eq!(
        bench.feed(refused.clone()),
        [lost.clone(), ended(EndCode::RelayRefused)]
    );

    let mut bench = Bench::new().connecting(false);
    assert_eq!(bench.feed(refused), [lost], "media needs no server");
    assert_eq!(bench.machine.phase(), Phase::Connecting);
}

#[test]
fn a_ban_or_a_kick_ends_a_call_at_once_and_no_search() {
    let lost = Effect::Notify(Notice::SignalingLost);
    for code in [EndCode::Banned, EndCode::Kicked] {
        for mut bench in [Bench::new().connecting(false), Bench::new().in_call()] {
            let peer = bench.machine.peer().expect("a connection");
            assert_eq!(
                bench.feed(Input::Expelled(code)),
                [lost.clone(), Effect::ClosePeer(peer), ended(code)],
                "the server takes no message any more"
            );
        }

        // What ends a search is whether the client gives up.
        let mut bench = Bench::new().searching();
        let told = bench.feed(Input::Expelled(code));
        assert_eq!(told, std::slice::from_ref(&lost));
        assert_eq!(bench.machine.phase(), Phase::Searching);
    }
}

#[test]
fn a_room_that_does_not_exist_ends_the_search() {
    let mut bench = Bench::new().searching();
    let expected = [
        Effect::Send(Outgoing::CancelSearch),
        ended(EndCode::NoSuchRoom),
    ];
    assert_eq!(
        bench.feed(Input::SearchEnded(EndCode::NoSuchRoom)),
        expected
    );

    let mut bench = Bench::new().in_call();
    assert_eq!(
        bench.feed(Input::SearchEnded(EndCode::NoSuchRoom)),
        [],
        "news of an old search"
    );
}

#[test]
fn a_refused_search_is_repeated_after_retry_after_and_otherwise_ends() {
    let mut bench = Bench::new().searching();
    assert_eq!(
        bench.feed(Input::SearchRefused {
            retry_after: Some(500 * MS)
        }),
        []
    );
    assert_eq!(bench.pass(500 * MS), [Effect::Send(Outgoing::FindPartner)]);
    let expected = [
        Effect::Send(Outgoing::CancelSearch),
        ended(EndCode::RelayRefused),
    ];

    assert_eq!(
        bench.feed(Input::SearchRefused { retry_after: None }),
        expected
    );
}

#[test]
fn a_search_is_repeated_after_a_resume_and_an_unknown_session_is_left() {
    let mut bench = Bench::new().searching();
    bench.feed(Input::SignalingDown);
    let back = bench.feed(Input::SignalingResumed { session_id: None });

    assert_eq!(
        back,
        [
            Effect::Notify(Notice::SignalingBack),
            Effect::Send(Outgoing::FindPartner)
        ]
    );

    bench.feed(Input::SignalingDown);
    let back = bench.feed(Input::SignalingResumed {
        session_id: Some("s9".into()),
    });

    let leave = Effect::Send(Outgoing::EndSession {
        session_id: "s9".into(),
    });

    assert_eq!(
        back,
        [
            Effect::Notify(Notice::SignalingBack),
            leave,
            Effect::Send(Outgoing::FindPartner)
        ],
        "its messages were lost with the connection"
    );
}

#[test]
fn without_a_turn_server_a_search_ends_but_a_call_continues() {
    let mut bench = Bench::new().searching();
    bench.feed(Input::MissingServer(EndCode::NoTurnServer));
    assert_eq!(bench.ended_with(), Some(EndCode::NoTurnServer));

    let mut bench = Bench::new().in_call();
    assert_eq!(bench.feed(Input::MissingServer(EndCode::NoTurnServer)), []);
}

#[test]
fn who_rings_is_accepted_and_then_called_like_any_partner() {
    let mut bench = accepting();
    bench.feed(Input::PartnerFound(partner("s1", false)));
    assert_eq!(bench.machine.phase(), Phase::Connecting);
}

#[test]
fn an_answer_that_was_lost_with_the_connection_is_repeated() {
    let mut bench = accepting();
    bench.feed(Input::SignalingDown);
    let again = bench.feed(Input::SignalingResumed { session_id: None });
    assert!(
        again.contains(&Effect::Send(Outgoing::Accept("k1".into()))),
        "the server still knows who rings: {again:?}"
    );

    bench.feed(Input::SignalingDown);
    bench.feed(Input::SignalingUp);
    assert_eq!(
        bench.ended_with(),
        Some(EndCode::PartnerLeft),
        "a new user is rung by nobody, and does not search for a stranger instead"
    );
}

#[test]
fn ringing_is_reported_and_a_refusal_ends_the_search() {
    for code in [EndCode::Declined, EndCode::NoAnswer, EndCode::PartnerLeft] {
        let mut bench = Bench::new().searching();
        assert_eq!(bench.feed(Input::Ringing(false)), [], "nothing new");
        for rings in [true, false, true] {
            let news = [Effect::Notify(Notice::Ringing(rings))];
            assert_eq!(bench.feed(Input::Ringing(rings)), news);
        }

        bench.feed(Input::SearchEnded(code));
        assert_eq!(bench.ended_with(), Some(code));
    }
}
