//! The library's description as the partner gets it: with every section that there ever was, and
//! with what both sides really do.

use rtc::sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc::sdp::description::media::{MediaName, RangedPort};
use rtc::sdp::{MediaDescription, SessionDescription};

use super::h264::parameter;
use super::remote::{Direction, Media, Remote};
use super::sections::{DtlsRole, LibrarySection, Sections, WireSection};
use crate::peer::formats::MediaKind;

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
    for (number, parameters) in &sections.parameters {
        set_parameters(media, *number, parameters);
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

/// A format keeps the partner's parameters (RFC 6184 §8.2.2), but for the parameter sets of the
/// partner's stream.
fn set_parameters(media: &mut MediaDescription, number: u8, parameters: &str) {
    let kept: Vec<&str> = parameters
        .split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty() && parameter(pair, "sprop-parameter-sets").is_none())
        .collect();
    let number = format!("{number} ");

    media.attributes.retain_mut(|attribute| {
        let value = attribute.value.as_deref().unwrap_or_default();
        if attribute.key != "fmtp" || !value.starts_with(&number) {
            return true;
        }

        attribute.value = Some(format!("{number}{}", kept.join(";")));
        !kept.is_empty()
    });
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
