//! Engines that talk to each other, without devices.

use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::audio::config::{AudioSink, AudioSource};
use crate::error::{MediaEvent, MediaPart};

/// Long enough for a machine that does much else; nothing waits for it in vain.
const DEADLINE: Duration = Duration::from_secs(60);

fn quiet() -> MediaEvents {
    Arc::new(|event| panic!("nothing fails here: {event:?}"))
}

/// A sink that numbers packets and passes them on.
fn to_channel() -> (OutgoingAudioSink, Receiver<(u16, u32, Vec<u8>)>) {
    let (sender, packets) = channel();
    let mut sequence = 65_530u16;
    let sink = Box::new(move |sent: OutgoingAudio<'_>| {
        let _ = sender.send((sequence, sent.rtp_timestamp, sent.payload.to_vec()));
        sequence = sequence.wrapping_add(1);
    });

    (sink, packets)
}

/// Hands every packet of `packets` to `engine` until `done` says that it is enough.
fn deliver(
    engine: &AudioEngine,
    packets: &Receiver<(u16, u32, Vec<u8>)>,
    done: impl Fn(&AudioStats) -> bool,
) -> AudioStats {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (sequence, timestamp, payload) = packets
            .recv_timeout(DEADLINE)
            .expect("the sender goes on sending");
        engine.receive(Instant::now(), sequence, timestamp, payload);
        let stats = engine.stats();

        if done(&stats) {
            return stats;
        }

        assert!(Instant::now() < deadline, "it takes too long: {stats:?}");
    }
}

#[test]
fn the_test_signal_goes_from_one_engine_to_another_and_tells_its_delay() {
    let (sink, packets) = to_channel();
    let sender = AudioEngine::start(
        AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        sink,
        quiet(),
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
        Box::new(|_| panic!("a listener sends nothing")),
        quiet(),
    );
    assert_eq!(receiver.playout_point(), None, "nothing is heard yet");

    let stats = deliver(&receiver, &packets, |stats| {
        stats
            .mouth_to_ear_ms
            .is_some_and(|delays| delays.count >= 4)
    });

    let delays = stats.mouth_to_ear_ms.expect("it was waited for");
    println!("mouth to ear: p50 {} ms, p95 {} ms", delays.p50, delays.p95);
    // 20 ms of packet and 6.5 ms of Opus cannot be undercut; the upper bound is only there to catch nonsense.
    assert!(
        (26.0..500.0).contains(&delays.p50),
        "the delay is that of a real path: {delays:?}"
    );
    assert!(stats.first_audio_at.is_some(), "sound was heard");
    assert!(
        stats.output_level_dbfs > -60.0,
        "the signal's tone never stops: {}",
        stats.output_level_dbfs
    );
    assert!(receiver.playout_point().is_some(), "lips can follow");
    assert_eq!(stats.inbox_overflows, 0, "every packet fitted in");
    assert!(
        sender.stats().sent_packets >= stats.jitter.packets,
        "nothing was received that was not sent"
    );

    drop(receiver);
    let recorded = hound::WavReader::open(&path).unwrap();
    assert!(
        recorded.duration() > 48_000,
        "two seconds and more were recorded: {} samples",
        recorded.duration()
    );
}

