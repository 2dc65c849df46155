//! The audio thread.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: the thread that drives the engine in real time"
)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::capture::Capture;
use super::crossfade::Crossfade;
use super::output::Output;
use super::sender::PacketSender;
use super::{Arrival, Change, EngineState, OutgoingAudioSink};
use crate::audio::BLOCK_SAMPLES;
use crate::audio::config::{AudioConfig, Processing};
use crate::audio::device::Closing;
use crate::audio::jitter_buffer::{JitterBuffer, JitterConfig};
use crate::audio::percentile::PercentileWindow;
use crate::audio::processing::VoiceProcessor;
use crate::audio::schedule::{Schedule, Tick, WallClock};
use crate::audio::stats::{AudioStats, DeviceCounts, SILENCE_DBFS, level_dbfs};
use crate::audio::test_signal::TestSignalReader;
use crate::audio::wav::WavRecorder;
use crate::error::{DeviceError, MediaEvent, MediaEvents, MediaPart};
use crate::priority;

/// Delay measurements that the percentiles cover: half an hour at two per second.
const DELAY_WINDOW: usize = 3600;

/// Everything the audio thread owns.
pub(super) struct Worker {
    shared: Arc<EngineState>,
    arrivals: Receiver<Arrival>,
    changes: Receiver<Change>,
    events: MediaEvents,
    wall: WallClock,
    schedule: Schedule,
    capture: Capture,
    /// The last microphone, if it is still closing. The next one waits for it.
    closing: Option<Closing>,
    crossfade: Crossfade,
    muted: bool,
    sender: Option<PacketSender>,
    /// Bitrate and destination of outgoing packets, until the first source needs an encoder.
    outgoing: Option<(u32, OutgoingAudioSink)>,
    processing: Processing,
    processor: Option<VoiceProcessor>,
    output: Output,
    /// `None` if libopus has no memory for a decoder: nothing is heard, but the rest works.
    jitter_buffer: Option<JitterBuffer>,
    minimum_delay_ms: u64,
    recorder: Option<WavRecorder>,
    reader: Option<TestSignalReader>,
    delays: PercentileWindow,
    input_level_dbfs: f32,
    first_audio_at: Option<Instant>,
    /// What the devices had counted when the present partner came.
    counted_before: (DeviceCounts, DeviceCounts),
    skipped_before: u64,
}

impl Worker {
    pub(super) fn new(
        config: AudioConfig,
        outgoing: OutgoingAudioSink,
        events: MediaEvents,
        shared: Arc<EngineState>,
        (arrivals, changes): (Receiver<Arrival>, Receiver<Change>),
    ) -> Self {
        let failed = |part, error| events(MediaEvent::Failed { part, error });
        let capture = Capture::open(&config.source, &mut None).unwrap_or_else(|error| {
            failed(MediaPart::Microphone, error);
            Capture::None
        });

        let recorder = config.record.and_then(|path| {
            let events = Arc::clone(&events);
            WavRecorder::create(&path, move |error| {
                events(MediaEvent::Failed {
                    part: MediaPart::Recording,
                    error,
                });
            })
            .map_err(|error| failed(MediaPart::Recording, error))
            .ok()
        });

        let mut worker = Self {
            shared,
            arrivals,
            changes,
            wall: WallClock::now(),
            schedule: Schedule::new(Instant::now()),
            capture,
            closing: None,
            crossfade: Crossfade::default(),
            muted: false,
            sender: None,
            outgoing: Some((config.bitrate_bps, outgoing)),
            processing: config.processing,
            processor: None,
            output: Output::open(config.sink),
            jitter_buffer: JitterBuffer::new(JitterConfig::default())
                .inspect_err(|error| tracing::error!(%error, "no Opus decoder: nothing is heard"))
                .ok(),
            minimum_delay_ms: 0,
            recorder,
            reader: config.measure.then(TestSignalReader::new),
            delays: PercentileWindow::new(DELAY_WINDOW),
            input_level_dbfs: SILENCE_DBFS,
            first_audio_at: None,
            counted_before: Default::default(),
            skipped_before: 0,
            events,
        };

        worker.prepare();
        worker
    }

