//! The pages for people with a browser: `/j/7#garden-lantern`, where a guest joins a call or opens
//! it in Tandem, and `/`, which says what this server is.
//!
//! Both are built from `ui/` (`npm run build:guest`) and committed, so that building the server takes
//! no Node. The page of a call is the same for every room, and no room is looked up: a link says
//! nothing about which rooms exist. The words stand behind `#`, which browsers do not send; the
//! page's script reads them.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};

use super::http::Answer;
use crate::message::room_number;

const GUEST: &str = include_str!("guest.html");
const HOME: &str = include_str!("home.html");

/// What stands before the number in the path of an invite's link.
const PREFIX: &str = "/j/";

/// Where the pages take the operator's settings.
const DOWNLOAD: &str = "%DOWNLOAD%";
const CALLS: &str = "%CALLS%";
/// Around what the home page says only if the operator names where to get Tandem.
const DOWNLOAD_PART: [&str; 2] = ["<!--DOWNLOAD-->", "<!--/DOWNLOAD-->"];

/// The pages, as one server serves them.
#[derive(Debug)]
pub(super) struct GuestPages {
    call: Page,
    /// `None`: the server's own address shows no page.
    home: Option<Page>,
}

/// One page, with all that its style and script need.
#[derive(Debug)]
struct Page {
    html: Bytes,
    gzip: Bytes,
    /// The page's `Content-Security-Policy`: its own style and script by their hashes, an icon that
    /// is part of it, and the WebSocket of this server. No directive applies to links, so that it
    /// can open Tandem.
    policy: String,
}

impl GuestPages {
    /// Pages that link to `download_url`, if there is one, for those who don't have Tandem. Without
    /// `calls`, the page of a call only opens Tandem, and there is no other page.
    pub(super) fn new(download_url: Option<&str>, calls: bool) -> Self {
        let url = escape(download_url.unwrap_or_default());
        let guest =
            GUEST
                .replacen(DOWNLOAD, &url, 1)
                .replacen(CALLS, if calls { "on" } else { "off" }, 1);

        let home = || {
            let html = match download_url {
                Some(_) => HOME.replacen(DOWNLOAD, &url, 1),
                None => without_download(HOME),
            };
            Page::new(html)
        };

        Self {
            call: Page::new(guest),
            home: calls.then(home),
        }
    }

    /// The answer to a request for `path`; `None` if that is no page. If anything but a room's
    /// number follows `/j/`, the status is 404, and the page says that the link is incomplete.
    pub(super) fn answer(&self, path: &str, takes_gzip: bool) -> Option<Answer> {
        if path == "/" {
            return self.home.as_ref().map(|page| page.answer(200, takes_gzip));
        }

        let number = path.strip_prefix(PREFIX)?;
        let status = if room_number(number).is_some() {
            200
        } else {
            404
        };

        Some(self.call.answer(status, takes_gzip))
    }
}

impl Page {
    fn new(html: String) -> Self {
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            sources(&html, "<script type=\"module\">", "</script>"),
            sources(&html, "<style>", "</style>"),
        );

        Self {
            gzip: gzip(html.as_bytes()).into(),
            html: html.into(),
            policy,
        }
    }

    fn answer(&self, status: u16, takes_gzip: bool) -> Answer {
        if takes_gzip {
            Answer::page(status, self.gzip.clone(), &self.policy).encoded("gzip")
        } else {
            Answer::page(status, self.html.clone(), &self.policy)
        }
    }
}

/// The source of `Content-Security-Policy` (CSP3 §2.3.1) that allows exactly the text between these
/// tags of the page; `'none'` if it has no such part.
fn sources(html: &str, start: &str, end: &str) -> String {
    let text = html
        .split_once(start)
        .and_then(|(_, rest)| rest.split_once(end));

    match text {
        Some((text, _)) => format!(
            "'sha256-{}'",
            BASE64.encode(digest(&SHA256, text.as_bytes()))
        ),
        None => "'none'".to_owned(),
    }
}

