//! The structure of a `.wav` file: which bytes are samples, and how to read and mix them.
//!
//! Sizes in a file are bounded by the file. Programs that write to a pipe cannot go back and fill them
//! in (ffmpeg writes `0xFFFFFFFF`, others 0), and a recording that was cut off has less than it says.

use std::io::{self, Read, Seek, SeekFrom};

/// The encoding of a sample: PCM, float, and the marker of the longer description of either
/// (Microsoft's `WAVE_FORMAT_…`).
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;

/// Bytes of a `fmt ` chunk that are read: the longest known one.
const FORMAT_BYTES: usize = 40;
/// Chunks before the audio. Tags and pictures make a handful.
const MAX_CHUNKS: u32 = 1_000;
/// More channels than any layout has.
const MAX_CHANNELS: u16 = 64;

/// Speaker positions (`SPEAKER_…` of Microsoft's channel masks) and the part of each in the mix to
/// one channel: ITU-R BS.775-3, table 2 (front 1, centre 0.707, surround 0.707, no LFE), with left and
/// right of the resulting stereo halved, as for a stereo file.
const WEIGHTS: [f32; 11] = [
    0.5,   // front left
    0.5,   // front right
    0.707, // front center
    0.0,   // low frequency
    0.354, // back left
    0.354, // back right
    0.5,   // front left of center
    0.5,   // front right of center
    0.354, // back center
    0.354, // side left
    0.354, // side right
];

