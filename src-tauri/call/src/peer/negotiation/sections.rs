//! Which sections there are, which of them are used, and what for.

use rtc::rtp_transceiver::rtp_sender::RTCRtpCodecParameters;
use rtc::sdp::SessionDescription;
use webrtc::peer_connection::{RTCSdpType, RTCSessionDescription};

use super::answer::read_answer;
use super::negotiated::Negotiated;
use super::numbers::{Numbers, WireFormat, with_older};
use super::remote::{Content, Line, Media, Remote, Section, Transport};
use super::streams::Streams;
use super::{to_library, to_partner};
use crate::peer::error::PeerError;
use crate::peer::formats::{Format, MediaKind};

/// What the library has a section for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::peer) enum Slot {
    Audio,
    Video,
    Data,
}

/// A section as it is numbered between both sides. Sections keep their places for ever (RFC 3264
/// §8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireSection {
    pub(super) line: Line,
    /// What it is used for. `None`: it is rejected.
    pub(super) slot: Option<Slot>,
}

/// A section that the library has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LibrarySection {
    pub(super) slot: Slot,
    /// The library's own `a=mid`.
    pub(super) mid: String,
    /// What it was last told or told us. Needed while the partner rejects the section: the library
    /// must not notice that.
    pub(super) content: Content,
}

/// All sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sections {
    pub(super) wire: Vec<WireSection>,
    pub(super) library: Vec<LibrarySection>,
    /// The formats of audio and video as the descriptions name them. The partner sends packets under
    /// these numbers.
    pub(super) formats: [Vec<WireFormat>; 2],
    /// The library's numbers for them.
    pub(super) numbers: Numbers,
    /// The live sections share one transport and say so.
    pub(super) bundled: bool,
}

/// Who begins the DTLS handshake, and with which words (RFC 5763 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DtlsRole {
    /// This side.
    Active,
    /// The partner.
    Passive,
}

/// Offers and answers of one peer connection.
#[derive(Debug, Default)]
pub(in crate::peer) struct Negotiation {
    /// As both sides agreed last.
    agreed: Sections,
    /// As this side offered, while the answer is missing.
    proposed: Option<Sections>,
    /// The partner's last description.
    last: Option<(RTCSdpType, Remote)>,
    role: Option<DtlsRole>,
    /// The hash of the partner's certificate.
    fingerprint: Option<(String, String)>,
    streams: Streams,
    /// What the partner may send, under which numbers: those agreed on, and earlier ones.
    received: [Vec<WireFormat>; 2],
}

/// A description for the library, and what it means.
#[derive(Debug)]
pub(in crate::peer) struct ForLibrary {
    pub(in crate::peer) sdp: String,
    pub(in crate::peer) negotiated: Negotiated,
}

impl Slot {
    pub(super) fn of(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::Audio,
            MediaKind::Video => Self::Video,
        }
    }
}

impl Section {
    /// What the section could be used for.
    pub(super) fn slot(&self) -> Option<Slot> {
        match &self.content {
            Content::Media(media) => Some(Slot::of(media.kind)),
            Content::Data { .. } => Some(Slot::Data),
            Content::Unknown => None,
        }
    }

    pub(super) fn media(&self) -> Option<&Media> {
        match &self.content {
            Content::Media(media) => Some(media),
            Content::Data { .. } | Content::Unknown => None,
        }
    }

    /// Whether it can be used at all.
    pub(super) fn is_usable(&self) -> bool {
        let has_format = self.media().is_none_or(|media| !media.formats.is_empty());
        !self.rejected && has_format && self.slot().is_some()
    }
}

impl Sections {
    pub(super) fn live(&self, slot: Slot) -> Option<usize> {
        self.wire
            .iter()
            .position(|section| section.slot == Some(slot))
    }

