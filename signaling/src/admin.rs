//! `tandem-signaling admin`: the operator's commands to a running server.
//!
//! The exit code is 0 if the server carried the command out, 1 if not, 2 if the command is wrong.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};
use serde_json::{Map, Value};
use tandem_signaling::server::{AdminCommand, ask_admin};

use crate::args::values::days;
use crate::print_error;

/// Where the example settings put it.
#[cfg(unix)]
const DEFAULT_SOCKET: &str = "/run/tandem-signaling/admin.sock";
#[cfg(windows)]
const DEFAULT_SOCKET: &str = r"\\.\pipe\tandem-signaling";

/// What `--for forever` says.
const FOREVER: &str = "forever";

/// Asks a running server, on the same machine, over its admin socket.
#[derive(Debug, Parser)]
#[command(name = "tandem-signaling admin", bin_name = "tandem-signaling admin")]
struct AdminArgs {
    /// The socket that the server has as --admin-socket.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_ADMIN_SOCKET",
        default_value = DEFAULT_SOCKET,
        value_name = "FILE",
        global = true
    )]
    socket: PathBuf,

    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How much is going on.
    Stats,
    /// Who is connected, or away and expected back. Only ids.
    Connections,
    /// The calls with a side on this server. Only ids.
    Calls,
    /// The newest reports, newest first.
    Reports {
        /// Closed ones, too.
        #[arg(long)]
        all: bool,
        /// At most this many.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Everything about one report.
    Report {
        /// Its reportId.
        id: String,
    },
    /// Mark a report as dealt with.
    Close {
        /// Its reportId.
        id: String,
        /// What was done, for other moderators.
        #[arg(long)]
        note: Option<String>,
    },
    /// Delete a report and its snapshot, or all of one reporter.
    Delete {
        /// Its reportId.
        #[arg(required_unless_present = "reporter")]
        id: Option<String>,
        /// Everything that this peer, or user:SUB, has reported.
        #[arg(long, value_name = "PEER", conflicts_with = "id")]
        reporter: Option<String>,
    },
    /// End a user's connection and call. It may come back.
    Kick {
        /// Its userId.
        user: String,
    },
    /// Keep somebody out, on all servers that share a Redis, and end its calls.
    Ban(Ban),
    /// Lift a ban.
    Unban {
        /// As for `ban`.
        who: String,
    },
    /// The bans that hold, the first to end first.
    Bans,
    /// Shut the server down as SIGTERM does: calls may end before.
    Drain,
}

#[derive(Debug, Args)]
struct Ban {
    /// The `peer` of a report, user:SUB, the userId of someone who is connected, or a reportId, for
    /// the one it reports.
    who: String,
    /// For how long: 30m, 12h, 90d, or forever. Without tokens, a ban hits everybody in a /24 or /64.
    #[arg(long = "for", default_value = "7d", value_name = "TIME", value_parser = ban_time)]
    time: BanTime,
}

/// For how long to ban; `None`: for good.
#[derive(Debug, Clone, Copy)]
struct BanTime(Option<Duration>);

fn ban_time(text: &str) -> Result<BanTime, String> {
    if text == FOREVER {
        return Ok(BanTime(None));
    }

    match days(text) {
        Ok(time) if time >= Duration::from_secs(1) => Ok(BanTime(Some(time))),
        _ => Err("write it like 30m, 12h or 90d, or forever".into()),
    }
}

impl From<Command> for AdminCommand {
    fn from(command: Command) -> Self {
        match command {
            Command::Stats => Self::Stats {},
            Command::Connections => Self::Connections {},
            Command::Calls => Self::Calls {},
            Command::Reports { all, limit } => Self::Reports { all, limit },
            Command::Report { id } => Self::Report { id },
            Command::Close { id, note } => Self::Close { id, note },
            Command::Delete { id, reporter } => match (reporter, id) {
                (Some(who), _) => Self::DeleteReporter { who },
                (None, id) => Self::Delete {
                    id: id.unwrap_or_default(),
                },
            },
            Command::Kick { user } => Self::Kick { user },
            Command::Ban(Ban { who, time }) => Self::Ban {
                who,
                seconds: time.0.map(|time| time.as_secs()),
            },
            Command::Unban { who } => Self::Unban { who },
            Command::Bans => Self::Bans {},
            Command::Drain => Self::Drain {},
        }
    }
}

