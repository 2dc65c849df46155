//! Clients that come over TCP, or TLS in it: accepting them, and taking messages out of their bytes.
//!
//! A stream belongs to one task, which reads and writes it. It has to make an allocation within
//! [`GREETING_TIMEOUT`], and ends with it.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it reads the clock for the server"
)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout_at};

use crate::message::{CHANNEL_HEADER_LEN, HEADER_LEN};
use crate::quota::AddressKey;
use crate::runner::{Shared, unix_time};
use crate::server::{Client, Packet, Transport};

/// A client without an allocation is closed after this long, twice this at most.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// A client for which a packet waits longer than this is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest message or ChannelData, in both directions. Media packets have at most 1,500 bytes.
const MAX_FRAME: usize = 4096;
/// Packets that wait for a slow client. Later ones are dropped, as UDP would.
const MAX_WAITING: usize = 64;
/// The same in bytes: [`MAX_WAITING`] packets of media.
const MAX_WAITING_BYTES: usize = MAX_WAITING * 1500;
/// Streams at the same time, whether or not they have an allocation.
const MAX_STREAMS: usize = 4096;
/// Streams from one address (IPv6: one /64).
const MAX_STREAMS_PER_ADDRESS: u32 = 100;
/// After a failed accept, so that a lasting failure is no busy loop.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The open streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    outbound: HashMap<u64, Outbound>,
    by_address: HashMap<AddressKey, u32>,
    next: u64,
}

/// A packet that waits to be written.
#[derive(Debug)]
struct Waiting {
    data: Box<[u8]>,
    since: tokio::time::Instant,
}

/// Where packets for a client wait: the end that queues them.
#[derive(Debug)]
struct Outbound {
    packets: mpsc::Sender<Waiting>,
    bytes: Arc<AtomicUsize>,
}

/// The end that writes them.
#[derive(Debug)]
struct Backlog {
    packets: mpsc::Receiver<Waiting>,
    bytes: Arc<AtomicUsize>,
}

/// An empty queue.
fn queue() -> (Outbound, Backlog) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let bytes = Arc::new(AtomicUsize::new(0));
    let outbound = Outbound {
        packets: sender,
        bytes: bytes.clone(),
    };
    let backlog = Backlog {
        packets: receiver,
        bytes,
    };

    (outbound, backlog)
}

impl Outbound {
    /// Queues a packet, or drops it. One thread queues, so nothing comes between counting and sending.
    fn push(&self, data: &[u8]) {
        let waiting = self.bytes.load(Ordering::Relaxed);
        if data.len() > MAX_FRAME || waiting + data.len() > MAX_WAITING_BYTES {
            return;
        }

        let packet = Waiting {
            data: data.into(),
            since: tokio::time::Instant::now(),
        };
        self.bytes.fetch_add(data.len(), Ordering::Relaxed);
        if self.packets.try_send(packet).is_err() {
            self.bytes.fetch_sub(data.len(), Ordering::Relaxed);
        }
    }
}

/// A client takes its packets too slowly, or its connection has ended.
#[derive(Debug, PartialEq, Eq)]
struct CannotWrite;

impl Backlog {
    async fn next(&mut self) -> Option<Waiting> {
        self.packets.recv().await
    }

    /// Writes a packet. The time that it has waited for those before it counts, too, so that a client
    /// cannot keep its backlog for longer by taking a little of it now and then.
    async fn write<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        packet: Waiting,
    ) -> Result<(), CannotWrite> {
        let write = async {
            writer.write_all(&packet.data).await?;
            // TLS may keep what the system does not take at once.
            writer.flush().await
        };
        let written = timeout_at(packet.since + WRITE_TIMEOUT, write).await;
        self.bytes.fetch_sub(packet.data.len(), Ordering::Relaxed);

        match written {
            Ok(Ok(())) => Ok(()),
            _ => Err(CannotWrite),
        }
    }
}