    /// ICE and DTLS of the section whose transport is used, if it has ICE credentials.
    fn transport<'a>(&self, remote: &'a Remote) -> Option<&'a Transport> {
        let is_live = |index: &usize| self.wire.get(*index).is_some_and(|it| it.slot.is_some());
        let by_group = remote.bundle.iter().filter_map(|mid| {
            remote
                .sections
                .iter()
                .position(|section| section.line.mid.as_ref() == Some(mid))
        });
        let by_place = 0..remote.sections.len();
        by_group
            .chain(by_place)
            .filter(is_live)
            .filter_map(|index| remote.sections.get(index))
            .map(|section| &section.transport)
            .find(|transport| transport.ufrag.is_some() && transport.password.is_some())
    }

    /// Adds the slots that the library has not had. The library numbers sections by their places.
    fn add_to_library(&mut self, slot: Slot, content: &Content) {
        match self.library.iter_mut().find(|known| known.slot == slot) {
            Some(known) => known.content = content.clone(),
            None => self.library.push(LibrarySection {
                slot,
                mid: self.library.len().to_string(),
                content: content.clone(),
            }),
        }
    }

    /// What both sides can do with it.
    fn negotiated(&self, remote: &Remote) -> Negotiated {
        let mut negotiated = Negotiated::default();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let section = self
                .live(Slot::of(kind))
                .and_then(|index| remote.sections.get(index));
            let Some((section, media)) = section.and_then(|it| Some((it, it.media()?))) else {
                continue;
            };

            negotiated.formats_mut(kind).clone_from(&media.formats);
            negotiated.wanted.set(kind, section.direction.receive);
        }

        negotiated
    }
}

impl Negotiation {
    /// The library made an offer: the description to send.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`] if it cannot be read.
    pub(in crate::peer) fn offer(
        &mut self,
        offer: &RTCSessionDescription,
    ) -> Result<String, PeerError> {
        let session = parse(offer)?;
        let own = Remote::read(&session)?;
        let mut proposed = self.agreed.clone();
        if proposed.wire.is_empty() {
            proposed.bundled = true;
        }

        for section in own.sections {
            let Some(slot) = section.slot() else { continue };
            let is_new = !proposed.library.iter().any(|known| known.slot == slot);
            if is_new {
                if let Some(media) = section.media() {
                    proposed.numbers.learn(media);
                    proposed.formats[media.kind as usize] = WireFormat::of(media, true);
                }

                let mid = section.line.mid.clone().unwrap_or_default();
                proposed.library.push(LibrarySection {
                    slot,
                    mid,
                    content: section.content,
                });
                proposed.wire.push(WireSection {
                    line: section.line,
                    slot: Some(slot),
                });
            }
        }

        proposed.keep_mids_unique();
        let sdp = to_partner::write(session, &proposed, &to_partner::Kind::Offer);
        self.proposed = Some(proposed);
        Ok(sdp)
    }

    /// This side's offer is taken back.
    pub(in crate::peer) fn roll_back(&mut self) {
        self.proposed = None;
    }

    /// The partner answered.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`], [`PeerError::NoCommonCodec`].
    pub(in crate::peer) fn on_answer(&mut self, remote: Remote) -> Result<ForLibrary, PeerError> {
        let proposed = self
            .proposed
            .clone()
            .ok_or(PeerError::BadDescription("it answers no offer"))?;
        let (sections, remote) = read_answer(proposed, remote)?;
        let (negotiated, transport) = self.check(&sections, &remote)?;
        let role = match transport.setup.as_deref() {
            Some("passive") => DtlsRole::Active,
            _ => DtlsRole::Passive,
        };

        self.role.get_or_insert(role);
        if self.fingerprint.is_none() {
            self.fingerprint = transport.fingerprints.first().cloned();
        }

        self.agree(sections);
        self.proposed = None;
        let sdp = self.for_library(RTCSdpType::Answer, &remote, &transport);
        self.last = Some((RTCSdpType::Answer, remote));
        Ok(ForLibrary { sdp, negotiated })
    }

