//! What a description of the partner says, section by section.

use rtc::sdp::{MediaDescription, SessionDescription};

use super::h264::parameter;
use crate::peer::error::PeerError;
use crate::peer::formats::{Format, MediaKind};

/// Audio, video, and what a browser adds for a shared screen. A browser keeps a section for each
/// track that there ever was.
const MAX_SECTIONS: usize = 16;
/// The most formats, feedback types and header extensions that are read of a section. Chromium
/// offers about 40 formats for video.
const MAX_ENTRIES: usize = 256;

/// A description of the partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct Remote {
    pub(super) sections: Vec<Section>,
    /// `a=mid` of the sections that share one transport, in the partner's order (RFC 9143).
    pub(super) bundle: Vec<String>,
    /// The partner waits for our checks (RFC 8445 §2.5).
    pub(super) ice_lite: bool,
    /// One- and two-byte header extensions may be mixed (RFC 8285 §6).
    pub(super) mixed_extensions: bool,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) line: Line,
    pub(super) content: Content,
    /// The partner does not want it: port 0.
    pub(super) rejected: bool,
    pub(super) direction: Direction,
    pub(super) transport: Transport,
}

/// What identifies a section, as the partner wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// `audio`, `video`, `application`, …
    pub(super) media: String,
    /// For instance `UDP/TLS/RTP/SAVPF`.
    pub(super) protocol: String,
    pub(super) formats: String,
    /// `a=mid`, which a partner without BUNDLE may leave out.
    pub(super) mid: Option<String>,
}

/// What a section is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Media(Media),
    /// A data channel (RFC 8841).
    Data {
        port: u16,
        max_message_size: Option<u32>,
    },
    Unknown,
}

/// An audio or video section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Media {
    pub(super) kind: MediaKind,
    /// The formats that Tandem can use, in the order of the section, none twice.
    pub(super) formats: Vec<Format>,
    /// Retransmissions on a stream of their own (RFC 4588): their payload type, and that of what they
    /// repair, which is one of `formats`.
    pub(super) retransmissions: Vec<(u8, u8)>,
    /// `a=rtcp-fb`: the payload type, or `None` for all, and the rest of the line.
    pub(super) feedback: Vec<(Option<u8>, String)>,
    /// `a=extmap`.
    pub(super) extensions: Vec<String>,
    /// The stream that the section announces. `None` if only its packets tell.
    pub(super) ssrc: Option<u32>,
    /// The stream of retransmissions that belongs to it.
    pub(super) repair_ssrc: Option<u32>,
}

/// Who sends, seen from the side that wrote the description (RFC 3264 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Direction {
    pub(super) send: bool,
    pub(super) receive: bool,
}

/// ICE and DTLS of a section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Transport {
    pub(super) ufrag: Option<String>,
    pub(super) password: Option<String>,
    /// `a=setup` in lower case (RFC 4145 §4).
    pub(super) setup: Option<String>,
    /// The hash of the certificate: algorithm in lower case, value in upper case.
    pub(super) fingerprints: Vec<(String, String)>,
}

impl Direction {
    const ALL: [(&'static str, Self); 4] = [
        ("sendrecv", Self::new(true, true)),
        ("sendonly", Self::new(true, false)),
        ("recvonly", Self::new(false, true)),
        ("inactive", Self::new(false, false)),
    ];

    pub(super) const fn new(send: bool, receive: bool) -> Self {
        Self { send, receive }
    }

    /// The attribute's name.
    pub(super) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, direction)| *direction == self)
            .map_or("inactive", |(name, _)| name)
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, direction)| direction)
    }
}

impl Remote {
    /// Reads a parsed description.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`] if it has no section for audio or video, or too many sections.
    pub(in crate::peer) fn read(session: &SessionDescription) -> Result<Self, PeerError> {
        if session.media_descriptions.len() > MAX_SECTIONS {
            return Err(PeerError::BadDescription("it describes too many media"));
        }

        let attribute = |name: &str| value(&session.attributes, name);
        let group = session
            .attributes
            .iter()
            .filter(|attribute| attribute.key == "group")
            .filter_map(|attribute| attribute.value.as_deref())
            .find_map(|value| value.trim().strip_prefix("BUNDLE"))
            .unwrap_or_default();
        let default = Transport::read(&session.attributes);
        let sections: Vec<Section> = session
            .media_descriptions
            .iter()
            .map(|media| Section::read(media, session, &default))
            .collect();

        let is_media = |section: &Section| matches!(section.content, Content::Media(_));
        if !sections.iter().any(is_media) {
            return Err(PeerError::BadDescription("it describes no media"));
        }

        Ok(Self {
            sections,
            bundle: group.split_ascii_whitespace().map(str::to_owned).collect(),
            ice_lite: attribute("ice-lite").is_some(),
            mixed_extensions: attribute("extmap-allow-mixed").is_some(),
        })
    }
}