    /// Creates what the current source and sink need: an encoder, and voice processing for a
    /// microphone.
    fn prepare(&mut self) {
        if !matches!(self.capture, Capture::None)
            && let Some((bitrate_bps, outgoing)) = self.outgoing.take()
        {
            self.sender = PacketSender::new(bitrate_bps, outgoing)
                .inspect_err(|error| tracing::error!(%error, "no Opus encoder: nothing is sent"))
                .ok();
        }

        let processing = Processing {
            // Without a speaker there is no echo.
            echo_cancellation: self.processing.echo_cancellation && self.output.is_audible(),
            ..self.processing
        };

        if !self.capture.is_microphone() || !processing.any() {
            self.processor = None;
        } else if let Some(processor) = &mut self.processor {
            processor.set_processing(processing);
        } else {
            self.processor = Some(VoiceProcessor::new(processing));
        }
    }

    fn change(&mut self, change: Change, now: Instant) {
        match change {
            Change::Source(source) => {
                let former = std::mem::replace(&mut self.capture, Capture::None);
                // Never waits: the old device closes in the background, and the next device waits
                // for it.
                self.closing = former.close().or(self.closing.take());
                self.crossfade.cut();

                match Capture::open(&source, &mut self.closing) {
                    Ok(capture) => self.capture = capture,
                    Err(error) => self.fail(MediaPart::Microphone, error),
                }

                self.input_level_dbfs = SILENCE_DBFS;
            }
            Change::Sink(sink) => self.output.change(now, sink),
            Change::Processing(processing) => self.processing = processing,
            Change::Retry => {
                self.capture.retry();
                self.output.retry();
            }
            Change::NextPartner(done) => {
                self.next_partner();
                // Fails if nobody waits any more.
                let _ = done.try_send(());
            }
        }

        self.prepare();
    }

    /// Runs until the engine is dropped.
    pub(super) fn run(mut self) {
        priority::raise_for_audio();

        while !self.shared.stopping.load(Ordering::Acquire) {
            let now = Instant::now();
            match self.schedule.poll(now) {
                Ok(tick) => self.tick(tick, now),
                // Dropping the engine unparks the thread, so that it does not wait for the next
                // tick.
                Err(wait) => std::thread::park_timeout(wait),
            }
        }
    }

    /// Plays one block and captures one. The played block reaches the echo canceller before the
    /// captured one: it can only remove an echo of audio it has already seen.
    fn tick(&mut self, tick: Tick, now: Instant) {
        self.wall.follow(WallClock::now());

        while let Ok(change) = self.changes.try_recv() {
            self.change(change, now);
        }

        let output_level_dbfs = self.play_block(tick, now);
        self.capture_block(tick, now);
        self.report_recoveries();
        self.publish(output_level_dbfs);
    }

    fn report_recoveries(&mut self) {
        let recovered = [
            (MediaPart::Microphone, self.capture.take_is_back()),
            (MediaPart::Speaker, self.output.take_is_back()),
        ];
        for (part, _) in recovered.into_iter().filter(|(_, is_back)| *is_back) {
            tracing::info!(?part, "part of the audio works again");
            (self.events)(MediaEvent::Recovered { part });
        }
    }

    /// Forgets the partner, and keeps the devices.
    fn next_partner(&mut self) {
        while self.arrivals.try_recv().is_ok() {}

        self.jitter_buffer = JitterBuffer::new(JitterConfig::default())
            .inspect_err(|error| tracing::error!(%error, "no Opus decoder: nothing is heard"))
            .ok();
        self.minimum_delay_ms = 0;
        self.shared.minimum_delay_ms.store(0, Ordering::Relaxed);
        *self.shared.playout_point.lock() = None;
        self.first_audio_at = None;

        self.reader = self.reader.take().map(|_| TestSignalReader::new());
        self.delays = PercentileWindow::new(DELAY_WINDOW);
        self.counted_before = self.device_counts();
        self.skipped_before = self.schedule.skipped();
        self.shared
            .expected_loss_percent
            .store(0, Ordering::Relaxed);
        self.shared.inbox_overflows.store(0, Ordering::Relaxed);
        if let Some(sender) = &mut self.sender {
            (sender.packets, sender.bytes) = (0, 0);
        }

        *self.shared.stats.lock() = AudioStats::default();
    }

    /// Glitches of the microphone and of the speaker since they were opened.
    fn device_counts(&self) -> (DeviceCounts, DeviceCounts) {
        let capture = match &self.capture {
            Capture::Microphone(microphone) => microphone.counts(),
            Capture::None | Capture::Test | Capture::File(_) => DeviceCounts::default(),
        };

        (capture, self.output.counts().unwrap_or_default())
    }

