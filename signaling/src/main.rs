//! The signaling relay as a program: `tandem-signaling --listen 127.0.0.1:9000`.
//!
//! It prints one line with the bound address on stdout when it is ready; logs go to stderr. SIGTERM and Ctrl-C shut it
//! down properly, a second one at once. Exit 0 after a shutdown, 1 if it cannot run, 2 for a wrong configuration.

mod args;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use tandem_signaling::server::Relay;
use tracing_subscriber::EnvFilter;

use args::{Args, LogFormat, Refusal};

fn main() -> ExitCode {
    let (args, filter) = match Args::load().and_then(|args| Ok((args.log_filter().map_err(Refusal::Sentence)?, args))) {
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
            ExitCode::FAILURE
        }
    }
}

/// To stderr; if even that is gone, nobody can be told.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "tandem-signaling: {message}");
}

fn start(args: Args, filter: EnvFilter) -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    let runtime = tokio::runtime::Runtime::new().context("the async runtime does not start")?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let mut builder = Relay::builder()
        .listen(args.listen)
        .max_connections(args.max_connections)
        .heartbeat(args.heartbeat)
        .silent(args.silent)
        .drain_deadline(args.drain_deadline);
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
    writeln!(stdout, "listening on ws://{}/ws", relay.local_addr())
        .and_then(|()| stdout.flush())
        .context("the address cannot be printed")?;
    signals.next().await;
    tokio::select! {
        () = relay.shutdown() => {}
        () = signals.next() => tracing::warn!("second signal: all connections are cut"),
    }
    Ok(())
}

/// Ctrl-C and, on Unix, SIGTERM. Caught from the start, so that none falls between the shutdown's steps.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("Ctrl-C cannot be caught")?,
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            tracing::error!("Ctrl-C cannot be caught: end the process by other means");
            std::future::pending::<()>().await;
        }
    }
}
