//! The payloads of one frame back to its bitstream: H.264 (RFC 6184) and VP8 (RFC 7741).

use tandem_media::codec::VideoCodec;

/// How a payload breaks the rules of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BrokenPayload {
    /// It ends within its header, or contains a length that reaches beyond its end.
    #[error("a payload is cut short")]
    Truncated,
    /// A fragment without its start, or a start without its end.
    #[error("the fragments of a NAL unit do not fit together")]
    Fragments,
    /// A payload structure outside packetization mode 1 (RFC 6184 §5.4).
    #[error("payload structure {0} does not belong to packetization mode 1")]
    Structure(u8),
    /// The frame is empty.
    #[error("a frame without content")]
    Empty,
}

/// What the first bytes of a payload say about its place in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PayloadRole {
    /// A decoder can start with the frame that begins here.
    pub(super) starts_keyframe: bool,
    /// It contains H.264's parameter sets. Always true for VP8, which has none.
    pub(super) has_parameters: bool,
}

/// NAL unit types (ITU-T H.264 table 7-1, RFC 6184 table 1).
mod nal {
    pub(super) const IDR: u8 = 5;
    pub(super) const SPS: u8 = 7;
    pub(super) const STAP_A: u8 = 24;
    pub(super) const FU_A: u8 = 28;
    pub(super) const TYPE_MASK: u8 = 0x1f;
    /// `forbidden_zero_bit` and `nal_ref_idc`.
    pub(super) const HEADER_MASK: u8 = 0xe0;
    pub(super) const FU_START: u8 = 0x80;
    pub(super) const FU_END: u8 = 0x40;
}

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Inspects a payload without unpacking it.
pub(super) fn role(codec: VideoCodec, payload: &[u8]) -> PayloadRole {
    match codec {
        VideoCodec::H264 => h264_role(payload),
        VideoCodec::Vp8 => vp8_role(payload),
    }
}

/// Whether a decoder can start with the frame that begins in this payload, without anything from
/// before.
pub(crate) fn starts_keyframe(codec: VideoCodec, payload: &[u8]) -> bool {
    let role = role(codec, payload);
    role.starts_keyframe && role.has_parameters
}

/// Whether the payloads of a frame make up a keyframe.
pub(super) fn is_keyframe(codec: VideoCodec, payloads: &[&[u8]]) -> bool {
    match codec {
        VideoCodec::Vp8 => payloads
            .first()
            .is_some_and(|payload| vp8_role(payload).starts_keyframe),
        VideoCodec::H264 => payloads.iter().any(|payload| h264_has_idr(payload)),
    }
}

/// Appends the payloads of one frame to `frame`: as Annex B with four-byte start codes for H.264,
/// as the plain frame for VP8.
pub(super) fn depacketize(
    codec: VideoCodec,
    payloads: &[&[u8]],
    frame: &mut Vec<u8>,
) -> Result<(), BrokenPayload> {
    match codec {
        VideoCodec::H264 => depacketize_h264(payloads, frame)?,
        VideoCodec::Vp8 => depacketize_vp8(payloads, frame)?,
    }

    if frame.is_empty() {
        Err(BrokenPayload::Empty)
    } else {
        Ok(())
    }
}

fn depacketize_h264(payloads: &[&[u8]], frame: &mut Vec<u8>) -> Result<(), BrokenPayload> {
    let mut in_fragments = false;
    for payload in payloads {
        let (&header, rest) = payload.split_first().ok_or(BrokenPayload::Truncated)?;
        let kind = header & nal::TYPE_MASK;

        if in_fragments && kind != nal::FU_A {
            return Err(BrokenPayload::Fragments);
        }

        match kind {
            1..=23 => append_nal(payload, frame),
            nal::STAP_A => {
                for unit in StapUnits(rest) {
                    append_nal(unit?, frame);
                }
            }
            nal::FU_A => {
                let (&fu, fragment) = rest.split_first().ok_or(BrokenPayload::Truncated)?;
                let start = fu & nal::FU_START != 0;

                if start == in_fragments {
                    return Err(BrokenPayload::Fragments);
                }

                if start {
                    append_nal(&[header & nal::HEADER_MASK | fu & nal::TYPE_MASK], frame);
                }

                frame.extend_from_slice(fragment);
                in_fragments = fu & nal::FU_END == 0;
            }
            other => return Err(BrokenPayload::Structure(other)),
        }
    }

    if in_fragments {
        Err(BrokenPayload::Fragments)
    } else {
        Ok(())
    }
}

fn append_nal(unit: &[u8], frame: &mut Vec<u8>) {
    frame.extend_from_slice(&START_CODE);
    frame.extend_from_slice(unit);
}

