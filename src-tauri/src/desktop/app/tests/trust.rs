//! Scenarios of trust: the code of an invite, and the safety words.

use tandem_call::{CallCode, VerificationState};
use tandem_trust::safety_words::Side;
use tandem_trust::{Badge, Fingerprint, MAX_GUESSES, Party, SafetyWords};

use super::*;
use crate::desktop::state::{BadgeKind, InviteEnd, Mismatch, Verification, WordsState};
use crate::invite::Invite;

const LINK: &str = "tandem://join/chat.example.org/9#garden-lantern";

impl World {
    /// The code of the call that the effects since the last time start.
    fn started_code(&mut self) -> Option<CallCode> {
        self.start_call_plan().code.map(|PlannedCode(code)| code)
    }

    /// A guest rings with the user's invite, and is accepted. Returns the code of the call.
    fn answer_guest(&mut self) -> Option<CallCode> {
        let id = self.knock("7");
        self.command(Command::AcceptCall { id, video: true })
            .expect("the guest can be accepted");
        self.started_code()
    }

    fn shown(&self) -> &Verification {
        match self.screen() {
            Screen::InCall(call) => &call.verification,
            other => panic!("a call is shown: {other:?}"),
        }
    }

    fn mismatch(&self) -> Option<Mismatch> {
        match self.screen() {
            Screen::Ended { mismatch, .. } => *mismatch,
            other => panic!("the call has ended: {other:?}"),
        }
    }
}

/// A guess at the code of this call was wrong, and the call ends.
fn guess_wrongly(world: &mut World, code: &CallCode) {
    code.guesses.spend();
    world.call_event(ended(EndCode::CodeMismatch));
}

pub(super) fn words(seed: u8) -> SafetyWords {
    let (fingerprint, nonce) = (Fingerprint::from_digest([seed; 32]), [seed; 32]);
    let side = Side {
        fingerprint: &fingerprint,
        nonce: &nonce,
    };
    SafetyWords::new(b"s", side, side)
}

fn verification(badge: Badge, words: tandem_trust::WordsState) -> CallEventKind {
    CallEventKind::Verification(VerificationState { badge, words })
}

fn ready(words: SafetyWords) -> tandem_trust::WordsState {
    tandem_trust::WordsState::Ready(words)
}

pub(super) fn as_shown(words: SafetyWords) -> [String; 4] {
    words.words().map(str::to_owned)
}

#[test]
fn calls_by_invite_carry_its_code_from_both_ends() {
    let mut world = World::connected_to_server();
    let invite: Invite = world.invite().parse().unwrap();
    let code = world.answer_guest().expect("the words are checked");
    assert_eq!(
        (code.code, code.party),
        (invite.code(), Party::Inviter),
        "the person who rings has to know them"
    );

    let invite: Invite = "9-garden-lantern".parse().unwrap();
    let mut world = World::connected_to_server();
    world
        .command(Command::CallWithCode {
            code: invite.to_string(),
        })
        .unwrap();
    let code = world.started_code().expect("the words are checked");
    assert_eq!((code.code, code.party), (invite.code(), Party::Guest));

    let mut world = World::connected_to_server();
    world.input(Input::Opened(LINK.into()));
    world.command(Command::JoinOpened).unwrap();
    let code = world.started_code().expect("the words are checked");
    assert_eq!((code.code, code.party), (invite.code(), Party::Guest));
}

#[test]
fn a_server_too_old_to_ring_changes_nothing_about_the_code() {
    let mut world = World::connected_to_server();
    let invite: Invite = world.invite().parse().unwrap();
    world.line(LineEvent::CannotRing);
    let code = world.started_code().expect("the words are checked");
    assert_eq!((code.code, code.party), (invite.code(), Party::Inviter));

    guess_wrongly(&mut world, &code);
    assert_eq!(world.mismatch(), Some(Mismatch::Invite));
    world.command(Command::Next).expect("waiting once more");
    let again = world.started_code().expect("the words are checked");
    assert_eq!(again.guesses.spent(), 1, "the guesses are those of before");
}

#[test]
fn other_calls_carry_no_code() {
    let mut world = World::connected_to_server();
    for command in [
        Command::FindPartner,
        Command::CallWithCode {
            code: "garden-42".into(),
        },
    ] {
        world.command(command.clone()).unwrap();
        assert_eq!(world.start_call_plan().code, None, "{command:?}");
        world.command(Command::Cancel).unwrap();
    }

    // A person of an earlier call rings, while there is an invite.
    let mut world = World::connected_to_server();
    world.command(Command::FindPartner).unwrap();
    world.command(Command::Cancel).unwrap();
    world
        .command(Command::CallWithCode { code: "a".into() })
        .unwrap();
    world.call_known("known");
    world.command(Command::ToLobby).unwrap();
    world.invite();
    let id = world.knock("known");
    world.effects();
    world
        .command(Command::AcceptCall { id, video: true })
        .unwrap();
    assert_eq!(world.start_call_plan().code, None);
}

