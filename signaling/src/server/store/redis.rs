//! Redis as the shared store.
//!
//! One connection carries commands, another the messages for this node; when either breaks, both
//! are set up again. Whatever must not be interrupted, matching above all, is one Lua script
//! (`cluster.lua` and what follows it), which Redis runs as a single step.
//!
//! Commands go out in batches: one round trip for each, answers in order. A command without an
//! answer in time has failed, and the connection with it.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it times heartbeats and round trips"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::bans::{BanSync, has_key_of_cluster};
use super::script::{millis, outcome, rfc3339};
use crate::server::hub::cluster::messages::{NodeId, NodeMessage, StoreCommand};
use crate::server::matchmaker::Holds;
use crate::server::shared::Shared;

const SCRIPT: &str = concat!(
    include_str!("cluster.lua"),
    include_str!("rooms.lua"),
    include_str!("operations.lua")
);
pub(super) const PREFIX: &str = "{tandem}:";
/// The channel of what concerns all nodes.
pub(super) const ALL_NODES: &str = "{tandem}:nodes:all";
/// Redis counts as lost if it does not answer within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long all steps of connecting may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The time between two heartbeats of this node.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a node must have been connected before it may declare others dead. After Redis was
/// away, every node's heartbeat is old: this gives the others [`MAX_RETRY_DELAY`] and
/// [`CONNECT_TIMEOUT`] to come back.
const SETTLING_TIME: Duration = Duration::from_secs(8);
/// The first delay before reconnecting. It doubles up to [`MAX_RETRY_DELAY`]; a random part, at
/// most half, is taken off so that nodes do not reconnect in step.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3);
/// The most commands in one round trip.
const MAX_BATCH: usize = 128;

/// The address of a Redis, and what goes into every command to it.
#[derive(Debug, Clone)]
pub(in crate::server) struct RedisStore {
    client: Client,
    node: NodeId,
    holds: Holds,
    /// The wall clock, for when a call started.
    clock: fn() -> SystemTime,
}

impl RedisStore {
    /// Does not connect yet: [`run`] does.
    ///
    /// # Errors
    /// What is wrong with the URL, without the password in it.
    pub(in crate::server) fn new(
        url: &str,
        node: NodeId,
        holds: Holds,
        clock: fn() -> SystemTime,
    ) -> Result<Self, String> {
        let client = Client::open(url).map_err(|error| {
            format!(
                "the Redis URL is not valid ({}): write it like redis://127.0.0.1:6379",
                error.category()
            )
        })?;

        Ok(Self {
            client,
            node,
            holds,
            clock,
        })
    }

    pub(super) fn inbox(&self, node: &NodeId) -> String {
        format!("{PREFIX}inbox:{node}")
    }

    /// One call of the script, with the arguments that every operation takes.
    pub(super) fn script(&self, sha: &str, operation: &str) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(sha)
            .arg(0)
            .arg(operation)
            .arg(self.node.as_str())
            .arg(millis(self.holds.interests))
            .arg(millis(self.holds.rematch));

        cmd
    }

    /// When a call that starts now started, like `2026-05-01T12:00:00.000Z`.
    pub(super) fn started_at(&self) -> String {
        rfc3339((self.clock)())
    }
}

/// Connects the hub with Redis, and reconnects, until the channel of commands is closed.
pub(in crate::server) async fn run(
    store: RedisStore,
    shared: Arc<Shared>,
    mut commands: mpsc::Receiver<StoreCommand>,
) {
    let mut delay = MIN_RETRY_DELAY;

    loop {
        match connect(&store).await {
            Ok(link) => {
                delay = MIN_RETRY_DELAY;
                shared.set_store_available(true);
                tracing::info!("connected to Redis: clients of all nodes are matched");

                let ended = serve(&store, &shared, link, &mut commands).await;
                shared.set_store_available(false);

                match ended {
                    End::Stopped => return,
                    End::Lost(cause) => {
                        tracing::warn!(cause, "lost Redis: calls continue, no new matches");
                    }
                }
            }
            Err(cause) => {
                tracing::warn!(cause, "cannot reach Redis: no new matches until it is back");
            }
        }

        shared.edge.metrics.redis_errors.inc();
        let jittered = delay.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        delay = (delay * 2).min(MAX_RETRY_DELAY);
        let mut pause = std::pin::pin!(sleep(jittered));

        // Until the next attempt, every command fails at once.
        loop {
            tokio::select! {
                () = &mut pause => break,
                command = commands.recv() => match command {
                    Some(command) => shared.receive_from_store([], command.failed()),
                    None => return,
                },
            }
        }
    }
}

