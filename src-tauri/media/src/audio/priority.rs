//! Asks the system to wake the audio thread promptly.

/// Raises the priority of the calling thread as far as the user is allowed to. Being refused is normal.
#[cfg(target_os = "linux")]
pub(super) fn elevate_this_thread() {
    /// What sound servers use for their own threads.
    const NICE: libc::c_int = -11;
    // SAFETY: `setpriority` takes plain numbers; on Linux a process id of 0 means the calling thread.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0;
    tracing::debug!(refused, "asked for a higher priority of the audio thread");
}

/// Other systems give the threads of sound devices their priority by themselves; this one paces itself well enough.
#[cfg(not(target_os = "linux"))]
pub(super) fn elevate_this_thread() {}
