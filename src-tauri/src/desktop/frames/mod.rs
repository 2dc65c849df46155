//! Video for the page: a WebSocket on loopback that only this app's page can open.
//!
//! The page requests a frame ([`FrameRequest`](super::command::FrameRequest)) and gets a reply as
//! soon as there is a newer one than it has. The reply is always the newest frame, so a page that
//! draws slowly shows fewer frames, never older ones. A frame is sent as [I420 after a small
//! header](packet), no larger than the page shows it. The server runs on its own thread, so that it
//! cannot delay a call. Between the thread that makes a frame and the server there is no other: a
//! [`FrameStream`] observes the slot into which frames are put.

mod fit;
mod packet;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod tokens;

pub use packet::{HEADER_LEN, MIRRORED, parse as parse_request};
pub use server::{FrameServer, PROTOCOL, page_origins};
pub use stream::{FrameStream, ShownFrame, Streams};
