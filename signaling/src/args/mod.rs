//! The command line. Every flag is also an environment variable `TANDEM_SIGNALING_…` and a key of
//! the TOML file that `--config` names. A flag overrides the variable, the variable overrides the
//! file, the file overrides the default.

mod file;
mod turn;
pub(crate) mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use turn::TurnArgs;
use values::{cidr, days, duration, redis_url, stun_url, turn_url, web_url};

/// The signaling server of Tandem: matches two people and passes their WebRTC handshake on.
///
/// It listens for WebSockets at /ws, serves the page on which guests join a call (/j/NUMBER), and
/// answers /livez, /readyz and /metrics. It keeps everything in memory, unless --redis joins it
/// with other servers.
#[derive(Debug, Parser)]
#[command(name = "tandem-signaling", version, after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Address and port to listen on. Port 0 picks a free one; 0.0.0.0 and [::] accept connections
    /// from anywhere.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_LISTEN",
        default_value = "127.0.0.1:9000",
        value_name = "ADDR:PORT"
    )]
    pub(crate) listen: String,

    /// Read settings from a TOML file. Its keys are the names of these flags (`max-connections =
    /// 5000`, `turn-url = ["turn:…"]`).
    ///
    /// A flag overrides its environment variable, the variable overrides the file, the file
    /// overrides the default.
    #[arg(long, env = "TANDEM_SIGNALING_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Share users with other servers through this Redis: all of them are matched, and a call
    /// outlives its server.
    #[arg(long, env = "TANDEM_SIGNALING_REDIS", value_name = "URL", hide_env_values = true, value_parser = redis_url)]
    pub(crate) redis: Option<String>,

    /// Where people get Tandem, like https://example.org/tandem: the page of an invite's link
    /// (/j/NUMBER) and the one at / offer it to those who don't have it.
    #[arg(long, env = "TANDEM_SIGNALING_DOWNLOAD_URL", value_name = "URL", value_parser = web_url)]
    pub(crate) download_url: Option<String>,

    /// Let guests join a call in their browser, on the page behind its link (/j/NUMBER), and say at /
    /// what this server is.
    ///
    /// Browsers give a page camera and microphone only over https://. When off, the page of a link
    /// opens Tandem and nothing else.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_GUEST_PAGE",
        default_value = "on",
        value_name = "on|off"
    )]
    pub(crate) guest_page: Switch,

    /// Allow browsers to connect from pages of this Origin, `*` for any. Can be repeated.
    ///
    /// Programs send no Origin and can always connect, and so can this server's own guest page. Write
    /// it as a browser does: https://chat.example.org
    #[arg(
        long,
        env = "TANDEM_SIGNALING_ALLOW_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    #[arg(help_heading = "Who may connect")]
    pub(crate) allow_origin: Vec<String>,

    /// Require a bearer token (JWT) of every client, signed with the key in this file: an HS256
    /// secret or an Ed25519 public key (PEM).
    ///
    /// Programs send `Authorization: Bearer TOKEN`. Browsers cannot; they send the query
    /// `?token=TOKEN` or the WebSocket subprotocols `tandem` and `bearer.TOKEN`. The token needs
    /// `sub` and `exp`; blocks and bans apply to `sub`. The file is read again on SIGHUP.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_JWT_KEY",
        value_name = "FILE",
        help_heading = "Who may connect"
    )]
    pub(crate) jwt_key: Option<PathBuf>,

    /// Ban the clients in this file: one address, address range or `user:SUB` per line. Read again
    /// on SIGHUP.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_BAN_FILE",
        value_name = "FILE",
        help_heading = "Who may connect"
    )]
    pub(crate) ban_file: Option<PathBuf>,

    /// Trust the X-Forwarded-For of proxies in this address range. Can be repeated.
    ///
    /// The client is the rightmost address in that header that is not a trusted proxy itself.
    #[arg(long, env = "TANDEM_SIGNALING_TRUSTED_PROXY", value_delimiter = ',', value_name = "CIDR", value_parser = cidr)]
    #[arg(help_heading = "Who may connect")]
    pub(crate) trusted_proxy: Vec<IpNet>,

    /// Give clients this TURN server, like turn:turn.example.org:3478. Can be repeated. Needs
    /// --turn-secret.
    #[arg(long, env = "TANDEM_SIGNALING_TURN_URL", value_delimiter = ',', value_name = "URL", value_parser = turn_url)]
    #[arg(help_heading = "STUN and TURN")]
    pub(crate) turn_url: Vec<String>,

    /// The secret shared with coturn (its static-auth-secret). Safer in the file or the environment
    /// than on the command line.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_TURN_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    #[arg(hide_default_value = true, help_heading = "STUN and TURN")]
    pub(crate) turn_secret: Option<String>,

    /// How long the TURN credentials of a client are valid. Clients ask for new ones in time.
    #[arg(long, env = "TANDEM_SIGNALING_TURN_TTL", default_value = "1h", value_parser = duration, value_name = "TIME")]
    #[arg(help_heading = "STUN and TURN")]
    pub(crate) turn_ttl: Duration,

    /// Give clients this STUN server, like stun:stun.example.org:3478. Can be repeated.
    #[arg(long, env = "TANDEM_SIGNALING_STUN_URL", value_delimiter = ',', value_name = "URL", value_parser = stun_url)]
    #[arg(help_heading = "STUN and TURN")]
    pub(crate) stun_url: Vec<String>,

    /// The TURN server in this program.
    #[command(flatten)]
    pub(crate) turn: TurnArgs,

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

    /// Connections open at the same time; more get 503.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_MAX_CONNECTIONS",
        default_value_t = 20_000,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) max_connections: usize,

    /// Connections open at the same time from one address (IPv6: from one /64); more get 429.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_MAX_CONNECTIONS_PER_ADDRESS",
        default_value_t = 100,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) max_connections_per_address: u32,

    /// Upgrades and pages per minute from one address; more get 429. Default: three for each connection that
    /// --max-connections-per-address allows.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_UPGRADES",
        value_name = "N",
        help_heading = "Limits (0 switches one off)"
    )]
    pub(crate) rate_upgrades: Option<u32>,

    /// Messages per second on one connection, pings included; twice as many may come at once. More
    /// get `rate_limited`.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_MESSAGES",
        default_value_t = 100,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) rate_messages: u32,

    /// Bytes per second on one connection; twice as many may come at once. More get `rate_limited`.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_BYTES",
        default_value_t = 1_048_576,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) rate_bytes: u32,

    /// Searches (`find_partner`, `next`) per minute on one connection, and on all connections with
    /// one token's `sub`. More get `rate_limited`.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_FIND",
        default_value_t = 60,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) rate_find: u32,

    /// Reports per minute on one connection, and on all connections with one token's `sub`. More
    /// get `rate_limited`.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_REPORTS",
        default_value_t = 10,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) rate_reports: u32,

    /// Different rooms per minute that are searched for or listened in from one address (IPv6: from
    /// one /64); a third of that on one connection, and on all connections with one token's `sub`.
    /// More get `rate_limited`.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RATE_ROOMS",
        default_value_t = 60,
        value_name = "N"
    )]
    #[arg(help_heading = "Limits (0 switches one off)")]
    pub(crate) rate_rooms: u32,

    /// Send a WebSocket ping this often; 0: never.
    #[arg(long, env = "TANDEM_SIGNALING_HEARTBEAT", default_value = "25s", value_parser = duration)]
    #[arg(value_name = "TIME", help_heading = "Times")]
    pub(crate) heartbeat: Duration,

    /// Close a connection that is silent for this long; 0: never.
    #[arg(long, env = "TANDEM_SIGNALING_SILENT", default_value = "60s", value_parser = duration)]
    #[arg(value_name = "TIME", help_heading = "Times")]
    pub(crate) silent: Duration,

    /// Keep a client whose connection broke, and its call, for this long; 0: not at all.
    #[arg(long, env = "TANDEM_SIGNALING_RESUME_WINDOW", default_value = "30s", value_parser = duration)]
    #[arg(value_name = "TIME", help_heading = "Times")]
    pub(crate) resume_window: Duration,

    /// Let calls continue for this long after SIGTERM or Ctrl-C; a second signal ends them at once.
    #[arg(long, env = "TANDEM_SIGNALING_DRAIN_DEADLINE", default_value = "30s", value_parser = duration)]
    #[arg(value_name = "TIME", help_heading = "Times")]
    pub(crate) drain_deadline: Duration,

    /// Append users' reports to this file, one JSON object per line. Reopened on SIGHUP.
    ///
    /// Without a file, but with --redis, they go to the stream {tandem}:reports there. Without
    /// either, they are refused.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_REPORTS",
        value_name = "FILE",
        help_heading = "Records"
    )]
    pub(crate) reports: Option<PathBuf>,

    /// Delete reports, with their snapshots, when they are this old; 0: never.
    #[arg(long, env = "TANDEM_SIGNALING_REPORT_RETENTION", default_value = "90d", value_parser = days)]
    #[arg(value_name = "TIME", help_heading = "Records")]
    pub(crate) report_retention: Duration,

    /// The file with the key of the hashes by which reports and bans name clients; made if it is
    /// missing. Servers that share a Redis need the same one.
    ///
    /// Default: the file of --reports with .key added; without one, a new key with each start.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_PEER_KEY",
        value_name = "FILE",
        help_heading = "Records"
    )]
    pub(crate) peer_key: Option<PathBuf>,

    /// Ban a client by itself once it was reported from this many different networks (with tokens: by
    /// this many people) within --restrict-within; 0: never.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_RESTRICT_AFTER",
        default_value_t = 0,
        value_name = "N",
        help_heading = "Records"
    )]
    pub(crate) restrict_after: u32,

    /// The time within which reports count for --restrict-after.
    #[arg(long, env = "TANDEM_SIGNALING_RESTRICT_WITHIN", default_value = "1d", value_parser = days)]
    #[arg(value_name = "TIME", help_heading = "Records")]
    pub(crate) restrict_within: Duration,

    /// How long such a ban lasts.
    #[arg(long, env = "TANDEM_SIGNALING_RESTRICT_FOR", default_value = "1d", value_parser = days)]
    #[arg(value_name = "TIME", help_heading = "Records")]
    pub(crate) restrict_for: Duration,

    /// Tell the program at this https:// address of each new report, by a POST of JSON without what
    /// the user wrote. On this machine, http:// is possible.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_REPORT_WEBHOOK",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Records"
    )]
    pub(crate) report_webhook: Option<String>,

    /// Take commands of the operator on this socket: `tandem-signaling admin --help` lists them.
    /// Only the user who runs the server, and root, can use it. On Windows it is a named pipe,
    /// \\.\pipe\NAME, of that user and the administrators.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_ADMIN_SOCKET",
        value_name = "FILE",
        help_heading = "Records"
    )]
    pub(crate) admin_socket: Option<PathBuf>,

    /// The format of the log on standard error.
    #[arg(
        long,
        env = "TANDEM_SIGNALING_LOG_FORMAT",
        default_value = "text",
        help_heading = "Records"
    )]
    pub(crate) log_format: LogFormat,

    /// What to log: error, warn, info, debug or trace; also per module, like
    /// info,tandem_signaling=debug.
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
      for this machine only, to try it out
  tandem-signaling --listen 0.0.0.0:9000 --stun-url stun:stun.example.org:3478
      for a local network
  tandem-signaling --config /etc/tandem-signaling.toml
      on the internet; docs/operating.md explains the file, TLS, coturn and Redis
  tandem-signaling admin --help
      to read reports, ban people and look into a running server

