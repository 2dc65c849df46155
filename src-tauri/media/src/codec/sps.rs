//! Reads the sequence parameter sets of an H.264 bitstream: how much memory its decoder will need,
//! before the decoder sees it, and the range of its levels, which openh264 does not pass on.

/// The largest frame to decode, in macroblocks of 16 x 16 pixels: 3840x2160, as for VP8. The level of
/// the SDP (3.1: 1280x720) is no bound, because Tandem sends larger frames under the same level.
const MAX_MACROBLOCKS: u64 = 240 * 135;
/// The most macroblocks in all reference frames together: what level 5 allows (ITU-T H.264 table
/// A-1, `MaxDpbMbs`), 42 MB.
const MAX_REFERENCE_MACROBLOCKS: u64 = 110_400;

/// NAL unit types that describe a sequence (ITU-T H.264 table 7-1): the parameter set, and the one
/// for scalable streams, which begins in the same way.
const SPS: u8 = 7;
const SUBSET_SPS: u8 = 15;

/// The value of `aspect_ratio_idc` that two numbers follow (ITU-T H.264 table E-1).
const EXTENDED_SAR: u64 = 255;

/// Profiles whose parameter sets describe the chroma format (ITU-T H.264 §7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// What a sequence parameter set says about memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sps {
    /// Width of a frame in macroblocks.
    pub(super) width: u64,
    /// Height of a frame in macroblocks.
    pub(super) height: u64,
    /// How many frames the decoder keeps for reference.
    pub(super) references: u64,
    /// Whether luma uses 0 to 255 instead of 16 to 235. What cannot be read says nothing about it.
    pub(super) full_range: bool,
}

impl Sps {
    /// Parses a NAL unit, header included. `None` if it ends too early or contradicts itself.
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let (&profile, rest) = unit.get(1..)?.split_first()?;
        // Constraints and level.
        let mut bits = Bits::new(rest.get(2..)?);
        bits.ue()?;

        if HIGH_PROFILES.contains(&profile) {
            bits.skip_chroma_format()?;
        }

        bits.ue()?;
        bits.skip_picture_order()?;
        let references = bits.ue()?;
        bits.bit()?;
        let width = bits.ue()? + 1;
        let map_units = bits.ue()? + 1;
        // Fields are half as high as frames.
        let only_frames = bits.bit()?;
        let height = if only_frames {
            map_units
        } else {
            2 * map_units
        };
        let full_range = bits.full_range(only_frames).unwrap_or(false);

        Some(Self {
            width,
            height,
            references,
            full_range,
        })
    }

    /// Whether a decoder may allocate what this needs.
    fn is_affordable(&self) -> bool {
        let frame = self.width.saturating_mul(self.height);
        frame <= MAX_MACROBLOCKS
            && frame.saturating_mul(self.references) <= MAX_REFERENCE_MACROBLOCKS
    }
}

/// Whether the stream uses the full range from this Annex B access unit on; `None`: it has no
/// sequence parameter set, so nothing changes.
pub(super) fn is_full_range(data: &[u8]) -> Option<bool> {
    let unit = nal_units(data)
        .filter(|unit| kind(unit) == Some(SPS))
        .last()?;
    Some(Sps::parse(unit).is_some_and(|sps| sps.full_range))
}

/// The type of a NAL unit.
fn kind(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header & 0x1f)
}

/// Looks at the parameter sets of an Annex B access unit. An error says why no decoder should get
/// it.
pub(super) fn check(data: &[u8]) -> Result<(), String> {
    for unit in nal_units(data).filter(|unit| matches!(kind(unit), Some(SPS | SUBSET_SPS))) {
        match Sps::parse(unit) {
            Some(sps) if sps.is_affordable() => {}
            Some(sps) => {
                return Err(format!(
                    "frames of {}x{} with {} reference frames are too large",
                    sps.width * 16,
                    sps.height * 16,
                    sps.references
                ));
            }
            None => return Err("a sequence parameter set is cut short".to_owned()),
        }
    }

    Ok(())
}

/// The NAL units of an Annex B access unit, without their start codes (ITU-T H.264 annex B).
pub(super) fn nal_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = start_code(data).map(|at| &data[at + 3..]);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = start_code(unit);
        rest = end.map(|at| &unit[at + 3..]);
        Some(&unit[..end.unwrap_or(unit.len())])
    })
}

/// Where the next start code (0, 0, 1) begins.
fn start_code(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match data.get(at..at + 3)? {
            [0, 0, 1] => return Some(at),
            // No start code contains this byte, so none begins before it.
            [_, _, third] if *third > 1 => at += 3,
            _ => at += 1,
        }
    }
}

