//! Values as people type them: durations, bitrates, frame sizes, names, room codes.
//!
//! Every parser returns a sentence that says what is wrong and what is allowed. Limits of the
//! signaling protocol come from [`tandem_signaling::message`]; [`room`], [`name`] and
//! [`optional_name`] are the only places that apply them to typed text. Addresses of servers have
//! their own parser, [`ServerUrl`].

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use tandem_call::{DEFAULT_MAX_BITRATE_BPS, MIN_BITRATE_BPS};
use tandem_signaling::ServerUrl;
use tandem_signaling::message::{
    MAX_INTEREST_CHARS, MAX_INTERESTS, MAX_ROOM_CHARS, MAX_USER_LOCATION_CHARS,
    MAX_USER_NAME_CHARS, USER_AGES, can_be_seen, clean_interest, clean_location, clean_name,
    is_room_code, remove_control_characters,
};

use crate::invite::{
    self, Invite, InviteLink, InviteLinkError, NEARBY_ROOM, NearbyAddress, NotAnInvite,
};

/// The longest duration: a day is longer than any call and far below what a timer can hold.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);
/// The highest bitrate limit for video, in bits per second. The codecs in use gain nothing above
/// it.
pub const MAX_BITRATE_BPS: u32 = 50_000_000;
/// The smallest side of a frame, in pixels: two macroblocks of H.264.
pub const MIN_SIDE: u32 = 32;
/// The largest frame, in pixels: 4K UHD, the most that level 5.1 of H.264 holds.
pub const MAX_SIZE: (u32, u32) = (3840, 2160);

/// The signaling server unless the user names another: on this machine, `ws://127.0.0.1:9000/ws`.
pub fn default_server_url() -> ServerUrl {
    ServerUrl::listening_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 9000)))
}

/// The signaling server that the builder of this program has chosen for the window, with the
/// environment variable `TANDEM_DEFAULT_SERVER` at build time. `None` in an ordinary build.
pub fn preset_server_url() -> Option<ServerUrl> {
    option_env!("TANDEM_DEFAULT_SERVER").and_then(|url| url.parse().ok())
}

/// Parses a duration: a decimal number with its unit, `500ms`, `10s`, `1.5m` or `1h`. A number
/// without a unit is in seconds. From 1 ms to 24 h.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn duration(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "give a time like 500ms, 10s, 1m or 1h";
    let (number, unit) = split_unit(text);

    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("\"{unit}\" is not a unit of time; {ALLOWED}")),
    };

    let number = number_above_zero(number)
        .ok_or_else(|| format!("\"{number}\" is not a number above zero; {ALLOWED}"))?;

    match Duration::try_from_secs_f64(number * seconds_per_unit) {
        Ok(time) if time < Duration::from_millis(1) => Err("the shortest time is 1ms".into()),
        Ok(time) if time <= MAX_DURATION => Ok(time),
        _ => Err("the longest time is 24h".into()),
    }
}

/// Parses a bitrate such as `2.5M`, `800k` or `64000`, and returns bits per second.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn bitrate(text: &str) -> Result<u32, String> {
    const ALLOWED: &str = "give bits per second, like 2.5M, 800k or 500000 (50k to 50M)";
    let (number, unit) = split_unit(text);

    let factor = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        _ => return Err(format!("\"{unit}\" is not a unit of bitrate; {ALLOWED}")),
    };

    let bps = factor
        * number_above_zero(number)
            .ok_or_else(|| format!("\"{number}\" is not a number above zero; {ALLOWED}"))?;

    if (f64::from(MIN_BITRATE_BPS)..=f64::from(MAX_BITRATE_BPS)).contains(&bps) {
        // Within the range of u32, see the condition.
        let bps = bps.round() as u32;
        Ok(bps)
    } else {
        Err(format!("out of range; {ALLOWED}"))
    }
}

/// Parses a frame size such as `1280x720`, in pixels. Both sides are even: a 4:2:0 frame has half
/// as many chroma samples per side.
///
/// # Errors
/// A sentence for the person who typed it.
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
        return Err(format!("both sides must be even; {allowed}"));
    }

    let is_large_enough = width >= MIN_SIDE && height >= MIN_SIDE;
    // The same limit for portrait and landscape.
    let is_small_enough = width.max(height) <= max_width && width.min(height) <= max_height;

    if is_large_enough && is_small_enough {
        Ok((width, height))
    } else {
        Err(format!("out of range; {allowed}"))
    }
}

