//! A settings file of any content: it gives settings or an error, and settings can be written and
//! read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem::desktop::settings::{parse, to_json};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(settings) = parse(bytes) {
        let written = to_json(&settings).expect("settings can be written");
        assert_eq!(
            parse(&written),
            Ok(settings),
            "they are the same afterwards"
        );
    }
});