    /// Plays the block of `tick` and returns its level in dB of full scale.
    fn play_block(&mut self, tick: Tick, now: Instant) -> f32 {
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

        let mut block = [0; BLOCK_SAMPLES];
        let playout = self
            .jitter_buffer
            .as_mut()
            .map(|buffer| buffer.pull(now, &mut block));

        let heard_at = self
            .output
            .push(now, tick.due, &block)
            .unwrap_or_else(|error| {
                self.fail(MediaPart::Speaker, error);
                tick.due
            });

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
            *self.shared.playout_point.lock() = Some((timestamp, heard_at));
        }

        level_dbfs(block.iter().map(|sample| f32::from(*sample) / 32_768.0))
    }

    /// Captures the block of `tick` and sends it.
    fn capture_block(&mut self, tick: Tick, now: Instant) {
        let mut audio = [0.0; BLOCK_SAMPLES];
        let captured_at = match self.capture.pull(tick, now, &self.wall, &mut audio) {
            Ok(captured_at) => captured_at,
            Err(error) => {
                // A microphone goes on trying; a file that cannot be read stays so.
                if !self.capture.is_microphone() {
                    self.capture = Capture::None;
                }

                self.crossfade.cut();
                self.input_level_dbfs = SILENCE_DBFS;
                self.fail(MediaPart::Microphone, error);

                None
            }
        };

        let captured_at = match captured_at {
            Some(captured_at) => {
                self.process(&mut audio);
                captured_at
            }
            None => {
                let Some(silence) = self.crossfade.fill_gap() else {
                    return;
                };

                audio = silence;
                now
            }
        };

        self.input_level_dbfs = level_dbfs(audio.iter().copied());
        let block =
            audio.map(|sample| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16);
        let Some(sender) = &mut self.sender else {
            return;
        };

        let sent = sender
            .set_expected_loss(self.shared.expected_loss_percent.load(Ordering::Relaxed))
            .and_then(|()| sender.push(tick, captured_at, &block));
        if let Err(error) = sent {
            tracing::error!(%error, "could not encode audio: this engine sends nothing more");
            self.sender = None;
        }
    }

    /// Processes the voice, mutes it, and fades it in if it does not continue the previous block.
    fn process(&mut self, audio: &mut [f32; BLOCK_SAMPLES]) {
        let echo_delay = self.echo_delay();
        if let Some(processor) = &mut self.processor {
            processor.set_delay(echo_delay);
            processor.capture(audio);
        }

        // Mute after the processing, so that the echo canceller keeps learning.
        let muted = self.shared.muted.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.muted, muted) != muted {
            self.crossfade.cut();
        }

        if muted {
            audio.fill(0.0);
        }

        self.crossfade.apply(audio);
    }

    /// How long an echo takes through the devices: from the engine to the speaker, and from the
    /// microphone to the engine.
    fn echo_delay(&self) -> Duration {
        let playback = self.output.delay();
        playback.unwrap_or_default() + self.capture.delay().unwrap_or_default()
    }

    fn publish(&self, output_level_dbfs: f32) {
        let milliseconds = |delay: Duration| delay.as_secs_f32() * 1e3;
        let mut stats = self.shared.stats.lock();

        if let Some(sender) = &self.sender {
            stats.sent_packets = sender.packets;
            stats.sent_bytes = sender.bytes;
        }

        if let Some(buffer) = &self.jitter_buffer {
            stats.jitter = buffer.stats();
        }

        // Sort thousands of values only when one was added, not a hundred times a second.
        if stats.mouth_to_ear_ms.map_or(0, |delays| delays.count) != self.delays.count() {
            stats.mouth_to_ear_ms = self.delays.percentiles();
        }

        stats.input_level_dbfs = self.input_level_dbfs;
        stats.output_level_dbfs = output_level_dbfs;
        stats.first_audio_at = self.first_audio_at;
        stats.skipped_ticks = self.schedule.skipped().saturating_sub(self.skipped_before);
        stats.capture_delay_ms = self.capture.delay().map(milliseconds);
        stats.playback_delay_ms = self.output.delay().map(milliseconds);

        let (capture, playback) = self.device_counts();
        if self.capture.is_microphone() {
            stats.capture = capture.since(self.counted_before.0);
        }

        if self.output.counts().is_some() {
            stats.playback = playback.since(self.counted_before.1);
        }
    }

    fn fail(&self, part: MediaPart, error: DeviceError) {
        tracing::warn!(
            ?part,
            code = error.code.as_str(),
            "part of the audio failed: the call continues without it"
        );
        (self.events)(MediaEvent::Failed { part, error });
    }
}
