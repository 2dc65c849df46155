//! A settings file of any content: it gives settings, and these can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem::desktop::settings::{parse, to_json};

fuzz_target!(|bytes: &[u8]| {
    let (settings, _) = parse(bytes);
    let written = to_json(&settings).expect("settings can be written");
    assert_eq!(
        parse(&written),
        (settings, None),
        "they are the same afterwards"
    );
});
