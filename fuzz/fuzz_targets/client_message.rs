//! Anything that a client sends to the signaling server: it is parsed or refused, and what was
//! parsed can be written and parsed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_signaling::message::parse_client;

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = parse_client(data) {
        let again = serde_json::to_vec(&envelope).expect("a parsed message can be written");
        parse_client(&again).expect("a written message can be parsed");
    }
});
