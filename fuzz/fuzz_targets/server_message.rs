//! Anything that a signaling server sends to a client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_signaling::message::parse_server;

fuzz_target!(|text: &str| {
    let _ = parse_server(text);
});
