//! A TURN server (RFC 8656) for one-to-one calls, over UDP and TCP.
//!
//! [`Server`] decides everything and knows neither sockets nor clocks: it takes a packet, the time
//! and something that opens ports, and returns at most one packet to send. [`Runner`] is the shell
//! around it: the sockets, and the tasks that read them.
//!
//! Two clients of this server that name each other's relayed addresses are joined inside the
//! process: their packets go from one client to the other without leaving through a relayed port.
//! Such a call needs no port but the one that clients connect to.
//!
//! Left out of the RFC: relaying TCP, pairs of ports (EVEN-PORT, RESERVATION-TOKEN),
//! DONT-FRAGMENT, passing on ICMP, and two families in one allocation.

mod allocation;
mod auth;
pub mod client;
mod control;
#[doc(hidden)]
pub mod fuzzing;
pub mod message;
mod peers;
mod quota;
mod revoked;
mod runner;
mod self_test;
mod server;
mod streams;

pub use auth::{message_key, password};
pub use control::{NotTaken, TurnControl};
pub use peers::PeerRules;
pub use quota::Quotas;
pub use revoked::Revocation;
pub use runner::{Runner, RunnerConfig};
pub use self_test::{TestLink, self_test};
pub use server::{
    Client, Config, Destination, Family, Packet, Relay, RelayAddresses, Server, Sockets, Stats,
    Transport,
};