/// Runs the command in this process' arguments, which begin with `admin`.
pub(crate) fn run() -> ExitCode {
    let args = AdminArgs::parse_from(std::env::args_os().skip(1));

    match ask_admin(&args.socket, &args.command.into()) {
        Ok(answer) => {
            let text = if args.json {
                format!("{answer}\n")
            } else {
                readable(&answer, now_ms())
            };
            // A pager that was closed needs no more.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "ages are shown as of now")]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_millis();
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// An answer for people: a list as a table, an object as lines.
fn readable(answer: &Value, now_ms: u64) -> String {
    match answer {
        Value::Array(rows) if rows.is_empty() => "none\n".into(),
        Value::Array(rows) => table(rows, now_ms),
        Value::Object(fields) => lines(fields, "", now_ms),
        other => format!("{}\n", word(other)),
    }
}

fn lines(fields: &Map<String, Value>, prefix: &str, now_ms: u64) -> String {
    let line = |(name, value): (&String, &Value)| match value {
        Value::Object(inner) => lines(inner, &format!("{prefix}{name}."), now_ms),
        value => format!("{prefix}{}: {}\n", label(name), cell(name, value, now_ms)),
    };
    fields.iter().map(line).collect()
}

fn table(rows: &[Value], now_ms: u64) -> String {
    let rows: Vec<Map<String, Value>> = rows.iter().map(flat).collect();
    let mut names: Vec<&String> = rows.iter().flat_map(Map::keys).collect();
    names.sort_unstable();
    names.dedup();

    let header: Vec<String> = names.iter().map(|name| label(name)).collect();
    let body = rows.iter().map(|row| {
        let cell = |name: &&String| {
            let value = row.get(*name).unwrap_or(&Value::Null);
            shortened(&cell(name, value, now_ms))
        };
        names.iter().map(cell).collect::<Vec<_>>()
    });
    let all: Vec<Vec<String>> = std::iter::once(header).chain(body).collect();
    let width = |column: usize| {
        let cells = all.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();

    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let text: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", text.join("  ").trim_end())
    };
    all.iter().map(line).collect()
}

/// One level of an object, with `outer.inner` as names.
fn flat(row: &Value) -> Map<String, Value> {
    let mut flat = Map::new();
    for (name, value) in row.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => flat.extend(
                inner
                    .iter()
                    .map(|(inner, value)| (format!("{name}.{inner}"), value.clone())),
            ),
            value => {
                flat.insert(name.clone(), value.clone());
            }
        }
    }

    flat
}

/// A name without the unit that [`cell`] takes care of.
fn label(name: &str) -> String {
    name.strip_suffix("Ms").unwrap_or(name).to_owned()
}

/// A value; a time as its distance from now.
fn cell(name: &str, value: &Value, now_ms: u64) -> String {
    match value.as_u64().filter(|_| name.ends_with("Ms")) {
        // From the year 5000 on.
        Some(at) if at > 95_600_000_000_000 => FOREVER.into(),
        Some(at) if at > now_ms => format!("in {}", distance(at - now_ms)),
        Some(at) => format!("{} ago", distance(now_ms - at)),
        None => word(value),
    }
}

fn distance(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// What users have written is printed without control characters: they could take over a terminal.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect(),
        Value::Array(values) => values.iter().map(word).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// In a table, a long text is cut.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_valid() {
        AdminArgs::command().debug_assert();
    }

    #[test]
    fn times_of_bans() {
        assert_eq!(
            ban_time("12h").unwrap().0,
            Some(Duration::from_secs(43_200))
        );
        assert_eq!(ban_time("forever").unwrap().0, None);
        for bad in ["0", "", "soon", "9999d"] {
            assert!(
                ban_time(bad).is_err(),
                "{bad}: a ban of no time is a mistake"
            );
        }
    }

    #[test]
    fn answers_can_be_read_by_people() {
        let now = 10 * 86_400_000;
        let bans = json!([
            { "peer": "ab", "untilMs": now + 3 * 86_400_000_u64 },
            { "peer": "cd", "untilMs": 253_402_300_799_000_u64 },
        ]);
        assert_eq!(
            readable(&bans, now),
            "peer  until\nab    in 3 d\ncd    forever\n"
        );

        let report = json!({
            "atMs": now - 60_000, "text": "a\u{1b}[2Jb", "reported": { "peer": "ab" },
        });
        assert_eq!(
            readable(&report, now),
            "at: 60 s ago\nreported.peer: ab\ntext: a [2Jb\n"
        );
        assert_eq!(readable(&json!([]), now), "none\n");

        let long = readable(&json!([{ "text": "é".repeat(200) }]), now);
        assert!(
            long.lines().all(|line| line.chars().count() <= 81),
            "{long}"
        );
    }
}
