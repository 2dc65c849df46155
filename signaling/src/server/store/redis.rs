//! Redis as the shared store: commands in batches over one connection, notes over another, and a way back after either
//! breaks.
//!
//! Matching and everything else that must not be interrupted is one Lua script (`cluster.lua`). A batch is one round
//! trip, in order; what Redis does not answer in time has failed, and the connection with it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::note::{Command, NodeId, Note, Outcome, Record};
use crate::message::{LeaveReason, UserId};
use crate::server::matchmaker::Holds;
use crate::server::shared::Shared;

const SCRIPT: &str = include_str!("cluster.lua");
const PREFIX: &str = "{tandem}:";
/// Redis is away if it does not answer within this.
const ANSWER: Duration = Duration::from_secs(1);
/// For all steps of a new connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Between two heartbeats of this node.
const BEAT: Duration = Duration::from_secs(1);
/// Others are taken for dead only by a node that has been connected for so long: after Redis was away, everybody's
/// heartbeat is old, and [`LONGEST_PAUSE`] and [`CONNECT`] give them time to be back.
const STEADY: Duration = Duration::from_secs(8);
/// Between two attempts to connect, at first and at most. Each is shortened by a random half.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// So many commands go in one round trip.
const BATCH: usize = 128;
/// So many reports the stream keeps, roughly.
const REPORTS: usize = 100_000;

/// A Redis that is not asked yet.
#[derive(Debug, Clone)]
pub(in crate::server) struct RedisStore {
    client: Client,
    node: NodeId,
    holds: Holds,
}

impl RedisStore {
    /// # Errors
    /// A sentence on what is wrong with the URL. It does not hold the password.
    pub(in crate::server) fn new(url: &str, node: NodeId, holds: Holds) -> Result<Self, String> {
        let client = Client::open(url).map_err(|error| {
            format!(
                "the Redis URL will not do ({}): write it like redis://127.0.0.1:6379",
                error.category()
            )
        })?;

        Ok(Self {
            client,
            node,
            holds,
        })
    }

    fn inbox(&self, node: &NodeId) -> String {
        format!("{PREFIX}inbox:{node}")
    }

    fn script(&self, sha: &str, operation: &str) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(sha).arg(0).arg(operation).arg(self.node.as_str());
        cmd.arg(millis(self.holds.interests))
            .arg(millis(self.holds.rematch));

        cmd
    }

    fn command(&self, sha: &str, command: &Command) -> Cmd {
        match command {
            Command::Join(record, session) => {
                let mut cmd = self.script(sha, "join");
                person(&mut cmd, record);
                let room = record.profile.room.as_deref().unwrap_or_default();
                cmd.arg(room)
                    .arg(session.as_str())
                    .arg(iso8601(SystemTime::now()));

                cmd
            }
            Command::Retry(user, session) => {
                let mut cmd = self.script(sha, "retry");
                cmd.arg(user.as_str())
                    .arg(session.as_str())
                    .arg(iso8601(SystemTime::now()));
                cmd
            }
            Command::Cancel { user, .. } => {
                let mut cmd = self.script(sha, "cancel");
                cmd.arg(user.as_str());
                cmd
            }
            Command::End {
                user,
                session,
                reason,
            } => {
                let mut cmd = self.script(sha, "finish");
                cmd.arg(user.as_str())
                    .arg(session.as_str())
                    .arg(reason_text(*reason));
                cmd
            }
            Command::Remove { user, reason } => {
                let mut cmd = self.script(sha, "remove");
                cmd.arg(user.as_str()).arg(reason_text(*reason));
                cmd
            }
            Command::Block { user, partner } => {
                let mut cmd = self.script(sha, "block");
                cmd.arg(user.as_str()).arg(partner.as_str());
                cmd
            }
            Command::Adopt { token, subject, .. } => {
                let mut cmd = self.script(sha, "adopt");
                cmd.arg(token).arg(subject.as_deref().unwrap_or_default());
                cmd
            }
            Command::Move { user, to } => {
                let mut cmd = self.script(sha, "move");
                cmd.arg(user.as_str()).arg(to.as_str());
                cmd
            }
            Command::Census => self.script(sha, "census"),
            Command::Sync(record) => {
                let mut cmd = self.script(sha, "sync");
                person(&mut cmd, record);
                let call = record
                    .call
                    .as_ref()
                    .map(|call| (call.session.as_str(), call.partner.user.as_str()));
                let (session, partner) = call.unwrap_or_default();
                cmd.arg(session)
                    .arg(partner)
                    .arg(iso8601(SystemTime::now()));

                cmd
            }
            Command::Tell(node, note) => {
                let mut cmd = redis::cmd("PUBLISH");
                cmd.arg(self.inbox(node)).arg(json(note));
                cmd
            }
            Command::Report { report, .. } => {
                let mut cmd = redis::cmd("XADD");
                cmd.arg(format!("{PREFIX}reports"))
                    .arg("MAXLEN")
                    .arg("~")
                    .arg(REPORTS)
                    .arg("*");
                cmd.arg("report").arg(json(report));

                cmd
            }
        }
    }
}

