//! The signaling server under load: `cargo xtask bench signaling` builds and runs this and prints
//! its table.
//!
//! The server runs on one core and this program on another. CPU time is the server's, as the
//! scheduler counts it. Limits and metrics are on.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod scenarios;
#[cfg(target_os = "linux")]
mod server;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("The signaling server is measured on Linux only: the figures come from /proc.");
}

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use anyhow::Context;
    let mut args = std::env::args().skip(1);
    let binary = std::path::PathBuf::from(
        args.next()
            .context("the first argument is the path of tandem-signaling")?,
    );
    let only: Vec<String> = args.collect();

    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(bench::run(&binary, &only))
}

#[cfg(target_os = "linux")]
mod bench {
    #![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

    use std::path::Path;
    use std::time::{Duration, Instant};

    use anyhow::{Context, Result};
    use tokio::time::sleep;

    use super::scenarios::{
        Footprint, churn, connect, latency, match_all, pairs, saturate, slow_reader,
    };
    use super::server::{Redis, Server};

    const SERVER_CORE: usize = 0;
    const OTHER_CORE: usize = 1;
    /// Idle connections whose memory and CPU time are measured.
    const IDLE_CLIENTS: usize = 10_000;
    /// Messages in flight in each call at saturation.
    const WINDOW: usize = 16;
    /// How long the server has to finish what it began, before it is measured.
    const SETTLE: Duration = Duration::from_millis(1500);

    /// Prints one row of the table.
    fn row(what: &str, figure: impl std::fmt::Display, budget: &str) {
        println!("| {what} | {figure} | {budget} |");
    }

