//! 16-bit sequence numbers as numbers that never wrap.

/// How far behind the newest packet a late one may be before it looks like a restarted stream instead. RFC 3550 §A.1
/// takes 100; retransmissions come later than that.
const MAX_LATENESS: i64 = 3_000;

/// Extends 16-bit sequence numbers (RFC 3550 §A.1): of all numbers that end in these 16 bits, the nearest to the newest.
#[derive(Debug, Clone, Default)]
pub struct SequenceUnwrapper {
    newest: Option<i64>,
    /// The number that would follow a packet from far behind: two in a row mean that the sender began anew.
    restart: Option<u16>,
}

/// What a sequence number turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwrapped {
    /// A packet of the stream, before or behind the newest.
    Number(i64),
    /// Too far behind to be of use.
    Stale,
    /// The sender began anew; this is the first number of the new count.
    Restart(i64),
}

impl SequenceUnwrapper {
    /// Extends `sequence`. The first packet has a number above 2^16, so that a few earlier ones still fit below.
    pub fn unwrap(&mut self, sequence: u16) -> Unwrapped {
        let Some(newest) = self.newest else {
            let first = i64::from(sequence) + (1 << 16);
            self.newest = Some(first);
            return Unwrapped::Number(first);
        };

        let distance = i64::from(sequence.wrapping_sub(newest as u16) as i16);
        if distance < -MAX_LATENESS {
            let again = self.restart == Some(sequence);
            self.restart = Some(sequence.wrapping_add(1));

            if !again {
                return Unwrapped::Stale;
            }

            // Above everything seen so far, so that the old count cannot be mistaken for the new one.
            let next_cycle = ((newest >> 16) + 2) << 16;
            let first = next_cycle + i64::from(sequence);
            self.newest = Some(first);
            self.restart = None;
            return Unwrapped::Restart(first);
        }

        self.restart = None;
        let number = newest + distance;
        self.newest = Some(newest.max(number));

        Unwrapped::Number(number)
    }

    /// The newest number so far.
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(unwrapper: &mut SequenceUnwrapper, sequence: u16) -> i64 {
        match unwrapper.unwrap(sequence) {
            Unwrapped::Number(number) => number,
            other => panic!("{sequence} became {other:?}"),
        }
    }

    #[test]
    fn numbers_go_on_over_the_wrap_around() {
        let mut unwrapper = SequenceUnwrapper::default();
        let first = number(&mut unwrapper, 65_534);

        for (step, sequence) in [(1, 65_535), (2, 0), (3, 1), (1, 65_535), (5, 3)] {
            assert_eq!(
                number(&mut unwrapper, sequence),
                first + step,
                "{sequence} is {step} after the first"
            );
        }

        assert_eq!(
            unwrapper.newest(),
            Some(first + 5),
            "a late packet is not the newest"
        );
    }

    #[test]
    fn a_stray_packet_from_far_behind_is_stale_but_two_in_a_row_restart() {
        let mut unwrapper = SequenceUnwrapper::default();
        let newest = number(&mut unwrapper, 20_000);
        assert_eq!(
            unwrapper.unwrap(100),
            Unwrapped::Stale,
            "one may be an old duplicate"
        );

        assert_eq!(
            number(&mut unwrapper, 20_001),
            newest + 1,
            "and changes nothing"
        );
        assert_eq!(unwrapper.unwrap(100), Unwrapped::Stale);
        let Unwrapped::Restart(first) = unwrapper.unwrap(101) else {
            panic!("two in a row are a new count")
        };

        assert!(first > newest + 1, "the new count lies above the old one");
        assert_eq!(number(&mut unwrapper, 102), first + 1);
    }
}
