//! What two descriptions have in common.

use super::PeerError;
use super::description::MediaSection;
use super::formats::{Format, MediaKind};

/// What both sides agreed on: the formats, the first of which is the one to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// Audio formats.
    pub audio: Vec<Format>,
    /// Video formats.
    pub video: Vec<Format>,
}

/// Whether two formats are the same codec in the same variant, whatever their payload types.
pub(super) fn same_format(own: &Format, theirs: &Format) -> bool {
    let profile = |format: &Format| {
        let lower = format.parameters.to_ascii_lowercase();
        lower
            .split_once("profile-level-id=")
            .map(|(_, rest)| rest.chars().take(4).collect::<String>())
    };

    own.codec == theirs.codec && profile(own) == profile(theirs)
}

/// The formats of a description that both sides know. A kind of media that the description wants but has no common format
/// for is an error; one that it leaves out is not.
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

    let missing = |kind| media.iter().any(|section| section.kind == kind);
    match (agreed.audio.is_empty(), agreed.video.is_empty()) {
        (true, true) if missing(MediaKind::Video) => Err(PeerError::NoCommonCodec("video")),
        (true, true) => Err(PeerError::NoCommonCodec("audio")),
        _ => Ok(agreed),
    }
}
