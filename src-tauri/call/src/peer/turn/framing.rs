//! TURN messages in a stream of bytes (RFC 8656 §3.1, §12.5): each says how long it is, and channel
//! data is padded to four bytes.

use bytes::{Buf, Bytes, BytesMut};

/// Size of a STUN header, whose bytes 4 to 7 are [`COOKIE`].
const STUN_HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Size of the header of channel data: a number and a length.
const CHANNEL_HEADER: usize = 4;
/// Both are padded to a multiple of this many bytes.
const ALIGNMENT: usize = 4;

/// A longer message is skipped: the connection reads no more of a datagram. Those of media have at most
/// 1,500 bytes.
pub(crate) const MAX_MESSAGE: usize = 2_000;

/// What the other end sent is not TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the TURN server sent something that is not TURN")]
pub(crate) struct NotTurn;

/// Reads messages from what arrives.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: BytesMut,
    /// A STUN message has come. Before that there is no channel, and what looks like channel data may be
    /// the "HTTP/1.1 400" of a web server.
    has_begun: bool,
    /// How much of a message that is too long is still to come.
    skip: usize,
}

impl Reader {
    /// More bytes have arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.buffer.extend_from_slice(&bytes[skipped..]);
    }

    /// The next message, without its padding. `None` until more has arrived.
    ///
    /// # Errors
    /// [`NotTurn`]: where the next message would begin is not known.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, NotTurn> {
        while let Some((length, padded)) = size(&self.buffer)? {
            let is_channel = matches!(self.buffer.first(), Some(0x40..=0x4f));
            if is_channel && !self.has_begun {
                return Err(NotTurn);
            }

            self.has_begun = true;
            if length > MAX_MESSAGE {
                let here = padded.min(self.buffer.len());
                self.buffer.advance(here);
                self.skip = padded - here;
                continue;
            }

            if self.buffer.len() < padded {
                return Ok(None);
            }

            let mut message = self.buffer.split_to(padded);
            message.truncate(length);
            return Ok(Some(message.freeze()));
        }

        Ok(None)
    }
}

/// Appends a datagram to `stream` as it goes through a stream. Returns `false` if it is not a TURN
/// message.
pub(crate) fn write(datagram: &[u8], stream: &mut BytesMut) -> bool {
    let Ok(Some((length, padded))) = size(datagram) else {
        return false;
    };
    // Padding may be there already.
    let Some(message) = datagram.get(..length) else {
        return false;
    };

    stream.extend_from_slice(message);
    stream.resize(stream.len() + padded - length, 0);
    true
}

/// The length of the message that begins here, without and with its padding. `None` until its header is
/// there.
fn size(bytes: &[u8]) -> Result<Option<(usize, usize)>, NotTurn> {
    let Some(first) = bytes.first() else {
        return Ok(None);
    };

    let is_channel = match first {
        0..=0x3f => false,
        0x40..=0x4f => true,
        _ => return Err(NotTurn),
    };
    let Some(header) = bytes.get(..CHANNEL_HEADER) else {
        return Ok(None);
    };

    let content = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if is_channel {
        let length = CHANNEL_HEADER + content;
        return Ok(Some((length, length.next_multiple_of(ALIGNMENT))));
    }

    match bytes.get(4..8) {
        Some(cookie) if cookie != COOKIE => return Err(NotTurn),
        None => return Ok(None),
        Some(_) => {}
    }

    let length = STUN_HEADER + content;
    if length.is_multiple_of(ALIGNMENT) {
        Ok(Some((length, length)))
    } else {
        Err(NotTurn)
    }
}

