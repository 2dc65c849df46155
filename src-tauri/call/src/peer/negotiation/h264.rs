//! The two parameters of H.264 that both sides must have in common: the profile, and how packets
//! are made (RFC 6184 §8.1).

/// A profile of H.264, told by `profile_idc` and the constraint flags. What openh264 encodes is
/// constrained baseline, which decoders of all of them accept; it decodes all of them as far as a
/// call uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::peer) enum Profile {
    /// What every browser has.
    ConstrainedBaseline,
    /// With tools that nobody uses.
    Baseline,
    /// With CABAC.
    Main,
    /// With 8x8 transforms, and without B-frames and interlacing.
    ConstrainedHigh,
    /// With 8x8 transforms.
    High,
}

/// How access units become packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::peer) enum Packetization {
    /// Mode 0: each NAL unit is a packet.
    SingleNal,
    /// Mode 1: small ones can share a packet, and large ones are cut.
    NonInterleaved,
}

/// An H.264 format, as far as both sides must agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::peer) struct H264 {
    pub(in crate::peer) profile: Profile,
    pub(in crate::peer) packetization: Packetization,
}

/// `profile_idc`, and the flags that matter with their values: each line of RFC 6184 table 5, as
/// far as openh264 decodes it. The flags are the bits of `profile-iop`, `constraint_set0_flag`
/// first.
const PROFILES: [(u8, u8, u8, Profile); 8] = [
    (0x42, 0b0100_1111, 0b0100_0000, Profile::ConstrainedBaseline),
    (0x4d, 0b1000_1111, 0b1000_0000, Profile::ConstrainedBaseline),
    (0x58, 0b1100_1111, 0b1100_0000, Profile::ConstrainedBaseline),
    (0x42, 0b0100_1111, 0b0000_0000, Profile::Baseline),
    (0x58, 0b1100_1111, 0b1000_0000, Profile::Baseline),
    (0x4d, 0b1010_1111, 0b0000_0000, Profile::Main),
    (0x64, 0b1111_1111, 0b0000_0000, Profile::High),
    (0x64, 0b1111_1111, 0b0000_1100, Profile::ConstrainedHigh),
];

/// The profile that stands for a missing `profile-level-id`: baseline at level 1 (RFC 6184 §8.1).
const DEFAULT_PROFILE_LEVEL_ID: &str = "42000a";

impl H264 {
    /// Every format, in the order in which they are preferred.
    pub(in crate::peer) const ALL: [Self; 10] = [
        Self::new(Profile::ConstrainedBaseline, Packetization::NonInterleaved),
        Self::new(Profile::Baseline, Packetization::NonInterleaved),
        Self::new(Profile::Main, Packetization::NonInterleaved),
        Self::new(Profile::ConstrainedHigh, Packetization::NonInterleaved),
        Self::new(Profile::High, Packetization::NonInterleaved),
        Self::new(Profile::ConstrainedBaseline, Packetization::SingleNal),
        Self::new(Profile::Baseline, Packetization::SingleNal),
        Self::new(Profile::Main, Packetization::SingleNal),
        Self::new(Profile::ConstrainedHigh, Packetization::SingleNal),
        Self::new(Profile::High, Packetization::SingleNal),
    ];

    pub(in crate::peer) const fn new(profile: Profile, packetization: Packetization) -> Self {
        Self {
            profile,
            packetization,
        }
    }

    /// Reads the parameters of `a=fmtp`. `None` for what openh264 cannot decode.
    pub(in crate::peer) fn parse(parameters: &str) -> Option<Self> {
        let packetization = match parameter(parameters, "packetization-mode").unwrap_or("0") {
            "0" => Packetization::SingleNal,
            "1" => Packetization::NonInterleaved,
            _ => return None,
        };
        let id = parameter(parameters, "profile-level-id").unwrap_or(DEFAULT_PROFILE_LEVEL_ID);

        Some(Self::new(profile(id)?, packetization))
    }

    /// The parameters under which Tandem knows this format. Level 3.1 is 1280x720 at 30 frames per
    /// second.
    pub(in crate::peer) fn parameters(self) -> String {
        let mode = match self.packetization {
            Packetization::SingleNal => 0,
            Packetization::NonInterleaved => 1,
        };
        let profile = match self.profile {
            Profile::ConstrainedBaseline => "42e0",
            Profile::Baseline => "4200",
            Profile::Main => "4d00",
            Profile::ConstrainedHigh => "640c",
            Profile::High => "6400",
        };

        format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}1f")
    }
}

/// The profile of a `profile-level-id`: `profile_idc`, `profile-iop` and the level, two hexadecimal
/// digits each.
fn profile(id: &str) -> Option<Profile> {
    if id.len() != 6 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }

    let [idc, flags] = [0, 2].map(|at| u8::from_str_radix(&id[at..at + 2], 16).ok());
    PROFILES
        .into_iter()
        .find(|(of, mask, value, _)| {
            idc == Some(*of) && flags.map(|flags| flags & mask) == Some(*value)
        })
        .map(|(.., profile)| profile)
}

/// The value of a parameter. Names are compared without regard to case (RFC 6838 §4.3).
pub(in crate::peer) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_told_by_their_bits() {
        for (id, expected) in [
            ("42e01f", Some(Profile::ConstrainedBaseline)),
            ("42E034", Some(Profile::ConstrainedBaseline)),
            ("42c01f", Some(Profile::ConstrainedBaseline)),
            ("42401f", Some(Profile::ConstrainedBaseline)),
            ("42f00b", Some(Profile::ConstrainedBaseline)),
            ("4d801f", Some(Profile::ConstrainedBaseline)),
            ("42001f", Some(Profile::Baseline)),
            ("42801f", Some(Profile::Baseline)),
            ("42a01f", Some(Profile::Baseline)),
            ("4d001f", Some(Profile::Main)),
            ("4d4028", Some(Profile::Main)),
            ("640c1f", Some(Profile::ConstrainedHigh)),
            ("64001f", Some(Profile::High)),
            // High 10, High 4:2:2 and High 4:4:4 have samples that Tandem cannot show.
            ("6e001f", None),
            ("7a001f", None),
            ("f4001f", None),
            // Only I-frames at 10 bit.
            ("64101f", None),
            ("42e0", None),
            ("42e01f0", None),
            ("éé01f", None),
            ("+2e01f", None),
            ("", None),
        ] {
            assert_eq!(profile(id), expected, "{id}");
        }
    }

    #[test]
    fn what_is_missing_has_the_standards_defaults() {
        assert_eq!(
            H264::parse(""),
            Some(H264::new(Profile::Baseline, Packetization::SingleNal))
        );
        assert_eq!(
            H264::parse(" Packetization-Mode = 1 ; PROFILE-LEVEL-ID=42C01F"),
            Some(H264::new(
                Profile::ConstrainedBaseline,
                Packetization::NonInterleaved
            ))
        );
        // Interleaved packets come out of order on purpose.
        assert_eq!(
            H264::parse("packetization-mode=2;profile-level-id=42e01f"),
            None
        );
    }

    #[test]
    fn every_format_is_recognized_by_its_own_parameters() {
        for format in H264::ALL {
            assert_eq!(H264::parse(&format.parameters()), Some(format));
        }
    }
}
