//! Frames to packets and back: chosen cases, then random ones through a bad network.

#![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use tandem_media::codec::VideoCodec;

use super::packetizer::MAX_PAYLOAD;
use super::*;

const MS: Duration = Duration::from_millis(1);

/// A frame of about `size` bytes that looks like one of `codec`. Its bytes follow from `seed`; none
/// is zero, so that no start code appears by chance.
fn frame(codec: VideoCodec, keyframe: bool, size: usize, seed: u8) -> Vec<u8> {
    let body = (0..size).map(|index| (index as u8).wrapping_mul(31).wrapping_add(seed) | 1);
    match (codec, keyframe) {
        (VideoCodec::H264, true) => {
            let mut frame = vec![
                0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0, 0, 0, 1, 0x65,
                0x88,
            ];
            frame.extend(body);
            frame
        }
        (VideoCodec::H264, false) => [0, 0, 0, 1, 0x41, 0x9a].into_iter().chain(body).collect(),
        (VideoCodec::Vp8, true) => std::iter::once(0x10).chain(body).collect(),
        (VideoCodec::Vp8, false) => std::iter::once(0x11).chain(body).collect(),
    }
}

/// A sender of synthetic frames.
struct Sender {
    codec: VideoCodec,
    packetizer: Packetizer,
    sequence: u16,
    timestamp: u32,
    sent: Vec<AssembledFrame>,
}

impl Sender {
    fn new(codec: VideoCodec) -> Self {
        Self {
            codec,
            packetizer: Packetizer::new(codec),
            // Both counters wrap around soon.
            sequence: 65_530,
            timestamp: u32::MAX - 10_000,
            sent: Vec::new(),
        }
    }

    fn send(&mut self, keyframe: bool, size: usize) -> Vec<VideoPacket> {
        self.timestamp = self.timestamp.wrapping_add(3_000);
        let data = frame(self.codec, keyframe, size, self.sent.len() as u8);
        self.sent.push(AssembledFrame {
            data: data.clone(),
            keyframe,
            timestamp: self.timestamp,
        });

        let packet = |payload: PacketPayload| {
            let packet = VideoPacket {
                sequence: self.sequence,
                timestamp: self.timestamp,
                marker: payload.marker,
                payload: payload.data,
            };

            self.sequence = self.sequence.wrapping_add(1);
            packet
        };

        self.packetizer
            .packetize(data)
            .into_iter()
            .map(packet)
            .collect()
    }
}

fn assembler(codec: VideoCodec) -> FrameAssembler {
    FrameAssembler::new(codec, AssemblerConfig::default())
}

fn frames(assembler: &mut FrameAssembler) -> Vec<AssembledFrame> {
    std::iter::from_fn(|| assembler.poll_frame()).collect()
}

fn insert_all(
    assembler: &mut FrameAssembler,
    now: Instant,
    packets: impl IntoIterator<Item = VideoPacket>,
) {
    for packet in packets {
        assembler.insert(now, packet);
    }
}

#[test]
fn frames_of_any_size_come_back_byte_for_byte() {
    for codec in [VideoCodec::H264, VideoCodec::Vp8] {
        let (mut sender, mut assembler) = (Sender::new(codec), assembler(codec));
        let now = Instant::now();

        for (keyframe, size) in [
            (true, 5_000),
            (false, 1),
            (false, 1_179),
            (false, 1_180),
            (false, 1_181),
            (true, 90_000),
        ] {
            let packets = sender.send(keyframe, size);
            assert!(
                packets
                    .iter()
                    .all(|packet| packet.payload.len() <= MAX_PAYLOAD),
                "no payload exceeds the limit"
            );
            let markers: Vec<bool> = packets.iter().map(|packet| packet.marker).collect();
            assert_eq!(
                markers.iter().filter(|marker| **marker).count(),
                1,
                "one marker per frame"
            );
            assert_eq!(markers.last(), Some(&true), "on its last packet");
            insert_all(&mut assembler, now, packets);
        }

        assert_eq!(frames(&mut assembler), sender.sent, "{codec:?}");
        assert_eq!(assembler.poll_timeout(), None, "nothing is missing");
        assert!(!assembler.poll_keyframe_request(), "nothing is requested");
    }
}

