//! The library's description as the partner gets it: with every section that there ever was, and
//! with what both sides really do.

use rtc::sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc::sdp::description::media::{MediaName, RangedPort};
use rtc::sdp::{MediaDescription, SessionDescription};

use super::h264::parameter;
use super::remote::{Direction, Media, Remote};
use super::sections::{DtlsRole, LibrarySection, Sections, Slot, WireSection};
use crate::peer::formats::{Format, MediaKind};

/// What is written.
pub(super) enum Kind<'a> {
    Offer,
    /// An answer to the offer `remote`, from a side that has tracks for `sends`.
    Answer {
        remote: &'a Remote,
        sends: &'a [MediaKind],
        role: DtlsRole,
    },
}

/// Writes the library's `description` for the partner.
pub(super) fn write(
    mut description: SessionDescription,
    sections: &Sections,
    kind: &Kind<'_>,
) -> String {
    let mut of_library = std::mem::take(&mut description.media_descriptions);
    let mut bundle = String::from("BUNDLE");

    for (index, wire) in sections.wire.iter().enumerate() {
        let known = sections
            .library
            .iter()
            .find(|known| Some(known.slot) == wire.slot);
        let media = known.and_then(|known| take(&mut of_library, known));
        let written = match (known, media) {
            (Some(_), Some(mut media)) => {
                if let Some(mid) = &wire.line.mid {
                    bundle.push(' ');
                    bundle.push_str(mid);
                }

                adapt(&mut media, index, wire, sections, kind);
                media
            }
            _ => rejected(wire),
        };
        description.media_descriptions.push(written);
    }

    description
        .attributes
        .retain(|attribute| attribute.key != "group");
    if sections.bundled {
        description = description.with_value_attribute("group".to_owned(), bundle);
    }

    description.marshal()
}

/// Takes the library's section out of `of_library`.
fn take(
    of_library: &mut Vec<MediaDescription>,
    known: &LibrarySection,
) -> Option<MediaDescription> {
    let has_mid = |media: &MediaDescription| {
        media.attributes.iter().any(|attribute| {
            attribute.key == "mid" && attribute.value.as_deref() == Some(&*known.mid)
        })
    };

    let index = of_library.iter().position(has_mid)?;
    Some(of_library.swap_remove(index))
}

/// Puts the partner's words where the library has its own.
fn adapt(
    media: &mut MediaDescription,
    index: usize,
    wire: &WireSection,
    sections: &Sections,
    kind: &Kind<'_>,
) {
    let line = &wire.line;
    media.media_name.protos = line.protocol.split('/').map(str::to_owned).collect();
    for kind in [MediaKind::Audio, MediaKind::Video] {
        if wire.slot == Some(Slot::of(kind)) {
            use_agreed_formats(media, kind, sections);
        }
    }

    media
        .attributes
        .retain(|attribute| attribute.key != "mid" || line.mid.is_some());
    set(media, "mid", line.mid.as_deref().unwrap_or_default());

    let Kind::Answer {
        remote,
        sends,
        role,
    } = kind
    else {
        return;
    };

    set(
        media,
        "setup",
        match role {
            DtlsRole::Active => "active",
            DtlsRole::Passive => "passive",
        },
    );

    let offered = remote.sections.get(index);
    if let Some((section, offer)) = offered.and_then(|it| Some((it, it.media()?))) {
        let sends = sends.contains(&offer.kind) && section.direction.receive;
        set_direction(media, Direction::new(sends, section.direction.send));
        keep_offered_extensions(media, offer);
    }
}

/// Gives the attribute this value, where it is.
fn set(media: &mut MediaDescription, name: &str, value: &str) {
    for attribute in &mut media.attributes {
        if attribute.key == name {
            attribute.value = Some(value.to_owned());
        }
    }
}

/// A payload type of the library's, and what the partner gets for it.
struct Agreed {
    of_library: u8,
    number: u8,
    /// The `a=fmtp`, if it is not the library's.
    parameters: Option<String>,
}

/// The formats of a section, and then their retransmissions.
fn agreed_formats(kind: MediaKind, sections: &Sections) -> Vec<Agreed> {
    let formats = sections.formats[kind as usize].iter().filter_map(|wire| {
        let known = sections.numbers.library(kind, &wire.format)?;
        Some((wire, known))
    });

    let media = formats.clone().map(|(wire, known)| Agreed {
        of_library: known.format.payload_type,
        number: wire.format.payload_type,
        parameters: wire.format.h264.map(|_| agreed_parameters(&wire.format)),
    });
    let repairs = formats.filter_map(|(wire, known)| {
        Some(Agreed {
            of_library: known.repair?,
            number: wire.repair?,
            parameters: Some(format!("apt={}", wire.format.payload_type)),
        })
    });
    media.chain(repairs).collect()
}

