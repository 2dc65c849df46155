//! How soon the system runs a thread that is ready, against the others of this machine.

/// Raises the priority of the calling thread as far as the user is allowed to: for sound, which is heard when it is
/// late. Being refused is normal.
pub(crate) fn wake_this_thread_promptly() {
    // As sound servers do for their own threads.
    set(-11);
}

/// Lowers the priority of the calling thread: for work in long pieces that may end a little later. On a machine without
/// a core to spare the threads that show pictures would wait for it.
pub fn let_others_first() {
    set(5);
}

#[cfg(target_os = "linux")]
fn set(nice: libc::c_int) {
    // SAFETY: `setpriority` takes plain numbers; on Linux a process id of 0 means the calling thread.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } != 0;
    tracing::debug!(nice, refused, "asked for another priority of this thread");
}

/// Other systems give the threads of sound devices their priority by themselves, and favour the window in front.
#[cfg(not(target_os = "linux"))]
fn set(_nice: i32) {}
