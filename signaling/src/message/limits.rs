//! The limits of the protocol, and the checks that go with them.
//!
//! The server enforces these limits and answers `bad_message` or `message_too_large`. Programs that
//! ask a person for a name or a code check with the same functions, so that a mistake shows before
//! anything is sent. Lengths of text count Unicode code points after control characters are
//! removed, unless a name ends in `_BYTES`.

use std::ops::RangeInclusive;

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// The version of the protocol, as in
/// [`UserRegistered::protocol`](super::UserRegistered::protocol).
pub const PROTOCOL_VERSION: u32 = 1;

/// The largest message that a client may send: 64 KiB of text, all fragments together.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// How much longer a relayed message may be than the message it came from: room for `from`,
/// `sessionId` and `seq`.
pub const RELAY_OVERHEAD_BYTES: usize = 512;

/// The longest `id` of a message.
pub const MAX_REQUEST_ID_BYTES: usize = 64;

/// The longest `claimToken`: twice what the server makes.
pub const MAX_CLAIM_TOKEN_BYTES: usize = 128;

/// The longest `userName`. The shortest has one character.
pub const MAX_USER_NAME_CHARS: usize = 40;
/// The `userName` that the server puts in for people who give none.
pub const NO_NAME: &str = "Anonymous";

/// The ages that a profile may give, in years.
pub const USER_AGES: RangeInclusive<u8> = 18..=120;

/// The longest `userLocation`.
pub const MAX_USER_LOCATION_CHARS: usize = 80;

/// The longest `userPicture` that is a `data:image/…` URL: 32 KiB of URL, about 24 KiB of image.
pub const MAX_PICTURE_DATA_BYTES: usize = 32 * 1024;

/// The longest `userPicture` that is an `https:` URL.
pub const MAX_PICTURE_URL_BYTES: usize = 512;

/// The longest room code. The shortest has one character; see [`is_room_code`].
pub const MAX_ROOM_CHARS: usize = 64;

/// The highest number that [`claim_room`](super::ClientMessage::ClaimRoom) gives out. A room code
/// that is a number up to this, without a zero in front, is a room that can be claimed: see
/// [`room_number`].
pub const MAX_ROOM_NUMBER: u32 = 999_999_999;

/// The most rooms in one [`listen`](super::ClientMessage::Listen).
pub const MAX_LISTEN_ROOMS: usize = 20;

/// The most interests in one search.
pub const MAX_INTERESTS: usize = 10;

/// The longest interest. The shortest has one character.
pub const MAX_INTEREST_CHARS: usize = 32;

/// The longest text of a report.
pub const MAX_REPORT_CHARS: usize = 1000;

/// The largest snapshot of a report, as a JPEG. In base64 it has a third more.
pub const MAX_SNAPSHOT_BYTES: usize = 32 * 1024;

/// The largest `lastSeq` of a `resume`: 2^53, up to which JavaScript counts exactly.
pub const MAX_LAST_SEQ: u64 = 1 << 53;

/// Whether `code` names a room: 1 to [`MAX_ROOM_CHARS`] of the characters `A–Z a–z 0–9 - _`.
///
/// ```
/// use tandem_signaling::message::is_room_code;
///
/// assert!(is_room_code("blue-otter_7"));
/// assert!(!is_room_code("blue otter"));
/// ```
#[must_use]
pub fn is_room_code(code: &str) -> bool {
    (1..=MAX_ROOM_CHARS).contains(&code.len())
        && code
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The number of a room that can be claimed, from 1 to [`MAX_ROOM_NUMBER`]; `None` for any other
/// room code.
///
/// ```
/// use tandem_signaling::message::room_number;
///
/// assert_eq!(room_number("7"), Some(7));
/// assert_eq!(room_number("07"), None);
/// assert_eq!(room_number("garden-42"), None);
/// ```
#[must_use]
pub fn room_number(code: &str) -> Option<u32> {
    let is_plain = code.bytes().all(|b| b.is_ascii_digit()) && !code.starts_with('0');
    is_plain
        .then(|| code.parse().ok())
        .flatten()
        .filter(|number| (1..=MAX_ROOM_NUMBER).contains(number))
}

/// The name as the partner will see it, without control characters. `None` unless 1 to
/// [`MAX_USER_NAME_CHARS`] characters are left, and one of them can be seen.
///
/// ```
/// use tandem_signaling::message::clean_name;
///
/// assert_eq!(clean_name("Ada\n").as_deref(), Some("Ada"));
/// assert_eq!(clean_name("\n"), None);
/// assert_eq!(clean_name("\u{200B} \u{3164}"), None);
/// ```
#[must_use]
pub fn clean_name(name: &str) -> Option<String> {
    clean_within(name, 1..=MAX_USER_NAME_CHARS).filter(|name| can_be_seen(name))
}

/// Whether the text has a character that is neither space nor invisible: Unicode's properties
/// `White_Space` and `Default_Ignorable_Code_Point` (UAX #44), the second of which includes marks of
/// direction, joiners, variation selectors and Hangul fillers. Some blank characters have neither property;
/// they do not count either.
///
/// ```
/// use tandem_signaling::message::can_be_seen;
///
/// assert!(can_be_seen("Ada"));
/// assert!(!can_be_seen("\u{2800} \u{3164}"));
/// ```
#[must_use]
pub fn can_be_seen(text: &str) -> bool {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    text.chars()
        .any(|c| !c.is_whitespace() && !c.is_control() && !ignorable.contains(c) && !is_blank(c))
}

/// Characters whose picture in the Unicode charts is empty, or a frame that fonts leave out, though no
/// property says so. `ui/src/text.ts` has the same.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        // The braille pattern without dots.
        '\u{2800}'
        // Marks around interlinear annotations.
        | '\u{FFF9}'..='\u{FFFB}'
        // Egyptian hieroglyphs: how signs are joined, and blanks.
        | '\u{13430}'..='\u{13442}'
        // The filler of the Khitan small script.
        | '\u{16FE4}'
        // The musical note without a head.
        | '\u{1D159}'
    )
}

