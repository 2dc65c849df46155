//! The audio engine of one call: a thread that every 10 ms plays one block and captures one.

mod capture;
mod crossfade;
mod output;
mod sender;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::config::{AudioConfig, AudioSink, AudioSource, Processing};
use super::jitter_buffer::AudioPacket;
use super::stats::AudioStats;
use crate::error::MediaEvents;
use worker::Worker;

/// Packets that may wait for the audio thread. At 50 packets per second a full inbox is over a
/// second old, too late for the jitter buffer to play.
const INBOX_PACKETS: usize = 64;

/// How long to wait until the audio thread has forgotten a partner.
const FORGET_TIMEOUT: Duration = Duration::from_secs(1);

/// An Opus packet to send.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingAudio<'a> {
    /// RTP timestamp of its first sample, at 48 kHz (RFC 7587 §4.1).
    pub rtp_timestamp: u32,
    /// 20 ms of Opus.
    pub payload: &'a [u8],
    /// When its first sample was in the air.
    pub captured_at: Instant,
    /// Whether it is the first packet after a silence in which nothing was sent (RFC 3551 §4.1).
    pub marker: bool,
}

/// Receives the packets to send, on the audio thread. It must not block.
pub type OutgoingAudioSink = Box<dyn FnMut(OutgoingAudio<'_>) + Send>;

/// The running audio of a call. Dropping it stops capture and playback and releases the devices.
pub struct AudioEngine {
    shared: Arc<EngineState>,
    inbox: SyncSender<Arrival>,
    changes: Sender<Change>,
    thread: Option<JoinHandle<()>>,
}

/// State shared by the engine's handle and its thread. Device callbacks never touch it.
struct EngineState {
    stopping: AtomicBool,
    muted: AtomicBool,
    expected_loss_percent: AtomicU8,
    minimum_delay_ms: AtomicU64,
    inbox_overflows: AtomicU64,
    playout_point: Mutex<Option<(u32, Instant)>>,
    stats: Mutex<AudioStats>,
}

/// A change requested while the engine runs.
enum Change {
    Source(AudioSource),
    Sink(AudioSink),
    Processing(Processing),
    Retry,
    /// Answered when it is done.
    NextPartner(SyncSender<()>),
}

/// A received packet and its arrival time.
struct Arrival {
    at: Instant,
    packet: AudioPacket,
}

impl AudioEngine {
    /// Starts sending and playing. Always succeeds: if a source, sink or recording cannot be used,
    /// `events` is notified and the engine runs without it. It opens a device again that does not work. Returns at once; devices open in the
    /// background.
    pub fn start(config: AudioConfig, outgoing: OutgoingAudioSink, events: MediaEvents) -> Self {
        let (inbox, arrivals) = sync_channel(INBOX_PACKETS);
        let (changes, requested_changes) = channel();
        let shared = Arc::new(EngineState {
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
                    Worker::new(
                        config,
                        outgoing,
                        events,
                        shared,
                        (arrivals, requested_changes),
                    )
                    .run();
                })
        };

        let thread = thread
            .inspect_err(|error| {
                tracing::error!(%error, "no thread for the engine: the call has no audio");
            })
            .ok();
        Self {
            shared,
            inbox,
            changes,
            thread,
        }
    }

    /// Takes an Opus packet from the network. Never blocks. If the audio thread is more than a
    /// second behind, the packet is dropped and counted.
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

    /// Sends silence in place of the source, or the source again. Takes effect with the next block.
    pub fn set_muted(&self, muted: bool) {
        self.shared.muted.store(muted, Ordering::Relaxed);
    }

    /// Sends another source from the next block on. The old device is released before the new one
    /// opens. If the new source fails to open, `events` is notified and nothing is sent. The packet
    /// stream continues without a click.
    pub fn set_source(&self, source: AudioSource) {
        self.change(Change::Source(source));
    }

    /// Plays on another sink. The old speaker is released before the new one opens; audio received
    /// in between is not heard. The jitter buffer is not affected.
    pub fn set_sink(&self, sink: AudioSink) {
        self.change(Change::Sink(sink));
    }

    /// Switches processing stages on or off. The other stages keep what they have learned.
    pub fn set_processing(&self, processing: Processing) {
        self.change(Change::Processing(processing));
    }

    /// Tries the devices that do not work again at once: the user may have plugged one in. The engine
    /// does so by itself, only later.
    pub fn retry_devices(&self) {
        self.change(Change::Retry);
    }

    /// Forgets the partner: what it sent is not heard any more, and the counters begin at zero. The
    /// devices stay open, and what the echo canceller has learned about them stays, too. The RTP
    /// timestamps of outgoing audio go on. Blocks until that is done: a tick, 10 ms, at most a second.
    pub fn next_partner(&self) {
        let (done, is_done) = sync_channel(1);
        self.change(Change::NextPartner(done));
        // An error means that there is no thread, so there is nothing to forget.
        if is_done.recv_timeout(FORGET_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the audio thread hangs: the next partner's figures begin late");
        }
    }

    fn change(&self, change: Change) {
        // Fails only if the thread could not be started: otherwise it lives as long as the engine.
        let _ = self.changes.send(change);
    }

    /// Sets the packet loss to expect on the network in percent, so that the encoder spends bits on
    /// in-band FEC.
    pub fn set_expected_loss(&self, percent: u8) {
        self.shared
            .expected_loss_percent
            .store(percent.min(100), Ordering::Relaxed);
    }

    /// Delays received audio by at least `delay` (at most 1 s), so that video that takes longer
    /// stays in sync: see [`crate::sync::LipSync::audio_extra_delay`].
    pub fn set_minimum_delay(&self, delay: Duration) {
        self.shared
            .minimum_delay_ms
            .store(delay.as_millis().min(1_000) as u64, Ordering::Relaxed);
    }

    /// The RTP timestamp of the newest played block and the moment its first sample is heard.
    /// `None` before the first received audio. Used for lip sync.
    pub fn playout_point(&self) -> Option<(u32, Instant)> {
        *self.shared.playout_point.lock()
    }

    /// The counters and measurements so far.
    pub fn stats(&self) -> AudioStats {
        let mut stats = self.shared.stats.lock().clone();
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
                tracing::error!("the audio thread panicked: the call has no audio");
            }
        }
    }
}

impl fmt::Debug for AudioEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioEngine").finish_non_exhaustive()
    }
}
