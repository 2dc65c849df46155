//! What each fuzz target does with its input. `src-tauri/tests/corpus.rs` includes this file and
//! replays the kept inputs.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "any moment will do as the start, and a panic is what is looked for"
)]

use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use tandem::desktop::frames::parse_request;
use tandem::desktop::settings;
use tandem::invite::{Invite, InviteLink};
use tandem::values::room_text;
use tandem_call::internals::{AssemblerConfig, FrameAssembler, VideoPacket, fuzzing};
use tandem_media::I420;
use tandem_media::audio::jitter_buffer::{AudioPacket, JitterBuffer, JitterConfig};
use tandem_media::codec::VideoCodec;
use tandem_media::video::convert::{Converter, PixelFormat};
use tandem_media::video::y4m::Y4mReader;
use tandem_signaling::message::{parse_client, parse_server};
use tandem_signaling::server::{admin_command, answer_upgrade};

/// A target: its name and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by name.
pub const TARGETS: [Target; 18] = [
    ("admin_command", admin_command),
    ("camera_frame", camera_frame),
    ("checks", fuzzing::datagrams),
    ("client_message", client_message),
    ("description", fuzzing::description),
    ("frame_request", frame_request),
    ("handshake", handshake),
    ("invite", invite),
    ("jitter_buffer", jitter_buffer),
    ("partner_state", fuzzing::channel_message),
    ("rtcp", rtcp),
    ("server_message", server_message),
    ("settings_file", settings_file),
    ("turn", turn),
    ("turn_stream", fuzzing::turn_stream),
    ("upgrade_request", upgrade_request),
    ("video_packets", video_packets),
    ("y4m", y4m),
];

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or if it finds a fault.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target has this name");
    target(input);
}

/// Runs `target` with the value that these bytes stand for, if they stand for one.
fn with<'a, T: Arbitrary<'a>>(input: &'a [u8], target: impl FnOnce(T)) {
    if let Ok(value) = T::arbitrary_take_rest(Unstructured::new(input)) {
        target(value);
    }
}

fn with_text(input: &[u8], target: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(input) {
        target(text);
    }
}

/// What a camera driver delivers: frames of any format and size, with any content.
fn camera_frame(input: &[u8]) {
    const FORMATS: [PixelFormat; 8] = [
        PixelFormat::Yuyv,
        PixelFormat::Nv12,
        PixelFormat::Mjpeg,
        PixelFormat::Yu12,
        PixelFormat::Uyvy,
        PixelFormat::Rgb24,
        PixelFormat::Bgr24,
        PixelFormat::Grey,
    ];

    with(
        input,
        |(format, width, height, bytes): (u8, u8, u8, &[u8])| {
            let format = FORMATS[usize::from(format) % FORMATS.len()];
            let mut frame = I420::new(u32::from(width) + 1, u32::from(height) + 1);
            let _ = Converter::new().convert(format, bytes, &mut frame);
        },
    );
}

/// Anything that a client sends to the signaling server: it is parsed or refused, and what was parsed
/// can be written and parsed again.
fn client_message(input: &[u8]) {
    if let Ok(envelope) = parse_client(input) {
        let again = serde_json::to_vec(&envelope).expect("a parsed message can be written");
        parse_client(&again).expect("a written message can be parsed");
    }
}

/// Anything that the page, or a program that has its token, sends on the frame socket.
fn frame_request(input: &[u8]) {
    with_text(input, |text| {
        if parse_request(text).is_some() {
            assert!(text.len() <= 512, "a request is short");
            assert_eq!(
                parse_request(&format!("{text}{{}}")),
                None,
                "one request per message and nothing after it"
            );
        }
    });
}

/// Moves of a hostile partner, or a hostile server, in the handshake that verifies a partner.
fn handshake(input: &[u8]) {
    with_text(input, tandem_trust::fuzzing::partner);
}

/// Invites and links to a call, which strangers send: what is read is written back as it was
/// understood.
fn invite(input: &[u8]) {
    with_text(input, |text| {
        if let Ok(invite) = text.parse::<Invite>() {
            assert_eq!(invite.to_string().parse(), Ok(invite));
        }

        if let Ok(link) = text.parse::<InviteLink>() {
            let read = link.https().parse::<InviteLink>().map(|read| read.invite);
            assert_eq!(read, Ok(link.invite));
        }

        let _ = room_text(text);
    });
}

/// Audio packets of any content, order and time: every pull fills its block, and memory stays
/// bounded.
fn jitter_buffer(input: &[u8]) {
    with(input, |packets: Vec<(u16, u32, u8, Vec<u8>)>| {
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
}

/// RTCP from a hostile partner, through the interceptors of a call: the estimate stays within its
/// bounds.
fn rtcp(input: &[u8]) {
    fuzzing::rtcp(input);
}

/// Anything that a signaling server sends to a client.
fn server_message(input: &[u8]) {
    with_text(input, |text| {
        let _ = parse_server(text);
    });
}

/// A settings file of any content: it gives settings, and these can be written and read again.
fn settings_file(input: &[u8]) {
    let (settings, _) = settings::parse(input);
    let written = settings::to_json(&settings).expect("settings can be written");
    assert_eq!(
        settings::parse(&written),
        (settings, None),
        "they are the same afterwards"
    );
}

/// Packets of hostile clients and peers of the TURN server.
fn turn(input: &[u8]) {
    tandem_turn::fuzzing::packets(input, Instant::now());
}

/// Anything that arrives before the WebSocket: the server accepts it, answers it, or waits for more.
///
/// The loopback address counts as a trusted proxy here, so the forwarded header is parsed too.
fn upgrade_request(input: &[u8]) {
    match answer_upgrade(input) {
        Some(Ok(response)) => assert!(
            response.starts_with(b"HTTP/1.1 101 "),
            "an accepted upgrade says so"
        ),
        Some(Err(status)) => assert!(
            (400..500).contains(&status),
            "the client is at fault: {status}"
        ),
        None => {}
    }
}

/// A packet: sequence number, frame, marker, milliseconds since the last one, and payload.
type RtpPacket = (u16, u8, bool, u8, Vec<u8>);

/// RTP payloads from a hostile partner, through the frame assembler: memory stays bounded.
fn video_packets(input: &[u8]) {
    with(input, |input: (bool, Vec<RtpPacket>)| {
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
            assembler.insert(
                now,
                VideoPacket {
                    sequence,
                    timestamp: u32::from(frame) * 3_000,
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
}

/// A `.y4m` file of any content: reading it gives frames or an error.
fn y4m(input: &[u8]) {
    let Ok(mut reader) = Y4mReader::new(input) else {
        return;
    };

    let header = reader.header();
    let mut frame = I420::new(header.width, header.height);
    while let Ok(true) = reader.read(&mut frame) {}
}
