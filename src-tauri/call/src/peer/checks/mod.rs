//! ICE checks that cannot harm others.
//!
//! A candidate is an address that the partner claims to have, and checking it means sending packets
//! there. A partner who names other people's addresses could make this machine flood them (RFC 8445
//! §19.5.1). The ICE agent of webrtc 0.21.1 checks every pair at every interval, so these stand
//! between it and the network:
//!
//! - [`CandidateQueue`] gives it the partner's candidates by priority, a few at a time.
//! - [`Gate`] lets its checks pass at one pace, each pair at growing intervals, and not more in a
//!   call than a budget allows. A pair that has answered is not held back. No pair is nominated
//!   before the partner has checked one, too, or a second has passed, and no relayed one before direct
//!   ones have had their time.
//!
//! [`AddressFilter`] keeps the addresses of this machine from a partner who is a stranger, and
//! [`RouteWatch`] sees what passes and judges the route that media takes.
//!
//! A check that may not leave is dropped: the agent takes it for lost and makes another one at its
//! next interval.

mod address_filter;
#[cfg(feature = "internals")]
mod fuzzing;
mod gate;
mod nomination;
mod queue;
mod relay_hold;
mod route_watch;
mod send_failures;
mod socket;
mod stun;

pub(super) use address_filter::{AddressFilter, SourceAddress};
#[cfg(feature = "internals")]
pub use fuzzing::datagrams;
pub(super) use gate::Gate;
pub(super) use queue::{CandidateQueue, MAX_CANDIDATES, NamesLeft};
pub(crate) use route_watch::{RouteHealth, RouteWatch};
pub(super) use send_failures::SendFailures;
pub(super) use socket::CheckedSocket;
pub(super) use stun::{Message, Transaction, carried};
