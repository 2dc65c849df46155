//! What webrtc 0.21.1 (and the `rtc-*` 0.21.1 crates under it) does wrong, and what Tandem does
//! instead.
//!
//! One file each. Its head comment says what the library does, what we do, which upstream issue
//! would make the file unnecessary, and how to notice that it can go. After an update of webrtc, go
//! through this table:
//!
//! | file | the library's fault | upstream |
//! |---|---|---|
//! | `handshake/runtime.rs` | a reply to what came through TURN waits for the next timer | to be filed |
//! | `handshake/retransmit.rs`, `socket.rs` | a lost DTLS flight is repeated late or never | to be filed; related: webrtc-rs/rtc#243 |
//! | `handshake/early_media.rs`, `socket.rs` | media that comes with the last DTLS flight is dropped | to be filed |
//! | `remote_candidates.rs` | a candidate does not replace the peer-reflexive one of its address | to be filed |
//! | `answer_codec.rs` | a sender does not follow the codec of the answer | to be filed; related: webrtc-rs/webrtc#737 |
//! | `selected_pair.rs` | the statistics name candidates differently than their pairs do | to be filed |
//! | `mdns.rs` | without multicast, the whole connection fails to start | to be filed |
//! | `link_local.rs` | a machine with link-local addresses alone has no candidates | to be filed |
//! | `driver_end.rs` | a connection whose driver has failed stays connected | to be filed |
//!
//! Seven more live elsewhere, because they do more than work around something or belong to code there:
//!
//! - `peer/checks/socket.rs` counts packets that the system refuses as lost where media goes through a
//!   TURN server. The driver (`poll_writes`, 1.b) drops the allocation after the first one. No upstream
//!   issue known; to be filed: "a failed write to a TURN server ends its allocation".
//! - `peer/connection.rs` (`use_servers`) keeps fresh TURN credentials until ICE restarts. The library
//!   (`turn_relayer.rs`, `update_configuration`) releases all allocations if one of its sockets has got no
//!   answer. Related: webrtc-rs/webrtc#835.
//! - `peer/turn/stale_nonce.rs` repeats requests to TURN servers that were refused because of their nonce.
//!   rtc-turn (`handle_channel_bind_response`) forgets the channel. No upstream issue known; to be filed:
//!   "438 Stale Nonce ends a channel binding".
//! - `interceptors/nack.rs`: rtc-interceptor's `NackGeneratorInterceptor` (`nack/generator.rs`,
//!   `generate_nacks`) requests everything that is missing at each interval (100 ms by default),
//!   whatever the round-trip time and however long the outage was. No upstream issue known; to be
//!   filed: "NACK generator: pace retries by the round-trip time, and leave gaps after an outage to
//!   a keyframe".
//! - `peer/turn/` reaches TURN servers over TCP and TLS, which the library skips (`turn_relayer.rs`,
//!   `gather`). Related: webrtc-rs/webrtc#848.
//! - `interceptors/track_opening.rs` keeps the first packets of a track, which the driver drops if they
//!   come through TURN (`poll_reads`). No upstream issue known; to be filed: "The first packets of a track
//!   are lost through TURN".
//! - `peer/privacy.rs` also strips `raddr` and `rport` from relay candidates. The library writes
//!   the local address there even with the relay transport policy; browsers write 0.0.0.0. No
//!   upstream issue known; to be filed: "relay candidates reveal the local address in raddr with
//!   iceTransportPolicy relay".

mod answer_codec;
mod driver_end;
mod handshake;
mod link_local;
mod mdns;
mod remote_candidates;
mod selected_pair;

pub(super) use answer_codec::follow_answer;
pub(super) use driver_end::DriverEnd;
pub(super) use handshake::{HandshakeDone, HandshakeRuntime};
pub(super) use link_local::LinkLocal;
pub(super) use mdns::multicast_dns;
pub(super) use remote_candidates::{RemoteCandidates, address_and_type};
pub(super) use selected_pair::selected_pair;