/// Both connections to Redis, ready for use.
struct Link {
    commands: MultiplexedConnection,
    /// Subscribed to the messages for this node.
    inbox: PubSub,
    /// The name under which Redis knows the script.
    sha: String,
    since: Instant,
}

async fn connect(store: &RedisStore) -> Result<Link, String> {
    let steps = async {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let mut commands = store
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;

        let sha: String = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(SCRIPT)
            .query_async(&mut commands)
            .await?;

        // The inbox comes before the heartbeat: a node that counts as alive must receive messages.
        let mut inbox = store.client.get_async_pubsub().await?;
        inbox.subscribe(store.inbox(&store.node)).await?;
        inbox.subscribe(ALL_NODES).await?;

        let mut heartbeat = store.script(&sha, "beat");
        let _: Value = heartbeat.arg(0).arg("").query_async(&mut commands).await?;

        Ok::<_, RedisError>(Link {
            commands,
            inbox,
            sha,
            since: Instant::now(),
        })
    };

    match timeout(CONNECT_TIMEOUT, steps).await {
        Ok(link) => link.map_err(|error| describe(&error)),
        Err(_) => Err("no answer in time".into()),
    }
}

/// An error for the log. Redis' own text may hold the address and the password, so only its kind is
/// used.
fn describe(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("{} ({code})", error.category()),
        None => error.category().to_owned(),
    }
}

/// Why [`serve`] ended.
enum End {
    /// The server is stopping.
    Stopped,
    /// The connection failed; with the cause.
    Lost(String),
}

async fn serve(
    store: &RedisStore,
    shared: &Arc<Shared>,
    link: Link,
    commands: &mut mpsc::Receiver<StoreCommand>,
) -> End {
    let Link {
        commands: connection,
        inbox,
        sha,
        since,
    } = link;

    let mut connection = connection;
    if shared.edge.moderation.may_share_bans() {
        compare_keys(shared, &mut connection).await;
    }

    tokio::select! {
        end = receive_messages(shared, inbox) => end,
        end = send_commands(store, shared, connection, &sha, since, commands) => end,
    }
}

/// Shares bans only with nodes that have the same key.
async fn compare_keys(shared: &Shared, connection: &mut MultiplexedConnection) {
    let moderation = &shared.edge.moderation;
    let has_key = has_key_of_cluster(moderation, connection).await;
    moderation.set_has_other_key(!matches!(has_key, Ok(true)));
    match has_key {
        Ok(true) => {}
        Ok(false) => tracing::error!(
            "the peer key of this node is not that of the others: bans made here do not hold \
             there, and the other way round; copy one --peer-key to all of them"
        ),
        Err(error) => tracing::error!(
            cause = describe(&error),
            "cannot compare the peer key with the other nodes: bans made here hold on this node only"
        ),
    }
}

async fn receive_messages(shared: &Arc<Shared>, inbox: PubSub) -> End {
    let mut messages = inbox.into_on_message();

    while let Some(message) = messages.next().await {
        match serde_json::from_slice::<NodeMessage>(message.get_payload_bytes()) {
            Ok(message) => shared.receive_from_store([message], []),
            Err(error) => tracing::warn!(
                column = error.column(),
                "dropped an unreadable message from another node: check that all nodes run the same version"
            ),
        }
    }

    End::Lost("the inbox was closed".into())
}

