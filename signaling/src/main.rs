//! The signaling relay as a program: `tandem-signaling --listen 127.0.0.1:9000`.
//!
//! It prints one line with the bound address on stdout when it is ready; logs go to stderr. SIGTERM and Ctrl-C shut it
//! down properly, a second one at once. Exit 0 after a shutdown, 1 if it cannot run, 2 for a wrong configuration.

mod args;
mod memory;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use tandem_signaling::server::{Relay, RelayError};
use tracing_subscriber::EnvFilter;

use args::{Args, LogFormat, Refusal};

fn main() -> ExitCode {
    let (args, filter) = match Args::load()
        .and_then(|args| Ok((args.log_filter().map_err(Refusal::Sentence)?, args)))
    {
        Ok((filter, args)) => (args, filter),
        // Help and version go to stdout with exit 0, everything else to stderr with exit 2.
        Err(Refusal::Clap(error)) => error.exit(),
        Err(Refusal::Sentence(message)) => {
            complain(&message);
            return ExitCode::from(2);
        }
    };

    match start(args, filter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            // A file that the configuration names is part of the configuration.
            let wrong = matches!(error.downcast_ref(), Some(RelayError::Settings(_)));

            if wrong {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// To stderr; if even that is gone, nobody can be told.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "tandem-signaling: {message}");
}

fn start(args: Args, filter: EnvFilter) -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }

    memory::watch();
    let runtime = tokio::runtime::Runtime::new().context("the async runtime does not start")?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let upgrades = args.rate_upgrades();
    let mut builder = Relay::builder()
        .listen(args.listen)
        .max_connections(args.max_connections)
        .limit_address(args.max_connections_per_address, upgrades)
        .limit_traffic(args.rate_messages, args.rate_bytes)
        .limit_requests(args.rate_find, args.rate_reports)
        .heartbeat(args.heartbeat)
        .silent(args.silent)
        .resume_window(args.resume_window)
        .drain_deadline(args.drain_deadline);

    for range in args.trusted_proxy {
        builder = builder.trusted_proxy(range);
    }

    if let Some(file) = args.ban_file {
        builder = builder.ban_file(file);
    }

    if let Some(file) = args.jwt_key {
        builder = builder.jwt_key(file);
    }

    if let Some((cert, key)) = args.tls_cert.zip(args.tls_key) {
        builder = builder.tls(cert, key);
    }

    if let Some(url) = args.redis {
        builder = builder.redis(url);
    }

    if let Some(file) = args.reports {
        builder = builder.reports(file);
    }

    for origin in args.allow_origin {
        builder = builder.allow_origin(origin);
    }

    for url in args.stun_url {
        builder = builder.stun_url(url);
    }

    if let Some(secret) = args.turn_secret {
        builder = builder.turn(args.turn_url, secret, args.turn_ttl);
    }

    let mut signals = Signals::listen()?;
    let relay = builder.start().await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", relay.url())
        .and_then(|()| stdout.flush())
        .context("the address cannot be printed")?;

    while signals.next().await == Signal::Reload {
        relay.reload();
    }

    tokio::select! {
        () = relay.shutdown() => {}
        () = signals.end() => tracing::warn!("second signal: all connections are cut"),
    }

    Ok(())
}

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// Shut down.
    End,
    /// Read the files again.
    Reload,
}

/// Ctrl-C and, on Unix, SIGTERM and SIGHUP. Caught from the start, so that none falls between the shutdown's steps.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Waits until the end is asked for.
    async fn end(&mut self) {
        while self.next().await != Signal::End {}
    }
}

#[cfg(unix)]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("Ctrl-C cannot be caught")?,
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?,
            hangup: signal(SignalKind::hangup()).context("SIGHUP cannot be caught")?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::End,
            _ = self.terminate.recv() => Signal::End,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            tracing::error!("Ctrl-C cannot be caught: end the process by other means");
            std::future::pending::<()>().await;
        }

        Signal::End
    }
}
