//! Joins blocks to Opus packets.

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use super::{OutgoingAudio, OutgoingAudioSink};
use crate::audio::opus::{MAX_PACKET_BYTES, OpusConfig, OpusEncoder, OpusError};
use crate::audio::schedule::Tick;
use crate::audio::{BLOCK, PACKET};

/// A packet of at most this many bytes says "silence": it need not be sent (RFC 6716 §2.1.9, libopus `OPUS_SET_DTX`).
const DTX_BYTES: usize = 2;

/// Encodes blocks and hands out packets.
pub(super) struct Sender {
    encoder: OpusEncoder,
    outgoing: OutgoingAudioSink,
    /// RTP timestamp of block 0: random, as RFC 3550 §5.1 asks.
    timestamp_base: u32,
    pcm: [i16; PACKET],
    /// The first half of a packet, once it is there: its tick and when it was captured.
    first: Option<(Tick, Instant)>,
    in_silence: bool,
    expected_loss_percent: u8,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Sender {
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
            // The standard library's hash keys are the randomness at hand.
            timestamp_base: RandomState::new().hash_one(0u8) as u32,
            pcm: [0; PACKET],
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

    /// Takes the block of `tick`; every second one completes a packet.
    pub(super) fn push(
        &mut self,
        tick: Tick,
        captured_at: Instant,
        block: &[i16; BLOCK],
    ) -> Result<(), OpusError> {
        let (head, tail) = self.pcm.split_at_mut(BLOCK);
        match self.first {
            Some((first, first_at)) if tick.index == first.index + 1 => {
                tail.copy_from_slice(block);
                self.first = None;
                self.encode(first, first_at)
            }
            // The first half, or ticks were left out since: a packet must not span the hole.
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
                .wrapping_add((first.index as u32).wrapping_mul(BLOCK as u32)),
            payload: &packet[..length],
            captured_at,
            marker: std::mem::take(&mut self.in_silence),
        });

        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::audio::test_signal::TestSignal;

    /// What the sender hands out: timestamp, captured_at, marker.
    fn sender() -> (Sender, mpsc::Receiver<(u32, Instant, bool)>) {
        let (tx, rx) = mpsc::channel();
        let outgoing = Box::new(move |sent: OutgoingAudio<'_>| {
            tx.send((sent.rtp_timestamp, sent.captured_at, sent.marker))
                .unwrap();
        });

        (Sender::new(24_000, outgoing).unwrap(), rx)
    }

    fn tick(index: u64, start: Instant) -> Tick {
        Tick {
            index,
            due: start + std::time::Duration::from_millis(10 * index),
        }
    }

    #[test]
    fn two_blocks_make_a_packet_with_the_time_of_the_first() {
        let (mut sender, sent) = sender();
        let start = Instant::now();

        for index in 0..100 {
            let mut block = [0; BLOCK];
            TestSignal.fill(&mut block, index as i64 * 10_000);
            let at = tick(index, start);
            sender.push(at, at.due, &block).unwrap();
        }

        let sent: Vec<_> = sent.try_iter().collect();
        assert_eq!(sent.len(), 50, "a second is fifty packets of 20 ms");
        assert_eq!(sender.packets, 50, "and all are counted");

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

        assert!(sent[0].2, "the first packet begins a talk spurt");
        assert!(
            sent[1..].iter().all(|packet| !packet.2),
            "the others go on with it"
        );
    }

    #[test]
    fn a_hole_in_the_ticks_does_not_fall_inside_a_packet() {
        let (mut sender, sent) = sender();
        let start = Instant::now();
        let mut block = [0; BLOCK];
        TestSignal.fill(&mut block, 0);

        for index in [0, 1, 2, 50, 51] {
            sender.push(tick(index, start), start, &block).unwrap();
        }

        let stamps: Vec<u32> = sent.try_iter().map(|packet| packet.0).collect();
        assert_eq!(
            stamps.len(),
            2,
            "the half packet before the hole is dropped"
        );

        assert_eq!(
            stamps[1].wrapping_sub(stamps[0]),
            50 * 480,
            "the timestamp counts the hole"
        );
    }

    #[test]
    fn silence_is_not_sent_and_the_next_sound_is_marked() {
        let (mut sender, sent) = sender();
        let start = Instant::now();
        let mut index = 0;
        let mut push = |sender: &mut Sender, sound: bool, blocks: u64| {
            for _ in 0..blocks {
                let mut block = [0; BLOCK];
                if sound {
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
            "of 100 packets of silence only the hangover and comfort noise go out, not {silent}"
        );

        push(&mut sender, true, 20);
        let first = sent.try_iter().next().expect("sound after silence is sent");
        assert!(first.2, "it begins a new talk spurt");
    }
}
