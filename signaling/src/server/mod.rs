//! The signaling server: [`SignalingServer::builder`] sets it up, [`SignalingServer::shutdown`]
//! ends it.
//!
//! The hub and its matchmaker decide everything and know neither sockets nor clocks. Around them is
//! a shell of tasks: one for each connection, one that accepts them, and, in a cluster, one that
//! talks to the store. Every queue is bounded, and every wait for a client has a timeout.
//!
//! From a socket to the hub and back:
//!
//! - `lifecycle`: the builder, the accepting task, the shutdown.
//! - `handshake`: TLS, the HTTP request (`http`), and whether the client may come in (`edge`).
//! - `guest_page`: the pages for people with a browser, who join a call there or open it in Tandem.
//! - `connection`: one WebSocket; `outbound`: the messages that wait to be written to it.
//! - `shared`: the lock around the hub, and what carries out its effects.
//! - `hub` and `matchmaker`: the rules, sans-IO. `ice`: the TURN credentials they hand out.
//! - `moderation`: reports, bans, and the admin socket.
//! - `store`: Redis, for several nodes. `turn`: the TURN server beside them, a crate of its own.

mod client_key;
mod connection;
mod edge;
mod fuzzing;
mod guest_page;
mod handshake;
mod http;
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "only with Redis are there other nodes")
)]
mod hub;
mod ice;
mod key_file;
mod lifecycle;
mod matchmaker;
mod moderation;
mod outbound;
mod own_networks;
mod shared;
mod shrink;
mod store;
mod turn;
mod turn_test;

pub use connection::socket_config;
#[doc(hidden)]
pub use fuzzing::{admin_command, answer_upgrade};
pub use lifecycle::{SignalingServer, SignalingServerBuilder, StartError};
pub use moderation::admin::{AdminCommand, MAX_ADMIN_COMMAND_BYTES, ask_admin};
pub use turn::{TurnQuotas, TurnSettings};
