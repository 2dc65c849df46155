//! Whole calls between two sides in this process, through a real signaling server on loopback.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_call::{CallEventKind, CallOptions, EndCode};
use tandem_media::audio::{AudioConfig, AudioSource};
use tandem_media::codec::VideoCodec;
use tandem_media::error::{MediaErrorCode, MediaEvent, MediaPart};
use tandem_media::video::{OpenVideo, SharedVideo, VideoSpec, test_pattern};

use support::{Side, TestServer, room, server};

const TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn video_and_audio_flow_both_ways_until_one_side_hangs_up() {
    let server = server().await;
    let room = room();
    let (mut left, mut right) = (Side::start(&server, &room), Side::start(&server, &room));

    for side in [&mut left, &mut right] {
        side.until(TIMEOUT, "connected", |kind| {
            *kind == CallEventKind::Connected
        })
        .await;
        side.until_all(
            TIMEOUT,
            &[
                CallEventKind::FirstRemoteFrame,
                CallEventKind::FirstRemoteAudio,
            ],
        )
        .await;
    }

    left.wait_for_frames(TIMEOUT, 30).await;
    right.wait_for_frames(TIMEOUT, 30).await;
    assert_ne!(
        left.call.stats().await.initiator,
        right.call.stats().await.initiator,
        "exactly one side offers"
    );

    left.call.hang_up().await;
    assert_eq!(left.ended(TIMEOUT).await, EndCode::HungUp);
    assert_eq!(
        right.ended(TIMEOUT).await,
        EndCode::PartnerLeft,
        "the hang-up goes through the signaling server"
    );

    for side in [&left, &right] {
        let stats = side.call.stats().await;
        let (sent, received) = (
            stats.video_sent.expect("video was sent"),
            stats.video_received.expect("video arrived"),
        );
        assert_eq!(stats.video_codec, Some("H264"));
        assert_eq!(stats.audio_codec, Some("opus"));
        assert!(
            sent.frames >= 30 && sent.bytes > 0 && sent.encode_ms_p50 > Some(0.0),
            "{sent:?}"
        );

        assert!(
            received.frames >= 30 && received.packets >= received.frames,
            "{received:?}"
        );

        assert_eq!(
            (received.width, received.height),
            (320, 240),
            "the size that was sent"
        );
        assert!(stats.audio.sent_packets > 0, "audio was sent");

        let route = stats.route.expect("there was a route");

        assert_eq!(
            (route.local.as_str(), route.protocol.as_str()),
            ("host", "udp")
        );
        assert!(route.srtp.contains("AES"), "encrypted: {route:?}");
        assert!(!route.dtls.is_empty(), "{route:?}");
    }

    let stats = left.call.stats().await;
    let order = left.frame_numbers();
    assert!(
        order.windows(2).all(|pair| pair[0] < pair[1]),
        "no frame twice, none out of order: {order:?}"
    );

    assert!(
        stats.bitrate.iter().all(|sample| sample.target_bps > 0),
        "the estimate is always positive"
    );

    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn next_leaves_the_partner_and_finds_another_one() {
    let server = server().await;
    let room = room();
    let (mut left, mut right) = (Side::start(&server, &room), Side::start(&server, &room));

    for side in [&mut left, &mut right] {
        side.first_frame(TIMEOUT).await;
    }

    left.call.next();
    assert_eq!(
        right.ended(TIMEOUT).await,
        EndCode::PartnerLeft,
        "the partner that was left"
    );

    left.until(TIMEOUT, "searching again", |kind| {
        *kind == CallEventKind::Searching
    })
    .await;
    let mut third = Side::start(&server, &room);

    for side in [&mut left, &mut third] {
        side.first_frame(TIMEOUT).await;
    }

    left.call.hang_up().await;
    assert_eq!(third.ended(TIMEOUT).await, EndCode::PartnerLeft);
    server.shutdown().await;
}

/// Options of a call that waits for a silent partner for 4 s at most.
fn impatient(server: &TestServer, room: &str) -> CallOptions {
    let mut options = support::options(server.url(), room);
    options.timeouts.silence = Duration::from_secs(4);
    options.timeouts.silence_in_session = Duration::from_secs(4);
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_survives_the_signaling_server() {
    let server = server().await;
    let room = room();
    let side = || Side::with(impatient(&server, &room));
    let (mut left, mut right) = (side(), side());

    for side in [&mut left, &mut right] {
        side.first_frame(TIMEOUT).await;
    }

    server.kill().await;
    for side in [&mut left, &mut right] {
        side.until(TIMEOUT, "signaling lost", |kind| {
            *kind == CallEventKind::SignalingLost
        })
        .await;
        let seen = side.frame_count();
        side.wait_for_frames(TIMEOUT, seen + 60).await;
    }

    left.call.hang_up().await;
    let begin = Instant::now();
    assert_eq!(
        right.ended(TIMEOUT).await,
        EndCode::PartnerVanished,
        "without the signaling server, only silence shows that the partner is gone"
    );

    assert!(
        begin.elapsed() < Duration::from_secs(7),
        "noticed after {:?}",
        begin.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_dies_without_hanging_up_is_noticed() {
    let server = server().await;
    let room = room();
    let mut left = Side::with(impatient(&server, &room));
    // A runtime of its own, whose threads stop as if its process had been killed.
    let doomed = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();

    let right = {
        let _guard = doomed.enter();
        Side::start(&server, &room)
    };

    left.first_frame(TIMEOUT).await;
    doomed.shutdown_background();
    let begin = Instant::now();

    assert_eq!(left.ended(TIMEOUT).await, EndCode::PartnerVanished);
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "noticed after {:?}",
        begin.elapsed()
    );

    drop(right);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_without_a_partner_times_out() {
    let server = server().await;
    let mut options = support::options(server.url(), &room());
    options.timeouts.partner = Some(Duration::from_millis(300));
    let mut side = Side::with(options);

    assert_eq!(side.ended(TIMEOUT).await, EndCode::NoPartner);
    side.call.finished().await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_signaling_server_ends_the_call() {
    let mut side = Side::with(support::unreachable());
    assert_eq!(side.ended(TIMEOUT).await, EndCode::RelayUnreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_continues_with_a_muted_partner_without_a_camera() {
    let server = server().await;
    let room = room();
    let (mut left, mut right) = (Side::start(&server, &room), Side::start(&server, &room));

    for side in [&mut left, &mut right] {
        side.first_frame(TIMEOUT).await;
    }

    right.call.set_camera(false);
    right.call.set_muted(true);
    let silent = tokio::time::timeout(Duration::from_secs(8), left.ended(TIMEOUT)).await;

    assert!(
        silent.is_err(),
        "RTCP still flows, so the call continues: {silent:?}"
    );

    right.call.set_camera(true);
    let seen = left.frame_count();
    left.wait_for_frames(TIMEOUT, seen + 10).await;
    right.call.hang_up().await;
    server.shutdown().await;
}

/// Whether the partner of `side` falls silent within twice the time after which that ends a call.
async fn falls_silent(side: &mut Side) -> bool {
    let silent = side.until(TIMEOUT, "silence", |kind| {
        matches!(
            kind,
            CallEventKind::PartnerReconnecting { .. } | CallEventKind::Ended { .. }
        )
    });
    let silent = tokio::time::timeout(Duration::from_secs(8), silent).await;
    silent.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_two_people_without_a_camera_and_a_microphone_continues() {
    // They may or may not have agreed that media can come later.
    for negotiate in [false, true] {
        let server = server().await;
        let room = room();
        let side = || {
            Side::with(CallOptions {
                video: VideoSpec::None,
                audio: AudioConfig::default(),
                negotiate_video: negotiate,
                negotiate_audio: negotiate,
                ..impatient(&server, &room)
            })
        };
        let (mut left, mut right) = (side(), side());
        for side in [&mut left, &mut right] {
            side.until(TIMEOUT, "connected", |kind| {
                *kind == CallEventKind::Connected
            })
            .await;
        }

        let (first, second) = tokio::join!(falls_silent(&mut left), falls_silent(&mut right));
        assert_eq!((first, second), (false, false), "negotiated: {negotiate}");
        left.call.hang_up().await;
        assert_eq!(right.ended(TIMEOUT).await, EndCode::PartnerLeft);
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_agree_on_one_codec_whichever_they_prefer() {
    for (first, second) in [
        (VideoCodec::Vp8, VideoCodec::Vp8),
        (VideoCodec::H264, VideoCodec::Vp8),
    ] {
        let server = server().await;
        let room = room();
        let mut sides: Vec<Side> = [first, second]
            .into_iter()
            .map(|codec| {
                let mut options = support::options(server.url(), &room);
                options.codec = codec;
                Side::with(options)
            })
            .collect();
        for side in &mut sides {
            side.first_frame(TIMEOUT).await;
        }
        let codecs = [
            sides[0].call.stats().await.video_codec,
            sides[1].call.stats().await.video_codec,
        ];
        assert_eq!(codecs[0], codecs[1], "one codec for both directions");
        if first == second {
            assert_eq!(codecs[0], Some("VP8"), "the codec that both prefer is used");
        }
        for side in &sides {
            side.call.hang_up().await;
        }
        server.shutdown().await;
    }
}

/// The state in a state event: (muted, camera on).
fn state(kind: &CallEventKind) -> Option<(bool, bool)> {
    match kind {
        CallEventKind::PartnerState { muted, camera_on } => Some((*muted, *camera_on)),
        _ => None,
    }
}

/// What one side does, and what the other is notified of: (muted, camera on).
type Step = (fn(&Side), (bool, bool));

#[tokio::test(flavor = "multi_thread")]
async fn each_side_is_notified_of_the_others_microphone_and_camera() {
    let server = server().await;
    let room = room();
    let (left, right) = (Side::start(&server, &room), Side::start(&server, &room));
    let mut sides = [left, right];

    for side in &mut sides {
        side.first_frame(TIMEOUT).await;
    }

    // In both directions, whichever side made the offer.
    for (speaker, listener) in [(0, 1), (1, 0)] {
        let steps: [Step; 4] = [
            (|side| side.call.set_muted(true), (true, true)),
            (|side| side.call.set_camera(false), (true, false)),
            (|side| side.call.set_muted(false), (false, false)),
            (|side| side.call.set_camera(true), (false, true)),
        ];

        for (step, expected) in steps {
            step(&sides[speaker]);
            let event = sides[listener]
                .until(TIMEOUT, "the state", |kind| state(kind).is_some())
                .await;
            assert_eq!(state(&event.kind), Some(expected), "(muted, camera on)");
        }
    }

    sides[0].call.hang_up().await;
    assert_eq!(sides[1].ended(TIMEOUT).await, EndCode::PartnerLeft);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_without_microphone_and_camera_reports_both_off() {
    let server = server().await;
    let room = room();
    let mut left = Side::start(&server, &room);
    let mut options = support::options(server.url(), &room);
    options.video = VideoSpec::None;
    options.audio.source = AudioSource::None;
    let right = Side::with(options);
    let event = left
        .until(TIMEOUT, "the state", |kind| state(kind).is_some())
        .await;

    assert_eq!(
        state(&event.kind),
        Some((true, false)),
        "reported as soon as the channel is open"
    );

    right.call.hang_up().await;
    server.shutdown().await;
}

/// Waits until the newest frame that `side` received has this width, in pixels.
async fn wait_for_width(side: &Side, expected: u32) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let width = side
            .call
            .stats()
            .await
            .video_received
            .map_or(0, |received| received.width);
        if width == expected {
            return;
        }

        assert!(
            Instant::now() < deadline,
            "frames are {width} pixels wide, not {expected}"
        );

        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_and_microphone_can_be_changed_during_a_call() {
    use tandem_media::audio::{AudioSink, AudioSource, Processing};
    use tandem_media::error::{MediaErrorCode, MediaEvent, MediaPart};
    let server = server().await;
    let room = room();
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("grey.y4m");
    let mut y4m = b"YUV4MPEG2 W160 H120 F25:1 Ip A1:1 C420jpeg\n".to_vec();

    for _ in 0..3 {
        y4m.extend(b"FRAME\n");
        y4m.extend(std::iter::repeat_n(0x80, 160 * 120 * 3 / 2));
    }

    std::fs::write(&clip, y4m).unwrap();

    let mut left = Side::start(&server, &room);
    // Only watches and listens at first.
    let mut options = support::options(server.url(), &room);
    (options.video, options.audio.source) = (VideoSpec::None, AudioSource::None);
    (options.negotiate_video, options.negotiate_audio) = (true, true);
    let mut right = Side::with(options);
    right.first_frame(TIMEOUT).await;
    left.until(TIMEOUT, "the state", |kind| {
        state(kind) == Some((true, false))
    })
    .await;

    assert!(
        left.call.stats().await.video_received.is_none(),
        "no video arrives and none was announced"
    );

    right.call.set_video(VideoSpec::Test);
    right.call.set_audio_source(AudioSource::Test);
    left.until_all(
        TIMEOUT,
        &[
            CallEventKind::FirstRemoteFrame,
            CallEventKind::FirstRemoteAudio,
        ],
    )
    .await;

    wait_for_width(&left, 320).await;
    right.call.set_video(VideoSpec::File(clip));
    wait_for_width(&left, 160).await;

    let failure = |kind: &CallEventKind| match kind {
        CallEventKind::Media(MediaEvent::Failed { part, error }) => Some((*part, error.code)),
        _ => None,
    };

    right
        .call
        .set_video(VideoSpec::File("/no/such/clip.y4m".into()));
    let event = right
        .until(TIMEOUT, "a failure", |kind| failure(kind).is_some())
        .await;
    assert_eq!(
        failure(&event.kind),
        Some((MediaPart::Camera, MediaErrorCode::FileUnreadable))
    );

    left.until(TIMEOUT, "camera off", |kind| {
        state(kind) == Some((false, false))
    })
    .await;
    right
        .call
        .set_audio_source(AudioSource::Microphone(Some("no such microphone".into())));
    let event = right
        .until(TIMEOUT, "a failure", |kind| failure(kind).is_some())
        .await;

    assert_eq!(
        failure(&event.kind),
        Some((MediaPart::Microphone, MediaErrorCode::MicNotFound))
    );

    right
        .call
        .set_audio_sink(AudioSink::Named("no such speaker".into()));
    let event = right
        .until(TIMEOUT, "a failure", |kind| failure(kind).is_some())
        .await;
    assert_eq!(
        failure(&event.kind),
        Some((MediaPart::Speaker, MediaErrorCode::SpeakerNotFound))
    );

    right.call.set_processing(Processing::OFF);

    // And the call continues.
    right.call.set_video(VideoSpec::Test);
    right.call.set_audio_source(AudioSource::Test);
    let seen = left.frame_count();
    left.wait_for_frames(TIMEOUT, seen + 10).await;
    left.until(TIMEOUT, "both on", |kind| {
        state(kind) == Some((false, true))
    })
    .await;
    right.call.hang_up().await;
    server.shutdown().await;
}

/// Opens the source of `options` as the lobby's preview does. Frame 0 of the test pattern is the
/// first after opening, so a number that goes back to 0 is another opening.
fn open_preview(shared: &SharedVideo, options: &CallOptions) -> OpenVideo {
    let events = Arc::new(|event| panic!("the source does not fail: {event:?}"));

    shared
        .request()
        .open(&options.video, options.video_format, events)
        .expect("the test pattern opens")
        .expect("no newer request")
}

/// The number in the next frame of an open test pattern.
fn next_number(video: &OpenVideo) -> u16 {
    let frame = video.frames.take(TIMEOUT).expect("the source is open");

    test_pattern::read(&frame.image)
        .expect("a test pattern")
        .frame
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_takes_the_camera_over_from_the_preview_and_gives_it_back_open() {
    let server = server().await;
    let room = room();
    let shared = SharedVideo::new();
    let options = CallOptions {
        shared_video: shared.clone(),
        keep_video_open: true,
        ..support::options(server.url(), &room)
    };

    let preview = open_preview(&shared, &options);
    let mut before = next_number(&preview);

    while before < 10 {
        before = next_number(&preview);
    }

    let (left, mut right) = (Side::with(options.clone()), Side::start(&server, &room));
    right.first_frame(TIMEOUT).await;
    right.wait_for_frames(TIMEOUT, 10).await;

    let sent = right.frame_numbers();
    assert!(
        sent.iter().all(|number| *number > before),
        "the call sends what the preview opened, from frame {before} on: {sent:?}"
    );

    left.call.hang_up().await;
    assert!(
        !preview.frames.is_closed(),
        "the call neither closed nor reopened the source"
    );

    let preview = open_preview(&shared, &options);
    let after = next_number(&preview);
    assert!(
        after > sent[sent.len() - 1],
        "the preview continues the same source: frame {after} after {sent:?}"
    );

    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_closes_the_camera_unless_it_should_keep_it_open() {
    let server = server().await;
    let room = room();
    let shared = SharedVideo::new();
    let options = CallOptions {
        shared_video: shared.clone(),
        ..support::options(server.url(), &room)
    };

    let preview = open_preview(&shared, &options);
    let (left, mut right) = (Side::with(options), Side::start(&server, &room));
    right.first_frame(TIMEOUT).await;
    assert!(!preview.frames.is_closed(), "taken over");

    left.call.hang_up().await;
    assert!(preview.frames.is_closed(), "the call's end releases it");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_finds_a_server_leaves_the_camera_as_its_options_say() {
    for keep_video_open in [true, false] {
        let shared = SharedVideo::new();
        let options = CallOptions {
            shared_video: shared.clone(),
            keep_video_open,
            ..support::unreachable()
        };

        let preview = open_preview(&shared, &options);
        let mut side = Side::with(options);
        assert_eq!(side.ended(TIMEOUT).await, EndCode::RelayUnreachable);

        side.call.finished().await;
        assert_eq!(
            preview.frames.is_closed(),
            !keep_video_open,
            "keep_video_open: {keep_video_open}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_and_a_microphone_that_were_not_negotiated_are_reported() {
    let server = server().await;
    let room = room();
    let silent = CallOptions {
        video: VideoSpec::None,
        audio: AudioConfig::default(),
        ..support::options(server.url(), &room)
    };

    let (mut left, right) = (Side::with(silent), Side::start(&server, &room));
    left.first_frame(TIMEOUT).await;
    left.call.set_video(VideoSpec::Test);
    left.call.set_audio_source(AudioSource::Test);

    for expected in [
        (MediaPart::Camera, MediaErrorCode::CamNotNegotiated),
        (MediaPart::Microphone, MediaErrorCode::MicNotNegotiated),
    ] {
        let event = left
            .until(TIMEOUT, "the failure", |kind| {
                matches!(kind, CallEventKind::Media(_))
            })
            .await;
        let CallEventKind::Media(MediaEvent::Failed { part, error }) = event.kind else {
            panic!("not a failure: {event:?}");
        };

        assert_eq!((part, error.code), expected, "{error}");
    }

    right.call.hang_up().await;
    server.shutdown().await;
}
