//! What the user chose, as it is kept from run to run.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The relay that is asked when nothing is set.
pub const DEFAULT_RELAY_URL: &str = "ws://127.0.0.1:9000/ws";

/// The user's choices. A device is its id, `null` for the system's default, `"none"` to do without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// The name that partners see; empty for none.
    pub name: String,
    /// The relay that introduces partners.
    pub relay_url: String,
    /// The camera.
    pub camera: Option<String>,
    /// The microphone.
    pub microphone: Option<String>,
    /// The speaker.
    pub speaker: Option<String>,
    /// Whether calls begin with the camera on.
    pub camera_enabled: bool,
    /// Light or dark.
    pub theme: Theme,
    /// Attenuate the microphone's background noise.
    pub noise_suppression: bool,
    /// Remove the speaker's sound from the microphone's.
    pub echo_cancellation: bool,
    /// Bring the microphone's speech to an even loudness.
    pub auto_gain: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            relay_url: DEFAULT_RELAY_URL.into(),
            camera: None,
            microphone: None,
            speaker: None,
            camera_enabled: true,
            theme: Theme::System,
            noise_suppression: true,
            echo_cancellation: true,
            auto_gain: true,
        }
    }
}

/// Light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Theme {
    /// As the system is.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}
