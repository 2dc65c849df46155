//! The user's settings, which the settings file keeps.

use serde::{Deserialize, Serialize};
use tandem_signaling::{ServerOrigin, ServerUrl};
use ts_rs::TS;

use crate::values::{DEFAULT_MAX_BITRATE_BPS, preset_server_url};

/// The user's settings. A device is its id, `null` for the system's default, or `"none"` for no
/// device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// The name that partners see; may be empty.
    pub name: String,
    /// The age that partners see, in years; `null` for none.
    pub age: Option<u8>,
    /// The place that partners see; may be empty.
    pub location: String,
    /// The address of the signaling server; `null` if none is chosen. Older files call it
    /// `relayUrl`.
    #[serde(alias = "relayUrl")]
    #[ts(type = "string | null")]
    pub server_url: Option<ServerUrl>,
    /// The path of a PEM file with certificates to trust beside the system's; `null` for none.
    pub ca_file: Option<String>,
    /// The user has seen the ways to call, which the first start explains.
    pub welcomed: bool,
    /// The chosen camera.
    pub camera: Option<String>,
    /// The chosen microphone.
    pub microphone: Option<String>,
    /// The chosen speaker.
    pub speaker: Option<String>,
    /// Whether calls start with the camera on.
    pub camera_enabled: bool,
    /// Whether the microphone is muted, in calls and before them.
    pub muted: bool,
    /// The user has read the rules for meeting strangers and is 18 or older.
    pub rules_accepted: bool,
    /// Whether the camera is on when the user meets a stranger.
    pub stranger_camera: bool,
    /// Whether the microphone is muted when the user meets a stranger.
    pub stranger_muted: bool,
    /// Calls with strangers go through a TURN server, so that they do not learn the user's address.
    pub stranger_relay: bool,
    /// The servers at which they go directly because those offer no TURN server: the user was asked at
    /// each.
    #[serde(deserialize_with = "servers")]
    #[ts(type = "string[]")]
    pub stranger_direct: Vec<ServerOrigin>,
    /// What the user likes to talk about; people with the same interests are matched first.
    pub interests: Vec<String>,
    /// The speaker that rings; `null` for the one that calls use.
    pub ring_speaker: Option<String>,
    /// How loud it rings, from 0 to 100 percent.
    pub ring_volume: u8,
    /// The size of the video to send.
    pub video_size: VideoSize,
    /// The codec to offer first.
    pub codec: Codec,
    /// The most that the video may take, in kbit/s.
    pub max_bitrate_kbps: u32,
    /// People on the same network can find and call the user, also while their list is closed.
    pub always_nearby: bool,
    /// Whether the keys M and V alone do something.
    pub single_key_shortcuts: bool,
    /// The color theme.
    pub theme: Theme,
    /// Attenuate background noise in the microphone's audio.
    pub noise_suppression: bool,
    /// Remove the speaker's sound from the microphone's.
    pub echo_cancellation: bool,
    /// Bring speech to an even loudness.
    pub auto_gain: bool,
}

/// The most servers that are remembered. The oldest is forgotten.
const MAX_DIRECT_SERVERS: usize = 32;

/// Reads servers. What is none is left out: the user is asked again.
fn servers<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<ServerOrigin>, D::Error> {
    let read = serde_json::Value::deserialize(from)?;
    let texts = read.as_array().into_iter().flatten();
    let urls = texts.filter_map(|text| text.as_str()?.parse::<ServerUrl>().ok());
    Ok(urls
        .map(|url| url.origin())
        .take(MAX_DIRECT_SERVERS)
        .collect())
}

impl Settings {
    /// Strangers may be met directly at this server, or no longer.
    pub fn allow_direct(&mut self, server: &ServerOrigin, allowed: bool) {
        self.stranger_direct.retain(|known| known != server);
        if allowed {
            if self.stranger_direct.len() == MAX_DIRECT_SERVERS {
                self.stranger_direct.remove(0);
            }

            self.stranger_direct.push(server.clone());
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            age: None,
            location: String::new(),
            server_url: preset_server_url(),
            ca_file: None,
            welcomed: false,
            camera: None,
            microphone: None,
            speaker: None,
            camera_enabled: true,
            muted: false,
            rules_accepted: false,
            stranger_camera: false,
            stranger_muted: false,
            stranger_relay: true,
            stranger_direct: Vec::new(),
            interests: Vec::new(),
            ring_speaker: None,
            ring_volume: 80,
            video_size: VideoSize::default(),
            codec: Codec::default(),
            max_bitrate_kbps: DEFAULT_MAX_BITRATE_BPS / 1_000,
            always_nearby: false,
            single_key_shortcuts: true,
            theme: Theme::System,
            noise_suppression: true,
            echo_cancellation: true,
            auto_gain: true,
        }
    }
}

/// The access token for a private server, without its text: the page never gets that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct TokenState {
    /// The only server that gets it, such as `chat.example.org`.
    pub server: String,
    /// The server in the settings is that one.
    pub in_use: bool,
    /// It comes from the command line, and is not saved.
    pub this_run_only: bool,
}

/// A size of video, by its height. All are 16:9.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub enum VideoSize {
    /// 1280x720.
    #[default]
    #[serde(rename = "720p")]
    P720,
    /// 854x480.
    #[serde(rename = "480p")]
    P480,
    /// 640x360.
    #[serde(rename = "360p")]
    P360,
}

impl VideoSize {
    /// Width and height, in pixels.
    #[must_use]
    pub fn pixels(self) -> (u32, u32) {
        match self {
            Self::P720 => (1280, 720),
            Self::P480 => (854, 480),
            Self::P360 => (640, 360),
        }
    }
}

/// A video codec.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264.
    #[default]
    H264,
    /// VP8.
    Vp8,
}

/// A color theme.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Theme {
    /// As the system.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}
