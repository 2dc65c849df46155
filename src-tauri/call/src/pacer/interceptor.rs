//! The pacer's place in the chain.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;

use super::{Class, Pacer, PacerConfig};
use crate::bwe::PACING_FACTOR;
use crate::interceptors::Passage;
use crate::link::LinkState;

/// While no congestion was met the first keyframe goes out within about a frame interval, so that a call starts at once.
const RAMPING_MAX_DELAY: Duration = Duration::from_millis(40);
/// Once the path's capacity is known a keyframe is spread over several frame intervals rather than thrown into its queue.
const MAX_DELAY: Duration = Duration::from_millis(150);
/// With this much waiting in the pacer the encoder leaves out the next frame.
const SKIP_FRAME_ABOVE: Duration = Duration::from_millis(100);
/// Retransmissions may take this share of the estimate, and save up so much time of it.
const RETRANSMISSION_SHARE: f64 = 0.5;
const RETRANSMISSION_BURST: f64 = 0.25;
/// Over what the audio rate is measured.
const AUDIO_WINDOW: Duration = Duration::from_secs(1);

/// Paces RTP in `Slot::Pacer` by the estimate in [`LinkState`]; RTCP passes at once.
pub struct PacerInterceptor {
    link: Arc<LinkState>,
    pacer: Pacer<TaggedPacket>,
    audio_streams: HashSet<u32>,
    audio: AudioRate,
    repair: RepairBudget,
    rate: f64,
    passage: Passage,
}

impl PacerInterceptor {
    /// A pacer at the rate that `link` says.
    pub fn new(link: Arc<LinkState>) -> Self {
        let rate = link.target_bps() as f64 * PACING_FACTOR;
        let config = PacerConfig {
            max_delay: RAMPING_MAX_DELAY,
            ..PacerConfig::default()
        };

        let pacer = Pacer::new(config, rate);
        Self {
            link,
            pacer,
            audio_streams: HashSet::new(),
            audio: AudioRate::default(),
            repair: RepairBudget::default(),
            rate,
            passage: Passage::default(),
        }
    }

    fn follow_estimate(&mut self, now: Instant) {
        let rate = self.link.target_bps() as f64 * PACING_FACTOR;
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
            // The send history reads the departure from here: the wait in this queue is not the path's.
            packet.now = now;
            self.passage.outbound.push_back(packet);
        }

        let queue = self.pacer.queue_delay();
        self.link
            .publish_pacer(queue, queue > SKIP_FRAME_ABOVE, self.audio.bps());
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

        self.passage.inbound.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.passage.inbound.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        let now = msg.now;
        let Packet::Rtp(rtp) = &msg.message.packet else {
            self.passage.outbound.push_back(msg);
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

        let within_budget = class != Class::Retransmission
            || self.repair.take(now, bytes, self.link.target_bps() as f64);
        if !within_budget || !self.pacer.enqueue(now, class, bytes, msg) {
            tracing::debug!("too many retransmissions asked for: one dropped");
        }

        // What the budget allows leaves without waiting for a timer, which is a millisecond coarse.
        self.release(now);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.passage.outbound.pop_front()
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

/// Keeps repair from crowding out what it repairs: after an outage the partner may ask for a second of video at once.
#[derive(Debug, Default)]
struct RepairBudget {
    bits: f64,
    refilled: Option<Instant>,
}

impl RepairBudget {
    /// Takes `bytes` off the budget, which grows with the estimate; `false` if there is none left.
    fn take(&mut self, now: Instant, bytes: usize, target_bps: f64) -> bool {
        let rate = target_bps * RETRANSMISSION_SHARE;
        let elapsed = self.refilled.map_or(f64::INFINITY, |then| {
            now.saturating_duration_since(then).as_secs_f64()
        });

        self.refilled = Some(now);
        self.bits = (self.bits + rate * elapsed).min(rate * RETRANSMISSION_BURST);

        if self.bits <= 0.0 {
            return false;
        }

        self.bits -= bytes as f64 * 8.0;
        true
    }
}

/// Audio sent, in bits per second over the last whole window.
#[derive(Debug, Default)]
struct AudioRate {
    window: Option<Instant>,
    bits: f64,
    bps: f64,
}

impl AudioRate {
    fn on_packet(&mut self, now: Instant, bytes: usize) {
        let start = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);

        if elapsed >= AUDIO_WINDOW {
            self.bps = self.bits / elapsed.as_secs_f64();
            self.bits = 0.0;
            self.window = Some(now);
        }

        self.bits += bytes as f64 * 8.0;
    }

    fn bps(&self) -> f64 {
        self.bps
    }
}