#[cfg(test)]
impl Remote {
    /// Whether a section has a format and ICE credentials.
    pub(in crate::peer) fn has_media(&self) -> bool {
        self.sections
            .iter()
            .any(|section| section.is_usable() && section.transport.ufrag.is_some())
    }
}

impl Section {
    fn read(media: &MediaDescription, session: &SessionDescription, default: &Transport) -> Self {
        let name = &media.media_name;
        let has = |attribute: &str| value(&media.attributes, attribute).is_some();
        let transport = Transport::read(&media.attributes);
        let line = Line {
            media: name.media.clone(),
            protocol: name.protos.join("/"),
            formats: name.formats.join(" "),
            mid: value(&media.attributes, "mid")
                .map(|mid| mid.trim().to_owned())
                .filter(|mid| !mid.is_empty()),
        };

        Self {
            content: Content::read(media),
            // "bundle-only" means: not without the others (RFC 9143 §6).
            rejected: name.port.value == 0 && !has("bundle-only"),
            direction: direction(&media.attributes)
                .or_else(|| direction(&session.attributes))
                .unwrap_or(Direction::new(true, true)),
            transport: transport.or(default),
            line,
        }
    }
}

impl Content {
    fn read(media: &MediaDescription) -> Self {
        let number =
            |name| value(&media.attributes, name).and_then(|text| text.trim().parse().ok());
        match media.media_name.media.as_str() {
            "audio" => Self::Media(Media::read(MediaKind::Audio, media)),
            "video" => Self::Media(Media::read(MediaKind::Video, media)),
            "application" if media.media_name.formats == ["webrtc-datachannel"] => Self::Data {
                port: number("sctp-port")
                    .and_then(|port| u16::try_from(port).ok())
                    .unwrap_or(5_000),
                max_message_size: number("max-message-size"),
            },
            _ => Self::Unknown,
        }
    }
}

impl Media {
    fn read(kind: MediaKind, media: &MediaDescription) -> Self {
        let values = |name: &'static str| {
            media
                .attributes
                .iter()
                .filter(move |attribute| attribute.key == name)
                .filter_map(|attribute| attribute.value.as_deref())
                .take(MAX_ENTRIES)
        };
        let of_format = |name, payload_type: u8| {
            values(name).find_map(|value| {
                let (number, rest) = value.trim().split_once(' ')?;
                (number.parse() == Ok(payload_type)).then_some(rest)
            })
        };

        let mut formats: Vec<Format> = Vec::new();
        for number in media.media_name.formats.iter().take(MAX_ENTRIES) {
            let format = payload_type(number).and_then(|payload_type| {
                let map = of_format("rtpmap", payload_type)?;
                let parameters = of_format("fmtp", payload_type).unwrap_or_default();
                Format::parse(kind, payload_type, map, parameters)
            });
            // The library takes one payload type for a format.
            if let Some(format) = format
                && !formats.iter().any(|other| {
                    other.is_same(&format) || other.payload_type == format.payload_type
                })
            {
                formats.push(format);
            }
        }

        let retransmissions = media.media_name.formats.iter().take(MAX_ENTRIES);
        let retransmissions = retransmissions.filter_map(|number| {
            let payload_type = payload_type(number)?;
            let map = of_format("rtpmap", payload_type)?;
            let repaired = parameter(of_format("fmtp", payload_type)?, "apt")?
                .parse()
                .ok()?;
            let is_known = formats.iter().any(|format| format.payload_type == repaired);
            let is_repair = map.trim().eq_ignore_ascii_case("rtx/90000");
            (is_repair && is_known).then_some((payload_type, repaired))
        });
        let retransmissions = retransmissions.collect();
        let (ssrc, repair_ssrc) = announced_stream(values("ssrc"), values("ssrc-group"));

