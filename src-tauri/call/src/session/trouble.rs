//! Why no connection comes up: when that is told, and what the two sides say to each other about it, in
//! an additive field of a candidate's payload (docs/protocol.md, "When no connection comes up"). Sans-IO:
//! time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::machine::ConnectProblem;

/// By then a connection is up where there is a route: over 300 ms, descriptions and the first answer to a
/// check take 1.5 s. With what a TURN server has for its answer, the reason is told within 3 s.
const TROUBLE_AFTER: Duration = Duration::from_millis(2_500);

/// What the partner says about its own side. Of its words nothing is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartnerWord {
    /// What it means for this side. `None`: the partner has found that this side has no way to connect.
    pub(super) problem: Option<ConnectProblem>,
    /// It is about to leave for that.
    pub(super) gave_up: bool,
}

/// The partner's word in the payload of a candidate. `None`: it is another candidate.
pub(super) fn word_in(payload: &str) -> Option<PartnerWord> {
    let fields: HashMap<String, &RawValue> = serde_json::from_str(payload).ok()?;
    let code: String = serde_json::from_str(fields.get("problem")?.get()).ok()?;
    let gave_up = fields.get("gaveUp").map(|value| value.get());
    let mut known = ConnectProblem::ALL.into_iter();
    let problem = match known.find(|problem| problem.as_str() == code) {
        Some(ConnectProblem::PartnerHasNoRoute) => None,
        // These are about the server, which is the same for both.
        Some(problem @ (ConnectProblem::NoTurnOffered | ConnectProblem::TurnRefused)) => {
            Some(problem)
        }
        _ => Some(ConnectProblem::PartnerHasNoRoute),
    };
    Some(PartnerWord {
        problem,
        gave_up: gave_up == Some("true"),
    })
}

