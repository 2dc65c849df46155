//! How many different rooms a connection, a person or an address may try.
//!
//! Sans-IO. Short codes can be found by trying one after the other, so each new room counts. One of
//! the last rooms tried costs nothing: calling the same person again does not count, nor does the
//! second person behind the same address who enters the same room.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::rate::{Meter, Rate};
use crate::message::{ClientMessage, MAX_LISTEN_ROOMS, room_number};

/// How many of the last rooms tried are remembered, at most 64 bytes each. At least the default
/// limit for an address.
const MAX_REMEMBERED: usize = 64;
/// From this length on, a room that a client listens in costs nothing: 128 random bits have 22
/// characters in the alphabet of room codes, and a client listens in a private room for each person
/// of its recent calls.
const UNGUESSABLE_CHARS: usize = 22;
const MINUTE: Duration = Duration::from_secs(60);

/// The different rooms that may be tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoomLimits {
    /// On one connection, and by one person on all of their connections.
    pub(crate) connection: Rate,
    /// From one address.
    pub(crate) address: Rate,
}

impl RoomLimits {
    /// The limits for `per_minute` rooms from one address; zero: no limit. A connection may try a
    /// third of them. However low the limit is, the longest `listen` must fit.
    pub(crate) fn new(per_minute: u32) -> Self {
        let longest_list = u32::try_from(MAX_LISTEN_ROOMS).unwrap_or(u32::MAX);
        let rate = |rooms: u32| Rate::new(rooms, MINUTE, rooms.max(longest_list));

        Self {
            connection: rate(per_minute.div_ceil(3)),
            address: rate(per_minute),
        }
    }
}

/// The rooms that a message tries. In a `listen`, rooms that are too long to guess do not count.
/// Neither do numbers: only their owner may listen in them, and the answer is the same whether or
/// not they are claimed.
pub(crate) fn tried_rooms(message: &ClientMessage) -> impl Iterator<Item = &str> {
    let (search, list) = match message {
        ClientMessage::FindPartner(search) => (search.room.as_deref(), &[][..]),
        ClientMessage::Listen { rooms } => (None, &rooms[..]),
        _ => (None, &[][..]),
    };

    let listened = list
        .iter()
        .map(String::as_str)
        .filter(|room| room.len() < UNGUESSABLE_CHARS && room_number(room).is_none());
    search.into_iter().chain(listened)
}

/// Counts the rooms that were tried, against one limit.
#[derive(Debug, Default)]
pub(crate) struct RoomMeter {
    meter: Meter,
    /// Oldest first.
    remembered: VecDeque<Box<str>>,
}

impl RoomMeter {
    /// Counts the rooms that are not among the last ones tried: all of them, or none if they are
    /// too many.
    ///
    /// # Errors
    /// How long to wait before trying again.
    pub(crate) fn take<'a>(
        &mut self,
        rate: Rate,
        rooms: impl Iterator<Item = &'a str>,
        now: Instant,
    ) -> Result<(), Duration> {
        if rate.is_unlimited() {
            return Ok(());
        }

        let new: Vec<&str> = rooms
            .filter(|room| !self.remembered.iter().any(|tried| **tried == **room))
            .collect();
        let count = u32::try_from(new.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return Ok(());
        }

        self.meter.take(rate, count, now)?;
        self.remembered.extend(new.into_iter().map(Box::from));
        let excess = self.remembered.len().saturating_sub(MAX_REMEMBERED);
        self.remembered.drain(..excess);
        Ok(())
    }

    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.meter.is_idle(now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use super::*;
    use crate::message::FindPartner;

    /// How many of the rooms `prefix-0`, `prefix-1`, … pass at `now`.
    fn passed(meter: &mut RoomMeter, rate: Rate, prefix: &str, now: Instant) -> usize {
        (0..1_000)
            .filter(|n| {
                let room = format!("{prefix}-{n}");
                meter.take(rate, [&*room].into_iter(), now).is_ok()
            })
            .count()
    }

    #[test]
    fn new_rooms_count_and_a_room_that_was_tried_does_not() {
        let limits = RoomLimits::new(60);
        let (mut meter, now) = (RoomMeter::default(), Instant::now());
        assert_eq!(passed(&mut meter, limits.connection, "a", now), 20);

        let again = (0..1_000).all(|_| {
            let room = ["a-3"].into_iter();
            meter.take(limits.connection, room, now).is_ok()
        });
        assert!(again, "the same person is called again");

        let wait = meter.take(limits.connection, ["b"].into_iter(), now);
        assert_eq!(wait, Err(Duration::from_secs(3)));
        let later = now + Duration::from_secs(3);
        assert!(
            meter
                .take(limits.connection, ["b"].into_iter(), later)
                .is_ok(),
            "waiting as long as returned is enough"
        );
    }

    #[test]
    fn a_guesser_gets_no_more_than_the_limit_in_an_hour() {
        let rate = RoomLimits::new(60).address;
        let (mut meter, mut now) = (RoomMeter::default(), Instant::now());
        let mut found = 0;
        for minute in 0..60 {
            found += passed(&mut meter, rate, &minute.to_string(), now);
            now += MINUTE;
        }

        assert_eq!(found, 60 * 60);
        assert!(meter.remembered.len() <= MAX_REMEMBERED);
        assert!(meter.is_idle(now));
    }

    #[test]
    fn a_list_passes_as_a_whole_or_not_at_all_and_the_longest_fits_any_limit() {
        let list: Vec<String> = (0..MAX_LISTEN_ROOMS).map(|n| n.to_string()).collect();
        let list = || list.iter().map(String::as_str);
        let rate = RoomLimits::new(1).connection;
        let (mut meter, now) = (RoomMeter::default(), Instant::now());

        assert!(meter.take(rate, ["x"].into_iter(), now).is_ok());
        assert!(meter.take(rate, list(), now).is_err());
        assert!(meter.remembered.iter().all(|room| **room == *"x"));
        assert!(RoomMeter::default().take(rate, list(), now).is_ok());
    }

    #[test]
    fn without_a_limit_nothing_is_remembered() {
        let rate = RoomLimits::new(0).address;
        let mut meter = RoomMeter::default();
        assert_eq!(passed(&mut meter, rate, "a", Instant::now()), 1_000);
        assert!(meter.remembered.is_empty());
    }

    #[test]
    fn a_list_counts_the_rooms_that_can_be_guessed() {
        let rooms = ["blue-otter", "7", "3f9a1c77b2d84e5f9a6b0c1d2e3f4a5b"];
        let listen = ClientMessage::Listen {
            rooms: rooms.map(str::to_owned).to_vec(),
        };
        assert_eq!(tried_rooms(&listen).collect::<Vec<_>>(), ["blue-otter"]);

        for room in rooms {
            let search = ClientMessage::FindPartner(FindPartner {
                room: Some(room.to_owned()),
                ..FindPartner::default()
            });
            assert_eq!(tried_rooms(&search).collect::<Vec<_>>(), [room]);
        }

        let next = ClientMessage::Next { session_id: None };
        assert_eq!(tried_rooms(&next).count(), 0, "it repeats a search");
    }
}