#[test]
fn after_a_wrong_guess_the_inviter_is_told_and_listens_again() {
    let mut world = World::connected_to_server();
    let before = world.invite();
    let code = world.answer_guest().unwrap();
    world.call_event(matched());
    guess_wrongly(&mut world, &code);

    assert_eq!(world.mismatch(), Some(Mismatch::Invite));
    assert!(
        matches!(&world.app.state().invitation, Some(Invitation::Ready { code, .. }) if *code == before),
        "the invite still works: {:?}",
        world.app.state().invitation
    );
    assert_eq!(world.line_use().rooms, ["7"], "the guest can ring again");
    assert_eq!(world.problems(), [""; 0]);

    let again = world.answer_guest().unwrap();
    assert_eq!(again.guesses.spent(), 1, "one count for all calls");
}

#[test]
fn five_wrong_guesses_end_an_invite_and_a_new_one_is_another() {
    let mut world = World::connected_to_server();
    let before = world.invite();
    for guess in 1..=MAX_GUESSES {
        assert!(world.app.state().invitation.is_some(), "guess {guess}");
        let code = world.answer_guest().unwrap();
        world.effects();
        guess_wrongly(&mut world, &code);
    }

    assert_eq!(world.mismatch(), Some(Mismatch::SpentInvite));
    assert_eq!(world.app.state().invitation, None);
    assert_eq!(
        world.line_use(),
        LineUse::default(),
        "nobody can ring with it"
    );
    assert_eq!(world.problems(), [""; 0], "the last screen says it");

    world
        .command(Command::Invite)
        .expect("a new one is offered");
    assert_eq!(world.problems(), [""; 0]);
    world.line(LineEvent::Claimed {
        room: "7".into(),
        guest: None,
        former: Some(former("7")),
        random: 77,
    });
    let Some(Invitation::Ready { code, .. }) = &world.app.state().invitation else {
        panic!("a new invite")
    };
    assert_ne!(*code, before, "with other words");
    assert_eq!(world.answer_guest().unwrap().guesses.spent(), 0);
}

#[test]
fn guesses_outlast_a_connection_to_the_server() {
    let mut world = World::connected_to_server();
    world.invite();
    let code = world.answer_guest().unwrap();
    guess_wrongly(&mut world, &code);
    world.registered_again();
    world.effects();
    assert_eq!(
        world.answer_guest().unwrap().guesses.spent(),
        1,
        "a server gets no more guesses by forgetting the user"
    );
}

/// The user gives up the last call, whose guess is counted a moment later.
#[test]
fn a_guess_that_is_counted_late_ends_the_invite_too() {
    let mut world = World::connected_to_server();
    world.invite();
    let code = world.answer_guest().unwrap();
    for _ in 1..MAX_GUESSES {
        code.guesses.spend();
    }
    world.command(Command::Cancel).unwrap();
    assert!(world.app.state().invitation.is_some());

    code.guesses.spend();
    world.input(Input::Focused(true));
    assert_eq!(world.app.state().invitation, None);
    assert_eq!(world.problems(), ["INVITE_SPENT"]);
}

/// The guess of a call counts until the partner has proved to know the code.
#[test]
fn an_invite_is_not_given_up_during_a_call_with_it() {
    let mut world = World::connected_to_server();
    world.invite();
    let code = world.answer_guest().unwrap();
    for _ in 0..MAX_GUESSES {
        code.guesses.spend();
    }
    world.call_event(matched());
    assert!(world.app.state().invitation.is_some());
    world.call_event(CallEventKind::Connected);
    assert_eq!(world.app.state().invitation, None, "it serves one call");
    assert_eq!(world.problems(), [""; 0]);
}

#[test]
fn a_guest_enters_the_code_again_after_a_mismatch_and_keeps_its_guesses() {
    let mut world = World::connected_to_server();
    for guess in 1..=MAX_GUESSES {
        world.input(Input::Opened(LINK.into()));
        world.command(Command::JoinOpened).unwrap();
        let code = world.started_code().unwrap();
        assert_eq!(code.guesses.spent() + 1, guess);
        guess_wrongly(&mut world, &code);
        let Screen::Ended { again, .. } = world.screen() else {
            panic!("{:?}", world.screen())
        };
        assert_eq!(*again, None, "the same code would not match either");
        let expected = if guess < MAX_GUESSES {
            Mismatch::Code
        } else {
            Mismatch::SpentCode
        };
        assert_eq!(world.mismatch(), Some(expected));
    }

    world.input(Input::Opened(LINK.replace("/9#", "/8#")));
    world.command(Command::JoinOpened).unwrap();
    assert_eq!(
        world.started_code().unwrap().guesses.spent(),
        0,
        "another invite"
    );
}

