//! Text from strangers, made fit for a notification.

/// What stands for the rest of a text that was cut.
const ELLIPSIS: char = '…';

/// The text on one line, at most `max` characters long.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    bounded(text.chars().map(|c| if c == '\n' { ' ' } else { c }), max)
}

/// The text with its line breaks, at most `max` characters long.
pub(crate) fn lines(text: &str, max: usize) -> String {
    bounded(text.chars(), max)
}

/// Counts characters (code points). The last one of a text that is cut is an ellipsis.
fn bounded(text: impl Iterator<Item = char>, max: usize) -> String {
    let mut rest = text.filter(|&c| is_allowed(c));
    let mut kept: String = rest.by_ref().take(max).collect();

    if rest.next().is_some() {
        kept.pop();
        kept.push(ELLIPSIS);
    }
    kept
}

/// Neither a control character (D-Bus refuses NUL, XML most of them) nor one that changes the
/// direction of the text after it, so that a name cannot rearrange the words around it.
fn is_allowed(c: char) -> bool {
    let is_control = c.is_control() && c != '\n';
    let changes_direction = matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    // XML 1.0 has no way to write these two (§2.2).
    let is_unwritable = matches!(c, '\u{FFFE}' | '\u{FFFF}');
    !(is_control || changes_direction || is_unwritable)
}

/// The text as it is written in XML, and in the markup of notification servers
/// (Desktop Notifications Specification 1.2, "Markup"), so that none of it counts as a tag.
#[cfg(any(target_os = "linux", windows, test))]
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_within_the_bound_stays_as_it_is() {
        assert_eq!(lines("Ada\n学", 5), "Ada\n学", "five characters of five");
    }

    #[test]
    fn a_longer_text_ends_with_an_ellipsis_at_the_bound() {
        assert_eq!(lines("學而時習之", 3), "學而…");
        assert_eq!(one_line("", 3), "");
    }

    #[test]
    fn control_characters_and_changes_of_direction_are_removed() {
        let text = "\0a\u{1b}[1m\tb\u{202e}c\u{2066}d\u{ffff}\r\n";
        assert_eq!(lines(text, 100), "a[1mbcd\n");
        assert_eq!(one_line(text, 100), "a[1mbcd ");
    }

    #[test]
    fn what_is_removed_does_not_count() {
        assert_eq!(lines("\0\0\0ab", 2), "ab", "two characters are left");
    }

    #[test]
    fn right_to_left_names_keep_their_letters() {
        assert_eq!(one_line("עדה\u{200f}", 10), "עדה\u{200f}");
    }

    #[test]
    fn escaped_text_contains_no_markup() {
        assert_eq!(
            escaped(r#"<a href="x">Tom & 'Al'</a>"#),
            "&lt;a href=&quot;x&quot;&gt;Tom &amp; &#39;Al&#39;&lt;/a&gt;"
        );
    }
}
