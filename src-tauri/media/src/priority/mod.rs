//! How soon the system runs a ready thread, compared with the other threads of the machine.
//!
//! On Linux each thread has a nice value. Most users may only lower the priority of a thread, so a
//! request to raise it goes to rtkit if the system refuses it.

#[cfg(target_os = "linux")]
mod rtkit;

/// Nice value of audio threads, as sound servers use it for theirs.
const AUDIO_NICE: i32 = -11;
/// Nice value of threads whose work comes in long pieces and may finish a little later.
const BACKGROUND_NICE: i32 = 5;

/// Raises the priority of the calling thread, for audio: a late block is audible. Returns at once;
/// if the system refuses, the request goes to rtkit in the background. A machine without rtkit
/// keeps the normal priority, which is no error.
pub(crate) fn raise_for_audio() {
    if set_nice(AUDIO_NICE) {
        return;
    }

    #[cfg(target_os = "linux")]
    rtkit::raise_calling_thread(zbus::connection::Builder::system(), AUDIO_NICE);
}

/// Lowers the priority of the calling thread, for work in long pieces that may finish a little
/// later. On a machine without an idle core the threads that show video would otherwise wait for
/// it.
pub fn lower_thread_priority() {
    set_nice(BACKGROUND_NICE);
}

/// Sets the nice value of the calling thread. Returns whether the system allowed it.
#[cfg(target_os = "linux")]
fn set_nice(nice: i32) -> bool {
    // SAFETY: `setpriority` takes plain numbers. On Linux process id 0 means the calling thread.
    let allowed = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } == 0;
    tracing::debug!(nice, allowed, "requested a priority for this thread");

    allowed
}

/// Does nothing: other systems raise the threads of audio devices on their own, and favor the
/// window in front.
#[cfg(not(target_os = "linux"))]
fn set_nice(_nice: i32) -> bool {
    true
}
