//! Descriptions and candidates of a hostile partner.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_call::internals::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::description(input));
