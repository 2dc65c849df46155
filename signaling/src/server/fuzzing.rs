//! The way into the server for fuzz targets.

use std::net::Ipv4Addr;

use super::edge::forwarded_for;
use super::edge::token::bearer;
use super::http::{accept_upgrade, origin_allowed, parse_head};
use super::moderation::admin::parse_command;

/// Does to `bytes` everything that the server does to what a client sends before the WebSocket.
///
/// Returns the bytes of the response that accepts the upgrade, or the HTTP status that refuses it.
/// `None`: the request is not complete yet.
///
/// # Panics
/// Only if the server would.
#[doc(hidden)]
pub fn answer_upgrade(bytes: &[u8]) -> Option<Result<Vec<u8>, u16>> {
    let answer = parse_head(bytes)?.and_then(|(length, request)| {
        // As the server does with what follows the request: it is the start of the WebSocket.
        let _rest = &bytes[length..];
        let _ = origin_allowed(&request, &["https://tandem.example".to_owned()]);
        let _ = bearer(request.headers(), request.uri().query());
        // Loopback stands for a trusted proxy, so that the forwarded header is read.
        let _ = forwarded_for(
            &request,
            Ipv4Addr::LOCALHOST.into(),
            &["127.0.0.0/8".parse().expect("a valid range")],
        );

        accept_upgrade(&request)
    });

    Some(answer.map_err(|answer| answer.status))
}

/// Reads a command for the admin socket, and writes it again: nothing may change.
///
/// # Panics
/// If it finds a fault.
#[doc(hidden)]
pub fn admin_command(input: &[u8]) {
    if let Ok(command) = parse_command(input) {
        let line = serde_json::to_vec(&command).expect("a command is JSON");
        assert_eq!(
            parse_command(&line),
            Ok(command),
            "it is read as it was written"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    #[test]
    fn a_request_is_accepted_wherever_it_is_cut_and_whatever_follows() {
        for end in 0..REQUEST.len() {
            assert_eq!(
                answer_upgrade(&REQUEST.as_bytes()[..end]),
                None,
                "{end} bytes are not a request yet"
            );
        }

        let with_frame = [REQUEST.as_bytes(), &[0x89, 0x80, 0, 0, 0, 0]].concat();
        for bytes in [REQUEST.as_bytes(), with_frame.as_slice()] {
            let response = answer_upgrade(bytes).expect("complete").expect("accepted");
            assert!(response.starts_with(b"HTTP/1.1 101 "));
        }

        let (length, _) = parse_head(&with_frame).expect("complete").expect("valid");
        assert_eq!(length, REQUEST.len(), "a head ends where the request does");
    }
}
