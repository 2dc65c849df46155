//! One command and its answer, over whatever kind of connection a system has for them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::execute::execute;
use super::{AdminAnswer, MAX_ADMIN_COMMAND_BYTES, parse_command};
use crate::server::shared::Shared;

/// For a command to arrive, and for its answer to be read.
pub(super) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Commands at the same time. Others wait until one of these has ended.
pub(super) const MAX_CONNECTIONS: usize = 8;
/// Before accepting again after an error, such as too many open files.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Takes a command and answers it.
pub(super) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    shared: &Arc<Shared>,
) {
    let answer = match read_command(stream).await {
        Ok(line) => match parse_command(&line) {
            Ok(command) => execute(shared, command).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let answer = answer.map_or_else(AdminAnswer::Error, AdminAnswer::Ok);

    if !write_answer(stream, &answer).await {
        tracing::warn!("the answer to an admin command was not read in time");
    }
}

/// Reads up to the line feed, or the end of the stream.
async fn read_command(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    let read = async {
        let mut part = [0; 1024];
        loop {
            let bytes = stream.read(&mut part).await?;
            let part = &part[..bytes];
            let end = part.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&part[..end.unwrap_or(bytes)]);

            // Whatever follows, this is too long already.
            if bytes == 0 || end.is_some() || line.len() > MAX_ADMIN_COMMAND_BYTES {
                return Ok::<_, io::Error>(());
            }
        }
    };

    match timeout(EXCHANGE_TIMEOUT, read).await {
        Ok(Ok(())) => Ok(line),
        Ok(Err(error)) => Err(format!("cannot read the command: {error}")),
        Err(_) => Err("no command came in time".into()),
    }
}

/// Writes an answer. False if it was not read in time.
async fn write_answer(stream: &mut (impl AsyncWrite + Unpin), answer: &AdminAnswer) -> bool {
    let mut text = serde_json::to_vec(answer).expect("an answer has string keys");
    text.push(b'\n');

    let write = async {
        stream.write_all(&text).await?;
        stream.shutdown().await
    };
    matches!(timeout(EXCHANGE_TIMEOUT, write).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn a_command_ends_at_its_line_feed_or_with_the_stream() {
        for (sent, heard) in [
            (&b"one\ntwo"[..], &b"one"[..]),
            (b"one", b"one"),
            (b"", b""),
        ] {
            let line = read_command(&mut &*sent).await;
            assert_eq!(line.as_deref(), Ok(heard));
        }

        let endless = vec![b'x'; 1 << 20];
        let line = read_command(&mut &endless[..]).await.unwrap();
        assert!(
            line.len() <= MAX_ADMIN_COMMAND_BYTES + 1024,
            "{}",
            line.len()
        );
        assert!(parse_command(&line).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_or_reads_nothing_is_given_up() {
        let (mut server, _client) = tokio::io::duplex(64);
        assert!(read_command(&mut server).await.is_err(), "nothing came");

        let large = AdminAnswer::Ok(Value::from("x".repeat(100_000)));
        assert!(!write_answer(&mut server, &large).await, "nothing was read");
    }
}
