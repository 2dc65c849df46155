//! How to set up a peer connection.

use std::net::SocketAddr;
use std::sync::Arc;

use tandem_media::codec::VideoCodec;
use tandem_signaling::client::TrustedRoots;
use webrtc::peer_connection::RTCIceServer;
use webrtc::runtime::Runtime;

use super::turn::WarmConnections;
use crate::congestion::BitrateBounds;

/// How to set up a peer connection.
#[derive(Clone)]
pub struct PeerConfig {
    /// The video codec that is offered first and chosen first.
    pub codec: VideoCodec,
    /// Whether this side may send video.
    pub send_video: bool,
    /// Whether this side may send audio.
    pub send_audio: bool,
    /// Bounds of the bandwidth estimate.
    pub link: BitrateBounds,
    /// STUN servers, and TURN servers with their credentials.
    pub ice_servers: Vec<RTCIceServer>,
    /// Whose certificates TURN servers with TLS may have.
    pub roots: TrustedRoots,
    /// Connections to TURN servers that were made during the search.
    pub warm: Arc<WarmConnections>,
    /// Use TURN and nothing else: no address of this machine leaves it, neither in candidates nor
    /// in descriptions.
    pub relay_only: bool,
    /// Name no address of this machine to the partner but those that STUN and TURN servers see, and
    /// check no private address of the partner.
    pub hide_local_addresses: bool,
    /// Name addresses of private networks, those that STUN and TURN servers see, and no other: the partner
    /// is in the same private network.
    pub hide_public_addresses: bool,
    /// Where to bind. Empty means every address of this machine, loopback included.
    pub addresses: Vec<SocketAddr>,
    /// Bind link-local addresses (RFC 3927, RFC 4291) too: the partner may be on the same cable.
    pub link_local: bool,
    /// Sockets and timers to use, for instance those of a simulated network. `None` means the
    /// system's, on tokio.
    pub runtime: Option<Arc<dyn Runtime>>,
}

impl Default for PeerConfig {
    /// Sends both kinds of media, H.264 first, from every address of this machine and without
    /// servers.
    fn default() -> Self {
        Self {
            codec: VideoCodec::H264,
            send_video: true,
            send_audio: true,
            link: BitrateBounds::default(),
            ice_servers: Vec::new(),
            roots: TrustedRoots::default(),
            warm: Arc::default(),
            relay_only: false,
            hide_local_addresses: false,
            hide_public_addresses: false,
            addresses: Vec::new(),
            link_local: false,
            runtime: None,
        }
    }
}
