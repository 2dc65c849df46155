//! A call that is connected: how it ends, and what it outlives.

use super::*;

#[test]
fn hanging_up_ends_the_session_at_the_signaling_server() {
    for bench in [Bench::new().connecting(true), Bench::new().in_call()] {
        let mut bench = bench;
        let expected = [
            end_session(),
            Effect::ClosePeer(PeerId(0)),
            ended(EndCode::HungUp),
        ];
        assert_eq!(bench.feed(Input::HangUp), expected);
        assert_eq!(bench.machine.phase(), Phase::Ended);
        assert_eq!(
            bench.machine.poll_timeout(),
            None,
            "nothing is due after the end"
        );
        assert_eq!(bench.feed(Input::Next), [], "the end is final");
    }
}

#[test]
fn a_partner_who_leaves_ends_the_call() {
    for departure in [Departure::Left, Departure::Lost] {
        let mut bench = Bench::new().connecting(true);
        bench.feed(Input::PartnerLeft {
            session_id: "s1".into(),
            departure,
        });

        assert_eq!(
            bench.ended_with(),
            Some(EndCode::PartnerLeft),
            "no connection can be established any more ({departure:?})"
        );
    }

    let mut bench = Bench::new().in_call();
    let effects = bench.feed(Input::PartnerLeft {
        session_id: "s1".into(),
        departure: Departure::Left,
    });

    let expected = [Effect::ClosePeer(PeerId(0)), ended(EndCode::PartnerLeft)];
    assert_eq!(
        effects, expected,
        "the signaling server has already ended the session"
    );
}

#[test]
fn a_call_continues_while_media_flows_though_the_signaling_server_lost_the_partner() {
    let mut bench = Bench::new().in_call();
    assert_eq!(
        bench.feed(Input::PartnerLeft {
            session_id: "s1".into(),
            departure: Departure::Lost
        }),
        []
    );

    for _ in 0..100 {
        bench.now += 100 * MS;
        bench.feed(Input::Heard(PeerId(0), bench.now));
    }

    assert_eq!(bench.machine.phase(), Phase::InCall, "packets still arrive");

    bench.pass(Duration::from_secs(30) - MS);
    assert_eq!(bench.ended_with(), None, "the partner may come back");
    bench.pass(MS);
    assert_eq!(bench.ended_with(), Some(EndCode::PartnerVanished));
}

#[test]
fn a_call_survives_the_signaling_server() {
    let mut bench = Bench::new().in_call();
    assert_eq!(
        bench.feed(Input::SignalingDown),
        [Effect::Notify(Notice::SignalingLost)]
    );

    bench.now += Duration::from_secs(1);
    bench.feed(Input::Heard(PeerId(0), bench.now));
    let back = bench.feed(Input::SignalingUp);

    assert_eq!(
        back,
        [Effect::Notify(Notice::SignalingBack)],
        "the call continues, without a search"
    );

    assert_eq!(
        bench.feed(Input::LocalCandidate(PeerId(0), "c".into())),
        [],
        "the restarted signaling server does not know the session"
    );

    let over = bench.feed(Input::HangUp);
    assert_eq!(
        over,
        [Effect::ClosePeer(PeerId(0)), ended(EndCode::HungUp)],
        "so the session cannot be ended there either"
    );
}

/// The notice that the call is reconnecting, and ends `seconds` after `from`.
fn reconnecting(from: Instant, seconds: u64) -> Effect {
    Effect::Notify(Notice::PartnerReconnecting {
        until: from + Duration::from_secs(seconds),
    })
}

fn restart() -> Effect {
    Effect::CreateOffer {
        peer: PeerId(0),
        restart: true,
    }
}

fn restarts(effects: &[Effect]) -> usize {
    effects
        .iter()
        .filter(|effect| **effect == restart())
        .count()
}

#[test]
fn silence_is_reported_soon_and_another_route_looked_for_if_it_lasts() {
    let mut bench = Bench::new().in_call();
    let begin = bench.now;
    let reported = bench.pass(Duration::from_secs(2));
    assert_eq!(reported, [reconnecting(begin, 120)]);
    assert_eq!(bench.pass(Duration::from_secs(8) - MS), []);
    assert_eq!(bench.pass(MS), [restart()]);
    assert_eq!(bench.pass(Duration::from_secs(14)), [], "the offer is open");
}