        Self {
            kind,
            formats,
            retransmissions,
            feedback: values("rtcp-fb").filter_map(feedback).collect(),
            extensions: values("extmap").map(str::to_owned).collect(),
            ssrc,
            repair_ssrc,
        }
    }

    /// The SSRC of the retransmissions of the stream `ssrc`. `None` unless the section announces both.
    pub(super) fn repair_of(&self, ssrc: u32) -> Option<u32> {
        self.repair_ssrc.filter(|_| self.ssrc == Some(ssrc))
    }

    /// The payload type of the retransmissions of a format.
    pub(super) fn repair_of_format(&self, payload_type: u8) -> Option<u8> {
        let mut all = self.retransmissions.iter();
        all.find(|(_, repaired)| *repaired == payload_type)
            .map(|(number, _)| *number)
    }

    /// The feedback types for a format, whatever its payload type.
    pub(super) fn feedback_of(&self, format: &Format) -> impl Iterator<Item = &str> {
        let same = self.formats.iter().find(|it| it.is_same(format));
        let number = same.map(|format| format.payload_type);
        number
            .into_iter()
            .flat_map(|number| self.feedback_for(number))
    }

    /// The feedback types for one payload type.
    pub(super) fn feedback_for(&self, payload_type: u8) -> impl Iterator<Item = &str> {
        self.feedback
            .iter()
            .filter(move |(number, _)| number.is_none_or(|number| number == payload_type))
            .map(|(_, feedback)| feedback.as_str())
    }
}

/// A payload type as a packet can have it: seven bits, without those in which RTCP would be found
/// (RFC 5761 §4).
fn payload_type(text: &str) -> Option<u8> {
    let number = text.parse().ok()?;
    matches!(number, 0..=63 | 96..=127).then_some(number)
}

impl Transport {
    fn read(attributes: &[rtc::sdp::description::common::Attribute]) -> Self {
        let text = |name| {
            value(attributes, name)
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };

        Self {
            ufrag: text("ice-ufrag"),
            password: text("ice-pwd"),
            setup: text("setup").map(|setup| setup.to_ascii_lowercase()),
            fingerprints: attributes
                .iter()
                .filter(|attribute| attribute.key == "fingerprint")
                .filter_map(|attribute| attribute.value.as_deref()?.trim().split_once(' '))
                .map(|(algorithm, hash)| {
                    (
                        algorithm.to_ascii_lowercase(),
                        hash.trim().to_ascii_uppercase(),
                    )
                })
                .take(MAX_ENTRIES)
                .collect(),
        }
    }

    /// What is missing here is taken from the session.
    fn or(self, session: &Self) -> Self {
        Self {
            ufrag: self.ufrag.or_else(|| session.ufrag.clone()),
            password: self.password.or_else(|| session.password.clone()),
            setup: self.setup.or_else(|| session.setup.clone()),
            fingerprints: if self.fingerprints.is_empty() {
                session.fingerprints.clone()
            } else {
                self.fingerprints
            },
        }
    }
}

/// The value of the first attribute with this name; an empty one if it is a flag.
fn value<'a>(
    attributes: &'a [rtc::sdp::description::common::Attribute],
    name: &str,
) -> Option<&'a str> {
    attributes
        .iter()
        .find(|attribute| attribute.key == name)
        .map(|attribute| attribute.value.as_deref().unwrap_or_default())
}

fn direction(attributes: &[rtc::sdp::description::common::Attribute]) -> Option<Direction> {
    attributes
        .iter()
        .find_map(|attribute| Direction::parse(&attribute.key))
}

fn feedback(value: &str) -> Option<(Option<u8>, String)> {
    let (number, feedback) = value.trim().split_once(' ')?;
    let number = match number {
        "*" => None,
        number => Some(number.parse().ok()?),
    };

    Some((number, feedback.trim().to_owned()))
}

/// The first SSRC that does not repair another one (RFC 5576 §4.2), and that of its retransmissions.
fn announced_stream<'a>(
    streams: impl Iterator<Item = &'a str>,
    groups: impl Iterator<Item = &'a str>,
) -> (Option<u32>, Option<u32>) {
    // The semantics, what is repaired, and what repairs it.
    let groups: Vec<(&str, Vec<u32>)> = groups
        .filter_map(|group| {
            let (semantics, members) = group.trim().split_once(' ')?;
            let members = members.split_ascii_whitespace();
            Some((
                semantics,
                members.filter_map(|it| it.parse().ok()).collect(),
            ))
        })
        .filter(|(semantics, _)| matches!(*semantics, "FID" | "FEC-FR"))
        .collect();
    let repairs = |ssrc: &u32| {
        groups
            .iter()
            .any(|(_, members)| members.iter().skip(1).any(|member| member == ssrc))
    };

    let ssrc = streams
        .filter_map(|stream| stream.split_ascii_whitespace().next()?.parse().ok())
        .find(|ssrc| !repairs(ssrc));
    let repair = groups
        .iter()
        .find_map(|(semantics, members)| match members[..] {
            [media, repair] if *semantics == "FID" && Some(media) == ssrc => Some(repair),
            _ => None,
        });

    (ssrc, repair)
}
