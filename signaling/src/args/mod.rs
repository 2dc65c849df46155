//! The command line. Every flag is also an environment variable `TANDEM_SIGNALING_…` and a key of the TOML file that
//! `--config` names; a flag beats the variable, the variable the file, the file the default.

mod file;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use values::{cidr, duration, redis_url, stun_url, turn_url};

/// Introduces two peers and passes their WebRTC handshake between them.
///
/// The relay listens for WebSockets at /ws; beside it are /livez, /readyz and /metrics. It keeps everything in memory
/// unless --redis joins it with other relays.
#[derive(Debug, Parser)]
#[command(name = "tandem-signaling", version, after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Address and port to listen on; port 0 picks a free one, 0.0.0.0 and [::] take connections from anywhere.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_LISTEN",
        default_value = "127.0.0.1:9000",
        value_name = "ADDR:PORT"
    )]
    pub(crate) listen: String,

    /// A TOML file whose keys are the names of these flags (`max-connections = 5000`, `turn-url = ["turn:…"]`).
    ///
    /// A flag beats its environment variable, the variable beats the file, the file beats the default.
    #[arg(long, env = "TANDEM_SIGNALING_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Join other relays over this Redis: users of all of them meet, and a call outlives its relay.
    #[arg(long, env = "TANDEM_SIGNALING_REDIS", value_name = "URL", hide_env_values = true, value_parser = redis_url)]
    pub(crate) redis: Option<String>,

    /// An Origin from which browsers may connect, `*` for any; may be repeated.
    ///
    /// Without any, only programs connect: they send no Origin. Write it as a browser does: https://chat.example.org
    #[arg(
        long,
        env = "TANDEM_SIGNALING_ALLOW_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    #[arg(help_heading = "Who may connect")]
    pub(crate) allow_origin: Vec<String>,

    /// Want a bearer token (JWT) of every client, signed with this key: an HS256 secret or an Ed25519 public key (PEM).
    ///
    /// Programs send `Authorization: Bearer TOKEN`; browsers, which cannot, the query `?token=TOKEN` or the WebSocket
    /// subprotocols `tandem` and `bearer.TOKEN`. The token needs `sub` and `exp`; `sub` is who blocks and bans mean.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_JWT_KEY",
        value_name = "FILE",
        help_heading = "Who may connect"
    )]
    pub(crate) jwt_key: Option<PathBuf>,

    /// Whom to keep out: a file with an address, a range or `user:SUB` a line. Read again on SIGHUP.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_BAN_FILE",
        value_name = "FILE",
        help_heading = "Who may connect"
    )]
    pub(crate) ban_file: Option<PathBuf>,

    /// Believe X-Forwarded-For of a proxy with an address in this range; may be repeated.
    ///
    /// The client is the rightmost address in that header that is no trusted proxy itself.
    #[arg(long, env = "TANDEM_SIGNALING_TRUSTED_PROXY", value_delimiter = ',', value_name = "CIDR", value_parser = cidr)]
    #[arg(help_heading = "Who may connect")]
    pub(crate) trusted_proxy: Vec<IpNet>,

    /// A TURN server for the clients, like turn:turn.example.org:3478; may be repeated. Wants --turn-secret.
    #[arg(long, env = "TANDEM_SIGNALING_TURN_URL", value_delimiter = ',', value_name = "URL", value_parser = turn_url)]
    #[arg(help_heading = "STUN and TURN")]
    pub(crate) turn_url: Vec<String>,

    /// The secret shared with coturn (its static-auth-secret). Rather in the file or the environment than here.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    #[arg(hide_default_value = true, help_heading = "STUN and TURN")]
    pub(crate) turn_secret: Option<String>,

    /// How long the TURN credentials of a client are good for; clients ask for fresh ones before.
    #[arg(long, env = "TANDEM_SIGNALING_TURN_TTL", default_value = "1h", value_parser = duration, value_name = "TIME")]
    #[arg(help_heading = "STUN and TURN")]
    pub(crate) turn_ttl: Duration,

    /// A STUN server for the clients, like stun:stun.example.org:3478; may be repeated.
    #[arg(long, env = "TANDEM_SIGNALING_STUN_URL", value_delimiter = ',', value_name = "URL", value_parser = stun_url)]
    #[arg(help_heading = "STUN and TURN")]
    pub(crate) stun_url: Vec<String>,

    /// Serve wss:// with this certificate chain (PEM). Read again on SIGHUP.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TLS_CERT",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM). Read again on SIGHUP.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TLS_KEY",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    pub(crate) tls_key: Option<PathBuf>,

    /// How many connections at a time; more are answered 503.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_MAX_CONNECTIONS",
        default_value_t = 20_000,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) max_connections: usize,

    /// How many connections at a time from one address (IPv6: from one /64); more are answered 429.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_MAX_CONNECTIONS_PER_ADDRESS",
        default_value_t = 100,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) max_connections_per_address: u32,

    /// How many upgrades a minute from one address; more are answered 429. Default: three for each connection that
    /// --max-connections-per-address allows.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_UPGRADES",
        value_name = "N",
        help_heading = "Limits (0 switches one off)"
    )]
    pub(crate) rate_upgrades: Option<u32>,

    /// Messages a second of one connection, pings included; twice as many may come at once. More: `rate_limited`.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_MESSAGES",
        default_value_t = 100,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) rate_messages: u32,

    /// Bytes a second of one connection; twice as many may come at once. More: `rate_limited`.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_BYTES",
        default_value_t = 1_048_576,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) rate_bytes: u32,

    /// Searches (`find_partner`, `next`) a minute of one connection. More: `rate_limited`.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_FIND",
        default_value_t = 60,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) rate_find: u32,

    /// Reports a minute of one connection. More: `rate_limited`.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_REPORTS",
        default_value_t = 10,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) rate_reports: u32,

    /// A WebSocket ping this often; 0: none.
    #[arg(long, env = "TANDEM_SIGNALING_HEARTBEAT", default_value = "25s", value_parser = duration)]
    #[arg(value_name = "TIME", help_heading = "Times")]
    pub(crate) heartbeat: Duration,

    /// A connection silent for this long is dead; 0: never.
    #[arg(long, env = "TANDEM_SIGNALING_SILENT", default_value = "60s", value_parser = duration)]
    #[arg(value_name = "TIME", help_heading = "Times")]
    pub(crate) silent: Duration,

    /// How long a call waits for a client whose connection was lost; 0: not at all.
    #[arg(long, env = "TANDEM_SIGNALING_RESUME_WINDOW", default_value = "30s", value_parser = duration)]
    #[arg(value_name = "TIME", help_heading = "Times")]
    pub(crate) resume_window: Duration,

    /// How long calls may go on after SIGTERM or Ctrl-C; a second signal ends them at once.
    #[arg(long, env = "TANDEM_SIGNALING_DRAIN_DEADLINE", default_value = "30s", value_parser = duration)]
    #[arg(value_name = "TIME", help_heading = "Times")]
    pub(crate) drain_deadline: Duration,

    /// Append users' reports to this file, one JSON object a line. Opened again on SIGHUP.
    ///
    /// Without a file, but with --redis, they go to the stream {tandem}:reports there; without either they are refused.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_REPORTS",
        value_name = "FILE",
        help_heading = "Records"
    )]
    pub(crate) reports: Option<PathBuf>,

    /// How logs are written to stderr.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_LOG_FORMAT",
        default_value = "text",
        help_heading = "Records"
    )]
    pub(crate) log_format: LogFormat,

    /// error, warn, info, debug or trace; also per module, like info,tandem_signaling=debug.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_LOG_LEVEL",
        default_value = "info",
        help_heading = "Records"
    )]
    #[arg(value_name = "LEVEL")]
    pub(crate) log_level: String,
}

