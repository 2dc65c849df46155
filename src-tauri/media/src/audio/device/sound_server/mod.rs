//! The desktop's sound server: PulseAudio, or PipeWire in its place.
//!
//! Where one answers, its devices are the user's: it knows Bluetooth headsets, what each device is
//! called, and which one is the default, and it holds the sound cards, which ALSA could only take
//! from it. ALSA still opens the devices, through its plug-in for the server.

mod connection;
mod watch;

use std::sync::OnceLock;

use alsa::PCM;
use cpal::{SampleFormat, SupportedBufferSize, SupportedStreamConfigRange};

use super::Direction;
use super::find::{SIMILAR, rank};
use crate::audio::SAMPLE_RATE;
use connection::{Connection, ConnectionError};
pub(super) use watch::{ServerWatch, Stopper};

/// A microphone or speaker of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerDevice {
    /// The server's name for it, which stays the same when it is plugged in again.
    pub(super) name: String,
    /// The name to show to the user.
    pub(super) description: String,
    /// Whether this is the server's default.
    pub(super) default: bool,
    /// Its own rate in Hz. The server converts to it.
    pub(super) rate: u32,
    /// Its own channel count. The server mixes to it.
    pub(super) channels: u16,
    /// The sound card behind it, if it is one.
    card: Option<Card>,
}

/// A device of a sound card, in the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Card {
    card: u32,
    device: u32,
}

/// A server that answers, and that ALSA can reach.
#[derive(Debug)]
pub(super) struct SoundServer {
    /// ALSA's plug-in for it.
    plug_in: &'static PlugIn,
    pub(super) devices: Vec<ServerDevice>,
}

/// One of ALSA's plug-ins for sound servers.
#[derive(Debug)]
struct PlugIn {
    pcm: &'static str,
    /// The parameter that names a device.
    device: &'static str,
}

/// The plug-ins, the preferred one first.
static PLUG_INS: [PlugIn; 2] = [
    PlugIn {
        pcm: "pulse",
        device: "DEVICE",
    },
    PlugIn {
        pcm: "pipewire",
        device: "NODE",
    },
];

impl PlugIn {
    /// The plug-in that works on this machine.
    fn installed() -> Option<&'static Self> {
        static INSTALLED: OnceLock<&PlugIn> = OnceLock::new();
        if let Some(found) = INSTALLED.get() {
            return Some(found);
        }

        let works =
            |plug_in: &&Self| PCM::new(plug_in.pcm, alsa::Direction::Playback, true).is_ok();
        PLUG_INS
            .iter()
            .find(works)
            .map(|found| *INSTALLED.get_or_init(|| found))
    }
}

/// The format in which its devices are opened: the engine's, in the layout and numbers that need no
/// conversion on the way to most servers' mixers.
pub(super) fn format() -> SupportedStreamConfigRange {
    SupportedStreamConfigRange::new(
        2,
        SAMPLE_RATE,
        SAMPLE_RATE,
        SupportedBufferSize::Unknown,
        SampleFormat::F32,
    )
}

impl SoundServer {
    /// Asks the server for its devices. `None` if there is no server, or no plug-in for it.
    pub(super) fn query(direction: Direction) -> Option<Self> {
        let devices = Connection::open().and_then(|mut server| server.devices(direction));
        let devices = match devices {
            Ok(devices) => devices,
            Err(ConnectionError::Absent) => return None,
            Err(error) => {
                tracing::warn!(%error, "the sound server does not answer: using ALSA's devices");
                return None;
            }
        };

        let plug_in = PlugIn::installed();
        if plug_in.is_none() {
            tracing::warn!(
                "ALSA has no plug-in for the sound server: using ALSA's devices, which the server may hold"
            );
        }

        Some(Self {
            plug_in: plug_in?,
            devices,
        })
    }

    /// ALSA's name for one of the devices; `None` if ALSA's syntax cannot express it.
    fn pcm(&self, device: &ServerDevice) -> Option<String> {
        let PlugIn { pcm, device: key } = self.plug_in;
        let name = &device.name;
        (!name.contains('"')).then(|| format!("{pcm}:{key}=\"{name}\""))
    }

    /// ALSA's name for the server's default device, which the server changes when the user does.
    pub(super) fn default_pcm(&self, direction: Direction) -> &'static str {
        // Usually ALSA's default leads to the server. Where it is a card, the server holds that.
        if is_card(super::DEFAULT_PCM, direction) {
            self.plug_in.pcm
        } else {
            super::DEFAULT_PCM
        }
    }

    /// ALSA's name for the device with exactly this name or description, or the one that a choice
    /// from ALSA's own menu means.
    pub(super) fn find_exact(&self, requested: &str, direction: Direction) -> Option<String> {
        let device = self.ranked(requested).filter(|(rank, _)| *rank < SIMILAR);
        if let Some((_, device)) = device {
            return self.pcm(device);
        }

        match earlier_choice(requested, card_index)? {
            EarlierChoice::Card(card) => self
                .devices
                .iter()
                .find(|device| device.card == Some(card))
                .and_then(|device| self.pcm(device))
                .or_else(|| Some(self.default_pcm(direction).to_owned())),
            EarlierChoice::Default => Some(self.default_pcm(direction).to_owned()),
        }
    }

    /// ALSA's name for the device whose description contains the text.
    pub(super) fn find_similar(&self, requested: &str) -> Option<String> {
        self.ranked(requested)
            .and_then(|(_, device)| self.pcm(device))
    }

    /// The device that matches best.
    fn ranked(&self, requested: &str) -> Option<(u8, &ServerDevice)> {
        self.devices
            .iter()
            .filter_map(|device| {
                Some((rank(requested, &device.name, &device.description)?, device))
            })
            .min_by_key(|(rank, _)| *rank)
    }
}