/// Leaves the formats that are agreed on, under the numbers and with the parameters of the
/// descriptions between both sides. The library names all that it has, under its own.
fn use_agreed_formats(media: &mut MediaDescription, kind: MediaKind, sections: &Sections) {
    let mut agreed = agreed_formats(kind, sections);
    let named = std::mem::take(&mut media.media_name.formats);
    agreed.retain(|format| named.contains(&format.of_library.to_string()));
    media.media_name.formats = agreed.iter().map(|it| it.number.to_string()).collect();

    // The library repeats a format that it has under two numbers.
    let mut seen: Vec<(String, String)> = Vec::new();
    media.attributes.retain_mut(|attribute| {
        if !matches!(attribute.key.as_str(), "rtpmap" | "fmtp" | "rtcp-fb") {
            return true;
        }

        let value = attribute.value.as_deref().unwrap_or_default();
        let Some(value) = agreed_value(&attribute.key, value, &agreed) else {
            return false;
        };

        attribute.value = Some(value.clone());
        let line = (attribute.key.clone(), value);
        let is_new = !seen.contains(&line);
        seen.push(line);
        is_new
    });
}

/// The value of an attribute that begins with a payload type. `None` if nothing is left of it.
fn agreed_value(key: &str, value: &str, agreed: &[Agreed]) -> Option<String> {
    let (number, rest) = value.split_once(' ').unwrap_or((value, ""));
    let number: u8 = number.parse().ok()?;
    let format = agreed.iter().find(|format| format.of_library == number)?;
    let parameters = format.parameters.as_deref().filter(|_| key == "fmtp");
    let rest = parameters.unwrap_or(rest);
    (!rest.is_empty()).then(|| format!("{} {rest}", format.number))
}

/// A format keeps the partner's parameters (RFC 6184 §8.2.2), but for the parameter sets of the
/// partner's stream.
fn agreed_parameters(format: &Format) -> String {
    let kept: Vec<&str> = format
        .parameters
        .split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty() && parameter(pair, "sprop-parameter-sets").is_none())
        .collect();
    kept.join(";")
}

fn set_direction(media: &mut MediaDescription, direction: Direction) {
    const NAMES: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

    media
        .attributes
        .retain(|attribute| !NAMES.contains(&attribute.key.as_str()));
    media.attributes.push(Attribute {
        key: direction.name().to_owned(),
        value: None,
    });
}

/// The library answers with all of its header extensions if none is offered.
fn keep_offered_extensions(media: &mut MediaDescription, offer: &Media) {
    let uri = |extension: &str| extension.split_ascii_whitespace().nth(1).map(str::to_owned);
    let offered: Vec<String> = offer.extensions.iter().filter_map(|it| uri(it)).collect();

    media.attributes.retain(|attribute| {
        attribute.key != "extmap"
            || attribute
                .value
                .as_deref()
                .and_then(uri)
                .is_some_and(|uri| offered.contains(&uri))
    });
}

/// A section that is not used (RFC 3264 §6). Of its formats none is named that would need a
/// description: other implementations look for it all the same.
fn rejected(wire: &WireSection) -> MediaDescription {
    let line = &wire.line;
    let mid = line.mid.clone().map(|mid| Attribute {
        key: "mid".to_owned(),
        value: Some(mid),
    });
    let inactive = Attribute {
        key: "inactive".to_owned(),
        value: None,
    };

    MediaDescription {
        media_name: MediaName {
            media: line.media.clone(),
            port: RangedPort {
                value: 0,
                range: None,
            },
            protos: line.protocol.split('/').map(str::to_owned).collect(),
            formats: match line.media.as_str() {
                "audio" | "video" => vec!["0".to_owned()],
                _ => line.formats.split(' ').map(str::to_owned).collect(),
            },
        },
        media_title: None,
        // Firefox refuses a description without it.
        connection_information: Some(ConnectionInformation {
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            address: Some(Address {
                address: "0.0.0.0".to_owned(),
                ttl: None,
                range: None,
            }),
        }),
        bandwidth: vec![],
        encryption_key: None,
        attributes: mid.into_iter().chain([inactive]).collect(),
    }
}
