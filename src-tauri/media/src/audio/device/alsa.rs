//! What is peculiar to ALSA: it lists every way to reach a device as a device, and writes every failed attempt to stderr.

use std::ffi::{CStr, c_char, c_int};
use std::sync::Once;

/// ALSA's own plug-ins: they convert or discard sound, or reach servers that cpal reaches otherwise.
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

/// Whether a person looking for a device means this one. The others can still be named.
///
/// Of the many ways to a device of a card (`hw`, `front`, `surround51`, `dmix`, …) only `plughw` is kept, which takes
/// every format; of the two names of a card only the one that stays when another card is plugged in. What the system's
/// configuration defines by itself (`default`, `pulse`, `pipewire`) is kept too.
pub(super) fn is_for_people(id: &str) -> bool {
    match id.split_once(':') {
        None => !PLUG_INS.contains(&id),
        Some((way, rest)) => {
            let card = rest
                .strip_prefix("CARD=")
                .and_then(|rest| rest.split(',').next());
            way == "plughw" && card.is_some_and(|card| card.parse::<u32>().is_err())
        }
    }
}

// SAFETY: both signatures are those of `alsa_reports.c`.
unsafe extern "C" {
    fn tandem_take_alsa_reports(sink: extern "C" fn(*const c_char)) -> c_int;
}

/// Turns what ALSA would write to stderr into log records, from now on.
pub(super) fn take_reports() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the sink is a function for the whole life of the program and takes what the C side gives it.
        if unsafe { tandem_take_alsa_reports(log) } != 0 {
            tracing::debug!("ALSA keeps writing its reports to stderr");
        }
    });
}

/// At the lowest level: a dying stream reports thousands of times, and what matters comes as an error of the call.
extern "C" fn log(text: *const c_char) {
    // SAFETY: the C side passes a terminated string that lives until this returns.
    let text = unsafe { CStr::from_ptr(text) };
    tracing::trace!(text = %text.to_string_lossy(), "ALSA reports");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_is_listed_once_and_under_a_name_that_stays() {
        for id in [
            "default",
            "pulse",
            "pipewire",
            "plughw:CARD=Loopback,DEV=0",
            "plughw:CARD=C920,DEV=0",
            "my_mix",
        ] {
            assert!(is_for_people(id), "{id} is a device");
        }

        for id in [
            "null",
            "speexrate",
            "hw:CARD=Loopback,DEV=0",
            "plughw:CARD=0,DEV=0",
            "surround51:CARD=PCH,DEV=0",
            "jack",
        ] {
            assert!(!is_for_people(id), "{id} is a way to one, or none");
        }
    }
}
