//! WAV files as plain samples.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The sample rate of Tandem's recordings and of the tests, in Hz, with one channel.
pub const RATE: u32 = 48_000;

/// Reads a file as mono samples in -1.0 to 1.0; channels are averaged.
///
/// # Errors
/// When it cannot be read, or is not at 48 kHz.
pub fn read(path: &Path) -> Result<Vec<f32>> {
    let mut reader =
        hound::WavReader::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let spec = reader.spec();
    ensure!(
        spec.sample_rate == RATE,
        "{} is at {} Hz, not {RATE}",
        path.display(),
        spec.sample_rate
    );

    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            let scale = 2_f32.powi(1 - i32::from(spec.bits_per_sample));
            reader
                .samples::<i32>()
                .map(|sample| sample.map(|value| value as f32 * scale))
                .collect::<Result<_, _>>()?
        }
    };

    let channels = usize::from(spec.channels);
    Ok(samples
        .chunks_exact(channels)
        .map(|frame| frame.iter().sum::<f32>() / channels as f32)
        .collect())
}

/// Writes mono samples in -1.0 to 1.0 as 16-bit at 48 kHz.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, samples: &[f32]) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };

    let mut writer = hound::WavWriter::create(path, spec)
        .with_context(|| format!("cannot write {}", path.display()))?;
    for sample in samples {
        writer.write_sample((sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16)?;
    }

    writer.finalize().context("cannot complete the file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_returns_what_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ramp.wav");
        let ramp: Vec<f32> = (0..480).map(|index| index as f32 / 480.0 - 0.5).collect();
        write(&path, &ramp).expect("written");
        let read = read(&path).expect("read");
        let worst = ramp
            .iter()
            .zip(&read)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);

        assert!(
            read.len() == 480 && worst < 1e-4,
            "16 bits are accurate to 1/32768, not {worst}"
        );
    }
}
