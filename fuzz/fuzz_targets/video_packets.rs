//! RTP payloads from a hostile partner, through the frame assembler: memory stays bounded.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "any moment will do as the start")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tandem_call::internals::{AssemblerConfig, FrameAssembler, VideoPacket};
use tandem_media::codec::VideoCodec;

fuzz_target!(|input: (bool, Vec<(u16, u8, bool, u8, Vec<u8>)>)| {
    let (h264, packets) = input;
    let codec = if h264 {
        VideoCodec::H264
    } else {
        VideoCodec::Vp8
    };

    let config = AssemblerConfig::default();
    let mut assembler = FrameAssembler::new(codec, config);
    let mut now = Instant::now();

    for (sequence, frame, marker, wait_ms, payload) in packets {
        now += Duration::from_millis(u64::from(wait_ms));
        let timestamp = u32::from(frame) * 3_000;
        assembler.insert(
            now,
            VideoPacket {
                sequence,
                timestamp,
                marker,
                payload: Bytes::from(payload),
            },
        );
        assembler.handle_timeout(now);
        while assembler.poll_frame().is_some() {}
        assembler.poll_keyframe_request();

        assert!(
            assembler.buffered() <= config.max_packets,
            "the reorder buffer is bounded"
        );
    }
});
