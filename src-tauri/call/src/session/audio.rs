//! Between the audio engine and the connection.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use tandem_media::audio::{AudioConfig, AudioEngine, OutgoingAudio};
use tandem_media::error::MediaEvents;
use tokio::sync::mpsc::UnboundedSender;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::recorder::Traffic;

/// Where encoded sound goes: one stream to one partner.
pub(super) struct AudioOutput {
    pub(super) payload_type: u8,
    pub(super) ssrc: u32,
    pub(super) packets: UnboundedSender<Packet>,
    pub(super) traffic: Arc<Traffic>,
    sequence: u16,
    /// Added to the engine's timestamps: random, as RFC 3550 §5.1 wants it.
    timestamp_offset: u32,
}

impl AudioOutput {
    pub(super) fn new(
        payload_type: u8,
        ssrc: u32,
        packets: UnboundedSender<Packet>,
        traffic: Arc<Traffic>,
    ) -> Self {
        let (sequence, timestamp_offset) = (rand::random::<u16>() >> 1, rand::random());
        Self {
            payload_type,
            ssrc,
            packets,
            traffic,
            sequence,
            timestamp_offset,
        }
    }

    fn send(&mut self, audio: OutgoingAudio<'_>) {
        let header = Header {
            version: 2,
            marker: audio.marker,
            payload_type: self.payload_type,
            sequence_number: self.sequence,
            timestamp: audio.rtp_timestamp.wrapping_add(self.timestamp_offset),
            ssrc: self.ssrc,
            ..Header::default()
        };

        self.sequence = self.sequence.wrapping_add(1);
        self.traffic
            .sent
            .fetch_add(audio.payload.len() as u64, Relaxed);
        // The other end is gone only when the call is over.
        let _ = self.packets.send(Packet {
            header,
            payload: Bytes::copy_from_slice(audio.payload),
        });
    }
}

/// Lets the engine's sound out while there is somebody to hear it.
pub(super) type AudioGate = Arc<Mutex<Option<AudioOutput>>>;

/// Starts the engine. Its sound goes through `gate`.
pub(super) fn start(config: AudioConfig, gate: &AudioGate, events: MediaEvents) -> AudioEngine {
    let gate = Arc::clone(gate);
    let outgoing = move |audio: OutgoingAudio<'_>| {
        if let Some(output) = gate.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            output.send(audio);
        }
    };

    AudioEngine::start(config, Box::new(outgoing), events)
}

/// The partner's sound.
pub(super) struct RemoteAudio {
    /// Weak: the engine belongs to the call, and its devices must be free when the call says so.
    engine: Weak<AudioEngine>,
    /// The stream's SSRC, above 32 bits set once it is known.
    ssrc: AtomicU64,
}

const KNOWN: u64 = 1 << 32;

impl RemoteAudio {
    pub(super) fn new(engine: &Arc<AudioEngine>) -> Arc<Self> {
        Arc::new(Self {
            engine: Arc::downgrade(engine),
            ssrc: AtomicU64::new(0),
        })
    }

    /// The SSRC, once a packet came.
    pub(super) fn ssrc(&self) -> Option<u32> {
        let ssrc = self.ssrc.load(Relaxed);
        (ssrc & KNOWN != 0).then_some(ssrc as u32)
    }

    /// Which sound is heard when, see [`AudioEngine::playout_point`].
    pub(super) fn playout_point(&self) -> Option<(u32, Instant)> {
        self.engine.upgrade()?.playout_point()
    }

    /// Holds the sound back for pictures that come later, see [`AudioEngine::set_minimum_delay`].
    pub(super) fn set_minimum_delay(&self, delay: Duration) {
        if let Some(engine) = self.engine.upgrade() {
            engine.set_minimum_delay(delay);
        }
    }

    /// Hands packets of `payload_type` to the engine until the track ends.
    pub(super) async fn receive(
        self: Arc<Self>,
        track: Arc<dyn TrackRemote>,
        payload_type: u8,
        traffic: Arc<Traffic>,
    ) {
        while let Some(event) = track.poll().await {
            let TrackRemoteEvent::OnRtpPacket(packet) = event else {
                continue;
            };

            let header = packet.header;

            // Another payload type is comfort noise or telephone events.
            if header.payload_type != payload_type || packet.payload.is_empty() {
                continue;
            }

            self.ssrc.store(KNOWN | u64::from(header.ssrc), Relaxed);
            traffic
                .received
                .fetch_add(packet.payload.len() as u64, Relaxed);
            let Some(engine) = self.engine.upgrade() else {
                return;
            };

            engine.receive(
                Instant::now(),
                header.sequence_number,
                header.timestamp,
                packet.payload.to_vec(),
            );
        }
    }
}
