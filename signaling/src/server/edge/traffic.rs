//! How much one connection may send: messages, bytes, searches, rooms, reports and questions for TURN
//! credentials.
//!
//! Sans-IO. There are two lines of defence. A message over a limit is rejected and changes nothing,
//! but the server has still read and parsed it. So a client that floods far beyond the limits, with
//! messages or with pings or fragments, is not read for a while: its own TCP connection slows it
//! down.

use std::time::{Duration, Instant};

use super::rate::{Meter, Rate};
use super::room_meter::{RoomLimits, RoomMeter, tried_rooms};
use super::table::Usage;
use crate::message::{ClientMessage, MAX_MESSAGE_BYTES};

/// The longest time for which a flooding client is not read. What it sent beyond that is forgiven.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Frames that may come at once before a client counts as flooding, however low the limit for
/// messages is.
const MIN_FLOOD_FRAMES: u32 = 1000;

/// Questions for TURN credentials in a minute. Tandem asks once when it connects and then every few
/// minutes, but at most every 5 s.
const ICE_SERVERS_PER_MINUTE: u32 = 30;

/// The limits of each connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrafficLimits {
    messages: Rate,
    bytes: Rate,
    finds: Rate,
    reports: Rate,
    ice_servers: Rate,
    pub(super) rooms: RoomLimits,
    /// Beyond this, nothing is read for a while.
    flood_frames: Rate,
    flood_bytes: Rate,
}

impl TrafficLimits {
    /// Messages and bytes per second, searches and reports per minute, different rooms per minute
    /// and address; zero: no limit.
    pub(crate) fn new(messages: u32, bytes: u32, finds: u32, reports: u32, rooms: u32) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const MINUTE: Duration = Duration::from_secs(60);

        // However low the limit for bytes, a message of the maximum length must fit.
        let longest = u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX);
        let flood_bytes = bytes.saturating_mul(8).max(longest.saturating_mul(4));

        Self {
            messages: Rate::new(messages, SECOND, messages.saturating_mul(2)),
            bytes: Rate::new(bytes, SECOND, bytes.saturating_mul(2).max(longest)),
            finds: Rate::new(finds, MINUTE, finds),
            reports: Rate::new(reports, MINUTE, reports),
            ice_servers: Rate::new(ICE_SERVERS_PER_MINUTE, MINUTE, ICE_SERVERS_PER_MINUTE),
            rooms: RoomLimits::new(rooms),
            flood_frames: Rate::new(
                messages,
                SECOND,
                messages.saturating_mul(8).max(MIN_FLOOD_FRAMES),
            ),
            flood_bytes: Rate::new(bytes, SECOND, flood_bytes),
        }
    }

    /// The limit for searches, reports or questions for TURN credentials, if this message is one.
    fn request_rate(&self, message: &ClientMessage) -> Option<Rate> {
        let rate = match message {
            ClientMessage::FindPartner(_)
            | ClientMessage::Next { .. }
            | ClientMessage::ClaimRoom(_) => self.finds,
            ClientMessage::Report { .. } => self.reports,
            ClientMessage::GetIceServers => self.ice_servers,
            _ => return None,
        };

        Some(rate).filter(|rate| !rate.is_unlimited())
    }

    /// Whether the request in this message is limited.
    pub(crate) fn limits_request(&self, message: &ClientMessage) -> bool {
        let is_room_limited =
            !self.rooms.connection.is_unlimited() && tried_rooms(message).next().is_some();

        is_room_limited || self.request_rate(message).is_some()
    }
}

/// How many searches, rooms and reports a connection or a person has used.
#[derive(Debug, Default)]
pub(crate) struct RequestMeter {
    finds: Meter,
    reports: Meter,
    /// Most connections ask once, if at all.
    ice_servers: Option<Box<Meter>>,
    /// Most connections try no room.
    rooms: Option<Box<RoomMeter>>,
}

impl RequestMeter {
    /// Counts the request in this message.
    ///
    /// # Errors
    /// How long to wait before trying again.
    pub(crate) fn take(
        &mut self,
        limits: &TrafficLimits,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        // First: if the search is refused below, trying the same room again costs nothing.
        let rate = limits.rooms.connection;
        if !rate.is_unlimited() && tried_rooms(message).next().is_some() {
            let rooms = self.rooms.get_or_insert_default();
            rooms.take(rate, tried_rooms(message), now)?;
        }

        let meter = match message {
            ClientMessage::Report { .. } => &mut self.reports,
            ClientMessage::GetIceServers => self.ice_servers.get_or_insert_default(),
            _ => &mut self.finds,
        };

        limits
            .request_rate(message)
            .map_or(Ok(()), |rate| meter.take(rate, 1, now))
    }
}

impl Usage for RequestMeter {
    fn is_idle(&self, now: Instant) -> bool {
        self.finds.is_idle(now)
            && self.reports.is_idle(now)
            && self
                .ice_servers
                .as_ref()
                .is_none_or(|meter| meter.is_idle(now))
            && self.rooms.as_ref().is_none_or(|rooms| rooms.is_idle(now))
    }
}

/// What a connection has used of its limits.
#[derive(Debug, Default)]
pub(crate) struct TrafficMeter {
    messages: Meter,
    bytes: Meter,
    requests: RequestMeter,
    flood_frames: Meter,
    flood_bytes: Meter,
}