fn person(cmd: &mut Cmd, record: &Record) {
    let interests = match record.profile.interests.is_empty() {
        true => String::new(),
        false => json(&record.profile.interests),
    };

    let card = &record.card;
    cmd.arg(card.user.as_str())
        .arg(card.socket.as_str())
        .arg(card.person.as_str())
        .arg(&record.token);
    cmd.arg(json(&record.profile)).arg(interests);
    cmd.arg(
        record
            .last_partner
            .as_ref()
            .map_or("", |person| person.as_str()),
    );
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("these types have string keys and JSON values")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn reason_text(reason: LeaveReason) -> String {
    json(&reason).trim_matches('"').to_owned()
}

/// What a command's answer means; an answer of the wrong kind is a failure.
fn outcome(command: Command, answer: &Value) -> Option<Outcome> {
    match (command, answer) {
        (command, Value::ServerError(_)) => command.failed(),
        (
            Command::Cancel {
                ask: Some((key, id)),
                ..
            },
            answer,
        ) => Some(Outcome::Cancelled {
            key,
            is_matched: *answer == Value::Int(2),
            id,
        }),
        (Command::Tell(_, note), Value::Int(0)) => Some(Outcome::Undelivered(note)),
        (Command::Tell(..) | Command::Join(..), Value::Int(_)) => None,
        (Command::Adopt { ticket, .. }, Value::BulkString(text)) => {
            let record = serde_json::from_slice(text).ok().map(Box::new);
            Some(Outcome::Adopted { ticket, record })
        }
        (Command::Adopt { ticket, .. }, _) => Some(Outcome::Adopted {
            ticket,
            record: None,
        }),
        (Command::Sync(record), Value::Int(1)) => {
            let session = record.call?.session;
            Some(Outcome::Ended {
                user: record.card.user,
                session,
            })
        }
        (Command::Census, Value::Array(users)) => {
            let user = |user: &Value| match user {
                Value::BulkString(text) => std::str::from_utf8(text).ok().map(UserId::from),
                _ => None,
            };

            Some(Outcome::Census(users.iter().filter_map(user).collect()))
        }
        (Command::Report { key, report, id }, Value::BulkString(_)) => Some(Outcome::Reported {
            key,
            report_id: report.report_id,
            recorded: true,
            id,
        }),
        (command @ (Command::Join(..) | Command::Tell(..) | Command::Report { .. }), _) => {
            command.failed()
        }
        _ => None,
    }
}

/// Keeps the hub in touch with Redis until the commands end.
pub(in crate::server) async fn run(
    store: RedisStore,
    shared: Arc<Shared>,
    mut commands: mpsc::Receiver<Command>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        match connect(&store).await {
            Ok(link) => {
                pause = FIRST_PAUSE;
                shared.store_is(true);
                tracing::info!("Redis is there");
                let ended = serve(&store, &shared, link, &mut commands).await;
                shared.store_is(false);

                match ended {
                    End::Stopped => return,
                    End::Lost(what) => {
                        tracing::warn!(what, "Redis is away: calls go on, nobody new is matched")
                    }
                }
            }
            Err(what) => tracing::warn!(what, "Redis cannot be reached"),
        }

        shared.edge.metrics.redis_errors.add(1);
        let wait = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        pause = (pause * 2).min(LONGEST_PAUSE);
        let mut waited = std::pin::pin!(sleep(wait));

        loop {
            tokio::select! {
                () = &mut waited => break,
                command = commands.recv() => match command {
                    Some(command) => shared.heard([], command.failed()),
                    None => return,
                },
            }
        }
    }
}