When it is ready, it prints one line with its address on standard output; the log goes to standard error.
SIGTERM and Ctrl-C shut it down once calls have ended, or after --drain-deadline. SIGHUP reloads the certificate and
its key, the token key and the ban list, and reopens the reports.
Exit codes: 0 after a shutdown, 1 if it cannot run, 2 if a setting is wrong.";

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines to read.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why the arguments could not be loaded.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Help, the version, or clap's error about a flag.
    Clap(clap::Error),
    /// What is wrong with the file, or which settings do not fit together.
    Sentence(String),
}

impl Args {
    /// Reads the command line, the environment and the file that either names.
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

        // Flags and environment were valid without the file, so the error is in the file.
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

    /// Checks that the settings fit together.
    fn check(&self) -> Result<(), String> {
        if !self.silent.is_zero() && !self.heartbeat.is_zero() && self.silent <= self.heartbeat {
            return Err(
                "--silent must be longer than --heartbeat, or every idle connection is closed"
                    .into(),
            );
        }

        match (&self.turn_url.is_empty(), &self.turn_secret) {
            (false, None) => {
                return Err(
                    "--turn-url needs --turn-secret: without it, no client can use the TURN server"
                        .into(),
                );
            }
            (true, Some(_)) => {
                return Err(
                    "--turn-secret needs --turn-url: name the TURN server that it is for".into(),
                );
            }
            (false, Some(secret)) if secret.trim().is_empty() => {
                return Err(
                    "--turn-secret is empty: set it to the static-auth-secret of the TURN server"
                        .into(),
                );
            }
            (false, Some(secret)) if secret.starts_with("CHANGE-ME") => {
                return Err(
                    "--turn-secret is still the one from the example: make one with `openssl rand -hex 32`".into()
                );
            }
            _ => {}
        }

        let has_turn = !(self.turn_url.is_empty() && self.turn.turn_listen.is_empty());
        if has_turn && self.turn_ttl < Duration::from_secs(1) {
            return Err(
                "--turn-ttl must be at least 1s, or every credential has expired before it is used"
                    .into(),
            );
        }

        self.turn.check()?;
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => {
                return Err("--tls-cert needs --tls-key, the certificate's private key".into());
            }
            (None, Some(_)) => {
                return Err("--tls-key needs --tls-cert, the key's certificate chain".into());
            }
            _ => {}
        }