impl Streams {
    /// Counts a stream until [`leave`](Self::leave): its number, and what to write to it. `None` if
    /// it is one too many.
    fn enter(&mut self, remote: SocketAddr) -> Option<(u64, Backlog)> {
        let of_address = self.by_address.entry(remote.into()).or_default();
        if self.outbound.len() >= MAX_STREAMS || *of_address >= MAX_STREAMS_PER_ADDRESS {
            if *of_address == 0 {
                self.by_address.remove(&remote.into());
            }
            return None;
        }

        *of_address += 1;
        self.next += 1;
        let (outbound, backlog) = queue();
        self.outbound.insert(self.next, outbound);
        Some((self.next, backlog))
    }

    fn leave(&mut self, id: u64, remote: SocketAddr) {
        self.outbound.remove(&id);
        let key = AddressKey::from(remote);
        if let Some(count) = self.by_address.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&key);
            }
        }
    }

    /// Queues a packet for a client, or drops it.
    pub(crate) fn send(&self, id: u64, data: &[u8]) {
        if let Some(stream) = self.outbound.get(&id) {
            stream.push(data);
        }
    }
}

/// Accepts clients until the runner is dropped.
pub(crate) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let _ = stream.set_nodelay(true);
                if let Some(serving) = take_in(&shared, stream, remote, Vec::new()) {
                    tokio::spawn(serving);
                }
            }
            Err(error) => {
                tracing::warn!(kind = %error.kind(), "TURN cannot accept a connection: its client has to retry");
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Serves a stream until it ends, beginning with what was read from it already. `None` if it is one too
/// many.
pub(crate) fn take_in<S>(
    shared: &Arc<Shared>,
    stream: S,
    remote: SocketAddr,
    first: Vec<u8>,
) -> Option<impl Future<Output = ()> + Send + use<S>>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    let (id, backlog) = shared.engine.lock().streams.enter(remote)?;
    let guard = Guard {
        shared: shared.clone(),
        client: Client {
            transport: Transport::Tcp(id),
            address: remote,
        },
        id,
    };

    Some(serve(guard, stream, first, backlog))
}

/// One stream; ends its allocation when dropped.
struct Guard {
    shared: Arc<Shared>,
    client: Client,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut engine = self.shared.engine.lock();
        engine.streams.leave(self.id, self.client.address);
        self.shared.disconnect(&mut engine, self.client);
    }
}

async fn serve<S: AsyncRead + AsyncWrite>(
    guard: Guard,
    stream: S,
    mut waiting: Vec<u8>,
    mut backlog: Backlog,
) {
    let (mut reader, mut writer) = split(stream);
    if guard.take(&mut waiting).is_err() {
        return;
    }

    let mut check = interval(GREETING_TIMEOUT);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    check.tick().await;

    loop {
        tokio::select! {
            read = reader.read_buf(&mut waiting) => {
                if !matches!(read, Ok(length) if length > 0) || guard.take(&mut waiting).is_err() {
                    return;
                }
            }
            Some(packet) = backlog.next() => {
                if backlog.write(&mut writer, packet).await.is_err() {
                    return;
                }
            }
            _ = check.tick() => {
                let engine = guard.shared.engine.lock();
                if !engine.server.has_allocation(guard.client, Instant::now()) {
                    return;
                }
            }
        }
    }
}

/// What came is no TURN.
#[derive(Debug, PartialEq, Eq)]
struct NotTurn;

impl Guard {
    /// Hands all complete messages to the server.
    fn take(&self, waiting: &mut Vec<u8>) -> Result<(), NotTurn> {
        let mut at = 0;
        while let Some(length) = frame_length(&waiting[at..])? {
            let Some(data) = waiting.get(at..at + length) else {
                break;
            };
            self.shared.receive(Packet {
                from: self.client,
                data,
                now: Instant::now(),
                unix: unix_time(),
            });
            at += length;
        }

        waiting.drain(..at);
        Ok(())
    }
}

