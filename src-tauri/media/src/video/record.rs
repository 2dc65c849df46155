//! Records frames to a `.y4m` file without ever blocking the thread that delivers them.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::worker::no_thread;
use super::y4m::{Y4mWriter, unwritable};
use crate::error::{DeviceError, MediaErrorCode, MediaEvent, MediaEvents, MediaPart};
use crate::frame::I420;

/// How many frames may wait for the disk: a quarter of a second at 30 frames per second. More would
/// leave the frame pool without free buffers.
const MAX_QUEUED: usize = 8;

/// Writes frames to a file on a thread of its own. The first frame sets the size of the recording;
/// frames of other sizes are scaled to it.
#[derive(Debug)]
pub struct VideoRecorder {
    queue: SyncSender<Arc<I420>>,
    dropped: AtomicU64,
    thread: JoinHandle<Result<u64, DeviceError>>,
}

/// The frame counts of a finished recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Frames in the file.
    pub written: u64,
    /// Frames that were left out because the disk was too slow or had failed.
    pub dropped: u64,
}

impl VideoRecorder {
    /// Creates or replaces the file at `path` and writes `fps` into its header. A later failure
    /// goes to `events` once, as [`MediaPart::Recording`].
    ///
    /// # Errors
    /// `FileUnwritable`, `DiskFull`; `CamTimeout` if the thread does not start.
    pub fn new(path: &Path, fps: f32, events: MediaEvents) -> Result<Self, DeviceError> {
        let file = File::create(path).map_err(|error| unwritable(&error))?;
        let (queue, frames) = sync_channel(MAX_QUEUED);
        let thread = Builder::new()
            .name("video-recorder".to_owned())
            .spawn(move || {
                let result = write_frames(file, fps, &frames);
                if let Err(error) = &result {
                    events(MediaEvent::Failed {
                        part: MediaPart::Recording,
                        error: error.clone(),
                    });
                }

                result
            })
            .map_err(|error| no_thread(&error))?;

        Ok(Self {
            queue,
            dropped: AtomicU64::new(0),
            thread,
        })
    }

    /// Adds a frame, or drops it if the disk is too slow or has failed. Never blocks.
    pub fn record(&self, image: Arc<I420>) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(image)
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many frames were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes the queued frames and closes the file. Blocks until that is done.
    ///
    /// # Errors
    /// The failure that stopped the recording, if any.
    pub fn finish(self) -> Result<Recorded, DeviceError> {
        let dropped = self.dropped();
        drop(self.queue);
        let written = self.thread.join().unwrap_or_else(|_| {
            Err(DeviceError::new(
                MediaErrorCode::FileUnwritable,
                "The recording stopped because of a bug in Tandem. Record again, and report it.",
            ))
        })?;

        Ok(Recorded { written, dropped })
    }
}

/// Writes until the queue is closed, and returns the number of frames.
fn write_frames(file: File, fps: f32, frames: &Receiver<Arc<I420>>) -> Result<u64, DeviceError> {
    let Ok(first) = frames.recv() else {
        return Ok(0);
    };

    let mut writer = Y4mWriter::to(BufWriter::new(file), first.width(), first.height(), fps)?;
    writer.write(&first)?;
    drop(first);
    let mut written = 1;

    for image in frames {
        writer.write(&image)?;
        written += 1;
    }

    writer.finish()?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use crate::video::y4m::Y4mReader;

    fn frame(width: u32, level: u8) -> Arc<I420> {
        let mut image = I420::new(width, 64);
        image.data_mut().fill(level);
        Arc::new(image)
    }

    #[test]
    fn recorded_frames_are_read_back_in_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let recorder = VideoRecorder::new(
            file.path(),
            30.0,
            Arc::new(|event| panic!("nothing may fail here: {event:?}")),
        )
        .unwrap();

        // The third frame has another size.
        for (width, level) in [(64, 10), (64, 20), (128, 30)] {
            recorder.record(frame(width, level));
        }

        let recorded = recorder.finish().unwrap();
        assert_eq!(
            recorded,
            Recorded {
                written: 3,
                dropped: 0
            },
            "the queue holds three frames"
        );

        let mut reader = Y4mReader::new(BufReader::new(file.reopen().unwrap())).unwrap();
        let mut image = I420::new(64, 64);

        for level in [10, 20, 30] {
            assert!(reader.read(&mut image).unwrap(), "there is a frame");
            assert!(
                image.data().iter().all(|&byte| byte == level),
                "it is the one filled with {level}"
            );
        }

        assert!(!reader.read(&mut image).unwrap(), "and no more");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_reported_once_and_blocks_no_thread() {
        use std::sync::mpsc::channel;
        use std::time::Duration;

        let (sender, receiver) = channel();
        let events: MediaEvents = Arc::new(move |event| sender.send(event).unwrap());
        let recorder = VideoRecorder::new(Path::new("/dev/full"), 30.0, events).unwrap();
        let image = frame(1280, 1);

        for _ in 0..100 {
            recorder.record(Arc::clone(&image));
        }

        let (part, error) = receiver
            .recv_timeout(Duration::from_secs(10))
            .expect("an event")
            .into_failure()
            .expect("a failure");
        assert_eq!(
            (part, error.code),
            (MediaPart::Recording, MediaErrorCode::DiskFull),
            "{error}"
        );

        assert!(
            recorder.dropped() > 0,
            "frames that were not written are counted"
        );

        assert_eq!(
            recorder.finish().unwrap_err().code,
            MediaErrorCode::DiskFull,
            "finishing reports it, too"
        );
        assert!(receiver.try_recv().is_err(), "it is reported once");
    }
}
