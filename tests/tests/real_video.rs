//! A clip with real motion sent through a whole call: encoder, network, decoder, recorder.

#![cfg(unix)]

use std::time::Duration;

use tandem_tests::{Part, ServerProcess, Tandem, clip, require, signal, y4m};

/// Frames of the clip, which is sent in a loop: 6 s.
const FRAMES: u32 = 150;

/// The index of the frame of `source` that is most similar to `frame`, and their PSNR in dB.
///
/// Looks near `expected` first: a decoded frame is hardly ever more similar to another frame than
/// to its own.
fn origin(source: &y4m::Video, frame: &[u8], expected: usize) -> (usize, f64) {
    let count = source.frames.len();
    let compare = |index: usize| (index, signal::psnr(source.luma(index), frame));
    let best = |candidates: &mut dyn Iterator<Item = usize>| {
        candidates
            .map(compare)
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .expect("the clip has frames")
    };

    let near = best(&mut (0..8).map(|step| (expected + step + count - 2) % count));
    if near.1 >= 30.0 {
        near
    } else {
        best(&mut (0..count))
    }
}

#[test]
fn a_clip_arrives_complete_in_order_and_sharp() {
    require!(Part::Ffmpeg, Part::Clip("bikes.mp4"));
    let folder = tempfile::tempdir().expect("a folder");
    let (sent, received) = (
        folder.path().join("sent.y4m"),
        folder.path().join("received.y4m"),
    );
    clip::y4m("bikes.mp4", &sent, (640, 272), 25, FRAMES).expect("ffmpeg converts the clip");
    let [from, to] = [&sent, &received].map(|path| path.to_string_lossy().into_owned());

    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let common = [
        "--signaling",
        &url,
        "--room",
        "clip",
        "--audio",
        "none",
        "--speaker",
        "none",
        "--duration",
        "10s",
    ];
    let sends = ["--video", &from, "--max-bitrate", "1.5M"];
    let records = ["--video", "none", "--record-video", &to];
    let sender = Tandem::start([&common[..], &sends].concat()).expect("the sender starts");
    let recorder = Tandem::start([&common[..], &records].concat()).expect("the recorder starts");
    let limit = Duration::from_secs(60);
    let (sender, recorder) = (
        sender.finish(limit).expect("it ends"),
        recorder.finish(limit).expect("it ends"),
    );
    sender.assert_ok("the sender");
    recorder.assert_ok("the recorder");

    assert_eq!(
        recorder.figure("/video/received/lost"),
        0.0,
        "paced packets are not lost on loopback"
    );

    let source = y4m::Video::read(&sent).expect("the clip");
    let video = y4m::Video::read(&received).expect("the recording");
    assert_eq!(
        (video.width, video.height),
        (source.width, source.height),
        "the size stays the same"
    );

    let mut origins = Vec::new();
    let mut quality = Vec::new();

    for index in 0..video.frames.len() {
        let expected = origins.last().map_or(0, |last| last + 1);
        let (origin, psnr) = origin(&source, video.luma(index), expected);
        origins.push(origin);
        quality.push(psnr);
    }

    let count = source.frames.len();
    let steps: Vec<usize> = origins
        .windows(2)
        .map(|pair| (pair[1] + count - pair[0]) % count)
        .collect();
    assert!(!steps.contains(&0), "no frame arrives twice: {origins:?}");
    assert!(
        steps.iter().all(|step| *step < count / 2),
        "no frame arrives after a newer one: {origins:?}"
    );

    assert!(
        video.frames.len() >= 200,
        "most of 10 s at 25 frames/s, not {}",
        video.frames.len()
    );

    // After a second the bitrate has settled.
    let settled = &quality[25.min(quality.len())..];
    let mean = settled.iter().sum::<f64>() / settled.len() as f64;
    println!(
        "PSNR-Y {mean:.1} dB, worst {:.1}",
        settled.iter().copied().fold(f64::MAX, f64::min)
    );

    assert!(
        mean >= 34.0,
        "sharp at 1.5 Mbit/s: PSNR-Y {mean:.1} dB; each: {quality:.1?}"
    );

    let spent = sender.figure("/video/sent/bytes") * 8.0 / 10.0;
    assert!(
        spent < 1.5e6 * 1.15,
        "within the maximum bitrate: {spent:.0} bit/s"
    );
}
