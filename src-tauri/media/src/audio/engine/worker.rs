//! The audio thread.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::capture::Capture;
use super::sender::Sender;
use super::{Arrival, OutgoingAudioSink, Shared};
use crate::audio::config::{AudioConfig, AudioSink, Processing};
use crate::audio::device::Speaker;
use crate::audio::jitter_buffer::{JitterBuffer, JitterConfig};
use crate::audio::percentile::PercentileWindow;
use crate::audio::processing::VoiceProcessor;
use crate::audio::schedule::{Schedule, Tick, WallClock};
use crate::audio::stats::{SILENCE_DBFS, level_dbfs};
use crate::audio::test_signal::TestSignalReader;
use crate::audio::wav::WavRecorder;
use crate::audio::{BLOCK, priority};
use crate::error::{DeviceError, MediaEvent, MediaEvents, MediaPart};

/// Measurements that the percentiles of the delay are taken from: the newest half hour, at two a second.
const REMEMBERED_DELAYS: usize = 3600;

/// Everything that the audio thread owns.
pub(super) struct Worker {
    shared: Arc<Shared>,
    arrivals: Receiver<Arrival>,
    events: MediaEvents,
    wall: WallClock,
    schedule: Schedule,
    capture: Capture,
    sender: Option<Sender>,
    processor: Option<VoiceProcessor>,
    speaker: Option<Box<Speaker>>,
    /// `None`: libopus has no memory for a decoder; nothing is heard, but everything else goes on.
    jitter_buffer: Option<JitterBuffer>,
    minimum_delay_ms: u64,
    recorder: Option<WavRecorder>,
    reader: Option<TestSignalReader>,
    delays: PercentileWindow,
    input_level_dbfs: f32,
    first_audio_at: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        config: AudioConfig,
        outgoing: OutgoingAudioSink,
        events: MediaEvents,
        shared: Arc<Shared>,
        arrivals: Receiver<Arrival>,
    ) -> Self {
        let failed = |part, error| events(MediaEvent::Failed { part, error });
        let capture = Capture::open(&config.source).unwrap_or_else(|error| {
            failed(MediaPart::Microphone, error);
            Capture::None
        });
        let sender = match capture {
            Capture::None => None,
            _ => Sender::new(config.bitrate_bps, outgoing)
                .inspect_err(|error| tracing::error!(%error, "no Opus encoder"))
                .ok(),
        };
        let speaker = match config.sink {
            AudioSink::None => None,
            AudioSink::Default => Some(Box::new(Speaker::open(None))),
            AudioSink::Named(name) => Some(Box::new(Speaker::open(Some(name)))),
        };
        let processing = Processing {
            // Without a speaker there is nothing that could echo.
            echo_cancellation: config.processing.echo_cancellation && speaker.is_some(),
            ..config.processing
        };
        let processor = (capture.is_microphone() && processing.any()).then(|| VoiceProcessor::new(processing));
        let recorder = config.record.and_then(|path| {
            let events = Arc::clone(&events);
            WavRecorder::create(&path, move |error| events(MediaEvent::Failed { part: MediaPart::Recording, error }))
                .map_err(|error| failed(MediaPart::Recording, error))
                .ok()
        });
        Self {
            shared,
            arrivals,
            wall: WallClock::now(),
            schedule: Schedule::new(Instant::now()),
            capture,
            sender,
            processor,
            speaker,
            jitter_buffer: JitterBuffer::new(JitterConfig::default())
                .inspect_err(|error| tracing::error!(%error, "no Opus decoder"))
                .ok(),
            minimum_delay_ms: 0,
            recorder,
            reader: config.measure.then(TestSignalReader::new),
            delays: PercentileWindow::new(REMEMBERED_DELAYS),
            input_level_dbfs: SILENCE_DBFS,
            first_audio_at: None,
            events,
        }
    }

    /// Works until the engine is dropped.
    pub(super) fn run(mut self) {
        priority::elevate_this_thread();
        while !self.shared.stopping.load(Ordering::Acquire) {
            let now = Instant::now();
            match self.schedule.poll(now) {
                Ok(tick) => self.tick(tick, now),
                // Dropping the engine unparks the thread, so that nobody waits for the tick.
                Err(wait) => std::thread::park_timeout(wait),
            }
        }
    }

    /// Plays one block and takes one. What is played goes to the echo canceller before what is captured, or it would
    /// have to look into the future.
    fn tick(&mut self, tick: Tick, now: Instant) {
        self.wall.follow(WallClock::now());
        let output_level_dbfs = self.play(tick, now);
        self.take(tick, now);
        self.publish(output_level_dbfs);
    }

    fn play(&mut self, tick: Tick, now: Instant) -> f32 {
        let minimum_delay_ms = self.shared.minimum_delay_ms.load(Ordering::Relaxed);
        if minimum_delay_ms != self.minimum_delay_ms {
            self.minimum_delay_ms = minimum_delay_ms;
            if let Some(buffer) = &mut self.jitter_buffer {
                buffer.set_minimum_delay(Duration::from_millis(minimum_delay_ms));
            }
        }
        while let Ok(arrival) = self.arrivals.try_recv() {
            if let Some(buffer) = &mut self.jitter_buffer {
                buffer.insert(arrival.at, arrival.packet);
            }
        }
        let mut block = [0; BLOCK];
        let playout = self.jitter_buffer.as_mut().map(|buffer| buffer.pull(now, &mut block));

        // Nowhere to play: it is heard at the moment it is due.
        let mut heard_at = tick.due;
        if let Some(speaker) = &mut self.speaker {
            match speaker.push(now, &block) {
                Ok(at) => heard_at = at,
                Err(error) => {
                    self.speaker = None;
                    self.fail(MediaPart::Speaker, error);
                }
            }
        }
        if let Some(processor) = &mut self.processor {
            processor.render(&block);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.push(&block);
        }
        if let Some(reader) = &mut self.reader
            && let Some(measured) = reader.push(&block, self.wall.unix_us_at(heard_at))
        {
            tracing::trace!(latency_ms = measured.latency_ms, "mouth to ear");
            self.delays.push(measured.latency_ms as f32);
        }
        if let Some(timestamp) = playout.and_then(|playout| playout.rtp_timestamp) {
            self.first_audio_at.get_or_insert(heard_at);
            *self.shared.playout_point.lock().unwrap_or_else(PoisonError::into_inner) = Some((timestamp, heard_at));
        }
        level_dbfs(block.iter().map(|sample| f32::from(*sample) / 32_768.0))
    }

    fn take(&mut self, tick: Tick, now: Instant) {
        let mut sound = [0.0; BLOCK];
        let captured_at = match self.capture.pull(tick, now, &self.wall, &mut sound) {
            Ok(Some(captured_at)) => captured_at,
            Ok(None) => return,
            Err(error) => {
                self.capture = Capture::None;
                self.input_level_dbfs = SILENCE_DBFS;
                self.fail(MediaPart::Microphone, error);
                return;
            }
        };
        let echo_delay = self.echo_delay();
        if let Some(processor) = &mut self.processor {
            processor.set_delay(echo_delay);
            processor.capture(&mut sound);
        }
        // Muting comes last, so that the echo canceller goes on learning.
        if self.shared.muted.load(Ordering::Relaxed) {
            sound.fill(0.0);
        }
        self.input_level_dbfs = level_dbfs(sound.iter().copied());
        let block = sound.map(|sample| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16);
        let Some(sender) = &mut self.sender else { return };
        let sent = sender
            .set_expected_loss(self.shared.expected_loss_percent.load(Ordering::Relaxed))
            .and_then(|()| sender.push(tick, captured_at, &block));
        if let Err(error) = sent {
            tracing::error!(%error, "sound could not be encoded");
            self.sender = None;
        }
    }

    /// The way of an echo through the devices: from the engine to the speaker, and from the microphone to the engine.
    fn echo_delay(&self) -> Duration {
        let playback = self.speaker.as_ref().and_then(|speaker| speaker.delay());
        playback.unwrap_or_default() + self.capture.delay().unwrap_or_default()
    }

    fn publish(&self, output_level_dbfs: f32) {
        let milliseconds = |delay: Duration| delay.as_secs_f32() * 1e3;
        let mut stats = self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &self.sender {
            stats.sent_packets = sender.packets;
            stats.sent_bytes = sender.bytes;
        }
        if let Some(buffer) = &self.jitter_buffer {
            stats.jitter = buffer.stats();
        }
        // Sorting thousands of numbers a hundred times a second would be waste.
        if stats.mouth_to_ear_ms.map_or(0, |delays| delays.count) != self.delays.count() {
            stats.mouth_to_ear_ms = self.delays.percentiles();
        }
        stats.input_level_dbfs = self.input_level_dbfs;
        stats.output_level_dbfs = output_level_dbfs;
        stats.first_audio_at = self.first_audio_at;
        stats.skipped_ticks = self.schedule.skipped();
        stats.capture_delay_ms = self.capture.delay().map(milliseconds);
        stats.playback_delay_ms = self.speaker.as_ref().and_then(|speaker| speaker.delay()).map(milliseconds);
        if let Capture::Microphone(microphone) = &self.capture {
            stats.capture = microphone.counts();
        }
        if let Some(speaker) = &self.speaker {
            stats.playback = speaker.counts();
        }
    }

    fn fail(&self, part: MediaPart, error: DeviceError) {
        tracing::warn!(?part, code = error.code, "a part of the sound failed");
        (self.events)(MediaEvent::Failed { part, error });
    }
}
