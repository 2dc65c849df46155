//! The signaling server of Tandem and its client. The server introduces two people and relays their
//! WebRTC handshake; media never goes through it.
//!
//! - [`message`]: the wire types of the protocol, version 1, and its limits.
//! - [`client`] (feature `client`): a connection to a server that reconnects and resumes by itself.
//! - [`server`] (feature `server`): the server, to embed in a program or to run as the binary
//!   `tandem-signaling`. With the feature `redis`, several servers share their users.
//!
//! `docs/protocol.md` describes the protocol, `docs/operating.md` how to run the server.
//!
//! Two clients meet on an embedded server:
//!
//! ```
//! # #[cfg(not(all(feature = "client", feature = "server")))]
//! # fn main() {}
//! # #[cfg(all(feature = "client", feature = "server"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tandem_signaling::ServerUrl;
//! use tandem_signaling::client::{Client, ClientConfig, ClientEvent};
//! use tandem_signaling::message::{ClientMessage, FindPartner, ServerMessage};
//! use tandem_signaling::server::SignalingServer;
//!
//! let server = SignalingServer::builder().listen("127.0.0.1:0").start().await?;
//! let address: ServerUrl = server.url().parse()?;
//! let (ada, mut ada_events) = Client::connect(ClientConfig::new(address.clone()));
//! let (ben, mut ben_events) = Client::connect(ClientConfig::new(address));
//!
//! for (client, events) in [(&ada, &mut ada_events), (&ben, &mut ben_events)] {
//!     while let Some(event) = events.recv().await {
//!         match event {
//!             ClientEvent::Connected(_) => {
//!                 client.send(ClientMessage::FindPartner(FindPartner::default()))?;
//!             }
//!             ClientEvent::Message(ServerMessage::Searching(_)) => break,
//!             other => panic!("unexpected: {other:?}"),
//!         }
//!     }
//! }
//!
//! let Some(ClientEvent::Message(ServerMessage::PartnerFound(partner))) = ada_events.recv().await
//! else {
//!     panic!("no partner");
//! };
//! assert!(partner.initiator, "Ada waited longer, so she makes the offer");
//!
//! ada.close().await;
//! ben.close().await;
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

#[cfg(any(feature = "client", feature = "server"))]
mod fault_window;
#[cfg(feature = "client")]
mod server_url;

pub mod message;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "client")]
pub use server_url::{ServerOrigin, ServerUrl, ServerUrlError};