/// The location as the partner will see it, without control characters. `None` if more than
/// [`MAX_USER_LOCATION_CHARS`] characters are left.
#[must_use]
pub fn clean_location(location: &str) -> Option<String> {
    clean_within(location, 0..=MAX_USER_LOCATION_CHARS)
}

/// The interest without control characters. `None` unless 1 to [`MAX_INTEREST_CHARS`] characters
/// are left.
#[must_use]
pub fn clean_interest(interest: &str) -> Option<String> {
    clean_within(interest, 1..=MAX_INTEREST_CHARS)
}

/// Whether a profile may give this age: [`USER_AGES`].
#[must_use]
pub fn is_user_age(years: u8) -> bool {
    USER_AGES.contains(&years)
}

/// Whether `url` can be a profile picture: a `data:image/…` URL of at most
/// [`MAX_PICTURE_DATA_BYTES`], or an `https:` URL of at most [`MAX_PICTURE_URL_BYTES`].
///
/// Only the scheme and the length are checked, so a program that shows the picture must expect any
/// content.
#[must_use]
pub fn is_profile_picture(url: &str) -> bool {
    max_picture_bytes(url).is_some_and(|max| url.len() <= max)
}

/// The longest URL of this kind of profile picture, in bytes; `None` for a kind that is not
/// allowed. Schemes are compared without regard to case (RFC 3986 §3.1).
pub(super) fn max_picture_bytes(url: &str) -> Option<usize> {
    let starts_with = |prefix: &str| {
        url.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };

    if starts_with("data:image/") {
        Some(MAX_PICTURE_DATA_BYTES)
    } else if starts_with("https:") {
        Some(MAX_PICTURE_URL_BYTES)
    } else {
        None
    }
}

/// Removes control characters (Unicode category Cc), as the server does with every text that a
/// partner or an operator will see.
#[must_use]
pub fn remove_control_characters(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The text without control characters, if the number of code points that are left is in `length`.
pub(super) fn clean_within(text: &str, length: RangeInclusive<usize>) -> Option<String> {
    let text = remove_control_characters(text);
    length.contains(&text.chars().count()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that people can see, and others. The window and the page for guests are tested with the
    /// same.
    #[derive(serde::Deserialize)]
    struct Names {
        invisible: Vec<String>,
        visible: Vec<String>,
    }

    #[test]
    fn a_name_that_nobody_can_see_is_none() {
        let names: Names = serde_json::from_str(include_str!("names.json")).unwrap();
        for name in names.invisible {
            assert_eq!(clean_name(&name), None, "{}", name.escape_unicode());
        }

        for name in names.visible {
            assert_eq!(clean_name(&name).as_deref(), Some(&*name));
        }
    }

    #[test]
    fn lengths_count_code_points_without_control_characters() {
        assert_eq!(
            clean_within("A\u{0}\u{9f}\n\u{7f}é", 2..=2).as_deref(),
            Some("Aé"),
            "two code points are left"
        );
        assert_eq!(clean_name("\n"), None, "nothing is left");
        assert!(
            clean_name(&"é".repeat(40)).is_some(),
            "40 code points of two bytes each"
        );
        assert_eq!(clean_name(&"x".repeat(41)), None, "one too many");
    }

    #[test]
    fn a_room_code_has_1_to_64_plain_characters() {
        for code in ["a", "aZ09-_", &"r".repeat(64)] {
            assert!(is_room_code(code), "{code:?} is a room code");
        }

        for code in ["", "a b", "é", "a.b", &"r".repeat(65)] {
            assert!(!is_room_code(code), "{code:?} is not a room code");
        }
    }

    #[test]
    fn a_location_may_be_empty_and_an_interest_may_not() {
        assert_eq!(clean_location("").as_deref(), Some(""));
        assert!(
            clean_location(&"x".repeat(80)).is_some() && clean_location(&"x".repeat(81)).is_none()
        );
        assert_eq!(clean_interest(""), None);
        assert!(
            clean_interest(&"x".repeat(32)).is_some() && clean_interest(&"x".repeat(33)).is_none()
        );
    }

    #[test]
    fn ages_are_18_to_120() {
        for (years, allowed) in [(17, false), (18, true), (120, true), (121, false)] {
            assert_eq!(is_user_age(years), allowed, "{years} years");
        }
    }

    #[test]
    fn a_profile_picture_is_a_short_https_url_or_an_inlined_image() {
        for url in [
            "https://x.example/p.png",
            "HTTPS://x",
            "data:image/png;base64,AAAA",
        ] {
            assert!(is_profile_picture(url), "{url}");
        }

        let long_url = format!("https://x.example/{}", "x".repeat(500));
        let long_data = format!("data:image/png,{}", "x".repeat(MAX_PICTURE_DATA_BYTES));
        for url in [
            "",
            "http://x.example/p.png",
            "data:text/html,x",
            &long_url,
            &long_data,
        ] {
            assert!(!is_profile_picture(url), "{url:.40}");
        }
    }
}