/// What a choice from a menu of ALSA's devices means to a sound server.
#[derive(Debug, PartialEq, Eq)]
enum EarlierChoice {
    /// The device of this card, or the default if the server does not have the card.
    Card(Card),
    /// The server itself.
    Default,
}

/// Understands what menus without a sound server offer, and settings therefore may hold: see
/// [`super::alsa`]. Opening the card itself would compete with the server. `index` finds the number
/// of a card.
fn earlier_choice(id: &str, index: impl Fn(&str) -> Option<u32>) -> Option<EarlierChoice> {
    if id == super::DEFAULT_PCM || PLUG_INS.iter().any(|plug_in| plug_in.pcm == id) {
        return Some(EarlierChoice::Default);
    }

    let (card, device) = id.strip_prefix("plughw:CARD=")?.split_once(",DEV=")?;
    let device = device.parse().ok()?;
    Some(index(card).map_or(EarlierChoice::Default, |card| {
        EarlierChoice::Card(Card { card, device })
    }))
}

/// The number of the card with this id (`PCH`), which the kernel gives at every start anew.
fn card_index(id: &str) -> Option<u32> {
    let number = id.parse().ok();
    number.or_else(|| {
        let folder = std::fs::read_link(std::path::Path::new("/proc/asound").join(id)).ok()?;
        folder.to_str()?.strip_prefix("card")?.parse().ok()
    })
}

/// Whether this PCM is a sound card, and not a plug-in that leads elsewhere. A card that is in use
/// counts, too.
fn is_card(pcm: &str, direction: Direction) -> bool {
    let direction = match direction {
        Direction::Capture => alsa::Direction::Capture,
        Direction::Playback => alsa::Direction::Playback,
    };

    PCM::new(pcm, direction, true)
        .and_then(|pcm| pcm.info().map(|info| info.get_card()))
        .map_or(true, |card| card >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, description: &str, card: Option<Card>) -> ServerDevice {
        ServerDevice {
            name: name.into(),
            description: description.into(),
            default: false,
            rate: 48_000,
            channels: 2,
            card,
        }
    }

    fn server(plug_in: &'static PlugIn) -> SoundServer {
        let card = Card { card: 7, device: 3 };
        SoundServer {
            plug_in,
            devices: vec![
                device("alsa_output.pci.analog", "Built-in Audio", Some(card)),
                device("bluez_output.AA_BB.1", "My Headset", None),
                device("headset", "Another one", None),
            ],
        }
    }

    #[test]
    fn a_device_is_found_by_name_then_description_then_part_of_it() {
        let server = server(&PLUG_INS[0]);
        let exact = |requested| server.find_exact(requested, Direction::Playback);
        assert_eq!(
            exact("headset").as_deref(),
            Some("pulse:DEVICE=\"headset\""),
            "by its name"
        );
        assert_eq!(
            exact("My Headset").as_deref(),
            Some("pulse:DEVICE=\"bluez_output.AA_BB.1\""),
            "by its description"
        );
        assert_eq!(
            exact("built-in"),
            None,
            "part of a description is not exact"
        );
        assert_eq!(
            server.find_similar("built-in").as_deref(),
            Some("pulse:DEVICE=\"alsa_output.pci.analog\""),
            "but similar"
        );
        assert_eq!(server.find_similar("nothing"), None);
    }

    #[test]
    fn each_plug_in_has_its_own_parameter() {
        let named = |plug_in| server(plug_in).find_exact("headset", Direction::Playback);
        assert_eq!(
            named(&PLUG_INS[1]).as_deref(),
            Some("pipewire:NODE=\"headset\"")
        );

        let mut hostile = server(&PLUG_INS[0]);
        hostile.devices = vec![device("a\",DEVICE=\"b", "Hostile", None)];
        assert_eq!(
            hostile.find_similar("Hostile"),
            None,
            "a name that would end the quotes is not passed to ALSA"
        );
    }

    #[test]
    fn a_choice_from_alsas_menu_means_the_same_card() {
        let index = |id: &str| (id == "PCH").then_some(7);
        let choice = |id| earlier_choice(id, index);
        let card = Card { card: 7, device: 3 };

        assert_eq!(
            choice("plughw:CARD=PCH,DEV=3"),
            Some(EarlierChoice::Card(card))
        );
        for id in ["default", "pulse", "pipewire", "plughw:CARD=Gone,DEV=0"] {
            assert_eq!(choice(id), Some(EarlierChoice::Default), "{id}");
        }
        for id in ["hw:CARD=PCH,DEV=3", "my_mix", "alsa_output.pci.analog", ""] {
            assert_eq!(choice(id), None, "{id} is another device or none");
        }

        let server = server(&PLUG_INS[0]);
        assert_eq!(
            server
                .find_exact("plughw:CARD=7,DEV=3", Direction::Playback)
                .as_deref(),
            Some("pulse:DEVICE=\"alsa_output.pci.analog\""),
            "the server's device of that card"
        );
    }
}