    /// The partner offers.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`], [`PeerError::NoCommonCodec`]; nothing has changed then.
    pub(in crate::peer) fn on_offer(
        &mut self,
        mut remote: Remote,
    ) -> Result<ForLibrary, PeerError> {
        for media in remote.sections.iter_mut().filter_map(Section::media_mut) {
            prefer_simple_formats(&mut media.formats);
        }

        let sections = assign(&self.agreed, &remote)?;
        let (negotiated, transport) = self.check(&sections, &remote)?;
        let role = match transport.setup.as_deref() {
            Some("passive") => DtlsRole::Active,
            Some("holdconn") => {
                return Err(PeerError::BadDescription("it wants no connection yet"));
            }
            _ => DtlsRole::Passive,
        };

        self.role.get_or_insert(role);
        if self.fingerprint.is_none() {
            self.fingerprint = transport.fingerprints.first().cloned();
        }

        self.agree(sections);
        let sdp = self.for_library(RTCSdpType::Offer, &remote, &transport);
        self.last = Some((RTCSdpType::Offer, remote));
        Ok(ForLibrary { sdp, negotiated })
    }

    /// `a=ice-ufrag` where an offer or an answer says it for the transport that will be used: if it
    /// changes, ICE restarts (RFC 8839 §4.4.1.1.1). Empty if the description cannot be used.
    pub(in crate::peer) fn ufrag(&self, kind: RTCSdpType, remote: &Remote) -> String {
        let sections = match kind {
            RTCSdpType::Offer => assign(&self.agreed, remote).ok(),
            _ => self.proposed.clone().and_then(|proposed| {
                let (sections, _) = read_answer(proposed, remote.clone()).ok()?;
                Some(sections)
            }),
        };
        let transport = sections.as_ref().and_then(|it| it.transport(remote));
        transport
            .and_then(|transport| transport.ufrag.clone())
            .unwrap_or_default()
    }

    /// What a description comes to, and the transport to use.
    fn check(
        &self,
        sections: &Sections,
        remote: &Remote,
    ) -> Result<(Negotiated, Transport), PeerError> {
        let described = remote.sections.iter().filter_map(Section::slot);
        let mut negotiated = sections.negotiated(remote).or_no_common_codec(described)?;
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let index = kind as usize;
            let received = with_older(sections.formats[index].clone(), &self.received[index]);
            *negotiated.received_mut(kind) = received.into_iter().map(|wire| wire.format).collect();
        }

