//! Sounds and device lists with a real sound server.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "tests print what they measure")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests with a real sound server run in real time"
)]

mod devices;
mod remote;
mod ring;
