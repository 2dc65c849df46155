//! The relayed messages of one client: numbered, and kept for a connection that takes the place of a broken one.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::{ServerEnvelope, ServerMessage};

/// So many messages are kept for a client that is away.
pub(super) const KEPT_MESSAGES: usize = 64;
/// So many bytes are kept for a client that is away.
pub(super) const KEPT_BYTES: usize = 256 * 1024;
/// What a message takes beside its payload.
const OVERHEAD_BYTES: usize = 256;

/// The client is away and its buffer is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
struct Kept {
    seq: u64,
    bytes: usize,
    message: Arc<ServerEnvelope>,
}

/// What was relayed to one client. The last messages are kept even while it is connected: what was written into a
/// socket that broke may never have arrived.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    seq: u64,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// Of these, how many messages and bytes came while the client was away.
    unwritten: usize,
    unwritten_bytes: usize,
}

impl Delivery {
    /// As a client that has got `seq` messages, of which none can be sent again.
    pub(super) fn starting_after(seq: u64) -> Self {
        Self {
            seq,
            ..Self::default()
        }
    }

    /// The number of the last message.
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    /// Numbers a message and keeps it.
    ///
    /// # Errors
    /// [`Full`] if the client is away and no more is kept for it; the number is not used then.
    pub(super) fn push(
        &mut self,
        payload_bytes: usize,
        is_away: bool,
        message: impl FnOnce(u64) -> ServerMessage,
    ) -> Result<Arc<ServerEnvelope>, Full> {
        let bytes = payload_bytes + OVERHEAD_BYTES;
        if is_away {
            if self.unwritten >= KEPT_MESSAGES || self.unwritten_bytes + bytes > KEPT_BYTES {
                return Err(Full);
            }

            self.unwritten += 1;
            self.unwritten_bytes += bytes;
        }

        self.seq += 1;
        let message = Arc::new(ServerEnvelope::from(message(self.seq)));
        self.kept.push_back(Kept {
            seq: self.seq,
            bytes,
            message: message.clone(),
        });

        self.kept_bytes += bytes;
        if !is_away {
            while self.kept.len() > KEPT_MESSAGES || self.kept_bytes > KEPT_BYTES {
                let Some(oldest) = self.kept.pop_front() else {
                    break;
                };

                self.kept_bytes -= oldest.bytes;
            }
        }

        Ok(message)
    }

    /// The client is back and has got everything up to `last_seq`: what follows it, and how many messages before that
    /// are lost.
    pub(super) fn resume(&mut self, last_seq: u64) -> (Vec<Arc<ServerEnvelope>>, u64) {
        let last_seq = last_seq.min(self.seq);
        while let Some(oldest) = self.kept.pop_front_if(|kept| kept.seq <= last_seq) {
            self.kept_bytes -= oldest.bytes;
        }

        (self.unwritten, self.unwritten_bytes) = (0, 0);
        let missed: Vec<_> = self.kept.iter().map(|kept| kept.message.clone()).collect();
        let lost = self.seq - last_seq - missed.len() as u64;

        (missed, lost)
    }

    /// Everything that is kept, to hand it to another node.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Arc<ServerEnvelope>> {
        self.kept.iter().map(|kept| &kept.message)
    }

    /// Takes over what another node has kept.
    pub(super) fn keep(&mut self, seq: u64, payload_bytes: usize, message: ServerMessage) {
        let bytes = payload_bytes + OVERHEAD_BYTES;
        self.seq = self.seq.max(seq);
        self.kept.push_back(Kept {
            seq,
            bytes,
            message: Arc::new(message.into()),
        });

        self.kept_bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(delivery: &mut Delivery, bytes: usize, is_away: bool) -> Result<u64, Full> {
        let mut number = 0;
        delivery.push(bytes, is_away, |seq| {
            number = seq;
            ServerMessage::SearchCancelled
        })?;

        Ok(number)
    }

    #[test]
    fn what_was_written_but_not_received_is_sent_again() {
        let mut delivery = Delivery::default();
        for expected in 1..=3 {
            assert_eq!(push(&mut delivery, 100, false), Ok(expected));
        }

        assert_eq!(
            push(&mut delivery, 100, true),
            Ok(4),
            "numbers go on while the client is away"
        );

        let (missed, lost) = delivery.resume(2);
        assert_eq!(
            (missed.len(), lost),
            (2, 0),
            "3 was written into the broken socket, 4 waited"
        );

        let (missed, lost) = delivery.resume(4);
        assert_eq!((missed.len(), lost), (0, 0));
    }

    #[test]
    fn sixty_four_messages_or_256_kib_wait_for_who_is_away() {
        let mut delivery = Delivery::default();
        assert!((0..64).all(|_| push(&mut delivery, 1, true).is_ok()));
        assert_eq!(push(&mut delivery, 1, true), Err(Full), "64 messages");
        assert_eq!(delivery.seq(), 64, "what is refused has no number");
        let mut delivery = Delivery::default();
        let taken = (0..64)
            .filter(|_| push(&mut delivery, 60_000, true).is_ok())
            .count();

        assert_eq!(taken, 4, "256 KiB hold four messages of 60,000 bytes");
        assert!(
            push(&mut delivery, 0, true).is_ok(),
            "a small one has room still"
        );
    }

    #[test]
    fn what_is_too_old_is_lost_and_counted() {
        let mut delivery = Delivery::default();
        for _ in 0..100 {
            push(&mut delivery, 1, false).unwrap();
        }

        let (missed, lost) = delivery.resume(10);
        assert_eq!((missed.len(), lost), (64, 26), "of 90 the last 64 are kept");
        assert_eq!(
            delivery.resume(u64::MAX).0.len(),
            0,
            "a client cannot have got more than was sent"
        );
    }
}
