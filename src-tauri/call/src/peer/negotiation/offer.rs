//! What an offer of the partner makes of the sections.

use super::numbers::WireFormat;
use super::remote::{Remote, Section};
use super::sections::{Sections, Slot, WireSection};
use crate::peer::error::PeerError;
use crate::peer::formats::Format;

/// The sections after an offer, and the offer with its formats in the order in which they are used.
///
/// # Errors
/// [`PeerError::BadDescription`] if it cannot follow what was agreed on `before`.
pub(super) fn read_offer(
    before: &Sections,
    mut remote: Remote,
) -> Result<(Sections, Remote), PeerError> {
    for media in remote.sections.iter_mut().filter_map(Section::media_mut) {
        prefer_simple_formats(&mut media.formats);
    }

    let sections = assign(before, &remote)?;
    Ok((sections, remote))
}

/// Which section of an offer is used for what. A section stays in use as long as it can.
fn assign(before: &Sections, remote: &Remote) -> Result<Sections, PeerError> {
    if remote.sections.len() < before.wire.len() {
        return Err(PeerError::BadDescription(
            "it has fewer sections than the one before",
        ));
    }

    let mut sections = before.clone();
    sections.bundled = !remote.bundle.is_empty();
    sections.wire = remote
        .sections
        .iter()
        .map(|section| WireSection {
            line: section.line.clone(),
            slot: None,
        })
        .collect();

    // Without BUNDLE each section has a transport of its own, and Tandem has one.
    let mut can_add = true;
    for slot in [Slot::Audio, Slot::Video, Slot::Data] {
        let fits = |index: &usize| {
            remote.sections.get(*index).is_some_and(|section| {
                section.slot() == Some(slot) && section.is_usable() && remote.bundles(section)
            })
        };
        let kept = before.live(slot).filter(fits);
        let place = kept.or_else(|| (0..remote.sections.len()).find(fits));
        let Some(place) = place.filter(|_| can_add) else {
            continue;
        };

        sections.wire[place].slot = Some(slot);
        can_add = sections.bundled;
    }

    sections.formats = Default::default();
    for (index, section) in remote.sections.iter().enumerate() {
        if let Some(slot) = sections.wire[index].slot {
            sections.add_to_library(slot, &section.content);
            if let Some(media) = section.media() {
                // Retransmissions on a stream that nobody can find would be lost.
                let repaired = media.repair_ssrc.is_some() || !section.direction.send;
                sections.formats[media.kind as usize] = WireFormat::of(media, repaired);
            }
        }
    }

    let live = [Slot::Audio, Slot::Video].map(|slot| sections.live(slot));
    let live = live.into_iter().flatten();
    sections
        .numbers
        .learn(live.filter_map(|index| remote.sections.get(index)?.media()));

    Ok(sections)
}

impl Remote {
    /// Whether a section shares the one transport. Without any group, all do or only one is used.
    pub(super) fn bundles(&self, section: &Section) -> bool {
        self.bundle.is_empty()
            || section
                .line
                .mid
                .as_ref()
                .is_some_and(|mid| self.bundle.contains(mid))
    }
}

/// Puts the formats first that every decoder is fast with, in the partner's order; the others are
/// for partners that have nothing else.
fn prefer_simple_formats(formats: &mut [Format]) {
    formats.sort_by_key(|format| !format.is_simple());
}