#[test]
fn a_stream_that_starts_in_the_middle_waits_for_a_keyframe() {
    let (mut sender, mut assembler) = (Sender::new(VideoCodec::H264), assembler(VideoCodec::H264));
    let now = Instant::now();
    let middle: Vec<VideoPacket> = sender.send(true, 5_000).into_iter().skip(2).collect();
    insert_all(&mut assembler, now, middle);
    insert_all(&mut assembler, now, sender.send(false, 500));

    assert_eq!(frames(&mut assembler), [], "no decoder could start here");
    assert!(
        assembler.poll_keyframe_request(),
        "so a keyframe is requested"
    );
    assert!(!assembler.poll_keyframe_request(), "once");
    let again = assembler
        .poll_timeout()
        .expect("the request is repeated if no keyframe arrives");
    assembler.handle_timeout(again);

    assert!(
        assembler.poll_keyframe_request(),
        "the request may have been lost"
    );

    insert_all(&mut assembler, now, sender.send(true, 3_000));
    insert_all(&mut assembler, now, sender.send(false, 500));
    assert_eq!(
        frames(&mut assembler),
        sender.sent[2..],
        "everything from the keyframe on"
    );
    assert_eq!(assembler.poll_timeout(), None, "no more requests");
}

#[test]
fn a_missing_packet_is_waited_for_and_then_given_up() {
    for codec in [VideoCodec::H264, VideoCodec::Vp8] {
        let (mut sender, mut assembler) = (Sender::new(codec), assembler(codec));
        let now = Instant::now();
        insert_all(&mut assembler, now, sender.send(true, 2_000));
        let mut holed = sender.send(false, 3_000);
        let missing = holed.remove(1);
        insert_all(&mut assembler, now, holed.clone());
        insert_all(&mut assembler, now, sender.send(false, 100));

        assert_eq!(
            frames(&mut assembler).len(),
            1,
            "{codec:?}: the frame with the hole holds up the next"
        );
        assert_eq!(assembler.stats().lost, 1);

        let mut waiting = FrameAssembler::new(codec, AssemblerConfig::default());
        let mut again = Sender::new(codec);
        insert_all(&mut waiting, now, again.send(true, 2_000));
        insert_all(&mut waiting, now, holed);
        insert_all(&mut waiting, now + 100 * MS, [missing.clone()]);

        assert_eq!(
            frames(&mut waiting),
            sender.sent[..2],
            "{codec:?}: the retransmission completes it"
        );

        assert_eq!(
            (waiting.stats().lost, waiting.stats().late),
            (0, 1),
            "a packet that came late is not lost"
        );

        let deadline = assembler.poll_timeout().expect("the wait is bounded");
        assert_eq!(deadline, now + AssemblerConfig::default().wait);
        assembler.handle_timeout(deadline);

        assert!(
            assembler.poll_keyframe_request(),
            "{codec:?}: given up, a keyframe is requested"
        );

        assert_eq!(
            frames(&mut assembler),
            [],
            "{codec:?}: no frame whose reference is missing"
        );

        assembler.insert(deadline, missing);
        insert_all(&mut assembler, deadline, sender.send(false, 100));
        assert_eq!(frames(&mut assembler), [], "{codec:?}: still no frame");
        insert_all(&mut assembler, deadline, sender.send(true, 100));

        assert_eq!(
            frames(&mut assembler),
            sender.sent[4..],
            "{codec:?}: the keyframe ends it"
        );
    }
}

#[test]
fn the_next_timestamp_makes_up_for_a_lost_marker() {
    let (mut sender, mut assembler) = (Sender::new(VideoCodec::H264), assembler(VideoCodec::H264));
    let now = Instant::now();

    for keyframe in [true, false, false] {
        let mut packets = sender.send(keyframe, 4_000);
        packets.last_mut().unwrap().marker = false;
        insert_all(&mut assembler, now, packets);
    }

    assert_eq!(
        frames(&mut assembler),
        sender.sent[..2],
        "the last frame is only complete when another begins"
    );
}

#[test]
fn padding_only_uses_up_numbers() {
    let (mut sender, mut assembler) = (Sender::new(VideoCodec::Vp8), assembler(VideoCodec::Vp8));
    let now = Instant::now();

    for keyframe in [true, false, false] {
        insert_all(&mut assembler, now, sender.send(keyframe, 2_000));
        let padding = VideoPacket {
            sequence: sender.sequence,
            timestamp: sender.timestamp,
            marker: false,
            payload: Bytes::new(),
        };

        sender.sequence = sender.sequence.wrapping_add(1);
        assembler.insert(now, padding);
    }

    assert_eq!(
        frames(&mut assembler),
        sender.sent,
        "every frame, in spite of the padding between them"
    );
}

