//! The crate against a message bus of the test's own, with stand-ins for a desktop's services.

#![cfg(target_os = "linux")]

mod color_scheme;
mod keep_awake;
mod mock;
mod notifications;
