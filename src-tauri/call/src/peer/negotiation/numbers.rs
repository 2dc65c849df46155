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
//! **Packets** carry the numbers of the descriptions. The library looks at the number when it meets
//! a stream, and when it sends: what it may meet and send is set beside the descriptions
//! (`RTCRtpTransceiver::set_codec_preferences`), see [`Numbers::on_the_wire`].

use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodecParameters};
use tandem_media::codec::VideoCodec;

use super::remote::Media;
use crate::peer::formats::{self, Format, MediaKind};

/// The dynamic payload types (RFC 3551 §6), those that are made for it first.
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
    /// In Tandem's own words.
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
    /// The library is about to read or has written the first description with this media: its
    /// numbers count from now on. Later ones change nothing.
    pub(super) fn learn(&mut self, media: &Media) {
        if !self.of_kind[media.kind as usize].is_empty() {
            return;
        }

        for wire in WireFormat::of(media, true) {
            self.add(media.kind, &wire.format, wire.repair);
        }

        let all = match media.kind {
            MediaKind::Audio => vec![formats::opus()],
            MediaKind::Video => formats::all_video(VideoCodec::H264),
        };
        for format in all {
            self.add(media.kind, &format, None);
        }
    }

    /// Adds a format under its own number and `repair`, or under others if these are taken.
    fn add(&mut self, kind: MediaKind, format: &Format, repair: Option<u8>) {
        if self.library(kind, format).is_some() {
            return;
        }

        let Some(payload_type) = self.free(Some(format.payload_type)) else {
            return;
        };
        let index = kind as usize;
        self.of_kind[index].push(LibraryFormat {
            format: Format {
                payload_type,
                ..format.own()
            },
            repair: None,
        });

        let repair = repair.or_else(|| Some(formats::retransmissions(format)?.payload_type));
        let repair = repair.and_then(|repair| self.free(Some(repair)));
        if let Some(added) = self.of_kind[index].last_mut() {
            added.repair = repair;
        }
    }

    /// `wanted`, or else the first number that nothing has yet.
    fn free(&self, wanted: Option<u8>) -> Option<u8> {
        let is_free =
            |number: &u8| {
                !self.of_kind.iter().flatten().any(|known| {
                    known.format.payload_type == *number || known.repair == Some(*number)
                })
            };

        wanted
            .into_iter()
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
        let all = with_older(WireFormat::of(media, false), received);

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
            let own = wire.format.own();
            let mut codec = own.to_rtc();
            codec.rtp_codec.rtcp_feedback = media.feedback_of(&own).map(feedback).collect();
            let repair = wire.repair.and_then(|payload_type| {
                Some(RTCRtpCodecParameters {
                    payload_type,
                    ..formats::retransmissions(&own)?
                })
            });
            [Some(codec), repair]
        });
        Some(codecs.flatten().collect())
    }
}

/// What `current` says, and from `before` what it does not contradict: packets under the old numbers
/// may still be on their way.
pub(super) fn with_older(mut current: Vec<WireFormat>, before: &[WireFormat]) -> Vec<WireFormat> {
    let is_used = |current: &[WireFormat], number: u8| {
        current
            .iter()
            .any(|wire| wire.format.payload_type == number || wire.repair == Some(number))
    };

    for older in before {
        if is_used(&current, older.format.payload_type) {
            continue;
        }

        let repair = older.repair.filter(|number| !is_used(&current, *number));
        current.push(WireFormat {
            format: older.format.clone(),
            repair,
        });
    }

    current
}

/// An `a=rtcp-fb` as the library has it.
fn feedback(text: &str) -> RTCPFeedback {
    let (typ, parameter) = text.split_once(' ').unwrap_or((text, ""));
    RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    }
}
