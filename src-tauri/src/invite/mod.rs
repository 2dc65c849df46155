//! Invites: how one person lets another in.
//!
//! An invite is a number and two words, `7-garden-lantern`. The number is a room at the signaling
//! server; the words stay with the two people: no part of them, and nothing derived from them, is
//! sent to a server. A link also names the server. A person on the same network needs no invite: an
//! address is enough.

mod link;
mod nearby;

use std::fmt;
use std::str::FromStr;

use tandem_trust::Code;

pub use link::{InviteLink, InviteLinkError, MAX_LINK_CHARS, has_scheme};
pub use nearby::{NEARBY_PORT, NEARBY_ROOM, NearbyAddress, NotNearbyAddress};
pub use tandem_trust::{UnknownWord, WORDS, Word};

/// The longest text that is looked at: the longest invite has 29 characters, and people add spaces.
const MAX_TEXT_CHARS: usize = 100;

/// The number of an invite: a room that the signaling server gave to one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomNumber(u32);

impl RoomNumber {
    /// The highest number: nine digits are more than a server gives out, and can be dictated.
    pub const MAX: u32 = 999_999_999;

    /// A number from 1 to [`MAX`](Self::MAX).
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }
}

impl FromStr for RoomNumber {
    type Err = NotAnInvite;

    /// Digits alone, the first not 0, so that each number has one spelling.
    fn from_str(text: &str) -> Result<Self, NotAnInvite> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        is_plain
            .then(|| text.parse().ok())
            .flatten()
            .and_then(Self::new)
            .ok_or(NotAnInvite)
    }
}

impl fmt::Display for RoomNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number and two words. Prints as `7-garden-lantern`.
///
/// ```
/// use tandem::invite::Invite;
///
/// let invite: Invite = "7 Garden  lantern".parse().expect("an invite");
/// assert_eq!(invite.to_string(), "7-garden-lantern");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Invite {
    /// The room.
    pub number: RoomNumber,
    /// What only the two people know.
    pub words: [Word; 2],
}

/// A text that is not a number and two of the words. It may be a room code of the older kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an invite: it has a number and two words, like 7-garden-lantern")]
pub struct NotAnInvite;

impl Invite {
    /// An invite to the room `number`, with words from the lowest 22 of these random bits.
    #[must_use]
    pub fn new(number: RoomNumber, random: u32) -> Self {
        let words = [Word::from_bits(random >> 11), Word::from_bits(random)];
        Self { number, words }
    }

    /// The room in which a guest rings on the network of both, at the server in the app of the person
    /// who made the invite. Not the number: nobody listens in that without having claimed it.
    #[must_use]
    pub fn room_nearby(&self) -> String {
        format!("invite-{}", self.number)
    }

    /// The number and the words, as the two sides prove them to each other.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::new(self.number.0, self.words)
    }

    /// The two words as a link has them: `garden-lantern`.
    #[must_use]
    pub fn phrase(&self) -> String {
        self.words.map(Word::as_str).join("-")
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.phrase())
    }
}

impl FromStr for Invite {
    type Err = NotAnInvite;

    /// Upper and lower case are the same, and anything that is neither a letter nor a digit may
    /// separate the parts. The separators may be missing.
    fn from_str(text: &str) -> Result<Self, NotAnInvite> {
        if text.chars().nth(MAX_TEXT_CHARS).is_some() {
            return Err(NotAnInvite);
        }

        let text = text.trim_matches(|c: char| !c.is_alphanumeric());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at(digits);
        let words: Vec<&str> = rest
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();

        let words = match words[..] {
            [first, second] => [word(first)?, word(second)?],
            [both] => split(both)?,
            _ => return Err(NotAnInvite),
        };

        Ok(Self {
            number: number.parse()?,
            words,
        })
    }
}

