//! Links to a call: an invite and the server that knows its room.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use tandem_signaling::message::ClaimToken;
use tandem_signaling::{ServerUrl, ServerUrlError};
use url::Url;

use super::{Invite, RoomNumber, Word};

/// No link is longer.
pub const MAX_LINK_CHARS: usize = 2_000;

/// The scheme that the operating system opens with Tandem.
pub(super) const SCHEME: &str = "tandem";

/// An invite with the server that it belongs to.
///
/// It is written in two forms: `tandem://join/HOST[:PORT]/7[?at=ADDR:PORT]#garden-lantern`, which
/// opens Tandem, and `https://HOST[:PORT]/j/7#garden-lantern`, which opens a page of the server. In
/// both the words stand behind `#`, which browsers do not send to servers. In the second form,
/// `&guest=TOKEN` may follow them: with it, a server with tokens admits a guest.
///
/// ```
/// use tandem::invite::InviteLink;
///
/// let link: InviteLink = "https://chat.example.org/j/7#garden-lantern".parse().expect("a link");
/// assert_eq!(link.server.to_string(), "wss://chat.example.org/ws");
/// assert_eq!(link.invite.to_string(), "7-garden-lantern");
/// assert_eq!(link.to_string(), "tandem://join/chat.example.org/7#garden-lantern");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteLink {
    /// The server, for this call only.
    pub server: ServerUrl,
    /// The invite.
    pub invite: Invite,
    /// Where the inviting computer can be reached on its own network.
    pub at: Option<SocketAddr>,
}

/// Why a text is not a link to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteLinkError {
    /// Neither `tandem://join/…` nor `https://HOST/j/…`.
    #[error("not a link to a call: it begins with tandem://join/ or has /j/ and a number")]
    OtherLink,
    /// The server in it cannot be one.
    #[error("the server in the link is not one: {0}")]
    Server(#[source] ServerUrlError),
    /// The number or the words are missing or wrong.
    #[error("the link is not complete: copy it again, with the words at its end")]
    Incomplete,
    /// Longer than [`MAX_LINK_CHARS`], or with control characters.
    #[error("not a link")]
    Malformed,
}

impl InviteLink {
    /// A link to `invite` at `server`; `None` if a link cannot name that server, because it has a
    /// path of its own, or because of its scheme: see [`ServerUrl`] on addresses without one.
    #[must_use]
    pub fn new(server: ServerUrl, invite: Invite) -> Option<Self> {
        is_named_by_authority(&server).then_some(Self {
            server,
            invite,
            at: None,
        })
    }

    /// The form that opens a page of the server; `None` if that server has a path of its own, where
    /// no one knows the page. It also names servers that [`new`](Self::new) cannot.
    #[must_use]
    pub fn web(server: ServerUrl, invite: Invite) -> Option<String> {
        let link = Self {
            server,
            invite,
            at: None,
        };
        let text = link.https();

        (text.parse() == Ok(link)).then_some(text)
    }

    /// A link of [`web`](Self::web) with the `guestToken` of the server's `room_claimed`, which
    /// admits one guest to a server with tokens.
    #[must_use]
    pub fn for_guest(web: &str, token: &ClaimToken) -> String {
        format!("{web}&guest={}", token.reveal())
    }

    /// The form that opens a page of the server.
    #[must_use]
    pub fn https(&self) -> String {
        let scheme = if self.server.is_tls() {
            "https"
        } else {
            "http"
        };
        format!(
            "{scheme}://{}/j/{}#{}",
            self.server.authority(),
            self.invite.number,
            self.invite.phrase()
        )
    }
}

/// Whether host and port say all about the server, so that a `tandem:` link can name it.
fn is_named_by_authority(server: &ServerUrl) -> bool {
    server.authority().parse().as_ref() == Ok(server)
}

impl fmt::Display for InviteLink {
    /// The form that opens Tandem; for a server that it cannot name, [`https`](Self::https).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !is_named_by_authority(&self.server) {
            return f.write_str(&self.https());
        }

        let (server, number) = (self.server.authority(), self.invite.number);
        write!(f, "{SCHEME}://join/{server}/{number}")?;

        if let Some(at) = self.at {
            write!(f, "?at={at}")?;
        }

        write!(f, "#{}", self.invite.phrase())
    }
}

impl FromStr for InviteLink {
    type Err = InviteLinkError;

