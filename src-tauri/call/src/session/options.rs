//! What a call is started with.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tandem_media::VideoFrame;
use tandem_media::audio::AudioConfig;
use tandem_media::codec::VideoCodec;
use tandem_media::video::{SharedVideo, VideoFormat, VideoSpec};
use webrtc::runtime::Runtime;

use crate::machine::Patience;

/// What one side tells the other about itself. Limits are those of the signaling protocol; a relay refuses a profile that
/// breaks them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// 1 to 40 characters.
    pub user_name: Option<String>,
    /// 18 to 120.
    pub user_age: Option<u8>,
    /// At most 80 characters.
    pub user_location: Option<String>,
    /// A `data:image/…` or `https:` URL.
    pub user_picture: Option<String>,
}

/// Sees every decoded picture of the partner, in order, on the decode thread. Must return within a few milliseconds:
/// the next picture waits for it.
pub type OnRemoteFrame = Arc<dyn Fn(&VideoFrame) + Send + Sync>;

/// Everything that a call needs to know.
#[derive(Clone)]
pub struct CallOptions {
    /// The relay: `ws://HOST:PORT/ws`.
    pub signaling_url: String,
    /// Match only with somebody who gives the same code.
    pub room: Option<String>,
    /// What the partner gets to know.
    pub profile: Profile,
    /// Where the sent pictures come from.
    pub video: VideoSpec,
    /// Their size and rate. A camera takes the nearest it has.
    pub video_format: VideoFormat,
    /// The open video source of a preview, for the call to take over: see [`SharedVideo`]. Released at the call's end.
    pub shared_video: SharedVideo,
    /// Agree on sending pictures even if `video` is none, so that [`Call::set_video`](super::Call::set_video) can begin
    /// to send in the call.
    pub negotiate_video: bool,
    /// The same for sound.
    pub negotiate_audio: bool,
    /// Where the sent sound comes from, where the received goes, what is done to it.
    pub audio: AudioConfig,
    /// The codec that is offered first. Others that are built in are offered behind it.
    pub codec: VideoCodec,
    /// The most that the video encoder may produce, in bits per second.
    pub max_bitrate_bps: u32,
    /// Send media through the relay's TURN servers and no other way: no address of this machine reaches the partner.
    /// Without a TURN server the call ends with [`EndCode::NoTurnServer`](crate::machine::EndCode::NoTurnServer).
    pub relay_only: bool,
    /// Sees every decoded picture of the partner.
    pub on_remote_frame: Option<OnRemoteFrame>,
    /// How long to wait for the relay, a partner, a connection.
    pub patience: Patience,
    /// Local addresses to send and receive media on. Empty: all of this machine, loopback included.
    pub media_addresses: Vec<SocketAddr>,
    /// Sockets and clock of another world for the media: a simulated network. `None`: the real ones, on tokio.
    pub media_runtime: Option<Arc<dyn Runtime>>,
}

impl CallOptions {
    /// A call through the relay at `signaling_url` that sends and plays nothing: 720p30, H.264, at most 2.5 Mbit/s once
    /// a source is set.
    #[must_use]
    pub fn new(signaling_url: impl Into<String>) -> Self {
        Self {
            signaling_url: signaling_url.into(),
            room: None,
            profile: Profile::default(),
            video: VideoSpec::None,
            video_format: VideoFormat {
                width: 1280,
                height: 720,
                fps: 30.0,
            },
            shared_video: SharedVideo::new(),
            negotiate_video: false,
            negotiate_audio: false,
            audio: AudioConfig::default(),
            codec: VideoCodec::H264,
            max_bitrate_bps: 2_500_000,
            relay_only: false,
            on_remote_frame: None,
            patience: Patience::default(),
            media_addresses: Vec::new(),
            media_runtime: None,
        }
    }
}

impl fmt::Debug for CallOptions {
    /// Without the profile: it does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions")
            .field("signaling_url", &self.signaling_url)
            .field("video", &self.video)
            .field("video_format", &self.video_format)
            .field("audio", &self.audio)
            .field("codec", &self.codec)
            .field("max_bitrate_bps", &self.max_bitrate_bps)
            .field("relay_only", &self.relay_only)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
