//! What the rest of the desktop notices of a call: sounds, a notification, the call for attention,
//! and a screen that stays on. All of it follows from what is on the screen.

use super::{App, Effect};
use crate::desktop::state::Screen;
use tandem_media::audio::AudioSink;

/// A sound that announces a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Someone rings.
    Ring,
    /// The other person's Tandem rings.
    Ringback,
    /// A search found someone while the window was not in front. Plays once.
    Found,
}

/// A tone and how it is played.
#[derive(Debug, Clone, PartialEq)]
pub struct ToneSpec {
    /// Which one.
    pub tone: Tone,
    /// Where.
    pub speaker: AudioSink,
    /// How loud, from 0 to 100 percent.
    pub volume: u8,
}

/// A notification of the desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// Someone rings. It offers to accept and to decline.
    Ringing {
        /// The ring, for the reply.
        id: u32,
        /// Who; `None` if the person gave no name.
        name: Option<String>,
    },
    /// A search found someone.
    Found {
        /// Who.
        name: Option<String>,
    },
}

/// What the user did to the notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationReply {
    /// Accept the call.
    Accept {
        /// Of this ring.
        id: u32,
    },
    /// Decline it.
    Decline {
        /// Of this ring.
        id: u32,
    },
    /// Show the window.
    Show,
}

/// What the effects so far leave on.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Another window has the focus.
    pub(super) in_background: bool,
    tone: Option<ToneSpec>,
    notification: Option<Notification>,
    attention: bool,
    awake: bool,
    /// A search found this person while the window was in the background.
    found: Option<Notification>,
}

impl App {
    /// Starts and stops what the desktop notices.
    pub(super) fn sync_surroundings(&mut self) {
        self.sync_tone();

        let has_call = matches!(
            self.state.screen,
            Screen::Connecting { .. } | Screen::InCall(_)
        );
        if !has_call || !self.surroundings.in_background {
            self.surroundings.found = None;
        }

        let ringing = self.state.incoming.as_ref().map(|incoming| {
            let name = incoming.name.clone();
            let id = incoming.id;
            Notification::Ringing { id, name }
        });

        let notification = ringing
            .or_else(|| self.surroundings.found.clone())
            .filter(|_| self.surroundings.in_background);
        let attention = notification.is_some();

        if self.surroundings.notification != notification {
            self.surroundings.notification.clone_from(&notification);
            self.effects.push_back(Effect::Notify(notification));
        }

        if std::mem::replace(&mut self.surroundings.attention, attention) != attention {
            self.effects.push_back(Effect::AskForAttention(attention));
        }

        if std::mem::replace(&mut self.surroundings.awake, has_call) != has_call {
            self.effects.push_back(Effect::KeepAwake(has_call));
        }
    }

    /// Falls silent before a call opens the speaker.
    pub(super) fn stop_tone(&mut self) {
        if self.surroundings.tone.take().is_some() {
            self.effects.push_back(Effect::Play(None));
        }
    }

    fn sync_tone(&mut self) {
        let tone = if self.state.incoming.is_some() {
            Some(Tone::Ring)
        } else if let Screen::Waiting { ringing: true, .. } = self.state.screen {
            Some(Tone::Ringback)
        } else {
            None
        };

        let wanted = tone.map(|tone| self.tone(tone));
        if self.surroundings.tone != wanted {
            self.surroundings.tone.clone_from(&wanted);
            self.effects.push_back(Effect::Play(wanted));
        }
    }

    pub(super) fn tone(&self, tone: Tone) -> ToneSpec {
        ToneSpec {
            tone,
            speaker: self.ring_speaker(),
            volume: self.state.settings.ring_volume,
        }
    }

    /// A search found this person. The user is called back to a window in the background.
    pub(super) fn announce_match(&mut self, name: Option<String>) {
        if self.surroundings.in_background {
            self.surroundings.found = Some(Notification::Found { name });
            let tone = self.tone(Tone::Found);
            self.effects.push_back(Effect::PlayOnce(tone));
        }
    }
}
