//! The command line of `tandem`, and which part of the program runs it.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[cfg(feature = "desktop")]
use crate::desktop;
use crate::headless::args;
use crate::{devices, headless, values};

/// One-to-one video chat. Opens a window, or makes a call without one (--headless).
#[derive(Debug, Parser)]
#[command(name = "tandem", version, args_conflicts_with_subcommands = true, after_help = args::EXIT_CODES)]
pub struct Cli {
    /// A task other than a call.
    #[command(subcommand)]
    pub command: Option<CliCommand>,
    /// Make a call without a window
    #[arg(long)]
    pub headless: bool,
    /// A link to a call, tandem://join/… or https://…/j/…, as the system hands it over: the window
    /// shows where it leads, and calls when the user clicks
    #[arg(value_name = "LINK", value_parser = link_argument, conflicts_with = "headless")]
    pub link: Option<String>,
    /// The call to make.
    #[command(flatten)]
    pub call: args::CallArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Tasks other than a call.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// List cameras with their formats, microphones and speakers
    Devices {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Logging.
        #[command(flatten)]
        log: LogArgs,
    },
    /// Open the window with an invite: a link, or a code such as 7-garden-lantern. It calls when the
    /// user clicks
    Join {
        /// The invite.
        #[arg(value_name = "LINK|CODE", value_parser = invite_argument)]
        invite: String,
        /// The call to make.
        #[command(flatten)]
        call: Box<args::CallArgs>,
        /// Logging.
        #[command(flatten)]
        log: LogArgs,
    },
    /// Print the flags that work only with --headless, one per line
    #[command(hide = true)]
    HeadlessFlags,
}

/// How much to log, to stderr. Tandem's own logs contain no names, addresses, session descriptions or
/// profile pictures. Those of its dependencies may: a bare level leaves them out, and a list of
/// targets can include them.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// How much to log to stderr: off, error, warn, info, debug, trace, or levels by target, like
    /// error,tandem_call=debug
    #[arg(long, value_name = "LEVEL", default_value = "warn", value_parser = log_filter)]
    pub log_level: String,
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return reject(&error),
    };

    match &cli.command {
        Some(CliCommand::HeadlessFlags) => print_headless_flags(),
        Some(CliCommand::Devices { json, log }) => {
            start_log(&log.log_level);
            devices::main(*json)
        }
        Some(CliCommand::Join { invite, call, log }) => {
            start_log(&log.log_level);
            let matches = matches
                .subcommand()
                .map_or(&matches, |(_, matches)| matches);
            open_window(call, matches, Some(invite))
        }
        None if cli.headless => {
            start_log(&cli.log.log_level);
            match cli.call.check() {
                Ok(()) => headless::main(&cli.call),
                Err(error) => reject(&Cli::command().error(ErrorKind::ValueValidation, error)),
            }
        }
        None => {
            start_log(&cli.log.log_level);
            open_window(&cli.call, &matches, cli.link.as_deref())
        }
    }
}

/// Opens the window, unless a flag was given that needs `--headless`.
#[cfg(feature = "desktop")]
fn open_window(call: &args::CallArgs, matches: &ArgMatches, opened: Option<&str>) -> ExitCode {
    let headless_only = args::given_headless_flags(matches);
    if !headless_only.is_empty() {
        let why = format!(
            "{} can only be used with --headless",
            headless_only.join(", ")
        );
        return reject(&Cli::command().error(ErrorKind::MissingRequiredArgument, why));
    }

    match call.check() {
        Ok(()) => desktop::main(call, matches, opened),
        Err(error) => reject(&Cli::command().error(ErrorKind::ValueValidation, error)),
    }
}

/// Names the commands that work in a build without a window.
#[cfg(not(feature = "desktop"))]
fn open_window(_: &args::CallArgs, _: &ArgMatches, _: Option<&str>) -> ExitCode {
    reject(&Cli::command().error(
        ErrorKind::MissingSubcommand,
        "this build has no window. Run \"tandem --headless --pair --duration 10s\" to make a call between two peers in \
         this process, \"tandem --headless --room CODE\" to call another person, or \"tandem devices\"",
    ))
}