/// Checks a room code as the signaling server does: 1 to [`MAX_ROOM_CHARS`] of `A–Z a–z 0–9 - _`.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn room(text: &str) -> Result<String, String> {
    if is_room_code(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "a room code has 1 to {MAX_ROOM_CHARS} of the characters A-Z a-z 0-9 - _"
        ))
    }
}

/// A room as people write it on the command line or into a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomText {
    /// A code that both sides made up.
    Code(String),
    /// An invite, at the server in use.
    Invite(Invite),
    /// A link to a call, which names its server.
    Link(Box<InviteLink>),
    /// A person on the same network.
    Nearby(NearbyAddress),
}

impl RoomText {
    /// The room at the signaling server.
    #[must_use]
    pub fn room(&self) -> String {
        match self {
            Self::Code(code) => code.clone(),
            Self::Invite(invite) => invite.number.to_string(),
            Self::Link(link) => link.invite.number.to_string(),
            Self::Nearby(_) => NEARBY_ROOM.to_owned(),
        }
    }

    /// The invite, if it is one, or a link to one.
    #[must_use]
    pub fn invite(&self) -> Option<Invite> {
        match self {
            Self::Invite(invite) => Some(*invite),
            Self::Link(link) => Some(link.invite),
            Self::Code(_) | Self::Nearby(_) => None,
        }
    }

    /// The server of a link or an address.
    #[must_use]
    pub fn server(&self) -> Option<ServerUrl> {
        match self {
            Self::Code(_) | Self::Invite(_) => None,
            Self::Link(link) => Some(link.server.clone()),
            Self::Nearby(address) => Some(address.server()),
        }
    }

    /// Where that server is, if it has no name.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Code(_) | Self::Invite(_) | Self::Link(_) => None,
            Self::Nearby(address) => Some(address.socket_addr()),
        }
    }

    /// Whether someone must have claimed the room, as that of an invite, or listen in it.
    #[must_use]
    pub fn must_exist(&self) -> bool {
        !matches!(self, Self::Code(_))
    }
}

impl fmt::Display for RoomText {
    /// As people write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => f.write_str(code),
            Self::Invite(invite) => invite.fmt(f),
            Self::Link(link) => link.fmt(f),
            Self::Nearby(address) => address.fmt(f),
        }
    }
}

/// Whether a text is meant as a link: no code and no invite has these characters.
#[must_use]
pub fn is_link(text: &str) -> bool {
    text.contains("://") || invite::has_scheme(text)
}

/// Reads a code, an invite such as `7-garden-lantern`, a link, or the address of a person nearby. A
/// text is an invite only if it is a number and two of the listed words. With a mistake in one of them
/// it is nothing, because the words of an invite must not reach a server; anything else without `.`
/// and `:` is a code, which passes unchanged.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn room_text(text: &str) -> Result<RoomText, String> {
    // No code and no invite looks like one.
    if let Ok(address) = text.parse() {
        return Ok(RoomText::Nearby(address));
    }

    if is_link(text) {
        return text
            .parse()
            .map(|link| RoomText::Link(Box::new(link)))
            .map_err(|error: InviteLinkError| error.to_string());
    }

    match text.parse() {
        Ok(invite) => Ok(RoomText::Invite(invite)),
        Err(NotAnInvite) if invite::is_misspelled(text) => Err(
            "one of the two words is not a word of an invite: check how they are spelled".into(),
        ),
        Err(NotAnInvite) => room(text).map(RoomText::Code),
    }
}

/// Checks a display name as the signaling server does: 1 to [`MAX_USER_NAME_CHARS`] characters
/// after removing control characters, one of which can be seen. Returns it without them.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn name(text: &str) -> Result<String, String> {
    clean_name(text).ok_or_else(|| {
        format!("a name has 1 to {MAX_USER_NAME_CHARS} characters, and one that can be seen")
    })
}

/// The same for a name that may be left out: one that nobody can see counts as empty.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn optional_name(text: &str) -> Result<String, String> {
    if !can_be_seen(&remove_control_characters(text)) {
        return Ok(String::new());
    }

    name(text)
}

