//! Keeps media that arrives before the library can decrypt it. Sans-IO.
//!
//! **The library** passes the keys of a handshake that is over on as an event (rtc 0.21.1,
//! `handler/dtls.rs`, `DTLSHandshakeComplete`), and its driver looks at events once for up to 65 datagrams
//! (webrtc 0.21.1, `peer_connection/driver.rs`, `MAX_UDP_RECV_BURST`; `poll_reads`, 3.a, for what came
//! through TURN). What follows the partner's last flight among them is dropped: "remote_srtp_context is not
//! set yet". On a busy machine, and where the flight comes late, that is the first keyframe. The partner does
//! not make another one within 0.3 s.
//!
//! **We** keep media until the connection has been up once, and then give it to the library in its order.
//!
//! **Upstream:** no upstream issue known; to be filed: "SRTP that arrives together with the last DTLS flight
//! is dropped".
//!
//! **It can go** when `tests/turn_first_frame.rs` passes without it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::peer::checks::carried;

/// The most that is kept, bytes: what 10 Mbit/s bring in 0.4 s. A partner sends media once the handshake is
/// over for it, which is half a round trip before it is over here.
const MAX_BYTES: usize = 512 * 1_024;
/// The same in datagrams.
const MAX_DATAGRAMS: usize = 1_024;

/// Media in the order in which it came.
#[derive(Debug, Default)]
pub(super) struct EarlyMedia {
    kept: VecDeque<(SocketAddr, Vec<u8>)>,
    bytes: usize,
}

impl EarlyMedia {
    /// Keeps a datagram from `from` if it is media. Returns `false` if it is something else, or if there is
    /// no room: what comes first is worth most.
    pub(super) fn keep(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        let is_full = self.kept.len() == MAX_DATAGRAMS || self.bytes + datagram.len() > MAX_BYTES;
        if is_full || !is_media(from, datagram) {
            return false;
        }

        self.bytes += datagram.len();
        self.kept.push_back((from, datagram.to_vec()));
        true
    }

    /// The next datagram, and where it came from.
    pub(super) fn take(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let (from, datagram) = self.kept.pop_front()?;
        self.bytes -= datagram.len();
        Some((from, datagram))
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Whether a datagram is RTP or RTCP (RFC 7983 §7), also if it came through TURN.
fn is_media(from: SocketAddr, datagram: &[u8]) -> bool {
    let inner = carried(from, datagram).map(|(_, inner)| inner);
    matches!(inner, Some([128..=191, ..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partner() -> SocketAddr {
        "192.0.2.7:5000".parse().unwrap()
    }

    #[test]
    fn media_is_kept_in_its_order_also_if_it_came_through_turn() {
        let mut early = EarlyMedia::default();
        let media = [0x80, 96, 0, 1];
        let channel = [&[0x40, 0, 0, 4][..], &media].concat();
        assert!(early.keep(partner(), &media));
        assert!(early.keep(partner(), &channel));
        for other in [
            &[22, 0xfe, 0xfd][..],
            &[0x40, 0, 0, 3, 22, 0xfe, 0xfd],
            &[0, 1],
            &[],
        ] {
            assert!(!early.keep(partner(), other), "{other:?} is no media");
        }

        assert_eq!(early.take(), Some((partner(), media.to_vec())));
        assert_eq!(early.take(), Some((partner(), channel)));
        assert_eq!(early.take(), None);
        assert!(early.is_empty());
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_loses_nothing_that_it_took(
            lengths in prop::collection::vec((1_usize..2_000, any::<bool>()), 0..2_000),
        ) {
            let mut early = EarlyMedia::default();
            let mut expected = VecDeque::new();
            for (number, (length, takes)) in lengths.into_iter().enumerate() {
                let mut datagram = vec![number as u8; length];
                datagram[0] = 0x80;
                if early.keep(partner(), &datagram) {
                    expected.push_back(datagram);
                }
                if takes {
                    let taken = early.take().map(|(_, datagram)| datagram);
                    prop_assert_eq!(taken, expected.pop_front());
                }

                let sum: usize = expected.iter().map(Vec::len).sum();
                prop_assert_eq!(early.bytes, sum);
                prop_assert!(sum <= MAX_BYTES && expected.len() <= MAX_DATAGRAMS);
            }
        }
    }
}