/// Whether a text is an invite with a mistake in one of its words: a number and two words, one of which
/// is listed. Such a text must not be taken for the name of a room, because that goes to the server.
#[must_use]
pub fn is_misspelled(text: &str) -> bool {
    if text.chars().nth(MAX_TEXT_CHARS).is_some() || text.parse::<Invite>().is_ok() {
        return false;
    }

    let parts: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|part| !part.is_empty())
        .collect();
    let [number, words @ ..] = &parts[..] else {
        return false;
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && words.len() == 2 && words.iter().any(|text| word(text).is_ok())
}

fn word(text: &str) -> Result<Word, NotAnInvite> {
    text.parse().map_err(|UnknownWord| NotAnInvite)
}

/// Two words without a separator, if there is exactly one way to read them.
fn split(both: &str) -> Result<[Word; 2], NotAnInvite> {
    let mut readings = (1..both.len())
        .filter_map(|at| both.split_at_checked(at))
        .filter_map(|(first, second)| Some([word(first).ok()?, word(second).ok()?]));

    match (readings.next(), readings.next()) {
        (Some(words), None) => Ok(words),
        _ => Err(NotAnInvite),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invite(text: &str) -> Invite {
        text.parse().expect(text)
    }

    #[test]
    fn a_mistake_in_a_word_is_noticed() {
        for text in [
            "7-garden-lantren",
            "7 gardn lantern",
            "7-garden-xylograph",
            " 123456789_Garden_lampe ",
        ] {
            assert!(is_misspelled(text), "{text:?}");
        }

        let long = format!("7-garden-{}", "n".repeat(MAX_TEXT_CHARS));
        for text in [
            "7-garden-lantern",
            "7gardenlantern",
            "garden-42",
            "7",
            "7-garden",
            "blue-garden-lantren",
            "7-blau-kanu",
            "7-garden-lantren-kayak",
            "",
            &long,
        ] {
            assert!(!is_misspelled(text), "{text:?}");
        }
    }

    #[test]
    fn an_invite_is_read_as_people_write_it() {
        let expected = invite("7-garden-lantern");
        assert_eq!(expected.to_string(), "7-garden-lantern");

        for text in [
            "7 garden lantern",
            "7 Garden Lantern",
            "7-GARDEN-LANTERN",
            " 7. garden,  lantern \n",
            "7_garden_lantern",
            "7–garden–lantern",
            "“7-garden-lantern”",
            "7gardenlantern",
            "7-gardenlantern",
            "7garden lantern",
        ] {
            assert_eq!(invite(text), expected, "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_not_an_invite() {
        for text in [
            "",
            "7",
            "garden-lantern",
            "garden-42",
            "blue-otter",
            "7-garden",
            "7-garden-lantern-kayak",
            "7-garden-lanterns",
            "7-garden-xylograph",
            "07-garden-lantern",
            "0-garden-lantern",
            "1000000000-garden-lantern",
            "-7-garden-lantern-8",
            "7.5-garden-lantern",
            "７-garden-lantern",
            "7-gärden-lantern",
            "lantern-garden-7",
            &format!("7-garden-{}lantern", " ".repeat(MAX_TEXT_CHARS)),
        ] {
            assert_eq!(text.parse::<Invite>(), Err(NotAnInvite), "{text:?}");
        }
    }

    #[test]
    fn every_random_number_makes_an_invite_with_its_own_words() {
        let number = RoomNumber::new(7).expect("a room");
        let first = Invite::new(number, 0);
        assert_eq!(first.words, [Word::from_bits(0); 2]);

        let different = Invite::new(number, 1 << 11);
        assert_eq!(different.words, [Word::from_bits(1), Word::from_bits(0)]);
        assert_eq!(Invite::new(number, 1 << 22), first, "22 bits");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(number in 1..=RoomNumber::MAX, random: u32) {
            let number = RoomNumber::new(number).expect("in range");
            let made = Invite::new(number, random);
            prop_assert_eq!(made.to_string().parse(), Ok(made));
            prop_assert_eq!(made.to_string().replace('-', " ").to_uppercase().parse(), Ok(made));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<Invite>();
        }
    }
}
