//! Peer connections without a call around them.

use tandem_call::internals::{BitrateBounds, Peer, PeerConfig, PeerEvent};
use tandem_media::codec::VideoCodec;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A peer connection on loopback that may send audio and video.
pub(crate) async fn peer() -> (Peer, UnboundedReceiver<PeerEvent>) {
    let config = PeerConfig {
        codec: VideoCodec::H264,
        send_video: true,
        send_audio: true,
        link: BitrateBounds::default(),
        ice_servers: Vec::new(),
        relay_only: false,
        addresses: vec!["127.0.0.1:0".parse().expect("an address")],
        link_local: false,
        runtime: None,
    };

    let (sender, events) = unbounded_channel();
    let peer = Peer::new(config, sender).await;

    (peer.expect("a socket on loopback"), events)
}
