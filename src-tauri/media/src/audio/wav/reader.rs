//! Reads a `.wav` file of any common format as an endless stream of 48 kHz mono blocks.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use super::format::{FormatError, WavFormat};
use crate::audio::resample::{RATES, RateConverter};
use crate::audio::{BLOCK_SAMPLES, SAMPLE_RATE};
use crate::error::{DeviceError, MediaErrorCode};

/// Blocks to read ahead: half a second, longer than a disk takes to wake.
const READ_AHEAD_BLOCKS: usize = 50;

/// Decodes a `.wav` file: 8, 16, 24 or 32 bit integers, 32 or 64 bit floats, any rate from 4 to 384
/// kHz, any number of channels (mixed to one). It loops: after the last sample comes the first. A
/// file that ends before its header says so is played as far as it goes.
pub struct WavReader {
    file: BufReader<File>,
    format: WavFormat,
    name: String,
    /// `None` if the file is already at 48 kHz, so that its samples pass unchanged.
    converter: Option<RateConverter>,
    input: Vec<f32>,
    /// One sample of each channel.
    frame: Vec<u8>,
    /// Bytes of samples that have not been read yet.
    left: u64,
    /// Frames read since the start of the file.
    frames_since_start: u64,
}

impl std::fmt::Debug for WavReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WavReader")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl WavReader {
    /// Opens `path` and checks that it holds audio.
    ///
    /// # Errors
    /// `FILE_UNREADABLE`; `FILE_BAD_FORMAT` if it is not a `.wav` file, has an unsupported format,
    /// or holds no whole sample.
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
        let mut file = BufReader::new(file);
        let format = WavFormat::read(&mut file).map_err(|error| match error {
            FormatError::Io(error) => unreadable(&name, &error),
            other => bad_format(&name, &other.to_string()),
        })?;

        if !RATES.contains(&format.rate) {
            let form = format!("{} Hz are not supported", format.rate);
            return Err(bad_format(&name, &form));
        }

        let converter = (format.rate != SAMPLE_RATE)
            .then(|| RateConverter::to_blocks(format.rate))
            .transpose()
            .map_err(|error| bad_format(&name, &error.to_string()))?;

        let input = Vec::with_capacity(
            converter
                .as_ref()
                .map_or(BLOCK_SAMPLES, RateConverter::input_len_max),
        );

        let mut reader = Self {
            frame: vec![0; format.frame_bytes()],
            left: format.length,
            file,
            format,
            name,
            converter,
            input,
            frames_since_start: 0,
        };

        reader.rewind()?;
        if reader.next_frame()?.is_none() {
            return Err(bad_format(&reader.name, "it holds no audio"));
        }

        reader.rewind()?;
        Ok(reader)
    }

    /// Writes the next 10 ms into `block`.
    ///
    /// # Errors
    /// `FILE_UNREADABLE` or `FILE_BAD_FORMAT` if the file changed while it was being read.
    pub fn read(&mut self, block: &mut [i16; BLOCK_SAMPLES]) -> Result<(), DeviceError> {
        let needed = self
            .converter
            .as_ref()
            .map_or(BLOCK_SAMPLES, RateConverter::input_len);
        self.input.clear();

        while self.input.len() < needed {
            match self.next_frame()? {
                Some(sample) => self.input.push(sample),
                None if self.frames_since_start == 0 => {
                    return Err(bad_format(&self.name, "it no longer holds audio"));
                }
                None => self.rewind()?,
            }
        }

        let mut converted = [0.0; BLOCK_SAMPLES];
        let samples = match &mut self.converter {
            Some(converter) => {
                converter.convert(&self.input, &mut converted);
                &converted[..]
            }
            None => &self.input,
        };

        for (sample, value) in block.iter_mut().zip(samples) {
            *sample = (value * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
        }

        Ok(())
    }

    /// The next sample, mixed from all channels, between −1 and 1; `None` at the end of the
    /// complete frames.
    fn next_frame(&mut self) -> Result<Option<f32>, DeviceError> {
        let size = self.frame.len() as u64;
        if self.left < size {
            return Ok(None);
        }

        match self.file.read_exact(&mut self.frame) {
            Ok(()) => {}
            // The file has become shorter.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(unreadable(&self.name, &error)),
        }

        self.left -= size;
        self.frames_since_start += 1;
        Ok(Some(self.format.mix(&self.frame)))
    }

    /// Goes back to the first sample.
    fn rewind(&mut self) -> Result<(), DeviceError> {
        (self.left, self.frames_since_start) = (self.format.length, 0);
        self.file
            .seek(SeekFrom::Start(self.format.start))
            .map_err(|error| unreadable(&self.name, &error))?;

        Ok(())
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> DeviceError {
    DeviceError::new(
        MediaErrorCode::FileUnreadable,
        format!("{name} cannot be read ({error}). Check the path and its permissions."),
    )
}

fn bad_format(name: &str, why: &str) -> DeviceError {
    DeviceError::new(
        MediaErrorCode::FileBadFormat,
        format!(
            "{name} cannot be used: {why}. \
             Make a file that can be with: ffmpeg -i AUDIO -ar 48000 -c:a pcm_s16le FILE.wav"
        ),
    )
}

/// A `.wav` file read ahead on its own thread, so that the audio thread never waits for a disk.
#[derive(Debug)]
pub struct WavSource {
    blocks: Receiver<Result<[i16; BLOCK_SAMPLES], DeviceError>>,
}

impl WavSource {
    /// Opens `path` as [`WavReader::open`] does, and starts to read.
    ///
    /// # Errors
    /// Those of [`WavReader::open`].
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let mut reader = WavReader::open(path)?;
        let (sender, blocks) = sync_channel(READ_AHEAD_BLOCKS);
        let read_ahead = move || {
            loop {
                let mut block = [0; BLOCK_SAMPLES];
                let read = reader.read(&mut block).map(|()| block);
                let ended = read.is_err();

                // The queue is full most of the time, so this blocks. It fails once the source is
                // dropped.
                if sender.send(read).is_err() || ended {
                    return;
                }
            }
        };

        std::thread::Builder::new()
            .name("wav reader".into())
            .spawn(read_ahead)
            .map_err(|error| {
                DeviceError::new(
                    MediaErrorCode::FileUnreadable,
                    format!(
                        "The system cannot start another thread ({error}). \
                         Close some programs and try again."
                    ),
                )
            })?;

        Ok(Self { blocks })
    }

    /// Writes the next 10 ms into `block` without waiting: silence if the disk is behind.
    ///
    /// # Errors
    /// Those of [`WavReader::read`].
    pub fn pull(&mut self, block: &mut [i16; BLOCK_SAMPLES]) -> Result<(), DeviceError> {
        match self.blocks.try_recv() {
            Ok(Ok(read)) => *block = read,
            Ok(Err(error)) => return Err(error),
            Err(TryRecvError::Empty) => block.fill(0),
            Err(TryRecvError::Disconnected) => {
                return Err(DeviceError::new(
                    MediaErrorCode::FileUnreadable,
                    "The file is no longer being read. Choose it again.",
                ));
            }
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use hound::{SampleFormat, WavSpec};
    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// A `.wav` file in memory. `sample` gives frame n of channel c, between −1 and 1.
    fn wav(spec: WavSpec, frames: usize, sample: impl Fn(usize, usize) -> f64) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        let scale = ((1u64 << (spec.bits_per_sample - 1)) - 1) as f64;

        for n in 0..frames {
            for c in 0..usize::from(spec.channels) {
                match spec.sample_format {
                    SampleFormat::Float => writer.write_sample(sample(n, c) as f32).unwrap(),
                    SampleFormat::Int => {
                        writer.write_sample((sample(n, c) * scale) as i32).unwrap();
                    }
                }
            }
        }

        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn spec(
        channels: u16,
        sample_rate: u32,
        bits_per_sample: u16,
        sample_format: SampleFormat,
    ) -> WavSpec {
        WavSpec {
            channels,
            sample_rate,
            bits_per_sample,
            sample_format,
        }
    }

    fn read(bytes: &[u8], blocks: usize) -> Vec<i16> {
        let file = file(bytes);
        let mut reader = WavReader::open(file.path()).unwrap();
        let mut samples = Vec::new();

        for _ in 0..blocks {
            let mut block = [0; BLOCK_SAMPLES];
            reader.read(&mut block).unwrap();
            samples.extend(block);
        }

        samples
    }

    fn sine(n: usize, rate: u32) -> f64 {
        0.5 * (std::f64::consts::TAU * 440.0 * n as f64 / f64::from(rate)).sin()
    }

    #[test]
    fn every_common_format_is_read() {
        use SampleFormat::{Float, Int};
        for (bits, format, tolerance) in [
            (8, Int, 520.0),
            (16, Int, 2.0),
            (24, Int, 2.0),
            (32, Int, 2.0),
            (32, Float, 2.0),
        ] {
            for channels in [1, 2] {
                // The second channel is silent, so mixing halves the sine.
                let bytes = wav(spec(channels, 48_000, bits, format), 48_000, |n, c| {
                    if c == 0 { sine(n, 48_000) } else { 0.0 }
                });

                for (n, sample) in read(&bytes, 100).iter().enumerate() {
                    let expected = sine(n, 48_000) * 32_768.0 / f64::from(channels);
                    let error = (f64::from(*sample) - expected).abs();
                    assert!(
                        error < tolerance,
                        "sample {n} of {channels} x {bits} bit {format:?} is off by {error}"
                    );
                }
            }
        }
    }

    #[test]
    fn other_rates_keep_pitch_and_loudness() {
        for rate in [8_000, 22_050, 44_100, 96_000] {
            let bytes = wav(
                spec(1, rate, 16, SampleFormat::Int),
                rate as usize,
                |n, _| sine(n, rate),
            );
            let samples = read(&bytes, 90);
            let crossings = samples[4_800..]
                .windows(2)
                .filter(|pair| pair[0] < 0 && pair[1] >= 0)
                .count();

            assert!(
                crossings.abs_diff(352) <= 1,
                "440 Hz stays 440 Hz from {rate} Hz: {crossings} periods in 0.8 s"
            );

            let peak = samples[4_800..]
                .iter()
                .map(|sample| sample.unsigned_abs())
                .max()
                .unwrap();

            assert!(
                peak.abs_diff(16_384) < 200,
                "the level is kept from {rate} Hz: {peak}"
            );
        }
    }

    #[test]
    fn the_file_is_played_in_a_loop() {
        let bytes = wav(spec(1, 48_000, 16, SampleFormat::Int), 700, |n, _| {
            n as f64 / 1_000.0
        });

        let samples = read(&bytes, 10);
        assert!(
            samples[..700] == samples[700..1400],
            "the first sample follows the last"
        );
    }

    #[test]
    fn a_truncated_file_is_played_as_far_as_it_goes() {
        let whole = wav(spec(2, 48_000, 16, SampleFormat::Int), 4_800, |n, _| {
            sine(n, 48_000)
        });

        let cut = &whole[..whole.len() - 4_801];
        // 4,801 bytes cut off 1,201 frames, the last of them only in part.
        let samples = read(cut, 20);
        assert!(
            samples[..3_599] == read(&whole, 20)[..3_599],
            "the complete frames are played"
        );
        assert!(
            samples[3_599..7_198] == samples[..3_599],
            "then the file starts over"
        );
    }

    #[test]
    fn broken_files_are_refused_as_a_bad_format() {
        let header = wav(spec(1, 48_000, 16, SampleFormat::Int), 0, |_, _| 0.0);
        let bad_rate = wav(spec(1, 1, 16, SampleFormat::Int), 100, |_, _| 0.0);

        for (bytes, why) in [
            (&b""[..], "empty"),
            (b"RIFF", "a bare tag"),
            (b"this is not audio at all but a letter to a friend", "text"),
            (&header, "no samples"),
            (&header[..30], "half a header"),
            (&bad_rate, "one hertz"),
        ] {
            let file = file(bytes);
            let error = WavReader::open(file.path()).expect_err(why);
            assert_eq!(error.code, MediaErrorCode::FileBadFormat, "{why}: {error}");
        }
    }

    #[test]
    fn a_source_reads_ahead_and_stops_when_dropped() {
        let bytes = wav(spec(1, 48_000, 16, SampleFormat::Int), 48_000, |n, _| {
            sine(n, 48_000)
        });

        let file = file(&bytes);
        let mut source = WavSource::open(file.path()).unwrap();
        let expected = read(&bytes, 3);
        // `recv_timeout` gives the thread time to read the first block.
        let first = source
            .blocks
            .recv_timeout(std::time::Duration::from_secs(10))
            .unwrap()
            .unwrap();

        assert_eq!(
            first[..],
            expected[..BLOCK_SAMPLES],
            "the first block is the start of the file"
        );

        let second = source
            .blocks
            .recv_timeout(std::time::Duration::from_secs(10))
            .unwrap()
            .unwrap();

        assert_eq!(
            second[..],
            expected[BLOCK_SAMPLES..2 * BLOCK_SAMPLES],
            "the second block follows it"
        );

        let mut block = [1; BLOCK_SAMPLES];
        source.pull(&mut block).unwrap();
        assert!(
            block[..] == expected[2 * BLOCK_SAMPLES..] || block == [0; BLOCK_SAMPLES],
            "pulling gives the next block, or silence"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            keep in 0usize..60,
        ) {
            // A valid header gets the fuzzed bytes past the first checks.
            let mut all = wav(spec(2, 44_100, 16, SampleFormat::Int), 50, |n, _| n as f64 / 60.0);
            all.truncate(keep);
            all.extend(bytes);

            let file = file(&all);
            if let Ok(mut reader) = WavReader::open(file.path()) {
                let mut block = [0; BLOCK_SAMPLES];
                for _ in 0..5 {
                    let _ = reader.read(&mut block);
                }
            }
        }

        #[test]
        fn audio_at_48_khz_passes_bit_exact(
            samples in proptest::collection::vec(any::<i16>(), 480..1500),
        ) {
            let mut bytes = std::io::Cursor::new(Vec::new());
            let spec = spec(1, 48_000, 16, SampleFormat::Int);
            let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();

            for sample in &samples {
                writer.write_sample(*sample).unwrap();
            }

            writer.finalize().unwrap();
            let samples = read(&bytes.into_inner(), 1);
            prop_assert_eq!(&samples[..], &samples[..BLOCK_SAMPLES]);
        }
    }
}
