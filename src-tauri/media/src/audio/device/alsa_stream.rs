//! The thread that reads or writes an open ALSA device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use cpal::ErrorKind;

use super::alsa_pcm::RETRY_DELAY;
use super::callback::StreamClock;

/// Reads or writes an open device.
pub(super) trait Transfer: Send + 'static {
    /// What the device is to a user. Names the thread.
    const DEVICE: &'static str;

    /// Waits for the device, and reads or writes what it has or takes. Returns now and then without
    /// having done so.
    fn transfer(&mut self) -> Result<(), alsa::Error>;

    /// Restarts the device after an error. If that fails, the next [`transfer`](Self::transfer)
    /// fails and tries again.
    fn restart(&mut self);
}

/// An open microphone or speaker. Dropping it closes the device before it returns; what a speaker
/// still holds is not heard.
#[derive(Debug)]
pub(super) struct AlsaStream {
    device: &'static str,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AlsaStream {
    /// Starts a thread that runs `transfer` until its device is gone or the stream is dropped.
    /// Errors of the device are reported to `clock`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start<T: Transfer>(
        transfer: T,
        clock: Arc<StreamClock>,
    ) -> Result<Self, cpal::Error> {
        let stopping = Arc::new(AtomicBool::new(false));
        let body = {
            let stopping = Arc::clone(&stopping);
            move || run(transfer, &clock, &stopping)
        };

        let thread = std::thread::Builder::new()
            .name(T::DEVICE.into())
            .spawn(body);
        let thread = thread.map_err(|error| {
            cpal::Error::with_message(ErrorKind::BackendError, error.to_string())
        })?;

        Ok(Self {
            device: T::DEVICE,
            stopping,
            thread: Some(thread),
        })
    }
}

impl Drop for AlsaStream {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        let thread = self.thread.take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            let device = self.device;
            tracing::error!("the {device}'s thread panicked: its audio stopped there");
        }
    }
}

fn run<T: Transfer>(mut transfer: T, clock: &StreamClock, stopping: &AtomicBool) {
    while !stopping.load(Ordering::Acquire) {
        if let Err(error) = transfer.transfer() {
            let error = cpal::Error::from(error);
            clock.report(error.kind());

            if error.kind() == ErrorKind::DeviceNotAvailable {
                return;
            }

            std::thread::sleep(RETRY_DELAY);
            transfer.restart();
        }
    }
}