async fn send_commands(
    store: &RedisStore,
    shared: &Arc<Shared>,
    mut connection: MultiplexedConnection,
    sha: &str,
    since: Instant,
    commands: &mut mpsc::Receiver<StoreCommand>,
) -> End {
    let mut batch: Vec<StoreCommand> = Vec::with_capacity(MAX_BATCH);
    let mut last_heartbeat: Option<Instant> = None;
    let mut bans = BanSync::default();
    let mut heartbeats = interval(HEARTBEAT_INTERVAL);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);

    loop {
        let mut is_heartbeat = false;
        tokio::select! {
            biased;
            _ = heartbeats.tick() => is_heartbeat = true,
            received = commands.recv_many(&mut batch, MAX_BATCH) => if received == 0 {
                // The last ban of the operator must not be lost. Nobody here reads the list any more.
                sync_bans(shared, &mut bans, &mut connection).await;
                leave(store, &mut connection, sha).await;
                return End::Stopped;
            },
        }

        let mut pipeline = Pipeline::with_capacity(batch.len() + 1);
        for command in &batch {
            pipeline.add_command(store.command(sha, command));
        }

        let asked = Instant::now();
        if is_heartbeat {
            let may_declare_dead = since.elapsed() >= SETTLING_TIME;
            let elapsed_ms = last_heartbeat
                .replace(asked)
                .map(|last| millis(asked - last).to_string());

            let mut heartbeat = store.script(sha, "beat");
            heartbeat
                .arg(u8::from(may_declare_dead))
                .arg(elapsed_ms.unwrap_or_default());
            pipeline.add_command(heartbeat);
        }

        let answers: Result<Vec<Value>, RedisError> =
            pipeline.ignore_errors().query_async(&mut connection).await;
        shared.edge.metrics.observe_redis_latency(asked.elapsed());

        let mut answers = match answers {
            Ok(answers) if answers.len() == batch.len() + usize::from(is_heartbeat) => answers,
            other => {
                let failed: Vec<_> = batch.drain(..).filter_map(StoreCommand::failed).collect();
                shared.receive_from_store([], failed);

                let cause = match other {
                    Ok(_) => "unexpected number of replies".into(),
                    Err(error) => describe(&error),
                };
                return End::Lost(cause);
            }
        };

        let heartbeat_answer = if is_heartbeat { answers.pop() } else { None };
        let server_error =
            answers
                .iter()
                .chain(&heartbeat_answer)
                .find_map(|answer| match answer {
                    Value::ServerError(error) => Some(error.code().to_owned()),
                    _ => None,
                });

        let outcomes: Vec<_> = batch
            .drain(..)
            .zip(&answers)
            .filter_map(|(command, answer)| outcome(command, answer))
            .collect();
        shared.receive_from_store([], outcomes);

        if let Some(code) = server_error {
            // Redis has lost the script, became a replica or is out of memory: connecting again
            // shows whether that is over.
            return End::Lost(code);
        }

        if let Some(answer) = heartbeat_answer {
            if let Err(cause) = read_heartbeat(shared, &answer) {
                return End::Lost(cause);
            }

            sync_bans(shared, &mut bans, &mut connection).await;
        }
    }
}

/// Brings the bans of this node and of the store to the same list. If that fails, the next heartbeat
/// tries again: calls need the link, bans can wait a second.
async fn sync_bans(shared: &Shared, bans: &mut BanSync, connection: &mut MultiplexedConnection) {
    let moderation = &shared.edge.moderation;
    if !moderation.shares_bans() {
        return;
    }

    match bans.sync(moderation, connection).await {
        Ok(true) => {
            shared.enforce_bans();
        }
        Ok(false) => {}
        Err(error) => tracing::error!(
            cause = describe(&error),
            "cannot share the bans: each node has its own until this works again"
        ),
    }
}

/// Signs off from the store. If that fails, the other nodes notice by themselves.
async fn leave(store: &RedisStore, connection: &mut MultiplexedConnection, sha: &str) {
    let answer: Result<Value, _> = store.script(sha, "leave").query_async(connection).await;
    if let Err(error) = answer {
        tracing::debug!(cause = describe(&error), "could not sign off from Redis");
    }
}

/// Reads the answer to a heartbeat: how many nodes are alive, whether the store knew this one, and
/// by how many milliseconds the clock of Redis' machine was set.
fn read_heartbeat(shared: &Shared, answer: &Value) -> Result<(), String> {
    let Value::Array(fields) = answer else {
        return Err("unexpected reply".into());
    };
    let [Value::Int(nodes), Value::Int(known), Value::Int(jump_ms)] = fields[..] else {
        return Err("unexpected reply".into());
    };

    shared.edge.metrics.nodes.set(nodes);
    if jump_ms != 0 {
        tracing::warn!(
            jump_ms,
            "the clock of Redis' machine was set: nodes continue on the old time"
        );
    }

    if known == 0 {
        return Err("Redis has forgotten this node".into());
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn the_error_about_a_url_does_not_show_its_password() {
        let holds = Holds {
            interests: Duration::ZERO,
            rematch: Duration::ZERO,
        };
        let clock = || UNIX_EPOCH;
        let error =
            RedisStore::new("http://:hunter2@x", "n".to_owned().into(), holds, clock).unwrap_err();

        assert!(
            error.contains("redis://") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
