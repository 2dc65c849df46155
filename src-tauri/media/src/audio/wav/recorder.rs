//! Records received audio to a `.wav` file.

use std::fs::File;
use std::io::{BufWriter, ErrorKind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::audio::{BLOCK_SAMPLES, SAMPLE_RATE};
use crate::error::{DeviceError, MediaErrorCode};

/// Blocks that may wait for the disk: 3 s.
const MAX_QUEUED_BLOCKS: usize = 300;
/// Blocks between updates of the header (1 s): if recording breaks off, the file is valid up to the
/// last update.
const HEADER_INTERVAL_BLOCKS: u64 = 100;

const SPEC: WavSpec = WavSpec {
    channels: 1,
    sample_rate: SAMPLE_RATE,
    bits_per_sample: 16,
    sample_format: SampleFormat::Int,
};

/// A recording in progress, written on its own thread. Dropping it completes the file.
#[derive(Debug)]
pub struct WavRecorder {
    queue: Option<SyncSender<[i16; BLOCK_SAMPLES]>>,
    thread: Option<JoinHandle<()>>,
    dropped: u64,
}

impl WavRecorder {
    /// Creates or truncates the file at `path`. If writing fails later, the recorder's thread calls
    /// `failed` once with `DISK_FULL` or `FILE_UNWRITABLE` and the recording ends. What was written
    /// stays playable.
    ///
    /// # Errors
    /// `FILE_UNWRITABLE` or `DISK_FULL`.
    pub fn create(
        path: &Path,
        failed: impl FnOnce(DeviceError) + Send + 'static,
    ) -> Result<Self, DeviceError> {
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        let file =
            File::create(path).map_err(|error| explain(&name, &hound::Error::IoError(error)))?;
        let writer =
            WavWriter::new(BufWriter::new(file), SPEC).map_err(|error| explain(&name, &error))?;
        let (queue, blocks) = sync_channel(MAX_QUEUED_BLOCKS);
        let thread = std::thread::Builder::new()
            .name("wav recorder".into())
            .spawn(move || {
                if let Err(error) = write(writer, &blocks) {
                    failed(explain(&name, &error));
                }
            })
            .map_err(|error| {
                DeviceError::new(
                    MediaErrorCode::FileUnwritable,
                    format!(
                        "The system cannot start another thread ({error}). \
                         Close some programs and record again."
                    ),
                )
            })?;

        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            dropped: 0,
        })
    }

    /// Adds 10 ms. Never waits: if the disk is 3 s behind, the block is dropped and counted.
    pub fn push(&mut self, block: &[i16; BLOCK_SAMPLES]) {
        if let Some(queue) = &self.queue
            && let Err(TrySendError::Full(_)) = queue.try_send(*block)
        {
            self.dropped += 1;
        }
    }

    /// Blocks dropped because the disk was too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Drop for WavRecorder {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the recorder's thread panicked: the recording may be incomplete");
        }
    }
}

/// Writes blocks until the queue is closed.
fn write(
    mut writer: WavWriter<BufWriter<File>>,
    blocks: &Receiver<[i16; BLOCK_SAMPLES]>,
) -> Result<(), hound::Error> {
    let mut written = 0u64;
    writer.flush()?;

    while let Ok(block) = blocks.recv() {
        for sample in block {
            writer.write_sample(sample)?;
        }

        written += 1;
        if written.is_multiple_of(HEADER_INTERVAL_BLOCKS) {
            writer.flush()?;
        }
    }

    writer.finalize()
}

fn explain(name: &str, error: &hound::Error) -> DeviceError {
    match error {
        hound::Error::IoError(io)
            if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            DeviceError::new(
                MediaErrorCode::DiskFull,
                format!(
                    "The disk is full, so {name} cannot be recorded. \
                     Free some space and record again."
                ),
            )
        }
        other => DeviceError::new(
            MediaErrorCode::FileUnwritable,
            format!("{name} cannot be written ({other}). Choose a folder you can write to."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_holds_every_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard.wav");
        let mut recorder = WavRecorder::create(&path, |error| {
            panic!("recording to a temporary file succeeds: {error}")
        })
        .unwrap();

        let block: [i16; BLOCK_SAMPLES] = std::array::from_fn(|n| n as i16 * 60 - 14_000);
        for _ in 0..250 {
            recorder.push(&block);
        }

        assert_eq!(recorder.dropped(), 0, "the queue holds 3 s");
        drop(recorder);

        let mut reader = hound::WavReader::open(&path).unwrap();
        assert_eq!(reader.spec(), SPEC, "48 kHz, mono, 16 bit");
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(
            samples.len(),
            250 * BLOCK_SAMPLES,
            "every block is recorded"
        );
        assert!(
            samples.chunks(BLOCK_SAMPLES).all(|chunk| chunk == block),
            "no block is changed"
        );
    }

    #[test]
    fn a_missing_folder_is_an_error_at_once() {
        let error = WavRecorder::create(Path::new("/no/such/folder/x.wav"), |_| {}).unwrap_err();
        assert_eq!(
            error.code,
            MediaErrorCode::FileUnwritable,
            "the file cannot be created: {error}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_reported_once() {
        use std::sync::mpsc;
        use std::time::Duration;

        let (tx, rx) = mpsc::channel();
        let error =
            match WavRecorder::create(Path::new("/dev/full"), move |error| tx.send(error).unwrap())
            {
                // A buffer may hide the error until the first header is written.
                Ok(mut recorder) => {
                    for _ in 0..500 {
                        recorder.push(&[1; BLOCK_SAMPLES]);
                    }

                    let error = rx
                        .recv_timeout(Duration::from_secs(10))
                        .expect("the failure is reported");
                    drop(recorder);
                    assert!(rx.recv().is_err(), "the failure is reported only once");

                    error
                }

                Err(error) => error,
            };

        assert_eq!(
            error.code,
            MediaErrorCode::DiskFull,
            "a full disk has its own code: {error}"
        );
    }
}
