//! What a call is started with.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tandem_media::VideoFrame;
use tandem_media::audio::AudioConfig;
use tandem_media::codec::VideoCodec;
use tandem_media::video::{SharedVideo, VideoFormat, VideoSpec};
use tandem_signaling::ServerUrl;
use tandem_signaling::client::ClientConfig;
use tandem_signaling::message::KnockId;
use webrtc::runtime::Runtime;

use super::line::SharedLine;
use super::verification::CallCode;
use crate::machine::CallTimeouts;
use crate::peer::are_systems;

/// The lowest bitrate that the video encoder is ever asked for, in bits per second, and so the
/// lowest useful [`CallOptions::max_bitrate_bps`]: below this no frame is worth looking at.
pub const MIN_BITRATE_BPS: u32 = 50_000;

/// The default of [`CallOptions::max_bitrate_bps`]: 720p30 in H.264 or VP8 looks no better with
/// more.
pub const DEFAULT_MAX_BITRATE_BPS: u32 = 2_500_000;

/// What one side shows the other of its user. The limits are those of the signaling protocol; a
/// signaling server refuses a profile that exceeds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// At most [`MAX_USER_NAME_CHARS`](tandem_signaling::message::MAX_USER_NAME_CHARS), at least one.
    pub user_name: Option<String>,
    /// Years, within [`USER_AGES`](tandem_signaling::message::USER_AGES).
    pub user_age: Option<u8>,
    /// At most [`MAX_USER_LOCATION_CHARS`](tandem_signaling::message::MAX_USER_LOCATION_CHARS).
    pub user_location: Option<String>,
    /// A profile picture: a `data:image/…` or `https:` URL.
    pub user_picture: Option<String>,
}

/// Which way media goes in a call with a stranger.
///
/// Directly, the two learn each other's public address. They learn addresses of a local network only if
/// the signaling server is in one itself and sees both there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrangerRoute {
    /// Through a TURN server. If the signaling server offers none, the call ends with
    /// [`EndCode::NoTurnServer`](crate::EndCode::NoTurnServer), or with
    /// [`EndCode::NoStunServer`](crate::EndCode::NoStunServer) where it could not go directly either.
    Relay,
    /// Through a TURN server if the signaling server offers one, else directly.
    RelayIfOffered,
    /// Directly if possible.
    Direct,
}

/// Gets every decoded frame from the partner, in order, on the decode thread. Must return within a
/// few milliseconds: the next frame waits for it.
pub type OnRemoteFrame = Arc<dyn Fn(&VideoFrame) + Send + Sync>;

/// Everything that a call needs to know.
#[derive(Clone)]
pub struct CallOptions {
    /// The signaling server, and how to connect to it.
    pub signaling: ClientConfig,
    /// An open connection to that server, for the call to take over. Empty: the call makes its own.
    pub line: SharedLine,
    /// Leave the connection in `line` when the call ends, instead of closing it.
    pub keep_line_open: bool,
    /// Answer this person, who rings on `line`, instead of searching.
    pub answer: Option<KnockId>,
    /// Agree with the partner on a room in which the two can meet again, known to nobody else:
    /// [`CallEventKind::MeetAgain`](super::CallEventKind::MeetAgain). Happens if both sides want it.
    pub meet_again: bool,
    /// Match only with someone who gives the same code.
    pub room: Option<String>,
    /// Enter the room only if somebody has claimed it or waits in it, as an invite does. Otherwise
    /// the call ends with [`EndCode::NoSuchRoom`](crate::EndCode::NoSuchRoom).
    pub room_must_exist: bool,
    /// Verify the partner by the code of an invite: no media before that, and
    /// [`EndCode::CodeMismatch`](crate::EndCode::CodeMismatch) if the partner does not know it.
    /// `None`: the two people can compare safety words, if the partner's app has them.
    pub code: Option<CallCode>,
    /// What the partner is shown of this user.
    pub profile: Profile,
    /// What this user likes to talk about, at most
    /// [`MAX_INTERESTS`](tandem_signaling::message::MAX_INTERESTS). People with interests in common
    /// are matched first.
    pub interests: Vec<String>,
    /// Send neither video nor audio to a partner before [`Call::release_media`](super::Call), so that
    /// the user has seen first who it is. What the partner sends is received.
    pub hold_media: bool,
    /// The video source.
    pub video: VideoSpec,
    /// Size and frame rate of the video. A camera uses the nearest it has.
    pub video_format: VideoFormat,
    /// The open video source of a preview, for the call to take over without closing the device:
    /// see [`SharedVideo`].
    pub shared_video: SharedVideo,
    /// Leave the source in `shared_video` open when the call ends, so that the preview takes it
    /// back without reopening the device. The owner then closes it, or opens it again for the
    /// preview. `false`: the call closes it.
    pub keep_video_open: bool,
    /// Negotiate sending video even if `video` is none, so that
    /// [`Call::set_video`](super::Call::set_video) can start to send during the call.
    pub negotiate_video: bool,
    /// The same for audio.
    pub negotiate_audio: bool,
    /// The audio source, the sink for the partner's audio, and the processing in between.
    pub audio: AudioConfig,
    /// The codec to offer first. The other built-in ones are offered after it.
    pub codec: VideoCodec,
    /// The most that the video encoder may produce, in bits per second; at least
    /// [`MIN_BITRATE_BPS`].
    pub max_bitrate_bps: u32,
    /// Send media only through the signaling server's TURN servers, so that the partner learns no
    /// address of this machine. Without a TURN server the call ends with
    /// [`EndCode::NoTurnServer`](crate::EndCode::NoTurnServer).
    pub relay_only: bool,
    /// The partner is a stranger, who learns as little as possible of this machine's addresses, and
    /// media goes this way. `None`: the two know each other, and the partner learns all addresses.
    pub stranger: Option<StrangerRoute>,
    /// Gets every decoded frame from the partner.
    pub on_remote_frame: Option<OnRemoteFrame>,
    /// How long to wait for the signaling server, a partner, a connection.
    pub timeouts: CallTimeouts,
    /// Local addresses to bind for media. Empty: every address of this machine, loopback included.
    pub media_addresses: Vec<SocketAddr>,
    /// Other sockets and another clock for media: a simulated network, or the system's sockets behind
    /// a simulated link. `None`: the system's, on tokio.
    pub media_runtime: Option<Arc<dyn Runtime>>,
}

