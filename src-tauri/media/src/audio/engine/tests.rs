//! Engines that send to each other, without devices.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::audio::config::{AudioSink, AudioSource};
use crate::error::{MediaErrorCode, MediaPart};

/// Long enough for a busy machine. A passing test does not wait for it.
const TIMEOUT: Duration = Duration::from_secs(60);

fn no_failures() -> MediaEvents {
    Arc::new(|event| panic!("nothing fails here: {event:?}"))
}

/// A sink that numbers packets and sends them to a channel.
fn to_channel() -> (OutgoingAudioSink, Receiver<(u16, u32, Vec<u8>)>) {
    let (sender, packets) = channel();
    let mut sequence = 65_530u16;
    let sink = Box::new(move |sent: OutgoingAudio<'_>| {
        let _ = sender.send((sequence, sent.rtp_timestamp, sent.payload.to_vec()));
        sequence = sequence.wrapping_add(1);
    });

    (sink, packets)
}

/// Delivers packets from `packets` to `engine` until `done` accepts its statistics.
fn deliver(
    engine: &AudioEngine,
    packets: &Receiver<(u16, u32, Vec<u8>)>,
    done: impl Fn(&AudioStats) -> bool,
) -> AudioStats {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let (sequence, timestamp, payload) = packets
            .recv_timeout(TIMEOUT)
            .expect("the sender keeps sending");
        engine.receive(Instant::now(), sequence, timestamp, payload);

        let stats = engine.stats();
        if done(&stats) {
            return stats;
        }

        assert!(
            Instant::now() < deadline,
            "the statistics never satisfied the test: {stats:?}"
        );
    }
}

#[test]
fn the_delay_of_a_test_signal_between_two_engines_is_measured() {
    let (sink, packets) = to_channel();
    let sender = AudioEngine::start(
        AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        sink,
        no_failures(),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard.wav");
    let listening = AudioConfig {
        measure: true,
        record: Some(path.clone()),
        ..AudioConfig::default()
    };

    let receiver = AudioEngine::start(
        listening,
        Box::new(|_| panic!("an engine without a source sends nothing")),
        no_failures(),
    );
    assert_eq!(receiver.playout_point(), None, "nothing has been heard yet");

    let stats = deliver(&receiver, &packets, |stats| {
        stats
            .mouth_to_ear_ms
            .is_some_and(|delays| delays.count >= 4)
    });

    let delays = stats.mouth_to_ear_ms.expect("the loop above waits for it");
    println!("mouth to ear: p50 {} ms, p95 {} ms", delays.p50, delays.p95);
    // 20 ms of packet and 6.5 ms of Opus are the minimum; the upper bound only catches nonsense.
    assert!(
        (26.0..500.0).contains(&delays.p50),
        "the delay is that of a real path: {delays:?}"
    );
    assert!(stats.first_audio_at.is_some(), "audio was heard");
    assert!(
        stats.output_level_dbfs > -60.0,
        "the test signal's tone never stops: {}",
        stats.output_level_dbfs
    );
    assert!(
        receiver.playout_point().is_some(),
        "video can follow the playout point"
    );
    assert_eq!(
        stats.inbox_overflows, 0,
        "every packet fitted into the inbox"
    );
    assert!(
        sender.stats().sent_packets >= stats.jitter.packets,
        "no more was received than was sent"
    );

    drop(receiver);
    let recorded = hound::WavReader::open(&path).unwrap();
    assert!(
        recorded.duration() > 48_000,
        "at least a second was recorded: {} samples",
        recorded.duration()
    );
}

#[test]
fn a_muted_engine_sends_silence() {
    let (sink, packets) = to_channel();
    let sender = AudioEngine::start(
        AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        sink,
        no_failures(),
    );
    let receiver = AudioEngine::start(AudioConfig::default(), Box::new(|_| {}), no_failures());
    deliver(&receiver, &packets, |stats| stats.output_level_dbfs > -60.0);
    sender.set_muted(true);

    let deadline = Instant::now() + TIMEOUT;
    while receiver.stats().output_level_dbfs > -70.0 {
        assert!(Instant::now() < deadline, "a muted sender falls silent");

        // With discontinuous transmission there may be nothing to deliver for 400 ms.
        if let Ok((sequence, timestamp, payload)) = packets.recv_timeout(Duration::from_millis(20))
        {
            receiver.receive(Instant::now(), sequence, timestamp, payload);
        }
    }

    sender.set_muted(false);
    deliver(&receiver, &packets, |stats| stats.output_level_dbfs > -60.0);
}

#[test]
fn a_part_that_cannot_open_is_reported_and_the_rest_works() {
    let (events, failures) = channel();
    let events: MediaEvents = Arc::new(move |event| events.send(event).unwrap());
    let config = AudioConfig {
        source: AudioSource::File("/no/such/voice.wav".into()),
        sink: AudioSink::None,
        record: Some("/no/such/folder/heard.wav".into()),
        ..AudioConfig::default()
    };

    let engine = AudioEngine::start(config, Box::new(|_| {}), events);
    let mut reported = Vec::new();

    for _ in 0..2 {
        let (part, error) = failures
            .recv_timeout(TIMEOUT)
            .expect("both failures are reported")
            .into_failure()
            .expect("a failure");
        reported.push((part, error.code));
    }

    assert_eq!(
        reported,
        [
            (MediaPart::Microphone, MediaErrorCode::FileUnreadable),
            (MediaPart::Recording, MediaErrorCode::FileUnwritable)
        ],
        "each part names its own error"
    );

    let (sink, packets) = to_channel();
    let _sender = AudioEngine::start(
        AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        sink,
        no_failures(),
    );
    deliver(&engine, &packets, |stats| stats.output_level_dbfs > -60.0);

    assert!(failures.try_recv().is_err(), "nothing else failed");
}

#[test]
fn a_dropped_engine_sends_no_more_packets() {
    let (sink, packets) = to_channel();
    let engine = AudioEngine::start(
        AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        sink,
        no_failures(),
    );
    packets.recv_timeout(TIMEOUT).expect("the engine sends");
    drop(engine);
    packets.try_iter().for_each(drop);

    assert!(
        packets.recv().is_err(),
        "the sink is dropped with the engine"
    );
}

/// Delivers `packets` to `receiver` until it plays something (`loud`) or falls silent (not `loud`).
fn deliver_until_level(
    receiver: &AudioEngine,
    packets: &Receiver<(u16, u32, Vec<u8>)>,
    loud: bool,
) {
    let deadline = Instant::now() + TIMEOUT;
    while (receiver.stats().output_level_dbfs > -60.0) != loud {
        assert!(
            Instant::now() < deadline,
            "the receiver never became {}",
            if loud { "loud" } else { "silent" }
        );

        // A sender that stopped sending delivers nothing.
        if let Ok((sequence, timestamp, payload)) = packets.recv_timeout(Duration::from_millis(20))
        {
            receiver.receive(Instant::now(), sequence, timestamp, payload);
        }
    }
}

#[test]
fn the_source_can_change_while_the_engine_runs() {
    let (sink, packets) = to_channel();
    // The engine starts without a source: its encoder comes with the first one.
    let sender = AudioEngine::start(AudioConfig::default(), sink, no_failures());
    let receiver = AudioEngine::start(AudioConfig::default(), Box::new(|_| {}), no_failures());
    sender.set_source(AudioSource::Test);
    deliver_until_level(&receiver, &packets, true);
    sender.set_source(AudioSource::None);
    deliver_until_level(&receiver, &packets, false);
    packets.try_iter().for_each(drop);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tone.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };

    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    for n in 0..48_000 {
        wav.write_sample(((n as f32 / 20.0).sin() * 12_000.0) as i16)
            .unwrap();
    }

    wav.finalize().unwrap();
    sender.set_source(AudioSource::File(path));
    deliver_until_level(&receiver, &packets, true);
    let first = packets
        .recv_timeout(TIMEOUT)
        .expect("the sender keeps sending");
    sender.set_source(AudioSource::Test);
    let mut stamps = vec![first.1];
    stamps.extend(packets.iter().take(20).map(|packet| packet.1));
    let even = stamps
        .windows(2)
        .all(|pair| pair[1].wrapping_sub(pair[0]) == 960);

    assert!(even, "a switch leaves no gap in the timestamps: {stamps:?}");
}

