//! The addresses of TURN servers (RFC 7065), and which of them can be used.

use tandem_signaling::ServerUrl;
use webrtc::peer_connection::RTCIceServer;

/// The port of a TURN server without TLS, if the address names none.
const PORT: u16 = 3478;
/// The same with TLS.
const TLS_PORT: u16 = 5349;

/// How packets reach a TURN server. What the server forwards them as is always UDP. In the order of
/// preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TurnTransport {
    /// As datagrams.
    Udp,
    /// In a TCP connection.
    Tcp,
    /// In a TCP connection with TLS.
    Tls,
}

impl TurnTransport {
    /// As reports spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// The address of a TURN server: `turn:HOST[:PORT][?transport=udp|tcp]` or
/// `turns:HOST[:PORT][?transport=tcp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TurnUrl {
    /// How to reach it.
    pub(crate) transport: TurnTransport,
    /// Host and port, as an address that the signaling client can connect to.
    pub(crate) server: ServerUrl,
}

impl TurnUrl {
    /// Reads an address. `None` if it is not that of a TURN server, or names a transport that Tandem
    /// has not: TURN over DTLS.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let is_tls = match scheme {
            scheme if scheme.eq_ignore_ascii_case("turn") => false,
            scheme if scheme.eq_ignore_ascii_case("turns") => true,
            _ => return None,
        };

        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        let transport = match (is_tls, query) {
            (false, None | Some("transport=udp")) => TurnTransport::Udp,
            (false, Some("transport=tcp")) => TurnTransport::Tcp,
            (true, None | Some("transport=tcp")) => TurnTransport::Tls,
            _ => return None,
        };

        // Nothing but a host and a port: "turn:a/b" would become a path.
        if place.is_empty() || place.contains(['/', '@', '#', '\\']) {
            return None;
        }

        let has_port = match place.rfind(']') {
            Some(end) => place[end..].contains(':'),
            None => place.contains(':'),
        };
        let (scheme, port) = if is_tls {
            ("wss", TLS_PORT)
        } else {
            ("ws", PORT)
        };
        let place = if has_port {
            place.to_owned()
        } else {
            format!("{place}:{port}")
        };

        let server = format!("{scheme}://{place}").parse().ok()?;
        Some(Self { transport, server })
    }
}

/// Whether a server is a TURN server with credentials that can be reached in one of the ways that
/// Tandem knows.
pub(crate) fn is_usable(urls: &[String], username: &str, credential: &str) -> bool {
    !username.is_empty()
        && !credential.is_empty()
        && urls.iter().any(|url| TurnUrl::parse(url).is_some())
}

/// Whether the library can read this address of a STUN server. One that it cannot read would keep it
/// from using the others.
pub(super) fn is_stun(url: &str) -> bool {
    let server = RTCIceServer {
        urls: vec![url.to_owned()],
        ..RTCIceServer::default()
    };
    let has_scheme = |scheme: &str| {
        url.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };

    (has_scheme("stun:") || has_scheme("stuns:")) && server.urls().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_has_its_transport_and_port() {
        use TurnTransport::{Tcp, Tls, Udp};
        for (text, transport, server) in [
            ("turn:turn.example", Udp, "ws://turn.example:3478/ws"),
            (
                "turn:turn.example:80?transport=udp",
                Udp,
                "ws://turn.example/ws",
            ),
            (
                "turn:192.0.2.1?transport=tcp",
                Tcp,
                "ws://192.0.2.1:3478/ws",
            ),
            (
                "TURN:[2001:db8::1]:9?transport=tcp",
                Tcp,
                "ws://[2001:db8::1]:9/ws",
            ),
            ("turns:turn.example", Tls, "wss://turn.example:5349/ws"),
            ("turns:[2001:db8::1]", Tls, "wss://[2001:db8::1]:5349/ws"),
            (
                "turns:turn.example:443?transport=tcp",
                Tls,
                "wss://turn.example/ws",
            ),
        ] {
            let url = TurnUrl::parse(text).unwrap_or_else(|| panic!("{text} is an address"));
            assert_eq!(url.transport, transport, "{text}");
            assert_eq!(url.server.to_string(), server, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_does_not_count() {
        for text in [
            "",
            "turn:",
            "turn:?transport=udp",
            "turn:turn.example?transport=sctp",
            "turns:turn.example?transport=udp",
            "turn:turn.example/path",
            "turn:user@turn.example",
            "turn:turn.example:0",
            "turn:turn.example:70000",
            "stun:turn.example",
            "http://turn.example",
        ] {
            assert_eq!(TurnUrl::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_turn_server_needs_credentials_and_a_known_transport() {
        let urls = |text: &str| vec![text.to_owned()];
        let usable = urls("turns:turn.example");
        assert!(is_usable(&usable, "1:u", "secret"));
        assert!(!is_usable(&usable, "", "secret"), "no user name");
        assert!(!is_usable(&usable, "1:u", ""), "no password");

        let dtls = urls("turns:turn.example?transport=udp");
        assert!(!is_usable(&dtls, "1:u", "secret"), "TURN over DTLS");
        assert!(!is_usable(&urls("stun:a"), "1:u", "secret"), "only STUN");
    }

    #[test]
    fn stun_is_told_from_what_the_library_cannot_read() {
        for (url, expected) in [
            ("stun:stun.example", true),
            ("stun:192.0.2.1:19302", true),
            ("stun:", false),
            ("stun", false),
            ("turn:turn.example", false),
        ] {
            assert_eq!(is_stun(url), expected, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(turns?:)?\\PC{0,40}") {
            let _ = TurnUrl::parse(&text);
            let _ = is_stun(&text);
        }
    }
}
