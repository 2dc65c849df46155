//! Makes handshakes finish, and finish fast: over TURN, and when datagrams are lost.
//!
//! [`HandshakeRuntime`] stands between webrtc and the real runtime until the connection is up. It
//! limits the driver's sleep (`runtime.rs`) and wraps sockets (`socket.rs`) so that unanswered DTLS
//! flights are sent again (`retransmit.rs`) and media waits for the keys (`early_media.rs`).

mod done;
mod early_media;
mod retransmit;
mod runtime;
mod socket;

pub(in crate::peer) use done::HandshakeDone;
pub(in crate::peer) use runtime::HandshakeRuntime;
