//! The values people type on the command line: durations, bitrates, picture sizes, names and room codes. Every refusal
//! says what is allowed.

use std::time::Duration;

/// The longest duration that is accepted: a day is more than any call, and far from what a timer can hold.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);
/// Below this no picture is worth sending (bits a second).
pub const MIN_BITRATE_BPS: u32 = 50_000;
/// Above this nothing is gained by the codecs in use (bits a second).
pub const MAX_BITRATE_BPS: u32 = 50_000_000;
/// The smallest side of a picture, in pixels: what H.264 encoders accept with room for four macroblocks.
pub const MIN_SIDE: u32 = 32;
/// The largest picture: 4K UHD, the most that level 5.1 of H.264 holds.
pub const MAX_SIZE: (u32, u32) = (3840, 2160);

/// A number with a unit behind it, such as `10s`, `500ms`, `1.5m` or `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "give a number with its unit, like 500ms, 10s, 1m or 1h";
    let (number, unit) = split_unit(text);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err(format!("the unit is missing; {ALLOWED}")),
        _ => return Err(format!("\"{unit}\" is no unit of time; {ALLOWED}")),
    };

    let seconds = number_above_zero(number)
        .ok_or_else(|| format!("\"{number}\" is no time above zero; {ALLOWED}"))?
        * seconds;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if time > MAX_DURATION => Err("the longest time is 24h".into()),
        Ok(time) if time < Duration::from_millis(1) => Err("the shortest time is 1ms".into()),
        Ok(time) => Ok(time),
        Err(_) => Err("the longest time is 24h".into()),
    }
}

/// A bitrate such as `2.5M`, `800k` or `64000`, in bits a second.
pub fn bitrate(text: &str) -> Result<u32, String> {
    const ALLOWED: &str = "give bits a second, like 2.5M, 800k or 500000 (50k to 50M)";
    let (number, unit) = split_unit(text);
    let factor = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        _ => return Err(format!("\"{unit}\" is no unit of a bitrate; {ALLOWED}")),
    };

    let bps = number_above_zero(number)
        .ok_or_else(|| format!("\"{number}\" is no number above zero; {ALLOWED}"))?
        * factor;
    if (f64::from(MIN_BITRATE_BPS)..=f64::from(MAX_BITRATE_BPS)).contains(&bps) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the range of u32, see above"
        )]
        let bps = bps.round() as u32;
        Ok(bps)
    } else {
        Err(format!("out of range; {ALLOWED}"))
    }
}

/// A picture size such as `1280x720`, in pixels. Sides are even, because 4:2:0 pictures have half as many chroma samples.
pub fn size(text: &str) -> Result<(u32, u32), String> {
    let (max_width, max_height) = MAX_SIZE;
    let allowed = format!(
        "give WIDTHxHEIGHT in even numbers, like 1280x720, from {MIN_SIDE}x{MIN_SIDE} to {max_width}x{max_height}"
    );
    let (width, height) = text
        .split_once('x')
        .and_then(|(width, height)| Some((digits(width)?, digits(height)?)))
        .ok_or_else(|| format!("not a size; {allowed}"))?;

    if width % 2 == 1 || height % 2 == 1 {
        return Err(format!("an odd side cannot be sent; {allowed}"));
    }

    let long_enough = width >= MIN_SIDE && height >= MIN_SIDE;
    // A portrait picture may be as long as a landscape one.
    let fits = width.max(height) <= max_width && width.min(height) <= max_height;

    if long_enough && fits {
        Ok((width, height))
    } else {
        Err(format!("out of range; {allowed}"))
    }
}

/// A room code as the relay accepts it: 1–64 of `A–Z a–z 0–9 - _`.
pub fn room(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a room code has 1 to 64 of the characters A-Z a-z 0-9 - _".into())
    }
}

/// A display name as the relay accepts it: 1–40 characters, control characters not counted (the relay removes them).
pub fn name(text: &str) -> Result<String, String> {
    let name: String = text.chars().filter(|c| !c.is_control()).collect();
    if (1..=40).contains(&name.chars().count()) {
        Ok(name)
    } else {
        Err("a name has 1 to 40 characters".into())
    }
}

/// The address of a relay: `ws://HOST[:PORT][/PATH]`. The path defaults to the relay's `/ws`.
pub fn signaling_url(text: &str) -> Result<String, String> {
    const ALLOWED: &str = "give the relay's address, like ws://127.0.0.1:9000/ws";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("not an address; {ALLOWED}"));
    };

    match scheme {
        "ws" => {}
        "wss" => return Err(format!("wss:// (TLS) is not supported yet; {ALLOWED}")),
        _ => return Err(format!("\"{scheme}\" is not a WebSocket; {ALLOWED}")),
    }

    let (host, path) = rest
        .find('/')
        .map_or((rest, ""), |slash| rest.split_at(slash));
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '#' | '?');

    if host.is_empty() || host.starts_with(':') || text.contains(bad) {
        return Err(format!("the host is missing or malformed; {ALLOWED}"));
    }

    let port = host
        .rsplit_once(':')
        .filter(|_| !host.ends_with(']'))
        .map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err(format!("the port is not 1 to 65535; {ALLOWED}"));
    }

    Ok(if path.is_empty() {
        format!("{text}/ws")
    } else {
        text.to_owned()
    })
}

