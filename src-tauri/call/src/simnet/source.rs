//! Synthetic media: packets like those of an encoder, without pixels.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use rtc::rtp;

use crate::link::LinkState;
use tandem_link::SeededRandom;

/// Payload of a video packet, bytes.
const PAYLOAD: usize = 1180;
/// A keyframe is this many times as large as an ordinary frame.
const KEYFRAME: f64 = 5.0;
/// Frame sizes vary by this share to either side.
const SIZE_VARIATION: f64 = 0.25;

/// A payload of `bytes` that starts with the time at which it was made, so that the receiver knows
/// its age.
fn payload(epoch: Instant, now: Instant, bytes: usize) -> Bytes {
    let mut payload = BytesMut::zeroed(bytes.max(8));
    (&mut payload[..8]).put_u64(u64::try_from((now - epoch).as_nanos()).unwrap_or(u64::MAX));
    payload.freeze()
}

/// When the packet was made, since the epoch.
pub(super) fn made_at(packet: &rtp::Packet) -> Duration {
    let stamp = packet
        .payload
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes));
    Duration::from_nanos(stamp)
}

fn packet(
    ssrc: u32,
    payload_type: u8,
    sequence_number: u16,
    timestamp: u32,
    marker: bool,
    payload: Bytes,
) -> rtp::Packet {
    let header = rtp::Header {
        version: 2,
        ssrc,
        payload_type,
        sequence_number,
        timestamp,
        marker,
        ..Default::default()
    };

    rtp::Packet { header, payload }
}

/// An encoder that follows the estimate: 30 frames per second of varying size, keyframes on
/// request.
#[derive(Debug)]
pub struct VideoSource {
    ssrc: u32,
    max_bps: f64,
    random: SeededRandom,
    sequence: u16,
    frames: u32,
    next: Instant,
    keyframe: bool,
    active: bool,
}

impl VideoSource {
    /// Time between frames.
    const INTERVAL: Duration = Duration::from_nanos(33_333_333);

    /// A source for the stream `ssrc` that never produces more than `max_bps`. The first frame is a
    /// keyframe.
    pub(super) fn new(now: Instant, ssrc: u32, max_bps: u64, seed: u64) -> Self {
        Self {
            ssrc,
            max_bps: max_bps as f64,
            random: SeededRandom::new(seed),
            sequence: 0,
            frames: 0,
            next: now + Duration::from_millis(3),
            keyframe: true,
            active: true,
        }
    }

    /// Makes the next frame a keyframe.
    pub(super) fn request_keyframe(&mut self) {
        self.keyframe = true;
    }

    /// Changes the highest rate that it produces, bits per second.
    pub fn set_max(&mut self, max_bps: u64) {
        self.max_bps = max_bps as f64;
    }

    /// Switches the source on or off, like a camera.
    pub fn set_active(&mut self, active: bool) {
        self.active = active;
    }

    /// When the next frame is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// The packets of the frame that is due at `now`; none if the source is off or the pacer wants
    /// a frame skipped.
    pub(super) fn frame(
        &mut self,
        epoch: Instant,
        now: Instant,
        link: &Arc<LinkState>,
    ) -> Vec<rtp::Packet> {
        self.next += Self::INTERVAL;
        self.frames += 1;

        if !self.active || link.skip_frame() {
            return Vec::new();
        }

        let target = (link.video_target_bps() as f64).min(self.max_bps);
        let variation = 1.0 + SIZE_VARIATION * (2.0 * self.random.unit() - 1.0);
        let factor = if std::mem::take(&mut self.keyframe) {
            KEYFRAME
        } else {
            variation
        };

        let bytes = (target / 8.0 * Self::INTERVAL.as_secs_f64() * factor) as usize;
        let count = bytes.div_ceil(PAYLOAD).max(1);
        let make = |i: usize| {
            let size = if i + 1 == count {
                bytes - PAYLOAD * i.min(bytes / PAYLOAD)
            } else {
                PAYLOAD
            };

            self.sequence = self.sequence.wrapping_add(1);
            let timestamp = self.frames.wrapping_mul(3000);
            packet(
                self.ssrc,
                96,
                self.sequence,
                timestamp,
                i + 1 == count,
                payload(epoch, now, size),
            )
        };

        (0..count).map(make).collect()
    }
}

/// Speech: 80 bytes of payload every 20 ms, 32 kbit/s before headers.
#[derive(Debug)]
pub(super) struct AudioSource {
    ssrc: u32,
    sequence: u16,
    next: Instant,
}

impl AudioSource {
    /// A source for the stream `ssrc`.
    pub(super) fn new(now: Instant, ssrc: u32) -> Self {
        Self {
            ssrc,
            sequence: 0,
            next: now,
        }
    }

    /// When the next packet is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// The packet that is due at `now`.
    pub(super) fn packet(&mut self, epoch: Instant, now: Instant) -> rtp::Packet {
        self.next += Duration::from_millis(20);
        self.sequence = self.sequence.wrapping_add(1);
        let timestamp = u32::from(self.sequence).wrapping_mul(960);

        packet(
            self.ssrc,
            111,
            self.sequence,
            timestamp,
            false,
            payload(epoch, now, 80),
        )
    }
}
