//! Repeats DTLS flights that got no answer, as RFC 6347 §4.2.4 wants it and rtc-dtls 0.21.1 does not.
//!
//! There a client that waits for the server's last flight stops its timer for good when the server repeats the flight
//! before: whenever the client's second flight was lost (at 5 % loss in one connection of twenty), the handshake never
//! ended. And its timers begin with a second, where BoringSSL begins with 50 ms. To send a datagram again as it was is what
//! any network may do: whoever has it already drops it. Sans-IO: time is an argument.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Until a flight is sent again for the first time; twice that until the next, and so on.
const FIRST: Duration = Duration::from_millis(100);
/// A flight is sent again at most so often: 3.1 s after its beginning for the last time.
const REPEATS: u32 = 5;
/// Datagrams of one flight leave together; what leaves later than that is another one.
const TOGETHER: Duration = Duration::from_millis(20);
/// After so long without a flight or an answer nothing more is to come.
const QUIET: Duration = Duration::from_secs(1);
/// A flight has one to three datagrams; more are not kept.
const MAX_DATAGRAMS: usize = 8;

/// RFC 5246 §6.2.1.
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// RFC 6347 §4.1: type, version, epoch, sequence number, length.
const RECORD_HEADER: usize = 13;
/// RFC 8656 §12.4: a channel number and a length in front of what goes through TURN.
const CHANNEL_HEADER: usize = 4;

/// How far a handshake has come: the epoch, then the number of the message in it.
type Progress = (u16, u16);

/// The newest flight of one socket, and whether it is answered.
#[derive(Debug, Default)]
pub(super) struct Repeater {
    flight: Option<Flight>,
    heard: Option<Progress>,
    /// When a flight last left, was answered or was given up.
    changed: Option<Instant>,
}

#[derive(Debug)]
struct Flight {
    to: SocketAddr,
    datagrams: Vec<Vec<u8>>,
    sent: Instant,
    due: Instant,
    repeats: u32,
}

impl Repeater {
    /// `datagram` leaves for `to`.
    pub(super) fn on_send(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) {
        if !matches!(
            record(datagram).first(),
            Some(&(CHANGE_CIPHER_SPEC | HANDSHAKE))
        ) {
            return;
        }

        self.changed = Some(now);
        match &mut self.flight {
            Some(flight)
                if flight.to == to && now.saturating_duration_since(flight.sent) <= TOGETHER =>
            {
                if flight.datagrams.len() < MAX_DATAGRAMS {
                    flight.datagrams.push(datagram.to_vec());
                }
            }
            flight => {
                let datagrams = vec![datagram.to_vec()];
                *flight = Some(Flight {
                    to,
                    datagrams,
                    sent: now,
                    due: now + FIRST,
                    repeats: 0,
                });
            }
        }
    }

    /// `datagram` came from `from`. One that takes the handshake further answers the flight; a repeated one does not, nor
    /// does a stranger's.
    pub(super) fn on_receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Some(progress) = progress(record(datagram)) else {
            return;
        };

        if self.flight.as_ref().is_some_and(|flight| flight.to != from) {
            return;
        }

        if self.heard.is_none_or(|heard| progress > heard) {
            self.heard = Some(progress);
            self.flight = None;
            self.changed = Some(now);
        }
    }

    /// Whether no flight waits for an answer, and none has for a while.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        self.flight.is_none()
            && self
                .changed
                .is_none_or(|then| now.saturating_duration_since(then) >= QUIET)
    }

    /// The datagrams to send again now, and where to.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(SocketAddr, Vec<Vec<u8>>)> {
        let flight = self.flight.as_mut().filter(|flight| flight.due <= now)?;
        flight.repeats += 1;
        let again = (flight.to, flight.datagrams.clone());

        if flight.repeats == REPEATS {
            self.flight = None;
            self.changed = Some(now);
        } else {
            flight.due = now + FIRST * 2_u32.pow(flight.repeats);
        }

        Some(again)
    }
}

/// What is inside a datagram, also where it goes through a channel of TURN. In the moments before there is a channel it
/// goes in indications, which are left alone.
fn record(datagram: &[u8]) -> &[u8] {
    match datagram.first() {
        Some(0x40..=0x4f) => datagram.get(CHANNEL_HEADER..).unwrap_or_default(),
        _ => datagram,
    }
}