/// Both connections, the script's name and the moment from which they stand.
struct Link {
    connection: MultiplexedConnection,
    inbox: PubSub,
    sha: String,
    since: Instant,
}

async fn connect(store: &RedisStore) -> Result<Link, String> {
    let steps = async {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(Some(ANSWER));
        let mut connection = store
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;

        let sha: String = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(SCRIPT)
            .query_async(&mut connection)
            .await?;
        let mut inbox = store.client.get_async_pubsub().await?;
        // First the inbox, then the heartbeat: whoever is alive hears what is sent to it.
        inbox.subscribe(store.inbox(&store.node)).await?;
        let mut beat = store.script(&sha, "beat");
        let _: Value = beat.arg(0).arg("").query_async(&mut connection).await?;

        Ok::<_, RedisError>(Link {
            connection,
            inbox,
            sha,
            since: Instant::now(),
        })
    };

    match timeout(CONNECT, steps).await {
        Ok(link) => link.map_err(|error| described(&error)),
        Err(_) => Err("no answer in time".into()),
    }
}

/// Never with an address or a password.
fn described(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("{} ({code})", error.category()),
        None => error.category().to_owned(),
    }
}

/// Why a link is served no longer.
enum End {
    /// The relay ends.
    Stopped,
    Lost(String),
}

async fn serve(
    store: &RedisStore,
    shared: &Arc<Shared>,
    link: Link,
    commands: &mut mpsc::Receiver<Command>,
) -> End {
    let Link {
        connection,
        inbox,
        sha,
        since,
    } = link;

    let listen = async {
        let mut messages = inbox.into_on_message();
        while let Some(message) = messages.next().await {
            match serde_json::from_slice::<Note>(message.get_payload_bytes()) {
                Ok(note) => shared.heard([note], []),
                Err(error) => tracing::warn!(column = error.column(), "a note cannot be read"),
            }
        }

        End::Lost("the inbox was closed".into())
    };

    tokio::select! {
        end = listen => end,
        end = speak(store, shared, connection, &sha, since, commands) => end,
    }
}

