//! Random inputs in random order: the rules hold in every sequence.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn input() -> impl Strategy<Value = Input> {
    let session = prop_oneof![Just("s0"), Just("s1"), Just("s2")].prop_map(SessionId::from);
    let peer = (0_u32..6).prop_map(PeerId);
    let connection = || proptest::option::of(0_u32..4);
    let description = "[a-z]{0,3}".prop_map(DescriptionJson::from);
    let candidate = "[a-z]{0,3}".prop_map(CandidateJson::from);

    prop_oneof![
        3 => Just(Input::Find),
        1 => Just(Input::Cancel),
        1 => Just(Input::HangUp),
        2 => Just(Input::Next),
        3 => Just(Input::SignalingUp),
        2 => Just(Input::SignalingDown),
        1 => Just(Input::SignalingRefused(EndCode::RelayRefused)),
        1 => Just(Input::Expelled(EndCode::Banned)),
        1 => Just(Input::SearchEnded(EndCode::NoSuchRoom)),
        1 => Just(Input::SearchEnded(EndCode::Declined)),
        1 => any::<bool>().prop_map(Input::Ringing),
        1 => Just(Input::Accept("k1".into())),
        2 => proptest::option::of(session.clone())
            .prop_map(|session_id| Input::SignalingResumed { session_id }),
        1 => Just(Input::MissingServer(EndCode::NoTurnServer)),
        1 => any::<bool>().prop_map(|negotiated| Input::CameraSelected { negotiated }),
        1 => any::<bool>().prop_map(|negotiated| Input::MicrophoneSelected { negotiated }),
        1 => proptest::option::of(0_u64..2_000).prop_map(|ms| Input::SearchRefused {
            retry_after: ms.map(Duration::from_millis)
        }),
        6 => (session.clone(), any::<bool>()).prop_map(|(session_id, initiator)| {
            Input::PartnerFound(Match { session_id, partner: "them".into(), initiator })
        }),
        4 => (session.clone(), connection(), description.clone()).prop_map(|(session_id, connection, offer)| {
            Input::Offer { session_id, connection, offer }
        }),
        4 => (session.clone(), connection(), description.clone()).prop_map(|(session_id, connection, answer)| {
            Input::Answer { session_id, connection, answer }
        }),
        3 => (session.clone(), connection(), candidate.clone()).prop_map(|(session_id, connection, candidate)| {
            Input::Candidate { session_id, connection, candidate }
        }),
        1 => session.clone().prop_map(|session_id| Input::PartnerGaveUp { session_id }),
        1 => (session.clone(), prop_oneof![Just(Departure::Left), Just(Departure::Lost)])
            .prop_map(|(session_id, departure)| Input::PartnerLeft { session_id, departure }),
        1 => session.clone().prop_map(|session_id| Input::PartnerReconnecting { session_id }),
        1 => session.clone().prop_map(|session_id| Input::PartnerResumed { session_id }),
        2 => (peer.clone(), description.clone()).prop_map(|(peer, offer)| Input::LocalOffer(peer, offer)),
        2 => (peer.clone(), description).prop_map(|(peer, answer)| Input::LocalAnswer(peer, answer)),
        2 => (peer.clone(), candidate).prop_map(|(peer, candidate)| Input::LocalCandidate(peer, candidate)),
        2 => (session.clone(), "[a-z]{0,3}").prop_map(|(session_id, pake)| {
            Input::Move { session_id, pake: pake.into() }
        }),
        1 => (peer.clone(), "[a-z]{0,3}").prop_map(|(peer, pake)| Input::LocalMove(peer, pake.into())),
        3 => peer.clone().prop_map(Input::PartnerVerified),
        1 => peer.clone().prop_map(Input::CodeMismatch),
        4 => peer.clone().prop_map(Input::PeerConnected),
        1 => peer.clone().prop_map(Input::RouteLost),
        1 => peer.clone().prop_map(Input::RestartFailed),
        1 => Just(Input::Woken),
        1 => peer.clone().prop_map(Input::PeerFailed),
        2 => peer.clone().prop_map(|peer| Input::PeerFaulted(peer, PeerFault::Internal)),
        1 => peer.prop_map(Input::PeerClosed),
    ]
}

/// Checks the effects for what must never happen.
#[derive(Default)]
struct Checker {
    open: Option<PeerId>,
    ever: HashSet<PeerId>,
    ends: usize,
    /// The peer connections whose partner is verified, and those that are up. A fresh one takes over
    /// that its partner is verified.
    verified: HashSet<PeerId>,
    connected: HashSet<PeerId>,
    /// The number of the open peer connection.
    number: u32,
    /// The partner has said that it can take a fresh connection.
    partner_can: bool,
    /// Fresh ones in this session.
    replaced: u32,
    /// When the session began, and the time now.
    since: Option<Instant>,
    now: Option<Instant>,
}