/// The home page without its link to Tandem.
fn without_download(html: &str) -> String {
    let [start, end] = DOWNLOAD_PART;
    let parts = html
        .split_once(start)
        .and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));

    match parts {
        Some((before, after)) => format!("{before}{after}"),
        None => html.to_owned(),
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(text)
        .and_then(|()| encoder.finish())
        .expect("writing to memory does not fail")
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
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn text(page: &Page) -> &str {
        std::str::from_utf8(&page.html).expect("text")
    }

    /// Both pages, with a link to Tandem or without.
    fn pages() -> [Page; 4] {
        let with = GuestPages::new(Some("https://example.org/?a=1&b=%CALLS%"), true);
        let without = GuestPages::new(None, true);
        [
            with.call,
            with.home.expect("a page"),
            without.call,
            without.home.expect("a page"),
        ]
    }

    #[test]
    fn the_policy_allows_the_style_and_the_script_of_the_page() {
        for page in pages() {
            let html = text(&page);
            for (directive, start, end) in [
                ("script-src", "<script", "</script>"),
                ("style-src", "<style", "</style>"),
            ] {
                assert!(html.matches(start).count() <= 1, "one {directive}");
                let inline = html.split_once(start).map(|(_, rest)| {
                    let (_, rest) = rest.split_once('>').expect("a tag");
                    rest.split_once(end).expect("its end").0
                });
                let source = inline.map_or("'none'".to_owned(), |inline| {
                    let hash = digest(&SHA256, inline.as_bytes());
                    format!("'sha256-{}'", BASE64.encode(hash))
                });
                assert!(
                    page.policy.contains(&format!("{directive} {source};")),
                    "{}",
                    page.policy
                );
            }

            assert!(!page.policy.contains("unsafe"));
            assert!(!page.policy.contains('\n'), "a header is one line");
        }
    }

    #[test]
    fn everything_is_in_the_page_itself() {
        for page in pages() {
            let html = text(&page);
            for word in [
                " src=",
                "@import",
                "url(",
                " style=\"",
                "<link rel=\"stylesheet",
            ] {
                assert!(!html.contains(word), "{word}");
            }

            for handler in [" onclick=", " onload=", " onerror=", "eval("] {
                assert!(!html.contains(handler), "{handler}");
            }

            assert!(!html.contains("{{"), "every text is filled in");
            assert!(!html.contains(DOWNLOAD), "the operator's link");
        }
    }

    #[test]
    fn the_page_is_small_and_unpacks_to_itself() {
        for page in pages() {
            let size = page.gzip.len();
            assert!(size <= 80 * 1024, "{size} bytes");

            let mut unpacked = Vec::new();
            GzDecoder::new(&page.gzip[..])
                .read_to_end(&mut unpacked)
                .expect("gzip");
            assert_eq!(unpacked, page.html);
        }
    }

    #[test]
    fn only_the_numbers_of_rooms_are_found() {
        let pages = GuestPages::new(None, true);
        let status = |path: &str| pages.answer(path, false).map(|answer| answer.status);

        for path in ["/j/1", "/j/7", "/j/999999999", "/"] {
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

        for path in ["", "/j", "/J/7", "/ws", "/jj/7", "//j/7", "/index.html"] {
            assert_eq!(status(path), None, "{path} is no page");
        }
    }

    #[test]
    fn without_calls_the_page_only_opens_tandem() {
        let pages = GuestPages::new(None, false);
        assert!(text(&pages.call).contains("data-calls=\"off\""));
        assert!(pages.answer("/j/7", false).is_some());
        assert!(pages.answer("/", false).is_none());

        let with = GuestPages::new(None, true);
        assert!(text(&with.call).contains("data-calls=\"on\""));
    }

    #[test]
    fn the_pages_name_where_to_get_tandem_only_if_the_operator_did() {
        let without = GuestPages::new(None, true);
        assert!(text(&without.call).contains("data-download=\"\""));
        let home = without.home.expect("a page");
        assert!(!text(&home).contains("Get Tandem"), "{}", text(&home));

        let with = GuestPages::new(Some("https://example.org/?a=\"><script>&b"), true);
        let escaped = "=\"https://example.org/?a=&quot;&gt;&lt;script&gt;&amp;b\"";
        for page in [&with.call, with.home.as_ref().expect("a page")] {
            assert!(text(page).contains(escaped), "{}", text(page));
        }
    }
}