    fn from_str(text: &str) -> Result<Self, InviteLinkError> {
        let text = text.trim();
        if text.chars().nth(MAX_LINK_CHARS).is_some() || text.chars().any(char::is_control) {
            return Err(InviteLinkError::Malformed);
        }

        // Some programs leave the slashes out, because no host follows them.
        let rest = text.get(SCHEME.len() + 1..).filter(|_| has_scheme(text));
        let url = match rest.filter(|rest| !rest.starts_with('/')) {
            Some(rest) => Url::parse(&format!("{SCHEME}://{rest}")),
            None => Url::parse(text),
        };
        let url = url.map_err(|_| InviteLinkError::OtherLink)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InviteLinkError::OtherLink);
        }

        let parts: Vec<&str> = url
            .path_segments()
            .map(Iterator::collect)
            .unwrap_or_default();

        let (server, number) = match (url.scheme(), url.host_str(), &parts[..]) {
            (SCHEME, Some("join"), [server, number]) if url.port().is_none() => {
                ((*server).to_owned(), *number)
            }
            (scheme @ ("https" | "http"), Some(host), ["j", number]) => {
                let scheme = if scheme == "https" { "wss" } else { "ws" };
                let port = url
                    .port()
                    .map(|port| format!(":{port}"))
                    .unwrap_or_default();
                (format!("{scheme}://{host}{port}"), *number)
            }
            _ => return Err(InviteLinkError::OtherLink),
        };

        let server: ServerUrl = server.parse().map_err(InviteLinkError::Server)?;
        let number: RoomNumber = number.parse().map_err(|_| InviteLinkError::Incomplete)?;
        let words = words(url.fragment().unwrap_or_default())?;

        // An address that cannot be read is left out: the link works without it.
        let at = url
            .query_pairs()
            .find(|(key, _)| key == "at")
            .and_then(|(_, value)| value.parse().ok());

        Ok(Self {
            server,
            invite: Invite { number, words },
            at,
        })
    }
}

/// Whether a text begins with `tandem:`, in any case.
#[must_use]
pub fn has_scheme(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))
}

