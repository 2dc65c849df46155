//! The signaling relay of Tandem: it introduces two peers and passes their WebRTC handshake between them.
//!
//! - [`message`]: the wire types of the protocol, version 1; the only place where they are written.
//! - [`client`] (feature `client`): a connection to a relay that reconnects by itself.
//! - [`server`] (feature `server`): the relay, to embed in a program or to run as the binary `tandem-signaling`.
//!
//! An embedded relay takes three lines:
//!
//! ```
//! # #[cfg(feature = "server")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let relay = tandem_signaling::server::Relay::builder().listen("127.0.0.1:0").start().await?;
//! println!("clients connect to ws://{}/ws", relay.local_addr());
//! relay.shutdown().await;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "server"))]
//! # fn main() {}
//! ```

#[cfg(any(feature = "client", feature = "server"))]
mod fault_window;

pub mod message;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod server;
