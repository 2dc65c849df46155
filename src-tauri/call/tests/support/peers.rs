//! Peer connections without a call around them.

use tandem_call::internals::{Peer, PeerConfig, PeerEvent};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A peer connection on loopback that may send audio and video.
pub(crate) async fn peer() -> (Peer, UnboundedReceiver<PeerEvent>) {
    let config = PeerConfig {
        addresses: vec!["127.0.0.1:0".parse().expect("an address")],
        ..PeerConfig::default()
    };

    let (sender, events) = unbounded_channel();
    let peer = Peer::new(config, sender).await;

    (peer.expect("a socket on loopback"), events)
}