#[test]
fn muting_silences_what_is_sent() {
    let (sink, packets) = to_channel();
    let sender = AudioEngine::start(
        AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        sink,
        quiet(),
    );
    let receiver = AudioEngine::start(AudioConfig::default(), Box::new(|_| {}), quiet());
    deliver(&receiver, &packets, |stats| stats.output_level_dbfs > -60.0);
    sender.set_muted(true);
    let deadline = Instant::now() + DEADLINE;

    while receiver.stats().output_level_dbfs > -70.0 {
        assert!(Instant::now() < deadline, "a muted partner falls silent");

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
fn what_cannot_be_opened_is_told_and_the_rest_goes_on() {
    let (events, told) = channel();
    let events: MediaEvents = Arc::new(move |event| events.send(event).unwrap());
    let config = AudioConfig {
        source: AudioSource::File("/no/such/voice.wav".into()),
        sink: AudioSink::None,
        record: Some("/no/such/folder/heard.wav".into()),
        ..AudioConfig::default()
    };

    let engine = AudioEngine::start(config, Box::new(|_| {}), events);
    let mut failures = Vec::new();

    for _ in 0..2 {
        let MediaEvent::Failed { part, error } =
            told.recv_timeout(DEADLINE).expect("both failures are told");
        failures.push((part, error.code));
    }

    assert_eq!(
        failures,
        [
            (MediaPart::Microphone, "FILE_UNREADABLE"),
            (MediaPart::Recording, "FILE_UNWRITABLE")
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
        quiet(),
    );
    deliver(&engine, &packets, |stats| stats.output_level_dbfs > -60.0);

    assert!(told.try_recv().is_err(), "nothing else failed");
}

#[test]
fn dropping_an_engine_stops_its_packets_at_once() {
    let (sink, packets) = to_channel();
    let engine = AudioEngine::start(
        AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        sink,
        quiet(),
    );
    packets.recv_timeout(DEADLINE).expect("it sends");
    drop(engine);
    packets.try_iter().for_each(drop);

    assert!(packets.recv().is_err(), "the sink is gone with the engine");
}

/// Packets of `packets` until one carries sound after silence, or the other way round.
fn level_of(receiver: &AudioEngine, packets: &Receiver<(u16, u32, Vec<u8>)>, loud: bool) {
    let deadline = Instant::now() + DEADLINE;
    while (receiver.stats().output_level_dbfs > -60.0) != loud {
        assert!(
            Instant::now() < deadline,
            "it becomes {}",
            if loud { "loud" } else { "silent" }
        );

        // What stopped sending has nothing to deliver.
        if let Ok((sequence, timestamp, payload)) = packets.recv_timeout(Duration::from_millis(20))
        {
            receiver.receive(Instant::now(), sequence, timestamp, payload);
        }
    }
}

#[test]
fn a_source_may_change_while_the_engine_runs() {
    let (sink, packets) = to_channel();
    // Nothing at first: the encoder comes with the first source.
    let sender = AudioEngine::start(AudioConfig::default(), sink, quiet());
    let receiver = AudioEngine::start(AudioConfig::default(), Box::new(|_| {}), quiet());
    sender.set_source(AudioSource::Test);
    level_of(&receiver, &packets, true);
    sender.set_source(AudioSource::None);
    level_of(&receiver, &packets, false);
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
    level_of(&receiver, &packets, true);
    let first = packets.recv_timeout(DEADLINE).expect("it goes on");
    sender.set_source(AudioSource::Test);
    let mut stamps = vec![first.1];
    stamps.extend(packets.iter().take(20).map(|packet| packet.1));
    let even = stamps
        .windows(2)
        .all(|pair| pair[1].wrapping_sub(pair[0]) == 960);

    assert!(even, "a switch leaves no hole in the stream: {stamps:?}");
}

#[test]
fn a_change_that_fails_is_told_and_another_may_follow() {
    let (events, told) = channel();
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
        let MediaEvent::Failed { part, error } = told.recv_timeout(DEADLINE).expect("it is told");
        (part, error.code)
    };

    assert_eq!(failed(), (MediaPart::Microphone, "FILE_UNREADABLE"));
    engine.set_source(AudioSource::Microphone(Some("no such microphone".into())));
    assert_eq!(failed(), (MediaPart::Microphone, "MIC_NOT_FOUND"));
    engine.set_sink(AudioSink::Named("no such speaker".into()));

    assert_eq!(failed(), (MediaPart::Speaker, "SPEAKER_NOT_FOUND"));
    packets.try_iter().for_each(drop);
    engine.set_source(AudioSource::Test);
    packets
        .recv_timeout(DEADLINE)
        .expect("the engine sends again");

    assert!(told.try_recv().is_err(), "and nothing else failed");
}
