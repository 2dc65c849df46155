//! Packets waiting to be played: in order, without duplicates, and bounded in number.

use std::collections::BTreeMap;

use super::AudioPacket;

/// Most packets in the buffer: 4 s at 20 ms each.
pub(super) const MAX_PACKETS: usize = 200;
/// Largest payload in bytes. The largest Opus packet is 1275 × 48 + overhead, but no datagram
/// carries that.
pub(super) const MAX_PAYLOAD: usize = 4_096;
/// A step forward by more than this many sequence numbers is a restart (RFC 3550 §A.1,
/// MAX_DROPOUT).
const MAX_DROPOUT: i64 = 3_000;
/// A step back by more than this is a restart, too (RFC 3550 §A.1, MAX_MISORDER).
const MAX_MISORDER: i64 = 100;
/// Sequence numbers behind the highest for which the store remembers whether they arrived.
const SEEN_WINDOW: i64 = 128;

/// What became of an inserted packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It waits to be played.
    Stored {
        /// Whether the store was full, so that the oldest packet was dropped.
        dropped: bool,
    },
    /// It has arrived before.
    Duplicate,
    /// Its place in the sequence has already been played.
    Late,
    /// It is empty, oversized, or far from the other sequence numbers.
    Refused,
    /// It is the second of two consecutive packets far from the others: the sender has restarted.
    /// Nothing was stored. Reset the buffer and insert the packet again; this returns its payload.
    Restart(Vec<u8>),
}

/// A packet with its unwrapped sequence number.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) sequence: i64,
    /// Unwrapped RTP timestamp, samples.
    pub(super) media: i64,
    pub(super) payload: Vec<u8>,
    /// Arrival time, in samples since the buffer's first call.
    pub(super) arrival: i64,
}

/// The packets in sequence order.
#[derive(Debug, Default)]
pub(super) struct PacketStore {
    packets: BTreeMap<i64, Waiting>,
    highest: Option<i64>,
    /// Bit n is set if the packet `highest - n` has arrived.
    seen: u128,
    /// Sequence numbers before this have been played or given up.
    next: Option<i64>,
    /// The sequence number that would confirm a restart.
    suspect: Option<u16>,
}

impl PacketStore {
    /// Stores `packet`, whose unwrapped RTP timestamp is `media`. If the store is full, the oldest
    /// packet is dropped.
    pub(super) fn insert(&mut self, packet: AudioPacket, media: i64, arrival: i64) -> Inserted {
        if packet.payload.is_empty() || packet.payload.len() > MAX_PAYLOAD {
            return Inserted::Refused;
        }

        let sequence = match self.highest {
            None => i64::from(packet.sequence),
            Some(highest) => {
                // Compare the low 16 bits only: the truncation is intended.
                let step = i64::from(packet.sequence.wrapping_sub(highest as u16) as i16);
                if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
                    let confirmed = self.suspect == Some(packet.sequence);
                    self.suspect = Some(packet.sequence.wrapping_add(1));
                    return if confirmed {
                        Inserted::Restart(packet.payload)
                    } else {
                        Inserted::Refused
                    };
                }

                highest + step
            }
        };

        self.suspect = None;

        let highest = self.highest.unwrap_or(sequence);
        if sequence > highest || self.highest.is_none() {
            let shift = sequence - highest;
            self.seen = if shift < SEEN_WINDOW {
                self.seen << shift
            } else {
                0
            } | 1;
            self.highest = Some(sequence);
        } else {
            let bit = 1u128 << (highest - sequence).min(SEEN_WINDOW - 1);
            if self.seen & bit != 0 {
                return Inserted::Duplicate;
            }

            self.seen |= bit;
        }

        if self.next.is_some_and(|next| sequence < next) {
            return Inserted::Late;
        }

        let waiting = Waiting {
            sequence,
            media,
            payload: packet.payload,
            arrival,
        };

