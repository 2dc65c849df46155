//! The relay: [`Relay::builder`] sets it up, [`Relay::shutdown`] ends it properly.
//!
//! Inside, the hub and its matchmaker know no sockets and no clock; around them stands one task for each connection and
//! one that accepts. Every queue is bounded, and every wait for a client has a limit.

mod connection;
mod edge;
mod greet;
mod http;
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "only Redis speaks with other nodes")
)]
mod hub;
mod ice;
mod matchmaker;
mod outbound;
mod relay;
mod shared;
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "only Redis speaks with other nodes")
)]
mod store;
mod tighten;

pub use connection::socket_config;
#[doc(hidden)]
pub use http::answer_upgrade;
pub use relay::{Relay, RelayBuilder, RelayError};
