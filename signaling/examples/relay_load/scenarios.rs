//! What is measured.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{interval_at, sleep, timeout};

use crate::client::{Client, candidate, stamp};
use crate::relay::{Redis, Relay};

/// At a time, so that the kernel's queue of new connections is never the limit.
const CONNECTING: usize = 64;

/// A pair in a call: who sends, and to whom; who receives.
pub(crate) struct Pair {
    pub(crate) sender: Client,
    pub(crate) receiver: Client,
    /// The receiver's socketId.
    pub(crate) to: String,
}

/// Many clients, connected.
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

/// Many calls, each in a room of its own; the sides may be on different relays.
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

/// What saturation took.
pub(crate) struct Saturated {
    pub(crate) messages_per_second: f64,
    pub(crate) cpu_us: f64,
}

/// As many messages as go through, with `window` of them on their way in each pair.
pub(crate) async fn saturate(
    relays: &[&Relay],
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
        relays
            .iter()
            .map(|relay| relay.cpu())
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
    let message = candidate(&pair.to, bytes, 0);
    let (mut on_their_way, mut due) = (0, window);

    while Instant::now() < end {
        pair.sender.stream.write_all(&message.repeat(due)).await?;
        on_their_way += due;
        due = pair.receiver.take(|_| {}).await?;
        on_their_way -= due;
        relayed.fetch_add(due as u64, Ordering::Relaxed);
    }

    while on_their_way > 0 {
        on_their_way -= pair.receiver.take(|_| {}).await?;
    }

    Ok(pair)
}

/// Latencies at a fixed rate over all pairs: p50 and p99.
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
                    sender.stream.write_all(&candidate(&to, 200, now)).await?;
                }

                Ok::<_, anyhow::Error>(())
            };

            let receive = async {
                let mut mine = Vec::with_capacity(wanted);
                while mine.len() < wanted {
                    let mut stamps = Vec::new();
                    receiver
                        .take(|message| stamps.extend(stamp(message)))
                        .await?;
                    let now = u64::try_from(start.elapsed().as_nanos())?;
                    mine.extend(stamps.iter().map(|stamp| now.saturating_sub(*stamp)));
                }

                samples
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .extend(mine);
                Ok::<_, anyhow::Error>(())
            };

            tokio::try_join!(send, receive)
        });
    }

    while let Some(done) = set.join_next().await {
        done??;
    }

    let mut samples = std::mem::take(
        &mut *samples
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
    );
    samples.sort_unstable();
    let at =
        |part: f64| Duration::from_nanos(samples[((samples.len() - 1) as f64 * part) as usize]);

    Ok((at(0.5), at(0.99)))
}

/// How long it takes until all of so many users have a partner.
pub(crate) async fn match_all(addresses: &[SocketAddr], users: usize) -> Result<Duration> {
    let mut clients = Vec::new();
    for address in addresses {
        clients.extend(connect(*address, users / addresses.len()).await?);
    }

    let message = crate::client::frame(json!({ "type": "find_partner" }).to_string().as_bytes());
    let begun = Instant::now();

    for client in &mut clients {
        client.stream.write_all(&message).await?;
    }

    for client in &mut clients {
        timeout(Duration::from_secs(60), client.found())
            .await
            .context("not everybody is matched")??;
    }

    Ok(begun.elapsed())
}

/// How far a reader that stops makes the relay grow, in bytes; and what its partner heard.
pub(crate) async fn slow_reader(relay: &Relay) -> Result<u64> {
    let mut pairs = pairs(relay.address, relay.address, 1).await?;
    let Pair {
        mut sender,
        receiver,
        to,
    } = pairs.pop().context("one pair")?;
    let before = relay.memory()?;
    let message = candidate(&to, 60_000, 0);
    let flood = async {
        loop {
            sender.stream.write_all(&message).await?;
            if let Ok(heard) = timeout(Duration::from_micros(1), sender.next()).await {
                let heard = heard?;
                if heard["type"] == "partner_reconnecting" || heard["type"] == "partner_left" {
                    return Ok::<_, anyhow::Error>(());
                }
            }
        }
    };

    timeout(Duration::from_secs(60), flood)
        .await
        .context("the slow reader is not closed")??;
    drop(receiver);
    Ok(relay.peak_memory()?.saturating_sub(before))
}

/// What a churn leaves behind, before and after.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
    pub(crate) keys: Option<String>,
    pub(crate) sessions: Option<String>,
}

impl Footprint {
    pub(crate) fn of(relay: &Relay, redis: Option<&Redis>) -> Result<Self> {
        Ok(Self {
            memory: relay.memory()?,
            descriptors: relay.descriptors()?,
            keys: redis.map(|redis| redis.ask(&["DBSIZE"])).transpose()?,
            sessions: redis
                .map(|redis| redis.ask(&["SCARD", "active_sessions"]))
                .transpose()?,
        })
    }
}

/// Users who come, meet, talk, go on to the next and leave, half of them without a word; gives how many rounds.
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
                    // Whoever waits alone at the end, or whose partner left, goes away.
                    let Ok(found) = timeout(Duration::from_millis(500), client.found()).await
                    else {
                        break;
                    };

                    let Ok(found) = found else { break };
                    let message = candidate(&found.partner, 500, 0);
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
