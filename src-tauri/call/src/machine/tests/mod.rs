//! Every transition by hand, then random sequences of inputs.
#![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

mod random;

const MS: Duration = Duration::from_millis(1);

/// A machine with its clock. Returns the effects of each step and remembers how the call ended.
struct Bench {
    machine: CallMachine,
    now: Instant,
    ended_with: Option<EndCode>,
}

impl Bench {
    fn new() -> Self {
        Self::with(CallTimeouts {
            partner: Some(Duration::from_secs(10)),
            ..CallTimeouts::default()
        })
    }

    fn with(timeouts: CallTimeouts) -> Self {
        Self {
            machine: CallMachine::new(timeouts),
            now: Instant::now(),
            ended_with: None,
        }
    }

    fn feed(&mut self, input: Input) -> Vec<Effect> {
        self.machine.handle(self.now, input);
        self.effects()
    }

    fn effects(&mut self) -> Vec<Effect> {
        let effects: Vec<Effect> = std::iter::from_fn(|| self.machine.poll_effect()).collect();

        for effect in &effects {
            if let Effect::Notify(Notice::Ended(reason)) = effect {
                self.ended_with = Some(reason.code);
            }
        }

        effects
    }

    /// Lets time pass, stopping at every timeout on the way.
    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        let until = self.now + time;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            assert!(
                self.machine
                    .poll_timeout()
                    .is_none_or(|next| next > self.now),
                "a timeout that was handled is no longer due"
            );
        }

        self.now = until;
        self.effects()
    }

    fn searching(mut self) -> Self {
        self.feed(Input::SignalingUp);
        self.feed(Input::Find);
        self
    }

    fn connecting(self, initiator: bool) -> Self {
        let mut bench = self.searching();
        bench.feed(Input::PartnerFound(partner("s1", initiator)));
        bench
    }

    fn in_call(self) -> Self {
        let mut bench = self.connecting(true);
        bench.feed(Input::PeerConnected(PeerId(0)));
        assert_eq!(
            bench.machine.phase(),
            Phase::InCall,
            "the fixture is in a call"
        );

        bench
    }

    fn ended_with(&self) -> Option<EndCode> {
        self.ended_with
    }
}

fn partner(session_id: &str, initiator: bool) -> Match {
    Match {
        session_id: session_id.into(),
        partner: "them".into(),
        initiator,
    }
}

fn offer() -> Input {
    Input::Offer {
        session_id: "s1".into(),
        offer: "offer".into(),
    }
}

fn answer() -> Input {
    Input::Answer {
        session_id: "s1".into(),
        answer: "answer".into(),
    }
}

fn candidate(name: &str) -> Input {
    Input::Candidate {
        session_id: "s1".into(),
        candidate: name.into(),
    }
}

fn add(name: &str) -> Effect {
    Effect::AddCandidate {
        peer: PeerId(0),
        candidate: name.into(),
    }
}

fn ended(code: EndCode) -> Effect {
    Effect::Notify(Notice::Ended(code.into()))
}

fn end_session() -> Effect {
    Effect::Send(Outgoing::EndSession {
        session_id: "s1".into(),
    })
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
fn the_initiator_offers_and_connects() {
    let mut bench = Bench::new().searching();
    let found = partner("s1", true);
    assert_eq!(
        bench.feed(Input::PartnerFound(found.clone())),
        [
            Effect::Notify(Notice::Matched(found)),
            Effect::CreatePeer(PeerId(0)),
            Effect::CreateOffer(PeerId(0))
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
            offer: "x".into(),
        },
        Input::Answer {
            session_id: "s0".into(),
            answer: "x".into(),
        },
        Input::Candidate {
            session_id: "s0".into(),
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
            Effect::RestartAudio,
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
            Effect::RestartAudio,
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
fn a_connection_that_never_comes_up_times_out() {
    let mut bench = Bench::new().connecting(false);
    let expected = [
        end_session(),
        Effect::ClosePeer(PeerId(0)),
        ended(EndCode::ConnectTimeout),
    ];
    assert_eq!(bench.pass(CallTimeouts::default().connect), expected);
}

#[test]
fn faults_of_the_peer_connection_end_the_call_with_their_code() {
    for (input, connecting, in_call) in [
        (
            Input::PeerFailed(PeerId(0)),
            EndCode::ConnectionFailed,
            EndCode::PartnerVanished,
        ),
        (
            Input::PeerClosed(PeerId(0)),
            EndCode::ConnectionFailed,
            EndCode::PartnerLeft,
        ),
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

    bench.pass(Duration::from_secs(3));
    assert_eq!(
        bench.ended_with(),
        Some(EndCode::PartnerVanished),
        "with the partner gone from signaling too, silence ends the call sooner"
    );
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

#[test]
fn a_partner_who_vanishes_is_noticed_within_six_seconds() {
    let mut bench = Bench::new().in_call();
    let begin = bench.now;
    assert_eq!(
        bench.pass(2 * Duration::from_secs(1)),
        [Effect::Notify(Notice::PartnerReconnecting)]
    );

    bench.pass(Duration::from_secs(4));
    assert_eq!(
        bench.ended_with(),
        Some(EndCode::PartnerVanished),
        "{:?} of silence",
        bench.now - begin
    );
}

#[test]
fn a_partner_who_comes_back_after_five_seconds_is_still_in_the_call() {
    let mut bench = Bench::new().in_call();
    bench.pass(Duration::from_secs(5));
    let back = bench.feed(Input::Heard(PeerId(0), bench.now));

    assert_eq!(back, [Effect::Notify(Notice::PartnerBack)]);
    assert_eq!(bench.machine.phase(), Phase::InCall);
    assert_eq!(
        bench.pass(Duration::from_secs(2)),
        [Effect::Notify(Notice::PartnerReconnecting)],
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
fn a_broken_route_is_reported_once() {
    let mut bench = Bench::new().in_call();
    let effects = bench.feed(Input::PeerDisconnected(PeerId(0)));
    assert_eq!(effects, [Effect::Notify(Notice::PartnerReconnecting)]);
    assert_eq!(
        bench.pass(Duration::from_secs(3)),
        [],
        "the silence that follows is the same trouble"
    );
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
fn a_call_that_was_connecting_ends_if_the_signaling_server_dropped_its_session() {
    let mut bench = Bench::new().connecting(true);
    bench.feed(Input::SignalingDown);
    bench.feed(Input::SignalingResumed { session_id: None });

    assert_eq!(bench.ended_with(), Some(EndCode::PartnerLeft));
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
    bench.feed(Input::NoTurnServer);
    assert_eq!(bench.ended_with(), Some(EndCode::NoTurnServer));

    let mut bench = Bench::new().in_call();
    assert_eq!(bench.feed(Input::NoTurnServer), []);
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
