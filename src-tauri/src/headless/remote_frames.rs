//! What a headless call does with the partner's frames: measures them, keeps the last one, and
//! records them.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: converts the decode time of a frame to Unix time"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tandem_media::video::record::VideoRecorder;
use tandem_media::video::snapshot::write_png;
use tandem_media::video::test_pattern;
use tandem_media::{DeviceError, I420, VideoFrame};

use super::measure::PatternMeter;

/// Receives every decoded frame of the partner, on the decode thread.
#[derive(Debug)]
pub struct RemoteFrames {
    received: Mutex<Received>,
}

#[derive(Debug)]
struct Received {
    meter: PatternMeter,
    last: Option<Arc<I420>>,
    recorder: Option<VideoRecorder>,
}

impl RemoteFrames {
    /// With `record`, also writes every frame to that `.y4m` file, with `fps` in its header.
    ///
    /// # Errors
    /// `FILE_UNWRITABLE` or `DISK_FULL` when the file cannot be created.
    pub fn new(record: Option<&Path>, fps: f32) -> Result<Self, DeviceError> {
        // `finish` reports failures of the recording, so the events are ignored.
        let recorder = record
            .map(|path| VideoRecorder::new(path, fps, Arc::new(|_| {})))
            .transpose()?;
        Ok(Self {
            received: Mutex::new(Received {
                meter: PatternMeter::default(),
                last: None,
                recorder,
            }),
        })
    }

    /// Takes one frame. Returns within a fraction of a millisecond.
    pub fn on_frame(&self, frame: &VideoFrame) {
        let code = test_pattern::read(&frame.image);
        let mut received = self.received.lock();

        if let Some(code) = code {
            received
                .meter
                .on_frame(code.frame, code.unix_ms, unix_ms_at(frame.at));
        }

        if let Some(recorder) = &received.recorder {
            recorder.record(Arc::clone(&frame.image));
        }

        received.last = Some(Arc::clone(&frame.image));
    }

    /// A copy of the measurements so far.
    pub fn measured(&self) -> PatternMeter {
        self.received.lock().meter.clone()
    }

    /// Saves the last frame as PNG. `Ok(false)`: no frame was received.
    ///
    /// # Errors
    /// `FILE_UNWRITABLE` or `DISK_FULL`.
    pub fn save_last(&self, path: &Path) -> Result<bool, DeviceError> {
        let last = self.received.lock().last.clone();
        last.map(|image| write_png(path, &image))
            .transpose()
            .map(|saved| saved.is_some())
    }

    /// Ends the recording and waits until it is on the disk. Returns a warning for the user if it
    /// is not complete.
    pub fn finish(&self) -> Option<String> {
        let recorder = self.received.lock().recorder.take()?;
        match recorder.finish() {
            Ok(recorded) if recorded.dropped > 0 => Some(format!(
                "{} frames are missing in the video recording: the disk was too slow.",
                recorded.dropped
            )),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        }
    }
}

/// The Unix time in ms at `instant`, which lies in the recent past.
fn unix_ms_at(instant: Instant) -> f64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (now.as_secs_f64() - instant.elapsed().as_secs_f64()) * 1000.0
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::time::Duration;

    use tandem_media::video::y4m::Y4mReader;

    use super::*;

    fn frame(number: u16, age: Duration) -> VideoFrame {
        let drawn_at = Instant::now().checked_sub(age).unwrap();
        let mut image = I420::new(320, 240);
        // The stamp is modulo 2^32.
        test_pattern::draw(&mut image, number, unix_ms_at(drawn_at) as u64 as u32);

        VideoFrame {
            image: Arc::new(image),
            at: Instant::now(),
            rtp_timestamp: 0,
        }
    }

    #[test]
    fn frames_are_measured_and_recorded_and_the_last_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (video, png) = (folder.path().join("a.y4m"), folder.path().join("a.png"));
        let frames = RemoteFrames::new(Some(&video), 30.0).unwrap();

        assert!(
            !frames.save_last(&png).unwrap(),
            "there is no frame to save yet"
        );

        for number in [7, 8, 10] {
            frames.on_frame(&frame(number, Duration::from_millis(500)));
        }

        assert_eq!(frames.finish(), None, "the recording is complete");
        let measured = frames.measured();
        let latency = measured.glass_to_glass_ms(0.5).unwrap();

        assert!(
            (500.0..10_000.0).contains(&latency),
            "the frames are half a second old, measured {latency} ms"
        );
        assert_eq!(measured.missing, 1, "frame 9 is missing");
        assert!(
            frames.save_last(&png).unwrap(),
            "there is a frame to save now"
        );
        assert_eq!(std::fs::read(&png).unwrap()[..4], *b"\x89PNG", "a PNG file");
        let mut reader =
            Y4mReader::new(BufReader::new(std::fs::File::open(&video).unwrap())).unwrap();
        let mut image = I420::new(320, 240);

        for number in [7, 8, 10] {
            assert!(
                reader.read(&mut image).unwrap(),
                "frame {number} is in the file"
            );

            assert_eq!(
                test_pattern::read(&image).map(|code| code.frame),
                Some(number),
                "in order"
            );
        }

        assert!(!reader.read(&mut image).unwrap(), "nothing follows");
    }

    #[test]
    fn a_recording_that_cannot_be_created_is_an_error() {
        let error = RemoteFrames::new(Some(Path::new("no/such/folder/a.y4m")), 30.0).unwrap_err();
        assert_eq!(error.code.as_str(), "FILE_UNWRITABLE", "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_becomes_a_warning_and_does_not_block_the_decoder() {
        let frames = RemoteFrames::new(Some(Path::new("/dev/full")), 30.0).unwrap();
        for number in 0..20 {
            frames.on_frame(&frame(number, Duration::ZERO));
        }

        let warning = frames.finish().expect("nothing fits on a full disk");
        assert!(warning.contains("DISK_FULL"), "names the code: {warning}");
    }
}
