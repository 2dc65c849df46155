//! The `tandem` program. Its headless half holds real calls without a window: for tests, for bots, for measuring.

pub mod cli;
#[cfg(feature = "desktop")]
pub mod desktop;
pub mod devices;
mod embedded;
pub mod headless;
pub mod values;
