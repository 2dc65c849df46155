//! Makes the profile of a partner safe to show: the partner wrote all of it, so nothing in it is trusted.

use tandem_call::Profile;
use tandem_signaling::message::{
    MAX_INTEREST_CHARS, MAX_INTERESTS, MAX_PICTURE_DATA_BYTES, MAX_USER_LOCATION_CHARS,
    MAX_USER_NAME_CHARS, NO_NAME, USER_AGES, can_be_seen,
};

use crate::desktop::state::Partner;

/// Image formats that hold nothing but pixels. SVG is a document of its own.
const PICTURE_PREFIXES: [&str; 4] = [
    "data:image/png;base64,",
    "data:image/jpeg;base64,",
    "data:image/webp;base64,",
    "data:image/gif;base64,",
];

/// The profile as the page may show it. A profile picture that is a link is left out: loading it
/// would reveal this machine's address to a server that the partner chose.
pub(super) fn sanitized(profile: &Profile) -> Partner {
    Partner {
        name: sanitized_name(profile.user_name.as_deref().filter(|name| *name != NO_NAME)),
        age: profile.user_age.filter(|age| USER_AGES.contains(age)),
        location: profile
            .user_location
            .as_deref()
            .and_then(|location| plain_text(location, MAX_USER_LOCATION_CHARS)),
        picture: profile
            .user_picture
            .clone()
            .filter(|picture| is_picture(picture)),
    }
}

/// The name as the page may show it.
pub(super) fn sanitized_name(name: Option<&str>) -> Option<String> {
    name.and_then(|name| plain_text(name, MAX_USER_NAME_CHARS))
        .filter(|name| can_be_seen(name))
}

/// The interests in common, as the page may show them.
pub(super) fn sanitized_interests(interests: &[String]) -> Vec<String> {
    interests
        .iter()
        .take(MAX_INTERESTS)
        .filter_map(|interest| plain_text(interest, MAX_INTEREST_CHARS))
        .filter(|interest| can_be_seen(interest))
        .collect()
}

/// At most `limit` characters, without those that break lines or reverse the text around them.
fn plain_text(foreign: &str, limit: usize) -> Option<String> {
    let plain: String = foreign
        .chars()
        .filter(|c| !c.is_control() && !is_format(*c))
        .take(limit)
        .collect();
    Some(plain.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Marks, overrides and isolates of the bidirectional algorithm (UAX #9), separators and invisible
/// characters.
fn is_format(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

fn is_picture(url: &str) -> bool {
    let data = PICTURE_PREFIXES
        .iter()
        .find_map(|kind| url.strip_prefix(kind));
    url.len() <= MAX_PICTURE_DATA_BYTES
        && data.is_some_and(|data| {
            !data.is_empty()
                && data
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<String> {
        sanitized(&Profile {
            user_name: Some(name.to_owned()),
            ..Profile::default()
        })
        .name
    }

    fn pictured(picture: &str) -> Option<String> {
        sanitized(&Profile {
            user_picture: Some(picture.to_owned()),
            ..Profile::default()
        })
        .picture
    }

    #[test]
    fn the_servers_word_for_no_name_is_none() {
        assert_eq!(named(NO_NAME), None);
        assert_eq!(named("Anonymous Ann").as_deref(), Some("Anonymous Ann"));
    }

    #[test]
    fn names_in_every_script_are_kept_and_control_characters_are_not() {
        for name in ["Zoë", "日本語", "عمر", "<b>bold</b>", "👩‍👩‍👧"] {
            assert_eq!(named(name).as_deref(), Some(name), "the name is unchanged");
        }

        assert_eq!(
            named("gpj\u{202E}exe.").as_deref(),
            Some("gpjexe."),
            "no character reverses the text"
        );

        assert_eq!(
            named("a\u{7}\nb").as_deref(),
            Some("ab"),
            "no character breaks the line"
        );

        for blank in [" \u{200B}\u{202E} ", "\u{3164}", "\u{2800}"] {
            assert_eq!(named(blank), None, "an invisible name is no name");
        }

        assert_eq!(
            named(&"x".repeat(1_000)).map(|name| name.len()),
            Some(MAX_USER_NAME_CHARS),
            "a long name is cut"
        );
    }

    #[test]
    fn only_embedded_pixels_are_shown_as_a_profile_picture() {
        assert!(
            pictured("data:image/png;base64,iVBORw0KGgo=").is_some(),
            "an embedded PNG"
        );

        for url in [
            "https://example.org/who-looks-at-this.png",
            "data:image/svg+xml;base64,PHN2Zz4=",
            "data:text/html;base64,PGI+",
            "data:image/png;base64,",
            "data:image/png;base64,a\" onerror=\"alert(1)",
            "javascript:alert(1)",
        ] {
            assert_eq!(pictured(url), None, "{url} is not shown");
        }

        let long = format!(
            "data:image/png;base64,{}",
            "A".repeat(MAX_PICTURE_DATA_BYTES)
        );
        assert_eq!(pictured(&long), None, "larger than the protocol allows");
    }

    #[test]
    fn only_ages_of_the_protocol_are_shown() {
        let aged = |age| {
            sanitized(&Profile {
                user_age: Some(age),
                ..Profile::default()
            })
            .age
        };

        assert_eq!(
            (aged(17), aged(18), aged(120), aged(121)),
            (None, Some(18), Some(120), None),
            "18 to 120"
        );
    }
}