#[test]
fn a_decoder_that_failed_gets_nothing_but_a_keyframe() {
    let (mut sender, mut assembler) = (Sender::new(VideoCodec::H264), assembler(VideoCodec::H264));
    let now = Instant::now();
    insert_all(&mut assembler, now, sender.send(true, 2_000));
    insert_all(&mut assembler, now, sender.send(false, 2_000));
    assembler.decoder_failed(now);

    assert!(assembler.poll_keyframe_request(), "nothing else helps");
    insert_all(&mut assembler, now, sender.send(false, 2_000));
    assert_eq!(
        frames(&mut assembler),
        [],
        "its reference frames are broken"
    );
    insert_all(&mut assembler, now, sender.send(true, 2_000));

    assert_eq!(frames(&mut assembler).len(), 1);
}

#[test]
fn a_sender_that_restarts_is_followed() {
    let (mut sender, mut assembler) = (Sender::new(VideoCodec::H264), assembler(VideoCodec::H264));
    let now = Instant::now();
    insert_all(&mut assembler, now, sender.send(true, 2_000));
    sender.sequence = 40_000;
    let first = sender.send(true, 5_000);
    insert_all(&mut assembler, now, first);
    insert_all(&mut assembler, now, sender.send(true, 5_000));
    let last = frames(&mut assembler).pop();

    assert_eq!(
        last.as_ref(),
        sender.sent.last(),
        "the assembler follows the new count"
    );
    assert_eq!(assembler.stats().lost, 0, "a restart is not a loss");
}

#[test]
fn memory_is_bounded_whatever_arrives() {
    let config = AssemblerConfig {
        max_packets: 64,
        max_bytes: 20_000,
        ..AssemblerConfig::default()
    };

    let mut assembler = FrameAssembler::new(VideoCodec::H264, config);
    let now = Instant::now();

    for number in 0..50_000_u32 {
        let packet = VideoPacket {
            sequence: (2 * number) as u16,
            timestamp: number,
            marker: false,
            payload: Bytes::from_static(&[0x7c, 0x05, 0, 0, 0, 0, 0, 0]),
        };

        assembler.insert(now, packet);
        assert!(
            assembler.buffered() <= 64,
            "a stream full of holes must not fill memory"
        );
    }

    assert!(assembler.stats().discarded > 40_000);
}

/// Sends `packets`, 2 ms apart, through a network that deals out `fates` in turn. Returns what
/// arrives, in order of arrival.
fn through_network(
    packets: &[VideoPacket],
    fates: &[Fate],
    now: Instant,
) -> Vec<(Instant, VideoPacket)> {
    let mut arrivals = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        let sent = now + index as u32 * 2 * MS;
        match fates[index % fates.len()] {
            Fate::Lost => {}
            Fate::Late(delay) => arrivals.push((sent + delay * MS, packet.clone())),
            Fate::Twice(delay) => {
                arrivals.push((sent, packet.clone()));
                arrivals.push((sent + delay * MS, packet.clone()));
            }
        }
    }

    arrivals.sort_by_key(|(at, _)| *at);
    arrivals
}

