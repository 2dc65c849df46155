//! The messages of the frame socket.
//!
//! A request is JSON in a text message. Its reply is one binary message: a header of 24 bytes,
//! little endian (`u32` width, `u32` height, `u32` sequence, `u32` flags, `u64` Unix time in µs
//! from which the frame was to be shown), then the planes Y, U and V without padding. Width and
//! height are even.

use std::time::{Duration, Instant};

use super::ShownFrame;
use super::fit::{Scaler, fit};
use crate::desktop::command::FrameRequest;

/// The length of the header, in bytes.
pub const HEADER_LEN: usize = 24;
/// The flag of a frame to show mirrored.
pub const MIRRORED: u32 = 1;
/// The longest request, in bytes.
pub(super) const MAX_REQUEST: usize = 512;

/// Parses a request. `None` if it is not one. Never panics, whatever `text` holds.
#[must_use]
pub fn parse(text: &str) -> Option<FrameRequest> {
    if text.len() > MAX_REQUEST {
        return None;
    }

    serde_json::from_str(text).ok()
}

/// Writes the reply with `frame` into `out`, whose allocation is used again. `now` is one moment on
/// both clocks, the second since the Unix epoch.
pub(super) fn reply(
    frame: &ShownFrame,
    request: FrameRequest,
    is_mirrored: bool,
    now: (Instant, Duration),
    scaler: &mut Scaler,
    out: &mut Vec<u8>,
) {
    let image = &frame.image;
    let (width, height) = fit(
        image.width(),
        image.height(),
        request.max_width,
        request.max_height,
    );
    out.clear();
    out.reserve_exact(HEADER_LEN + width as usize * height as usize * 3 / 2);
    let flags = if is_mirrored { MIRRORED } else { 0 };

    for field in [width, height, frame.sequence, flags] {
        out.extend_from_slice(&field.to_le_bytes());
    }

    // The page runs on this machine and has the same clock, so it can measure the latency up to the
    // screen.
    let due = now
        .1
        .saturating_sub(now.0.saturating_duration_since(frame.due));
    out.extend_from_slice(
        &u64::try_from(due.as_micros())
            .unwrap_or(u64::MAX)
            .to_le_bytes(),
    );
    scaler.append(image, (width, height), out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use std::sync::Arc;

    use proptest::prelude::*;
    use tandem_media::I420;

    use super::*;
    use crate::desktop::command::StreamName;

    #[test]
    fn a_reply_has_a_header_and_three_planes() {
        let due = Instant::now();
        let frame = ShownFrame {
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
        let mut bytes = b"left over from before".to_vec();
        reply(
            &frame,
            request,
            true,
            now,
            &mut Scaler::default(),
            &mut bytes,
        );
        let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());

        assert_eq!(
            (field(0), field(4), field(8), field(12)),
            (32, 16, 7, MIRRORED),
            "size, sequence, flags"
        );

        assert_eq!(
            u64::from_le_bytes(bytes[16..24].try_into().unwrap()),
            1_700_000_000_000_000,
            "from when it was to be shown"
        );

        assert_eq!(bytes.len(), HEADER_LEN + 32 * 16 * 3 / 2, "three planes");
    }

    #[test]
    fn only_exact_requests_are_accepted() {
        let good = r#"{"stream":"remote","after":0,"maxWidth":1280,"maxHeight":720}"#;
        assert!(parse(good).is_some(), "a valid request");

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
            "too long"
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
