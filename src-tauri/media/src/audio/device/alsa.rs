//! Works around two habits of ALSA: it lists every route to a device as a device, and it writes
//! every failed attempt to stderr.

use std::ffi::{CStr, c_char, c_int};
use std::sync::Once;

/// ALSA's own plug-ins. They convert or discard audio, or reach servers that cpal reaches by
/// another device.
const PLUG_INS: [&str; 11] = [
    "null",
    "lavrate",
    "samplerate",
    "speexrate",
    "speex",
    "upmix",
    "vdownmix",
    "jack",
    "oss",
    "usbstream",
    "a52",
];

/// Whether a user looking for a device means this one. The others can still be named explicitly.
///
/// Of the many routes to a device of a card (`hw`, `front`, `surround51`, `dmix`, …) only `plughw`
/// is kept, which accepts every format. Of the two names of a card only the one that stays the same
/// when another card is plugged in is kept. Devices that the system's configuration defines
/// (`default`, `pulse`, `pipewire`) are kept too.
pub(super) fn is_user_facing(id: &str) -> bool {
    match id.split_once(':') {
        None => !PLUG_INS.contains(&id),
        Some((route, rest)) => {
            let card = rest
                .strip_prefix("CARD=")
                .and_then(|rest| rest.split(',').next());
            route == "plughw" && card.is_some_and(|card| card.parse::<u32>().is_err())
        }
    }
}

// SAFETY: both signatures are those of `alsa_reports.c`.
unsafe extern "C" {
    fn tandem_redirect_alsa_reports(sink: extern "C" fn(*const c_char)) -> c_int;
}

/// From now on, logs what ALSA would write to stderr.
pub(super) fn redirect_reports() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the sink is a function, so it lives as long as the program, and it takes what the
        // C side passes.
        if unsafe { tandem_redirect_alsa_reports(log) } != 0 {
            tracing::debug!("ALSA refused our error handler: it keeps writing to stderr");
        }
    });
}

/// Logs at trace level: a dying stream reports thousands of times, and what matters also arrives as
/// an error of the call.
extern "C" fn log(text: *const c_char) {
    // SAFETY: the C side passes a terminated string that lives until this returns.
    let text = unsafe { CStr::from_ptr(text) };
    tracing::trace!(text = %text.to_string_lossy(), "ALSA report");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_is_listed_once_under_a_stable_name() {
        for id in [
            "default",
            "pulse",
            "pipewire",
            "plughw:CARD=Loopback,DEV=0",
            "plughw:CARD=C920,DEV=0",
            "my_mix",
        ] {
            assert!(is_user_facing(id), "{id} is shown to the user");
        }

        for id in [
            "null",
            "speexrate",
            "hw:CARD=Loopback,DEV=0",
            "plughw:CARD=0,DEV=0",
            "surround51:CARD=PCH,DEV=0",
            "jack",
        ] {
            assert!(
                !is_user_facing(id),
                "{id} is another route to a device, or not one"
            );
        }
    }
}
