//! What two descriptions have in common.

use super::description::MediaSection;
use super::error::PeerError;
use super::formats::{Format, MediaKind};

/// The formats that both sides agreed on. The first of each kind is the one to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Negotiated {
    /// Audio formats.
    pub(crate) audio: Vec<Format>,
    /// Video formats.
    pub(crate) video: Vec<Format>,
}

/// Whether two formats are the same codec with the same profile, whatever their payload types.
pub(super) fn same_format(local: &Format, remote: &Format) -> bool {
    let profile = |format: &Format| {
        let lower = format.parameters.to_ascii_lowercase();
        lower
            .split_once("profile-level-id=")
            .map(|(_, rest)| rest.chars().take(4).collect::<String>())
    };

    local.codec == remote.codec && profile(local) == profile(remote)
}

/// The formats of a description that both sides know.
///
/// # Errors
/// [`PeerError::NoCommonCodec`] if not a single format is known.
pub(super) fn agree(media: &[MediaSection]) -> Result<Negotiated, PeerError> {
    let mut agreed = Negotiated::default();
    for section in media {
        let of_kind = match section.kind {
            MediaKind::Audio => &mut agreed.audio,
            MediaKind::Video => &mut agreed.video,
        };

        if of_kind.is_empty() {
            of_kind.clone_from(&section.formats);
        }
    }

    if !agreed.audio.is_empty() || !agreed.video.is_empty() {
        return Ok(agreed);
    }

    let wants_video = media.iter().any(|section| section.kind == MediaKind::Video);
    Err(PeerError::NoCommonCodec(if wants_video {
        "video"
    } else {
        "audio"
    }))
}
