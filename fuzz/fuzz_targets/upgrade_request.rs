//! Anything that arrives before the WebSocket: the server accepts it, answers it, or waits for
//! more.
//!
//! The loopback address counts as a trusted proxy here, so the forwarded header is parsed too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_signaling::server::answer_upgrade;

fuzz_target!(|data: &[u8]| {
    match answer_upgrade(data) {
        Some(Ok(response)) => assert!(
            response.starts_with(b"HTTP/1.1 101 "),
            "an accepted upgrade says so"
        ),
        Some(Err(status)) => assert!(
            (400..500).contains(&status),
            "the client is at fault: {status}"
        ),
        None => {}
    }
});
