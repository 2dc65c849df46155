//! Messages from a hostile partner on the state channel.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_call::internals::fuzzing;

fuzz_target!(|message: &[u8]| fuzzing::channel_message(message));
