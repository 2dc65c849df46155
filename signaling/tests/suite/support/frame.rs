//! WebSocket frames of a client, built by hand so that a test can break them.

/// A frame with a mask of zeros, which leaves the payload readable. `first` holds FIN and the
/// opcode (RFC 6455 §5.2): 0x81 for a whole text message.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | u8::try_from(length).expect("below 126")),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }

    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
