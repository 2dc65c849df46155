//! Audio packets of any content, order and time: every pull fills its block, and memory stays
//! bounded.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "any moment will do as the start")]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use tandem_media::audio::jitter_buffer::{AudioPacket, JitterBuffer, JitterConfig};

fuzz_target!(|packets: Vec<(u16, u32, u8, Vec<u8>)>| {
    let mut buffer =
        JitterBuffer::new(JitterConfig::default()).expect("the default configuration is valid");
    let mut now = Instant::now();
    let mut block = [0; 480];

    for (sequence, timestamp, pulls, payload) in packets {
        buffer.insert(
            now,
            AudioPacket {
                sequence,
                timestamp,
                payload,
            },
        );

        for _ in 0..pulls % 8 {
            now += Duration::from_millis(10);
            buffer.pull(now, &mut block);
        }
    }
});
