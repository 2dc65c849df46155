//! Parsers for single values: durations, URLs, address ranges.

use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

const DAY: Duration = Duration::from_secs(86_400);

/// Parses `25s`, `500ms`, `2m`, `1h`, or a plain number of seconds. At most a day, so that adding it
/// to a clock cannot overflow.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    time_within(text, DAY).ok_or_else(|| {
        "write it like 25s, 500ms, 2m or 1h (at most a day); 0 switches it off".into()
    })
}

/// Parses `90d`, or what [`duration`] takes. At most ten years.
pub(crate) fn days(text: &str) -> Result<Duration, String> {
    time_within(text, 3653 * DAY)
        .ok_or_else(|| "write it like 90d, 12h or 30m (at most 3653d); 0 switches it off".into())
}

fn time_within(text: &str, longest: Duration) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let ms_per_unit = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };

    let ms = number.parse::<u64>().ok()?.checked_mul(ms_per_unit)?;
    let time = Duration::from_millis(ms);
    (time <= longest).then_some(time)
}

/// Checks `stun:HOST[:PORT]` or `stuns:…` (RFC 7064 §3.1).
pub(super) fn stun_url(text: &str) -> Result<String, String> {
    match text
        .strip_prefix("stun:")
        .or_else(|| text.strip_prefix("stuns:"))
    {
        Some(host) if is_host_and_port(host) => Ok(text.to_owned()),
        _ => Err("write it like stun:stun.example.org:3478".into()),
    }
}

/// Checks `turn:HOST[:PORT][?transport=udp|tcp]` or `turns:…` (RFC 7065 §3.1).
pub(super) fn turn_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("turn:")
        .or_else(|| text.strip_prefix("turns:"));

    let is_valid = rest.is_some_and(|rest| match rest.split_once('?') {
        Some((host, query)) => {
            is_host_and_port(host) && matches!(query, "transport=udp" | "transport=tcp")
        }
        None => is_host_and_port(rest),
    });

    if is_valid {
        Ok(text.to_owned())
    } else {
        Err(
            "write it like turn:turn.example.org:3478 or turn:turn.example.org:3478?transport=udp"
                .into(),
        )
    }
}

/// Whether `text` is a host (a name, an IPv4 address, or an IPv6 address in brackets), with or
/// without a port.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                (host, port.strip_prefix(':'))
            }
            _ => return false,
        },
        None => text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port))),
    };

    let rest_is_port = !text.starts_with('[') || text.ends_with(']') || port.is_some();
    let is_host_char = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));

    !host.is_empty() && host.chars().all(is_host_char) && port_fits && rest_is_port
}

/// Parses `10.0.0.0/8`, `2001:db8::/32`, or a single address.
pub(super) fn cidr(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| "write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7".into())
}

/// Parses `49152-65535`, or a single port.
pub(super) fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(first..=last),
        _ => Err("write it like 49152-65535".into()),
    }
}

/// Checks `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, roughly: the client library parses it.
pub(super) fn redis_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("redis://")
        .or_else(|| text.strip_prefix("unix://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => {
            Ok(text.to_owned())
        }
        _ => Err("write it like redis://127.0.0.1:6379".into()),
    }
}

/// Checks `https://HOST…` or `http://HOST…`, roughly: browsers parse it.
pub(super) fn web_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_valid = rest.is_some_and(|rest| {
        let starts_with_host = rest.starts_with(|c: char| c.is_alphanumeric() || c == '[');
        starts_with_host && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    });

    if is_valid {
        Ok(text.to_owned())
    } else {
        Err("write it like https://example.org/tandem".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_at_most_a_day() {
        assert_eq!(duration("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0"), Ok(Duration::ZERO), "0 switches a limit off");

        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "2d",
            "1 s",
            "25h",
            "99999999999999999999s",
            "18446744073709551615s",
        ] {
            assert!(
                duration(text).is_err(),
                "{text:?} is not a duration of at most a day"
            );
        }
    }

    #[test]
    fn longer_times_are_days() {
        assert_eq!(days("90d"), Ok(90 * DAY));
        assert_eq!(days("36h"), Ok(DAY * 3 / 2));
        assert_eq!(days("0"), Ok(Duration::ZERO));
        for text in ["3654d", "d", "1w", "18446744073709551615d"] {
            assert!(days(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_stun_and_turn_urls_are_servers() {
        for good in [
            "stun:a.example",
            "stun:a.example:3478",
            "stuns:192.0.2.1:5349",
            "stun:[2001:db8::1]:3478",
        ] {
            assert!(stun_url(good).is_ok(), "{good} is a STUN URL");
        }

        for bad in [
            "http://x",
            "stun:",
            "stun:a b",
            "stun:a:port",
            "stun:a:0",
            "stun:[::1",
            "stun:[::1]x",
            "turn:a",
        ] {
            assert!(stun_url(bad).is_err(), "{bad} is not valid");
        }

        for good in [
            "turn:a.example",
            "turns:a.example:5349?transport=tcp",
            "turn:[::1]:3478?transport=udp",
        ] {
            assert!(turn_url(good).is_ok(), "{good} is a TURN URL");
        }

        for bad in [
            "stun:a.example",
            "turn:",
            "turn:a?transport=sctp",
            "turn:a?",
            "turn://a",
            "turn:user@a",
        ] {
            assert!(turn_url(bad).is_err(), "{bad} is not valid");
        }
    }

    #[test]
    fn only_web_pages_are_linked_to() {
        for good in [
            "https://example.org",
            "http://192.0.2.7:8080/get?x=1#y",
            "https://[2001:db8::1]/",
        ] {
            assert!(web_url(good).is_ok(), "{good} is a page");
        }

        for bad in [
            "",
            "example.org",
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "https://a b",
            "https://a\n",
            "ftp://a",
        ] {
            assert!(web_url(bad).is_err(), "{bad:?} is not valid");
        }
    }

    #[test]
    fn a_range_of_ports_has_a_first_and_a_last_one() {
        assert_eq!(port_range("49152-65535"), Ok(49_152..=65_535));
        assert_eq!(port_range("5000"), Ok(5000..=5000));
        for bad in ["", "-", "0-9", "2-1", "1-65536", "a-b", "1-2-3"] {
            assert!(port_range(bad).is_err(), "{bad:?} is not a range");
        }
    }

    #[test]
    fn a_single_address_is_a_range_of_one() {
        assert_eq!(cidr("10.0.0.0/8"), Ok("10.0.0.0/8".parse().unwrap()));
        assert_eq!(
            cidr("192.0.2.7"),
            Ok("192.0.2.7/32".parse().unwrap()),
            "a range of one"
        );

        for bad in ["10.0.0.0/33", "ten", ""] {
            assert!(cidr(bad).is_err(), "{bad:?} is not a range");
        }
    }
}
