//! Notices when microphones or speakers come, go, or become the default.

#[cfg(target_os = "linux")]
mod linux;

/// Called after each change, on the watch's thread.
pub type DevicesChanged = Box<dyn FnMut() + Send>;

/// A watch over the system's audio devices. Dropping it ends it; `changed` is not called after
/// that.
///
/// On Linux the sound server reports changes at once. Without one, the watch looks for sound cards,
/// and for a server, every 2 s. Elsewhere nothing is reported.
#[derive(Debug)]
pub struct AudioDeviceWatch {
    #[cfg(target_os = "linux")]
    _thread: linux::WatchThread,
}

impl AudioDeviceWatch {
    /// Starts watching. `changed` is called after each change from now on.
    #[must_use]
    pub fn start(changed: DevicesChanged) -> Self {
        #[cfg(target_os = "linux")]
        return Self {
            _thread: linux::WatchThread::start(changed),
        };

        #[cfg(not(target_os = "linux"))]
        {
            drop(changed);
            Self {}
        }
    }
}
