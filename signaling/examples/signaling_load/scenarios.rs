//! The loads, and what is measured under each.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{interval_at, sleep, timeout};

use crate::client::{Client, candidate, stamp};
use crate::server::{Redis, Server};

/// How many clients connect at a time: few enough that the kernel's queue of new connections is
/// never the limit.
const CONNECTING: usize = 64;

/// Two clients in a call, of which one sends.
pub(crate) struct Pair {
    pub(crate) sender: Client,
    pub(crate) receiver: Client,
    /// The receiver's socketId.
    pub(crate) to: String,
}

/// Connects this many clients.
pub(crate) async fn connect(address: SocketAddr, clients: usize) -> Result<Vec<Client>> {
    let mut connected = Vec::with_capacity(clients);
    while connected.len() < clients {
        let mut set = JoinSet::new();
        for _ in 0..CONNECTING.min(clients - connected.len()) {
            set.spawn(Client::connect(address));
        }

        while let Some(client) = set.join_next().await {
            let mut client = client??;
            client.shrink();
            connected.push(client);
        }
    }

    Ok(connected)
}

/// Starts this many calls, each in its own room; the two sides may be on different servers.
pub(crate) async fn pairs(
    first: SocketAddr,
    second: SocketAddr,
    count: usize,
) -> Result<Vec<Pair>> {
    let (senders, receivers) = (connect(first, count).await?, connect(second, count).await?);
    let mut pairs = Vec::with_capacity(count);

    for (n, (mut sender, mut receiver)) in senders.into_iter().zip(receivers).enumerate() {
        let room = format!("load-{n}");
        sender.find(Some(&room)).await?;
        sender.expect("searching").await?;
        receiver.find(Some(&room)).await?;
        let to = sender.found().await?.partner;
        receiver.found().await?;
        pairs.push(Pair {
            sender,
            receiver,
            to,
        });
    }

    Ok(pairs)
}

/// The result of [`saturate`].
pub(crate) struct Saturated {
    pub(crate) messages_per_second: f64,
    pub(crate) cpu_us: f64,
}

/// Relays as many messages as possible, with `window` of them in flight in each call.
pub(crate) async fn saturate(
    servers: &[&Server],
    pairs: &mut Vec<Pair>,
    bytes: usize,
    window: usize,
    time: Duration,
) -> Result<Saturated> {
    let relayed = Arc::new(AtomicU64::new(0));
    let mut set = JoinSet::new();
    let end = Instant::now() + Duration::from_millis(500) + time;

    for pair in pairs.drain(..) {
        set.spawn(pump(pair, bytes, window, end, relayed.clone()));
    }

    sleep(Duration::from_millis(500)).await;
    let cpu = || {
        servers
            .iter()
            .map(|server| server.cpu())
            .sum::<Result<Duration>>()
    };

    let (begun, before, count) = (Instant::now(), cpu()?, relayed.load(Ordering::Relaxed));
    sleep(time - Duration::from_millis(100)).await;
    let (took, spent) = (begun.elapsed(), cpu()? - before);
    let count = relayed.load(Ordering::Relaxed) - count;

    while let Some(pair) = set.join_next().await {
        pairs.push(pair??);
    }

    Ok(Saturated {
        messages_per_second: count as f64 / took.as_secs_f64(),
        cpu_us: spent.as_secs_f64() * 1e6 / count.max(1) as f64,
    })
}

async fn pump(
    mut pair: Pair,
    bytes: usize,
    window: usize,
    end: Instant,
    relayed: Arc<AtomicU64>,
) -> Result<Pair> {
    let message = candidate(&pair.to, bytes, 0)?;
    let (mut in_flight, mut due) = (0, window);

    while Instant::now() < end {
        pair.sender.stream.write_all(&message.repeat(due)).await?;
        in_flight += due;
        due = pair.receiver.take(|_| {}).await?;
        in_flight -= due;
        relayed.fetch_add(due as u64, Ordering::Relaxed);
    }

    while in_flight > 0 {
        in_flight -= pair.receiver.take(|_| {}).await?;
    }

    Ok(pair)
}

