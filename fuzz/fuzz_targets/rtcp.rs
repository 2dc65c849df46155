//! RTCP from a hostile partner, through the interceptors of a call: the estimate stays within its
//! bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_call::internals::fuzzing;

fuzz_target!(|input: &[u8]| {
    fuzzing::rtcp(input);
});