        self.packets.insert(sequence, waiting);

        let dropped = self.packets.len() > MAX_PACKETS;
        if dropped {
            self.packets.pop_first();
        }

        Inserted::Stored { dropped }
    }

    /// The packet to play first.
    pub(super) fn first(&self) -> Option<&Waiting> {
        self.packets.first_key_value().map(|(_, packet)| packet)
    }

    /// Takes the packet to play first. Earlier packets are late from now on.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let (sequence, packet) = self.packets.pop_first()?;
        self.next = Some(sequence + 1);
        Some(packet)
    }

    /// Gives up all packets before `sequence`.
    pub(super) fn pass(&mut self, sequence: i64) {
        self.next = Some(self.next.map_or(sequence, |next| next.max(sequence)));
    }

    /// The sequence number to play next, once anything has been played.
    pub(super) fn next(&self) -> Option<i64> {
        self.next
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: Inserted = Inserted::Stored { dropped: false };

    fn packet(sequence: u16) -> AudioPacket {
        AudioPacket {
            sequence,
            timestamp: u32::from(sequence) * 960,
            payload: vec![1],
        }
    }

    fn insert(store: &mut PacketStore, sequence: u16) -> Inserted {
        store.insert(packet(sequence), 0, 0)
    }

    #[test]
    fn order_is_restored_across_the_wrap() {
        let mut store = PacketStore::default();
        for sequence in [65_533, 65_535, 1, 65_534, 0] {
            assert_eq!(insert(&mut store, sequence), STORED, "{sequence} is new");
        }

        let order: Vec<u16> = std::iter::from_fn(|| store.pop())
            .map(|packet| packet.sequence as u16)
            .collect();
        assert_eq!(
            order,
            [65_533, 65_534, 65_535, 0, 1],
            "packets come out in sending order"
        );
    }

    #[test]
    fn duplicates_and_late_packets_are_distinguished() {
        let mut store = PacketStore::default();
        for sequence in [10, 11, 13] {
            insert(&mut store, sequence);
        }

        assert_eq!(
            insert(&mut store, 11),
            Inserted::Duplicate,
            "11 is already waiting"
        );

        while store.pop().is_some() {}
        assert_eq!(
            insert(&mut store, 13),
            Inserted::Duplicate,
            "13 has been played"
        );

        assert_eq!(
            insert(&mut store, 12),
            Inserted::Late,
            "12 never arrived and is now too late"
        );

        assert_eq!(
            insert(&mut store, 12),
            Inserted::Duplicate,
            "12 arrives a second time"
        );
    }

    #[test]
    fn two_consecutive_stray_packets_are_a_restart_and_one_is_not() {
        let mut store = PacketStore::default();
        insert(&mut store, 100);
        assert_eq!(
            insert(&mut store, 30_000),
            Inserted::Refused,
            "one stray packet is refused"
        );
        assert_eq!(insert(&mut store, 101), STORED, "the stream continues");
        assert_eq!(
            insert(&mut store, 30_001),
            Inserted::Refused,
            "it does not follow the previous stray packet directly"
        );

        assert_eq!(
            insert(&mut store, 30_002),
            Inserted::Restart(vec![1]),
            "two consecutive stray packets are a restart"
        );
    }

    #[test]
    fn the_store_is_bounded_and_keeps_the_newest() {
        let mut store = PacketStore::default();
        for sequence in 0..1_000 {
            insert(&mut store, sequence);
        }

        assert_eq!(store.len(), MAX_PACKETS, "the store is bounded");
        assert_eq!(
            store.first().map(|packet| packet.sequence),
            Some(800),
            "the oldest packets were dropped"
        );

        assert_eq!(
            store.insert(
                AudioPacket {
                    payload: vec![0; 9_999],
                    ..packet(1_000)
                },
                0,
                0
            ),
            Inserted::Refused,
            "an oversized packet is refused"
        );
    }
}
