//! The operator's bans in Redis. The sorted set `{tandem}:bans` has the hash of a client as member and
//! the end of its ban (Unix time in milliseconds) as score; the hash `{tandem}:bans:made` says when it
//! was made, and the sorted set `{tandem}:bans:lifted` which bans were lifted, and when.
//!
//! With each heartbeat, a node writes what its operator has changed, and reads the list if its
//! version is another one: a ban holds on all nodes about a second later. If Redis has lost the list, every
//! node writes what it knows, and the latest change of each client wins.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError};
use uuid::Uuid;

use super::redis::PREFIX;
use crate::server::moderation::Moderation;
use crate::server::moderation::bans::{Change, LIFTED_KEPT_MS, UntilMs};
use crate::server::moderation::key::PeerHash;

const WRITE: &str = include_str!("bans.lua");
/// The most changes in one script call, so that Redis and its other clients do not wait for long.
const CHUNK: usize = 1_000;

/// Which state of the list a node has read.
#[derive(Debug, Default)]
pub(super) struct BanSync {
    read: Option<ListState>,
}

/// The id of a list, and how often it has been changed.
type ListState = (String, i64);
/// The members of a sorted set, with their scores.
type Scores = Vec<(String, f64)>;

impl BanSync {
    /// Brings this node and Redis to the same list. Returns true if the node's has changed.
    ///
    /// # Errors
    /// If Redis does not answer. What this node has changed is kept for the next time, also if this
    /// future is dropped.
    pub(super) async fn sync(
        &mut self,
        moderation: &Moderation,
        connection: &mut MultiplexedConnection,
    ) -> Result<bool, RedisError> {
        let mut list = Self::version(connection).await?;
        let mut id = list.as_ref().map(|(id, _)| id.clone());
        let changes = moderation.changes_for_list(id.clone());

        for chunk in changes.chunks(CHUNK) {
            let written: (String, i64) = write(chunk).query_async(connection).await?;
            moderation.confirm_changes(chunk);
            if id.is_none() {
                moderation.began_ban_list(written.0.clone());
                id = Some(written.0.clone());
            }

            list = Some(written);
        }

        if list.is_none() || list == self.read {
            return Ok(false);
        }

        let (read, bans) = read(connection).await?;
        // If Redis has lost the list since, this node still has to tell what it knows.
        if read.as_ref().map(|(id, _)| id) != id.as_ref() {
            return Ok(false);
        }

        moderation.replace_bans(bans);
        self.read = read;
        Ok(true)
    }

    /// The id of the list, and how often it has been changed.
    async fn version(
        connection: &mut MultiplexedConnection,
    ) -> Result<Option<ListState>, RedisError> {
        let mut get = redis::cmd("MGET");
        get.arg(key("bans:id")).arg(key("bans:version"));
        let (id, version): (Option<String>, Option<i64>) = get.query_async(connection).await?;
        Ok(id.zip(version))
    }
}

/// The whole list, as it is at one moment.
async fn read(
    connection: &mut MultiplexedConnection,
) -> Result<(Option<ListState>, Vec<Change>), RedisError> {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for name in ["bans", "bans:lifted"] {
        pipeline
            .cmd("ZRANGE")
            .arg(key(name))
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES");
    }
    pipeline.cmd("HGETALL").arg(key("bans:made"));

    pipeline
        .cmd("MGET")
        .arg(key("bans:id"))
        .arg(key("bans:version"));

    type Answer = (
        Scores,
        Scores,
        HashMap<String, u64>,
        (Option<String>, Option<i64>),
    );
    let (bans, lifted, made, (id, version)): Answer = pipeline.query_async(connection).await?;
    let bans = bans.iter().filter_map(|entry| {
        let (peer, until) = self::entry(entry)?;
        let at_ms = made.get(&entry.0).copied().unwrap_or_default();
        Some(Change {
            peer,
            until: Some(until),
            at_ms,
        })
    });
    let lifted = lifted.iter().filter_map(|entry| {
        let (peer, at_ms) = self::entry(entry)?;
        Some(Change {
            peer,
            until: None,
            at_ms,
        })
    });

    Ok((id.zip(version), lifted.chain(bans).collect()))
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

/// The call of the script that writes these changes.
fn write(changes: &[Change]) -> Cmd {
    let mut eval = redis::cmd("EVAL");
    eval.arg(WRITE).arg(5);
    for name in [
        "bans",
        "bans:made",
        "bans:lifted",
        "bans:id",
        "bans:version",
    ] {
        eval.arg(key(name));
    }

    eval.arg(Uuid::new_v4().to_string()).arg(LIFTED_KEPT_MS);
    for change in changes {
        eval.arg(change.peer.to_string())
            .arg(
                change
                    .until
                    .map_or(String::new(), |until| until.to_string()),
            )
            .arg(change.at_ms);
    }

    eval
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// An entry of a sorted set. Anything else in it, which no node wrote, is left out.
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
