//! A `.y4m` file as a video source, played in a loop at its own rate.
#![expect(clippy::disallowed_methods, reason = "a shell: plays in real time")]

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::VideoFormat;
use super::schedule::Schedule;
use super::worker::{StopSignal, Worker};
use super::y4m::{Y4mError, Y4mHeader, Y4mReader};
use crate::error::{DeviceError, MediaErrorCode, MediaEvent, MediaEvents, MediaPart};
use crate::frame::{FramePool, I420, VideoFrame};
use crate::slot::NewestSlot;

/// The smallest width and height, in pixels, that the encoders accept.
const MIN_SIDE: u32 = 16;
/// The read buffer, in bytes.
const READ_AHEAD: usize = 256 * 1024;

/// Makes a file that can be played of any video: progressive, not too large or too small, at a usual
/// rate, 8-bit 4:2:0.
const CONVERT: &str = "ffmpeg -i VIDEO -vf yadif=deint=interlaced,scale=1280:720:force_original_aspect_ratio=decrease,\
pad=1280:720:-1:-1 -r 30 -pix_fmt yuv420p FILE.y4m";

/// Opens the file, reads its first frame and starts to play it.
pub(super) fn open(
    path: &Path,
    frames: Arc<NewestSlot<VideoFrame>>,
    events: MediaEvents,
) -> Result<(VideoFormat, Worker), DeviceError> {
    let file = File::open(path).map_err(|error| device_error(&error.into()))?;
    let mut player = Player::new(file).map_err(|error| device_error(&error))?;
    let header = player.header;

    if header.width < MIN_SIDE || header.height < MIN_SIDE {
        return Err(bad_format(&format!(
            "its frames of {}x{} are smaller than {MIN_SIDE} pixels on a side",
            header.width, header.height
        )));
    }

    let first = player.next().map_err(|error| device_error(&error))?;
    let first = first.ok_or_else(|| bad_format("it has no whole frame"))?;
    let format = VideoFormat {
        width: header.width,
        height: header.height,
        fps: header.fps() as f32,
    };

    let worker = Worker::spawn("video-file", move |stop| {
        if let Err(error) = play(&mut player, first, &frames, stop) {
            frames.close();
            events(MediaEvent::Failed {
                part: MediaPart::Camera,
                error: device_error(&error),
            });
        }
    })?;

    Ok((format, worker))
}

fn device_error(error: &Y4mError) -> DeviceError {
    match error {
        Y4mError::Io(error) => DeviceError::new(
            MediaErrorCode::FileUnreadable,
            format!("The video file cannot be read: {error}. Check its name and its permissions."),
        )
        .caused_by(error),
        other => bad_format(&other.to_string()).caused_by(other),
    }
}

fn bad_format(why: &str) -> DeviceError {
    DeviceError::new(
        MediaErrorCode::FileBadFormat,
        format!("The video file cannot be played: {why}. Make one that can with: {CONVERT}"),
    )
}

/// Reads the frames of a file, which can start over.
struct Player {
    reader: Y4mReader<BufReader<File>>,
    header: Y4mHeader,
    pool: FramePool,
}

/// Why a buffer was not filled: at the end of the file that is not an error.
enum Unfilled {
    End,
    Failed(Y4mError),
}

impl Player {
    fn new(file: File) -> Result<Self, Y4mError> {
        let reader = Y4mReader::new(BufReader::with_capacity(READ_AHEAD, file))?;
        Ok(Self {
            header: reader.header(),
            reader,
            pool: FramePool::new(),
        })
    }

    /// The next frame, or `None` at the end.
    fn next(&mut self) -> Result<Option<Arc<I420>>, Y4mError> {
        let filled = self
            .pool
            .make(self.header.width, self.header.height, |image| {
                match self.reader.read(image) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Unfilled::End),
                    Err(error) => Err(Unfilled::Failed(error)),
                }
            });

        match filled {
            Ok(image) => Ok(Some(image)),
            Err(Unfilled::End) => Ok(None),
            Err(Unfilled::Failed(error)) => Err(error),
        }
    }

    fn rewind(&mut self) -> Result<(), Y4mError> {
        let mut file = self.reader.get_ref().get_ref();
        file.seek(SeekFrom::Start(0))?;
        let reader = Y4mReader::new(BufReader::with_capacity(READ_AHEAD, file.try_clone()?))?;

        if reader.header() != self.header {
            return Err(Y4mError::Changed);
        }

        self.reader = reader;
        Ok(())
    }
}

