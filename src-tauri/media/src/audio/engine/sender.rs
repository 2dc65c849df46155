//! Encodes blocks into Opus packets and passes them on.

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use super::{OutgoingAudio, OutgoingAudioSink};
use crate::audio::opus::{MAX_PACKET_BYTES, OpusConfig, OpusEncoder, OpusError};
use crate::audio::schedule::Tick;
use crate::audio::{BLOCK_SAMPLES, PACKET_SAMPLES};

/// A packet of at most this many bytes means silence and need not be sent (RFC 6716 §2.1.9, libopus
/// `OPUS_SET_DTX`).
const DTX_BYTES: usize = 2;

/// Encodes two blocks into each packet and passes packets to the network.
pub(super) struct PacketSender {
    encoder: OpusEncoder,
    outgoing: OutgoingAudioSink,
    /// RTP timestamp of block 0, random as RFC 3550 §5.1 asks.
    timestamp_base: u32,
    pcm: [i16; PACKET_SAMPLES],
    /// Tick and capture time of a packet's first half, until its second half completes it.
    first: Option<(Tick, Instant)>,
    /// Whether the next packet is the first after silence.
    in_silence: bool,
    expected_loss_percent: u8,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl PacketSender {
    pub(super) fn new(bitrate_bps: u32, outgoing: OutgoingAudioSink) -> Result<Self, OpusError> {
        let config = OpusConfig {
            bitrate_bps,
            fec: true,
            dtx: true,
            expected_loss_percent: 0,
        };

        Ok(Self {
            encoder: OpusEncoder::new(config)?,
            outgoing,
            // The standard library's hash keys are random, which saves a dependency here.
            timestamp_base: RandomState::new().hash_one(0u8) as u32,
            pcm: [0; PACKET_SAMPLES],
            first: None,
            in_silence: true,
            expected_loss_percent: 0,
            packets: 0,
            bytes: 0,
        })
    }

    pub(super) fn set_expected_loss(&mut self, percent: u8) -> Result<(), OpusError> {
        if percent != self.expected_loss_percent {
            self.encoder.set_expected_loss(percent)?;
            self.expected_loss_percent = percent;
        }

        Ok(())
    }

    /// Takes the block of `tick`. Every second block completes a packet.
    pub(super) fn push(
        &mut self,
        tick: Tick,
        captured_at: Instant,
        block: &[i16; BLOCK_SAMPLES],
    ) -> Result<(), OpusError> {
        let (head, tail) = self.pcm.split_at_mut(BLOCK_SAMPLES);
        match self.first {
            Some((first, first_at)) if tick.index == first.index + 1 => {
                tail.copy_from_slice(block);
                self.first = None;
                self.encode(first, first_at)
            }
            // This is the first half, or ticks were skipped: a packet must not span the gap.
            _ => {
                head.copy_from_slice(block);
                self.first = Some((tick, captured_at));
                Ok(())
            }
        }
    }

    fn encode(&mut self, first: Tick, captured_at: Instant) -> Result<(), OpusError> {
        let mut packet = [0; MAX_PACKET_BYTES];
        let length = self.encoder.encode(&self.pcm, &mut packet)?;

        if length <= DTX_BYTES {
            self.in_silence = true;
            return Ok(());
        }

        self.packets += 1;
        self.bytes += length as u64;
        (self.outgoing)(OutgoingAudio {
            rtp_timestamp: self
                .timestamp_base
                .wrapping_add((first.index as u32).wrapping_mul(BLOCK_SAMPLES as u32)),
            payload: &packet[..length],
            captured_at,
            marker: std::mem::take(&mut self.in_silence),
        });

        Ok(())
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests start from the current time"
)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::audio::test_signal::TestSignal;

    /// A sender, and the timestamp, capture time and marker of each packet it sends.
    fn sender() -> (PacketSender, mpsc::Receiver<(u32, Instant, bool)>) {
        let (tx, rx) = mpsc::channel();
        let outgoing = Box::new(move |sent: OutgoingAudio<'_>| {
            tx.send((sent.rtp_timestamp, sent.captured_at, sent.marker))
                .unwrap();
        });

        (PacketSender::new(24_000, outgoing).unwrap(), rx)
    }

    fn tick(index: u64, start: Instant) -> Tick {
        Tick {
            index,
            due: start + std::time::Duration::from_millis(10 * index),
        }
    }

    #[test]
    fn two_blocks_make_a_packet_with_the_time_of_the_first_block() {
        let (mut sender, sent) = sender();
        let start = Instant::now();

        for index in 0..100 {
            let mut block = [0; BLOCK_SAMPLES];
            TestSignal.fill(&mut block, index as i64 * 10_000);
            let at = tick(index, start);
            sender.push(at, at.due, &block).unwrap();
        }

        let sent: Vec<_> = sent.try_iter().collect();
        assert_eq!(sent.len(), 50, "a second is fifty packets of 20 ms");
        assert_eq!(sender.packets, 50, "every packet is counted");

        for (n, pair) in sent.windows(2).enumerate() {
            assert_eq!(
                pair[1].0.wrapping_sub(pair[0].0),
                960,
                "timestamps advance by 960 samples (packet {n})"
            );

            assert_eq!(
                (pair[1].1 - pair[0].1).as_millis(),
                20,
                "and so does the capture time (packet {n})"
            );
        }

        assert!(sent[0].2, "the first packet starts a talk spurt");
        assert!(
            sent[1..].iter().all(|packet| !packet.2),
            "the other packets continue it"
        );
    }

    #[test]
    fn a_packet_never_spans_skipped_ticks() {
        let (mut sender, sent) = sender();
        let start = Instant::now();
        let mut block = [0; BLOCK_SAMPLES];
        TestSignal.fill(&mut block, 0);

        for index in [0, 1, 2, 50, 51] {
            sender.push(tick(index, start), start, &block).unwrap();
        }

        let stamps: Vec<u32> = sent.try_iter().map(|packet| packet.0).collect();
        assert_eq!(stamps.len(), 2, "the half packet before the gap is dropped");

        assert_eq!(
            stamps[1].wrapping_sub(stamps[0]),
            50 * 480,
            "the timestamp includes the gap"
        );
    }

    #[test]
    fn silence_is_not_sent_and_the_next_audio_is_marked() {
        let (mut sender, sent) = sender();
        let start = Instant::now();
        let mut index = 0;
        let mut push = |sender: &mut PacketSender, audible: bool, blocks: u64| {
            for _ in 0..blocks {
                let mut block = [0; BLOCK_SAMPLES];
                if audible {
                    TestSignal.fill(&mut block, index as i64 * 10_000);
                }

                sender.push(tick(index, start), start, &block).unwrap();
                index += 1;
            }
        };

        push(&mut sender, true, 100);
        let _ = sent.try_iter().count();
        push(&mut sender, false, 200);

        let silent = sent.try_iter().count();
        assert!(
            silent < 30,
            "of 100 packets of silence only the hangover and comfort noise are sent, not {silent}"
        );

        push(&mut sender, true, 20);
        let first = sent.try_iter().next().expect("audio after silence is sent");
        assert!(first.2, "it starts a new talk spurt");
    }
}