#[test]
fn the_two_sides_do_not_look_for_another_route_at_the_same_moment() {
    let mut bench = Bench::new().in_call_as(false);
    assert_eq!(restarts(&bench.pass(Duration::from_secs(11))), 0);
    assert_eq!(
        bench.feed(offer())[0],
        Effect::ApplyOffer {
            peer: PeerId(0),
            offer: "offer".into(),
            rollback: false
        }
    );

    let mut bench = Bench::new().in_call_as(false);
    let effects = bench.pass(Duration::from_secs(12));
    assert_eq!(
        restarts(&effects),
        1,
        "if the initiator does not, the other side does"
    );
}

#[test]
fn another_route_is_looked_for_again_while_the_silence_lasts() {
    let mut bench = Bench::new().in_call();
    bench.pass(Duration::from_secs(10));
    bench.feed(answer());
    assert_eq!(restarts(&bench.pass(Duration::from_secs(9))), 0);
    assert_eq!(restarts(&bench.pass(Duration::from_secs(1))), 1);

    bench.feed(Input::RestartFailed(PeerId(0)));
    assert_eq!(restarts(&bench.pass(Duration::from_secs(9))), 0);
    assert_eq!(restarts(&bench.pass(Duration::from_secs(1))), 1);
}

#[test]
fn the_old_route_is_kept_while_the_partner_is_offline() {
    let session_id = || "s1".into();
    let mut bench = Bench::new().in_call();
    bench.pass(Duration::from_secs(8));
    bench.feed(Input::PartnerReconnecting {
        session_id: session_id(),
    });
    assert_eq!(restarts(&bench.pass(Duration::from_secs(20))), 0);

    bench.feed(Input::PartnerResumed {
        session_id: session_id(),
    });
    assert_eq!(
        restarts(&bench.pass(Duration::ZERO)),
        1,
        "media has not come back with the partner"
    );
}

#[test]
fn who_was_offline_looks_for_another_route_if_media_has_not_come_back() {
    let resumed = || Input::SignalingResumed {
        session_id: Some("s1".into()),
    };
    let mut bench = Bench::new().in_call();
    bench.feed(Input::SignalingDown);
    bench.pass(Duration::from_secs(20));
    assert_eq!(restarts(&bench.feed(resumed())), 1);

    let mut bench = Bench::new().in_call();
    bench.feed(Input::SignalingDown);
    bench.pass(Duration::from_secs(20));
    bench.feed(Input::Heard(PeerId(0), bench.now));
    assert_eq!(restarts(&bench.feed(resumed())), 0);
}

#[test]
fn a_program_that_did_not_run_has_heard_nothing() {
    let mut bench = Bench::new().in_call();
    bench.now += Duration::from_secs(50);
    assert_eq!(bench.feed(Input::Woken), []);
    assert_eq!(bench.pass(Duration::from_secs(1)), []);
    assert_eq!(bench.machine.phase(), Phase::InCall);
}

#[test]
fn a_lost_route_is_replaced_at_once_and_again_if_it_is_lost_meanwhile() {
    let mut bench = Bench::new().in_call();
    assert_eq!(bench.feed(Input::RouteLost(PeerId(0))), [restart()]);
    assert_eq!(
        bench.feed(Input::RouteLost(PeerId(0))),
        [],
        "the offer is open"
    );
    let answered = bench.feed(answer());
    assert_eq!(
        restarts(&answered),
        1,
        "its routes were those before the second change: {answered:?}"
    );
    assert_eq!(restarts(&bench.feed(answer())), 0);
}

#[test]
fn a_lost_route_is_replaced_once_the_signaling_server_is_back() {
    let mut bench = Bench::new().in_call();
    bench.feed(Input::SignalingDown);
    assert_eq!(bench.feed(Input::RouteLost(PeerId(0))), []);

    let back = bench.feed(Input::SignalingResumed {
        session_id: Some("s1".into()),
    });
    assert_eq!(back, [Effect::Notify(Notice::SignalingBack), restart()]);
}

#[test]
fn an_offer_that_may_be_lost_is_sent_again() {
    let local = |text: &str| Input::LocalCandidate(PeerId(0), text.into());
    let resumed = || Input::SignalingResumed {
        session_id: Some("s1".into()),
    };
    let sent = |effects: &[Effect]| {
        let sends = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Send(_)));
        sends.count()
    };

    let mut bench = Bench::new().in_call();
    bench.feed(Input::RouteLost(PeerId(0)));
    bench.feed(Input::LocalOffer(PeerId(0), "mine".into()));
    bench.feed(local("one"));
    bench.feed(Input::SignalingDown);
    bench.feed(local("two"));
    let back = bench.feed(resumed());
    assert_eq!(sent(&back), 3, "the offer and both candidates: {back:?}");

    bench.feed(answer());
    bench.feed(Input::SignalingDown);
    let back = bench.feed(resumed());
    assert_eq!(sent(&back), 0, "it was answered: {back:?}");
}