/// The payload that says so.
pub(super) fn payload(problem: ConnectProblem, gave_up: bool) -> String {
    let code = problem.as_str();
    if gave_up {
        format!(r#"{{"problem":"{code}","gaveUp":true}}"#)
    } else {
        format!(r#"{{"problem":"{code}"}}"#)
    }
}

/// What is known about one side of a connection that is not up yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Findings {
    /// Why this side thinks that none comes up.
    pub(super) own: Option<ConnectProblem>,
    /// The partner has answered a check.
    pub(super) has_answer: bool,
    /// No connection can come up, so the call ends.
    pub(super) is_hopeless: bool,
}

/// Says when the user, and the partner, learn why no connection comes up.
#[derive(Debug, Default)]
pub(super) struct TroubleWatch {
    /// When the partner was found.
    since: Option<Instant>,
    /// What the partner says, first of all.
    partner: Option<ConnectProblem>,
    /// The partner is about to leave, so this is the last moment.
    has_partner_given_up: bool,
    /// What the user knows.
    told: Option<ConnectProblem>,
    /// The partner knows that this side has none.
    is_sent: bool,
}

impl TroubleWatch {
    /// For a partner that was found at `now`.
    pub(super) fn of_match(now: Instant) -> Self {
        Self {
            since: Some(now),
            ..Self::default()
        }
    }

    /// The partner has said something. It cannot take it back, so that it cannot make the user's screen
    /// flicker.
    pub(super) fn on_partner(&mut self, word: PartnerWord) {
        self.partner = self.partner.or(word.problem);
        self.has_partner_given_up |= word.gave_up;
    }

    /// The reason, if this is what the side itself has found.
    pub(super) fn reason(&self, own: Option<ConnectProblem>) -> Option<ConnectProblem> {
        own.or(self.partner)
    }

    /// What to tell the user now, if that has changed.
    pub(super) fn news(
        &mut self,
        now: Instant,
        findings: Findings,
    ) -> Option<Option<ConnectProblem>> {
        let is_due = self.is_due(now, findings) && !findings.has_answer;
        let reason = self.reason(findings.own).filter(|_| is_due);
        (std::mem::replace(&mut self.told, reason) != reason).then_some(reason)
    }

    /// What to tell the partner now. Returned once: it is about the side that says it.
    pub(super) fn news_for_partner(
        &mut self,
        now: Instant,
        findings: Findings,
    ) -> Option<ConnectProblem> {
        let is_due = self.is_due(now, findings) && !findings.has_answer && !self.is_sent;
        let own = findings.own.filter(|_| is_due)?;
        self.is_sent = own != ConnectProblem::PartnerHasNoRoute;
        self.is_sent.then_some(own)
    }

    fn is_due(&self, now: Instant, findings: Findings) -> bool {
        let is_late = self.since.is_some_and(|since| now >= since + TROUBLE_AFTER);
        is_late || findings.is_hopeless || self.has_partner_given_up
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;

    use super::*;

    const THEIRS: PartnerWord = PartnerWord {
        problem: Some(ConnectProblem::PartnerHasNoRoute),
        gave_up: false,
    };
    const MS: Duration = Duration::from_millis(1);

    fn found(own: Option<ConnectProblem>) -> Findings {
        Findings {
            own,
            has_answer: false,
            is_hopeless: false,
        }
    }

    #[test]
    fn a_reason_is_told_once_and_not_too_early() {
        let now = Instant::now();
        let mut watch = TroubleWatch::of_match(now);
        let blocked = found(Some(ConnectProblem::UdpBlocked));
        let due = now + TROUBLE_AFTER;
        assert_eq!(watch.news(due - MS, blocked), None);
        assert_eq!(watch.news_for_partner(due - MS, blocked), None);
        assert_eq!(watch.news(due, blocked), Some(blocked.own));
        assert_eq!(watch.news_for_partner(due, blocked), blocked.own);
        assert_eq!(watch.news(due + MS, blocked), None, "nothing has changed");
        assert_eq!(watch.news_for_partner(due + MS, blocked), None);

        let answered = Findings {
            has_answer: true,
            ..blocked
        };
        assert_eq!(watch.news(due + MS, answered), Some(None), "a route came");
    }

    #[test]
    fn a_call_that_ends_for_it_says_so_at_once() {
        let now = Instant::now();
        let mut watch = TroubleWatch::of_match(now);
        let hopeless = Findings {
            is_hopeless: true,
            ..found(Some(ConnectProblem::TurnRefused))
        };
        assert_eq!(watch.news(now, hopeless), Some(hopeless.own));
    }

    #[test]
    fn the_partners_side_is_told_unless_this_side_has_a_reason_of_its_own() {
        let now = Instant::now();
        let due = now + TROUBLE_AFTER;
        let mut watch = TroubleWatch::of_match(now);
        watch.on_partner(THEIRS);
        assert_eq!(watch.news(now, found(None)), None);
        let theirs = Some(ConnectProblem::PartnerHasNoRoute);
        assert_eq!(watch.news(due, found(None)), Some(theirs));
        assert_eq!(watch.news_for_partner(due, found(theirs)), None, "it knows");
        let own = Some(ConnectProblem::TurnFailed);
        assert_eq!(watch.news(due, found(own)), Some(own));

        let mut other = TroubleWatch::of_match(now);
        other.on_partner(PartnerWord {
            problem: None,
            gave_up: true,
        });
        assert_eq!(other.news(due, found(None)), None, "it is about this side");

        let mut left = TroubleWatch::of_match(now);
        left.on_partner(PartnerWord {
            gave_up: true,
            ..THEIRS
        });
        assert_eq!(left.news(now, found(None)), Some(theirs), "it leaves now");
    }

    #[test]
    fn what_is_said_is_read() {
        for problem in ConnectProblem::ALL {
            for gave_up in [false, true] {
                let word = word_in(&payload(problem, gave_up)).expect("it is one");
                assert_eq!(word.gave_up, gave_up);
                let about_server = matches!(
                    problem,
                    ConnectProblem::NoTurnOffered | ConnectProblem::TurnRefused
                );
                let expected = match problem {
                    ConnectProblem::PartnerHasNoRoute => None,
                    _ if about_server => Some(problem),
                    _ => Some(ConnectProblem::PartnerHasNoRoute),
                };
                assert_eq!(word.problem, expected, "{problem:?}");
            }
        }

        // A code of a later version.
        assert_eq!(word_in(r#"{"problem":"NEW","gaveUp":"yes"}"#), Some(THEIRS));
    }

    #[test]
    fn other_candidates_are_none() {
        for payload in [
            "null",
            "",
            "[]",
            r#"["UDP_BLOCKED"]"#,
            r#"{"candidate":"candidate:1","sdpMid":"0"}"#,
            r#"{"problem":null}"#,
            r#"{"problem":7}"#,
            r#"{"problem":{"what":"Pay here"}}"#,
            r#"{"pake":{"method":"words"}}"#,
        ] {
            assert_eq!(word_in(payload), None, "{payload}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_told_early_twice_or_against_an_answer(
            steps in prop::collection::vec(
                (0_u32..1_000, prop::option::of(0..ConnectProblem::ALL.len()), any::<bool>(), any::<bool>()),
                0..40,
            )
        ) {
            let start = Instant::now();
            let (mut watch, mut now) = (TroubleWatch::of_match(start), start);
            let (mut shown, mut sent) = (None, 0);
            for (ms, own, has_answer, says) in steps {
                now += ms * MS;
                if says {
                    watch.on_partner(THEIRS);
                }

                let own = own.map(|index| ConnectProblem::ALL[index]);
                let findings = Findings { own, has_answer, is_hopeless: false };
                if let Some(news) = watch.news(now, findings) {
                    prop_assert!(now >= start + TROUBLE_AFTER);
                    prop_assert_ne!(news, shown);
                    shown = news;
                }

                prop_assert!(shown.is_none() || !has_answer);
                if own.is_some() && !has_answer && now >= start + TROUBLE_AFTER {
                    prop_assert_eq!(shown, own);
                }

                sent += usize::from(watch.news_for_partner(now, findings).is_some());
                prop_assert!(sent <= 1);
            }
        }
    }
}
