//! The store that the nodes of a cluster share: Redis, or nothing if the program was built without
//! it. What the hub asks of it is in `hub::cluster::messages`.

#[cfg(feature = "redis")]
mod bans;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod script;
#[cfg(not(feature = "redis"))]
mod without;

#[cfg(feature = "redis")]
pub(super) use self::redis::{RedisStore, run};
#[cfg(not(feature = "redis"))]
pub(super) use self::without::{RedisStore, run};