async fn speak(
    store: &RedisStore,
    shared: &Arc<Shared>,
    mut connection: MultiplexedConnection,
    sha: &str,
    since: Instant,
    commands: &mut mpsc::Receiver<Command>,
) -> End {
    let mut batch: Vec<Command> = Vec::with_capacity(BATCH);
    let mut last_beat: Option<Instant> = None;
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);

    loop {
        let mut is_beat = false;
        tokio::select! {
            biased;
            _ = beats.tick() => is_beat = true,
            got = commands.recv_many(&mut batch, BATCH) => if got == 0 {
                let farewell: Result<Value, _> = store.script(sha, "leave").query_async(&mut connection).await;
                if let Err(error) = farewell {
                    tracing::debug!(what = described(&error), "Redis heard no farewell");
                }
                return End::Stopped;
            },
        }

        let mut pipeline = Pipeline::with_capacity(batch.len() + 1);
        for command in &batch {
            pipeline.add_command(store.command(sha, command));
        }

        let asked = Instant::now();
        if is_beat {
            let elapsed = last_beat
                .replace(asked)
                .map(|last| millis(asked - last).to_string());
            let mut beat = store.script(sha, "beat");
            beat.arg(u8::from(since.elapsed() >= STEADY))
                .arg(elapsed.unwrap_or_default());
            pipeline.add_command(beat);
        }

        let answers: Result<Vec<Value>, RedisError> =
            pipeline.ignore_errors().query_async(&mut connection).await;
        shared.edge.metrics.redis_latency.observe(asked.elapsed());
        let mut answers = match answers {
            Ok(answers) if answers.len() == batch.len() + usize::from(is_beat) => answers,
            other => {
                shared.heard(
                    [],
                    batch
                        .drain(..)
                        .filter_map(Command::failed)
                        .collect::<Vec<_>>(),
                );

                return End::Lost(
                    other
                        .err()
                        .map_or("the wrong number of answers".into(), |error| {
                            described(&error)
                        }),
                );
            }
        };

        let beaten = if is_beat { answers.pop() } else { None };
        let lost = answers
            .iter()
            .chain(&beaten)
            .find_map(|answer| match answer {
                Value::ServerError(error) => Some(error.code().to_owned()),
                _ => None,
            });

        let outcomes: Vec<_> = batch
            .drain(..)
            .zip(&answers)
            .filter_map(|(command, answer)| outcome(command, answer))
            .collect();
        shared.heard([], outcomes);

        if let Some(code) = lost {
            // A script that is gone, a replica, no memory left: a new connection will tell whether that is over.
            return End::Lost(code);
        }

        match beaten {
            None => {}
            Some(Value::Array(levels))
                if let [Value::Int(nodes), Value::Int(known), Value::Int(jump_ms)] = levels[..] =>
            {
                shared.edge.metrics.nodes.set(nodes);
                if jump_ms != 0 {
                    tracing::warn!(
                        jump_ms,
                        "the clock of Redis' machine was set: time goes on as if it had not been"
                    );
                }

                if known == 0 {
                    return End::Lost("it has forgotten this node".into());
                }
            }
            Some(_) => return End::Lost("an answer that is none".into()),
        }
    }
}

/// Like `2026-05-01T12:00:00.000Z`.
fn iso8601(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days; for days after 1970 only.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };

    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second, ms) = (
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis(),
    );
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let at = |seconds: u64| iso8601(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7));
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.007Z");
        assert_eq!(at(951_868_799), "2000-02-29T23:59:59.007Z");
        assert_eq!(at(1_700_000_000), "2023-11-14T22:13:20.007Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59.007Z");
    }

    #[test]
    fn an_answer_of_the_wrong_kind_is_a_failure() {
        let garbage = Value::Array(vec![Value::Nil]);
        let adopt = || Command::Adopt {
            ticket: 1,
            token: "t".into(),
            subject: None,
        };

        let broken = Value::BulkString(b"{\"card\":1}".to_vec());
        for answer in [&garbage, &broken, &Value::Nil] {
            let outcome = outcome(adopt(), answer);
            assert!(
                matches!(
                    outcome,
                    Some(Outcome::Adopted {
                        ticket: 1,
                        record: None
                    })
                ),
                "{outcome:?}"
            );
        }

        let note = || {
            Box::new(Note::Refused {
                user: "u".into(),
                session: "s".into(),
            })
        };

        let tell = || Command::Tell("n".to_owned().into(), note());
        assert!(matches!(
            outcome(tell(), &garbage),
            Some(Outcome::Undelivered(_))
        ));

        assert!(
            matches!(
                outcome(tell(), &Value::Int(0)),
                Some(Outcome::Undelivered(_))
            ),
            "nobody listens"
        );
        assert!(outcome(tell(), &Value::Int(1)).is_none());
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        let holds = Holds {
            interests: Duration::ZERO,
            rematch: Duration::ZERO,
        };

        let error = RedisStore::new("http://:hunter2@x", "n".to_owned().into(), holds).unwrap_err();
        assert!(
            error.contains("redis://") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
