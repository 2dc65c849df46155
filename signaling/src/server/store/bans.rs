//! The operator's bans in Redis: the sorted set `{tandem}:bans`, with the hash of a client as member
//! and the end of its ban (Unix time in milliseconds) as score.
//!
//! With each heartbeat, a node writes what its operator has changed, and reads the list if its
//! version is another one: a ban holds on all nodes about a second later. If Redis has lost the list, every
//! node writes what it knows.

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError};
use uuid::Uuid;

use super::redis::PREFIX;
use crate::server::moderation::Moderation;
use crate::server::moderation::bans::{Change, UntilMs};
use crate::server::moderation::key::PeerHash;
use crate::server::moderation::now_ms;

/// Which state of the list a node has read.
#[derive(Debug, Default)]
pub(super) struct BanSync {
    read: Option<(String, i64)>,
}

impl BanSync {
    /// Brings this node and Redis to the same list. Returns true if the node's has changed.
    ///
    /// # Errors
    /// If Redis does not answer. What this node has changed is kept for the next time.
    pub(super) async fn sync(
        &mut self,
        moderation: &Moderation,
        connection: &mut MultiplexedConnection,
    ) -> Result<bool, RedisError> {
        let (id, mut version) = Self::version(connection).await?;
        let changes = moderation.changes_for_list(id.clone());
        let mut list = id.zip(version);

        if !changes.is_empty() {
            let written = write(&changes).query_async::<()>(connection).await;
            if let Err(error) = written {
                moderation.restore_changes(changes);
                return Err(error);
            }

            let (id, new) = Self::version(connection).await?;
            version = new;
            list = id.zip(version);
        }

        if list.is_none() || list == self.read {
            return Ok(false);
        }

        let mut range = redis::cmd("ZRANGE");
        range.arg(key("bans")).arg(0).arg(-1).arg("WITHSCORES");
        let bans: Vec<(String, f64)> = range.query_async(connection).await?;
        moderation.replace_bans(bans.iter().filter_map(entry).collect());
        self.read = list;
        Ok(true)
    }

    /// The id of the list, and how often it has been changed.
    async fn version(
        connection: &mut MultiplexedConnection,
    ) -> Result<(Option<String>, Option<i64>), RedisError> {
        let mut get = redis::cmd("MGET");
        get.arg(key("bans:id")).arg(key("bans:version"));
        get.query_async(connection).await
    }
}

/// Compares the key of this node's hashes with that of the other nodes. False if they differ.
///
/// # Errors
/// If Redis does not answer.
pub(super) async fn has_key_of_cluster(
    moderation: &Moderation,
    connection: &mut MultiplexedConnection,
) -> Result<bool, RedisError> {
    let own = moderation.key.fingerprint().to_string();
    let mut set = redis::cmd("SET");
    set.arg(key("bans:key")).arg(&own).arg("NX");
    let _: redis::Value = set.query_async(connection).await?;

    let mut get = redis::cmd("GET");
    let first: String = get.arg(key("bans:key")).query_async(connection).await?;
    Ok(first == own)
}

/// The transaction that writes these changes.
fn write(changes: &[Change]) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    pipeline
        .cmd("SET")
        .arg(key("bans:id"))
        .arg(Uuid::new_v4().to_string())
        .arg("NX")
        .ignore();

    for (peer, change) in changes {
        match change {
            Some(until) => pipeline
                .cmd("ZADD")
                .arg(key("bans"))
                .arg(*until)
                .arg(peer.to_string()),
            None => pipeline.cmd("ZREM").arg(key("bans")).arg(peer.to_string()),
        }
        .ignore();
    }

    pipeline
        .cmd("ZREMRANGEBYSCORE")
        .arg(key("bans"))
        .arg("-inf")
        .arg(now_ms())
        .ignore();
    pipeline.cmd("INCR").arg(key("bans:version")).ignore();
    pipeline
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// An entry of the list. Anything else in it, which no node wrote, is left out.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole milliseconds until the year 9999 are exact in a double"
)]
fn entry((peer, until): &(String, f64)) -> Option<(PeerHash, UntilMs)> {
    let peer = peer.parse().ok()?;
    (0.0..=9e15)
        .contains(until)
        .then_some((peer, *until as UntilMs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::moderation::bans::FOREVER;

    #[test]
    fn entries_that_no_node_wrote_are_left_out() {
        let peer = PeerHash::of_bytes([7; 16]);
        let read = |name: &str, until| entry(&(name.to_owned(), until));

        assert_eq!(
            read(&peer.to_string(), 1.7e12),
            Some((peer, 1_700_000_000_000))
        );
        assert_eq!(
            read(&peer.to_string(), FOREVER as f64),
            Some((peer, FOREVER))
        );
        assert_eq!(read("192.0.2.7", 1.7e12), None);
        for until in [-1.0, f64::INFINITY, f64::NAN] {
            assert_eq!(read(&peer.to_string(), until), None, "{until}");
        }
    }
}
