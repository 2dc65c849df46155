//! The signaling server and its client over real sockets, processes and Redis.
//!
//! One binary for all of them: the fixtures exist once, and there is one program to link.

#![allow(
    clippy::disallowed_methods,
    reason = "tests measure real time: here nothing takes it as an argument"
)]

mod support;

mod client;
mod hostile;
mod protocol;
mod protocol_document;
mod ring;
mod ring_only;

#[cfg(unix)]
mod client_refused;
#[cfg(unix)]
mod client_tls;
#[cfg(unix)]
mod edge;
#[cfg(unix)]
mod edge_rooms;
#[cfg(unix)]
mod guest_page;
#[cfg(unix)]
mod moderation;
#[cfg(unix)]
mod program;
#[cfg(unix)]
mod tls;
#[cfg(unix)]
mod turn_server;
#[cfg(unix)]
mod turn_tls;
#[cfg(unix)]
mod webhook;

#[cfg(all(target_os = "linux", feature = "redis"))]
mod clock;
#[cfg(all(unix, feature = "redis"))]
mod cluster;
#[cfg(all(unix, feature = "redis"))]
mod cluster_blocks;
#[cfg(all(unix, feature = "redis"))]
mod cluster_failures;
#[cfg(all(unix, feature = "redis"))]
mod cluster_ring;
#[cfg(all(unix, feature = "redis"))]
mod deploy;
