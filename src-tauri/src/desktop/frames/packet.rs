//! The messages of the frame socket.
//!
//! A request is JSON in a text message. Its reply is one binary message: 24 bytes, little endian (`u32` width, `u32`
//! height, `u32` sequence, `u32` flags, `u64` Unix time in µs at which the picture was due to be shown), then the planes
//! Y, U and V without padding; width and height are even.

use std::time::{Duration, Instant};

use super::Picture;
use super::fit::{Scaler, fit};
use crate::desktop::command::FrameRequest;

/// Bytes before the pixels.
pub const HEADER_LEN: usize = 24;
/// The flag of a picture that is to be shown as in a mirror.
pub const MIRRORED: u32 = 1;
/// The longest request that is read, in bytes.
pub(super) const MAX_REQUEST: usize = 512;

/// Reads a request. `None`: it is none. Never panics, whatever `text` holds.
#[must_use]
pub fn parse(text: &str) -> Option<FrameRequest> {
    if text.len() > MAX_REQUEST {
        return None;
    }

    serde_json::from_str(text).ok()
}

/// Writes the reply. `now` is the same moment by both clocks; the second is since the Unix epoch.
pub(super) fn reply(
    picture: &Picture,
    request: FrameRequest,
    is_mirrored: bool,
    now: (Instant, Duration),
    scaler: &mut Scaler,
) -> Vec<u8> {
    let image = &picture.image;
    let (width, height) = fit(
        image.width(),
        image.height(),
        request.max_width,
        request.max_height,
    );
    let mut out = Vec::with_capacity(HEADER_LEN + width as usize * height as usize * 3 / 2);
    let flags = if is_mirrored { MIRRORED } else { 0 };

    for field in [width, height, picture.sequence, flags] {
        out.extend_from_slice(&field.to_le_bytes());
    }

    // The page is on this machine and has the same clock, so it can tell how long all of the way took.
    let due = now
        .1
        .saturating_sub(now.0.saturating_duration_since(picture.due));
    out.extend_from_slice(
        &u64::try_from(due.as_micros())
            .unwrap_or(u64::MAX)
            .to_le_bytes(),
    );
    scaler.append(image, (width, height), &mut out);

    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tandem_media::I420;

    use super::*;
    use crate::desktop::command::StreamName;

    #[test]
    fn a_reply_says_what_it_holds() {
        let due = Instant::now();
        let picture = Picture {
            sequence: 7,
            due,
            image: Arc::new(I420::new(64, 32)),
        };

        let request = FrameRequest {
            stream: StreamName::Local,
            after: 6,
            max_width: 32,
            max_height: 32,
        };

        let now = (
            due + Duration::from_millis(3),
            Duration::from_millis(1_700_000_000_003),
        );
        let bytes = reply(&picture, request, true, now, &mut Scaler::default());
        let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());

        assert_eq!(
            (field(0), field(4), field(8), field(12)),
            (32, 16, 7, MIRRORED),
            "size, number, flags"
        );

        assert_eq!(
            u64::from_le_bytes(bytes[16..24].try_into().unwrap()),
            1_700_000_000_000_000,
            "when it was due"
        );

        assert_eq!(
            bytes.len(),
            HEADER_LEN + 32 * 16 * 3 / 2,
            "and three planes"
        );
    }

    #[test]
    fn requests_are_exactly_what_they_should_be() {
        let good = r#"{"stream":"remote","after":0,"maxWidth":1280,"maxHeight":720}"#;
        assert!(parse(good).is_some(), "this is one");

        for bad in [
            "",
            "{}",
            "[]",
            r#"{"stream":"other","after":0,"maxWidth":1280,"maxHeight":720}"#,
            r#"{"stream":"local","after":-1,"maxWidth":1280,"maxHeight":720}"#,
            r#"{"stream":"local","after":1.5,"maxWidth":1280,"maxHeight":720}"#,
            r#"{"stream":"local","after":0,"maxWidth":99999999999,"maxHeight":720}"#,
            r#"{"stream":"local","after":0,"maxWidth":1280,"maxHeight":720,"more":1}"#,
        ] {
            assert_eq!(parse(bad), None, "{bad} is refused");
        }

        assert_eq!(
            parse(&format!("{good}{}", " ".repeat(MAX_REQUEST))),
            None,
            "nor is one that is too long"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}", cut in 0_usize..60) {
            let _ = parse(&text);
            let good = r#"{"stream":"local","after":0,"maxWidth":1280,"maxHeight":720}"#;
            let _ = parse(&format!("{}{text}", &good[..cut.min(good.len())]));
        }
    }
}
