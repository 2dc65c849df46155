//! What a headless call does with the partner's pictures: it measures them, keeps the last one, and records them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tandem_media::video::record::VideoRecorder;
use tandem_media::video::snapshot::write_png;
use tandem_media::video::test_pattern;
use tandem_media::{DeviceError, I420, VideoFrame};

use super::measure::PatternMeter;

/// Takes every decoded picture on the decode thread.
#[derive(Debug)]
pub struct RemotePictures {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    meter: PatternMeter,
    last: Option<Arc<I420>>,
    recorder: Option<VideoRecorder>,
}

impl RemotePictures {
    /// Measures and keeps; with `record`, writes every picture to that `.y4m` file, whose header says `fps`.
    ///
    /// # Errors
    /// `FILE_UNWRITABLE` or `DISK_FULL` when the file cannot be created.
    pub fn new(record: Option<&Path>, fps: f32) -> Result<Self, DeviceError> {
        // A failure while recording is told by `finish`, once, with what it came to.
        let recorder = record
            .map(|path| VideoRecorder::new(path, fps, Arc::new(|_| {})))
            .transpose()?;
        Ok(Self {
            state: Mutex::new(State {
                meter: PatternMeter::default(),
                last: None,
                recorder,
            }),
        })
    }

    /// Takes one picture. Returns within a fraction of a millisecond.
    pub fn on_picture(&self, picture: &VideoFrame) {
        let code = test_pattern::read(&picture.image);
        let mut state = self.lock();

        if let Some(code) = code {
            state
                .meter
                .on_picture(code.frame, code.unix_ms, unix_ms_at(picture.at));
        }

        if let Some(recorder) = &state.recorder {
            recorder.record(Arc::clone(&picture.image));
        }

        state.last = Some(Arc::clone(&picture.image));
    }

    /// What was measured so far.
    pub fn measured(&self) -> PatternMeter {
        self.lock().meter.clone()
    }

    /// Saves the last picture as PNG. `Ok(false)`: there was none.
    ///
    /// # Errors
    /// `FILE_UNWRITABLE` or `DISK_FULL`.
    pub fn save_last(&self, path: &Path) -> Result<bool, DeviceError> {
        let last = self.lock().last.clone();
        last.map(|image| write_png(path, &image))
            .transpose()
            .map(|saved| saved.is_some())
    }

    /// Ends the recording and waits until it is on the disk. What a person should know about it comes back.
    pub fn finish(&self) -> Option<String> {
        let recorder = self.lock().recorder.take()?;
        match recorder.finish() {
            Ok(recorded) if recorded.dropped > 0 => Some(format!(
                "{} pictures are missing in the video recording: the disk was too slow.",
                recorded.dropped
            )),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Unix time in ms at `instant`, which lies shortly before now.
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

    fn picture(number: u16, age: Duration) -> VideoFrame {
        let made = Instant::now().checked_sub(age).unwrap();
        let mut image = I420::new(320, 240);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the stamp is modulo 2^32"
        )]
        test_pattern::draw(&mut image, number, unix_ms_at(made) as u64 as u32);

        VideoFrame {
            image: Arc::new(image),
            at: Instant::now(),
            rtp_timestamp: 0,
        }
    }

    #[test]
    fn pictures_are_measured_and_recorded_and_the_last_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (video, png) = (folder.path().join("a.y4m"), folder.path().join("a.png"));
        let pictures = RemotePictures::new(Some(&video), 30.0).unwrap();

        assert!(
            !pictures.save_last(&png).unwrap(),
            "without a picture nothing is saved"
        );

        for number in [7, 8, 10] {
            pictures.on_picture(&picture(number, Duration::from_millis(500)));
        }

        assert_eq!(pictures.finish(), None, "the recording is complete");
        let measured = pictures.measured();
        let latency = measured.glass_to_glass_ms(0.5).unwrap();

        assert!(
            (500.0..10_000.0).contains(&latency),
            "made half a second ago, so {latency} ms is the age"
        );
        assert_eq!(measured.missing, 1, "9 never came");
        assert!(
            pictures.save_last(&png).unwrap(),
            "the last picture is saved"
        );
        assert_eq!(std::fs::read(&png).unwrap()[..4], *b"\x89PNG", "as PNG");
        let mut reader =
            Y4mReader::new(BufReader::new(std::fs::File::open(&video).unwrap())).unwrap();
        let mut image = I420::new(320, 240);

        for number in [7, 8, 10] {
            assert!(
                reader.read(&mut image).unwrap(),
                "picture {number} is in the file"
            );

            assert_eq!(
                test_pattern::read(&image).map(|code| code.frame),
                Some(number),
                "in its order"
            );
        }

        assert!(!reader.read(&mut image).unwrap(), "and no more");
    }

    #[test]
    fn a_recording_that_cannot_begin_is_an_error() {
        let error = RemotePictures::new(Some(Path::new("no/such/folder/a.y4m")), 30.0).unwrap_err();
        assert_eq!(
            error.code,
            tandem_media::MediaErrorCode::FileUnwritable,
            "{error}"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told_and_holds_up_nobody() {
        let pictures = RemotePictures::new(Some(Path::new("/dev/full")), 30.0).unwrap();
        for number in 0..20 {
            pictures.on_picture(&picture(number, Duration::ZERO));
        }

        let warning = pictures.finish().expect("nothing fits on a full disk");
        assert!(warning.contains("DISK_FULL"), "the code is told: {warning}");
    }
}
