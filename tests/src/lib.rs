//! Fixtures for the whole-system tests: real programs, devices and browsers, each started for one
//! test and stopped with it, and the arithmetic that compares a call's output with its input.
//!
//! The tests see Tandem from outside: command lines, reports, recordings, exit codes. They share no
//! code with it, so a bug in one of Tandem's readers cannot hide itself.
//!
//! A test whose part of the machine is missing (no QEMU, no browser) skips itself with [`require!`]
//! and the reason; everything else is a failure. The fixtures are Unix processes and Linux devices,
//! so Windows builds none of this.

#![cfg(unix)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests print what they measure"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "fixtures run in real time and wait with deadlines"
)]

pub mod aiortc;
pub mod authority;
pub mod balancer;
pub mod browser;
#[cfg(target_os = "linux")]
pub mod capture;
pub mod clip;
pub mod coturn;
pub mod debian;
pub mod guest;
pub mod guest_browser;
#[cfg(target_os = "linux")]
pub mod linked_hosts;
pub mod message_bus;
pub mod neighbours;
pub mod network;
pub mod notification_server;
pub mod overlay;
pub mod part;
pub mod process;
pub mod proxy;
pub mod pulse;
pub mod redis;
pub mod rogue;
pub mod secure_server;
pub mod server_process;
pub mod signal;
pub mod speech;
pub mod stun;
pub mod tandem;
pub mod tap;
pub mod tinyproxy;
pub mod token;
pub mod wav;
pub mod window;
pub mod wine;
pub mod wire_client;
pub mod y4m;

pub use aiortc::Aiortc;
pub use authority::{Authority, Validity};
pub use balancer::Balancer;
pub use browser::Browser;
#[cfg(target_os = "linux")]
pub use capture::{Capture, Packet, Transport};
pub use coturn::Coturn;
pub use guest::Guest;
pub use guest_browser::GuestBrowser;
#[cfg(target_os = "linux")]
pub use linked_hosts::{LinkedHosts, Vpn};
pub use message_bus::MessageBus;
pub use neighbours::Neighbours;
pub use network::{Entrance, Host, Network};
pub use notification_server::NotificationServer;
pub use overlay::Overlay;
pub use part::Part;
pub use process::{Process, built};
pub use proxy::HttpProxy;
pub use pulse::PulseAudio;
pub use redis::Redis;
pub use secure_server::SecureServer;
pub use server_process::ServerProcess;
pub use tandem::{Outcome, Tandem};
pub use tap::Tap;
pub use tinyproxy::Tinyproxy;
pub use token::token;
pub use window::{Screen, Window};
pub use wire_client::WireClient;