/// The words of a fragment. What follows them after `&` is for a guest in a browser, such as the
/// guest's token.
fn words(fragment: &str) -> Result<[Word; 2], InviteLinkError> {
    let word = |text: &str| text.parse().map_err(|_| InviteLinkError::Incomplete);
    let words = fragment.split('&').next().unwrap_or_default();
    let (first, second) = words.split_once('-').ok_or(InviteLinkError::Incomplete)?;

    Ok([word(first)?, word(second)?])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invite() -> Invite {
        "7-garden-lantern".parse().expect("an invite")
    }

    #[test]
    fn a_link_for_a_guest_leads_to_the_same_call() {
        let server: ServerUrl = "chat.example.org".parse().expect("a server");
        let web = InviteLink::web(server, invite()).expect("a link");
        let link = InviteLink::for_guest(&web, &"guest.0f8a".into());

        assert_eq!(
            link,
            "https://chat.example.org/j/7#garden-lantern&guest=guest.0f8a"
        );
        assert_eq!(link.parse::<InviteLink>(), web.parse());
    }

    #[test]
    fn each_form_names_the_server_and_the_invite() {
        for (text, server) in [
            (
                "tandem://join/chat.example.org/7#garden-lantern",
                "wss://chat.example.org/ws",
            ),
            (
                "tandem://join/chat.example.org:8443/7#garden-lantern",
                "wss://chat.example.org:8443/ws",
            ),
            (
                "tandem://join/192.168.1.20:9000/7#garden-lantern",
                "ws://192.168.1.20:9000/ws",
            ),
            (
                "tandem://join/[fd00::7]:9000/7#garden-lantern",
                "ws://[fd00::7]:9000/ws",
            ),
            (
                "TANDEM://join/Chat.Example.org/7#Garden-Lantern",
                "wss://chat.example.org/ws",
            ),
            (
                "Tandem:join/chat.example.org/7#garden-lantern",
                "wss://chat.example.org/ws",
            ),
            (
                "https://chat.example.org/j/7#garden-lantern",
                "wss://chat.example.org/ws",
            ),
            (
                "https://chat.example.org:8443/j/7#garden-lantern",
                "wss://chat.example.org:8443/ws",
            ),
            (
                "http://192.168.1.20:9000/j/7#garden-lantern",
                "ws://192.168.1.20:9000/ws",
            ),
            (
                "  https://chat.example.org/j/7?utm=1#garden-lantern\n",
                "wss://chat.example.org/ws",
            ),
            (
                "https://chat.example.org/j/7#garden-lantern&guest=guest.0f8a",
                "wss://chat.example.org/ws",
            ),
        ] {
            let link: InviteLink = text.parse().expect(text);
            assert_eq!(link.server.as_str(), server, "{text}");
            assert_eq!(link.invite, invite(), "{text}");
        }

        let at: InviteLink = "tandem://join/chat.example.org/7?at=192.168.1.20:9000#garden-lantern"
            .parse()
            .expect("a link");
        assert_eq!(at.at, "192.168.1.20:9000".parse().ok());
    }

    #[test]
    fn other_links_and_broken_ones_are_refused_with_a_reason() {
        use InviteLinkError::{Incomplete, Malformed, OtherLink};
        for (text, error) in [
            ("", OtherLink),
            ("7-garden-lantern", OtherLink),
            ("https://chat.example.org/", OtherLink),
            ("https://chat.example.org/j/7/8#garden-lantern", OtherLink),
            (
                "https://ada:secret@chat.example.org/j/7#garden-lantern",
                OtherLink,
            ),
            ("tandem://open/chat.example.org/7#garden-lantern", OtherLink),
            (
                "tandem://join:80/chat.example.org/7#garden-lantern",
                OtherLink,
            ),
            ("tandem:/join/chat.example.org/7#garden-lantern", OtherLink),
            ("tandem:chat.example.org/7#garden-lantern", OtherLink),
            ("tandem:", OtherLink),
            ("tandem:join/chat.example.org/7", Incomplete),
            ("javascript:alert(1)//join/a.b/7#garden-lantern", OtherLink),
            ("file:///j/7#garden-lantern", OtherLink),
            ("https://chat.example.org/j/7", Incomplete),
            ("https://chat.example.org/j/7#", Incomplete),
            ("https://chat.example.org/j/7#garden", Incomplete),
            (
                "https://chat.example.org/j/7#garden-lantern-kayak",
                Incomplete,
            ),
            ("https://chat.example.org/j/#garden-lantern", Incomplete),
            (
                "https://chat.example.org/j/seven#garden-lantern",
                Incomplete,
            ),
            ("https://chat.example.org/j/0#garden-lantern", Incomplete),
            ("https://chat.example.org/j/7#garden-%6Cantern", Incomplete),
            (
                "https://chat.example.org/j/7#garden\u{202E}-lantern",
                Incomplete,
            ),
            ("https://chat.example.org/j/7#gar\nden-lantern", Malformed),
            (
                "tandem://join/chat.example.org/7\u{0}#garden-lantern",
                Malformed,
            ),
            (
                &format!(
                    "https://a.b/j/7#garden-lantern{}",
                    "n".repeat(MAX_LINK_CHARS)
                ),
                Malformed,
            ),
        ] {
            assert_eq!(text.parse::<InviteLink>(), Err(error), "{text:?}");
        }

        for server in [
            "chat",
            "a%20b",
            "",
            "chat.example.org:0",
            "chat.example.org:99999",
        ] {
            let text = format!("tandem://join/{server}/7#garden-lantern");
            let result = text.parse::<InviteLink>();
            assert!(
                matches!(result, Err(InviteLinkError::Server(_))),
                "{text}: {result:?}"
            );
        }
    }

    #[test]
    fn a_link_is_made_for_servers_that_it_can_name() {
        for (server, tandem, https) in [
            (
                "wss://chat.example.org",
                "tandem://join/chat.example.org/7#garden-lantern",
                "https://chat.example.org/j/7#garden-lantern",
            ),
            (
                "ws://192.168.1.20:9000",
                "tandem://join/192.168.1.20:9000/7#garden-lantern",
                "http://192.168.1.20:9000/j/7#garden-lantern",
            ),
        ] {
            let server: ServerUrl = server.parse().expect("an address");
            let link = InviteLink::new(server, invite()).expect("a link");
            assert_eq!(
                (link.to_string().as_str(), link.https().as_str()),
                (tandem, https)
            );
            assert_eq!(link.to_string().parse(), Ok(link.clone()));
            assert_eq!(link.https().parse(), Ok(link));
        }

        for server in [
            "wss://chat.example.org/other",
            // The link would be read as TLS, or as none.
            "ws://chat.example.org",
            "wss://192.168.1.20:9000",
        ] {
            let server: ServerUrl = server.parse().expect("an address");
            assert_eq!(InviteLink::new(server.clone(), invite()), None, "{server}");
        }
    }

    #[test]
    fn a_page_can_be_named_where_the_app_cannot() {
        for (server, link) in [
            (
                "wss://192.168.1.20:9000",
                Some("https://192.168.1.20:9000/j/7#garden-lantern"),
            ),
            (
                "ws://chat.example.org",
                Some("http://chat.example.org/j/7#garden-lantern"),
            ),
            ("wss://chat.example.org/other", None),
        ] {
            let url: ServerUrl = server.parse().expect("an address");
            assert_eq!(InviteLink::web(url, invite()).as_deref(), link, "{server}");
        }
    }

    #[test]
    fn a_link_is_printed_in_a_form_that_means_the_same() {
        for text in [
            "https://192.168.1.20/j/7#garden-lantern",
            "http://chat.example.org/j/7#garden-lantern",
        ] {
            let link: InviteLink = text.parse().expect(text);
            assert_eq!(link.to_string(), text);
        }
    }

    #[test]
    fn an_address_nearby_is_part_of_the_link() {
        let server: ServerUrl = "chat.example.org".parse().expect("an address");
        let mut link = InviteLink::new(server, invite()).expect("a link");
        link.at = Some("[fe80::1]:9000".parse().expect("an address"));
        assert_eq!(link.to_string().parse(), Ok(link));

        let unreadable = "tandem://join/chat.example.org/7?at=nowhere#garden-lantern";
        let link: InviteLink = unreadable.parse().expect("the link works without it");
        assert_eq!(link.at, None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String, server in "[a-z0-9.:@/?#%\\[\\]-]{0,30}") {
            let _ = text.parse::<InviteLink>();
            let _ = format!("tandem://join/{server}/7#garden-lantern").parse::<InviteLink>();
            let _ = format!("https://{server}/j/7#garden-lantern").parse::<InviteLink>();
        }
    }
}
