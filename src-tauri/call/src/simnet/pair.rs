//! Two peers' interceptor chains over two links, in virtual time.
//!
//! This runs everything that a call runs between the packetizer's output and the depacketizer's
//! input (congestion control, pacer, transport feedback, NACK, reports), but not SRTP, ICE and
//! sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{
    AttributedPacket, Interceptor, Packet, RTCPFeedback, RTPHeaderExtension, StreamInfo,
    TaggedPacket,
};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::shared::TransportContext;
use rtc::shared::marshal::MarshalSize;

use super::source::{AudioSource, VideoSource, made_at};
use crate::congestion::{self, BitrateBounds, CongestionError};
use crate::interceptors::keyframe_requests;
use crate::link::LinkState;
use tandem_link::{Conditions, Link};

/// What IPv4, UDP and SRTP add to an RTP packet, bytes.
const OVERHEAD: usize = 20 + 8 + 10;
/// Resolution of an async runtime's timers.
const TIMER: Duration = Duration::from_millis(1);
/// Time between samples.
const SAMPLE: Duration = Duration::from_millis(5);

/// The SSRCs of the two peers.
const VIDEO: [u32; 2] = [0x1000, 0x2000];
const AUDIO: [u32; 2] = [0x1001, 0x2001];

/// Who sends over which links.
#[derive(Debug, Clone, Copy)]
pub struct PairConfig {
    /// Bounds of both estimators.
    pub bounds: BitrateBounds,
    /// Conditions from the first peer to the second and back.
    pub paths: [Conditions; 2],
    /// Whether the second peer sends media too.
    pub both_ways: bool,
    /// Determines loss, jitter and frame sizes.
    pub seed: u64,
}

/// The state of the first peer's sending direction at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Since the start.
    pub at: Duration,
    /// The estimate, bits per second.
    pub target_bps: f64,
    /// What the partner acknowledged, bits per second.
    pub acked_bps: f64,
    /// How long a packet waits for the bottleneck, ms.
    pub queue_ms: f64,
    /// How long a packet waits in the pacer, ms.
    pub pacer_ms: f64,
}

/// A media packet that reached the second peer.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// When it was made, since the start.
    pub made: Duration,
    /// When it arrived, since the start.
    pub arrived: Duration,
    /// Sequence number.
    pub sequence: u16,
    /// Bytes of RTP.
    pub bytes: usize,
    /// Whether it is audio, not video.
    pub audio: bool,
}

struct Side {
    chain: Box<dyn Interceptor>,
    link: Arc<LinkState>,
    video: VideoSource,
    audio: AudioSource,
    sends: bool,
}

/// Two peers in a call. The module's documentation says what is simulated.
pub struct Pair {
    epoch: Instant,
    now: Instant,
    sides: [Side; 2],
    links: [Link<Packet>; 2],
    next_sample: Instant,
    /// One every 5 ms.
    pub samples: Vec<Sample>,
    /// Every media packet that reached the second peer, retransmissions included.
    pub received: Vec<Received>,
}