        let takes_reports = self.reports.is_some() || self.redis.is_some();
        if !takes_reports && (self.report_webhook.is_some() || self.restrict_after > 0) {
            return Err(
                "--report-webhook and --restrict-after need --reports or --redis: without them, \
                 reports are refused"
                    .into(),
            );
        }

        if self.restrict_after > 0
            && (self.restrict_within.is_zero() || self.restrict_for.is_zero())
        {
            return Err(
                "--restrict-within and --restrict-for must not be 0: nobody would be restricted"
                    .into(),
            );
        }

        self.log_filter()?;
        Ok(())
    }

    /// The log filter for `--log-level`.
    pub(crate) fn log_filter(&self) -> Result<EnvFilter, String> {
        let mut filter = EnvFilter::try_new(&self.log_level).map_err(|error| {
            format!(
                "--log-level must be error, warn, info, debug or trace, or a list like \
                 info,tandem_signaling=debug ({error})"
            )
        })?;

        // These log whole frames and requests: names, SDP, candidates and tokens.
        for quiet in [
            "tungstenite=off",
            "tokio_tungstenite=off",
            "rustls=off",
            "tokio_rustls=off",
            "redis=off",
        ] {
            filter = filter.add_directive(quiet.parse().expect("a valid directive"));
        }

        Ok(filter)
    }

    /// Upgrades per minute from one address.
    pub(crate) fn rate_upgrades(&self) -> u32 {
        self.rate_upgrades
            .unwrap_or(self.max_connections_per_address.saturating_mul(3))
    }
}

#[cfg(test)]
mod tests;
