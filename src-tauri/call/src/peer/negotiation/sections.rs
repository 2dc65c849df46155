//! Which sections there are, which of them are used, and what for.

use rtc::rtp_transceiver::rtp_sender::RTCRtpCodecParameters;
use rtc::sdp::SessionDescription;
use webrtc::peer_connection::{RTCSdpType, RTCSessionDescription};

use super::answer::read_answer;
use super::negotiated::Negotiated;
use super::numbers::{Numbers, Received, WireFormat};
use super::offer::read_offer;
use super::remote::{Content, Line, Media, Remote, Section, Transport};
use super::streams::Streams;
use super::{to_library, to_partner};
use crate::peer::error::PeerError;
use crate::peer::formats::MediaKind;

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
#[derive(Debug, Clone, Default)]
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
    received: Received,
}

/// What a description of the partner comes to.
#[derive(Debug)]
pub(in crate::peer) struct Plan {
    kind: RTCSdpType,
    remote: Remote,
    sections: Sections,
    negotiated: Negotiated,
    received: Received,
    transport: Transport,
}

impl Plan {
    /// `a=ice-ufrag` of the transport that will be used: if it changes, ICE restarts (RFC 8839
    /// §4.4.1.1.1).
    pub(in crate::peer) fn ufrag(&self) -> &str {
        self.transport.ufrag.as_deref().unwrap_or_default()
    }

    /// The partner answers checks, but sends none (RFC 8445 §2.5).
    pub(in crate::peer) fn is_ice_lite(&self) -> bool {
        self.remote.ice_lite
    }
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
    pub(super) fn add_to_library(&mut self, slot: Slot, content: &Content) {
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
            negotiated.sent.set(kind, section.direction.send);
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

        proposed
            .numbers
            .learn(own.sections.iter().filter_map(Section::media));
        for section in own.sections {
            let Some(slot) = section.slot() else { continue };
            let is_new = !proposed.library.iter().any(|known| known.slot == slot);
            if is_new {
                if let Some(media) = section.media() {
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

    /// What a description of the partner comes to. Nothing has changed yet.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`], [`PeerError::NoCommonCodec`].
    pub(in crate::peer) fn read(
        &self,
        kind: RTCSdpType,
        remote: Remote,
    ) -> Result<Plan, PeerError> {
        let (sections, remote) = match kind {
            RTCSdpType::Offer => read_offer(&self.agreed, remote)?,
            _ => {
                let proposed = self.proposed.clone();
                let proposed = proposed.ok_or(PeerError::BadDescription("it answers no offer"))?;
                read_answer(proposed, remote)?
            }
        };

        let described = remote.sections.iter().filter_map(Section::slot);
        let mut negotiated = sections.negotiated(&remote).or_no_common_codec(described)?;
        let received = self.received.after(&sections.formats, |kind| {
            let index = sections.live(Slot::of(kind))?;
            remote.sections.get(index)?.media()
        });
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let formats = received.of(kind).iter().map(|wire| wire.format.clone());
            *negotiated.received_mut(kind) = formats.collect();
        }

        let transport = self.transport(&sections, &remote)?;
        if kind == RTCSdpType::Offer && transport.setup.as_deref() == Some("holdconn") {
            return Err(PeerError::BadDescription("it wants no connection yet"));
        }

        Ok(Plan {
            kind,
            remote,
            sections,
            negotiated,
            received,
            transport,
        })
    }

    /// Does what [`read`](Self::read) has planned, and returns the description for the library.
    pub(in crate::peer) fn apply(&mut self, plan: Plan) -> ForLibrary {
        let role = match plan.transport.setup.as_deref() {
            Some("passive") => DtlsRole::Active,
            _ => DtlsRole::Passive,
        };
        self.role.get_or_insert(role);
        if self.fingerprint.is_none() {
            self.fingerprint = plan.transport.fingerprints.first().cloned();
        }

        if plan.kind == RTCSdpType::Answer {
            self.proposed = None;
        }

        self.agreed = plan.sections;
        self.received = plan.received;
        let sdp = self.for_library(plan.kind, &plan.remote, &plan.transport);
        self.last = Some((plan.kind, plan.remote));
        ForLibrary {
            sdp,
            negotiated: plan.negotiated,
        }
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
                let mut received = self.received.of(media.kind).iter();
                received.any(|wire| wire.format.payload_type == payload_type)
            })?;

        self.streams.learn(media.kind, ssrc, media.ssrc);
        let transport = self.transport(&self.agreed, &remote).ok()?;
        Some((kind, self.for_library(kind, &remote, &transport)))
    }

    /// The SSRCs of the streams that the library expects, each with that of its retransmissions.
    pub(in crate::peer) fn streams(&self) -> Vec<(u32, Option<u32>)> {
        let Some((_, remote)) = &self.last else {
            return Vec::new();
        };

        let media = [Slot::Audio, Slot::Video]
            .into_iter()
            .filter_map(|slot| remote.sections.get(self.agreed.live(slot)?)?.media());
        media
            .map(|media| {
                let ssrc = self.streams.ssrc(media.kind, media.ssrc);
                (ssrc, media.repair_of(ssrc))
            })
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
        let received = self.received.of(kind);
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
    pub(super) fn media_mut(&mut self) -> Option<&mut Media> {
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

/// Parses what the library wrote.
fn parse(description: &RTCSessionDescription) -> Result<SessionDescription, PeerError> {
    description
        .unmarshal()
        .map_err(|_| PeerError::BadDescription("its SDP does not parse"))
}
