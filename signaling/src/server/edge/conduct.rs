//! What one connection may send: messages, bytes, searches and reports.
//!
//! Sans-IO. A message over a limit is rejected and changes nothing; a flood that goes on all the same is read no faster
//! than the limits allow.

use std::time::{Duration, Instant};

use super::rate::{Meter, Rate};
use crate::message::{ClientMessage, MAX_MESSAGE_BYTES};

/// A flood is left unread for at most so long at a time.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many frames may come beyond the messages' rate before reading slows down.
const FLOOD_FRAMES: u32 = 1000;

/// The limits of each connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConductLimits {
    messages: Rate,
    bytes: Rate,
    finds: Rate,
    reports: Rate,
    /// Beyond this nothing is read for a while.
    flood_frames: Rate,
    flood_bytes: Rate,
}

impl ConductLimits {
    /// Messages and bytes a second, searches and reports a minute; zero: no limit.
    pub(crate) fn new(messages: u32, bytes: u32, finds: u32, reports: u32) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const MINUTE: Duration = Duration::from_secs(60);
        // However small the limit, one message of the longest kind must come through.
        let longest = u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX);
        let flood_bytes = bytes.saturating_mul(8).max(longest.saturating_mul(4));

        Self {
            messages: Rate::new(messages, SECOND, messages.saturating_mul(2)),
            bytes: Rate::new(bytes, SECOND, bytes.saturating_mul(2).max(longest)),
            finds: Rate::new(finds, MINUTE, finds),
            reports: Rate::new(reports, MINUTE, reports),
            flood_frames: Rate::new(
                messages,
                SECOND,
                messages.saturating_mul(8).max(FLOOD_FRAMES),
            ),
            flood_bytes: Rate::new(bytes, SECOND, flood_bytes),
        }
    }

    /// The limit for what this message asks for.
    fn of(&self, message: &ClientMessage) -> Option<Rate> {
        let rate = match message {
            ClientMessage::FindPartner(_) | ClientMessage::Next { .. } => self.finds,
            ClientMessage::Report { .. } => self.reports,
            _ => return None,
        };

        Some(rate).filter(|rate| !rate.is_unlimited())
    }

    /// Whether there is a limit for what this message asks for.
    pub(crate) fn concern(&self, message: &ClientMessage) -> bool {
        self.of(message).is_some()
    }
}

/// What somebody has taken of the limits for searches and reports.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    finds: Meter,
    reports: Meter,
}

impl Requests {
    /// What the message asks for.
    ///
    /// # Errors
    /// When to try again.
    pub(crate) fn take(
        &mut self,
        limits: &ConductLimits,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        let meter = match message {
            ClientMessage::Report { .. } => &mut self.reports,
            _ => &mut self.finds,
        };

        limits
            .of(message)
            .map_or(Ok(()), |rate| meter.take(rate, 1, now))
    }

    /// As good as new.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.finds.is_idle(now) && self.reports.is_idle(now)
    }
}

/// What a connection has taken of its limits.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    messages: Meter,
    bytes: Meter,
    requests: Requests,
    flood_frames: Meter,
    flood_bytes: Meter,
}

impl Conduct {
    /// One text message of this length.
    ///
    /// # Errors
    /// When to try again.
    pub(crate) fn message(
        &mut self,
        limits: &ConductLimits,
        bytes: usize,
        now: Instant,
    ) -> Result<(), Duration> {
        self.messages.take(limits.messages, 1, now)?;
        self.bytes
            .take(limits.bytes, u32::try_from(bytes).unwrap_or(u32::MAX), now)
    }

    /// What the message asks for.
    ///
    /// # Errors
    /// When to try again.
    pub(crate) fn request(
        &mut self,
        limits: &ConductLimits,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        self.requests.take(limits, message, now)
    }

    /// So many frames and raw bytes have come, whatever was in them: for how long nothing more should be read.
    pub(crate) fn came(
        &mut self,
        limits: &ConductLimits,
        frames: u32,
        bytes: u32,
        now: Instant,
    ) -> Option<Duration> {
        let frames = self
            .flood_frames
            .charge(limits.flood_frames, frames, now, LONGEST_PAUSE);
        let bytes = self
            .flood_bytes
            .charge(limits.flood_bytes, bytes, now, LONGEST_PAUSE);
        frames.max(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FindPartner, ReportCategory, SessionId};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn messages_and_bytes_each_have_their_limit() {
        let limits = ConductLimits::new(5, 100_000, 0, 0);
        let (mut conduct, now) = (Conduct::default(), Instant::now());
        assert_eq!(
            (0..30)
                .filter(|_| conduct.message(&limits, 10, now).is_ok())
                .count(),
            10,
            "two seconds' worth"
        );

        let mut conduct = Conduct::default();
        let large = (0..9)
            .filter(|_| conduct.message(&limits, 60_000, now).is_ok())
            .count();
        assert_eq!(large, 3, "200,000 bytes hold three of 60,000");
    }

    #[test]
    fn the_longest_message_comes_through_however_small_the_limit() {
        let limits = ConductLimits::new(0, 1, 0, 0);
        assert!(
            Conduct::default()
                .message(&limits, MAX_MESSAGE_BYTES, Instant::now())
                .is_ok()
        );
    }

    #[test]
    fn searches_and_reports_are_counted_by_the_minute() {
        let limits = ConductLimits::new(0, 0, 3, 2);
        let (mut conduct, now) = (Conduct::default(), Instant::now());
        let find = ClientMessage::FindPartner(FindPartner::default());
        let next = ClientMessage::Next { session_id: None };
        let session_id = SessionId::from("x");
        let report = ClientMessage::Report {
            session_id,
            category: ReportCategory::Spam,
            text: None,
        };

        assert!(
            conduct.request(&limits, &find, now).is_ok()
                && conduct.request(&limits, &next, now).is_ok()
        );
        assert!(conduct.request(&limits, &find, now).is_ok());
        assert_eq!(
            conduct.request(&limits, &next, now),
            Err(20 * SECOND),
            "find and next count together"
        );

        assert!(
            conduct.request(&limits, &report, now).is_ok()
                && conduct.request(&limits, &report, now).is_ok()
        );
        assert_eq!(conduct.request(&limits, &report, now), Err(30 * SECOND));
        assert!(
            conduct
                .request(&limits, &ClientMessage::CancelSearch, now)
                .is_ok(),
            "others are not counted here"
        );
    }

    #[test]
    fn a_flood_is_read_no_faster_than_the_limits() {
        let limits = ConductLimits::new(100, 0, 0, 0);
        let (mut conduct, start) = (Conduct::default(), Instant::now());
        let (mut now, mut read) = (start, 0u32);

        while now < start + 60 * SECOND {
            read += 10;
            now += conduct.came(&limits, 10, 0, now).unwrap_or_default();
        }

        assert!(
            (6000..=7200).contains(&read),
            "a minute's worth and the burst, not {read}"
        );
    }

    #[test]
    fn without_limits_nothing_waits() {
        let limits = ConductLimits::new(0, 0, 0, 0);
        let (mut conduct, now) = (Conduct::default(), Instant::now());
        assert_eq!(conduct.came(&limits, u32::MAX, u32::MAX, now), None);
        assert!((0..1000).all(|_| conduct.message(&limits, MAX_MESSAGE_BYTES, now).is_ok()));
    }
}
