//! A simulated network link: what a bad network does to packets, repeatable and on any machine.
//!
//! A [`LinkSpec`] describes a link in one line of text, such as `home-wifi` or
//! `delay=25ms,loss=5%;@10s outage=on`. [`Route`] carries packets through it in both directions,
//! sans-IO: time, packets and the seed are arguments. Each direction is a [`Link`] under
//! [`Conditions`]. `tandem-call` puts a route behind the sockets of a call; on Linux, `tun` puts
//! one between two network namespaces, for programs that are not ours.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use tandem_link::{Direction, LinkSpec, Route};
//!
//! let spec: LinkSpec = "delay=25ms,up.rate=500k".parse().unwrap();
//! let now = Instant::now();
//! let mut route = Route::new(now, spec.plan().clone());
//!
//! route.send(now, Direction::Down, 1_200, "a packet");
//! assert!(route.poll(now, Direction::Down).is_none(), "it is under way");
//!
//! let later = now + Duration::from_millis(25);
//! assert_eq!(route.poll(later, Direction::Down), Some("a packet"));
//! ```

mod conditions;
mod error;
mod link;
mod plan;
mod profiles;
mod random;
mod route;
mod spec;
#[cfg(target_os = "linux")]
pub mod tun;
mod values;

pub use conditions::{Conditions, Loss, Policer};
pub use error::LinkSpecError;
pub use link::{Link, LinkCounters};
pub use plan::{Direction, Plan, Step};
pub use profiles::{PROFILES, Profile};
pub use random::SeededRandom;
pub use route::Route;
pub use spec::LinkSpec;
