//! One connection to a TURN server over TCP or TLS, for one socket of the library.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it notes when a connection began"
)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_signaling::ServerUrl;
use tandem_signaling::client::{ClientError, TrustedRoots, TurnConnection, connect_to_turn};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::framing::{NotTurn, Reader};
use super::queue::{Inbox, Outbox};
use super::{Turn, refusal};

/// For TCP, TLS and a proxy together.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// For the last messages and the end of TLS, once the socket is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How much is read at once, bytes.
const READ: usize = 16 * 1_024;

/// Why there is no connection, or why it ended. Without the server's address, which must not be in a
/// log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no TURN server with this number")]
    Unknown,
    #[error("it does not answer in time")]
    Timeout,
    #[error("{}", .0.code())]
    Connect(ClientError),
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
    #[error(transparent)]
    NotTurn(#[from] NotTurn),
}

/// Connects the socket `local` to the server that `stand_in` stands for, unless a better one answers
/// first, and carries datagrams both ways until the socket or the connection is gone.
pub(super) async fn run(
    turn: Arc<Turn>,
    (local, stand_in): (SocketAddr, SocketAddr),
    outbox: Arc<Outbox>,
    inbox: Arc<Inbox>,
) {
    let result = tokio::select! {
        result = connect(&turn, stand_in) => result,
        // The library has given up: nothing was sent, so nothing has to be taken back.
        () = outbox.closed() => return,
    };

    let result = match result {
        Ok(Some(connection)) => {
            turn.on_connected(stand_in, connection.local);
            carry(connection, &turn, stand_in, &outbox, &inbox).await
        }
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };

    if outbox.is_closed() {
        return;
    }

    if let Err(failure) = result {
        tracing::debug!(%failure, "no connection to a TURN server over TCP or TLS");
        turn.on_lost((local, stand_in));
    }

    for datagram in outbox.break_off() {
        if let Some(answer) = refusal::answer(&datagram) {
            inbox.push(stand_in, answer.into());
        }
    }
}

/// Connects. `None` if there is no need: a better server has answered.
async fn connect(turn: &Turn, stand_in: SocketAddr) -> Result<Option<TurnConnection>, Failure> {
    let server = turn.server(stand_in).ok_or(Failure::Unknown)?;
    if !turn.is_needed(stand_in).await {
        return Ok(None);
    }

    turn.on_connecting(Instant::now(), stand_in);
    if let Some(ahead) = turn.take_ahead(stand_in) {
        match ahead.await {
            // What has failed at once may work now.
            Err(failure) if !matches!(failure, Failure::Timeout) => {}
            result => return result.map(Some),
        }
    }

    open(&server, &turn.roots).await.map(Some)
}

/// A connection to a server.
pub(super) async fn open(
    server: &ServerUrl,
    roots: &TrustedRoots,
) -> Result<TurnConnection, Failure> {
    match timeout(CONNECT_TIMEOUT, connect_to_turn(server, roots)).await {
        Ok(connection) => connection.map_err(Failure::Connect),
        Err(_) => Err(Failure::Timeout),
    }
}

async fn carry(
    connection: TurnConnection,
    turn: &Turn,
    stand_in: SocketAddr,
    outbox: &Outbox,
    inbox: &Inbox,
) -> Result<(), Failure> {
    let (mut reading, mut writing) = tokio::io::split(connection.stream);
    tokio::select! {
        result = receive(&mut reading, turn, stand_in, inbox) => result,
        result = transmit(&mut writing, outbox) => {
            result?;
            // Whatever comes of it, this side is done.
            let _ = timeout(CLOSE_TIMEOUT, writing.shutdown()).await;
            Ok(())
        }
    }
}

/// Passes on what the server sends, until the connection ends.
async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    turn: &Turn,
    stand_in: SocketAddr,
    inbox: &Inbox,
) -> Result<(), Failure> {
    let (mut reader, mut buffer) = (Reader::default(), vec![0; READ]);
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }

        reader.push(&buffer[..length]);
        while let Some(datagram) = reader.next()? {
            turn.on_received(stand_in, &datagram);
            inbox.push(stand_in, datagram);
        }
    }
}

/// Sends what waits, until the socket is gone.
async fn transmit(stream: &mut (impl AsyncWrite + Unpin), outbox: &Outbox) -> Result<(), Failure> {
    while let Some(datagrams) = outbox.take().await {
        let sending = async {
            stream.write_all(&datagrams).await?;
            stream.flush().await
        };
        tokio::pin!(sending);
        tokio::select! {
            result = &mut sending => result?,
            // A server that takes nothing any more does not keep the connection.
            () = outbox.closed() => timeout(CLOSE_TIMEOUT, sending)
                .await
                .map_err(|_| Failure::Timeout)??,
        }
    }

    Ok(())
}
