//! What the partner's answer makes of this side's offer.

use super::remote::{Content, Remote, Section};
use super::sections::{LibrarySection, Sections};
use crate::peer::error::PeerError;
use crate::peer::formats::Format;

/// The sections after an answer to `proposed`, and the answer with only what was offered.
///
/// # Errors
/// [`PeerError::BadDescription`] if the answer does not fit the offer.
pub(super) fn read_answer(
    mut proposed: Sections,
    mut remote: Remote,
) -> Result<(Sections, Remote), PeerError> {
    if remote.sections.len() > proposed.wire.len() {
        return Err(PeerError::BadDescription(
            "it has more sections than the offer",
        ));
    }

    let bundle = std::mem::take(&mut remote.bundle);
    let mut can_add = true;
    for (index, wire) in proposed.wire.iter_mut().enumerate() {
        let Some(slot) = wire.slot else { continue };
        let Some(section) = remote.sections.get_mut(index) else {
            // What is left out is not wanted.
            wire.slot = None;
            continue;
        };
        if section.slot() != Some(slot) {
            return Err(PeerError::BadDescription(
                "it answers with another kind of media",
            ));
        }

        let offered = proposed.library.iter().find(|known| known.slot == slot);
        keep_offered(section, offered);

        let is_bundled = bundle.is_empty()
            || section
                .line
                .mid
                .as_ref()
                .is_some_and(|mid| bundle.contains(mid));
        let is_live = section.is_usable() && is_bundled && can_add;
        // A partner without BUNDLE has a transport for each section, and Tandem has one.
        can_add &= !(is_live && bundle.is_empty());
        if !is_live {
            wire.slot = None;
        }
    }

    remote.bundle = bundle;
    Ok((proposed, remote))
}

/// Leaves only the formats that were offered, by payload type. The payload types are this side's,
/// and so is what they stand for.
fn keep_offered(section: &mut Section, offered: Option<&LibrarySection>) {
    let (Content::Media(media), Some(Content::Media(offered))) =
        (&mut section.content, offered.map(|known| &known.content))
    else {
        return;
    };

    media.formats.retain(|format| {
        offered.formats.iter().any(|own: &Format| {
            own.codec == format.codec
                && (own.payload_type == format.payload_type || own.is_same(format))
        })
    });
}