/// Reads bits and Exp-Golomb codes (ITU-T H.264 §7.2, §9.1), and skips the bytes that keep start
/// codes from appearing (§7.4.1).
struct Bits<'a> {
    bytes: &'a [u8],
    zeros: u8,
    current: u8,
    left: u8,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            zeros: 0,
            current: 0,
            left: 0,
        }
    }

    fn bit(&mut self) -> Option<bool> {
        if self.left == 0 {
            let mut byte = self.next_byte()?;
            if self.zeros >= 2 && byte == 3 {
                self.zeros = 0;
                byte = self.next_byte()?;
            }

            self.zeros = if byte == 0 {
                self.zeros.saturating_add(1)
            } else {
                0
            };
            (self.current, self.left) = (byte, 8);
        }

        self.left -= 1;
        Some(self.current >> self.left & 1 == 1)
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    /// An unsigned number. `None` for more than 32 bits.
    fn ue(&mut self) -> Option<u64> {
        let mut length = 0;
        while !self.bit()? {
            length += 1;
            if length > 32 {
                return None;
            }
        }

        let mut value = 1;
        for _ in 0..length {
            value = value << 1 | u64::from(self.bit()?);
        }

        Some(value - 1)
    }

    /// A signed number.
    fn se(&mut self) -> Option<i64> {
        let code = i64::try_from(self.ue()?).ok()?;
        Some(if code % 2 == 0 {
            -(code / 2)
        } else {
            code / 2 + 1
        })
    }

    /// Chroma format, bit depths and scaling lists.
    fn skip_chroma_format(&mut self) -> Option<()> {
        let format = self.ue()?;
        if format == 3 {
            self.bit()?;
        }

        self.ue()?;
        self.ue()?;
        self.bit()?;

        if self.bit()? {
            for list in 0..if format == 3 { 12 } else { 8 } {
                if self.bit()? {
                    self.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                }
            }
        }

        Some(())
    }

    /// ITU-T H.264 §7.3.2.1.1.1.
    fn skip_scaling_list(&mut self, size: usize) -> Option<()> {
        let (mut last, mut next) = (8, 8);
        for _ in 0..size {
            if next != 0 {
                next = (last + self.se()?).rem_euclid(256);
            }

            if next != 0 {
                last = next;
            }
        }

        Some(())
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.bit().map(drop))
    }

    /// What follows the size, up to `video_full_range_flag`. `None`: it is not there.
    fn full_range(&mut self, only_frames: bool) -> Option<bool> {
        if !only_frames {
            self.bit()?;
        }

        // direct_8x8_inference_flag, then the cropping.
        self.bit()?;
        if self.bit()? {
            for _ in 0..4 {
                self.ue()?;
            }
        }

        // §E.1.1.
        if !self.bit()? {
            return None;
        }

        if self.bit()? {
            let mut ratio = 0;
            for _ in 0..8 {
                ratio = ratio << 1 | u64::from(self.bit()?);
            }

            if ratio == EXTENDED_SAR {
                self.skip(32)?;
            }
        }

        // Overscan.
        if self.bit()? {
            self.bit()?;
        }

        if !self.bit()? {
            return None;
        }

        // video_format
        self.skip(3)?;
        self.bit()
    }

    fn skip_picture_order(&mut self) -> Option<()> {
        match self.ue()? {
            0 => {
                self.ue()?;
            }
            1 => {
                self.bit()?;
                self.se()?;
                self.se()?;
                let cycle = self.ue()?;
                if cycle > 255 {
                    return None;
                }

                for _ in 0..cycle {
                    self.se()?;
                }
            }
            _ => {}
        }

        Some(())
    }
}

#[cfg(test)]
pub(super) mod testing {
    /// Writes Exp-Golomb codes.
    #[derive(Default)]
    struct Writer {
        bits: Vec<bool>,
    }

    impl Writer {
        fn ue(mut self, value: u64) -> Self {
            let value = value + 1;
            let length = 64 - value.leading_zeros();
            self.bits.extend((1..length).map(|_| false));
            self.bits
                .extend((0..length).rev().map(|bit| value >> bit & 1 == 1));
            self
        }

        fn bit(mut self, bit: bool) -> Self {
            self.bits.push(bit);
            self
        }

        /// The bytes, ended by a stop bit and without start codes in them.
        fn bytes(self) -> Vec<u8> {
            let mut bytes = Vec::new();
            for bits in self.bit(true).bits.chunks(8) {
                let byte = bits
                    .iter()
                    .enumerate()
                    .fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at));
                if bytes.ends_with(&[0, 0]) && byte <= 3 {
                    bytes.push(3);
                }

                bytes.push(byte);
            }

