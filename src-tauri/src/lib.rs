//! The `tandem` program: [`desktop`] opens its window, [`headless`] makes a call without one, for
//! tests, bots and measurements. [`cli`] decides which.

pub mod cli;
#[cfg(feature = "desktop")]
pub mod desktop;
pub mod devices;
mod embedded;
pub mod error_code;
pub mod headless;
pub mod invite;
mod signals;
pub mod values;
pub mod video_quality;