        Ok((negotiated, self.transport(sections, remote)?))
    }

    /// From now on it is so.
    fn agree(&mut self, sections: Sections) {
        for (received, formats) in self.received.iter_mut().zip(&sections.formats) {
            *received = with_older(formats.clone(), received);
        }

        self.agreed = sections;
    }

    /// The library answered the partner's offer: the description to send. `sends` are the kinds of
    /// media that this side has a track for.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`] if it cannot be read.
    pub(in crate::peer) fn answer(
        &self,
        answer: &RTCSessionDescription,
        sends: &[MediaKind],
    ) -> Result<String, PeerError> {
        let Some((_, remote)) = &self.last else {
            return Err(PeerError::BadDescription("there is no offer to answer"));
        };

        let kind = to_partner::Kind::Answer {
            remote,
            sends,
            role: self.role.unwrap_or(DtlsRole::Passive),
        };
        Ok(to_partner::write(parse(answer)?, &self.agreed, &kind))
    }

    /// The partner sends a stream that no section announced. Returns the partner's last
    /// description with it, for the library, and whether that was an offer. `None` if there is no
    /// section for it.
    pub(in crate::peer) fn on_undeclared(
        &mut self,
        ssrc: u32,
        payload_type: u8,
    ) -> Option<(RTCSdpType, String)> {
        let (kind, remote) = self.last.clone()?;
        let media = [Slot::Audio, Slot::Video]
            .into_iter()
            .filter_map(|slot| remote.sections.get(self.agreed.live(slot)?)?.media())
            .find(|media| {
                self.received[media.kind as usize]
                    .iter()
                    .any(|wire| wire.format.payload_type == payload_type)
            })?;

        self.streams.learn(media.kind, ssrc, media.ssrc);
        let transport = self.transport(&self.agreed, &remote).ok()?;
        Some((kind, self.for_library(kind, &remote, &transport)))
    }

    /// The SSRCs of the streams that the library expects, with those of retransmissions.
    pub(in crate::peer) fn streams(&self) -> Vec<u32> {
        let Some((_, remote)) = &self.last else {
            return Vec::new();
        };

        let media = [Slot::Audio, Slot::Video]
            .into_iter()
            .filter_map(|slot| remote.sections.get(self.agreed.live(slot)?)?.media());
        media
            .flat_map(|media| {
                let ssrc = self.streams.ssrc(media.kind, media.ssrc);
                [Some(ssrc), media.repair_of(ssrc)]
            })
            .flatten()
            .collect()
    }

    /// What packets of this kind may carry that the library does not know from the description:
    /// see [`Numbers::on_the_wire`].
    pub(in crate::peer) fn on_the_wire(
        &self,
        kind: MediaKind,
    ) -> Option<Vec<RTCRtpCodecParameters>> {
        let (_, remote) = self.last.as_ref()?;
        let index = self.agreed.live(Slot::of(kind))?;
        let media = remote.sections.get(index)?.media()?;
        let received = &self.received[kind as usize];
        self.agreed.numbers.on_the_wire(media, received)
    }

    /// The place of the section whose transport is used.
    pub(in crate::peer) fn transport_line(&self) -> u16 {
        let sections = self.proposed.as_ref().unwrap_or(&self.agreed);
        let index = sections
            .wire
            .iter()
            .position(|section| section.slot.is_some());
        index
            .and_then(|index| u16::try_from(index).ok())
            .unwrap_or(0)
    }

    fn for_library(&self, kind: RTCSdpType, remote: &Remote, transport: &Transport) -> String {
        let view = to_library::View {
            kind,
            remote,
            transport,
            sections: &self.agreed,
            ssrc: &|kind, announced| self.streams.ssrc(kind, announced),
        };
        view.write()
    }

    /// ICE and DTLS of the section whose transport is used, with one hash of the partner's
    /// certificate.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`] if something is missing, or if it is another certificate than
    /// before: a call has one for each side.
    fn transport(&self, sections: &Sections, remote: &Remote) -> Result<Transport, PeerError> {
        let mut transport = sections
            .transport(remote)
            .cloned()
            .ok_or(PeerError::BadDescription("it has no ICE credentials"))?;
        transport
            .fingerprints
            .retain(|(algorithm, _)| algorithm == "sha-256");
        transport.fingerprints.truncate(1);
        let fingerprint = transport
            .fingerprints
            .first()
            .ok_or(PeerError::BadDescription("it has no SHA-256 fingerprint"))?;

        match &self.fingerprint {
            Some(first) if first != fingerprint => Err(PeerError::BadDescription(
                "its certificate is not the one that the call began with",
            )),
            _ => Ok(transport),
        }
    }
}

impl Section {
    fn media_mut(&mut self) -> Option<&mut Media> {
        match &mut self.content {
            Content::Media(media) => Some(media),
            Content::Data { .. } | Content::Unknown => None,
        }
    }
}

impl Sections {
    /// The partner may have taken the library's number for a new section.
    fn keep_mids_unique(&mut self) {
        for index in 1..self.wire.len() {
            let (before, rest) = self.wire.split_at_mut(index);
            let mid = &mut rest[0].line.mid;
            while before.iter().any(|other| other.line.mid == *mid) && mid.is_some() {
                *mid = mid.take().map(|mid| format!("{mid}t"));
            }
        }
    }
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
                sections.numbers.learn(media);
                sections.formats[media.kind as usize] = WireFormat::of(media, repaired);
            }
        }
    }

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

/// Parses what the library wrote.
fn parse(description: &RTCSessionDescription) -> Result<SessionDescription, PeerError> {
    description
        .unmarshal()
        .map_err(|_| PeerError::BadDescription("its SDP does not parse"))
}
