//! Messages of the state channel from a hostile partner.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_call::partner_state::{parse, to_json};

fuzz_target!(|message: &[u8]| {
    if let Ok(Some(state)) = parse(message) {
        assert_eq!(
            parse(to_json(state).as_bytes()),
            Ok(Some(state)),
            "what was understood can be told"
        );
    }
});
