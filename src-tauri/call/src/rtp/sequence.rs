//! 16-bit sequence numbers as numbers that never wrap around.

/// How far behind the newest packet a late one may be before it looks like a restarted stream
/// instead. RFC 3550 §A.1 takes 100; retransmissions arrive later than that.
const MAX_LATENESS: i64 = 3_000;

/// Extends 16-bit sequence numbers (RFC 3550 §A.1): of all numbers that end in these 16 bits, it
/// takes the one nearest to the newest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SequenceUnwrapper {
    newest: Option<i64>,
}

impl SequenceUnwrapper {
    /// Extends `sequence` and remembers it if it is the newest. The first packet gets a number
    /// above 2^16, so that earlier ones still fit below it.
    pub(crate) fn unwrap(&mut self, sequence: u16) -> i64 {
        let number = self
            .peek(sequence)
            .unwrap_or_else(|| i64::from(sequence) + (1 << 16));
        self.newest = Some(self.newest.map_or(number, |newest| newest.max(number)));
        number
    }

    /// Extends `sequence` without remembering it; `None` before the first packet.
    pub(crate) fn peek(&self, sequence: u16) -> Option<i64> {
        let newest = self.newest?;
        let ahead = sequence.wrapping_sub(newest as u16) as i16;
        Some(newest + i64::from(ahead))
    }

    /// The newest number so far.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.newest
    }
}

/// A [`SequenceUnwrapper`] that follows a sender which starts counting again.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamSequence {
    unwrapper: SequenceUnwrapper,
    /// The number that would follow a packet from far behind. Two such packets in a row mean that
    /// the sender has restarted.
    restart: Option<u16>,
}

/// What a sequence number turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwrapped {
    /// A packet of the stream, ahead of the newest or behind it.
    Number(i64),
    /// Too far behind to be of use.
    Stale,
    /// The sender has restarted; this is the first number of the new count.
    Restart(i64),
}

impl StreamSequence {
    /// Extends `sequence`.
    pub(super) fn unwrap(&mut self, sequence: u16) -> Unwrapped {
        if let (Some(newest), Some(number)) =
            (self.unwrapper.newest(), self.unwrapper.peek(sequence))
            && number - newest < -MAX_LATENESS
        {
            return self.unwrap_stale(newest, sequence);
        }

        self.restart = None;
        Unwrapped::Number(self.unwrapper.unwrap(sequence))
    }

    fn unwrap_stale(&mut self, newest: i64, sequence: u16) -> Unwrapped {
        let follows = self.restart == Some(sequence);
        self.restart = Some(sequence.wrapping_add(1));
        if !follows {
            return Unwrapped::Stale;
        }

        // Above everything seen so far, so that the old count cannot be mistaken for the new one.
        let next_cycle = ((newest >> 16) + 2) << 16;
        let first = next_cycle + i64::from(sequence);
        self.unwrapper.newest = Some(first);
        self.restart = None;

        Unwrapped::Restart(first)
    }

    /// The newest number so far.
    pub(super) fn newest(&self) -> Option<i64> {
        self.unwrapper.newest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(sequence: &mut StreamSequence, number: u16) -> i64 {
        match sequence.unwrap(number) {
            Unwrapped::Number(number) => number,
            other => panic!("{number} became {other:?}"),
        }
    }

    #[test]
    fn numbers_continue_across_the_wrap_around() {
        let mut unwrapper = SequenceUnwrapper::default();
        assert_eq!(unwrapper.peek(65_534), None, "there is no newest yet");

        let first = unwrapper.unwrap(65_534);
        for (step, sequence) in [(1, 65_535), (2, 0), (3, 1), (1, 65_535), (5, 3)] {
            assert_eq!(
                unwrapper.unwrap(sequence),
                first + step,
                "{sequence} is {step} after the first"
            );
        }

        assert_eq!(
            unwrapper.newest(),
            Some(first + 5),
            "a late packet is not the newest"
        );
        assert_eq!(unwrapper.peek(7), Some(first + 9));
        assert_eq!(
            unwrapper.newest(),
            Some(first + 5),
            "peeking changes nothing"
        );
    }

    #[test]
    fn one_packet_from_far_behind_is_stale_but_two_in_a_row_are_a_restart() {
        let mut sequence = StreamSequence::default();
        let newest = number(&mut sequence, 20_000);
        assert_eq!(
            sequence.unwrap(100),
            Unwrapped::Stale,
            "one may be an old duplicate"
        );
        assert_eq!(
            number(&mut sequence, 20_001),
            newest + 1,
            "and changes nothing"
        );

        assert_eq!(sequence.unwrap(100), Unwrapped::Stale);
        let Unwrapped::Restart(first) = sequence.unwrap(101) else {
            panic!("two in a row are a new count")
        };
        assert!(first > newest + 1, "the new count lies above the old one");
        assert_eq!(number(&mut sequence, 102), first + 1);
    }
}
