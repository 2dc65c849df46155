//! Anything that the page, or a program that has its token, sends on the frame socket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem::desktop::frames::parse_request;

fuzz_target!(|text: &str| {
    if parse_request(text).is_some() {
        assert!(text.len() <= 512, "a request is short");
        assert_eq!(
            parse_request(&format!("{text}{{}}")),
            None,
            "one request per message and nothing after it"
        );
    }
});