/// The length of the message or ChannelData that these bytes begin with (RFC 8656 §12.5: padded to four
/// bytes). `None`: too few to know.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, NotTurn> {
    let Some([first, _, length @ ..]) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    let length = match first >> 6 {
        0 => HEADER_LEN + length,
        1 => CHANNEL_HEADER_LEN + length.next_multiple_of(4),
        _ => return Err(NotTurn),
    };

    if length > MAX_FRAME {
        return Err(NotTurn);
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn messages_end_where_their_headers_say() {
        assert_eq!(frame_length(&[0, 1, 0]), Ok(None), "not enough yet");
        assert_eq!(frame_length(&[0, 1, 0, 8]), Ok(Some(28)), "a STUN message");
        assert_eq!(
            frame_length(&[0x40, 0, 0, 5]),
            Ok(Some(12)),
            "padded ChannelData"
        );
        assert_eq!(frame_length(b"GET /"), Err(NotTurn), "HTTP: too long");
        assert_eq!(frame_length(&[0x80, 0, 0, 0]), Err(NotTurn));
        assert_eq!(frame_length(&[0, 1, 0xFF, 0xFC]), Err(NotTurn), "too long");
    }

    #[test]
    fn streams_are_counted_by_address_and_given_back() {
        let mut streams = Streams::default();
        let one = SocketAddr::from(([192, 0, 2, 1], 1));
        let ids: Vec<u64> = (0..MAX_STREAMS_PER_ADDRESS)
            .map(|_| streams.enter(one).unwrap().0)
            .collect();
        assert!(streams.enter(one).is_none());
        assert!(
            streams
                .enter(SocketAddr::from(([192, 0, 2, 2], 1)))
                .is_some()
        );
        for id in ids {
            streams.leave(id, one);
        }
        assert!(streams.enter(one).is_some());
        assert_eq!(streams.by_address.len(), 2);
    }
    /// The bytes that a queue holds.
    fn held(backlog: &mut Backlog) -> usize {
        std::iter::from_fn(|| backlog.packets.try_recv().ok())
            .map(|packet| packet.data.len())
            .sum()
    }

    #[tokio::test]
    async fn what_waits_for_a_slow_client_is_bounded_in_bytes() {
        for length in [100, 1500, 4000, 65_507] {
            let mut streams = Streams::default();
            let client = SocketAddr::from(([192, 0, 2, 1], 1));
            let (id, mut backlog) = streams.enter(client).unwrap();
            for _ in 0..1000 {
                streams.send(id, &vec![0; length]);
            }

            let counted = backlog.bytes.load(Ordering::Relaxed);
            let held = held(&mut backlog);
            assert!(
                held <= 96_000,
                "{held} bytes of packets of {length} bytes wait"
            );
            assert_eq!(counted, held, "what was dropped does not count");
            assert_eq!(held > 0, length <= MAX_FRAME, "{length}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_packet_now_and_then_is_closed_all_the_same() {
        let (outbound, mut backlog) = queue();
        let (mut server, mut client) = tokio::io::duplex(1000);
        for _ in 0..20 {
            outbound.push(&[0; 1000]);
        }

        let started = tokio::time::Instant::now();
        tokio::spawn(async move {
            let mut packet = [0; 1000];
            loop {
                sleep(Duration::from_secs(4)).await;
                client.read_exact(&mut packet).await.unwrap();
            }
        });
        loop {
            let packet = backlog.next().await.unwrap();
            if backlog.write(&mut server, packet).await.is_err() {
                break;
            }
        }
        assert_eq!(started.elapsed(), WRITE_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_keeps_up_is_served_for_as_long_as_it_likes() {
        let (outbound, mut backlog) = queue();
        let (mut server, mut client) = tokio::io::duplex(1000);
        tokio::spawn(async move {
            let mut packet = [0; 1000];
            loop {
                client.read_exact(&mut packet).await.unwrap();
            }
        });

        for _ in 0..100 {
            sleep(Duration::from_secs(1)).await;
            outbound.push(&[0; 1000]);
            let packet = backlog.next().await.unwrap();
            assert_eq!(backlog.write(&mut server, packet).await, Ok(()));
        }
        assert_eq!(backlog.bytes.load(Ordering::Relaxed), 0);
    }
}
