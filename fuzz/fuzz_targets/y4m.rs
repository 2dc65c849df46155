//! A `.y4m` file of any content: reading it gives frames or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_media::I420;
use tandem_media::video::y4m::Y4mReader;

fuzz_target!(|data: &[u8]| {
    let Ok(mut reader) = Y4mReader::new(data) else {
        return;
    };

    let mut frame = I420::default();
    while let Ok(true) = reader.read(&mut frame) {}
});
