//! The page behind the link to an invite, `/j/7#garden-lantern`: it opens Tandem, or says how to.
//!
//! The page is the same for every room, and no room is looked up: a link says nothing about which
//! rooms exist. The words stand behind `#`, which browsers do not send; the page's script reads
//! them (`page.js`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::digest::{SHA256, digest};

use super::http::Answer;
use crate::message::room_number;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What stands before the number in the path of an invite's link.
const PREFIX: &str = "/j/";

/// The page, as one server serves it.
#[derive(Debug)]
pub(super) struct InvitePage {
    html: String,
    /// The page's `Content-Security-Policy`: its own style and script by their hashes, an icon that
    /// is part of it, and nothing else. No directive applies to links, so that it can open Tandem.
    policy: String,
}

impl InvitePage {
    /// A page that links to `download_url`, if there is one, for those who don't have Tandem.
    pub(super) fn new(download_url: Option<&str>) -> Self {
        let download = match download_url {
            Some(url) => format!(
                "<p>Install it on a computer, then open this link there.</p>\n    \
                 <a id=\"get\" class=\"button secondary\" href=\"{}\" target=\"_blank\" rel=\"noopener\">Get Tandem</a>",
                escape(url)
            ),
            None => "<p>Install it on a computer, then open this link there. The person who invited you can tell you \
                     where to get it.</p>"
                .to_owned(),
        };

        let html = HTML
            .replace("{style}", STYLE)
            .replace("{script}", SCRIPT)
            .replace("{download}", &download);

        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            source(SCRIPT),
            source(STYLE)
        );

        Self { html, policy }
    }

    /// The answer to a request for `path`; `None` unless that begins with `/j/`. If anything but a
    /// room's number follows, the status is 404, and the page says that the link is incomplete.
    pub(super) fn answer(&self, path: &str) -> Option<Answer> {
        let number = path.strip_prefix(PREFIX)?;
        let status = if room_number(number).is_some() {
            200
        } else {
            404
        };

        Some(Answer::page(status, self.html.clone(), &self.policy))
    }
}

/// A source of `Content-Security-Policy` that allows exactly this inline text (CSP3 §2.3.1).
fn source(text: &str) -> String {
    format!(
        "'sha256-{}'",
        BASE64.encode(digest(&SHA256, text.as_bytes()))
    )
}

/// `text` as the value of an attribute in double quotes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between two marks.
    fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
        let (_, rest) = text.split_once(start).expect(start);
        rest.split_once(end).expect(end).0
    }

    #[test]
    fn the_policy_allows_the_style_and_the_script_of_the_page() {
        let page = InvitePage::new(Some("https://example.org/?a=1&b={script}"));
        let script = source(between(&page.html, "<script>", "</script>"));
        let style = source(between(&page.html, "<style>", "</style>"));

        assert!(page.policy.contains(&format!("script-src {script};")));
        assert!(page.policy.contains(&format!("style-src {style};")));
        assert!(!page.policy.contains("unsafe"));
        assert!(!page.policy.contains('\n'), "a header is one line");
        assert_eq!(
            source(""),
            "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
            "of the empty text"
        );
    }

    #[test]
    fn everything_is_in_the_page_itself() {
        let page = InvitePage::new(None);
        for word in [
            "src=",
            "@import",
            "url(",
            "http://",
            "https://",
            " style=\"",
        ] {
            // The icon names the namespace of SVG.
            let html = page.html.replace("http://www.w3.org/2000/svg", "");
            assert!(!html.contains(word), "{word}");
        }

        for handler in ["onclick", "onload", "onerror", "innerHTML", "eval("] {
            assert!(!page.html.contains(handler), "{handler}");
        }

        for name in ["{style}", "{script}", "{download}"] {
            assert!(!page.html.contains(name), "{name} is filled in");
        }
    }

    #[test]
    fn only_the_numbers_of_rooms_are_found() {
        let page = InvitePage::new(None);
        let status = |path: &str| page.answer(path).map(|answer| answer.status);

        for path in ["/j/1", "/j/7", "/j/999999999"] {
            assert_eq!(status(path), Some(200), "{path}");
        }

        for path in [
            "/j/",
            "/j/0",
            "/j/07",
            "/j/1000000000",
            "/j/7/",
            "/j/7/8",
            "/j/seven",
            "/j/+7",
            "/j/%37",
            "/j/\u{667}",
            "/j/7-garden-lantern",
            "/j/../metrics",
        ] {
            assert_eq!(status(path), Some(404), "{path}");
        }

        for path in ["/", "/j", "/J/7", "/ws", "/jj/7", "//j/7"] {
            assert_eq!(status(path), None, "{path} is no path of an invite");
        }
    }

    #[test]
    fn the_page_names_where_to_get_tandem_only_if_the_operator_did() {
        let without = InvitePage::new(None).html;
        assert!(without.contains("The person who invited you can tell you where"));
        assert!(!without.contains("Get Tandem"));

        let with = InvitePage::new(Some("https://example.org/?a=\"><script>&b")).html;
        assert!(with.contains(" href=\"https://example.org/?a=&quot;&gt;&lt;script&gt;&amp;b\" "));
        assert_eq!(with.matches("<script>").count(), 1, "its own");
    }
}
