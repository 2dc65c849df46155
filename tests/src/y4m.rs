//! Reads uncompressed video files, from a call's recording or from ffmpeg.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// A video in memory: 4:2:0, 8 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// Luma samples per row.
    pub width: usize,
    /// Rows of luma.
    pub height: usize,
    /// The Y, U and V planes of each frame, one after the other.
    pub frames: Vec<Vec<u8>>,
}

impl Video {
    /// Reads a file. Every frame must be complete.
    ///
    /// # Errors
    /// When it is not a complete YUV4MPEG2 file.
    pub fn read(path: &Path) -> Result<Self> {
        let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&data).with_context(|| {
            format!(
                "{} is not a YUV4MPEG2 file that the tests can read",
                path.display()
            )
        })
    }

    fn parse(data: &[u8]) -> Result<Self> {
        let (header, mut rest) = line(data).context("no header")?;
        ensure!(header.starts_with("YUV4MPEG2"), "the signature is missing");
        let parameter = |letter: char| {
            header
                .split(' ')
                .skip(1)
                .find_map(|word| word.strip_prefix(letter))
        };

        let size = |letter| {
            parameter(letter)
                .and_then(|word| word.parse::<usize>().ok())
                .context("no size")
        };

        let (width, height) = (size('W')?, size('H')?);
        if let Some(chroma) = parameter('C') {
            ensure!(
                chroma.starts_with("420") && !chroma.contains("p1"),
                "chroma {chroma} is not 8-bit 4:2:0"
            );
        }

        let length = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
        let mut frames = Vec::new();

        while !rest.is_empty() {
            let (marker, pixels) = line(rest).context("a frame without a marker")?;
            ensure!(
                marker.starts_with("FRAME"),
                "frame {} has no marker",
                frames.len()
            );
            let Some((frame, next)) = pixels.split_at_checked(length) else {
                bail!("frame {} is cut short", frames.len());
            };

            frames.push(frame.to_vec());
            rest = next;
        }

        Ok(Self {
            width,
            height,
            frames,
        })
    }

    /// The luma plane of a frame, `width` bytes per row.
    ///
    /// # Panics
    /// When there is no such frame.
    pub fn luma(&self, frame: usize) -> &[u8] {
        &self.frames[frame][..self.width * self.height]
    }
}

fn line(data: &[u8]) -> Option<(&str, &[u8])> {
    let end = data.iter().take(512).position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&data[..end]).ok()?, &data[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_an_odd_size_is_read() {
        let mut data = b"YUV4MPEG2 W3 H3 F25:1 Ip C420jpeg\n".to_vec();
        for value in [1, 2] {
            data.extend(b"FRAME\n");
            data.extend([value; 9 + 4 + 4]);
        }

        let video = Video::parse(&data).expect("it is well formed");
        assert_eq!(
            (video.frames.len(), video.luma(1)),
            (2, [2; 9].as_slice()),
            "two frames of 3 x 3"
        );

        data.pop();
        assert!(
            Video::parse(&data).is_err(),
            "a frame that is cut short is an error"
        );
    }
}
