//! Connects the audio engine to the peer connection: outgoing audio becomes RTP, incoming RTP goes
//! to the engine.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it stamps each audio packet with its time of arrival"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use tandem_media::audio::{AudioEngine, OutgoingAudio};
use tokio::sync::mpsc::UnboundedSender;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::recorder::Traffic;
use super::remote_tracks::ReceivedFormats;

/// Where encoded audio goes: one stream to one partner.
pub(super) struct AudioOutput {
    /// `None` while the partner does not want audio.
    payload_type: Option<u8>,
    ssrc: u32,
    packets: UnboundedSender<Packet>,
    sequence: u16,
    /// Added to the engine's timestamps; random (RFC 3550 §5.1).
    timestamp_offset: u32,
}

impl AudioOutput {
    pub(super) fn new(
        payload_type: Option<u8>,
        ssrc: u32,
        packets: UnboundedSender<Packet>,
    ) -> Self {
        Self {
            payload_type,
            ssrc,
            packets,
            // Random (RFC 3550 §5.1), and in the lower half so that it does not wrap soon.
            sequence: rand::random::<u16>() >> 1,
            timestamp_offset: rand::random(),
        }
    }

    fn send(&mut self, audio: OutgoingAudio<'_>) {
        let Some(payload_type) = self.payload_type else {
            return;
        };

        let header = Header {
            version: 2,
            marker: audio.marker,
            payload_type,
            sequence_number: self.sequence,
            timestamp: audio.rtp_timestamp.wrapping_add(self.timestamp_offset),
            ssrc: self.ssrc,
            ..Header::default()
        };

        self.sequence = self.sequence.wrapping_add(1);
        // Fails only when the call is over.
        let _ = self.packets.send(Packet {
            header,
            payload: Bytes::copy_from_slice(audio.payload),
        });
    }
}

/// Lets outgoing audio through to a partner. Closed (`None`) while there is no connection.
#[derive(Clone, Default)]
pub(super) struct AudioGate(Arc<Mutex<Option<AudioOutput>>>);

impl AudioGate {
    /// Sends to `output` from now on. If that is the stream of before on a fresh connection, its
    /// numbers and times go on.
    pub(super) fn open(&self, mut output: AudioOutput) {
        let mut present = self.0.lock();
        if let Some(before) = present.as_ref().filter(|one| one.ssrc == output.ssrc) {
            output.sequence = before.sequence;
            output.timestamp_offset = before.timestamp_offset;
        }

        *present = Some(output);
    }

    /// Sends packets of this payload type from now on. `None`: none.
    pub(super) fn set_payload_type(&self, payload_type: Option<u8>) {
        if let Some(output) = self.0.lock().as_mut() {
            output.payload_type = payload_type;
        }
    }

    /// Drops outgoing audio from now on.
    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }

    /// Sends one packet's audio, if there is a connection.
    pub(super) fn send(&self, audio: OutgoingAudio<'_>) {
        if let Some(output) = self.0.lock().as_mut() {
            output.send(audio);
        }
    }
}

/// The partner's audio.
pub(super) struct RemoteAudio {
    /// Weak: the engine belongs to the call and must be gone, devices included, when the call says
    /// so.
    engine: Weak<AudioEngine>,
    /// The stream's SSRC, with [`KNOWN`] set once a packet has arrived.
    ssrc: AtomicU64,
    /// The partner is gone. The engine goes on with the next one, and must not hear this one.
    is_over: AtomicBool,
}

/// A bit above the 32 of an SSRC.
const KNOWN: u64 = 1 << 32;

impl RemoteAudio {
    pub(super) fn new(engine: &Arc<AudioEngine>) -> Arc<Self> {
        Arc::new(Self {
            engine: Arc::downgrade(engine),
            ssrc: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        })
    }

    /// Lets nothing more through to the engine, and no video wait for its audio.
    pub(super) fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    fn engine(&self) -> Option<Arc<AudioEngine>> {
        self.engine
            .upgrade()
            .filter(|_| !self.is_over.load(Relaxed))
    }

    /// The stream's SSRC, once a packet has arrived.
    pub(super) fn ssrc(&self) -> Option<u32> {
        let ssrc = self.ssrc.load(Relaxed);
        (ssrc & KNOWN != 0).then_some(ssrc as u32)
    }

    /// Which audio plays when, see [`AudioEngine::playout_point`].
    pub(super) fn playout_point(&self) -> Option<(u32, Instant)> {
        self.engine()?.playout_point()
    }

    /// Delays the audio to match later video, see [`AudioEngine::set_minimum_delay`].
    pub(super) fn set_minimum_delay(&self, delay: Duration) {
        if let Some(engine) = self.engine() {
            engine.set_minimum_delay(delay);
        }
    }

    /// Passes packets to the engine until the track ends, if they are audio by `formats`.
    pub(super) async fn receive(
        self: Arc<Self>,
        track: Arc<dyn TrackRemote>,
        formats: Arc<ReceivedFormats>,
        traffic: Arc<Traffic>,
    ) {
        while let Some(event) = track.poll().await {
            let TrackRemoteEvent::OnRtpPacket(packet) = event else {
                continue;
            };

            let header = packet.header;

            // Another payload type is comfort noise or telephone events.
            if !formats.is_opus(header.payload_type) || packet.payload.is_empty() {
                continue;
            }

            self.ssrc.store(KNOWN | u64::from(header.ssrc), Relaxed);
            traffic
                .received
                .fetch_add(packet.payload.len() as u64, Relaxed);

            let Some(engine) = self.engine() else {
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