impl TrafficMeter {
    /// Counts one text message of this length.
    ///
    /// # Errors
    /// How long to wait before trying again.
    pub(crate) fn message(
        &mut self,
        limits: &TrafficLimits,
        bytes: usize,
        now: Instant,
    ) -> Result<(), Duration> {
        self.messages.take(limits.messages, 1, now)?;
        self.bytes
            .take(limits.bytes, u32::try_from(bytes).unwrap_or(u32::MAX), now)
    }

    /// Counts the request in this message.
    ///
    /// # Errors
    /// How long to wait before trying again.
    pub(crate) fn request(
        &mut self,
        limits: &TrafficLimits,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        self.requests.take(limits, message, now)
    }

    /// Counts frames and bytes that have been read, whatever is in them. Returns for how long
    /// nothing more should be read.
    pub(crate) fn count_read(
        &mut self,
        limits: &TrafficLimits,
        frames: u32,
        bytes: u32,
        now: Instant,
    ) -> Option<Duration> {
        let frames = self
            .flood_frames
            .charge(limits.flood_frames, frames, now, MAX_PAUSE);
        let bytes = self
            .flood_bytes
            .charge(limits.flood_bytes, bytes, now, MAX_PAUSE);

        frames.max(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use super::*;
    use crate::message::{FindPartner, ReportCategory, SessionId};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn messages_and_bytes_each_have_their_limit() {
        let limits = TrafficLimits::new(5, 100_000, 0, 0, 0);
        let (mut traffic, now) = (TrafficMeter::default(), Instant::now());
        assert_eq!(
            (0..30)
                .filter(|_| traffic.message(&limits, 10, now).is_ok())
                .count(),
            10,
            "two seconds' worth"
        );

        let mut traffic = TrafficMeter::default();
        let large = (0..9)
            .filter(|_| traffic.message(&limits, 60_000, now).is_ok())
            .count();
        assert_eq!(large, 3, "200,000 bytes hold three of 60,000");
    }

    #[test]
    fn the_longest_message_fits_however_low_the_limit() {
        let limits = TrafficLimits::new(0, 1, 0, 0, 0);
        assert!(
            TrafficMeter::default()
                .message(&limits, MAX_MESSAGE_BYTES, Instant::now())
                .is_ok()
        );
    }

    #[test]
    fn searches_and_reports_are_limited_per_minute() {
        let limits = TrafficLimits::new(0, 0, 3, 2, 0);
        let (mut traffic, now) = (TrafficMeter::default(), Instant::now());
        let find = ClientMessage::FindPartner(FindPartner::default());
        let next = ClientMessage::Next { session_id: None };
        let session_id = SessionId::from("x");
        let report = ClientMessage::Report {
            session_id,
            category: ReportCategory::Spam,
            text: None,
            snapshot: None,
        };

        assert!(
            traffic.request(&limits, &find, now).is_ok()
                && traffic.request(&limits, &next, now).is_ok()
        );
        assert!(traffic.request(&limits, &find, now).is_ok());
        assert_eq!(
            traffic.request(&limits, &next, now),
            Err(20 * SECOND),
            "`find_partner` and `next` count together"
        );

        assert!(
            traffic.request(&limits, &report, now).is_ok()
                && traffic.request(&limits, &report, now).is_ok()
        );
        assert_eq!(traffic.request(&limits, &report, now), Err(30 * SECOND));
        assert!(
            traffic
                .request(&limits, &ClientMessage::CancelSearch, now)
                .is_ok(),
            "other messages do not count"
        );
    }

    #[test]
    fn different_rooms_are_limited_and_the_same_one_is_not() {
        let limits = TrafficLimits::new(0, 0, 0, 0, 60);
        let (mut traffic, now) = (TrafficMeter::default(), Instant::now());
        let mut search = |room: String| {
            let search = ClientMessage::FindPartner(FindPartner {
                room: Some(room),
                ..FindPartner::default()
            });
            traffic.request(&limits, &search, now)
        };

        assert!((0..100).all(|_| search("otter".into()).is_ok()));
        let found = (0..100).filter(|n| search(format!("r{n}")).is_ok()).count();
        assert_eq!(found, 19, "a third of the address's");
    }

    #[test]
    fn a_flood_is_read_no_faster_than_the_limits() {
        let limits = TrafficLimits::new(100, 0, 0, 0, 0);
        let (mut traffic, start) = (TrafficMeter::default(), Instant::now());
        let (mut now, mut read) = (start, 0u32);

        while now < start + 60 * SECOND {
            read += 10;
            now += traffic.count_read(&limits, 10, 0, now).unwrap_or_default();
        }

        assert!(
            (6000..=7200).contains(&read),
            "a minute's worth and the burst are read, not {read}"
        );
    }

    #[test]
    fn without_limits_everything_is_allowed() {
        let limits = TrafficLimits::new(0, 0, 0, 0, 0);
        let (mut traffic, now) = (TrafficMeter::default(), Instant::now());
        assert_eq!(traffic.count_read(&limits, u32::MAX, u32::MAX, now), None);
        assert!((0..1000).all(|_| traffic.message(&limits, MAX_MESSAGE_BYTES, now).is_ok()));
    }
}
