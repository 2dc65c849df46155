//! Whether a stream of H.264 uses the full range of levels, which its sequence parameter set says
//! (H.264 §7.3.2.1.1, §E.1.1). openh264 does not pass that on.

/// The NAL unit type of a sequence parameter set (H.264 table 7-1).
const SEQUENCE_PARAMETERS: u8 = 7;
/// The profiles whose parameters describe the chroma format (H.264 §7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// The value of `aspect_ratio_idc` that two numbers follow (table E-1).
const EXTENDED_SAR: u32 = 255;

/// Whether the stream uses the full range from this Annex B access unit on; `None`: it has no
/// sequence parameter set, so nothing changes.
pub(super) fn is_full_range(access_unit: &[u8]) -> Option<bool> {
    let is_parameters =
        |bytes: &[u8]| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1f == SEQUENCE_PARAMETERS;
    let start = access_unit.windows(4).rposition(is_parameters)?;

    // What cannot be read says nothing about its range, so it has the usual one.
    let mut bits = Bits::new(&access_unit[start + 4..]);
    Some(bits.video_full_range().unwrap_or(false))
}

/// Reads bits, the highest of each byte first. `None`: there are no more.
struct Bits {
    /// Without the bytes that prevent start codes (§7.3.1).
    bytes: Vec<u8>,
    position: usize,
}

impl Bits {
    fn new(unit: &[u8]) -> Self {
        let end = unit
            .windows(3)
            .position(|bytes| bytes[..2] == [0, 0] && bytes[2] <= 1)
            .unwrap_or(unit.len());

        let mut bytes = Vec::new();
        for &byte in &unit[..end] {
            if byte != 3 || !bytes.ends_with(&[0, 0]) {
                bytes.push(byte);
            }
        }

        Self { bytes, position: 0 }
    }

    fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u32::from(self.bit()?)))
    }

    /// An Exp-Golomb code (§9.1), `ue(v)` or the code number of `se(v)`.
    fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }

        Some((1_u32 << zeros) - 1 + self.bits(zeros)?)
    }

    fn skip_codes(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.exp_golomb().map(drop))
    }

    /// Reads a sequence parameter set up to `video_full_range_flag`. `None`: it has none.
    fn video_full_range(&mut self) -> Option<bool> {
        let profile = self.bits(8)?;
        // Constraints and level, then the id.
        self.bits(16)?;
        self.exp_golomb()?;
        if HIGH_PROFILES.contains(&profile) {
            self.skip_chroma_format()?;
        }

        // log2_max_frame_num_minus4
        self.exp_golomb()?;
        match self.exp_golomb()? {
            0 => self.skip_codes(1)?,
            1 => {
                self.bit()?;
                self.skip_codes(2)?;
                let count = self.exp_golomb().filter(|count| *count <= 255)?;
                self.skip_codes(count)?;
            }
            _ => {}
        }

        // max_num_ref_frames, gaps_in_frame_num_value_allowed_flag, width and height
        self.exp_golomb()?;
        self.bit()?;
        self.skip_codes(2)?;
        // frame_mbs_only_flag, and mb_adaptive_frame_field_flag without it
        if !self.bit()? {
            self.bit()?;
        }

        // direct_8x8_inference_flag, then the cropping
        self.bit()?;
        if self.bit()? {
            self.skip_codes(4)?;
        }

        self.video_usability()
    }

    fn skip_chroma_format(&mut self) -> Option<()> {
        let chroma = self.exp_golomb()?;
        if chroma == 3 {
            self.bit()?;
        }

        self.skip_codes(2)?;
        self.bit()?;
        if self.bit()? {
            let lists = if chroma == 3 { 12 } else { 8 };
            for list in 0..lists {
                if self.bit()? {
                    self.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                }
            }
        }

        Some(())
    }

    /// §7.3.2.1.1.1.
    fn skip_scaling_list(&mut self, size: u32) -> Option<()> {
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..size {
            if next != 0 {
                let code = i64::from(self.exp_golomb()?);
                let delta = if code % 2 == 1 {
                    code / 2 + 1
                } else {
                    -code / 2
                };
                next = (last + delta).rem_euclid(256);
            }

            if next != 0 {
                last = next;
            }
        }

        Some(())
    }

    /// §E.1.1.
    fn video_usability(&mut self) -> Option<bool> {
        if !self.bit()? {
            return None;
        }

        if self.bit()? && self.bits(8)? == EXTENDED_SAR {
            self.bits(32)?;
        }

        if self.bit()? {
            self.bit()?;
        }

        if !self.bit()? {
            return None;
        }

        // video_format
        self.bits(3)?;
        self.bit()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_hang(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let unit = [&[0, 0, 1, 0x67][..], &bytes].concat();
            is_full_range(&unit);
        }
    }
}