/// The usual masks for files that name none: mono, stereo, 3.0, quad, 5.0, 5.1, 6.1, 7.1.
const USUAL_MASKS: [u32; 8] = [0x4, 0x3, 0x7, 0x33, 0x37, 0x3f, 0x70f, 0x63f];

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormatError {
    #[error("it is not a .wav file")]
    NotWav,
    #[error("it ends before its audio starts")]
    Short,
    #[error("it has no description of its audio")]
    NoFormat,
    #[error("{0}")]
    Unsupported(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How the bytes of a sample become a number between −1 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

/// Where the samples are, and what they are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WavFormat {
    pub(super) sample: Sample,
    pub(super) rate: u32,
    /// The part of each channel in the mix.
    pub(super) weights: Vec<f32>,
    /// Bytes of one sample; more than it needs if it is padded.
    pub(super) sample_bytes: usize,
    /// The position of the first sample, in bytes.
    pub(super) start: u64,
    /// How many bytes of samples there are.
    pub(super) length: u64,
}

impl WavFormat {
    /// Reads the structure of a file.
    pub(super) fn read(file: &mut (impl Read + Seek)) -> Result<Self, FormatError> {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;

        let mut riff = [0; 12];
        fill(file, &mut riff)?;
        // RF64 is RIFF with sizes over 4 GiB in a chunk of their own (EBU Tech 3306).
        let is_riff = [&b"RIFF"[..], b"RF64"].contains(&&riff[..4]);
        if !is_riff || riff[8..] != *b"WAVE" {
            return Err(FormatError::NotWav);
        }

        let mut described = None;
        for _ in 0..MAX_CHUNKS {
            let mut head = [0; 8];
            fill(file, &mut head)?;
            let size = u64::from(u32_at(&head, 4));
            let start = file.stream_position()?;

            match &head[..4] {
                b"fmt " => described = Some(Description::read(file, size)?),
                b"data" => {
                    let description = described.ok_or(FormatError::NoFormat)?;
                    let left = end.saturating_sub(start);
                    // A size of 0 with something behind it was never filled in.
                    let length = if size == 0 { left } else { size.min(left) };
                    return description.format(start, length);
                }
                _ => {}
            }

            // Chunks begin at even positions.
            file.seek(SeekFrom::Start(start + size + size % 2))?;
        }

        Err(FormatError::Short)
    }

    /// Bytes of a sample of every channel.
    pub(super) fn frame_bytes(&self) -> usize {
        self.sample_bytes * self.weights.len()
    }

    /// A frame, mixed to one channel. `frame` has [`frame_bytes`](Self::frame_bytes).
    pub(super) fn mix(&self, frame: &[u8]) -> f32 {
        let samples = frame.chunks_exact(self.sample_bytes);
        let mixed: f32 = samples
            .zip(&self.weights)
            .map(|(bytes, weight)| weight * self.sample.value(bytes))
            .sum();

        mixed.clamp(-1.0, 1.0)
    }
}

impl Sample {
    /// `None` if the encoding is not known.
    fn new(encoding: u16, bits: u16) -> Option<Self> {
        Some(match (encoding, bits) {
            (PCM, 8) => Self::U8,
            (PCM, 16) => Self::I16,
            (PCM, 24) => Self::I24,
            (PCM, 32) => Self::I32,
            (FLOAT, 32) => Self::F32,
            (FLOAT, 64) => Self::F64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The first bytes of `bytes` as a number between −1 and 1. NaN and infinity count as silence: no
    /// speaker should play them.
    fn value(self, bytes: &[u8]) -> f32 {
        let value = match (self, bytes) {
            (Self::U8, [a, ..]) => (f32::from(*a) - 128.0) / 128.0,
            (Self::I16, [a, b, ..]) => f32::from(i16::from_le_bytes([*a, *b])) / 32_768.0,
            (Self::I24, [a, b, c, ..]) => {
                (i32::from_le_bytes([0, *a, *b, *c]) >> 8) as f32 / 8_388_608.0
            }
            (Self::I32, [a, b, c, d, ..]) => {
                i32::from_le_bytes([*a, *b, *c, *d]) as f32 / 2_147_483_648.0
            }
            (Self::F32, [a, b, c, d, ..]) => f32::from_le_bytes([*a, *b, *c, *d]),
            (Self::F64, bytes) => bytes
                .first_chunk()
                .map_or(0.0, |bytes| f64::from_le_bytes(*bytes) as f32),
            _ => 0.0,
        };

        if value.is_finite() {
            value.clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }
}

/// The contents of a `fmt ` chunk.
struct Description {
    encoding: u16,
    channels: u16,
    rate: u32,
    frame_bytes: u16,
    bits: u16,
    /// `None`: the chunk has none. Without a bit, no channel has a position.
    mask: Option<u32>,
}

impl Description {
    fn read(file: &mut impl Read, size: u64) -> Result<Self, FormatError> {
        let mut bytes = [0; FORMAT_BYTES];
        let known = usize::try_from(size).map_or(FORMAT_BYTES, |size| size.min(FORMAT_BYTES));
        if known < 16 {
            return Err(FormatError::NoFormat);
        }

        fill(file, &mut bytes[..known])?;
        let is_long = u16_at(&bytes, 0) == EXTENSIBLE && known == FORMAT_BYTES;
        Ok(Self {
            // The long form begins its sub-format with the encoding.
            encoding: u16_at(&bytes, if is_long { 24 } else { 0 }),
            channels: u16_at(&bytes, 2),
            rate: u32_at(&bytes, 4),
            frame_bytes: u16_at(&bytes, 12),
            bits: u16_at(&bytes, 14),
            mask: is_long.then(|| u32_at(&bytes, 20)),
        })
    }

    fn format(&self, start: u64, length: u64) -> Result<WavFormat, FormatError> {
        let Self {
            encoding,
            channels,
            rate,
            frame_bytes,
            bits,
            mask,
        } = *self;
        let unsupported = |what: String| Err(FormatError::Unsupported(what));

        let Some(sample) = Sample::new(encoding, bits) else {
            let name = match encoding {
                PCM => "integer",
                FLOAT => "float",
                2 | 0x11 => "ADPCM",
                6 => "A-law",
                7 => "µ-law",
                0x55 => "MP3",
                _ => "unknown",
            };
            return unsupported(format!("{bits} bit {name} samples are not supported"));
        };

        if !(1..=MAX_CHANNELS).contains(&channels) {
            return unsupported(format!("{channels} channels are not supported"));
        }

        // Some writers leave it at 0.
        let sample_bytes = usize::from(frame_bytes / channels).max(sample.bytes());
        Ok(WavFormat {
            sample,
            rate,
            weights: weights(channels, mask),
            sample_bytes,
            start,
            length,
        })
    }
}

/// The part of each channel in the mix to one.
fn weights(channels: u16, mask: Option<u32>) -> Vec<f32> {
    let count = usize::from(channels);
    let usual = USUAL_MASKS.get(count - 1).copied();
    let mask = mask.or(usual).filter(|_| count > 1).unwrap_or_default();

    // The lowest bit of the mask is the first channel's position. Those above have none.
    let positions = (0..WEIGHTS.len()).filter(|bit| mask & (1 << bit) != 0);
    let weights: Vec<f32> = positions.map(|bit| WEIGHTS[bit]).collect();
    if mask.count_ones() as usize == count && weights.len() == count {
        weights
    } else {
        // Microphones, or speakers in places that nobody mixes from.
        vec![1.0 / f32::from(channels); count]
    }
}

/// Fills `bytes` from the file.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> Result<(), FormatError> {
    file.read_exact(bytes).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            FormatError::Short
        } else {
            error.into()
        }
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Cursor;

    use super::*;

    fn chunk(name: &[u8; 4], size: u32, contents: &[u8]) -> Vec<u8> {
        let pad = vec![0; contents.len() % 2];
        [name, &size.to_le_bytes()[..], contents, &pad].concat()
    }

    fn description(encoding: u16, channels: u16, bits: u16, mask: Option<u32>) -> Vec<u8> {
        let frame = channels * bits / 8;
        let head = if mask.is_some() { EXTENSIBLE } else { encoding };
        let mut bytes = [
            &head.to_le_bytes()[..],
            &channels.to_le_bytes(),
            &48_000_u32.to_le_bytes(),
            &(48_000 * u32::from(frame)).to_le_bytes(),
            &frame.to_le_bytes(),
            &bits.to_le_bytes(),
        ]
        .concat();
        if let Some(mask) = mask {
            bytes.extend(22_u16.to_le_bytes());
            bytes.extend(bits.to_le_bytes());
            bytes.extend(mask.to_le_bytes());
            bytes.extend(encoding.to_le_bytes());
            bytes.extend([0; 14]);
        }

        chunk(b"fmt ", bytes.len() as u32, &bytes)
    }

    fn file(chunks: &[Vec<u8>]) -> Cursor<Vec<u8>> {
        Cursor::new([&b"RIFF\xff\xff\xff\xffWAVE"[..], &chunks.concat()].concat())
    }

    #[test]
    fn sizes_are_bounded_by_the_file() {
        let samples = [1, 2, 3, 4, 5, 6];
        for (size, length) in [(6, 6), (4, 4), (0, 6), (u32::MAX, 6), (0x7fff_f000, 6)] {
            let mut file = file(&[
                description(PCM, 1, 16, None),
                chunk(b"data", size, &samples),
            ]);
            let format = WavFormat::read(&mut file).unwrap();
            assert_eq!(format.length, length, "the header says {size}");
        }
    }

    #[test]
    fn a_chunk_of_odd_size_before_the_audio_is_padded() {
        let mut file = file(&[
            chunk(b"LIST", 7, b"INFOabc"),
            description(PCM, 1, 16, None),
            chunk(b"PEAK", 3, b"xyz"),
            chunk(b"data", 2, &[1, 2]),
        ]);
        let format = WavFormat::read(&mut file).unwrap();
        assert_eq!(
            file.get_ref()[format.start as usize..],
            [1, 2],
            "the audio is found"
        );
    }

    #[test]
    fn a_voice_in_the_center_of_5_1_is_as_loud_as_in_stereo() {
        let format = |mask| {
            let mut file = file(&[description(PCM, 6, 16, mask), chunk(b"data", 0, &[0; 12])]);
            WavFormat::read(&mut file).unwrap()
        };
        // The surround speakers at the back, or at the sides.
        for mask in [None, Some(0x3f), Some(0x60f)] {
            let mut frame = [0; 12];
            frame[4..6].copy_from_slice(&16_384_i16.to_le_bytes());
            let mixed = format(mask).mix(&frame);
            assert!((mixed - 0.354).abs() < 0.001, "{mask:x?}: −3 dB: {mixed}");

            let mut frame = [0; 12];
            frame[6..8].copy_from_slice(&32_767_i16.to_le_bytes());
            let mixed = format(mask).mix(&frame);
            assert!(mixed.abs() < 1e-6, "{mask:x?}: no LFE: {mixed}");
        }
    }

    #[test]
    fn channels_without_positions_are_averaged() {
        for (channels, mask) in [(6, Some(0)), (3, Some(1)), (12, None)] {
            let average = 1.0 / f32::from(channels);
            assert!(
                weights(channels, mask)
                    .iter()
                    .all(|weight| (weight - average).abs() < 1e-6),
                "{channels} {mask:?}"
            );
        }
        assert_eq!(weights(1, None), [1.0]);
        assert_eq!(weights(1, Some(1)), [1.0], "one channel is the mix");
        assert_eq!(weights(2, None), [0.5, 0.5]);
    }

    #[test]
    fn what_cannot_be_played_has_a_name() {
        let refused = |encoding, bits| {
            let chunks = [
                description(encoding, 1, bits, None),
                chunk(b"data", 2, &[0, 0]),
            ];
            WavFormat::read(&mut file(&chunks)).unwrap_err().to_string()
        };
        assert_eq!(refused(7, 8), "8 bit µ-law samples are not supported");
        assert_eq!(refused(PCM, 12), "12 bit integer samples are not supported");
        assert_eq!(
            refused(0x161, 16),
            "16 bit unknown samples are not supported"
        );
    }
}
