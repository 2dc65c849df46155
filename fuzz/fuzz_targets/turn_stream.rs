//! What a TURN server sends over TCP or TLS, cut into pieces anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_call::internals::fuzzing;

fuzz_target!(|input: &[u8]| {
    fuzzing::turn_stream(input);
});