#[test]
fn a_failed_change_is_reported_and_the_next_one_works() {
    let (events, failures) = channel();
    let events: MediaEvents = Arc::new(move |event| events.send(event).unwrap());
    let (sink, packets) = to_channel();
    let engine = AudioEngine::start(
        AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        sink,
        events,
    );
    engine.set_source(AudioSource::File("/no/such/voice.wav".into()));
    let failed = || {
        let (part, error) = failures
            .recv_timeout(TIMEOUT)
            .expect("the failure is reported")
            .into_failure()
            .expect("a failure");
        (part, error.code)
    };

    assert_eq!(
        failed(),
        (MediaPart::Microphone, MediaErrorCode::FileUnreadable)
    );
    engine.set_source(AudioSource::Microphone(Some("no such microphone".into())));
    assert_eq!(
        failed(),
        (MediaPart::Microphone, MediaErrorCode::MicNotFound)
    );
    engine.set_sink(AudioSink::Named("no such speaker".into()));

    assert_eq!(
        failed(),
        (MediaPart::Speaker, MediaErrorCode::SpeakerNotFound)
    );
    packets.try_iter().for_each(drop);
    engine.set_source(AudioSource::Test);
    packets
        .recv_timeout(TIMEOUT)
        .expect("the engine sends again");

    assert!(failures.try_recv().is_err(), "nothing else failed");
}

#[test]
fn the_next_partner_starts_with_an_empty_jitter_buffer_and_fresh_figures() {
    let speaker = || {
        let (sink, packets) = to_channel();
        let config = AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        };
        (AudioEngine::start(config, sink, no_failures()), packets)
    };
    let listener = AudioEngine::start(
        AudioConfig::default(),
        Box::new(|_| panic!("an engine without a source sends nothing")),
        no_failures(),
    );

    let (first, packets) = speaker();
    deliver(&listener, &packets, |stats| {
        stats.first_audio_at.is_some() && stats.jitter.packets >= 20
    });
    listener.set_minimum_delay(Duration::from_millis(300));
    listener.next_partner();
    drop(first);

    let forgotten = listener.stats();
    assert_eq!(
        (forgotten.jitter.packets, forgotten.first_audio_at),
        (0, None),
        "nothing of the first partner is left"
    );
    assert_eq!(listener.playout_point(), None, "nor where its audio was");

    // Its numbers have nothing to do with those of the first.
    let (_second, packets) = speaker();
    let heard = deliver(&listener, &packets, |stats| stats.jitter.packets >= 50);
    assert!(heard.first_audio_at.is_some(), "the second one is heard");
    assert_eq!(
        (heard.jitter.lost, heard.jitter.late),
        (0, 0),
        "no gap to the first one's numbers: {:?}",
        heard.jitter
    );
}
