//! Pictures for the page: a WebSocket on loopback that only this app's page can open.
//!
//! The page asks ([`FrameRequest`](super::command::FrameRequest)), the answer comes as soon as there is a newer picture
//! than the page has, and it is always the newest: whoever draws slowly sees fewer pictures, never older ones. A picture
//! leaves as [I420 behind a small header](packet), not larger than it is shown. The server has a thread of its own, so
//! that nothing here can hold up a call.

mod fit;
mod packet;
mod pump;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod tokens;

pub use packet::{HEADER_LEN, MIRRORED, parse as parse_request};
pub use pump::Pump;
pub use server::{FrameServer, page_origins};
pub use stream::{FrameStream, Picture, Streams};
