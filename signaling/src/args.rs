//! The command line. Every flag can also be given as an environment variable `TANDEM_SIGNALING_…`.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Introduces two peers and passes their WebRTC handshake between them.
#[derive(Debug, Parser)]
#[command(name = "tandem-signaling", version)]
pub(crate) struct Args {
    /// Address and port to listen on; port 0 picks a free one.
    #[arg(long, env = "TANDEM_SIGNALING_LISTEN", default_value = "127.0.0.1:9000", value_name = "ADDR:PORT")]
    pub(crate) listen: String,

    /// How many connections at a time; 0: no limit.
    #[arg(long, env = "TANDEM_SIGNALING_MAX_CONNECTIONS", default_value_t = 20_000, value_name = "N")]
    pub(crate) max_connections: usize,

    /// A ping this often; 0: none.
    #[arg(long, env = "TANDEM_SIGNALING_HEARTBEAT", default_value = "25s", value_parser = duration)]
    pub(crate) heartbeat: Duration,

    /// A connection silent for this long is dead; 0: never.
    #[arg(long, env = "TANDEM_SIGNALING_SILENT", default_value = "60s", value_parser = duration)]
    pub(crate) silent: Duration,

    /// How long calls may go on after SIGTERM or Ctrl-C.
    #[arg(long, env = "TANDEM_SIGNALING_DRAIN_DEADLINE", default_value = "30s", value_parser = duration)]
    pub(crate) drain_deadline: Duration,

    /// An Origin from which browsers may connect, `*` for any; may be repeated.
    #[arg(long, env = "TANDEM_SIGNALING_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,

    /// A STUN server for the clients, like stun:stun.example.org:3478; may be repeated.
    #[arg(long, env = "TANDEM_SIGNALING_STUN_URL", value_delimiter = ',', value_name = "URL", value_parser = stun_url)]
    pub(crate) stun_url: Vec<String>,

    /// How logs are written to stderr.
    #[arg(long, env = "TANDEM_SIGNALING_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// error, warn, info, debug or trace; also per module, like info,tandem_signaling=debug.
    #[arg(long, env = "TANDEM_SIGNALING_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: String,

    #[command(flatten)]
    unsupported: Unsupported,
}

/// A form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for a person.
    Text,
    /// A JSON object a line.
    Json,
}

macro_rules! unsupported {
    ($($field:ident $flag:literal $env:literal,)*) => {
        /// Flags of the relay's contract that this version refuses: starting without what they ask for would be worse.
        #[derive(Debug, clap::Args)]
        struct Unsupported {
            $(#[arg(long = $flag, env = $env, hide = true, num_args = 0..=1, default_missing_value = "")]
            $field: Vec<String>,)*
        }

        impl Unsupported {
            fn given(&self) -> Option<(&'static str, &'static str)> {
                $(if !self.$field.is_empty() {
                    return Some(($flag, $env));
                })*
                None
            }
        }
    };
}

unsupported! {
    config "config" "TANDEM_SIGNALING_CONFIG",
    redis "redis" "TANDEM_SIGNALING_REDIS",
    turn_url "turn-url" "TANDEM_SIGNALING_TURN_URL",
    turn_secret "turn-secret" "TANDEM_SIGNALING_TURN_SECRET",
    tls_cert "tls-cert" "TANDEM_SIGNALING_TLS_CERT",
    tls_key "tls-key" "TANDEM_SIGNALING_TLS_KEY",
    max_connections_per_address "max-connections-per-address" "TANDEM_SIGNALING_MAX_CONNECTIONS_PER_ADDRESS",
    rate_messages "rate-messages" "TANDEM_SIGNALING_RATE_MESSAGES",
    rate_bytes "rate-bytes" "TANDEM_SIGNALING_RATE_BYTES",
    rate_find "rate-find" "TANDEM_SIGNALING_RATE_FIND",
    resume_window "resume-window" "TANDEM_SIGNALING_RESUME_WINDOW",
    ban_file "ban-file" "TANDEM_SIGNALING_BAN_FILE",
    reports "reports" "TANDEM_SIGNALING_REPORTS",
    jwt_key "jwt-key" "TANDEM_SIGNALING_JWT_KEY",
    trusted_proxy "trusted-proxy" "TANDEM_SIGNALING_TRUSTED_PROXY",
}

impl Args {
    /// What clap cannot see; gives the filter of the log, or a sentence on what is wrong and what is allowed.
    pub(crate) fn check(&self) -> Result<EnvFilter, String> {
        if let Some((flag, env)) = self.unsupported.given() {
            return Err(format!(
                "--{flag} is not supported by this version of the relay: leave it out (and {env} unset)"
            ));
        }
        if !self.silent.is_zero() && !self.heartbeat.is_zero() && self.silent <= self.heartbeat {
            return Err("--silent must be longer than --heartbeat, or every idle connection would be closed".into());
        }
        let mut filter = EnvFilter::try_new(&self.log_level).map_err(
            |_| "--log-level must be error, warn, info, debug or trace, or a list like info,tandem_signaling=debug",
        )?;
        // These write whole frames into their trace logs: names, SDP and candidates.
        for quiet in ["tungstenite=off", "tokio_tungstenite=off"] {
            filter = filter.add_directive(quiet.parse().expect("a constant directive"));
        }
        Ok(filter)
    }
}

/// `25s`, `500ms`, `2m`, `1h`, or a plain number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let ms_per_unit = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(ms_per_unit)) {
        // A day bounds what is added to a clock.
        Some(ms) if ms_per_unit > 0 && ms <= 86_400_000 => Ok(Duration::from_millis(ms)),
        _ => Err("write it like 25s, 500ms, 2m or 1h (a day at most); 0 switches it off".into()),
    }
}

fn stun_url(text: &str) -> Result<String, String> {
    match text.strip_prefix("stun:").or_else(|| text.strip_prefix("stuns:")) {
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => Ok(text.to_owned()),
        _ => Err("write it like stun:stun.example.org:3478".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0"), Ok(Duration::ZERO), "0 switches a limit off");
        for text in ["", "s", "-1s", "1.5s", "1d", "1 s", "25h", "99999999999999999999s", "18446744073709551615s"] {
            assert!(duration(text).is_err(), "{text:?} is not a duration of at most a day");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn what_is_not_there_yet_is_refused() {
        let check = |args: &[&str]| Args::parse_from([&["tandem-signaling"], args].concat()).check();
        assert!(check(&[]).is_ok(), "the defaults are good");
        let refusal = check(&["--redis", "redis://localhost"]).expect_err("the relay has no Redis store");
        assert!(refusal.contains("--redis"), "the sentence names the flag: {refusal}");
        assert!(check(&["--silent", "5s", "--heartbeat", "10s"]).is_err(), "idle connections would all be closed");
    }
}
