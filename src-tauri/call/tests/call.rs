//! Two whole calls in this process, through a real relay on loopback.

mod support;

use std::time::{Duration, Instant};

use tandem_call::machine::EndCode;
use tandem_call::session::CallEventKind;
use tandem_media::codec::VideoCodec;

use support::{Side, relay, room};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_sound_flow_both_ways_until_one_side_hangs_up() {
    let relay = relay().await;
    let room = room();
    let (mut left, mut right) = (Side::start(&relay, &room), Side::start(&relay, &room));

    for side in [&mut left, &mut right] {
        side.until(SOON, "connected", |kind| *kind == CallEventKind::Connected)
            .await;
        side.until_all(
            SOON,
            &[
                CallEventKind::FirstRemoteFrame,
                CallEventKind::FirstRemoteAudio,
            ],
        )
        .await;
    }

    left.pictures(SOON, 30).await;
    right.pictures(SOON, 30).await;
    assert_ne!(
        left.call.stats().await.initiator,
        right.call.stats().await.initiator,
        "exactly one side offers"
    );

    left.call.hang_up().await;
    assert_eq!(left.ended(SOON).await, EndCode::HungUp);
    assert_eq!(
        right.ended(SOON).await,
        EndCode::PartnerLeft,
        "hang-up goes over signaling"
    );

    for side in [&left, &right] {
        let stats = side.call.stats().await;
        let (sent, received) = (
            stats.video_sent.expect("video was sent"),
            stats.video_received.expect("video came"),
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
        assert!(stats.audio.sent_packets > 0, "sound was sent");
        let route = stats.route.expect("there was a path");

        assert_eq!(
            (route.local.as_str(), route.protocol.as_str()),
            ("host", "udp")
        );
        assert!(route.srtp.contains("AES"), "encrypted: {route:?}");
        assert!(!route.dtls.is_empty(), "{route:?}");
    }

    let stats = left.call.stats().await;
    let order = left.picture_numbers();
    assert!(
        order.windows(2).all(|pair| pair[0] < pair[1]),
        "no picture twice, none out of order: {order:?}"
    );

    assert!(
        stats.bitrate.iter().all(|sample| sample.target_bps > 0),
        "the estimate is always positive"
    );

    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn next_finds_another_partner() {
    let relay = relay().await;
    let room = room();
    let (mut left, mut right) = (Side::start(&relay, &room), Side::start(&relay, &room));

    for side in [&mut left, &mut right] {
        side.until(SOON, "a picture", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;
    }

    left.call.next();
    assert_eq!(
        right.ended(SOON).await,
        EndCode::PartnerLeft,
        "the one who was left"
    );

    left.until(SOON, "searching again", |kind| {
        *kind == CallEventKind::Searching
    })
    .await;
    let mut third = Side::start(&relay, &room);

    for side in [&mut left, &mut third] {
        side.until(SOON, "a picture", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;
    }

    left.call.hang_up().await;
    assert_eq!(third.ended(SOON).await, EndCode::PartnerLeft);
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_may_die_in_a_call() {
    let relay = relay().await;
    let room = room();
    let (mut left, mut right) = (Side::start(&relay, &room), Side::start(&relay, &room));

    for side in [&mut left, &mut right] {
        side.until(SOON, "a picture", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;
    }

    relay.kill().await;
    for side in [&mut left, &mut right] {
        side.until(SOON, "signaling lost", |kind| {
            *kind == CallEventKind::SignalingLost
        })
        .await;
        let seen = side.count();
        side.pictures(SOON, seen + 60).await;
    }

    left.call.hang_up().await;
    let begin = Instant::now();
    assert_eq!(
        right.ended(SOON).await,
        EndCode::PartnerVanished,
        "without a relay silence is all there is"
    );

    assert!(
        begin.elapsed() < Duration::from_secs(7),
        "noticed after {:?}",
        begin.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_who_vanishes_without_a_word_is_noticed() {
    let relay = relay().await;
    let room = room();
    let mut left = Side::start(&relay, &room);
    // A runtime of its own, whose threads stop as if the process had been killed.
    let doomed = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();

    let right = {
        let _guard = doomed.enter();
        Side::start(&relay, &room)
    };

    left.until(SOON, "a picture", |kind| {
        *kind == CallEventKind::FirstRemoteFrame
    })
    .await;
    doomed.shutdown_background();
    let begin = Instant::now();

    assert_eq!(left.ended(SOON).await, EndCode::PartnerVanished);
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "noticed after {:?}",
        begin.elapsed()
    );

    drop(right);
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there() {
    let relay = relay().await;
    let mut options = support::options(&relay.url(), &room());
    options.patience.partner = Some(Duration::from_millis(300));
    let mut side = Side::with(options);

    assert_eq!(side.ended(SOON).await, EndCode::NoPartner);
    side.call.finished().await;
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_relay_there() {
    let mut options = support::options("ws://127.0.0.1:1/ws", "x");
    options.patience.relay = Duration::from_millis(500);
    let mut side = Side::with(options);

    assert_eq!(side.ended(SOON).await, EndCode::RelayUnreachable);
    let mut nonsense = Side::with(support::options("not a url", "x"));
    assert_eq!(nonsense.ended(SOON).await, EndCode::RelayUnreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_muted_partner_without_camera_is_still_there() {
    let relay = relay().await;
    let room = room();
    let (mut left, mut right) = (Side::start(&relay, &room), Side::start(&relay, &room));

    for side in [&mut left, &mut right] {
        side.until(SOON, "a picture", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;
    }

    right.call.set_camera(false);
    right.call.set_muted(true);
    let silent = tokio::time::timeout(Duration::from_secs(8), left.ended(SOON)).await;

    assert!(
        silent.is_err(),
        "RTCP still flows, so the call goes on: {silent:?}"
    );

    right.call.set_camera(true);
    let seen = left.count();
    left.pictures(SOON, seen + 10).await;
    right.call.hang_up().await;
    relay.shutdown().await;
}

#[cfg(feature = "vp8")]
#[tokio::test(flavor = "multi_thread")]
async fn either_side_may_prefer_vp8() {
    for (first, second) in [
        (VideoCodec::Vp8, VideoCodec::Vp8),
        (VideoCodec::H264, VideoCodec::Vp8),
    ] {
        let relay = relay().await;
        let room = room();
        let mut sides: Vec<Side> = [first, second]
            .into_iter()
            .map(|codec| {
                let mut options = support::options(&relay.url(), &room);
                options.codec = codec;
                Side::with(options)
            })
            .collect();
        for side in &mut sides {
            side.until(SOON, "a picture", |kind| {
                *kind == CallEventKind::FirstRemoteFrame
            })
            .await;
        }
        let codecs = [
            sides[0].call.stats().await.video_codec,
            sides[1].call.stats().await.video_codec,
        ];
        assert_eq!(codecs[0], codecs[1], "one codec for both directions");
        if first == second {
            assert_eq!(codecs[0], Some("VP8"), "what both prefer is taken");
        }
        for side in &sides {
            side.call.hang_up().await;
        }
        relay.shutdown().await;
    }
}

/// What a state event says.
fn state(kind: &CallEventKind) -> Option<(bool, bool)> {
    match kind {
        CallEventKind::PartnerState { muted, camera_on } => Some((*muted, *camera_on)),
        _ => None,
    }
}

/// What one side does, and what the other learns: whether it is muted, whether its camera is on.
type Step = (fn(&Side), (bool, bool));

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_learn_what_the_others_microphone_and_camera_do() {
    let relay = relay().await;
    let room = room();
    let (left, right) = (Side::start(&relay, &room), Side::start(&relay, &room));
    let mut sides = [left, right];

    for side in &mut sides {
        side.until(SOON, "a picture", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;
    }

    // Whoever offered: both directions.
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
                .until(SOON, "the state", |kind| state(kind).is_some())
                .await;
            assert_eq!(state(&event.kind), Some(expected), "(muted, camera on)");
        }
    }

    sides[0].call.hang_up().await;
    assert_eq!(sides[1].ended(SOON).await, EndCode::PartnerLeft);
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_who_joins_without_microphone_or_camera_says_so() {
    let relay = relay().await;
    let room = room();
    let mut left = Side::start(&relay, &room);
    let mut options = support::options(&relay.url(), &room);
    options.video = tandem_media::video::VideoSpec::None;
    options.audio.source = tandem_media::audio::AudioSource::None;
    let right = Side::with(options);
    let event = left
        .until(SOON, "the state", |kind| state(kind).is_some())
        .await;

    assert_eq!(
        state(&event.kind),
        Some((true, false)),
        "told as soon as the channel is open"
    );

    right.call.hang_up().await;
    relay.shutdown().await;
}

/// Waits until the newest picture that `side` received has this width.
async fn width(side: &Side, wanted: u32) {
    let deadline = Instant::now() + SOON;
    loop {
        let width = side
            .call
            .stats()
            .await
            .video_received
            .map_or(0, |received| received.width);
        if width == wanted {
            return;
        }

        assert!(
            Instant::now() < deadline,
            "pictures of {width} pixels, not {wanted}"
        );

        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_and_microphone_may_be_changed_in_a_call() {
    use tandem_media::audio::{AudioSink, AudioSource, Processing};
    use tandem_media::error::{MediaErrorCode, MediaEvent, MediaPart};
    use tandem_media::video::VideoSpec;
    let relay = relay().await;
    let room = room();
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("grey.y4m");
    let mut y4m = b"YUV4MPEG2 W160 H120 F25:1 Ip A1:1 C420jpeg\n".to_vec();

    for _ in 0..3 {
        y4m.extend(b"FRAME\n");
        y4m.extend(std::iter::repeat_n(0x80, 160 * 120 * 3 / 2));
    }

    std::fs::write(&clip, y4m).unwrap();

    let mut left = Side::start(&relay, &room);
    // Joins to watch and listen at first.
    let mut options = support::options(&relay.url(), &room);
    (options.video, options.audio.source) = (VideoSpec::None, AudioSource::None);
    (options.negotiate_video, options.negotiate_audio) = (true, true);
    let mut right = Side::with(options);
    right
        .until(SOON, "a picture", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;
    left.until(SOON, "the state", |kind| state(kind) == Some((true, false)))
        .await;

    assert!(
        left.call.stats().await.video_received.is_none(),
        "nothing comes and nothing is promised"
    );

    right.call.set_video(VideoSpec::Test);
    right.call.set_audio_source(AudioSource::Test);
    left.until_all(
        SOON,
        &[
            CallEventKind::FirstRemoteFrame,
            CallEventKind::FirstRemoteAudio,
        ],
    )
    .await;
    width(&left, 320).await;
    right.call.set_video(VideoSpec::File(clip));
    width(&left, 160).await;

    let failure = |kind: &CallEventKind| match kind {
        CallEventKind::Media(MediaEvent::Failed { part, error }) => Some((*part, error.code)),
        _ => None,
    };

    right
        .call
        .set_video(VideoSpec::File("/no/such/clip.y4m".into()));
    let event = right
        .until(SOON, "a failure", |kind| failure(kind).is_some())
        .await;
    assert_eq!(
        failure(&event.kind),
        Some((MediaPart::Camera, MediaErrorCode::FileUnreadable))
    );

    left.until(SOON, "camera off", |kind| {
        state(kind) == Some((false, false))
    })
    .await;
    right
        .call
        .set_audio_source(AudioSource::Microphone(Some("no such microphone".into())));
    let event = right
        .until(SOON, "a failure", |kind| failure(kind).is_some())
        .await;

    assert_eq!(
        failure(&event.kind),
        Some((MediaPart::Microphone, MediaErrorCode::MicNotFound))
    );

    right
        .call
        .set_audio_sink(AudioSink::Named("no such speaker".into()));
    let event = right
        .until(SOON, "a failure", |kind| failure(kind).is_some())
        .await;
    assert_eq!(
        failure(&event.kind),
        Some((MediaPart::Speaker, MediaErrorCode::SpeakerNotFound))
    );

    right.call.set_processing(Processing::OFF);

    // And the call goes on.
    right.call.set_video(VideoSpec::Test);
    right.call.set_audio_source(AudioSource::Test);
    let seen = left.count();
    left.pictures(SOON, seen + 10).await;
    left.until(SOON, "both on", |kind| state(kind) == Some((false, true)))
        .await;
    right.call.hang_up().await;
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_takes_over_the_camera_of_the_preview() {
    use std::sync::Arc;

    use tandem_media::video::SharedVideo;
    let relay = relay().await;
    let room = room();
    let mut options = support::options(&relay.url(), &room);
    let shared = SharedVideo::new();
    let preview = {
        let events = Arc::new(|event| panic!("nothing fails here: {event:?}"));
        shared
            .turn()
            .open(&options.video, options.video_format, events)
            .unwrap()
            .expect("open")
    };

    options.shared_video = shared.clone();
    let (left, mut right) = (Side::with(options), Side::start(&relay, &room));
    right
        .until(SOON, "a picture", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;

    assert!(
        !preview.frames.is_closed(),
        "the preview's source was never closed"
    );

    left.call.hang_up().await;
    assert!(preview.frames.is_closed(), "the call's end releases it");
    relay.shutdown().await;
}
