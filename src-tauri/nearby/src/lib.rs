//! Finds the people on the same network who have Tandem open, and lets them find this user: mDNS
//! (RFC 6762) and DNS-SD (RFC 6763), service type `_tandem._tcp`.
//!
//! What is announced: a random number for as long as the announcement lasts, the name that the user
//! shows to others, and where to ring. Not the computer's name, and nothing that stays the same from
//! one announcement to the next.
//!
//! What others announce is not trusted: [`Neighbours`] decides what of it is shown.
//!
//! ```no_run
//! use tandem_nearby::{Announcement, Nearby, NeighbourId};
//!
//! # fn main() -> Result<(), tandem_nearby::NearbyError> {
//! let me = Announcement {
//!     id: NeighbourId::from(0x1f3a_5b7c_9d2e_4f60),
//!     name: Some("Ann".into()),
//!     room: "6f1d2c3b4a5968778695a4b3c2d1e0ff".into(),
//!     port: 40_123,
//! };
//! let nearby = Nearby::open(&me, |interface| interface.starts_with("tun"), |change| {
//!     println!("{change:?}");
//! })?;
//! // … as long as the user wants to be found …
//! drop(nearby);
//! # Ok(())
//! # }
//! ```

mod neighbours;
mod record;
mod service;

pub use neighbours::{LocalNetwork, MAX_NEIGHBOURS, Neighbour, Neighbours};
pub use record::{Announcement, NeighbourId, Record};
pub use service::{Nearby, NearbyChange, NearbyError, Reach, is_on_local_network};
