//! UDP is better than TCP, and that better than TLS: servers over the worse ones begin later, and not at all
//! if a better one has given an address by then.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use super::url::TurnTransport;
use super::{Turn, better_than};

/// How much later than the better ones a server over the next transport begins, if they show no sign of
/// life: that takes one round trip.
const FIRST_SIGN: Duration = Duration::from_millis(125);
/// The same if they do: an address takes two round trips.
pub(super) const HEAD_START: Duration = Duration::from_millis(250);

impl Turn {
    /// Waits until the better servers have had their head start. Returns `false` if one of them has
    /// given an address.
    pub(super) async fn is_needed(&self, stand_in: SocketAddr) -> bool {
        let Some(transport) = self.transport(stand_in) else {
            return false;
        };

        let better = self.better_than(transport);
        let is_better = |server| {
            let transport = self.transport(server).unwrap_or(TurnTransport::Udp);
            better.contains(&transport)
        };

        let count = u32::try_from(better.len()).unwrap_or(0);
        sleep(FIRST_SIGN * count).await;
        let has_answered = self.watch.lock().has_answered(is_better);
        if has_answered {
            sleep((HEAD_START - FIRST_SIGN) * count).await;
        }

        !self.watch.lock().has_allocated(is_better)
    }

    /// The transports of this connection's servers that are better than this one.
    pub(super) fn better_than(&self, transport: TurnTransport) -> Vec<TurnTransport> {
        let has_tcp = {
            let servers = self.servers.lock();
            let mut transports = servers.iter().map(|server| server.url.transport);
            transports.any(|transport| transport == TurnTransport::Tcp)
        };
        let known = [
            self.has_udp.then_some(TurnTransport::Udp),
            has_tcp.then_some(TurnTransport::Tcp),
        ];
        better_than(transport, known.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests measure virtual time")]

    use std::sync::Arc;

    use tandem_signaling::client::TrustedRoots;
    use webrtc::peer_connection::RTCIceServer;

    use super::super::STAND_IN_PORT;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn worse_transports_begin_later_and_only_if_there_is_a_need() {
        let urls = [
            "turn:a.example",
            "turn:a.example?transport=tcp",
            "turns:a.example",
        ];
        let offered = [RTCIceServer {
            urls: urls.map(str::to_owned).to_vec(),
            username: "1:u".into(),
            credential: "secret".into(),
        }];
        let turn = Turn::new(&offered, TrustedRoots::default(), Arc::default());
        turn.for_library(&offered);
        let at = |index| SocketAddr::from(([240, 0, 0, index], STAND_IN_PORT));

        let start = tokio::time::Instant::now();
        assert!(turn.is_needed(at(1)).await);
        assert_eq!(start.elapsed(), FIRST_SIGN, "after UDP");
        let start = tokio::time::Instant::now();
        assert!(turn.is_needed(at(2)).await);
        assert_eq!(start.elapsed(), 2 * FIRST_SIGN, "after UDP and TCP");

        let mut request = vec![0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        request.resize(20, 7);
        turn.on_sent(start.into_std(), at(1), &request);
        turn.on_connected(at(1), None);
        let start = tokio::time::Instant::now();
        assert!(turn.is_needed(at(2)).await);
        assert_eq!(start.elapsed(), 2 * HEAD_START, "TCP is there");

        let mut success = request.clone();
        success[0] = 1;
        turn.on_received(at(1), &success);
        assert!(!turn.is_needed(at(2)).await, "TCP has answered");
        assert!(turn.is_needed(at(1)).await, "it is no better than itself");
    }
}