#[test]
fn a_call_says_how_far_its_partner_is_verified() {
    let mut world = World::connected_to_server();
    world.connect();
    assert_eq!(*world.shown(), Verification::default());

    world.call_event(verification(Badge::NotVerified, ready(words(1))));
    let with_words = Verification {
        badge: BadgeKind::NotVerified,
        words: WordsState::Ready {
            words: as_shown(words(1)),
        },
        by_invite: None,
    };
    assert_eq!(*world.shown(), with_words);
    world.call_event(verification(Badge::VerifiedByUser, ready(words(1))));
    assert_eq!(world.shown().badge, BadgeKind::VerifiedByUser);

    // The next stranger is not the last one.
    world.command(Command::Next).unwrap();
    world.call_event(CallEventKind::Searching);
    world.find_partner();
    assert_eq!(*world.shown(), Verification::default());
}

#[test]
fn words_on_their_way_are_told_apart_from_none() {
    use tandem_trust::WordsState as Known;

    let mut world = World::connected_to_server();
    world.connect();
    assert_eq!(world.shown().words, WordsState::Awaited, "nothing is known");
    let shown = WordsState::Ready {
        words: as_shown(words(1)),
    };
    for (known, shown) in [
        (Known::Awaited, WordsState::Awaited),
        (Known::Unavailable, WordsState::Unavailable),
        (Known::Ready(words(1)), shown),
    ] {
        world.call_event(verification(Badge::NotVerified, known));
        assert_eq!(world.shown().words, shown);
    }
}

#[test]
fn a_call_by_invite_says_which_end_the_user_is() {
    let mut world = World::connected_to_server();
    world.invite();
    world.answer_guest();
    world.find_partner();
    assert_eq!(world.shown().words, WordsState::ByCode, "from the start");
    let by_code = tandem_trust::WordsState::ByCode;
    world.call_event(verification(Badge::VerifiedByCode, by_code));
    assert_eq!(
        *world.shown(),
        Verification {
            badge: BadgeKind::VerifiedByCode,
            words: WordsState::ByCode,
            by_invite: Some(InviteEnd::Inviter),
        }
    );

    let mut world = World::connected_to_server();
    world.input(Input::Opened(LINK.into()));
    world.command(Command::JoinOpened).unwrap();
    world.find_partner();
    assert_eq!(world.shown().by_invite, Some(InviteEnd::Guest));
}

#[test]
fn only_the_words_that_are_known_now_can_be_compared() {
    let mut world = World::connected_to_server();
    let compared = |words: &SafetyWords, equal| Command::WordsCompared {
        words: as_shown(*words),
        equal,
    };
    let [old, new] = [words(1), words(2)];
    assert_eq!(
        world.command(compared(&old, true)),
        Err(CommandErrorCode::NotNow),
        "there is no call"
    );

    world.connect();
    world.effects();
    assert_eq!(
        world.command(compared(&old, true)),
        Err(CommandErrorCode::NotNow),
        "there are no words"
    );
    world.call_event(verification(Badge::NotVerified, ready(new)));
    for equal in [true, false] {
        assert_eq!(
            world.command(compared(&old, equal)),
            Err(CommandErrorCode::NotNow),
            "the words on the screen have changed"
        );
        assert_eq!(world.effects(), []);
        world.command(compared(&new, equal)).unwrap();
        let id = world.app.call.as_ref().unwrap().id;
        assert_eq!(world.effects(), [Effect::WordsCompared(id, new, equal)]);
    }

    world.call_event(ended(EndCode::CodeMismatch));
    assert_eq!(world.mismatch(), Some(Mismatch::SafetyWords));
    assert!(
        matches!(
            world.screen(),
            Screen::Ended {
                again: Some(Search::Anyone),
                ..
            }
        ),
        "someone else can be found: {:?}",
        world.screen()
    );
}

#[test]
fn who_said_that_the_words_differ_is_told_apart() {
    let mut world = World::connected_to_server();
    world.connect();
    world.call_event(verification(Badge::NotVerified, ready(words(1))));
    world.call_event(ended(EndCode::CodeMismatch));
    assert_eq!(world.mismatch(), Some(Mismatch::PartnersSafetyWords));
}

#[test]
fn nobody_rings_in_a_room_that_the_user_has_given_to_nobody() {
    let mut world = World::with(
        Settings::default(),
        vec![recent("known", "Bea")],
        at_server(),
    );
    world.line(LineEvent::Connected { user: "me".into() });
    world.invite();
    for (room, rings) in [
        ("8", None),
        ("other", None),
        ("known", Some(false)),
        ("7", Some(true)),
    ] {
        world.line(LineEvent::Knock {
            id: room.into(),
            room: room.into(),
            profile: Box::default(),
            address: None,
        });
        let incoming = world.app.state().incoming.as_ref();
        let by_invite = incoming.map(|incoming| incoming.by_invite);
        assert_eq!(by_invite, rings, "{room}");
    }
}
