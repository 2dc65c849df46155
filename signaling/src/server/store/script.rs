//! What the hub asks of the store, as commands of Redis: most are calls of the Lua script. And what
//! their answers mean.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use redis::{Cmd, Value};

use super::redis::{ALL_NODES, RedisStore};
use crate::message::{LeaveReason, UserId, room_number};
use crate::server::edge::KnockEvent;
use crate::server::hub::cluster::messages::{Record, StoreCommand, StoreOutcome, StoredProfile};
use crate::server::hub::ids::ClaimHash;
use crate::server::moderation::report_file::Written;

/// Reports that the stream keeps, roughly; Redis drops the oldest.
const MAX_REPORTS: usize = 100_000;

impl RedisStore {
    /// `sha` is the name under which Redis knows the script.
    pub(super) fn command(&self, sha: &str, command: &StoreCommand) -> Cmd {
        match command {
            StoreCommand::Join(record, session, search) => {
                let mut cmd = self.script(sha, "join");
                add_record(&mut cmd, record);
                let room = record.profile.room.as_deref().unwrap_or_default();
                let number = room_number(room).map(|number| number.to_string());
                cmd.arg(room)
                    .arg(session.as_str())
                    .arg(self.started_at())
                    .arg(u8::from(record.profile.must_exist))
                    .arg(number.unwrap_or_default())
                    .arg(*search);
                cmd
            }
            StoreCommand::Listen { record, rooms, .. } => {
                let mut cmd = self.script(sha, "listen");
                add_record(&mut cmd, record);
                cmd.arg(json(rooms));
                cmd
            }
            StoreCommand::Accept {
                record,
                knock,
                session,
                ..
            } => {
                let mut cmd = self.script(sha, "accept");
                add_record(&mut cmd, record);
                cmd.arg(record.profile.room.as_deref().unwrap_or_default())
                    .arg(knock.as_str())
                    .arg(session.as_str())
                    .arg(self.started_at());
                cmd
            }
            StoreCommand::Decline { user, knock, .. } => {
                let mut cmd = self.script(sha, "decline");
                cmd.arg(user.as_str()).arg(knock.as_str());
                cmd
            }
            StoreCommand::Unanswered { user, knock } => {
                let mut cmd = self.script(sha, "unanswered");
                cmd.arg(user.as_str()).arg(knock.as_str());
                cmd
            }
            StoreCommand::Claim {
                record,
                random,
                token,
                former,
                ..
            } => {
                let mut cmd = self.script(sha, "claim");
                add_record(&mut cmd, record);
                cmd.arg(*random).arg(ClaimHash::of(token).to_string());
                match former {
                    Some((number, token)) => cmd.arg(*number).arg(ClaimHash::of(token).to_string()),
                    None => cmd.arg("").arg(""),
                };
                cmd
            }
            StoreCommand::Release { user, number, .. } => {
                let mut cmd = self.script(sha, "release");
                cmd.arg(user.as_str()).arg(*number);
                cmd
            }
            StoreCommand::Retry(user, session) => {
                let mut cmd = self.script(sha, "retry");
                cmd.arg(user.as_str())
                    .arg(session.as_str())
                    .arg(self.started_at());
                cmd
            }
            StoreCommand::Cancel { user, .. } => {
                let mut cmd = self.script(sha, "cancel");
                cmd.arg(user.as_str());
                cmd
            }
            StoreCommand::End {
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
            StoreCommand::Remove { user, reason } => {
                let mut cmd = self.script(sha, "remove");
                cmd.arg(user.as_str()).arg(reason_text(*reason));
                cmd
            }
            StoreCommand::Block {
                user,
                person,
                partner,
                other,
            } => {
                let mut cmd = self.script(sha, "block");
                cmd.arg(user.as_str())
                    .arg(person.as_str())
                    .arg(partner.as_str())
                    .arg(other.as_ref().map_or("", |other| other.as_str()));
                cmd
            }
            StoreCommand::BlockAgain(blocks) => {
                let mut cmd = self.script(sha, "block_again");
                cmd.arg(json(blocks));
                cmd
            }
            StoreCommand::Adopt { token, subject, .. } => {
                let mut cmd = self.script(sha, "adopt");
                cmd.arg(token.as_str())
                    .arg(subject.as_deref().unwrap_or_default());
                cmd
            }
            StoreCommand::Move { user, to } => {
                let mut cmd = self.script(sha, "move");
                cmd.arg(user.as_str()).arg(to.as_str());
                cmd
            }
            StoreCommand::Census => self.script(sha, "census"),
            StoreCommand::Sync(record) => {
                let call = record
                    .call
                    .as_ref()
                    .map(|call| (call.session.as_str(), call.partner.user.as_str()));
                let (session, partner) = call.unwrap_or_default();

                let listening = record.listening.as_ref();
                let rooms = listening.map_or(&[][..], |listening| &listening.rooms);
                let knock = listening.and_then(|listening| listening.knock.as_ref());

                let mut cmd = self.script(sha, "sync");
                add_record(&mut cmd, record);
                cmd.arg(session).arg(partner).arg(self.started_at());
                cmd.arg(json(&rooms))
                    .arg(json(&record.claims))
                    .arg(knock.map_or("", |knock| knock.knock_id.as_str()));
                cmd
            }
            StoreCommand::Send(node, message) => {
                let mut cmd = redis::cmd("PUBLISH");
                cmd.arg(self.inbox(node)).arg(json(message));
                cmd
            }
            StoreCommand::Tell(message) => {
                let mut cmd = redis::cmd("PUBLISH");
                cmd.arg(ALL_NODES).arg(json(message));
                cmd
            }
            StoreCommand::Report { report, .. } => {
                let mut cmd = self.script(sha, "report");
                cmd.arg(&report.report_id)
                    .arg(json(report))
                    .arg(MAX_REPORTS);
                cmd
            }
        }
    }
}

/// The arguments that `operations.lua` passes to its `write`.
fn add_record(cmd: &mut Cmd, record: &Record) {
    let interests = if record.profile.interests.is_empty() {
        String::new()
    } else {
        json(&record.profile.interests)
    };

    let last_partner = record
        .last_partner
        .as_ref()
        .map_or("", |person| person.as_str());

    let card = &record.card;
    let profile = StoredProfile {
        profile: record.profile.clone(),
        peer: card.peer,
    };
    cmd.arg(card.user.as_str())
        .arg(card.socket.as_str())
        .arg(card.person.as_str())
        .arg(record.token.as_str())
        .arg(json(&profile))
        .arg(interests)
        .arg(last_partner);
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("these types have string keys and JSON values")
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn reason_text(reason: LeaveReason) -> String {
    json(&reason).trim_matches('"').to_owned()
}

/// RFC 3339 in UTC, with milliseconds.
pub(super) fn rfc3339(time: SystemTime) -> String {
    // Only a clock beyond the year 9999, or far before the year 1, is out of range.
    let timestamp = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

/// What the answer to a command means for the hub. An answer of the wrong kind is a failure.
pub(super) fn outcome(command: StoreCommand, answer: &Value) -> Option<StoreOutcome> {
    match (command, answer) {
        (command, Value::ServerError(_)) => command.failed(),
        (
            StoreCommand::Cancel {
                reply_to: Some((key, id)),
                ..
            },
            answer,
        ) => Some(StoreOutcome::Cancelled {
            key,
            is_matched: *answer == Value::Int(2),
            id,
        }),
        (StoreCommand::Join(record, ..), Value::Int(2)) => {
            Some(StoreOutcome::NoSuchRoom(record.card.user))
        }
        (StoreCommand::Join(record, ..), Value::Int(3)) => {
            Some(StoreOutcome::RoomFull(record.card.user))
        }
        (StoreCommand::Join(record, ..), Value::Int(_)) => {
            Some(StoreOutcome::Joined(record.card.user))
        }
        // The client searches or is in a call, of which it will hear.
        (StoreCommand::Listen { record, id, .. }, Value::Int(_)) => Some(StoreOutcome::Listening {
            user: record.card.user,
            rooms: Some(Vec::new()),
            id,
        }),
        (StoreCommand::Listen { record, id, .. }, Value::Array(rooms)) => {
            Some(StoreOutcome::Listening {
                user: record.card.user,
                rooms: Some(rooms.iter().filter_map(text).map(str::to_owned).collect()),
                id,
            })
        }
        (
            StoreCommand::Accept {
                record, knock, id, ..
            },
            Value::Int(existed),
        ) => Some(StoreOutcome::KnockAnswered {
            user: record.card.user,
            knock,
            event: KnockEvent::Accepted,
            existed: Some(*existed == 1),
            id,
        }),
        (StoreCommand::Decline { user, knock, id }, Value::Int(existed)) => {
            Some(StoreOutcome::KnockAnswered {
                user,
                knock,
                event: KnockEvent::Declined,
                existed: Some(*existed == 1),
                id,
            })
        }
        (StoreCommand::Claim { token, key, id, .. }, Value::Int(number @ 1..)) => {
            Some(StoreOutcome::Claimed {
                key,
                claimed: u32::try_from(*number).ok().map(|number| (number, token)),
                id,
            })
        }
        // The former room again.
        (
            StoreCommand::Claim {
                former: former @ Some(_),
                key,
                id,
                ..
            },
            Value::Int(-1),
        ) => Some(StoreOutcome::Claimed {
            key,
            claimed: former,
            id,
        }),
        (
            StoreCommand::Release {
                key, number, id, ..
            },
            Value::Int(existed),
        ) => Some(StoreOutcome::Released {
            key,
            number,
            existed: Some(*existed == 1),
            id,
        }),
        (StoreCommand::Send(_, message), Value::Int(0)) => Some(StoreOutcome::Undelivered(message)),
        (StoreCommand::Send(..), Value::Int(_)) => None,
        (StoreCommand::Adopt { ticket, .. }, Value::BulkString(text)) => {
            let record = serde_json::from_slice(text)
                .inspect_err(|error| {
                    tracing::warn!(
                        column = error.column(),
                        "unreadable record in Redis: a client could not resume"
                    );
                })
                .ok()
                .map(Box::new);
            Some(StoreOutcome::Adopted { ticket, record })
        }
        (StoreCommand::Adopt { ticket, .. }, _) => Some(StoreOutcome::Adopted {
            ticket,
            record: None,
        }),
        (StoreCommand::Sync(record), Value::Int(1)) => {
            let session = record.call?.session;
            Some(StoreOutcome::Ended {
                user: record.card.user,
                session,
            })
        }
        (StoreCommand::Census, Value::Array(users)) => {
            let users = users.iter().filter_map(text).map(UserId::from);
            Some(StoreOutcome::Census(users.collect()))
        }
        (StoreCommand::Report { key, report, id }, Value::Int(is_new)) => {
            Some(StoreOutcome::Reported {
                key,
                report,
                recorded: Some(Written {
                    is_update: *is_new == 0,
                }),
                id,
            })
        }
        (
            command @ (StoreCommand::Join(..)
            | StoreCommand::Listen { .. }
            | StoreCommand::Accept { .. }
            | StoreCommand::Decline { .. }
            | StoreCommand::Claim { .. }
            | StoreCommand::Release { .. }
            | StoreCommand::Send(..)
            | StoreCommand::Report { .. }),
            _,
        ) => command.failed(),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::message::FindPartner;
    use crate::server::client_key::ClientKey;
    use crate::server::hub::cluster::messages::{Card, NodeMessage};
    use crate::server::hub::ids::{PersonId, Ticket};

    #[test]
    fn times_are_utc_with_milliseconds() {
        let at = |seconds: u64| rfc3339(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7));

        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.007Z");
        assert_eq!(at(951_868_799), "2000-02-29T23:59:59.007Z");
        assert_eq!(at(1_700_000_000), "2023-11-14T22:13:20.007Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59.007Z");
        assert_eq!(rfc3339(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn an_answer_of_the_wrong_kind_is_a_failure() {
        let garbage = Value::Array(vec![Value::Nil]);
        let adopt = || StoreCommand::Adopt {
            ticket: Ticket::new(1),
            token: "t".to_owned().into(),
            subject: None,
        };

        let broken = Value::BulkString(b"{\"card\":1}".to_vec());
        for answer in [&garbage, &broken, &Value::Nil] {
            let outcome = outcome(adopt(), answer);
            assert!(
                matches!(
                    outcome,
                    Some(StoreOutcome::Adopted { ticket, record: None })
                        if ticket == Ticket::new(1)
                ),
                "{outcome:?}"
            );
        }

        let send = || {
            let refused = NodeMessage::Refused {
                user: "u".into(),
                session: "s".into(),
            };
            StoreCommand::Send("n".to_owned().into(), Box::new(refused))
        };

        assert!(matches!(
            outcome(send(), &garbage),
            Some(StoreOutcome::Undelivered(_))
        ));
        assert!(
            matches!(
                outcome(send(), &Value::Int(0)),
                Some(StoreOutcome::Undelivered(_))
            ),
            "no node listens"
        );
        assert!(outcome(send(), &Value::Int(1)).is_none());
    }

    #[test]
    fn a_claim_comes_with_the_token_that_is_good_for_it() {
        let record = Record {
            card: Card {
                user: "u".into(),
                socket: "s".into(),
                person: PersonId::new(&"u".into(), None),
                node: "n".to_owned().into(),
                peer: None,
            },
            token: "t".to_owned().into(),
            profile: FindPartner::default(),
            last_partner: None,
            call: None,
            ended: Vec::new(),
            listening: None,
            claims: Vec::new(),
        };
        let claim = |answer: i64, former: Option<(u32, &str)>| {
            let command = StoreCommand::Claim {
                record: Box::new(record.clone()),
                random: 0,
                token: "new".to_owned().into(),
                former: former.map(|(number, token)| (number, token.to_owned().into())),
                key: ClientKey::new(1),
                id: None,
            };
            match outcome(command, &Value::Int(answer)) {
                Some(StoreOutcome::Claimed { claimed, .. }) => {
                    claimed.map(|(number, token)| (number, token.reveal().to_owned()))
                }
                other => panic!("expected a claim: {other:?}"),
            }
        };

        let former = Some((7, "old"));
        assert_eq!(claim(-1, former), Some((7, "old".into())));
        assert_eq!(claim(7, former), Some((7, "new".into())), "by chance");
        assert_eq!(claim(12, None), Some((12, "new".into())));
        assert_eq!(claim(0, former), None);
        assert_eq!(claim(-1, None), None, "it did not ask for one");
    }
}
