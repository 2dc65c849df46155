//! Whatever a client sends to the relay: parsed or refused, and what was parsed can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_signaling::message::parse_client;

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = parse_client(data) {
        let again = serde_json::to_vec(&envelope).expect("a parsed message can be written");
        parse_client(&again).expect("a written message can be read");
    }
});