const EXAMPLES: &str = "\
Examples:
  tandem-signaling
      on this machine only, for trying it out
  tandem-signaling --listen 0.0.0.0:9000 --stun-url stun:stun.example.org:3478
      for a local network
  tandem-signaling --config /etc/tandem-signaling.toml
      on the internet: see docs/operating.md for the file, TLS, coturn and Redis

When it is ready it prints one line with the bound address on standard output; logs go to standard error.
SIGTERM and Ctrl-C drain it, SIGHUP reads certificate, key and ban list again and reopens the reports.
Exit codes: 0 after a shutdown, 1 when it cannot run, 2 for a wrong configuration.";

/// A form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for a person.
    Text,
    /// A JSON object a line.
    Json,
}

/// Why there are no arguments.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// clap's own words: help, version or what is wrong with a flag.
    Clap(clap::Error),
    /// What is wrong with the file or between flags, as a sentence.
    Sentence(String),
}

impl Args {
    /// From the process's command line, environment and the file that these name.
    pub(crate) fn load() -> Result<Self, Refusal> {
        Self::load_from(std::env::args_os())
    }

    fn load_from(
        words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, Refusal> {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        let matches = Self::command()
            .try_get_matches_from(&words)
            .map_err(Refusal::Clap)?;
        let Some(path) = matches.get_one::<PathBuf>("config") else {
            return Self::from(&matches);
        };

        let command = file::with_defaults(Self::command(), path).map_err(Refusal::Sentence)?;
        // Flags and environment were fine by themselves: what is wrong now stands in the file.
        let matches = command.try_get_matches_from(&words).map_err(|error| {
            let text = error.to_string();
            let text = text
                .trim_start_matches("error: ")
                .split("\n\nFor more")
                .next()
                .unwrap_or_default();
            Refusal::Sentence(format!("in {}: {text}", path.display()))
        })?;

        Self::from(&matches)
    }

    fn from(matches: &ArgMatches) -> Result<Self, Refusal> {
        let args = Self::from_arg_matches(matches).map_err(Refusal::Clap)?;
        args.check().map_err(Refusal::Sentence)?;
        Ok(args)
    }

    /// What no single flag shows.
    fn check(&self) -> Result<(), String> {
        if !self.silent.is_zero() && !self.heartbeat.is_zero() && self.silent <= self.heartbeat {
            return Err("--silent must be longer than --heartbeat, or every idle connection would be closed".into());
        }

        match (&self.turn_url.is_empty(), &self.turn_secret) {
            (false, None) => {
                return Err("--turn-url needs --turn-secret: without it no client could use the TURN server".into());
            }
            (true, Some(_)) => {
                return Err("--turn-secret needs --turn-url: which TURN server is it for?".into());
            }
            (false, Some(secret)) if secret.trim().is_empty() => {
                return Err(
                    "--turn-secret is empty: give the static-auth-secret of the TURN server".into(),
                );
            }
            (false, Some(secret)) if secret.starts_with("CHANGE-ME") => {
                return Err(
                    "--turn-secret is still the one of the example: make one with `openssl rand -hex 32`".into()
                );
            }
            _ => {}
        }

        if !self.turn_url.is_empty() && self.turn_ttl < Duration::from_secs(1) {
            return Err(
                "--turn-ttl must be at least 1s, or no credential would ever be good".into(),
            );
        }

        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => {
                return Err("--tls-cert needs --tls-key, the certificate's private key".into());
            }
            (None, Some(_)) => {
                return Err("--tls-key needs --tls-cert, the key's certificate chain".into());
            }
            _ => {}
        }

        self.log_filter()?;
        Ok(())
    }