/// Latencies at a fixed rate over all calls: p50 and p99.
pub(crate) async fn latency(
    pairs: Vec<Pair>,
    messages_per_second: u32,
    time: Duration,
) -> Result<(Duration, Duration)> {
    let start = Instant::now();
    let count = u32::try_from(pairs.len())?;
    let period = Duration::from_secs(1) * count / messages_per_second;
    let samples = Arc::new(Mutex::new(Vec::new()));
    let mut set = JoinSet::new();

    for (n, pair) in pairs.into_iter().enumerate() {
        let Pair {
            mut sender,
            mut receiver,
            to,
        } = pair;
        let offset = period * u32::try_from(n)? / count;
        let samples = samples.clone();
        let wanted = usize::try_from(time.as_nanos() / period.as_nanos())?;
        set.spawn(async move {
            let mut ticks =
                interval_at((start + Duration::from_millis(200) + offset).into(), period);
            let send = async {
                for _ in 0..wanted {
                    ticks.tick().await;
                    let now = u64::try_from(start.elapsed().as_nanos())?;
                    sender.stream.write_all(&candidate(&to, 200, now)?).await?;
                }

                Ok::<_, anyhow::Error>(())
            };

            let receive = async {
                let mut latencies = Vec::with_capacity(wanted);
                while latencies.len() < wanted {
                    let mut stamps = Vec::new();
                    receiver
                        .take(|message| stamps.extend(stamp(message)))
                        .await?;
                    let now = u64::try_from(start.elapsed().as_nanos())?;
                    latencies.extend(stamps.iter().map(|stamp| now.saturating_sub(*stamp)));
                }

                samples.lock().extend(latencies);
                Ok::<_, anyhow::Error>(())
            };

            tokio::try_join!(send, receive)
        });
    }

    while let Some(done) = set.join_next().await {
        done??;
    }

    let mut samples = std::mem::take(&mut *samples.lock());
    samples.sort_unstable();
    let at =
        |part: f64| Duration::from_nanos(samples[((samples.len() - 1) as f64 * part) as usize]);

    Ok((at(0.5), at(0.99)))
}

/// How long it takes until each of `users` has a partner.
pub(crate) async fn match_all(addresses: &[SocketAddr], users: usize) -> Result<Duration> {
    let mut clients = Vec::new();
    for address in addresses {
        clients.extend(connect(*address, users / addresses.len()).await?);
    }

    let message = crate::client::frame(json!({ "type": "find_partner" }).to_string())?;
    let begun = Instant::now();

    for client in &mut clients {
        client.stream.write_all(&message).await?;
    }

    for client in &mut clients {
        timeout(Duration::from_secs(60), client.found())
            .await
            .context("a user found no partner")??;
    }

    Ok(begun.elapsed())
}

/// By how many bytes a client that stops reading makes the server grow.
pub(crate) async fn slow_reader(server: &Server) -> Result<u64> {
    let mut pairs = pairs(server.address, server.address, 1).await?;
    let Pair {
        mut sender,
        receiver,
        to,
    } = pairs.pop().context("one pair")?;
    let before = server.memory()?;
    let message = candidate(&to, 60_000, 0)?;
    let flood = async {
        loop {
            sender.stream.write_all(&message).await?;
            if let Ok(received) = timeout(Duration::from_micros(1), sender.next()).await {
                let message = received?;
                if message["type"] == "partner_reconnecting" || message["type"] == "partner_left" {
                    return Ok::<_, anyhow::Error>(());
                }
            }
        }
    };

    timeout(Duration::from_secs(60), flood)
        .await
        .context("the server did not close the slow reader")??;
    drop(receiver);
    Ok(server.peak_memory()?.saturating_sub(before))
}

/// What the server and its Redis hold, before and after a churn.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
    pub(crate) keys: Option<String>,
    pub(crate) sessions: Option<String>,
}

impl Footprint {
    pub(crate) fn of(server: &Server, redis: Option<&Redis>) -> Result<Self> {
        Ok(Self {
            memory: server.memory()?,
            descriptors: server.descriptors()?,
            keys: redis.map(|redis| redis.ask(&["DBSIZE"])).transpose()?,
            sessions: redis
                .map(|redis| redis.ask(&["SCARD", "active_sessions"]))
                .transpose()?,
        })
    }
}

/// Users connect, meet, send some candidates, press "Next" and leave, half of them without `bye`.
/// Returns the number of calls.
pub(crate) async fn churn(address: SocketAddr, users: usize, time: Duration) -> Result<u64> {
    let rounds = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + time;
    let mut set = JoinSet::new();

    for user in 0..users {
        let rounds = rounds.clone();
        set.spawn(async move {
            while Instant::now() < end {
                let mut client = Client::connect(address).await?;
                client.find(None).await?;

                for turn in 0..3 {
                    // A user that is left waiting, or whose partner left, disconnects.
                    let Ok(found) = timeout(Duration::from_millis(500), client.found()).await
                    else {
                        break;
                    };

                    let Ok(found) = found else { break };
                    let message = candidate(&found.partner, 500, 0)?;
                    client.stream.write_all(&message.repeat(4)).await?;
                    sleep(Duration::from_millis(5)).await;
                    rounds.fetch_add(1, Ordering::Relaxed);

                    if turn < 2 {
                        client
                            .send(&json!({ "type": "next", "sessionId": found.session }))
                            .await?;
                    }
                }

                if user % 2 == 0 {
                    client.send(&json!({ "type": "bye" })).await?;
                }
            }

            Ok::<_, anyhow::Error>(())
        });
    }

    while let Some(done) = set.join_next().await {
        done??;
    }

    Ok(rounds.load(Ordering::Relaxed))
}
