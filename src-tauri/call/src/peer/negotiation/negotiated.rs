//! What two descriptions have in common.

use super::sections::Slot;
use crate::peer::error::PeerError;
use crate::peer::formats::{Format, MediaKind};

/// What both sides agreed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Negotiated {
    /// Audio formats with the partner's payload types, the one to send first. Empty if there is no audio.
    pub(crate) audio: Vec<Format>,
    /// Video formats with the partner's payload types, the one to send first. Empty if there is no video.
    pub(crate) video: Vec<Format>,
    /// What the partner may send, with the payload types of its packets: what was agreed on, and
    /// what was before.
    pub(super) received: [Vec<Format>; 2],
    /// What the partner wants to receive.
    pub(super) wanted: Kinds,
    /// What the partner may send now.
    pub(super) sent: Kinds,
}

/// Audio, video, both or neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) audio: bool,
    pub(super) video: bool,
}

/// What this side has to send and the partner does not want.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// The partner does not want audio.
    pub audio: bool,
    /// The partner does not want video.
    pub video: bool,
}

impl Kinds {
    pub(super) fn set(&mut self, kind: MediaKind, on: bool) {
        match kind {
            MediaKind::Audio => self.audio = on,
            MediaKind::Video => self.video = on,
        }
    }

    fn has(self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
}

impl Negotiated {
    /// The format to send. `None` while the partner does not want media of this kind.
    pub(crate) fn to_send(&self, kind: MediaKind) -> Option<&Format> {
        self.formats(kind).first().filter(|_| self.wanted.has(kind))
    }

    /// Whether the partner may send media of this kind now.
    pub(crate) fn may_come(&self, kind: MediaKind) -> bool {
        self.sent.has(kind)
    }

    /// The formats of packets from the partner.
    pub(crate) fn received(&self, kind: MediaKind) -> &[Format] {
        &self.received[kind as usize]
    }

    pub(super) fn received_mut(&mut self, kind: MediaKind) -> &mut Vec<Format> {
        &mut self.received[kind as usize]
    }

    pub(in crate::peer) fn formats(&self, kind: MediaKind) -> &[Format] {
        match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        }
    }

    pub(super) fn formats_mut(&mut self, kind: MediaKind) -> &mut Vec<Format> {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }

    /// Audio alone is a call, and so is video alone.
    ///
    /// # Errors
    /// [`PeerError::NoCommonCodec`] if there is neither. `described` are the kinds of media that
    /// the partner's description has sections for.
    pub(super) fn or_no_common_codec(
        self,
        described: impl IntoIterator<Item = Slot>,
    ) -> Result<Self, PeerError> {
        if !self.audio.is_empty() || !self.video.is_empty() {
            return Ok(self);
        }

        let has_video = described.into_iter().any(|slot| slot == Slot::Video);
        Err(PeerError::NoCommonCodec(if has_video {
            "video"
        } else {
            "audio"
        }))
    }
}
