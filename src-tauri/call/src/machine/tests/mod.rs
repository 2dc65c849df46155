//! Every transition by hand, and random sequences of inputs ([`random`]).
#![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

mod fresh;
mod in_call;
mod negotiation;
mod random;
mod search;
mod verification;

use super::*;

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

    /// A call that begins only when the partner is verified.
    fn verifying() -> Self {
        Self {
            machine: CallMachine::new(CallTimeouts::default(), true),
            ..Self::new()
        }
    }

    fn with(timeouts: CallTimeouts) -> Self {
        Self {
            machine: CallMachine::new(timeouts, false),
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
        self.in_call_as(true)
    }

    fn in_call_as(self, initiator: bool) -> Self {
        let mut bench = self.connecting(initiator);
        bench.feed(if initiator { answer() } else { offer() });
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
        connection: None,
        offer: "offer".into(),
    }
}

fn answer() -> Input {
    Input::Answer {
        session_id: "s1".into(),
        connection: None,
        answer: "answer".into(),
    }
}

fn candidate(name: &str) -> Input {
    Input::Candidate {
        session_id: "s1".into(),
        connection: None,
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