/// Checks interests as the signaling server does: at most [`MAX_INTERESTS`] of 1 to
/// [`MAX_INTEREST_CHARS`] characters. Blank ones and repetitions are left out.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn interests(texts: &[String]) -> Result<Vec<String>, String> {
    let mut interests: Vec<String> = Vec::new();
    for text in texts.iter().map(|text| text.trim()) {
        if text.is_empty() {
            continue;
        }

        let interest = clean_interest(text)
            .ok_or_else(|| format!("an interest has at most {MAX_INTEREST_CHARS} characters"))?;
        let is_new = |known: &String| known.to_lowercase() != interest.to_lowercase();
        if interests.iter().all(is_new) {
            interests.push(interest);
        }
    }

    if interests.len() > MAX_INTERESTS {
        return Err(format!("there are at most {MAX_INTERESTS} interests"));
    }

    Ok(interests)
}

/// Checks a place as the signaling server does: at most [`MAX_USER_LOCATION_CHARS`] characters
/// after removing control characters. Returns it without them.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn location(text: &str) -> Result<String, String> {
    clean_location(text)
        .ok_or_else(|| format!("a place has at most {MAX_USER_LOCATION_CHARS} characters"))
}

/// Checks an age as the signaling server does.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn age(years: u8) -> Result<u8, String> {
    let (youngest, oldest) = (USER_AGES.start(), USER_AGES.end());
    if USER_AGES.contains(&years) {
        Ok(years)
    } else {
        Err(format!("an age is from {youngest} to {oldest}"))
    }
}

/// Parses `on` or `off`.
///
/// # Errors
/// A sentence for the person who typed it.
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

/// Plain decimals only: `f64::from_str` would also accept `inf`, `nan` and exponents.
fn number_above_zero(text: &str) -> Option<f64> {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');

    is_plain
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
    fn a_room_is_a_code_an_invite_or_a_link() {
        for code in ["garden-42", "7", "7-garden", "Blue_Otter", "7-blau-kanu"] {
            assert_eq!(
                room_text(code),
                Ok(RoomText::Code(code.into())),
                "unchanged"
            );
        }

        let mistake = room_text("7-garden-lantren").expect_err("a word is not listed");
        assert!(mistake.contains("spelled"), "{mistake}");

        for text in [
            "7-garden-lantern",
            "7 Garden Lantern",
            "https://chat.example.org/j/7#garden-lantern",
            "tandem://join/chat.example.org/7#garden-lantern",
            "tandem:join/chat.example.org/7#garden-lantern",
        ] {
            let found = room_text(text).expect(text);
            assert_eq!(
                (found.room(), found.must_exist()),
                ("7".into(), true),
                "{text}"
            );
        }

        for text in [
            "",
            "two words",
            "https://chat.example.org/j/7",
            "ws://a/b",
            "tandem:7",
        ] {
            assert!(room_text(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_numbers_with_a_unit_or_seconds_up_to_a_day() {
        for (text, millis) in [
            ("10s", 10_000),
            ("10", 10_000),
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
    fn errors_say_what_is_allowed() {
        assert!(
            size("641x480").unwrap_err().contains("even"),
            "the message names the rule"
        );

        assert!(
            duration("soon").unwrap_err().contains("10s"),
            "the message gives an example"
        );

        assert!(
            bitrate("1G").unwrap_err().contains("2.5M"),
            "the message gives an example"
        );
    }

    #[test]
    fn rooms_and_names_follow_the_protocol() {
        assert!(
            room("Room_1-a").is_ok() && room(&"r".repeat(64)).is_ok(),
            "both are valid room codes"
        );

        for text in ["", "a b", "é", &"r".repeat(65)] {
            assert!(room(text).is_err(), "{text:?} is not a room code");
        }

        assert_eq!(
            name("Ad\u{7}a"),
            Ok("Ada".into()),
            "drops control characters"
        );

        assert!(
            name(&"é".repeat(40)).is_ok(),
            "the limit counts characters, not bytes"
        );

        assert!(
            name("").is_err() && name("\u{7}").is_err() && name(&"n".repeat(41)).is_err(),
            "empty or too long"
        );

        for invisible in ["", "\u{7}", " ", "\u{200B}\u{3164}\u{7}"] {
            assert_eq!(optional_name(invisible), Ok(String::new()), "no name");
        }
        assert_eq!(optional_name("Ad\u{7}a"), name("Ada"), "a name");
        assert!(optional_name(&"n".repeat(41)).is_err(), "too long");
    }

    #[test]
    fn the_default_server_is_on_this_machine() {
        assert_eq!(default_server_url().as_str(), "ws://127.0.0.1:9000/ws");
    }
}