/// What the network does to a packet. Delays in ms.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Lost,
    Late(u32),
    Twice(u32),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Late(0)),
        4 => (0_u32..80).prop_map(Fate::Late),
        1 => (0_u32..600).prop_map(Fate::Late),
        2 => (0_u32..600).prop_map(Fate::Twice),
        2 => Just(Fate::Lost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn frames_come_out_as_sent_in_order_and_decodable(
        vp8 in any::<bool>(),
        plan in proptest::collection::vec((prop::bool::weighted(0.15), 1_usize..6_000), 1..60),
        fates in proptest::collection::vec(fate(), 1..200),
    ) {
        let codec = if vp8 { VideoCodec::Vp8 } else { VideoCodec::H264 };
        let (mut sender, mut assembler) = (Sender::new(codec), assembler(codec));
        let now = Instant::now();
        let mut packets = Vec::new();

        for (keyframe, size) in plan {
            packets.extend(sender.send(keyframe, size));
        }

        let mut delivered = Vec::new();
        for (at, packet) in through_network(&packets, &fates, now) {
            while let Some(due) = assembler.poll_timeout().filter(|due| *due <= at) {
                assembler.handle_timeout(due);
            }

            assembler.insert(at, packet);
            delivered.extend(frames(&mut assembler));
        }

        let mut expected = 0;
        for frame in &delivered {
            let place = sender.sent.iter().position(|sent| sent.timestamp == frame.timestamp);
            let place = place.expect("only frames that were sent come out");
            prop_assert_eq!(&sender.sent[place], frame, "byte for byte what was sent");
            prop_assert!(place >= expected, "in order, and none twice");
            prop_assert!(
                frame.keyframe || place == expected,
                "a delta frame comes right after its reference"
            );
            prop_assert!(expected > 0 || frame.keyframe, "the first one is a keyframe");
            expected = place + 1;
        }

        let lossless = fates
            .iter()
            .all(|fate| matches!(fate, Fate::Late(0..=80) | Fate::Twice(_)));
        if lossless && !delivered.is_empty() {
            prop_assert_eq!(
                expected,
                sender.sent.len(),
                "without loss nothing is missing after the first"
            );

            let first = sender
                .sent
                .iter()
                .position(|sent| sent.timestamp == delivered[0].timestamp);
            prop_assert_eq!(Some(delivered.len()), first.map(|first| expected - first));
        }
    }

    #[test]
    fn garbage_neither_panics_nor_takes_many_steps(
        vp8 in any::<bool>(),
        packets in proptest::collection::vec(
            (
                any::<u16>(),
                0_u32..4,
                any::<bool>(),
                proptest::collection::vec(any::<u8>(), 0..40),
                0_u64..100,
            ),
            0..300,
        ),
    ) {
        let mut assembler = assembler(if vp8 { VideoCodec::Vp8 } else { VideoCodec::H264 });
        let mut now = Instant::now();
        let count = packets.len() as u64;

        for (sequence, timestamp, marker, payload, wait) in packets {
            now += Duration::from_millis(wait);
            while let Some(due) = assembler.poll_timeout().filter(|due| *due <= now) {
                assembler.handle_timeout(due);
            }

            // Some numbers close together, some anywhere.
            let sequence = if timestamp == 0 { sequence } else { sequence % 64 };
            let packet = VideoPacket {
                sequence,
                timestamp,
                marker,
                payload: payload.into(),
            };

            assembler.insert(now, packet);
            frames(&mut assembler);
        }

        let steps = assembler.steps();
        prop_assert!(steps <= 16 * count, "{} steps for {} packets", steps, count);
    }
}

/// A packet: its number, timestamp, marker and payload.
type Laborious = (u16, u32, bool, &'static [u8]);

/// Packets that make an assembler look for frames as often as possible.
fn laborious_packets() -> Vec<(&'static str, Vec<Laborious>)> {
    const SPS: &[u8] = &[0x67, 0x42];
    const IDR: &[u8] = &[0x65, 0x88];
    const BROKEN: &[u8] = &[24, 0, 2, 0x67, 0x42, 0, 9];
    const OTHER: &[u8] = &[0x41, 0x9a];
    let same = |payload: &'static [u8]| (0..20_000_u16).map(move |n| (n, 7, false, payload));
    // A complete keyframe that is broken, again and again, in front of what waits behind a gap.
    let in_front = (0..20).flat_map(|round: u16| {
        let waiting = (0..900).map(move |n| (2_000 * round + 1_000 + n, u32::from(n), false, SPS));
        let broken = (0..900).map(move |n| (2_000 * round + n, 99_999, true, BROKEN));
        waiting.chain(broken)
    });

    vec![
        ("parameter sets of one timestamp", same(SPS).collect()),
        ("slices of one timestamp", same(OTHER).collect()),
        (
            "keyframes without parameter sets",
            (0..20_000).map(|n| (n, u32::from(n), false, IDR)).collect(),
        ),
        (
            "one frame after each gap",
            (0..20_000)
                .map(|n| (n * 2, u32::from(n), true, SPS))
                .collect(),
        ),
        (
            "a frame in reverse order",
            (0..20_000_u16)
                .map(|n| (n / 1_000 * 1_000 + 999 - n % 1_000, 7, false, SPS))
                .collect(),
        ),
        ("broken keyframes before others", in_front.collect()),
    ]
}

#[test]
fn whatever_arrives_a_packet_takes_a_few_steps() {
    for (name, packets) in laborious_packets() {
        let mut assembler = assembler(VideoCodec::H264);
        let (now, count) = (Instant::now(), packets.len() as u64);

        for (sequence, timestamp, marker, payload) in packets {
            let packet = VideoPacket {
                sequence,
                timestamp,
                marker,
                payload: Bytes::from_static(payload),
            };

            assembler.insert(now, packet);
            frames(&mut assembler);
        }

        let steps = assembler.steps();
        assert!(
            (count..=16 * count).contains(&steps),
            "{name}: {steps} steps for {count} packets"
        );
    }
}
