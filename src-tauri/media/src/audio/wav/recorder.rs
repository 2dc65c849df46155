//! Records what is heard to a `.wav` file.

use std::fs::File;
use std::io::{BufWriter, ErrorKind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::audio::{BLOCK, SAMPLE_RATE};
use crate::error::DeviceError;

/// Blocks that may wait for the disk: 3 s.
const QUEUE_BLOCKS: usize = 300;
/// Blocks after which the header is brought up to date: whatever happens later, the file is valid up to here.
const HEADER_BLOCKS: u64 = 100;

const SPEC: WavSpec = WavSpec {
    channels: 1,
    sample_rate: SAMPLE_RATE,
    bits_per_sample: 16,
    sample_format: SampleFormat::Int,
};

/// A recording in progress, written on its own thread. Dropping it completes the file.
#[derive(Debug)]
pub struct WavRecorder {
    queue: Option<SyncSender<[i16; BLOCK]>>,
    thread: Option<JoinHandle<()>>,
    dropped: u64,
}

impl WavRecorder {
    /// Creates (or empties) the file at `path`. When writing fails later, `failed` is called once from the recorder's
    /// thread with `DISK_FULL` or `FILE_UNWRITABLE`, and the recording ends; what was written stays playable.
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
        let (queue, blocks) = sync_channel(QUEUE_BLOCKS);
        let thread = std::thread::Builder::new()
            .name("wav recorder".into())
            .spawn(move || {
                if let Err(error) = write(writer, &blocks) {
                    failed(explain(&name, &error));
                }
            })
            .map_err(|error| {
                DeviceError::new(
                    "FILE_UNWRITABLE",
                    format!("No thread to record with: {error}."),
                )
            })?;

        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            dropped: 0,
        })
    }

    /// Adds 10 ms. Never waits: if the disk is 3 s behind, the block is left out and counted.
    pub fn push(&mut self, block: &[i16; BLOCK]) {
        if let Some(queue) = &self.queue
            && let Err(TrySendError::Full(_)) = queue.try_send(*block)
        {
            self.dropped += 1;
        }
    }

    /// Blocks that were left out because the disk was too slow.
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
            tracing::error!("the recorder's thread panicked");
        }
    }
}

/// Writes until the queue is closed.
fn write(
    mut writer: WavWriter<BufWriter<File>>,
    blocks: &Receiver<[i16; BLOCK]>,
) -> Result<(), hound::Error> {
    let mut written = 0u64;
    writer.flush()?;

    while let Ok(block) = blocks.recv() {
        for sample in block {
            writer.write_sample(sample)?;
        }

        written += 1;
        if written.is_multiple_of(HEADER_BLOCKS) {
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
                "DISK_FULL",
                format!("No room is left to record {name}. Free some space and record anew."),
            )
        }
        other => DeviceError::new(
            "FILE_UNWRITABLE",
            format!("{name} cannot be written ({other}). Choose a folder that you may write to."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_recording_holds_what_was_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard.wav");
        let mut recorder =
            WavRecorder::create(&path, |error| panic!("nothing can go wrong here: {error}"))
                .unwrap();
        let block: [i16; BLOCK] = std::array::from_fn(|n| n as i16 * 60 - 14_000);

        for _ in 0..250 {
            recorder.push(&block);
        }

        assert_eq!(recorder.dropped(), 0, "the queue holds 3 s");
        drop(recorder);
        let mut reader = hound::WavReader::open(&path).unwrap();

        assert_eq!(reader.spec(), SPEC, "48 kHz, mono, 16 bit");
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(samples.len(), 250 * BLOCK, "every block is there");
        assert!(
            samples.chunks(BLOCK).all(|chunk| chunk == block),
            "and none is changed"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_at_once() {
        let error = WavRecorder::create(Path::new("/no/such/folder/x.wav"), |_| {}).unwrap_err();
        assert_eq!(
            error.code, "FILE_UNWRITABLE",
            "the file cannot be made: {error}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_once_and_stops_nothing_else() {
        let (tx, rx) = mpsc::channel();
        let error =
            match WavRecorder::create(Path::new("/dev/full"), move |error| tx.send(error).unwrap())
            {
                // A buffer may hide it until the first header is written out.
                Ok(mut recorder) => {
                    for _ in 0..500 {
                        recorder.push(&[1; BLOCK]);
                    }

                    let error = rx
                        .recv_timeout(Duration::from_secs(10))
                        .expect("the failure is told");
                    drop(recorder);
                    assert!(rx.recv().is_err(), "it is told only once");

                    error
                }

                Err(error) => error,
            };

        assert_eq!(
            error.code, "DISK_FULL",
            "a full disk has its own code: {error}"
        );
    }
}