#[test]
fn an_answer_that_may_be_lost_is_sent_again_until_media_flows() {
    let resumed = || Input::SignalingResumed {
        session_id: Some("s1".into()),
    };
    let answered = Effect::Send(Outgoing::Answer {
        to: "them".into(),
        answer: "mine".into(),
    });

    let mut bench = Bench::new().in_call_as(false);
    bench.feed(offer());
    bench.feed(Input::LocalAnswer(PeerId(0), "mine".into()));
    bench.feed(Input::SignalingDown);
    assert!(bench.feed(resumed()).contains(&answered));

    bench.now += MS;
    bench.feed(Input::Heard(PeerId(0), bench.now));
    bench.feed(Input::SignalingDown);
    assert!(!bench.feed(resumed()).contains(&answered));
}

#[test]
fn an_offer_without_an_answer_is_made_again() {
    let mut bench = Bench::new().in_call();
    bench.feed(Input::RouteLost(PeerId(0)));
    assert_eq!(restarts(&bench.pass(Duration::from_secs(14))), 0);
    assert_eq!(restarts(&bench.pass(Duration::from_secs(1))), 1);
}

#[test]
fn a_connection_that_failed_looks_for_another_route() {
    let mut bench = Bench::new().in_call();
    assert_eq!(bench.feed(Input::PeerFailed(PeerId(0))), [restart()]);
    assert_eq!(bench.machine.phase(), Phase::InCall);
}

#[test]
fn a_call_lives_as_long_as_its_session_and_thirty_seconds_without_one() {
    let mut bench = Bench::new().in_call();
    bench.pass(Duration::from_secs(119));
    assert_eq!(bench.ended_with(), None, "the session is there");
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.ended_with(), Some(EndCode::PartnerVanished));

    let gone = Input::PartnerLeft {
        session_id: "s1".into(),
        departure: Departure::Lost,
    };
    for end in [gone.clone(), Input::SignalingDown, Input::SignalingUp] {
        let mut bench = Bench::new().in_call();
        let begin = bench.now;
        bench.pass(Duration::from_secs(10));
        let effects = bench.feed(end.clone());
        bench.pass(Duration::from_secs(20) - MS);
        assert!(
            effects.contains(&reconnecting(begin, 30)),
            "the user learns that it ends sooner: {effects:?}"
        );
        assert_eq!(bench.ended_with(), None, "{end:?}");
        bench.pass(MS);
        assert_eq!(bench.ended_with(), Some(EndCode::PartnerVanished));
    }

    let mut bench = Bench::new().in_call();
    bench.pass(Duration::from_secs(40));
    bench.feed(gone);
    bench.pass(Duration::ZERO);
    assert_eq!(
        bench.ended_with(),
        Some(EndCode::PartnerVanished),
        "the thirty seconds are over"
    );
}

#[test]
fn a_partner_who_comes_back_is_still_in_the_call() {
    let mut bench = Bench::new().in_call();
    bench.pass(Duration::from_secs(25));
    let back = bench.feed(Input::Heard(PeerId(0), bench.now));

    assert_eq!(back, [Effect::Notify(Notice::PartnerBack)]);
    assert_eq!(bench.machine.phase(), Phase::InCall);
    let begin = bench.now;
    assert_eq!(
        bench.pass(Duration::from_secs(2))[0],
        reconnecting(begin, 120),
        "a second outage is reported again"
    );
}

