//! Moves of a hostile partner, or a hostile server, in the handshake that verifies a partner.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_trust::fuzzing;

fuzz_target!(|lines: &str| fuzzing::partner(lines));