/// How far the sender of `record` has come: by its first record alone, those behind it only go further. Media is only sent
/// once the handshake is over for its sender; a client that hears media before the server's last flight counts on that
/// server to repeat it, as Tandem's does. `None`: it does not say.
fn progress(record: &[u8]) -> Option<Progress> {
    match *record.first()? {
        kind @ (CHANGE_CIPHER_SPEC | HANDSHAKE | APPLICATION_DATA) => {
            let number =
                |at: usize| Some(u16::from_be_bytes(record.get(at..at + 2)?.try_into().ok()?));
            match (number(3)?, kind) {
                // Behind the message's type and length.
                (0, HANDSHAKE) => Some((0, number(RECORD_HEADER + 4)?)),
                (0, _) => Some((0, u16::MAX)),
                (epoch, APPLICATION_DATA) => Some((epoch, 1)),
                (epoch, _) => Some((epoch, 0)),
            }
        }
        // RTP and RTCP, RFC 7983 §7.
        128..=191 => Some((u16::MAX, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn partner() -> SocketAddr {
        "192.0.2.7:5000".parse().unwrap()
    }

    /// A record of DTLS 1.2 with `number` where a handshake message has its own.
    fn dtls(kind: u8, epoch: u8, number: u8) -> Vec<u8> {
        let mut bytes = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, number, 0, 12];
        bytes.extend([1, 0, 0, 40, 0, number, 0, 0, 0, 0, 0, 40]);
        bytes
    }

    /// When something is sent again, looking every millisecond for four seconds.
    fn times(repeater: &mut Repeater, start: Instant) -> Vec<u32> {
        (0..4_000)
            .filter(|ms| repeater.take_due(start + MS * *ms).is_some())
            .collect()
    }

    #[test]
    fn a_flight_without_an_answer_is_sent_again_as_a_whole() {
        let (mut repeater, start) = (Repeater::default(), Instant::now());
        repeater.on_send(start, partner(), &dtls(HANDSHAKE, 0, 2));
        repeater.on_send(start + MS, partner(), &dtls(CHANGE_CIPHER_SPEC, 0, 0));
        let again = repeater.take_due(start + MS * 100);
        let both = vec![dtls(HANDSHAKE, 0, 2), dtls(CHANGE_CIPHER_SPEC, 0, 0)];

        assert_eq!(
            again,
            Some((partner(), both)),
            "both datagrams, as they were"
        );

        assert_eq!(
            times(&mut repeater, start),
            [300, 700, 1_500, 3_100],
            "less and less often, then no more"
        );
    }

    #[test]
    fn an_answer_ends_it_and_a_repeated_flight_is_none() {
        let (mut repeater, start) = (Repeater::default(), Instant::now());
        repeater.on_receive(start, partner(), &dtls(HANDSHAKE, 0, 1));
        repeater.on_send(start, partner(), &dtls(HANDSHAKE, 0, 2));
        repeater.on_receive(start, partner(), &dtls(HANDSHAKE, 0, 1));

        assert!(
            repeater.take_due(start + MS * 100).is_some(),
            "the partner only repeats itself: ours was lost"
        );

        repeater.on_receive(start, partner(), &dtls(CHANGE_CIPHER_SPEC, 0, 0));
        assert_eq!(
            times(&mut repeater, start),
            [] as [u32; 0],
            "its last flight answers ours"
        );
    }

    #[test]
    fn a_stranger_answers_nothing() {
        let (mut repeater, start) = (Repeater::default(), Instant::now());
        repeater.on_send(start, partner(), &dtls(HANDSHAKE, 0, 2));
        repeater.on_receive(start, "192.0.2.9:5000".parse().unwrap(), &[0x80, 96, 0, 1]);

        assert!(
            repeater.take_due(start + MS * 100).is_some(),
            "the partner has said nothing"
        );
    }

    #[test]
    fn it_is_quiet_a_while_after_the_last_answer() {
        let (mut repeater, start) = (Repeater::default(), Instant::now());
        assert!(
            repeater.is_quiet(start),
            "a socket that is not used has nothing to repeat"
        );

        repeater.on_send(start, partner(), &dtls(HANDSHAKE, 0, 2));
        assert!(!repeater.is_quiet(start + 2 * QUIET), "a flight waits");
        repeater.on_receive(start, partner(), &dtls(CHANGE_CIPHER_SPEC, 0, 0));

        assert!(
            !repeater.is_quiet(start + QUIET / 2),
            "the next flight may leave at any moment"
        );
        assert!(repeater.is_quiet(start + QUIET), "it did not");
    }

    #[test]
    fn media_answers_the_last_flight_and_is_never_repeated() {
        let (mut repeater, start) = (Repeater::default(), Instant::now());
        repeater.on_receive(start, partner(), &dtls(HANDSHAKE, 0, 2));
        repeater.on_receive(start, partner(), &dtls(HANDSHAKE, 1, 0));
        repeater.on_send(start, partner(), &dtls(CHANGE_CIPHER_SPEC, 0, 0));
        repeater.on_receive(start, partner(), &[0x80, 96, 0, 1]);

        assert!(
            repeater.take_due(start + MS * 100).is_none(),
            "whoever sends media has all keys"
        );

        repeater.on_send(start, partner(), &[0x80, 96, 0, 1]);
        repeater.on_send(start, partner(), &dtls(APPLICATION_DATA, 1, 0));
        assert!(
            repeater.take_due(start + MS * 900).is_none(),
            "neither media nor data are flights"
        );
    }

    #[test]
    fn a_flight_through_turn_counts_too() {
        let (mut repeater, start) = (Repeater::default(), Instant::now());
        let through = |record: Vec<u8>| [vec![0x40, 0, 0, record.len() as u8], record].concat();
        repeater.on_send(start, partner(), &through(dtls(HANDSHAKE, 0, 2)));
        let again = repeater
            .take_due(start + MS * 100)
            .expect("nobody answered");

        assert_eq!(
            again.1,
            [through(dtls(HANDSHAKE, 0, 2))],
            "with the channel's header"
        );

        repeater.on_receive(start, partner(), &through(dtls(CHANGE_CIPHER_SPEC, 0, 0)));
        assert_eq!(times(&mut repeater, start), [] as [u32; 0], "answered");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(datagrams in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..60)) {
            let (mut repeater, start) = (Repeater::default(), Instant::now());
            for (at, (sent, bytes)) in datagrams.iter().enumerate() {
                let now = start + MS * 7 * at as u32;
                if *sent { repeater.on_send(now, partner(), bytes) } else { repeater.on_receive(now, partner(), bytes) }

                if let Some((_, again)) = repeater.take_due(now) {
                    prop_assert!(!again.is_empty() && again.len() <= MAX_DATAGRAMS, "{} datagrams", again.len());
                }
            }
        }
    }
}
