//! Payload types: those of the descriptions between both sides, and those of the library.
//!
//! **The library** learns the formats of a kind from the first description that has media of this
//! kind, and no others afterwards (rtc 0.21.1, `configuration/media_engine.rs`,
//! `update_from_remote_description`; `negotiate_multi_codecs` is private). But a partner may name
//! more formats later, or the same under other numbers (RFC 3264 §8.3.2): aiortc counts anew in
//! each of its own offers.
//!
//! **So the library** gets every format that Tandem has, in each description, and always under the
//! same numbers: those of the first description where it can be. [`Numbers`] keeps them.
//!
//! **Packets** carry the numbers of the descriptions. The library looks at the number when a stream
//! begins, when it sends, and to find what a retransmission repairs; it compares with the codec
//! preferences, which are set after each description ([`Numbers::on_the_wire`]). Which stream
//! repairs which it would tell its interceptors only under its own numbers, so ours know from
//! [`Declared`](crate::interceptors::Declared).

use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodecParameters};
use tandem_media::codec::VideoCodec;

use super::remote::Media;
use crate::peer::formats::{self, Format, MediaKind};

/// The dynamic payload types, and then those that are unassigned (RFC 3551 §6).
const DYNAMIC: [std::ops::RangeInclusive<u8>; 2] = [96..=127, 35..=63];

/// A format as the descriptions between both sides name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireFormat {
    pub(super) format: Format,
    /// The payload type of its retransmissions.
    pub(super) repair: Option<u8>,
}

/// A format as the library names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LibraryFormat {
    /// With the parameters under which the library knows it.
    pub(super) format: Format,
    /// The payload type of its retransmissions. `None` for audio.
    pub(super) repair: Option<u8>,
}

/// All formats of the library, for the whole call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    of_kind: [Vec<LibraryFormat>; 2],
}

impl WireFormat {
    /// The formats of a section. With `repaired`, retransmissions too.
    pub(super) fn of(media: &Media, repaired: bool) -> Vec<Self> {
        media
            .formats
            .iter()
            .map(|format| Self {
                format: format.clone(),
                repair: media
                    .repair_of_format(format.payload_type)
                    .filter(|_| repaired),
            })
            .collect()
    }
}

