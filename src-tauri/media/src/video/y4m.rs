//! YUV4MPEG2 (`.y4m`): uncompressed video in a file, as mjpegtools and ffmpeg write it.
//!
//! The file starts with a header line (`YUV4MPEG2 W1280 H720 F30:1 C420jpeg`). Each frame is a line
//! `FRAME` followed by the planes Y, U and V.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use super::scale::scale;
use crate::error::{DeviceError, MediaErrorCode};
use crate::frame::I420;
use crate::range::LIMITED;

const MAGIC: &[u8] = b"YUV4MPEG2";
/// The longest header line, in bytes.
const MAX_HEADER: usize = 4096;
/// The longest `FRAME` line, in bytes.
const MAX_FRAME_HEADER: usize = 1024;
/// The largest width and height, in pixels. No codec here supports more, and a header alone must
/// not make the reader allocate gigabytes.
const MAX_SIDE: u32 = 3840;

/// Why a `.y4m` stream cannot be read. The texts complete "The file cannot be played: …".
#[derive(Debug, thiserror::Error)]
pub enum Y4mError {
    /// The stream does not start with the magic bytes.
    #[error("it is not a YUV4MPEG2 file")]
    NotY4m,
    /// The header line does not end within 4096 bytes.
    #[error("its header is cut off or longer than {MAX_HEADER} bytes")]
    Header,
    /// A parameter of the header is missing or unusable.
    #[error("its header has no usable {0}")]
    Parameter(&'static str),
    /// The frames are wider or higher than 3840 pixels.
    #[error("its frames of {0}x{1} are larger than {MAX_SIDE} pixels on a side")]
    TooLarge(u32, u32),
    /// The pixels are not 8-bit 4:2:0.
    #[error("its pixel format is {0:?}, and only 8-bit 4:2:0 (C420) is supported")]
    Chroma(String),
    /// The frames are interlaced.
    #[error("it is interlaced, and only progressive video is supported")]
    Interlaced,
    /// There is no `FRAME` line where a frame should start.
    #[error("frame {0} has a damaged header")]
    Frame(u64),
    /// The file is no longer what it was when it was opened.
    #[error("it was changed while it played")]
    Changed,
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The contents of the header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Y4mHeader {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second as numerator and denominator, both positive.
    pub rate: (u32, u32),
    /// The levels use the full range (`XCOLORRANGE=FULL`, as ffmpeg writes it).
    pub full_range: bool,
}

impl Y4mHeader {
    /// Parses a header line without its line feed.
    ///
    /// ```
    /// use tandem_media::video::y4m::Y4mHeader;
    ///
    /// let header = Y4mHeader::parse(b"YUV4MPEG2 W1280 H720 F30000:1001 C420jpeg")?;
    /// assert_eq!((header.width, header.height), (1280, 720));
    /// # Ok::<(), tandem_media::video::y4m::Y4mError>(())
    /// ```
    ///
    /// # Errors
    /// Every variant of [`Y4mError`] except [`Y4mError::Header`], [`Y4mError::Frame`],
    /// [`Y4mError::Changed`] and [`Y4mError::Io`].
    pub fn parse(line: &[u8]) -> Result<Self, Y4mError> {
        let rest = line.strip_prefix(MAGIC).ok_or(Y4mError::NotY4m)?;
        if !matches!(rest.first(), None | Some(b' ')) {
            return Err(Y4mError::NotY4m);
        }

        let (mut width, mut height, mut rate, mut full_range) = (None, None, None, false);
        for parameter in rest
            .split(|&byte| byte == b' ')
            .filter(|parameter| !parameter.is_empty())
        {
            let value = std::str::from_utf8(&parameter[1..]).unwrap_or_default();
            match parameter[0] {
                b'W' => width = value.parse().ok(),
                b'H' => height = value.parse().ok(),
                b'F' => {
                    rate = value
                        .split_once(':')
                        .and_then(|(n, d)| Some((n.parse().ok()?, d.parse().ok()?)));
                }
                b'C' if !matches!(value, "420" | "420jpeg" | "420mpeg2" | "420paldv") => {
                    return Err(Y4mError::Chroma(value.chars().take(16).collect()));
                }
                b'I' if !matches!(value, "p" | "?") => return Err(Y4mError::Interlaced),
                b'X' if value.starts_with("COLORRANGE=") => {
                    full_range = value.ends_with("=FULL");
                }
                // Pixel aspect, comments and unknown parameters do not matter here.
                _ => {}
            }
        }

        let width = width
            .filter(|&width: &u32| width > 0)
            .ok_or(Y4mError::Parameter("width"))?;
        let height = height
            .filter(|&height: &u32| height > 0)
            .ok_or(Y4mError::Parameter("height"))?;

        if width > MAX_SIDE || height > MAX_SIDE {
            return Err(Y4mError::TooLarge(width, height));
        }

        let usable =
            |&(n, d): &(u32, u32)| d > 0 && (1.0..=240.0).contains(&(f64::from(n) / f64::from(d)));
        let rate = rate
            .filter(usable)
            .ok_or(Y4mError::Parameter("frame rate between 1 and 240"))?;

        Ok(Self {
            width,
            height,
            rate,
            full_range,
        })
    }

    /// Frames per second.
    pub fn fps(&self) -> f64 {
        f64::from(self.rate.0) / f64::from(self.rate.1)
    }
}

/// Reads one frame after the other.
#[derive(Debug)]
pub struct Y4mReader<R> {
    reader: R,
    header: Y4mHeader,
    /// How many whole frames were read.
    frames: u64,
}

impl<R: Read> Y4mReader<R> {
    /// Reads the header. `reader` should be buffered: lines are read byte by byte.
    ///
    /// # Errors
    /// Every variant of [`Y4mError`] except [`Y4mError::Frame`] and [`Y4mError::Changed`].
    pub fn new(mut reader: R) -> Result<Self, Y4mError> {
        let line = read_line(&mut reader, MAX_HEADER)?;
        if !line.bytes.starts_with(MAGIC) {
            return Err(Y4mError::NotY4m);
        }

        if !line.whole {
            return Err(Y4mError::Header);
        }

        Ok(Self {
            header: Y4mHeader::parse(&line.bytes)?,
            reader,
            frames: 0,
        })
    }

    /// The size and rate of the stream.
    pub fn header(&self) -> Y4mHeader {
        self.header
    }

    /// The underlying reader.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// Reads the next frame into `image`, which must have the size in the header, in limited range.
    /// `Ok(false)`:
    /// there are no more whole frames. A last frame that is cut off is skipped and leaves `image`
    /// undefined.
    ///
    /// # Errors
    /// [`Y4mError::Frame`] and [`Y4mError::Io`].
    pub fn read(&mut self, image: &mut I420) -> Result<bool, Y4mError> {
        debug_assert_eq!(
            (image.width(), image.height()),
            (self.header.width, self.header.height),
            "the buffer has the size of the header"
        );

        let line = read_line(&mut self.reader, MAX_FRAME_HEADER)?;
        if line.bytes.is_empty() && !line.whole {
            return Ok(false);
        }

        let cut_off =
            !line.whole && line.bytes.len() < MAX_FRAME_HEADER && b"FRAME".starts_with(&line.bytes);
        if cut_off {
            return Ok(false);
        }

        let parameters = line
            .bytes
            .strip_prefix(b"FRAME".as_slice())
            .ok_or(Y4mError::Frame(self.frames))?;

        if !line.whole || !matches!(parameters.first(), None | Some(b' ')) {
            return Err(Y4mError::Frame(self.frames));
        }

        match self.reader.read_exact(image.data_mut()) {
            Ok(()) => {
                if self.header.full_range {
                    LIMITED.apply(image);
                }

                self.frames += 1;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

struct Line {
    bytes: Vec<u8>,
    /// Whether the line ended with a line feed, not with the file or at the limit.
    whole: bool,
}

fn read_line(reader: &mut impl Read, limit: usize) -> Result<Line, Y4mError> {
    let mut line = Line {
        bytes: Vec::new(),
        whole: false,
    };

    let mut byte = [0];
    while line.bytes.len() < limit {
        match reader.read(&mut byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => {
                line.whole = true;
                break;
            }
            Ok(_) => line.bytes.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }

    Ok(line)
}

/// Writes frames of one size. Frames of other sizes are scaled to it.
#[derive(Debug)]
pub struct Y4mWriter<W: Write = BufWriter<File>> {
    writer: W,
    size: (u32, u32),
    /// Scratch memory for frames of another size.
    scaled: I420,
}

impl Y4mWriter {
    /// Creates or replaces the file at `path`.
    ///
    /// # Errors
    /// `FileUnwritable`, `DiskFull`.
    pub fn new(path: &Path, width: u32, height: u32, fps: f32) -> Result<Self, DeviceError> {
        let file = File::create(path).map_err(|error| unwritable(&error))?;
        Self::to(BufWriter::new(file), width, height, fps)
    }
}

impl<W: Write> Y4mWriter<W> {
    /// Writes to any writer, starting with the header.
    ///
    /// # Errors
    /// `FileUnwritable`, `DiskFull`.
    pub fn to(mut writer: W, width: u32, height: u32, fps: f32) -> Result<Self, DeviceError> {
        let (numerator, denominator) = rational(fps);
        writeln!(
            writer,
            "YUV4MPEG2 W{width} H{height} F{numerator}:{denominator} Ip A1:1 C420jpeg"
        )
        .map_err(|error| unwritable(&error))?;

        Ok(Self {
            writer,
            size: (width, height),
            scaled: I420::default(),
        })
    }

    /// Appends a frame, scaled if its size is not that of the file.
    ///
    /// # Errors
    /// `FileUnwritable`, `DiskFull`.
    pub fn write(&mut self, image: &I420) -> Result<(), DeviceError> {
        let data = if (image.width(), image.height()) == self.size {
            image.data()
        } else {
            if (self.scaled.width(), self.scaled.height()) != self.size {
                self.scaled = I420::new(self.size.0, self.size.1);
            }

            scale(image, &mut self.scaled);
            self.scaled.data()
        };

        self.writer
            .write_all(b"FRAME\n")
            .and_then(|()| self.writer.write_all(data))
            .map_err(|error| unwritable(&error))
    }

    /// Writes what is still buffered. Without this call, a disk that fills up at the very end goes
    /// unnoticed.
    ///
    /// # Errors
    /// `FileUnwritable`, `DiskFull`.
    pub fn finish(mut self) -> Result<(), DeviceError> {
        self.writer.flush().map_err(|error| unwritable(&error))
    }
}

/// Explains a failed write to the user.
pub(super) fn unwritable(error: &io::Error) -> DeviceError {
    let explained = if error.kind() == ErrorKind::StorageFull {
        DeviceError::new(
            MediaErrorCode::DiskFull,
            "The disk is full. Free some space, or write to another disk.",
        )
    } else {
        DeviceError::new(
            MediaErrorCode::FileUnwritable,
            format!("The file cannot be written: {error}. Choose another folder."),
        )
    };

    explained.caused_by(error)
}

/// The frame rate as the fraction that it most likely is: a whole number, a whole number divided by
/// 1.001 (NTSC), or else thousandths.
fn rational(fps: f32) -> (u32, u32) {
    let fps = f64::from(fps);
    let ntsc = fps * 1.001;

    if (fps - fps.round()).abs() < 1e-3 {
        (fps.round() as u32, 1)
    } else if (ntsc - ntsc.round()).abs() < 1e-3 {
        (ntsc.round() as u32 * 1000, 1001)
    } else {
        ((fps * 1000.0).round() as u32, 1000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(text: &str) -> Result<Y4mHeader, Y4mError> {
        Y4mHeader::parse(text.as_bytes())
    }

    fn frames(bytes: &[u8]) -> Result<Vec<I420>, Y4mError> {
        let mut reader = Y4mReader::new(bytes)?;
        let size = reader.header();
        let mut frames = Vec::new();

        loop {
            let mut image = I420::new(size.width, size.height);
            if !reader.read(&mut image)? {
                return Ok(frames);
            }

            frames.push(image);
        }
    }

    fn noise(width: u32, height: u32, seed: u8) -> I420 {
        let mut image = I420::new(width, height);
        for (index, byte) in image.data_mut().iter_mut().enumerate() {
            *byte = (index as u8).wrapping_mul(31).wrapping_add(seed);
        }

        image
    }

    fn written(images: &[I420], fps: f32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer =
            Y4mWriter::to(&mut bytes, images[0].width(), images[0].height(), fps).unwrap();

        for image in images {
            writer.write(image).unwrap();
        }

        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn headers_from_ffmpeg_and_mjpegtools_parse() {
        let ffmpeg =
            header("YUV4MPEG2 W768 H432 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG").unwrap();
        assert_eq!(
            ffmpeg,
            Y4mHeader {
                width: 768,
                height: 432,
                rate: (30_000, 1001),
                full_range: false,
            },
            "as ffmpeg writes it"
        );

        assert!(
            header("YUV4MPEG2 W5 H3 F25:1").is_ok(),
            "4:2:0 is the default, and odd sizes are allowed"
        );
    }

    #[test]
    fn the_error_names_what_is_wrong() {
        let cases = [
            ("RIFF", "not a YUV4MPEG2"),
            ("YUV4MPEG2x W4 H4 F25:1", "not a YUV4MPEG2"),
            ("YUV4MPEG2 H4 F25:1", "width"),
            ("YUV4MPEG2 W0 H4 F25:1", "width"),
            ("YUV4MPEG2 W4 H-4 F25:1", "height"),
            ("YUV4MPEG2 W4 H4 F25:0", "frame rate"),
            ("YUV4MPEG2 W4 H4", "frame rate"),
            ("YUV4MPEG2 W4000000000 H4 F25:1", "larger"),
            ("YUV4MPEG2 W4 H4 F25:1 C444", "444"),
            ("YUV4MPEG2 W4 H4 F25:1 C420p10", "420p10"),
            ("YUV4MPEG2 W4 H4 F25:1 It", "interlaced"),
        ];

        for (text, expected) in cases {
            let error = header(text).expect_err(text).to_string();
            assert!(
                error.contains(expected),
                "{text}: {error:?} must mention {expected:?}"
            );
        }
    }

    #[test]
    fn frames_of_odd_size_survive_a_round_trip() {
        let images = [noise(5, 3, 1), noise(5, 3, 2)];
        assert_eq!(
            frames(&written(&images, 29.97)).unwrap(),
            images,
            "what was written is read back"
        );
    }

    #[test]
    fn full_range_becomes_limited_range() {
        let file = |range: &str, levels: [u8; 6]| {
            let head = format!("YUV4MPEG2 W2 H2 F25:1 XYSCSS=420JPEG XCOLORRANGE={range}\nFRAME\n");
            frames(&[head.as_bytes(), &levels].concat()).unwrap()
        };
        let levels = [0, 255, 16, 32, 0, 128];
        assert_eq!(file("FULL", levels)[0].data(), [16, 235, 30, 43, 16, 128]);
        assert_eq!(file("LIMITED", levels)[0].data(), levels);
    }

    #[test]
    fn a_cut_off_file_gives_its_whole_frames() {
        let bytes = written(&[noise(6, 4, 1), noise(6, 4, 2)], 30.0);
        let second = bytes.len() - 36;

        for end in second - 6..bytes.len() {
            let read =
                frames(&bytes[..end]).unwrap_or_else(|error| panic!("cut at {end}: {error}"));
            assert_eq!(read.len(), 1, "cut at {end}, the first frame is whole");
        }
    }

    #[test]
    fn damaged_and_endless_lines_are_errors() {
        let mut bytes = written(&[noise(6, 4, 1), noise(6, 4, 2)], 30.0);
        let second = bytes.len() - 36 - 6;
        bytes[second] = b'X';

        assert!(
            matches!(frames(&bytes), Err(Y4mError::Frame(1))),
            "the second FRAME line is damaged"
        );

        let endless = [b"YUV4MPEG2 ".as_slice(), &[b'X'; 10_000]].concat();
        assert!(
            matches!(frames(&endless), Err(Y4mError::Header)),
            "the length of the header is limited"
        );
    }

    #[test]
    fn frames_of_another_size_are_scaled_to_the_first() {
        let mut grey = I420::new(8, 8);
        grey.data_mut().fill(90);
        let bytes = written(&[noise(6, 4, 1), grey], 30.0);
        let read = frames(&bytes).unwrap();

        assert_eq!(
            (read[1].width(), read[1].height()),
            (6, 4),
            "a file has one size"
        );

        assert!(
            read[1].data().iter().all(|&byte| byte == 90),
            "a flat frame stays flat"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_has_a_code_of_its_own() {
        let mut writer = Y4mWriter::new(Path::new("/dev/full"), 64, 64, 30.0).unwrap();
        let image = I420::new(64, 64);
        let error = (0..10)
            .find_map(|_| writer.write(&image).err())
            .expect("/dev/full takes nothing");

        assert_eq!(error.code, MediaErrorCode::DiskFull, "{error}");
    }

    #[test]
    fn common_rates_become_exact_fractions() {
        for (fps, expected) in [
            (30.0, (30, 1)),
            (29.97, (30_000, 1001)),
            (59.94, (60_000, 1001)),
            (12.5, (12_500, 1000)),
        ] {
            assert_eq!(rational(fps), expected, "{fps}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(head in "YUV4MPEG2( [WHFICAX][0-9a-z:?-]{0,9}){0,6}\n?", tail: Vec<u8>) {
            let _ = frames(&[head.as_bytes(), &tail].concat());
            let _ = frames(&tail);
        }
    }
}
