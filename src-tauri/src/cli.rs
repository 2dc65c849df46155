//! The command line of `tandem`, and which part of the program answers it.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[cfg(feature = "desktop")]
use crate::desktop;
use crate::{devices, headless};

/// One-to-one video chat: opens its window, or holds a call without one.
#[derive(Debug, Parser)]
#[command(name = "tandem", version, args_conflicts_with_subcommands = true, after_help = headless::args::EXIT_CODES)]
pub struct Cli {
    /// What to do instead of a call.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Hold a call without a window
    #[arg(long)]
    pub headless: bool,
    /// The call.
    #[command(flatten)]
    pub call: headless::args::CallArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List cameras with their formats, microphones and speakers
    Devices {
        /// Print one JSON object instead of a list for people
        #[arg(long)]
        json: bool,
        /// Logging.
        #[command(flatten)]
        log: LogArgs,
    },
}

/// How much is logged. Logs go to stderr and hold no names, addresses, session descriptions or pictures.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// How much to log on stderr: off, error, warn, info, debug, trace, or targets as in tandem_call=debug,warn
    #[arg(long, value_name = "LEVEL", default_value = "warn", value_parser = log_filter)]
    pub log_level: String,
}

/// Runs the program and gives its exit code.
pub fn main() -> ExitCode {
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return refused(&error),
    };

    match &cli.command {
        Some(Command::Devices { json, log }) => {
            start_log(&log.log_level);
            devices::main(*json)
        }
        None if cli.headless => {
            start_log(&cli.log.log_level);
            match cli.call.check() {
                Ok(()) => headless::main(&cli.call),
                Err(error) => refused(&Cli::command().error(ErrorKind::ValueValidation, error)),
            }
        }
        None => {
            start_log(&cli.log.log_level);
            window(&cli, &matches)
        }
    }
}

/// Opens the window.
#[cfg(feature = "desktop")]
fn window(cli: &Cli, matches: &ArgMatches) -> ExitCode {
    let refused_here = desktop::refused_arguments(matches);
    if !refused_here.is_empty() {
        let why = format!("{} only with --headless", refused_here.join(", "));
        return refused(&Cli::command().error(ErrorKind::MissingRequiredArgument, why));
    }

    match cli.call.check() {
        Ok(()) => desktop::main(&cli.call, matches),
        Err(error) => refused(&Cli::command().error(ErrorKind::ValueValidation, error)),
    }
}

/// Says what this build can do instead.
#[cfg(not(feature = "desktop"))]
fn window(_: &Cli, _: &ArgMatches) -> ExitCode {
    refused(&Cli::command().error(
        ErrorKind::MissingSubcommand,
        "this build has no window; run \"tandem --headless --pair --duration 10s\" for a call between two peers in this \
         process, \"tandem --headless --room CODE\" to meet somebody, or \"tandem devices\"",
    ))
}

/// Help and version go to stdout with 0, everything else to stderr with 2.
fn refused(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell if the terminal is gone.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(headless::Exit::Usage.code()))
}

fn log_filter(text: &str) -> Result<String, String> {
    filter(text).map(|_| text.to_owned()).map_err(|_| {
        "give off, error, warn, info, debug or trace, or targets with their levels like tandem_call=debug,warn".into()
    })
}

/// A bare level is meant for Tandem itself: of the crates below it only errors are shown, because they log addresses.
fn filter(text: &str) -> Result<EnvFilter, String> {
    let bare = ["off", "error", "warn", "info", "debug", "trace"].contains(&text);
    let directives = match text {
        "off" | "error" => text.to_owned(),
        _ if bare => {
            let ours = ["tandem", "tandem_call", "tandem_media", "tandem_signaling"];
            ours.iter().fold("error".to_owned(), |all, target| {
                format!("{all},{target}={text}")
            })
        }
        _ if text.contains('=') => text.to_owned(),
        _ => return Err("neither a level nor targets".into()),
    };

    EnvFilter::try_new(directives).map_err(|error| error.to_string())
}

fn start_log(level: &str) {
    let filter = filter(level).unwrap_or_else(|_| EnvFilter::new("error"));
    // A second start in one process (tests) keeps the first log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn log_levels_are_levels_or_targets() {
        for text in [
            "off",
            "error",
            "warn",
            "info",
            "debug",
            "trace",
            "tandem_call=debug,warn",
        ] {
            assert!(log_filter(text).is_ok(), "{text} is a log level");
        }

        for text in ["", "loud", "tandem_call=loud"] {
            assert!(log_filter(text).is_err(), "{text:?} is refused");
        }
    }

    #[test]
    fn a_call_and_a_subcommand_exclude_each_other() {
        assert!(
            Cli::try_parse_from(["tandem", "--headless", "devices"]).is_err(),
            "one thing at a time"
        );

        assert!(
            Cli::try_parse_from(["tandem", "devices", "--json"]).is_ok(),
            "a list of devices"
        );
    }
}
