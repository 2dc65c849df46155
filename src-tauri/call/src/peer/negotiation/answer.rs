//! What the partner's answer makes of this side's offer.

use super::numbers::WireFormat;
use super::remote::{Content, Remote, Section};
use super::sections::Sections;
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

        let kind = section.media().map(|media| media.kind as usize);
        if let Some(formats) = kind.map(|kind| &mut proposed.formats[kind]) {
            *formats = accept(section, formats);
        }

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

/// Leaves only the formats that were offered, by payload type, and returns them under this side's
/// payload types: those are what the partner sends with. What they stand for is this side's choice.
fn accept(section: &mut Section, offered: &[WireFormat]) -> Vec<WireFormat> {
    let Content::Media(media) = &mut section.content else {
        return Vec::new();
    };

    let mut accepted = Vec::new();
    let retransmissions = media.retransmissions.clone();
    media.formats.retain(|format| {
        let number = format.payload_type;
        // The number says which one it is. Its parameters may be spelled as another's.
        let mut candidates = offered.iter().filter(|it| it.format.codec == format.codec);
        let by_number = candidates
            .clone()
            .find(|it| it.format.payload_type == number);
        let offered = by_number.or_else(|| candidates.find(|it| it.format.is_same(format)));
        let is_repaired = retransmissions.iter().any(|(_, of)| *of == number);
        accepted.extend(offered.map(|offered| WireFormat {
            format: Format {
                payload_type: offered.format.payload_type,
                ..format.clone()
            },
            repair: offered.repair.filter(|_| is_repaired),
        }));
        offered.is_some()
    });
    accepted
}
