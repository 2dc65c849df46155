//! The pacer's place in the interceptor chain.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;

use super::{Class, Pacer, PacerConfig};
use crate::bwe::PACING_FACTOR;
use crate::link::{Bitrate, LinkState};

/// Until congestion is met, the first keyframe leaves within about one frame interval, so that a
/// call starts at once.
const RAMPING_MAX_DELAY: Duration = Duration::from_millis(40);
/// Once the path's capacity is known, a keyframe is spread over several frame intervals, so that it
/// does not fill the path's queue.
const MAX_DELAY: Duration = Duration::from_millis(150);
/// If packets would wait longer than this in the pacer, the encoder skips the next frame.
const SKIP_FRAME_ABOVE: Duration = Duration::from_millis(100);
/// Retransmissions may use this share of the estimate.
const RETRANSMISSION_SHARE: f64 = 0.5;
/// How much of that share they may save up.
const RETRANSMISSION_BURST: Duration = Duration::from_millis(250);
/// Window over which the audio rate is measured.
const AUDIO_WINDOW: Duration = Duration::from_secs(1);

/// Paces RTP in `Slot::Pacer` by the estimate in [`LinkState`]. RTCP passes at once.
pub(crate) struct PacerInterceptor {
    link: Arc<LinkState>,
    pacer: Pacer<TaggedPacket>,
    audio_streams: HashSet<u32>,
    audio: AudioRate,
    repair: RepairBudget,
    rate: Bitrate,
    /// Network to application.
    inbound: VecDeque<TaggedPacket>,
    /// Application to network: packets that the pacer has released.
    outbound: VecDeque<TaggedPacket>,
}

impl PacerInterceptor {
    /// A pacer that follows the estimate in `link`.
    pub(crate) fn new(link: Arc<LinkState>) -> Self {
        let rate = link.target() * PACING_FACTOR;
        let config = PacerConfig {
            max_delay: RAMPING_MAX_DELAY,
            ..PacerConfig::default()
        };

        Self {
            link,
            pacer: Pacer::new(config, rate),
            audio_streams: HashSet::new(),
            audio: AudioRate::default(),
            repair: RepairBudget::default(),
            rate,
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
        }
    }

    fn follow_estimate(&mut self, now: Instant) {
        let rate = self.link.target() * PACING_FACTOR;
        if rate != self.rate {
            self.rate = rate;
            self.pacer.set_rate(now, rate);
        }

        self.pacer.set_max_delay(if self.link.ramping() {
            RAMPING_MAX_DELAY
        } else {
            MAX_DELAY
        });
    }

    fn release(&mut self, now: Instant) {
        while let Some((class, mut packet)) = self.pacer.poll(now) {
            if class == Class::Retransmission {
                self.link.retransmissions_sent.fetch_add(1, Relaxed);
            }

            self.link.count_sent();
            // The send history takes the departure from here: waiting in this queue is not the
            // path's delay.
            packet.now = now;
            self.outbound.push_back(packet);
        }

        let queue = self.pacer.queue_delay();
        self.link
            .publish_pacer(queue, queue > SKIP_FRAME_ABOVE, self.audio.rate());
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for PacerInterceptor {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if matches!(msg.message.packet, Packet::Rtcp(_)) {
            self.follow_estimate(msg.now);
        }

        self.inbound.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        let now = msg.now;
        let Packet::Rtp(rtp) = &msg.message.packet else {
            self.outbound.push_back(msg);
            return Ok(());
        };

        let (ssrc, bytes) = (rtp.header.ssrc, rtp.marshal_size());
        let class = if self.audio_streams.contains(&ssrc) {
            self.audio.on_packet(now, bytes);
            Class::Audio
        } else if msg.message.has(&Attribute::Retransmission) {
            Class::Retransmission
        } else {
            Class::Video
        };

        let within_budget =
            class != Class::Retransmission || self.repair.take(now, bytes, self.link.target());
        if !within_budget || !self.pacer.enqueue(now, class, bytes, msg) {
            tracing::debug!("dropped a retransmission: the partner requests too many");
        }

        // What the budget allows leaves without waiting for a timer, which is only accurate to a
        // millisecond.
        self.release(now);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.follow_estimate(now);
        self.release(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.pacer.next_release()
    }
}

impl Interceptor for PacerInterceptor {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        if info.mime_type.to_ascii_lowercase().starts_with("audio/") {
            self.audio_streams.insert(info.ssrc);
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.audio_streams.remove(&info.ssrc);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// Keeps retransmissions from crowding out fresh video: after an outage the partner may request a
/// second of video at once.
#[derive(Debug, Default)]
struct RepairBudget {
    bits: f64,
    refilled: Option<Instant>,
}

impl RepairBudget {
    /// Takes `bytes` off the budget, which grows with the estimate `target`. Returns `false` if
    /// nothing is left.
    fn take(&mut self, now: Instant, bytes: usize, target: Bitrate) -> bool {
        let share = target * RETRANSMISSION_SHARE;
        let full = share.bits_in(RETRANSMISSION_BURST);
        self.bits = self.refilled.map_or(full, |then| {
            let elapsed = now.saturating_duration_since(then);
            (self.bits + share.bits_in(elapsed)).min(full)
        });
        self.refilled = Some(now);

        if self.bits <= 0.0 {
            return false;
        }

        self.bits -= bytes as f64 * 8.0;
        true
    }
}

/// Measures the audio sent over the last whole window.
#[derive(Debug, Default)]
struct AudioRate {
    window: Option<Instant>,
    bits: f64,
    rate: Bitrate,
}

impl AudioRate {
    fn on_packet(&mut self, now: Instant, bytes: usize) {
        let start = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);

        if elapsed >= AUDIO_WINDOW {
            self.rate = Bitrate::from_bits_per(self.bits, elapsed);
            self.bits = 0.0;
            self.window = Some(now);
        }

        self.bits += bytes as f64 * 8.0;
    }

    fn rate(&self) -> Bitrate {
        self.rate
    }
}
