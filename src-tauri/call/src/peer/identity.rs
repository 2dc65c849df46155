//! What the connections of one call have in common: a fresh one in place of one that broke is the same
//! side for the partner, and its figures go on.

use std::sync::Arc;

use parking_lot::Mutex;
use rtc::peer_connection::certificate::RTCCertificate;
use tandem_trust::Fingerprint;

use super::certificate;
use super::checks::{Gate, NamesLeft};
use super::error::PeerError;
use crate::interceptors::SentStreams;

/// One side of a call. The partner knows it by its certificate, and its streams by their SSRCs.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificate: RTCCertificate,
    pub(super) fingerprint: Fingerprint,
    /// Those of audio and video.
    pub(super) ssrcs: [u32; 2],
    /// What has been sent of each stream.
    pub(super) sent: Arc<SentStreams>,
    /// Counts the checks of all connections: the partner must not get a new budget with each.
    pub(super) gate: Arc<Mutex<Gate>>,
    /// The same for names on the local network.
    pub(super) names_left: NamesLeft,
}

impl Identity {
    /// A side that begins a call. `is_relay_only`: it uses relay candidates only.
    ///
    /// # Errors
    /// [`PeerError::Connection`] if no certificate can be made.
    pub(super) fn new(is_relay_only: bool) -> Result<Self, PeerError> {
        let (certificate, fingerprint) = certificate::generate()?;
        let audio: u32 = rand::random();
        Ok(Self {
            certificate,
            fingerprint,
            // Two streams of one connection must not share one.
            ssrcs: [audio, audio ^ rand::random_range(1..=u32::MAX)],
            sent: Arc::default(),
            gate: Arc::new(Mutex::new(Gate::new(is_relay_only))),
            names_left: NamesLeft::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::sync::mpsc::unbounded_channel;

    use crate::peer::{Peer, PeerConfig};

    /// What the partner knows this side by in an offer: the certificate and the SSRCs. Each track has a
    /// name of its own, and the library makes up an SSRC for retransmissions.
    fn known_by(offer: &str) -> BTreeSet<String> {
        let offer: serde_json::Value = serde_json::from_str(offer).expect("JSON");
        let sdp = offer["sdp"].as_str().expect("a text");
        let lines = sdp.lines().filter_map(|line| {
            let certificate = line.strip_prefix("a=fingerprint:");
            let ssrc = line.strip_prefix("a=ssrc:");
            certificate.or(ssrc.and_then(|ssrc| ssrc.split(' ').next()))
        });
        lines.map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn a_fresh_connection_is_the_same_side_for_the_partner() {
        let config = PeerConfig {
            addresses: vec!["127.0.0.1:0".parse().expect("an address")],
            ..PeerConfig::default()
        };
        let (events, _receiver) = unbounded_channel();
        let mut first = Peer::new(config.clone(), events.clone())
            .await
            .expect("a socket");
        let mut fresh = first
            .successor(Vec::new(), events.clone())
            .await
            .expect("a socket");
        let mut other = Peer::new(config, events).await.expect("a socket");

        let mut offers = Vec::new();
        for peer in [&mut first, &mut fresh, &mut other] {
            let offer = peer.create_offer().await.expect("an offer");
            offers.push(known_by(&offer));
            peer.close().await;
        }

        let common = offers[0].intersection(&offers[1]).count();
        assert_eq!(common, 3, "a certificate and two streams: {offers:?}");
        assert!(
            offers[0].is_disjoint(&offers[2]),
            "another call is another side"
        );
    }
}