    /// Runs the parts that `only` names (`relay`, `latency`, `idle`, `match`, `slow`, `redis`), all
    /// of them if it is empty, or `churn SECONDS [redis]`.
    pub(super) async fn run(binary: &Path, only: &[String]) -> Result<()> {
        if only.first().is_some_and(|word| word == "churn") {
            let seconds = only
                .get(1)
                .and_then(|word| word.parse().ok())
                .context("churn SECONDS [redis]")?;

            return churn_report(
                binary,
                seconds,
                only.get(2).is_some_and(|word| word == "redis"),
            )
            .await;
        }

        let wanted = |part: &str| only.is_empty() || only.iter().any(|word| word == part);
        println!("| what | here | budget |\n|---|---|---|");

        if wanted("relay") {
            for (bytes, budget) in [(200, "≤ 5 µs"), (2000, "≤ 7 µs")] {
                let server = Server::start(binary, SERVER_CORE, None)?;
                let mut all = pairs(server.address, server.address, 50).await?;
                let it =
                    saturate(&[&server], &mut all, bytes, WINDOW, Duration::from_secs(4)).await?;
                let figure = format!("{:.2} µs ({:.0} msg/s)", it.cpu_us, it.messages_per_second);
                row(
                    &format!("CPU per relayed message of {bytes} B, saturated"),
                    figure,
                    budget,
                );
                let it = saturate(&[&server], &mut all, bytes, 1, Duration::from_secs(2)).await?;
                let figure = format!("{:.2} µs ({:.0} msg/s)", it.cpu_us, it.messages_per_second);
                row(
                    &format!("the same, one message at a time in each of 50 calls, {bytes} B"),
                    figure,
                    "-",
                );
            }
        }

        if wanted("latency") {
            let server = Server::start(binary, SERVER_CORE, None)?;
            let all = pairs(server.address, server.address, 500).await?;
            let (p50, p99) = latency(all, 5000, Duration::from_secs(5)).await?;
            let figure = format!(
                "{:.3} ms (p99 {:.2} ms)",
                p50.as_secs_f64() * 1e3,
                p99.as_secs_f64() * 1e3
            );

            row(
                "latency p50, 5,000 msg/s, 1,000 clients",
                figure,
                "≤ 0.2 ms",
            );
        }

        if wanted("idle") {
            let server = Server::start(binary, SERVER_CORE, None)?;
            drop(connect(server.address, 64).await?);
            sleep(SETTLE).await;
            let (memory, cpu) = (server.memory()?, server.cpu()?);
            let clients = connect(server.address, IDLE_CLIENTS).await?;
            sleep(SETTLE).await;
            let spent = (server.cpu()? - cpu).as_secs_f64() * 1e6 / IDLE_CLIENTS as f64;
            row("CPU per connect", format!("{spent:.1} µs"), "≤ 60 µs");
            let each =
                server.memory()?.saturating_sub(memory) as f64 / IDLE_CLIENTS as f64 / 1024.0;
            row(
                "memory per idle connection, 10,000 of them",
                format!("{each:.2} KiB"),
                "≤ 10 KB",
            );
            drop(clients);
        }

        if wanted("match") {
            let server = Server::start(binary, SERVER_CORE, None)?;
            let took = match_all(&[server.address], 2000).await?;
            row(
                "2,000 users matched, in memory",
                format!("{:.0} ms", took.as_secs_f64() * 1e3),
                "≤ 100 ms",
            );
        }

        if wanted("slow") {
            let server = Server::start(binary, SERVER_CORE, None)?;
            let grown = slow_reader(&server).await?;
            row(
                "growth by a reader that stops",
                format!("{:.2} MB", grown as f64 / 1e6),
                "≤ 5 MB",
            );
        }

        if wanted("redis") {
            let redis = Redis::start(OTHER_CORE)?;
            let (first, second) = (
                Server::start(binary, SERVER_CORE, Some(&redis.url()))?,
                Server::start(binary, SERVER_CORE, Some(&redis.url()))?,
            );
            let took = match_all(&[first.address, second.address], 2000).await?;
            row(
                "2,000 users of two nodes matched, over Redis",
                format!("{:.0} ms", took.as_secs_f64() * 1e3),
                "≤ 400 ms",
            );
            let mut all = pairs(first.address, second.address, 50).await?;
            let it = saturate(
                &[&first, &second],
                &mut all,
                200,
                WINDOW,
                Duration::from_secs(4),
            )
            .await?;

            let figure = format!(
                "{:.0} msg/s ({:.1} µs CPU of both servers)",
                it.messages_per_second, it.cpu_us
            );
            row("relayed from node to node, 200 B", figure, "≥ 20,000 msg/s");
        }

        Ok(())
    }

    async fn churn_report(binary: &Path, seconds: u64, clustered: bool) -> Result<()> {
        let redis = clustered.then(|| Redis::start(OTHER_CORE)).transpose()?;
        let server = Server::start(
            binary,
            SERVER_CORE,
            redis.as_ref().map(Redis::url).as_deref(),
        )?;
        // The first growth of the allocator and the runtime is not a leak.
        churn(server.address, 100, Duration::from_secs(5)).await?;
        let settle = async || {
            // Until calls can no longer be resumed and their memory is freed.
            sleep(Duration::from_secs(60)).await;
            Footprint::of(&server, redis.as_ref())
        };

        let before = settle().await?;
        let begun = Instant::now();
        let rounds = churn(server.address, 100, Duration::from_secs(seconds)).await?;
        let took = begun.elapsed().as_secs_f64();
        let after = settle().await?;
        println!("{rounds} calls in {took:.0} s\n\n| | before | after |\n|---|---|---|");
        println!(
            "| memory | {:.2} MB | {:.2} MB |",
            before.memory as f64 / 1e6,
            after.memory as f64 / 1e6
        );

        println!(
            "| descriptors | {} | {} |",
            before.descriptors, after.descriptors
        );
        if let (Some(before), Some(after)) = (before.keys, after.keys) {
            println!("| keys in Redis | {before} | {after} |");
        }

        if let (Some(before), Some(after)) = (before.sessions, after.sessions) {
            println!("| active_sessions | {before} | {after} |");
        }

        Ok(())
    }
}
