//! What the tests ask a Redis about the servers that share it.

use std::time::Duration;

use redis::{Client, Commands, Connection};
use tandem_tests::Redis;

/// A connection to the store.
pub(crate) fn connect(redis: &Redis) -> Connection {
    Client::open(redis.url())
        .expect("an address")
        .get_connection_with_timeout(Duration::from_secs(2))
        .expect("Redis answers")
}

/// All keys, sorted.
pub(crate) fn keys(redis: &Redis) -> Vec<String> {
    let mut keys: Vec<String> = connect(redis).keys("*").expect("keys");
    keys.sort();
    keys
}

/// The reports in the stream, oldest first.
pub(crate) fn reports(redis: &Redis) -> Vec<serde_json::Value> {
    let mut range = redis::cmd("XRANGE");
    range.arg("{tandem}:reports").arg("-").arg("+");
    let entries: Vec<(String, Vec<String>)> = range.query(&mut connect(redis)).expect("a stream");

    let report = |(id, fields): (String, Vec<String>)| match &fields[..] {
        [name, report] if name == "report" => serde_json::from_str(report).expect("JSON"),
        _ => panic!("an entry has one field: {id} {fields:?}"),
    };
    entries.into_iter().map(report).collect()
}