impl Checker {
    /// Notes what has happened to the open peer connection.
    fn note(&mut self, input: &Input) {
        match input {
            Input::PartnerVerified(peer) if self.open == Some(*peer) => {
                self.verified.insert(*peer);
            }
            Input::PeerConnected(peer) if self.open == Some(*peer) => {
                self.connected.insert(*peer);
            }
            Input::Offer { connection, .. } | Input::Answer { connection, .. } => {
                self.partner_can |= connection.is_some();
            }
            _ => {}
        }
    }

    /// No call begins before it is connected, and verified if it must be. No move gets lost.
    fn check_verification(&self, must_verify: bool, moved: bool, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Notify(Notice::Connected) = effect {
                let peer = self.open.expect("a call has a peer connection");
                assert!(self.connected.contains(&peer), "it is connected");
                assert!(
                    !must_verify || self.verified.contains(&peer),
                    "it is verified"
                );
            }
        }

        let checked = effects
            .iter()
            .any(|effect| matches!(effect, Effect::CheckMove { .. }));
        assert_eq!(
            checked, moved,
            "a move of this session is checked, no other"
        );
    }

    fn check(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::CreatePeer(peer) => {
                    assert_eq!(self.open, None, "never two peer connections");
                    assert!(self.ever.insert(*peer), "a peer id is used once");
                    self.open = Some(*peer);
                    (self.number, self.replaced) = (0, 0);
                    self.since = self.now;
                }
                Effect::ReplacePeer { peer, number } => {
                    let before = self.open.replace(*peer);
                    let before = before.expect("there is one to replace");
                    assert!(self.ever.insert(*peer), "a peer id is used once");
                    assert!(self.partner_can, "the partner can take it");
                    assert!(*number >= self.number && *number > 0, "numbers grow");
                    self.number = *number;
                    self.replaced += 1;
                    let passed = self.now.zip(self.since).map(|(now, since)| now - since);
                    let each = passed.unwrap_or_default().as_secs() as u32 / 10 + 1;
                    assert!(self.replaced <= 6 + 2 * each, "not in a loop");
                    if self.verified.contains(&before) {
                        self.verified.insert(*peer);
                    }
                }
                Effect::ClosePeer(peer) => {
                    assert_eq!(
                        self.open.take(),
                        Some(*peer),
                        "only the open one is closed, and once"
                    );
                }
                Effect::CreateOffer { peer, .. }
                | Effect::ApplyOffer { peer, .. }
                | Effect::ApplyAnswer { peer, .. }
                | Effect::AddCandidate { peer, .. }
                | Effect::CheckMove { peer, .. }
                | Effect::TellProblem { peer, .. } => {
                    assert_eq!(
                        self.open,
                        Some(*peer),
                        "{effect:?} needs an open peer connection"
                    );
                }
                Effect::Notify(Notice::Ended(_)) => self.ends += 1,
                Effect::ForgetAudio => {
                    assert_eq!(self.open, None, "audio restarts between two partners");
                }
                Effect::Send(_) | Effect::Notify(_) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_inputs_keeps_the_rules(steps in proptest::collection::vec((input(), 0_u32..4_000), 0..60), must_verify: bool) {
        let mut bench = Bench::new();
        bench.machine = CallMachine::new(CallTimeouts {
            partner: Some(Duration::from_secs(10)),
            ..CallTimeouts::default()
        }, must_verify);
        let mut session: Option<SessionId> = None;
        let mut checker = Checker::default();

        for (input, wait_ms) in steps {
            let effects = bench.pass(wait_ms * MS);
            checker.now = Some(bench.now);
            checker.check(&effects);
            let had_peer = bench.machine.peer();
            checker.note(&input);
            let moved = matches!(&input, Input::Move { session_id, .. }
                if had_peer.is_some() && session.as_ref() == Some(session_id));
            let found = match &input {
                Input::PartnerFound(found) => Some(found.session_id.clone()),
                _ => None,
            };
            let effects = bench.feed(input);
            checker.check(&effects);
            checker.check_verification(must_verify, moved, &effects);
            if bench.machine.peer() != had_peer && found.is_some() {
                session = found;
            }
            prop_assert_eq!(checker.open, bench.machine.peer(), "the machine knows which peer connection is open");
            prop_assert_eq!(checker.ends, usize::from(bench.machine.phase() == Phase::Ended), "one end, reported once");
        }

        checker.check(&bench.feed(Input::Find));
        for _ in 0..4 {
            let effects = bench.pass(Duration::from_secs(60));
            checker.now = Some(bench.now);
            checker.check(&effects);
        }

        prop_assert!(bench.ended_with().is_some(), "left alone, every call ends with a reason");
        prop_assert_eq!(checker.open, None, "and leaves no peer connection open");
    }
}