impl Numbers {
    /// The library is about to read or has written a description with these sections. The first one
    /// of a kind decides the numbers of its formats; later ones change nothing.
    pub(super) fn learn<'a>(&mut self, sections: impl Iterator<Item = &'a Media>) {
        let is_new = |media: &&Media| self.of_kind[media.kind as usize].is_empty();
        let sections: Vec<&Media> = sections.filter(is_new).collect();
        // What the description names comes first, so that nothing else gets these numbers.
        for media in &sections {
            for wire in WireFormat::of(media, true) {
                self.add(media.kind, &wire.format, wire.repair);
            }
        }

        for media in sections {
            let all = match media.kind {
                MediaKind::Audio => vec![formats::opus()],
                MediaKind::Video => formats::all_video(VideoCodec::H264),
            };
            for format in all {
                self.add(media.kind, &format, None);
            }

            self.add_repairs(media.kind);
        }
    }

    /// Adds a format under its own number and `repair`, or under others if these are taken.
    fn add(&mut self, kind: MediaKind, format: &Format, repair: Option<u8>) {
        if self.library(kind, format).is_some() {
            return;
        }

        let Some(payload_type) = self.free(format.payload_type) else {
            return;
        };
        self.of_kind[kind as usize].push(LibraryFormat {
            format: Format {
                payload_type,
                ..format.own()
            },
            repair: None,
        });

        let repair = repair.and_then(|repair| self.free(repair));
        if let Some(added) = self.of_kind[kind as usize].last_mut() {
            added.repair = repair;
        }
    }

    /// Adds the retransmissions that the description has not named.
    fn add_repairs(&mut self, kind: MediaKind) {
        for index in 0..self.of_kind[kind as usize].len() {
            let known = &self.of_kind[kind as usize][index];
            let repair = formats::retransmissions(&known.format).map(|codec| codec.payload_type);
            if known.repair.is_none()
                && let Some(repair) = repair.and_then(|repair| self.free(repair))
            {
                self.of_kind[kind as usize][index].repair = Some(repair);
            }
        }
    }

    /// `wanted`, or else the first number that nothing has yet.
    fn free(&self, wanted: u8) -> Option<u8> {
        let is_free =
            |number: &u8| {
                !self.of_kind.iter().flatten().any(|known| {
                    known.format.payload_type == *number || known.repair == Some(*number)
                })
            };

        std::iter::once(wanted)
            .chain(DYNAMIC.into_iter().flatten())
            .find(is_free)
    }

    /// How the library knows a format.
    pub(super) fn library(&self, kind: MediaKind, format: &Format) -> Option<&LibraryFormat> {
        self.of_kind[kind as usize]
            .iter()
            .find(|known| known.format.is_same(format))
    }

    /// All formats for the library, those of `media` first, with their feedback. One that `media`
    /// does not have gets the feedback of its first: it may be used later, and the library would
    /// not learn it then.
    pub(super) fn in_the_order_of<'a>(
        &'a self,
        media: &'a Media,
    ) -> impl Iterator<Item = (&'a LibraryFormat, Vec<&'a str>)> {
        let feedback = |number: Option<u8>| {
            let all = number.map(|number| media.feedback_for(number));
            all.into_iter().flatten().collect::<Vec<_>>()
        };
        let first = media.formats.first().map(|format| format.payload_type);
        let named = media.formats.iter().filter_map(move |format| {
            let known = self.library(media.kind, format)?;
            Some((known, feedback(Some(format.payload_type))))
        });
        let others = self.of_kind[media.kind as usize]
            .iter()
            .filter(|known| !media.formats.iter().any(|it| it.is_same(&known.format)))
            .map(move |known| (known, feedback(first)));

        named.chain(others)
    }

    /// What packets may carry if the library does not know all of it under these numbers: what the
    /// partner may send, `received`, and what this side may, the formats of `media`, the partner's
    /// section. For [`set_codec_preferences`].
    ///
    /// [`set_codec_preferences`]: webrtc::rtp_transceiver::RtpTransceiver::set_codec_preferences
    pub(super) fn on_the_wire(
        &self,
        media: &Media,
        received: &[WireFormat],
    ) -> Option<Vec<RTCRtpCodecParameters>> {
        let mut all = received.to_vec();
        add_older(&mut all, &WireFormat::of(media, false), &[]);

        let is_known = |wire: &WireFormat| {
            self.library(media.kind, &wire.format).is_some_and(|known| {
                known.format.payload_type == wire.format.payload_type
                    && (wire.repair.is_none() || wire.repair == known.repair)
            })
        };
        if all.iter().all(is_known) {
            return None;
        }

        let codecs = all.iter().flat_map(|wire| {
            let format = wire.format.own();
            let mut codec = format.to_rtc();
            codec.rtp_codec.rtcp_feedback = media.feedback_of(&format).map(feedback).collect();
            let repair = wire.repair.and_then(|payload_type| {
                Some(RTCRtpCodecParameters {
                    payload_type,
                    ..formats::retransmissions(&format)?
                })
            });
            [Some(codec), repair]
        });
        Some(codecs.flatten().collect())
    }
}

/// What packets of the partner may carry. The numbers of the description before still count, because
/// packets may be on their way, and those of the first one: some partners go on with them whatever
/// they say later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Received {
    first: [Vec<WireFormat>; 2],
    last: [Vec<WireFormat>; 2],
    all: [Vec<WireFormat>; 2],
}

impl Received {
    /// After a description in which this side names the formats `local`, and the partner those of
    /// the section `remote` of a kind. An answer may have numbers of its own, and some partners send
    /// with these instead of the offer's.
    pub(super) fn after<'a>(
        &self,
        local: &[Vec<WireFormat>; 2],
        remote: impl Fn(MediaKind) -> Option<&'a Media>,
    ) -> Self {
        let mut all = local.clone();
        let mut first = self.first.clone();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let index = kind as usize;
            let others = &local[1 - index];
            let remote = remote(kind).map(|media| WireFormat::of(media, false));
            let remote = remote.unwrap_or_default();
            for older in [&remote, &self.last[index], &self.first[index]] {
                add_older(&mut all[index], older, others);
            }

            if first[index].is_empty() {
                first[index].clone_from(&local[index]);
            }
        }

        Self {
            first,
            last: local.clone(),
            all,
        }
    }

    pub(super) fn of(&self, kind: MediaKind) -> &[WireFormat] {
        &self.all[kind as usize]
    }
}

/// Adds what neither `current` nor the other kind of media, `others`, contradicts.
fn add_older(current: &mut Vec<WireFormat>, older: &[WireFormat], others: &[WireFormat]) {
    for wire in older {
        let is_used = |number: u8| {
            current
                .iter()
                .chain(others)
                .any(|other| other.format.payload_type == number || other.repair == Some(number))
        };
        if !is_used(wire.format.payload_type) {
            let repair = wire.repair.filter(|number| !is_used(*number));
            current.push(WireFormat {
                format: wire.format.clone(),
                repair,
            });
        }
    }
}

/// An `a=rtcp-fb` as the library has it.
fn feedback(text: &str) -> RTCPFeedback {
    let (typ, parameter) = text.split_once(' ').unwrap_or((text, ""));
    RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    }
}
