//! The messages relayed to one client: numbered, and kept in case its connection breaks.
//!
//! What was written into a socket that broke may never have arrived, so the server keeps the last
//! messages of every client, connected or not. A client that resumes says which number it got last
//! (`lastSeq`); everything kept after that is sent again.
//!
//! - **Connected:** the last [`MAX_KEPT_MESSAGES`] or [`MAX_KEPT_BYTES`] are kept; older ones are
//!   dropped, because they have very likely arrived.
//! - **Away:** nothing is dropped, because nothing has arrived. Once that much waits unwritten, a
//!   further message is refused and its sender notified.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::{ServerEnvelope, ServerMessage};

/// Messages to keep for each client.
pub(super) const MAX_KEPT_MESSAGES: usize = 64;
/// Bytes to keep for each client.
pub(super) const MAX_KEPT_BYTES: usize = 256 * 1024;
/// Bytes that a kept message takes besides its payload.
const OVERHEAD_BYTES: usize = 256;

/// The client is away and as much as allowed waits for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
struct Kept {
    seq: u64,
    bytes: usize,
    message: Arc<ServerEnvelope>,
}

/// The numbering and the kept messages of one client.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// The number of the last message. The first message is number 1.
    seq: u64,
    /// Oldest first.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// How many of the kept messages came while the client was away, so were never written.
    unwritten: usize,
    unwritten_bytes: usize,
}

impl Delivery {
    /// For a client whose messages up to `seq` were numbered elsewhere and cannot be sent again.
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

    /// Gives a message the next number and keeps it.
    ///
    /// # Errors
    /// [`Full`] if the client is away and nothing more is kept for it. The number is not used up.
    pub(super) fn push(
        &mut self,
        payload_bytes: usize,
        is_away: bool,
        message: impl FnOnce(u64) -> ServerMessage,
    ) -> Result<Arc<ServerEnvelope>, Full> {
        let bytes = payload_bytes + OVERHEAD_BYTES;

        if is_away {
            if self.unwritten >= MAX_KEPT_MESSAGES || self.unwritten_bytes + bytes > MAX_KEPT_BYTES
            {
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
            self.drop_oldest();
        }

        Ok(message)
    }

    fn drop_oldest(&mut self) {
        while self.kept.len() > MAX_KEPT_MESSAGES || self.kept_bytes > MAX_KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };

            self.kept_bytes -= oldest.bytes;
        }
    }

    /// The client is back and has received everything up to `last_seq`. Returns the messages to
    /// send again, and how many between `last_seq` and those are lost.
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

    /// All kept messages, oldest first, to hand the client over to another node.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Arc<ServerEnvelope>> {
        self.kept.iter().map(|kept| &kept.message)
    }

    /// Adds a message that another node kept, under the number that it had there.
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
    fn messages_that_may_not_have_arrived_are_sent_again() {
        let mut delivery = Delivery::default();
        for expected in 1..=3 {
            assert_eq!(push(&mut delivery, 100, false), Ok(expected));
        }

        assert_eq!(
            push(&mut delivery, 100, true),
            Ok(4),
            "numbering continues while the client is away"
        );

        let (missed, lost) = delivery.resume(2);
        assert_eq!(
            (missed.len(), lost),
            (2, 0),
            "3 was written into the broken socket, 4 was never written"
        );

        let (missed, lost) = delivery.resume(4);
        assert_eq!((missed.len(), lost), (0, 0));
    }

    #[test]
    fn an_away_client_is_kept_64_messages_or_256_kib() {
        let mut delivery = Delivery::default();
        assert!((0..64).all(|_| push(&mut delivery, 1, true).is_ok()));
        assert_eq!(push(&mut delivery, 1, true), Err(Full), "64 messages");
        assert_eq!(delivery.seq(), 64, "a refused message gets no number");

        let mut delivery = Delivery::default();
        let taken = (0..64)
            .filter(|_| push(&mut delivery, 60_000, true).is_ok())
            .count();
        assert_eq!(taken, 4, "256 KiB hold four messages of 60,000 bytes");
        assert!(
            push(&mut delivery, 0, true).is_ok(),
            "there is still room for a small one"
        );
    }

    #[test]
    fn messages_that_are_too_old_are_counted_as_lost() {
        let mut delivery = Delivery::default();
        for _ in 0..100 {
            push(&mut delivery, 1, false).unwrap();
        }

        let (missed, lost) = delivery.resume(10);
        assert_eq!((missed.len(), lost), (64, 26), "the last 64 of 90 are kept");
        assert_eq!(
            delivery.resume(u64::MAX).0.len(),
            0,
            "a client cannot have received more than was sent"
        );
    }
}
