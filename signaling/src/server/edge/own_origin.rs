//! Whether a WebSocket comes from a page of this very server: the guest page.

use tokio_tungstenite::tungstenite::http::HeaderMap;

/// What the server knows about the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Front {
    /// The server itself speaks TLS.
    pub(super) tls: bool,
    /// The request came from a trusted proxy, whose `X-Forwarded-Host` and `X-Forwarded-Proto`
    /// therefore count.
    pub(super) trusted_proxy: bool,
}

/// Whether the `Origin` of a request names the same host, port and scheme as the request itself.
///
/// Without TLS that says little, because a hostile name can be made to lead to any address (DNS
/// rebinding); and a page without TLS has no camera anyway. So an origin with `http` counts on
/// loopback only.
pub(super) fn is_own_origin(headers: &HeaderMap, front: Front) -> bool {
    let mut origins = headers.get_all("origin").iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return false;
    };
    let Some((scheme, authority)) = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
    else {
        return false;
    };

    let proxied = |name: &str| front.trusted_proxy.then(|| last(headers, name)).flatten();
    let Some(host) = proxied("x-forwarded-host").or_else(|| last(headers, "host")) else {
        return false;
    };

    // Without TLS here and without a word from a trusted proxy, both schemes are possible.
    let is_scheme = match proxied("x-forwarded-proto") {
        Some(proto) => scheme.eq_ignore_ascii_case(proto),
        None => !front.tls || scheme.eq_ignore_ascii_case("https"),
    };

    let is_safe = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => is_loopback(without_port(authority)),
        _ => false,
    };

    let [authority, host] = [authority, host].map(|name| without_default_port(name, scheme));
    is_scheme && is_safe && !host.is_empty() && authority.eq_ignore_ascii_case(host)
}

/// The last value of a header that may be a list: what the nearest proxy wrote.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?;
    line.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// Browsers leave the scheme's own port out; some proxies write it.
fn without_default_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else {
        ":80"
    };

    authority.strip_suffix(port).unwrap_or(authority)
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// What browsers take for this machine (Secure Contexts §3.1).
fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address: Option<std::net::Ipv4Addr> = host.parse().ok();

    host == "[::1]"
        || host == "localhost"
        || host.ends_with(".localhost")
        || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Front = Front {
        tls: false,
        trusted_proxy: false,
    };
    const TLS: Front = Front {
        tls: true,
        trusted_proxy: false,
    };
    const PROXY: Front = Front {
        tls: false,
        trusted_proxy: true,
    };

    fn is_own(front: Front, lines: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a value"));
        }

        is_own_origin(&headers, front)
    }

    fn from_host(front: Front, host: &str, origin: &str) -> bool {
        is_own(front, &[("host", host), ("origin", origin)])
    }

    #[test]
    fn the_servers_own_page_is_known_by_its_host() {
        for (front, host, origin) in [
            (TLS, "chat.example.org", "https://chat.example.org"),
            (
                TLS,
                "chat.example.org:8443",
                "https://chat.example.org:8443",
            ),
            (TLS, "chat.example.org:443", "https://chat.example.org"),
            (TLS, "Chat.Example.org", "https://chat.example.org"),
            (PLAIN, "127.0.0.1:9000", "http://127.0.0.1:9000"),
            (PLAIN, "localhost:9000", "http://localhost:9000"),
            (PLAIN, "[::1]:9000", "http://[::1]:9000"),
            // A proxy that nobody declared, but that passes the host on.
            (PLAIN, "chat.example.org", "https://chat.example.org"),
        ] {
            assert!(from_host(front, host, origin), "{origin} at {host}");
        }
    }

    #[test]
    fn another_host_port_or_scheme_is_not_the_server() {
        for (front, host, origin) in [
            (TLS, "chat.example.org", "https://evil.example"),
            (TLS, "chat.example.org", "https://chat.example.org.evil"),
            (TLS, "chat.example.org", "https://evil.chat.example.org"),
            (TLS, "chat.example.org", "https://chat.example.org:8443"),
            (TLS, "chat.example.org", "http://chat.example.org"),
            (TLS, "localhost", "http://localhost"),
            (TLS, "chat.example.org", "null"),
            (TLS, "chat.example.org", "file://"),
            (
                TLS,
                "chat.example.org",
                "chrome-extension://chat.example.org",
            ),
            (TLS, "", "https://"),
        ] {
            assert!(!from_host(front, host, origin), "{origin} at {host}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_is_not_the_server() {
        for origin in ["http://evil.example:9000", "http://127.0.0.1.evil.example"] {
            let host = origin.strip_prefix("http://").expect("http");
            assert!(!from_host(PLAIN, host, origin), "{origin}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let lines = [
            ("host", "127.0.0.1:9000"),
            ("origin", "https://chat.example.org"),
            ("x-forwarded-host", "chat.example.org"),
            ("x-forwarded-proto", "https"),
        ];
        assert!(is_own(PROXY, &lines));
        assert!(!is_own(PLAIN, &lines), "anyone can write these headers");

        let plain = [&lines[..3], &[("x-forwarded-proto", "http")]].concat();
        assert!(!is_own(PROXY, &plain), "the page was not encrypted");

        let list = [
            ("host", "127.0.0.1:9000"),
            ("origin", "https://chat.example.org"),
            ("x-forwarded-host", "evil.example, chat.example.org"),
        ];
        assert!(is_own(PROXY, &list), "the nearest proxy wrote the last one");
    }

    #[test]
    fn a_request_with_two_origins_or_none_has_no_own_one() {
        let own = ("origin", "https://chat.example.org");
        let host = ("host", "chat.example.org");
        assert!(!is_own(
            TLS,
            &[host, own, ("origin", "https://evil.example")]
        ));
        assert!(!is_own(TLS, &[host, own, own]));
        assert!(!is_own(TLS, &[host]));
    }
}
