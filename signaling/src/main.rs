//! The signaling server as a program: `tandem-signaling --listen 127.0.0.1:9000`.
//!
//! When it is ready, it prints one line with its address on stdout; the log goes to stderr. SIGTERM
//! and Ctrl-C let calls end before it exits; a second one exits at once. SIGHUP reloads files. The
//! exit code is 0 after a shutdown, 1 if the server cannot run, 2 if a setting is wrong.
//!
//! `tandem-signaling admin COMMAND` asks a running server instead: see `admin`.

mod admin;
mod args;
mod memory;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use tandem_signaling::server::{SignalingServer, StartError};
use tracing_subscriber::EnvFilter;

use args::{Args, LogFormat, Refusal, Switch};

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "admin")
    {
        return admin::run();
    }

    let (args, filter) = match Args::load()
        .and_then(|args| Ok((args.log_filter().map_err(Refusal::Sentence)?, args)))
    {
        Ok((filter, args)) => (args, filter),
        // Help and version go to stdout with exit 0, everything else to stderr with exit 2.
        Err(Refusal::Clap(error)) => error.exit(),
        Err(Refusal::Sentence(message)) => {
            print_error(&message);
            return ExitCode::from(2);
        }
    };

    match start(args, filter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("{error:#}"));
            // A file that a setting names is part of the settings.
            let is_setting = matches!(error.downcast_ref(), Some(StartError::Settings(_)));

            if is_setting {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Prints to stderr, ignoring that it may be closed.
fn print_error(message: &str) {
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

    memory::start_trimming();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let upgrades = args.rate_upgrades();
    let mut builder = SignalingServer::builder()
        .listen(args.listen)
        .max_connections(args.max_connections)
        .limit_address(args.max_connections_per_address, upgrades)
        .limit_traffic(args.rate_messages, args.rate_bytes)
        .limit_requests(args.rate_find, args.rate_reports)
        .limit_rooms(args.rate_rooms)
        .heartbeat(args.heartbeat)
        .silent(args.silent)
        .resume_window(args.resume_window)
        .drain_deadline(args.drain_deadline)
        .report_retention(args.report_retention)
        .restrict(args.restrict_after, args.restrict_within, args.restrict_for)
        .guest_page(args.guest_page == Switch::On);

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

    if let Some(file) = args.peer_key {
        builder = builder.peer_key(file);
    }

    if let Some(url) = args.report_webhook {
        builder = builder.report_webhook(url);
    }

    if let Some(path) = args.admin_socket {
        builder = builder.admin_socket(path);
    }

    if let Some(url) = args.download_url {
        builder = builder.download_url(url);
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

    if let Some(settings) = args.turn.settings(args.turn_ttl) {
        builder = builder.turn_server(settings);
    }

    // Before the start, so that no signal is missed.
    let mut signals = Signals::listen()?;
    let server = builder.start().await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", server.url())
        .and_then(|()| stdout.flush())
        .context("cannot print the address")?;

    let is_signalled = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => server.reload(),
                Signal::Stop => break true,
            },
            () = server.drain_requested() => break false,
        }
    };

    let second_signal = async {
        if !is_signalled {
            // A service manager stops the server that `admin drain` has prepared: calls may still end.
            signals.stop().await;
            tracing::info!("draining already: another signal cuts all connections");
        }

        signals.stop().await;
    };
    tokio::select! {
        () = server.shutdown() => {}
        () = second_signal => tracing::warn!("second signal: cutting all connections"),
    }

    Ok(())
}

/// What the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// Shut down.
    Stop,
    /// Reload the files.
    #[cfg_attr(not(unix), expect(dead_code, reason = "Windows has no signal for it"))]
    Reload,
}

/// Ctrl-C and, on Unix, SIGTERM and SIGHUP. They stay caught until the process exits, so that none
/// kills it in the middle of the shutdown.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Waits for a signal to stop, ignoring others.
    async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}

#[cfg(unix)]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot catch Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("cannot catch SIGTERM")?,
            hangup: signal(SignalKind::hangup()).context("cannot catch SIGHUP")?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
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
            tracing::error!("cannot catch Ctrl-C: stop the server another way");
            std::future::pending::<()>().await;
        }

        Signal::Stop
    }
}