fn print_headless_flags() -> ExitCode {
    let mut lines = args::headless_flags().join("\n");
    lines.push('\n');

    match io::stdout().write_all(lines.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints a message of clap's: help and version to stdout with exit code 0, errors to stderr with
/// 2.
fn reject(message: &clap::Error) -> ExitCode {
    // If the terminal is gone, there is nowhere to report that.
    let _ = message.print();
    ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(headless::Exit::Usage.code()))
}

/// A link of a web browser or another program. Whether it is an invite, the window says.
fn link_argument(text: &str) -> Result<String, String> {
    if values::is_link(text) {
        Ok(text.to_owned())
    } else {
        Err("not a link: to open a code, use \"tandem join CODE\"".into())
    }
}

fn invite_argument(text: &str) -> Result<String, String> {
    values::room_text(text).map(|_| text.to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    filter(text).map(|_| text.to_owned()).map_err(|_| {
        "give off, error, warn, info, debug or trace, or levels by target, like error,tandem_call=debug".into()
    })
}

/// Log addresses, names and whole packets, at the level of errors too. They are off unless a list of
/// targets names them. A directive applies to every target that begins with it: `rtc` also to
/// `rtc_ice`, `rtc_turn` and the others of that family.
const LOG_ADDRESSES: [&str; 3] = ["webrtc=off", "rtc=off", "mdns_sd=off"];

/// Log whole requests and frames: tokens, names, SDP. No list of targets turns them on.
const LOG_SECRETS: [&str; 3] = ["tungstenite=off", "tokio_tungstenite=off", "rustls=off"];

/// A bare level applies to Tandem's crates. Of their dependencies only errors are logged, and none of
/// those that log addresses.
fn filter(text: &str) -> Result<EnvFilter, String> {
    let bare = ["off", "error", "warn", "info", "debug", "trace"].contains(&text);
    let directives = match text {
        "off" | "error" => text.to_owned(),
        // Also applies to `tandem_call` and the other crates whose names begin like this.
        _ if bare => format!("error,tandem={text}"),
        _ if text.contains('=') => text.to_owned(),
        _ => return Err("not a level and no targets".into()),
    };

    // A later directive for the same target wins.
    let directives = format!("{},{directives}", LOG_ADDRESSES.join(","));
    let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;

    Ok(LOG_SECRETS.into_iter().fold(filter, |filter, quiet| {
        filter.add_directive(quiet.parse().expect("a valid directive"))
    }))
}

fn start_log(level: &str) {
    let filter = filter(level).unwrap_or_else(|_| EnvFilter::new("error"));
    // A second start in one process (in tests) keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // A terminal that was closed takes no more lines, and neither a complaint about that, which
        // would be a panic.
        .log_internal_errors(false)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_definition_of_the_command_line() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_log_level_is_a_level_or_a_list_of_targets() {
        for text in [
            "off",
            "error",
            "warn",
            "info",
            "debug",
            "trace",
            "error,tandem_call=debug",
        ] {
            assert!(log_filter(text).is_ok(), "{text} is a log level");
        }

        for text in ["", "loud", "tandem_call=loud"] {
            assert!(log_filter(text).is_err(), "{text:?} is not a log level");
        }
    }

    #[test]
    fn no_log_level_shows_requests_with_tokens() {
        for text in ["trace", "trace,tungstenite=trace"] {
            let filter = filter(text).expect("a filter").to_string();
            assert!(
                filter
                    .split(',')
                    .any(|directive| directive == "tungstenite=off"),
                "{text}: {filter}"
            );
            assert!(!filter.contains("tungstenite=trace"), "{text}: {filter}");
        }
    }

    #[test]
    fn what_logs_addresses_is_off_unless_it_is_named() {
        let directives = |text: &str| filter(text).expect("a filter").to_string();
        for text in ["off", "error", "warn", "trace", "error,tandem_call=debug"] {
            let directives = directives(text);
            for quiet in LOG_ADDRESSES {
                assert!(
                    directives.split(',').any(|directive| directive == quiet),
                    "{text}: {quiet} is missing in {directives}"
                );
            }
        }

        let named = directives("error,webrtc=debug");
        assert!(named.contains("webrtc=debug"), "{named}");
        assert!(!named.contains("webrtc=off"), "{named}");
    }

    #[test]
    fn a_link_opens_the_window_and_a_code_needs_join() {
        let link = |text| Cli::try_parse_from(["tandem", text]).map(|cli| cli.link);
        for text in [
            "tandem://join/chat.example.org/7#garden-lantern",
            "tandem:join/chat.example.org/7#garden-lantern",
            "https://chat.example.org/j/7#garden-lantern",
            // The window says what is wrong with it.
            "https://chat.example.org/j/7",
        ] {
            assert_eq!(link(text).expect(text).as_deref(), Some(text));
        }

        for text in ["7-garden-lantern", "device", "C:garden"] {
            assert!(link(text).is_err(), "{text}");
        }

        let join = |text| Cli::try_parse_from(["tandem", "join", text]);
        for text in [
            "garden-42",
            "7 garden lantern",
            "tandem:join/a.example/7#garden-lantern",
        ] {
            assert!(join(text).is_ok(), "{text}");
        }

        for text in ["", "two words", "https://chat.example.org/j/7", "tandem:7"] {
            assert!(join(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_call_and_a_subcommand_exclude_each_other() {
        assert!(
            Cli::try_parse_from(["tandem", "--headless", "devices"]).is_err(),
            "a call or a subcommand, not both"
        );

        assert!(
            Cli::try_parse_from(["tandem", "devices", "--json"]).is_ok(),
            "a subcommand alone"
        );
    }
}