impl CallOptions {
    /// A call through the signaling server at `signaling_url` that sends and plays nothing yet.
    /// Once a source is set: 720p30, H.264, at most 2.5 Mbit/s.
    #[must_use]
    pub fn new(signaling_url: ServerUrl) -> Self {
        Self {
            signaling: ClientConfig::new(signaling_url),
            line: SharedLine::default(),
            keep_line_open: false,
            answer: None,
            meet_again: false,
            room: None,
            room_must_exist: false,
            code: None,
            profile: Profile::default(),
            interests: Vec::new(),
            hold_media: false,
            video: VideoSpec::None,
            video_format: VideoFormat {
                width: 1280,
                height: 720,
                fps: 30.0,
            },
            shared_video: SharedVideo::new(),
            keep_video_open: false,
            negotiate_video: false,
            negotiate_audio: false,
            audio: AudioConfig::default(),
            codec: VideoCodec::H264,
            max_bitrate_bps: DEFAULT_MAX_BITRATE_BPS,
            relay_only: false,
            stranger: None,
            on_remote_frame: None,
            timeouts: CallTimeouts::default(),
            media_addresses: Vec::new(),
            media_runtime: None,
        }
    }

    /// Whether media may only go through a TURN server. `has_turn`: the signaling server offers one.
    pub(super) fn is_relayed(&self, has_turn: bool) -> bool {
        self.relay_only
            || match self.stranger {
                Some(StrangerRoute::Relay) => true,
                Some(StrangerRoute::RelayIfOffered) => has_turn,
                Some(StrangerRoute::Direct) | None => false,
            }
    }

    /// Whether the partner may learn the addresses of this machine that servers see, and no other.
    /// `both_private`: the signaling server says that it sees both sides at private or loopback addresses,
    /// so that they have no others for each other. It is believed only if it is in such a network itself,
    /// because behind a proxy all clients may seem to be.
    pub(super) fn hides_local_addresses(&self, both_private: bool) -> bool {
        self.stranger.is_some() && !self.hides_public_addresses(both_private)
    }

    /// Whether the partner is a stranger in the same private network, who may learn the addresses of this
    /// machine there and those that servers see, and no other.
    pub(super) fn hides_public_addresses(&self, both_private: bool) -> bool {
        self.stranger.is_some() && both_private && self.signaling.url.is_private()
    }

    /// Whether media uses the system's sockets, so that the system's addresses matter to it.
    pub(super) fn uses_system_sockets(&self) -> bool {
        are_systems(self.media_runtime.as_ref())
    }
}

impl fmt::Debug for CallOptions {
    /// Leaves the profile out: it does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions")
            .field("signaling_url", &self.signaling.url)
            .field("video", &self.video)
            .field("video_format", &self.video_format)
            .field("audio", &self.audio)
            .field("codec", &self.codec)
            .field("max_bitrate_bps", &self.max_bitrate_bps)
            .field("relay_only", &self.relay_only)
            .field("stranger", &self.stranger)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
