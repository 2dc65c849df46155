//! Random lives: whatever comes in, in whatever order, the rules hold.

use super::*;

fn input() -> impl Strategy<Value = Input> {
    let session = prop_oneof![Just("s0"), Just("s1"), Just("s2")].prop_map(Text::from);
    let peer = (0_u32..4).prop_map(PeerId);
    let text = "[a-z]{0,3}".prop_map(Text::from);

    prop_oneof![
        3 => Just(Input::Find),
        1 => Just(Input::Cancel),
        1 => Just(Input::HangUp),
        2 => Just(Input::Next),
        3 => Just(Input::SignalingUp),
        2 => Just(Input::SignalingDown),
        2 => proptest::option::of(session.clone())
            .prop_map(|session_id| Input::SignalingResumed { session_id }),
        1 => Just(Input::NoTurnServer),
        1 => proptest::option::of(0_u64..2_000).prop_map(|ms| Input::SearchRefused {
            retry_after: ms.map(Duration::from_millis)
        }),
        6 => (session.clone(), any::<bool>()).prop_map(|(session_id, initiator)| {
            Input::PartnerFound(Match { session_id, partner: "them".into(), initiator })
        }),
        3 => (session.clone(), text.clone()).prop_map(|(session_id, offer)| Input::Offer { session_id, offer }),
        3 => (session.clone(), text.clone()).prop_map(|(session_id, answer)| Input::Answer { session_id, answer }),
        3 => (session.clone(), text.clone()).prop_map(|(session_id, candidate)| {
            Input::Candidate { session_id, candidate }
        }),
        1 => (session.clone(), prop_oneof![Just(Departure::Wanted), Just(Departure::Lost)])
            .prop_map(|(session_id, departure)| Input::PartnerLeft { session_id, departure }),
        1 => session.clone().prop_map(|session_id| Input::PartnerReconnecting { session_id }),
        1 => session.prop_map(|session_id| Input::PartnerResumed { session_id }),
        2 => (peer.clone(), text.clone()).prop_map(|(peer, offer)| Input::LocalOffer(peer, offer)),
        2 => (peer.clone(), text.clone()).prop_map(|(peer, answer)| Input::LocalAnswer(peer, answer)),
        2 => (peer.clone(), text).prop_map(|(peer, candidate)| Input::LocalCandidate(peer, candidate)),
        4 => peer.clone().prop_map(Input::PeerConnected),
        1 => peer.clone().prop_map(Input::PeerDisconnected),
        1 => peer.clone().prop_map(Input::PeerFailed),
        1 => peer.prop_map(Input::PeerClosed),
    ]
}

/// Watches the effects for what must never happen.
#[derive(Default)]
struct Watch {
    alive: Option<PeerId>,
    ever: HashSet<PeerId>,
    ends: usize,
}

impl Watch {
    fn see(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::CreatePeer(peer) => {
                    assert_eq!(self.alive, None, "never two peer connections");
                    assert!(self.ever.insert(*peer), "a peer id is used once");
                    self.alive = Some(*peer);
                }
                Effect::ClosePeer(peer) => {
                    assert_eq!(
                        self.alive.take(),
                        Some(*peer),
                        "only the living one is closed, once"
                    );
                }
                Effect::CreateOffer(peer)
                | Effect::ApplyOffer { peer, .. }
                | Effect::ApplyAnswer { peer, .. }
                | Effect::AddCandidate { peer, .. } => {
                    assert_eq!(
                        self.alive,
                        Some(*peer),
                        "{effect:?} needs a living peer connection"
                    );
                }
                Effect::Notify(Notice::Ended(_)) => self.ends += 1,
                Effect::Send(_) | Effect::Notify(_) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_life_keeps_the_rules(steps in proptest::collection::vec((input(), 0_u32..4_000), 0..60)) {
        let mut bench = Bench::new();
        let mut watch = Watch::default();

        for (input, wait_ms) in steps {
            watch.see(&bench.pass(wait_ms * MS));
            watch.see(&bench.feed(input));
            prop_assert_eq!(watch.alive, bench.machine.peer(), "the machine knows which peer connection lives");
            prop_assert_eq!(watch.ends, usize::from(bench.machine.phase() == Phase::Ended), "one end, told once");
        }

        watch.see(&bench.feed(Input::Find));
        for _ in 0..4 {
            watch.see(&bench.pass(Duration::from_secs(60)));
        }

        prop_assert!(bench.machine.end_reason().is_some(), "left alone, every call comes to an end with a reason");
        prop_assert_eq!(watch.alive, None, "and leaves no peer connection behind");
    }
}
