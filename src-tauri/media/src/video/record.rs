//! Recording of pictures to a `.y4m` file without ever holding up whoever delivers them.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::input::no_thread;
use super::y4m::{Y4mWriter, unwritable};
use crate::error::{DeviceError, MediaEvent, MediaEvents, MediaPart};
use crate::frame::I420;

/// Pictures that may wait for the disk: a quarter of a second, so that the pool of images is not drained.
const QUEUE: usize = 8;

/// Writes pictures to a file on its own thread. The first picture sets the size; others are scaled to it.
#[derive(Debug)]
pub struct VideoRecorder {
    queue: SyncSender<Arc<I420>>,
    dropped: AtomicU64,
    thread: JoinHandle<Result<u64, DeviceError>>,
}

/// What a recording came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Pictures in the file.
    pub written: u64,
    /// Pictures that came faster than the disk took them, or after it failed.
    pub dropped: u64,
}

impl VideoRecorder {
    /// Creates or replaces the file at `path`, whose header will say `fps`. A later failure is reported once through
    /// `events` as [`MediaPart::Recording`].
    ///
    /// # Errors
    /// `FILE_UNWRITABLE`, `DISK_FULL`.
    pub fn new(path: &Path, fps: f32, events: MediaEvents) -> Result<Self, DeviceError> {
        let file = File::create(path).map_err(|error| unwritable(&error))?;
        let (queue, pictures) = sync_channel(QUEUE);
        let thread = Builder::new()
            .name("video-recorder".to_owned())
            .spawn(move || {
                let result = write_pictures(file, fps, &pictures);
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

    /// Adds a picture, or drops it if the disk is too slow or has failed. Never blocks.
    pub fn record(&self, image: Arc<I420>) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(image)
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pictures dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is queued and closes the file.
    ///
    /// # Errors
    /// The failure that stopped the recording, if any.
    pub fn finish(self) -> Result<Recorded, DeviceError> {
        let dropped = self.dropped();
        drop(self.queue);
        let written = self.thread.join().unwrap_or_else(|_| {
            Err(DeviceError::new(
                "FILE_UNWRITABLE",
                "The recording broke off. Record again, and report this as a bug.",
            ))
        })?;

        Ok(Recorded { written, dropped })
    }
}

fn write_pictures(
    file: File,
    fps: f32,
    pictures: &Receiver<Arc<I420>>,
) -> Result<u64, DeviceError> {
    let Ok(first) = pictures.recv() else {
        return Ok(0);
    };

    let mut writer = Y4mWriter::to(BufWriter::new(file), first.width(), first.height(), fps)?;
    writer.write(&first)?;
    drop(first);
    let mut written = 1;

    for image in pictures {
        writer.write(&image)?;
        written += 1;
    }

    writer.finish()?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::video::y4m::Y4mReader;

    fn picture(width: u32, level: u8) -> Arc<I420> {
        let mut image = I420::new(width, 64);
        image.data_mut().fill(level);
        Arc::new(image)
    }

    #[test]
    fn what_is_recorded_can_be_read_in_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let recorder = VideoRecorder::new(
            file.path(),
            30.0,
            Arc::new(|event| panic!("nothing failed: {event:?}")),
        )
        .unwrap();

        // The third has another size.
        for (width, level) in [(64, 10), (64, 20), (128, 30)] {
            recorder.record(picture(width, level));
        }

        let recorded = recorder.finish().unwrap();
        assert_eq!(
            recorded,
            Recorded {
                written: 3,
                dropped: 0
            },
            "three fit into the queue"
        );

        let mut reader = Y4mReader::new(BufReader::new(file.reopen().unwrap())).unwrap();
        let mut image = I420::new(64, 64);

        for level in [10, 20, 30] {
            assert!(reader.read(&mut image).unwrap(), "there is a picture");
            assert!(
                image.data().iter().all(|&byte| byte == level),
                "it is the one with {level}"
            );
        }

        assert!(!reader.read(&mut image).unwrap(), "and no more");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_reported_once_and_blocks_nobody() {
        let (sender, receiver) = channel();
        let events: MediaEvents = Arc::new(move |event| sender.send(event).unwrap());
        let recorder = VideoRecorder::new(Path::new("/dev/full"), 30.0, events).unwrap();
        let image = picture(1280, 1);

        for _ in 0..100 {
            recorder.record(Arc::clone(&image));
        }

        let MediaEvent::Failed { part, error } = receiver
            .recv_timeout(Duration::from_secs(10))
            .expect("an event");
        assert_eq!(
            (part, error.code),
            (MediaPart::Recording, "DISK_FULL"),
            "{error}"
        );

        assert!(
            recorder.dropped() > 0,
            "what could not be written is counted"
        );

        assert_eq!(
            recorder.finish().unwrap_err().code,
            "DISK_FULL",
            "the end says it too"
        );
        assert!(receiver.try_recv().is_err(), "once is enough");
    }
}
