//! Messages from a hostile partner on the state channel.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_call::internals::{parse, to_json};

fuzz_target!(|message: &[u8]| {
    if let Ok(Some(state)) = parse(message) {
        assert_eq!(
            parse(to_json(state).as_bytes()),
            Ok(Some(state)),
            "what was parsed can be written and parsed again"
        );
    }
});