impl Pair {
    /// Two peers at the start of a call.
    ///
    /// # Errors
    /// The same as those of [`congestion::register`].
    #[expect(
        clippy::disallowed_methods,
        reason = "an arbitrary epoch: from here on time is virtual"
    )]
    pub fn new(config: PairConfig) -> Result<Self, CongestionError> {
        let now = Instant::now();
        let side = |i: usize| -> Result<Side, CongestionError> {
            let (registry, link) =
                congestion::register(&mut MediaEngine::default(), config.bounds)?;
            let mut chain: Box<dyn Interceptor> = Box::new(registry.build());
            let partner = 1 - i;

            for info in [video_stream(VIDEO[i]), audio_stream(AUDIO[i])] {
                chain.bind_local_stream(&info);
            }

            for info in [video_stream(VIDEO[partner]), audio_stream(AUDIO[partner])] {
                chain.bind_remote_stream(&info);
            }

            let video = VideoSource::new(
                now,
                VIDEO[i],
                config.bounds.max_bps,
                config.seed ^ (i as u64 + 1),
            );
            let audio = AudioSource::new(now, AUDIO[i]);
            Ok(Side {
                chain,
                link,
                video,
                audio,
                sends: i == 0 || config.both_ways,
            })
        };

        let links = [0, 1].map(|i| {
            Link::new(
                now,
                config.paths[i],
                config.seed.wrapping_mul(3).wrapping_add(i as u64),
            )
        });

        let sides = [side(0)?, side(1)?];
        Ok(Self {
            epoch: now,
            now,
            sides,
            links,
            next_sample: now,
            samples: Vec::new(),
            received: Vec::new(),
        })
    }

    /// What peer `i` knows about its path.
    pub fn link_state(&self, i: usize) -> &Arc<LinkState> {
        &self.sides[i].link
    }

    /// The camera of peer `i`.
    pub fn video_mut(&mut self, i: usize) -> &mut VideoSource {
        &mut self.sides[i].video
    }

    /// The link away from peer `i`.
    pub fn link(&self, i: usize) -> &Link<Packet> {
        &self.links[i]
    }

    /// Changes the conditions of the link away from peer `i`.
    pub fn change(&mut self, i: usize, change: impl FnOnce(&mut Conditions)) {
        let mut conditions = self.links[i].conditions();
        change(&mut conditions);
        self.links[i].set_conditions(self.now, conditions);
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    /// Lets `duration` of virtual time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.step();
            self.now = self
                .next_event()
                .max(self.now + Duration::from_micros(1))
                .min(end);
        }
    }

    /// Samples from `from` to `to` after the start.
    pub fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .filter(move |sample| (from..to).contains(&sample.at))
    }

    /// The first moment after `from` at which the bottleneck's queue starts to stay below
    /// `queue_ms` for a second.
    pub fn queue_settles_after(&self, from: Duration, queue_ms: f64) -> Option<Duration> {
        let mut calm = None;
        for sample in self.samples.iter().filter(|sample| sample.at >= from) {
            if sample.queue_ms >= queue_ms {
                calm = None;
            } else {
                let since = *calm.get_or_insert(sample.at);
                if sample.at - since >= Duration::from_secs(1) {
                    return calm;
                }
            }
        }

        None
    }

    /// The media that reached the second peer from `from` to `to` after the start, in RTP bits per
    /// second.
    pub fn goodput_bps(&self, from: Duration, to: Duration) -> f64 {
        let arrived = self
            .received
            .iter()
            .filter(|packet| (from..to).contains(&packet.arrived));
        arrived.map(|packet| packet.bytes as f64 * 8.0).sum::<f64>() / (to - from).as_secs_f64()
    }

    fn step(&mut self) {
        if self.now >= self.next_sample {
            self.next_sample += SAMPLE;
            self.sample();
        }

        for i in 0..2 {
            self.make_media(i);
            while let Some((_, packet)) = self.links[i].poll(self.now) {
                self.deliver(1 - i, packet);
            }

            let chain = &mut self.sides[i].chain;
            if chain.poll_timeout().is_some_and(|due| due <= self.now) {
                // If a handler fails, a call could do nothing about it either.
                let _ = chain.handle_timeout(self.now);
            }

            self.flush(i);
        }
    }

    fn make_media(&mut self, i: usize) {
        let side = &mut self.sides[i];
        let mut packets = Vec::new();

        if side.audio.next() <= self.now {
            packets.push(side.audio.packet(self.epoch, self.now));
        }

        if side.video.next() <= self.now {
            packets.extend(side.video.frame(self.epoch, self.now, &side.link));
        }

        for packet in packets.into_iter().filter(|_| side.sends) {
            let _ = side
                .chain
                .handle_write(tagged(self.now, Packet::Rtp(packet)));
        }
    }

    fn deliver(&mut self, i: usize, packet: Packet) {
        let _ = self.sides[i].chain.handle_read(tagged(self.now, packet));
        while let Some(message) = self.sides[i].chain.poll_read() {
            match message.message.packet {
                Packet::Rtp(rtp) if i == 1 => self.received.push(Received {
                    made: made_at(&rtp),
                    arrived: self.now - self.epoch,
                    sequence: rtp.header.sequence_number,
                    bytes: rtp.marshal_size(),
                    audio: rtp.header.ssrc == AUDIO[0],
                }),
                Packet::Rtcp(packets) if keyframe_requests(&packets) > 0 => {
                    self.sides[i].video.request_keyframe();
                }
                _ => {}
            }
        }

        self.flush(i);
    }

    fn flush(&mut self, i: usize) {
        while let Some(packet) = self.sides[i].chain.poll_write() {
            let size = match &packet.message.packet {
                Packet::Rtp(rtp) => rtp.marshal_size(),
                Packet::Rtcp(packets) => packets.iter().map(|packet| packet.marshal_size()).sum(),
                _ => 0,
            };

            self.links[i].send(self.now, size + OVERHEAD, packet.message.packet);
        }
    }

    fn sample(&mut self) {
        let link = &self.sides[0].link;
        self.samples.push(Sample {
            at: self.now - self.epoch,
            target_bps: link.target_bps() as f64,
            acked_bps: link.acked_bps() as f64,
            queue_ms: self.links[0].queue_delay(self.now).as_secs_f64() * 1e3,
            pacer_ms: link.pacer_queue().as_secs_f64() * 1e3,
        });
    }

    fn next_event(&mut self) -> Instant {
        let mut next = self.next_sample;
        for (side, link) in self.sides.iter_mut().zip(&self.links) {
            next = next.min(side.audio.next()).min(side.video.next());
            let timer = side
                .chain
                .poll_timeout()
                .map(|due| due.max(self.now + TIMER));

            next = timer
                .into_iter()
                .chain(link.next_event())
                .fold(next, Instant::min);
        }

        next
    }
}

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket {
        now,
        transport: TransportContext::default(),
        message: AttributedPacket::new(packet),
    }
}

fn feedback(typ: &str, parameter: &str) -> RTCPFeedback {
    RTCPFeedback {
        typ: typ.into(),
        parameter: parameter.into(),
    }
}

fn stream(ssrc: u32, mime_type: &str, payload_type: u8, clock_rate: u32) -> StreamInfo {
    let uri = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01".into();
    StreamInfo {
        ssrc,
        mime_type: mime_type.into(),
        payload_type,
        clock_rate,
        rtp_header_extensions: vec![RTPHeaderExtension { uri, id: 3 }],
        rtcp_feedback: vec![feedback("transport-cc", "")],
        ..Default::default()
    }
}

fn video_stream(ssrc: u32) -> StreamInfo {
    let mut info = stream(ssrc, "video/H264", 96, 90_000);
    info.rtcp_feedback
        .extend([feedback("nack", ""), feedback("nack", "pli")]);
    info
}

fn audio_stream(ssrc: u32) -> StreamInfo {
    stream(ssrc, "audio/opus", 111, 48_000)
}