#[test]
fn news_of_the_signaling_server_about_the_partner_is_no_trouble_of_the_call() {
    let lost = [Effect::Notify(Notice::PartnerSignalingLost)];
    let back = [Effect::Notify(Notice::PartnerSignalingBack)];
    let session = || "s1".into();
    let away = || Input::PartnerReconnecting {
        session_id: session(),
    };

    let mut bench = Bench::new().in_call();
    assert_eq!(bench.feed(away()), lost, "a note, while media flows");
    assert_eq!(bench.feed(away()), [], "once");
    assert_eq!(
        bench.feed(Input::PartnerResumed {
            session_id: session()
        }),
        back
    );

    // Each of these ends the news, so the note must not stay.
    let gone = Input::PartnerLeft {
        session_id: session(),
        departure: Departure::Lost,
    };
    for (end, expected) in [
        (vec![gone], back.to_vec()),
        (
            vec![Input::SignalingDown, Input::SignalingUp],
            vec![
                Effect::Notify(Notice::SignalingLost),
                Effect::Notify(Notice::SignalingBack),
                back[0].clone(),
            ],
        ),
    ] {
        let mut bench = Bench::new().in_call();
        bench.feed(away());
        let effects: Vec<_> = end
            .into_iter()
            .flat_map(|input| bench.feed(input))
            .collect();
        assert_eq!(effects, expected);
        assert_eq!(bench.machine.phase(), Phase::InCall, "media still flows");
    }
}

#[test]
fn messages_wait_for_a_signaling_server_that_resumes_the_session() {
    let mut bench = Bench::new().in_call();
    bench.feed(Input::SignalingDown);
    let candidate = |text: &str| Input::LocalCandidate(PeerId(0), text.into());

    assert_eq!(bench.feed(candidate("one")), [], "it cannot be sent now");

    bench.feed(candidate("two"));
    let back = bench.feed(Input::SignalingResumed {
        session_id: Some("s1".into()),
    });

    let sent = |text: &str| {
        Effect::Send(Outgoing::Candidate {
            to: "them".into(),
            candidate: text.into(),
        })
    };

    assert_eq!(
        back,
        [
            Effect::Notify(Notice::SignalingBack),
            sent("one"),
            sent("two")
        ],
        "what waited is sent in order"
    );

    assert_eq!(
        bench.feed(candidate("three")),
        [sent("three")],
        "the partner can be reached again"
    );

    let end = bench.feed(Input::HangUp);
    assert_eq!(
        end[0],
        Effect::Send(Outgoing::EndSession {
            session_id: "s1".into()
        }),
        "and the hang-up reaches it"
    );
}

#[test]
fn a_call_continues_without_a_session_at_the_signaling_server() {
    for back in [
        Input::SignalingUp,
        Input::SignalingResumed { session_id: None },
    ] {
        let mut bench = Bench::new().in_call();
        bench.feed(Input::SignalingDown);
        bench.feed(Input::LocalCandidate(PeerId(0), "lost".into()));
        assert_eq!(
            bench.feed(back),
            [Effect::Notify(Notice::SignalingBack)],
            "what waited for a forgotten session is dropped"
        );
        assert_eq!(
            bench.machine.phase(),
            Phase::InCall,
            "media does not need signaling"
        );
        let end = bench.feed(Input::HangUp);
        assert!(
            !end.iter().any(|effect| matches!(effect, Effect::Send(_))),
            "the end is not sent either: {end:?}"
        );
    }
}

#[test]
fn a_source_that_was_not_negotiated_is_a_problem_in_a_call_only() {
    let camera = |negotiated| Input::CameraSelected { negotiated };
    let microphone = |negotiated| Input::MicrophoneSelected { negotiated };

    let mut early = Bench::new().connecting(true);
    assert_eq!(
        early.feed(camera(false)),
        [],
        "it is still being negotiated"
    );

    let mut bench = Bench::new().in_call();
    assert_eq!(bench.feed(camera(true)), []);
    assert_eq!(bench.feed(microphone(true)), []);

    assert_eq!(
        bench.feed(camera(false)),
        [Effect::Notify(Notice::CameraNotNegotiated)]
    );
    assert_eq!(
        bench.feed(microphone(false)),
        [Effect::Notify(Notice::MicrophoneNotNegotiated)]
    );
    assert_eq!(
        bench.machine.phase(),
        Phase::InCall,
        "the call continues without it"
    );
}

#[test]
fn endless_offers_end_the_call_but_a_change_of_network_now_and_then_does_not() {
    let mut bench = Bench::new().in_call();
    for _ in 0..200 {
        bench.feed(offer());
        bench.now += Duration::from_secs(10);
        bench.feed(Input::Heard(PeerId(0), bench.now));
    }

    assert_eq!(bench.ended_with(), None);
    for _ in 0..30 {
        bench.feed(offer());
        bench.now += 100 * MS;
    }

    assert_eq!(bench.ended_with(), Some(EndCode::PartnerMisbehaved));
}
