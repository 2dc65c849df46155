//! The user's settings, which the settings file keeps.

use serde::{Deserialize, Serialize};
use tandem_signaling::ServerUrl;
use ts_rs::TS;

use crate::values::preset_server_url;

/// The user's settings. A device is its id, `null` for the system's default, or `"none"` for no
/// device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// The name that partners see; may be empty.
    pub name: String,
    /// The address of the signaling server; `null` if none is chosen. Older files call it
    /// `relayUrl`.
    #[serde(alias = "relayUrl")]
    #[ts(type = "string | null")]
    pub server_url: Option<ServerUrl>,
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
    /// The speaker that rings; `null` for the one of calls.
    pub ring_speaker: Option<String>,
    /// How loud it rings, from 0 to 100 percent.
    pub ring_volume: u8,
    /// The color theme.
    pub theme: Theme,
    /// Attenuate background noise in the microphone's audio.
    pub noise_suppression: bool,
    /// Remove the speaker's sound from the microphone's.
    pub echo_cancellation: bool,
    /// Bring speech to an even loudness.
    pub auto_gain: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            server_url: preset_server_url(),
            welcomed: false,
            camera: None,
            microphone: None,
            speaker: None,
            camera_enabled: true,
            muted: false,
            ring_speaker: None,
            ring_volume: 80,
            theme: Theme::System,
            noise_suppression: true,
            echo_cancellation: true,
            auto_gain: true,
        }
    }
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