fn play(
    player: &mut Player,
    first: Arc<I420>,
    frames: &NewestSlot<VideoFrame>,
    stop: &StopSignal,
) -> Result<(), Y4mError> {
    let mut schedule = Schedule::new(Instant::now(), player.header.fps());
    // Each frame is read before it is due, so that a slow disk does not delay it.
    let mut image = first;

    loop {
        let (due, _) = schedule.next(Instant::now());
        if !stop.sleep_until(due) {
            return Ok(());
        }

        frames.put(VideoFrame {
            image,
            at: Instant::now(),
            rtp_timestamp: 0,
        });

        image = match player.next()? {
            Some(next) => next,
            None => {
                player.rewind()?;
                player.next()?.ok_or(Y4mError::Changed)?
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::video::y4m::Y4mWriter;

    fn file_of(levels: &[u8], cut: usize) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Y4mWriter::new(file.path(), 16, 16, 100.0).unwrap();

        for &level in levels {
            let mut image = I420::new(16, 16);
            image.data_mut().fill(level);
            writer.write(&image).unwrap();
        }

        writer.finish().unwrap();
        let length = file.as_file().metadata().unwrap().len();
        file.as_file().set_len(length - cut as u64).unwrap();

        file
    }

    #[test]
    fn a_file_cut_off_in_its_last_frame_loops_over_the_whole_ones() {
        let file = file_of(&[1, 2, 3], 100);
        let frames = Arc::new(NewestSlot::new());
        let events: MediaEvents = Arc::new(|event| panic!("nothing may fail here: {event:?}"));
        let (format, worker) = open(file.path(), Arc::clone(&frames), events).unwrap();

        assert_eq!(
            format,
            VideoFormat {
                width: 16,
                height: 16,
                fps: 100.0
            },
            "the format of the file"
        );

        let start = Instant::now();
        let levels: Vec<u8> = (0..20)
            .map(|_| {
                frames
                    .take(Duration::from_secs(10))
                    .expect("a frame in time")
                    .image
                    .data()[0]
            })
            .collect();

        assert!(
            start.elapsed() >= Duration::from_millis(150),
            "20 frames at 100 fps take their time"
        );

        assert!(
            levels.contains(&1) && levels.contains(&2),
            "the whole frames repeat: {levels:?}"
        );
        assert!(
            !levels.contains(&3),
            "the cut one never appears: {levels:?}"
        );
        drop(worker);
    }

    #[test]
    fn damage_in_the_middle_is_reported_once_and_closes_the_slot() {
        let mut file = file_of(&[1, 2], 0);
        file.as_file_mut().seek(SeekFrom::End(-390)).unwrap();
        file.write_all(b"XXXXX").unwrap();
        let frames = Arc::new(NewestSlot::new());
        let (sender, receiver) = channel();
        let events: MediaEvents = Arc::new(move |event| sender.send(event).unwrap());
        let (_, worker) = open(file.path(), Arc::clone(&frames), events).unwrap();
        let (part, error) = receiver
            .recv_timeout(Duration::from_secs(10))
            .expect("an event")
            .into_failure()
            .expect("a failure");

        assert_eq!(
            (part, error.code),
            (MediaPart::Camera, MediaErrorCode::FileBadFormat),
            "{error}"
        );
        assert!(frames.is_closed(), "readers are notified, too");
        drop(worker);

        assert!(receiver.try_recv().is_err(), "it is reported once");
    }

    #[test]
    fn unusable_files_are_refused_at_once() {
        let open_code = |path: &Path| {
            open(path, Arc::new(NewestSlot::new()), Arc::new(|_| ()))
                .expect_err("it cannot be played")
                .code
        };

        assert_eq!(
            open_code(Path::new("/nowhere/at/all.y4m")),
            MediaErrorCode::FileUnreadable,
            "no such file"
        );

        assert_eq!(
            open_code(file_of(&[1], 10).path()),
            MediaErrorCode::FileBadFormat,
            "no whole frame"
        );

        let text = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(text.path(), "hello").unwrap();
        assert_eq!(
            open_code(text.path()),
            MediaErrorCode::FileBadFormat,
            "not a .y4m file"
        );
    }
}
