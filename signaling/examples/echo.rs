//! An echo server with the signaling server's WebSocket configuration, for the Autobahn Testsuite:
//! see `signaling/autobahn/run.sh`.
//!
//! The signaling server itself cannot run the cases: its protocol refuses binary frames and long
//! messages. The limits of messages and frames are larger here, because the suite sends up to
//! 16 MiB.
#![allow(clippy::print_stdout, reason = "the script reads the address")]

use futures_util::{SinkExt, StreamExt};
use tandem_signaling::server::socket_config;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ws://{}", listener.local_addr()?);

    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // The suite judges how a case ends.
            let _ = echo(stream).await;
        });
    }
}

async fn echo(stream: TcpStream) -> Result<(), Error> {
    let config = socket_config()
        .max_message_size(Some(32 << 20))
        .max_frame_size(Some(32 << 20));
    let mut socket = accept_async_with_config(stream, Some(config)).await?;

    while let Some(message) = socket.next().await {
        match message? {
            text_or_binary @ (Message::Text(_) | Message::Binary(_)) => {
                socket.send(text_or_binary).await?;
            }
            // The library answers these.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
    }

    Ok(())
}