            bytes
        }
    }

    /// A baseline parameter set of level 5.2 for frames of this many macroblocks.
    pub(in crate::codec) fn sps(width: u64, height: u64, references: u64) -> Vec<u8> {
        let body = Writer::default()
            .ue(0)
            .ue(0)
            .ue(2)
            .ue(references)
            .bit(false)
            .ue(width - 1)
            .ue(height - 1)
            .bit(true)
            .bit(true)
            .bit(false)
            .bit(false);
        [vec![0x67, 66, 0xc0, 52], body.bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::sps;
    use super::*;
    use crate::codec::VideoCodec;
    use crate::codec::testing::{encode_scene, start};

    /// From `ffmpeg -f lavfi -i testsrc=s=320x240 -frames:v 1 -c:v libx264 -profile:v PROFILE
    /// -color_range RANGE`.
    #[rustfmt::skip]
    const SAMPLES: [(&str, &[u8], bool); 5] = [
        ("baseline, limited", &[0x00, 0x00, 0x01, 0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0xfb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x42, 0xa4, 0x80], false),
        ("baseline, full", &[0x00, 0x00, 0x01, 0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0xfb, 0x01, 0x6c, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x19, 0x07, 0x8a, 0x15, 0x24], true),
        ("main, limited", &[0x00, 0x00, 0x01, 0x67, 0x4d, 0x40, 0x0d, 0xec, 0xa0, 0xa0, 0xfd, 0x80, 0x88, 0x00, 0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0x90, 0x78, 0xa1, 0x4c, 0xb0], false),
        ("high, full", &[0x00, 0x00, 0x01, 0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0xfb, 0x01, 0x6c, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x19, 0x07, 0x8a, 0x14, 0xcb], true),
        ("high, limited", &[0x00, 0x00, 0x01, 0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0xfb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x42, 0x99, 0x60], false),
    ];

    #[test]
    fn parameter_sets_of_encoders_are_understood() {
        for (name, bytes, full) in SAMPLES {
            assert_eq!(is_full_range(bytes), Some(full), "{name}");
        }
    }

    #[test]
    fn other_units_say_nothing() {
        assert_eq!(is_full_range(&[0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80]), None);
        assert_eq!(is_full_range(&[]), None);
        assert_eq!(is_full_range(&[0, 0, 1, 0x67]), Some(false), "cut off");
    }

    fn size(unit: &[u8]) -> Option<(u64, u64, u64)> {
        Sps::parse(unit).map(|sps| (sps.width, sps.height, sps.references))
    }

    #[test]
    fn sizes_are_read() {
        // x264, high profile, 1920x1080, with bytes that keep start codes from appearing.
        let x264 = [
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00,
            0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
        ];
        assert_eq!(size(&x264), Some((120, 68, 4)));
        assert_eq!(size(&sps(256, 144, 16)), Some((256, 144, 16)));
        assert_eq!(size(&x264[..6]), None, "cut short");
    }

    #[test]
    fn the_size_of_an_encoded_stream_is_found() {
        for (width, height) in [(320, 180), (1280, 720), (64, 48)] {
            let mut encoder = start(VideoCodec::H264, width, height, 500_000);
            let stream = encode_scene(&mut *encoder, (width, height), 0..1);
            let sps = nal_units(&stream[0].1.data).find(|unit| unit[0] & 0x1f == SPS);
            let (wide, high, _) = size(sps.expect("a keyframe has one")).expect("a size");
            assert_eq!(
                (wide, high),
                (
                    u64::from(width.div_ceil(16)),
                    u64::from(height.div_ceil(16))
                )
            );
            assert_eq!(check(&stream[0].1.data), Ok(()));
        }
    }

    #[test]
    fn what_a_decoder_cannot_afford_is_refused() {
        for (width, height, references, good) in [
            (80, 45, 16, true),
            (240, 135, 3, true),
            (240, 135, 4, false),
            (256, 144, 1, false),
            (135, 241, 1, false),
            (u64::from(u32::MAX), u64::from(u32::MAX), 1, false),
        ] {
            let unit = [vec![0, 0, 0, 1], sps(width, height, references)].concat();
            let hidden = [vec![0, 0, 1, 0x09, 0x10], unit.clone()].concat();
            for data in [unit, hidden] {
                assert_eq!(
                    check(&data).is_ok(),
                    good,
                    "{width}x{height} macroblocks, {references} references"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for profile in [100, 66] {
                let data = [&[0, 0, 1, 0x67, profile][..], &bytes].concat();
                let _ = check(&data);
                let _ = is_full_range(&data);
            }
        }

        #[test]
        fn units_are_what_lies_between_start_codes(
            units in prop::collection::vec(prop::collection::vec(1_u8..4, 1..20), 1..10),
        ) {
            let data = units.iter().flat_map(|unit| [&[0, 0, 1][..], unit].concat());
            let data: Vec<u8> = data.collect();
            let found: Vec<Vec<u8>> = nal_units(&data).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(found, units);
        }
    }
}