/// `on` or `off`.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("give on or off".into()),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    text.split_at(end)
}

/// Plain decimals only: `f64::from_str` would also take `inf`, `nan` and exponents.
fn number_above_zero(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain
        .then(|| text.parse::<f64>().ok())
        .flatten()
        .filter(|number| *number > 0.0)
}

/// An unsigned number without sign, spaces or separators.
fn digits(text: &str) -> Option<u32> {
    text.chars()
        .all(|c| c.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_sensible_length() {
        for (text, millis) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1m", 60_000),
            ("1.5s", 1_500),
            ("24h", 86_400_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(millis)),
                "{text} is a duration"
            );
        }

        for text in [
            "",
            "10",
            "s",
            "0s",
            "-1s",
            "1d",
            "10 s",
            "1e3s",
            "infs",
            "nans",
            "25h",
            "0.0001ms",
            "1..5s",
            "9999999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text:?} is refused");
        }
    }

    #[test]
    fn bitrates_take_k_and_m() {
        for (text, bps) in [
            ("2.5M", 2_500_000),
            ("800k", 800_000),
            ("64000", 64_000),
            ("50M", 50_000_000),
        ] {
            assert_eq!(bitrate(text), Ok(bps), "{text} is a bitrate");
        }

        for text in [
            "", "0", "0k", "49k", "51M", "2.5m", "1G", "-1M", "k", "1kk", "2,5M",
        ] {
            assert!(bitrate(text).is_err(), "{text:?} is refused");
        }
    }

    #[test]
    fn sizes_are_even_and_in_range() {
        for (text, expected) in [
            ("1280x720", (1280, 720)),
            ("720x1280", (720, 1280)),
            ("32x32", (32, 32)),
            ("2160x3840", (2160, 3840)),
        ] {
            assert_eq!(size(text), Ok(expected), "{text} is a size");
        }

        for text in [
            "",
            "1280",
            "1280x",
            "x720",
            "0x0",
            "1280x0",
            "1281x720",
            "1280x721",
            "30x30",
            "3842x2160",
            "3840x3840",
            "+640x480",
            "640x480x2",
            "99999999999x2",
        ] {
            assert!(size(text).is_err(), "{text:?} is refused");
        }
    }

    #[test]
    fn refusals_say_what_is_allowed() {
        assert!(
            size("641x480").unwrap_err().contains("even"),
            "the rule that was broken is named"
        );

        assert!(
            duration("10").unwrap_err().contains("10s"),
            "an example is given"
        );

        assert!(
            bitrate("1G").unwrap_err().contains("2.5M"),
            "an example is given"
        );
    }

    #[test]
    fn relay_addresses_get_the_default_path() {
        assert_eq!(
            signaling_url("ws://localhost:9000"),
            Ok("ws://localhost:9000/ws".into()),
            "the path is added"
        );

        assert_eq!(
            signaling_url("ws://[::1]:9000/ws"),
            Ok("ws://[::1]:9000/ws".into()),
            "IPv6 is fine"
        );

        assert_eq!(
            signaling_url("ws://[::1]"),
            Ok("ws://[::1]/ws".into()),
            "IPv6 without a port is fine"
        );

        for text in [
            "",
            "localhost:9000",
            "http://localhost:9000",
            "wss://relay.example",
            "ws://",
            "ws://:9000",
            "ws://a b",
            "ws://host:0",
            "ws://host:99999",
            "ws://me:secret@host/ws",
        ] {
            assert!(signaling_url(text).is_err(), "{text:?} is refused");
        }
    }

    #[test]
    fn rooms_and_names_follow_the_protocol() {
        assert!(
            room("Room_1-a").is_ok() && room(&"r".repeat(64)).is_ok(),
            "these are room codes"
        );

        for text in ["", "a b", "é", &"r".repeat(65)] {
            assert!(room(text).is_err(), "{text:?} is no room code");
        }

        assert_eq!(
            name("Ad\u{7}a"),
            Ok("Ada".into()),
            "control characters are removed"
        );

        assert!(
            name(&"é".repeat(40)).is_ok(),
            "length counts characters, not bytes"
        );

        assert!(
            name("").is_err() && name("\u{7}").is_err() && name(&"n".repeat(41)).is_err(),
            "these are no names"
        );
    }
}
