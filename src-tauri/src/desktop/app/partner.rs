//! What is shown of a partner: everything here was written by a stranger.

use tandem_call::session::Profile;

use crate::desktop::state::Partner;

/// The most that the relay lets through, in bytes.
const MAX_PICTURE: usize = 32 * 1024;
/// Pixels only: nothing that is itself a document.
const PICTURES: [&str; 4] = [
    "data:image/png;base64,",
    "data:image/jpeg;base64,",
    "data:image/webp;base64,",
    "data:image/gif;base64,",
];

/// The partner as the page may show it. A picture that would have to be fetched is left out: it would tell a stranger's
/// server who looks at it.
pub(super) fn shown(profile: &Profile) -> Partner {
    Partner {
        name: profile.user_name.as_deref().and_then(|name| text(name, 40)),
        age: profile.user_age.filter(|age| (18..=120).contains(age)),
        location: profile
            .user_location
            .as_deref()
            .and_then(|location| text(location, 80)),
        picture: profile
            .user_picture
            .clone()
            .filter(|picture| is_picture(picture)),
    }
}

/// At most `limit` characters, without those that break lines or turn around what stands beside them.
fn text(foreign: &str, limit: usize) -> Option<String> {
    let text: String = foreign
        .chars()
        .filter(|c| !c.is_control() && !is_format(*c))
        .take(limit)
        .collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Marks, overrides and isolates of the bidirectional algorithm (UAX #9), separators, the invisible.
fn is_format(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

fn is_picture(url: &str) -> bool {
    let data = PICTURES.iter().find_map(|kind| url.strip_prefix(kind));
    url.len() <= MAX_PICTURE
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
        shown(&Profile {
            user_name: Some(name.to_owned()),
            ..Profile::default()
        })
        .name
    }

    fn pictured(picture: &str) -> Option<String> {
        shown(&Profile {
            user_picture: Some(picture.to_owned()),
            ..Profile::default()
        })
        .picture
    }

    #[test]
    fn names_of_every_script_pass_and_tricks_do_not() {
        for name in ["Zoë", "日本語", "عمر", "<b>bold</b>", "👩‍👩‍👧"] {
            assert_eq!(
                named(name).as_deref(),
                Some(name),
                "a name is shown as it is"
            );
        }

        assert_eq!(
            named("gpj\u{202E}exe.").as_deref(),
            Some("gpjexe."),
            "nothing turns the text around"
        );

        assert_eq!(
            named("a\u{7}\nb").as_deref(),
            Some("ab"),
            "nothing breaks the line"
        );

        assert_eq!(
            named(" \u{200B}\u{202E} "),
            None,
            "an invisible name is none"
        );

        assert_eq!(
            named(&"x".repeat(1_000)).map(|name| name.len()),
            Some(40),
            "no name is endless"
        );
    }

    #[test]
    fn only_embedded_pixels_are_pictures() {
        assert!(
            pictured("data:image/png;base64,iVBORw0KGgo=").is_some(),
            "a picture in the message"
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

        let long = format!("data:image/png;base64,{}", "A".repeat(MAX_PICTURE));
        assert_eq!(
            pictured(&long),
            None,
            "nor is what is too large for the relay"
        );
    }

    #[test]
    fn ages_are_those_of_the_protocol() {
        let aged = |age| {
            shown(&Profile {
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
