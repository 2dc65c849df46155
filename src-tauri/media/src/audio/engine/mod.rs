//! The audio engine of one call: one thread that, every 10 ms, plays a block and takes one.

mod capture;
mod output;
mod seam;
mod sender;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::config::{AudioConfig, AudioSink, AudioSource, Processing};
use super::jitter_buffer::AudioPacket;
use super::stats::AudioStats;
use crate::error::MediaEvents;
use worker::Worker;

/// Packets that may wait for the audio thread. At 50 packets per second a full inbox is over a second old; the jitter
/// buffer would not want it.
const INBOX_PACKETS: usize = 64;

/// An Opus packet to send.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingAudio<'a> {
    /// RTP timestamp of its first sample, 48 kHz (RFC 7587 §4.1).
    pub rtp_timestamp: u32,
    /// 20 ms of Opus.
    pub payload: &'a [u8],
    /// When its first sample was in the air.
    pub captured_at: Instant,
    /// Whether it is the first after silence in which nothing was sent (RFC 3551 §4.1).
    pub marker: bool,
}

/// Where packets to send go. Called from the audio thread, so it must not block.
pub type OutgoingAudioSink = Box<dyn FnMut(OutgoingAudio<'_>) + Send>;

/// The running sound of a call. Dropping it stops everything and releases the devices.
pub struct AudioEngine {
    shared: Arc<Shared>,
    inbox: SyncSender<Arrival>,
    changes: Sender<Change>,
    thread: Option<JoinHandle<()>>,
}

/// What the engine's handle and its thread share. Nothing of this is touched in a device callback.
struct Shared {
    stopping: AtomicBool,
    muted: AtomicBool,
    expected_loss_percent: AtomicU8,
    minimum_delay_ms: AtomicU64,
    inbox_overflows: AtomicU64,
    playout_point: Mutex<Option<(u32, Instant)>>,
    stats: Mutex<AudioStats>,
}

/// Something that changes while the engine runs.
enum Change {
    Source(AudioSource),
    Sink(AudioSink),
    Processing(Processing),
}

/// A received packet and when it came.
struct Arrival {
    at: Instant,
    packet: AudioPacket,
}

impl AudioEngine {
    /// Starts sending and playing. Never fails as a whole: a source, sink or recording that cannot be used is told to
    /// `events`, and the engine goes on with what is left. Returns at once; devices open in the background.
    pub fn start(config: AudioConfig, outgoing: OutgoingAudioSink, events: MediaEvents) -> Self {
        let (inbox, arrivals) = sync_channel(INBOX_PACKETS);
        let (changes, wanted) = channel();
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            muted: AtomicBool::new(false),
            expected_loss_percent: AtomicU8::new(0),
            minimum_delay_ms: AtomicU64::new(0),
            inbox_overflows: AtomicU64::new(0),
            playout_point: Mutex::new(None),
            stats: Mutex::new(AudioStats::default()),
        });

        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("audio".into())
                .spawn(move || {
                    Worker::new(config, outgoing, events, shared, (arrivals, wanted)).run()
                })
        };

        let thread = thread
            .inspect_err(|error| tracing::error!(%error, "the audio thread could not be started"))
            .ok();
        Self {
            shared,
            inbox,
            changes,
            thread,
        }
    }

    /// Takes an Opus packet from the network. Never blocks; when the audio thread is more than a second behind, the
    /// packet is dropped and counted.
    pub fn receive(&self, arrived: Instant, sequence: u16, rtp_timestamp: u32, payload: Vec<u8>) {
        let packet = AudioPacket {
            sequence,
            timestamp: rtp_timestamp,
            payload,
        };

        if let Err(TrySendError::Full(_)) = self.inbox.try_send(Arrival {
            at: arrived,
            packet,
        }) {
            self.shared.inbox_overflows.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends silence instead of the source, or the source again. Takes effect with the next block.
    pub fn set_muted(&self, muted: bool) {
        self.shared.muted.store(muted, Ordering::Relaxed);
    }

    /// Sends another source from the next block on. The former one's device is released before a new one opens; if that
    /// fails, `events` are told and nothing is sent. The stream of packets goes on, without a click.
    pub fn set_source(&self, source: AudioSource) {
        self.change(Change::Source(source));
    }

    /// Plays somewhere else. The former speaker is released before a new one opens; what is received meanwhile is not
    /// heard. The jitter buffer does not notice.
    pub fn set_sink(&self, sink: AudioSink) {
        self.change(Change::Sink(sink));
    }

    /// Switches parts of the processing on or off. What the others have learned stays.
    pub fn set_processing(&self, processing: Processing) {
        self.change(Change::Processing(processing));
    }

    fn change(&self, change: Change) {
        // The thread ends only with the engine, or it could not be started.
        let _ = self.changes.send(change);
    }

    /// Tells the encoder how many percent of the packets are lost on their way, so that it spends bits on in-band FEC.
    pub fn set_expected_loss(&self, percent: u8) {
        self.shared
            .expected_loss_percent
            .store(percent.min(100), Ordering::Relaxed);
    }

    /// Holds received sound back for at least `delay`, so that a later picture can keep up: see
    /// [`crate::sync::LipSync::audio_extra_delay`].
    pub fn set_minimum_delay(&self, delay: Duration) {
        self.shared
            .minimum_delay_ms
            .store(delay.as_millis().min(1_000) as u64, Ordering::Relaxed);
    }

    /// Which sound is heard when: the RTP timestamp of the newest played block and the moment its first sample is
    /// heard. `None` before the first received sound. For lip sync.
    pub fn playout_point(&self) -> Option<(u32, Instant)> {
        *self
            .shared
            .playout_point
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted and measured so far.
    pub fn stats(&self) -> AudioStats {
        let mut stats = self
            .shared
            .stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        stats.inbox_overflows = self.shared.inbox_overflows.load(Ordering::Relaxed);
        stats
    }
}

impl Drop for AudioEngine {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the audio thread panicked");
            }
        }
    }
}

impl fmt::Debug for AudioEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioEngine").finish_non_exhaustive()
    }
}