/// The NAL units after the header of a STAP-A (RFC 6184 §5.7.1): 16 bits of length, then the unit.
struct StapUnits<'a>(&'a [u8]);

impl<'a> Iterator for StapUnits<'a> {
    type Item = Result<&'a [u8], BrokenPayload>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }

        let unit = self.0.split_first_chunk::<2>().and_then(|(length, rest)| {
            let length = usize::from(u16::from_be_bytes(*length));
            (length > 0)
                .then(|| rest.split_at_checked(length))
                .flatten()
        });

        match unit {
            Some((unit, rest)) => {
                self.0 = rest;
                Some(Ok(unit))
            }
            None => {
                self.0 = &[];
                Some(Err(BrokenPayload::Truncated))
            }
        }
    }
}

fn h264_role(payload: &[u8]) -> PayloadRole {
    let Some((&header, rest)) = payload.split_first() else {
        return PayloadRole::default();
    };

    match header & nal::TYPE_MASK {
        nal::SPS => PayloadRole {
            starts_keyframe: true,
            has_parameters: true,
        },
        nal::STAP_A => {
            let sps = StapUnits(rest)
                .flatten()
                .any(|unit| unit[0] & nal::TYPE_MASK == nal::SPS);
            PayloadRole {
                starts_keyframe: sps,
                has_parameters: sps,
            }
        }
        nal::IDR => PayloadRole {
            starts_keyframe: is_first_slice(rest),
            has_parameters: false,
        },
        nal::FU_A => PayloadRole {
            starts_keyframe: rest.split_first().is_some_and(|(fu, slice)| {
                let starts = fu & nal::FU_START != 0;
                let idr = fu & nal::TYPE_MASK == nal::IDR;
                starts && idr && is_first_slice(slice)
            }),
            has_parameters: false,
        },
        _ => PayloadRole::default(),
    }
}

/// Whether a slice is the first of its frame: `first_mb_in_slice` is 0, which Exp-Golomb coding
/// writes as a single 1 bit (ITU-T H.264 §7.3.3, §9.1).
fn is_first_slice(slice_header: &[u8]) -> bool {
    slice_header.first().is_some_and(|byte| byte & 0x80 != 0)
}

fn h264_has_idr(payload: &[u8]) -> bool {
    let Some((&header, rest)) = payload.split_first() else {
        return false;
    };

    match header & nal::TYPE_MASK {
        nal::IDR => true,
        nal::STAP_A => StapUnits(rest)
            .flatten()
            .any(|unit| unit[0] & nal::TYPE_MASK == nal::IDR),
        nal::FU_A => rest
            .first()
            .is_some_and(|fu| fu & nal::TYPE_MASK == nal::IDR),
        _ => false,
    }
}

/// Parses the VP8 payload descriptor (RFC 7741 §4.2): whether a partition starts here, its number,
/// and what follows.
fn vp8_descriptor(payload: &[u8]) -> Option<(bool, u8, &[u8])> {
    let (&first, mut rest) = payload.split_first()?;
    if first & 0x80 != 0 {
        let (&extension, after) = rest.split_first()?;
        rest = after;

        if extension & 0x80 != 0 {
            let long = rest.first()? & 0x80 != 0;
            rest = rest.get(if long { 2 } else { 1 }..)?;
        }

        if extension & 0x40 != 0 {
            rest = rest.get(1..)?;
        }

        if extension & 0x30 != 0 {
            rest = rest.get(1..)?;
        }
    }

    Some((first & 0x10 != 0, first & 0x07, rest))
}

fn vp8_role(payload: &[u8]) -> PayloadRole {
    let Some((start, partition, data)) = vp8_descriptor(payload) else {
        return PayloadRole::default();
    };

    // The P bit of the frame header is 0 for a keyframe (RFC 7741 §4.3).
    let key = data.first().is_some_and(|byte| byte & 1 == 0);
    PayloadRole {
        starts_keyframe: start && partition == 0 && key,
        has_parameters: true,
    }
}

fn depacketize_vp8(payloads: &[&[u8]], frame: &mut Vec<u8>) -> Result<(), BrokenPayload> {
    for (index, payload) in payloads.iter().enumerate() {
        let (start, partition, data) = vp8_descriptor(payload).ok_or(BrokenPayload::Truncated)?;
        if (index == 0) != (start && partition == 0) {
            return Err(BrokenPayload::Fragments);
        }

        if data.is_empty() {
            return Err(BrokenPayload::Truncated);
        }

        frame.extend_from_slice(data);
    }

    Ok(())
}
