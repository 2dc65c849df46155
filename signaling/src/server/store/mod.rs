//! The shared store of several relay nodes: what they say to it and to each other, and Redis as that store.

pub(super) mod note;
#[cfg(feature = "redis")]
mod redis;
#[cfg(not(feature = "redis"))]
mod without;

#[cfg(feature = "redis")]
pub(super) use self::redis::{RedisStore, run};
#[cfg(not(feature = "redis"))]
pub(super) use self::without::{RedisStore, run};