    /// The filter that `--log-level` asks for.
    pub(crate) fn log_filter(&self) -> Result<EnvFilter, String> {
        let mut filter = EnvFilter::try_new(&self.log_level).map_err(
            |_| "--log-level must be error, warn, info, debug or trace, or a list like info,tandem_signaling=debug",
        )?;

        // These write whole frames and requests into their trace logs: names, SDP, candidates and tokens.
        for quiet in [
            "tungstenite=off",
            "tokio_tungstenite=off",
            "rustls=off",
            "tokio_rustls=off",
            "redis=off",
        ] {
            filter = filter.add_directive(quiet.parse().expect("a constant directive"));
        }

        Ok(filter)
    }

    /// Upgrades a minute from one address.
    pub(crate) fn rate_upgrades(&self) -> u32 {
        self.rate_upgrades
            .unwrap_or(self.max_connections_per_address.saturating_mul(3))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(words: &[&str]) -> Result<Args, String> {
        Args::load_from([&["tandem-signaling"], words].concat()).map_err(|refusal| match refusal {
            Refusal::Clap(error) => error.to_string(),
            Refusal::Sentence(text) => text,
        })
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_variable() {
        for arg in Args::command().get_arguments() {
            let flag = arg.get_long().expect("every argument is a flag");
            let variable = format!("TANDEM_SIGNALING_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(
                arg.get_env().and_then(|name| name.to_str()),
                Some(variable.as_str()),
                "--{flag}"
            );
        }
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let file = file(
            "max-connections = 7\nrate-find = 8\nheartbeat = '3s'\nstun-url = ['stun:a', 'stun:b']\n",
        );
        let path = file.path().display().to_string();
        let args = load(&["--config", &path, "--rate-find", "9"]).unwrap();

        assert_eq!(args.max_connections, 7, "the file beats the default");
        assert_eq!(args.rate_find, 9, "the flag beats the file");
        assert_eq!(
            args.heartbeat,
            Duration::from_secs(3),
            "the file's values go through the flags' parsers"
        );

        assert_eq!(
            args.stun_url,
            ["stun:a", "stun:b"],
            "a list is a flag that is repeated"
        );

        assert_eq!(
            args.silent,
            Duration::from_secs(60),
            "what the file does not name keeps its default"
        );
    }

    #[test]
    fn a_wrong_file_is_told_with_its_name_and_the_setting() {
        for (text, word) in [
            ("heartbeet = '3s'", "there is no setting `heartbeet`"),
            ("config = 'other.toml'", "there is no setting `config`"),
            ("heartbeat = 'soon'", "25s, 500ms"),
            ("heartbeat = true", "not a boolean"),
            ("listen = ['a', 'b']", "takes one value"),
            ("max-connections = -1", "max-connections"),
            ("turn-url = 'turn:a'", "--turn-secret"),
            ("stun-url = ['http://x']", "stun:stun.example.org"),
            ("listen = ", "line 1"),
        ] {
            let file = file(text);
            let path = file.path().display().to_string();
            let refusal = load(&["--config", &path]).expect_err(text);
            assert!(
                refusal.contains(word),
                "{text}: the sentence must hold {word}: {refusal}"
            );
            assert!(
                !refusal.contains("error: "),
                "{text}: one sentence, not two: {refusal}"
            );
        }

        let refusal = load(&["--config", "/nowhere/relay.toml"]).expect_err("no such file");
        assert!(
            refusal.contains("/nowhere/relay.toml"),
            "the file is named: {refusal}"
        );
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (words, word) in [
            (&["--silent", "5s", "--heartbeat", "10s"][..], "--silent"),
            (&["--turn-url", "turn:a:3478"], "--turn-secret"),
            (&["--turn-secret", "x"], "--turn-url"),
            (
                &["--turn-url", "turn:a:3478", "--turn-secret", " "],
                "empty",
            ),
            (
                &[
                    "--turn-url",
                    "turn:a:3478",
                    "--turn-secret",
                    "CHANGE-ME-to-something",
                ],
                "openssl",
            ),
            (
                &[
                    "--turn-url",
                    "turn:a:3478",
                    "--turn-secret",
                    "x",
                    "--turn-ttl",
                    "0",
                ],
                "--turn-ttl",
            ),
            (&["--tls-cert", "x"], "--tls-key"),
            (&["--tls-key", "x"], "--tls-cert"),
            (&["--log-level", "loud=very=much"], "--log-level"),
        ] {
            let refusal = load(words).expect_err("these do not fit");
            assert!(
                refusal.contains(word),
                "{words:?}: the sentence must hold {word}: {refusal}"
            );
        }

        assert!(load(&[]).is_ok(), "the defaults are good");
    }

    #[test]
    fn the_upgrade_limit_follows_the_connections_of_an_address() {
        assert_eq!(load(&[]).unwrap().rate_upgrades(), 300);
        assert_eq!(
            load(&["--max-connections-per-address", "0"])
                .unwrap()
                .rate_upgrades(),
            0,
            "both are off"
        );
        assert_eq!(load(&["--rate-upgrades", "5"]).unwrap().rate_upgrades(), 5);
    }
}