/// Reads a stream that arrives in pieces of `step` bytes, for fuzz targets: what comes out are messages,
/// and written again they give the same ones.
///
/// # Panics
/// If not.
#[cfg(feature = "internals")]
pub(crate) fn read_stream(bytes: &[u8], step: usize) {
    let mut reader = Reader::default();
    let mut written = BytesMut::new();
    let mut messages = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(message)) => {
                    assert!(write(&message, &mut written), "a message is one");
                    messages.push(message);
                }
                Ok(None) => break,
                Err(NotTurn) => return,
            }
        }

        let limit = MAX_MESSAGE + ALIGNMENT + step.max(1);
        assert!(reader.buffer.len() <= limit, "nothing piles up");
    }

    // The first one may have been skipped.
    let mut again = Reader {
        has_begun: true,
        ..Reader::default()
    };
    again.push(&written);
    for message in messages {
        assert_eq!(again.next(), Ok(Some(message)), "the same message");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stun(attributes: usize) -> Vec<u8> {
        let mut message = vec![0, 3];
        message.extend_from_slice(&(attributes as u16).to_be_bytes());
        message.extend_from_slice(&COOKIE);
        message.resize(STUN_HEADER + attributes, 7);
        message
    }

    fn channel(content: usize) -> Vec<u8> {
        let mut message = vec![0x40, 0];
        message.extend_from_slice(&(content as u16).to_be_bytes());
        message.resize(CHANNEL_HEADER + content, 9);
        message
    }

    /// All messages of a stream that arrives in pieces of this size.
    fn read(stream: &[u8], step: usize) -> Result<Vec<Bytes>, NotTurn> {
        let mut reader = Reader::default();
        let mut messages = Vec::new();
        for piece in stream.chunks(step) {
            reader.push(piece);
            while let Some(message) = reader.next()? {
                messages.push(message);
            }
        }

        Ok(messages)
    }

    #[test]
    fn channel_data_is_padded_and_stun_needs_none() {
        let mut stream = BytesMut::new();
        for content in 0..=5 {
            assert!(write(&channel(content), &mut stream));
            assert!(stream.len().is_multiple_of(4), "{content}");
        }

        let before = stream.len();
        assert!(write(&stun(8), &mut stream));
        assert_eq!(stream.len() - before, 28);
    }

    #[test]
    fn padding_that_is_there_already_is_not_added_again() {
        let mut padded = channel(5);
        padded.resize(12, 0);
        let mut stream = BytesMut::new();
        assert!(write(&padded, &mut stream));
        assert_eq!(stream.len(), 12);
    }

    #[test]
    fn what_is_no_turn_message_is_not_sent() {
        for datagram in [
            &[][..],
            &[0x80, 0, 0, 0],
            &[22, 0xfe, 0xfd],
            &channel(9)[..8],
        ] {
            let mut stream = BytesMut::new();
            assert!(!write(datagram, &mut stream), "{datagram:?}");
            assert!(stream.is_empty(), "{datagram:?}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_skipped_and_the_next_one_read() {
        let mut stream = stun(8);
        stream.extend(channel(60_001));
        stream.resize(stream.len().next_multiple_of(4), 0);
        stream.extend(stun(4));
        for step in [1, 7, 1_448, 70_000] {
            let expected = vec![stun(8).into(), stun(4).into()];
            assert_eq!(read(&stream, step), Ok(expected), "{step}");
        }
    }

    #[test]
    fn another_protocol_is_noticed() {
        assert_eq!(read(b"HTTP/1.1 400 Bad Request\r\n\r\n", 64), Err(NotTurn));
        assert_eq!(read(&channel(4), 64), Err(NotTurn), "no channel is bound");
        assert_eq!(read(&[0; 20], 64), Err(NotTurn), "no cookie");
        assert_eq!(read(&[22, 3, 3, 0, 5, 0, 0, 0, 0], 64), Err(NotTurn), "TLS");
        let mut odd = stun(8);
        odd[3] = 7;
        assert_eq!(read(&odd, 64), Err(NotTurn), "not a multiple of four");
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (0..MAX_MESSAGE - CHANNEL_HEADER).prop_map(channel),
            (0..(MAX_MESSAGE - STUN_HEADER) / 4).prop_map(|words| stun(4 * words)),
        ]
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in(
            mut messages in prop::collection::vec(message(), 0..20),
            step in 1..5_000_usize,
        ) {
            messages.insert(0, stun(0));
            let mut stream = BytesMut::new();
            for message in &messages {
                prop_assert!(write(message, &mut stream));
            }

            let expected: Vec<Bytes> = messages.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(read(&stream, step), Ok(expected));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic_and_within_bounds(
            bytes in prop::collection::vec(any::<u8>(), 0..4_000),
            step in 1..300_usize,
        ) {
            let mut reader = Reader::default();
            for piece in bytes.chunks(step) {
                reader.push(piece);
                loop {
                    match reader.next() {
                        Ok(Some(message)) => prop_assert!(message.len() <= MAX_MESSAGE),
                        Ok(None) => break,
                        Err(NotTurn) => return Ok(()),
                    }
                }

                prop_assert!(reader.buffer.len() <= MAX_MESSAGE + ALIGNMENT + step);
            }
        }
    }
}
