//! A partner that connects like others and then misuses the connection: the call goes on as if nothing
//! were, or ends with a code.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::media_stream::MediaStreamTrack;
use rtc::rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RunLengthChunk, StatusChunkTypeTcc, SymbolTypeTcc, TransportLayerCc,
};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use tandem_call::EndCode;
use tandem_media::codec::VideoCodec;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use webrtc::data_channel::DataChannelEvent;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use support::hostile_call::{InCall, Stream, TIMEOUT, VP8, in_call, rtcp};

/// Memory and threads are those of the process, so only one test at a time may use them.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// How many decode threads this process has. The hostile side has none.
fn decode_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "video-decode").count()
}

/// The memory of this process, bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number") * 4_096
}

/// Another video track for the hostile side.
fn another_track(ssrc: u32) -> Arc<dyn TrackLocal> {
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            ..RTCRtpCodingParameters::default()
        },
        codec: RTCRtpCodec {
            mime_type: "video/H264".into(),
            clock_rate: 90_000,
            sdp_fmtp_line: "packetization-mode=1;profile-level-id=42e01f".into(),
            ..RTCRtpCodec::default()
        },
        ..RTCRtpEncodingParameters::default()
    };
    let kind = RtpCodecKind::Video;
    let id = format!("track-{ssrc}");
    let track = MediaStreamTrack::new("hostile".into(), id.clone(), id, kind, vec![encoding]);
    Arc::new(TrackLocalStaticRTP::new(track))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_opens_channel_after_channel_is_left() {
    let _alone = alone().await;
    let mut call = in_call().await;
    let connection = Arc::clone(call.hostile.connection());
    // One after the other: of many that were made before SCTP was up, sometimes none opens.
    let open_without_end = async move {
        let mut channels = Vec::new();
        for number in 0_u32.. {
            let label = format!("channel {number}");
            let Ok(channel) = connection.create_data_channel(&label, None).await else {
                break;
            };

            let opened = async {
                while !matches!(channel.poll().await, None | Some(DataChannelEvent::OnOpen)) {}
            };
            let _ = timeout(Duration::from_secs(1), opened).await;
            channels.push(channel);
        }

        std::future::pending::<()>().await;
    };

    let code = tokio::select! {
        code = call.honest.ended(TIMEOUT) => code,
        () = open_without_end => unreachable!("it waits"),
    };
    assert_eq!(code, EndCode::PartnerMisbehaved);
    call.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_sends_message_after_message_is_left() {
    let _alone = alone().await;
    let mut call = in_call().await;
    let channel = call.state_channel().await;
    let before = resident();
    let send = async {
        let message = r#"{"type":"state","muted":true,"camera":true}"#;
        while channel.send_text(message).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }

        std::future::pending::<()>().await;
    };

    let code = tokio::select! {
        code = call.honest.ended(TIMEOUT) => code,
        () = send => unreachable!("it waits"),
    };
    assert_eq!(code, EndCode::PartnerMisbehaved);
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    call.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn further_video_streams_are_ignored_and_the_first_is_undisturbed() {
    let _alone = alone().await;
    let mut call = in_call().await;
    let (first, ssrc) = call.video().await;
    let mut stream = Stream::new(VideoCodec::H264, ssrc, 0);
    tokio::select! {
        () = call.honest.first_frame(TIMEOUT) => {}
        () = stream.play(&*first) => panic!("no frame in ten seconds"),
    }
    let before = call.honest.frame_count();

    // With audio, video and data, as many sections as a description may have.
    let mut others = Vec::new();
    for number in 0..13 {
        let track = another_track(1_000 + number);
        let added = call
            .hostile
            .connection()
            .add_track(Arc::clone(&track))
            .await;
        added.expect("another track");
        others.push((Stream::new(VideoCodec::H264, 1_000 + number, 1_000), track));
    }
    call.renegotiate().await;

    for round in 0..60 {
        for packet in stream.frame(false) {
            first.write_rtp(packet).await.expect("connected");
        }

        for (stream, track) in &mut others {
            for packet in stream.frame(round % 10 == 0) {
                track.write_rtp(packet).await.expect("connected");
            }
        }

        tokio::time::sleep(Duration::from_millis(33)).await;
    }

    call.honest.wait_for_frames(TIMEOUT, before + 50).await;
    let numbers = call.honest.frame_numbers();
    assert!(
        numbers.iter().all(|number| *number < 1_000),
        "only frames of the first stream are decoded: {numbers:?}"
    );
    assert_eq!(decode_threads(), 1, "of 14 streams, one is decoded");
    call.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_the_honest_sides_own_ssrc_disturbs_nothing() {
    let _alone = alone().await;
    let mut call = in_call().await;
    let theirs = call.remote_video().await.ssrcs().await[0];
    let (first, ssrc) = call.video().await;
    let track = another_track(theirs);
    let added = call
        .hostile
        .connection()
        .add_track(Arc::clone(&track))
        .await;
    added.expect("another track");
    call.renegotiate().await;
    // The answer names the honest side's stream in its own words, so it is another track.
    let received = call.remote_video().await;

    let mut stream = Stream::new(VideoCodec::H264, ssrc, 0);
    let mut collision = Stream::new(VideoCodec::H264, theirs, 1_000);
    let play = async { tokio::join!(stream.play(&*first), collision.play(&*track)) };
    let watch = async {
        let mut packets = 0;
        while packets < 100 {
            if let Some(TrackRemoteEvent::OnRtpPacket(_)) = received.poll().await {
                packets += 1;
            }
        }

        call.honest.wait_for_frames(TIMEOUT, 60).await;
    };
    tokio::select! {
        watched = timeout(TIMEOUT, watch) => watched.expect("both sides go on to send and receive"),
        _ = play => panic!("ten seconds are enough"),
    }

    call.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_alternates_between_formats_is_shown_when_it_stops() {
    let _alone = alone().await;
    let call = in_call().await;
    let (track, ssrc) = call.video().await;
    let mut stream = Stream::new(VideoCodec::H264, ssrc, 0);

    for number in 0..3_000_u32 {
        let mut packet = match number % 3 {
            0 => stream.packet(number, false, vec![0x67, 0x42, 0xe0, 52, 0xff]),
            1 => stream.packet(number, true, vec![0x65, 0x88, 0x80]),
            _ => stream.packet(number, false, vec![0x10, 0x10, 0, 0]),
        };
        if number % 3 == 2 {
            packet.header.payload_type = VP8;
        }

        track.write_rtp(packet).await.expect("connected");
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    tokio::select! {
        () = call.honest.wait_for_frames(TIMEOUT, 30) => {}
        () = stream.play(&*track) => panic!("no frame in ten seconds"),
    }
    assert_eq!(decode_threads(), 1);
    call.close().await;
}

/// Sends what `messages` makes every two milliseconds until the call ends or `within` has passed.
async fn flood(
    call: &mut InCall,
    to: &dyn TrackRemote,
    within: Duration,
    messages: impl Fn() -> Vec<Box<dyn rtc::rtcp::Packet>>,
) -> Option<EndCode> {
    let send = async {
        loop {
            if to.write_rtcp(messages()).await.is_err() {
                std::future::pending::<()>().await;
            }

            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };

    tokio::select! {
        code = call.honest.ended(within + TIMEOUT) => Some(code),
        () = send => unreachable!("it waits"),
        () = tokio::time::sleep(within) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keyframes_are_made_a_few_times_a_second_however_often_they_are_requested() {
    let _alone = alone().await;
    let mut call = in_call().await;
    let received = call.remote_video().await;
    let media_ssrc = received.ssrcs().await[0];
    let entry = FirEntry {
        ssrc: media_ssrc,
        sequence_number: 1,
    };
    let requests = || {
        vec![
            // As RFC 3550 §6.1 wants it: a report first.
            rtcp(ReceiverReport::default()),
            rtcp(PictureLossIndication {
                sender_ssrc: 1,
                media_ssrc,
            }),
            rtcp(FullIntraRequest {
                sender_ssrc: 1,
                media_ssrc,
                fir: vec![entry.clone(); 50],
            }),
        ]
    };

    let before = call.honest.call.stats().await.video_sent.expect("video");
    let (started, seconds) = (Instant::now(), Duration::from_secs(4));
    let ended = flood(&mut call, &*received, seconds, requests).await;
    assert_eq!(ended, None, "2,000 requests in 4 s do no harm");

    let after = call.honest.call.stats().await.video_sent.expect("video");
    let (keyframes, frames) = (
        after.keyframes - before.keyframes,
        after.frames - before.frames,
    );
    let most = started.elapsed().as_millis() as u64 / 300 + 1;
    assert!(
        (3..=most).contains(&keyframes) && frames > keyframes,
        "{keyframes} keyframes among {frames} frames in {:?}",
        started.elapsed()
    );
    call.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_about_packets_that_nobody_sent_changes_nothing() {
    let _alone = alone().await;
    let mut call = in_call().await;
    let received = call.remote_video().await;
    let media_ssrc = received.ssrcs().await[0];
    let lies = || {
        let base_sequence_number = rand::random();
        let chunk = PacketStatusChunk::RunLengthChunk(RunLengthChunk {
            type_tcc: StatusChunkTypeTcc::RunLengthChunk,
            packet_status_symbol: SymbolTypeTcc::PacketNotReceived,
            run_length: 4_000,
        });
        vec![rtcp(TransportLayerCc {
            sender_ssrc: 1,
            media_ssrc,
            base_sequence_number,
            packet_status_count: 4_000,
            reference_time: rand::random::<u32>() & 0xff_ffff,
            fb_pkt_count: rand::random(),
            packet_chunks: vec![chunk],
            recv_deltas: Vec::new(),
        })]
    };

    let ended = flood(&mut call, &*received, Duration::from_secs(4), lies).await;
    assert_eq!(ended, None);
    let before = call
        .honest
        .call
        .stats()
        .await
        .video_sent
        .expect("video")
        .frames;
    let ended = flood(&mut call, &*received, Duration::from_secs(2), lies).await;
    assert_eq!(ended, None);
    let after = call
        .honest
        .call
        .stats()
        .await
        .video_sent
        .expect("video")
        .frames;
    assert!(
        after >= before + 10,
        "it goes on to send: {before}, {after}"
    );
    call.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_ends_the_call_and_is_hardly_answered() {
    let _alone = alone().await;
    let mut call = in_call().await;
    let received = call.remote_video().await;
    let media_ssrc = received.ssrcs().await[0];
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = tokio::spawn({
        let (received, count) = (Arc::clone(&received), Arc::clone(&count));
        async move {
            while let Some(event) = received.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    count.fetch_add(packet.payload.len(), std::sync::atomic::Ordering::Relaxed);
                }
            }
        }
    });

    let pairs = |first: u16| {
        (0..60).map(move |n: u16| NackPair {
            packet_id: first.wrapping_add(17 * n),
            lost_packets: u16::MAX,
        })
    };
    let messages = || -> Vec<Box<dyn rtc::rtcp::Packet>> {
        vec![rtcp(TransportLayerNack {
            sender_ssrc: 1,
            media_ssrc,
            nacks: pairs(rand::random()).collect(),
        })]
    };

    let (started, before) = (Instant::now(), resident());
    let flooding = (0..4).map(|_| {
        let received = Arc::clone(&received);
        let messages: Vec<_> = messages();
        tokio::spawn(async move {
            loop {
                let again = messages.iter().map(|message| message.cloned()).collect();
                if received.write_rtcp(again).await.is_err() {
                    return;
                }

                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    });
    let flooding: Vec<_> = flooding.collect();

    let code = call.honest.ended(Duration::from_secs(40)).await;
    assert_eq!(code, EndCode::PartnerMisbehaved);
    let seconds = started.elapsed().as_secs_f64();
    let bps = count.load(std::sync::atomic::Ordering::Relaxed) as f64 * 8.0 / seconds;
    assert!(bps < 4e6, "{bps} bit/s in {seconds} s");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");

    flooding.iter().for_each(tokio::task::JoinHandle::abort);
    counter.abort();
    call.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_who_sends_50_megabits_a_second_is_left() {
    let _alone = alone().await;
    let mut call = in_call().await;
    let (track, ssrc) = call.video().await;
    let mut stream = Stream::new(VideoCodec::H264, ssrc, 0);
    let before = resident();
    let send = async {
        let started = Instant::now();
        for number in 0_u32.. {
            // Behind the schedule, it does not wait.
            let due = started + Duration::from_micros(190) * number;
            tokio::time::sleep_until(due.into()).await;
            let payload = vec![0x41; 1_180];
            let packet = stream.packet(number / 100 * 3_000, number % 100 == 99, payload);
            if track.write_rtp(packet).await.is_err() {
                break;
            }
        }

        std::future::pending::<()>().await;
    };

    let code = tokio::select! {
        code = call.honest.ended(Duration::from_secs(60)) => code,
        () = send => unreachable!("it waits"),
    };
    assert_eq!(code, EndCode::PartnerMisbehaved);
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
    call.close().await;
}
