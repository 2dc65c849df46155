//! The streams of the partner that the library expects.

use std::sync::Arc;

use parking_lot::Mutex;

/// The SSRC of a stream, and that of its retransmissions.
type Stream = (u32, Option<u32>);

/// The SSRCs of the streams that the library expects now, shared by what sets and what asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declared(Arc<Mutex<Vec<Stream>>>);

impl Declared {
    /// From now on it expects these and no others: the SSRC of each stream, and that of its
    /// retransmissions.
    pub(crate) fn set(&self, streams: Vec<Stream>) {
        *self.0.lock() = streams;
    }

    pub(super) fn has(&self, ssrc: u32) -> bool {
        let streams = self.0.lock();
        streams
            .iter()
            .any(|(media, repair)| *media == ssrc || *repair == Some(ssrc))
    }

    /// The SSRC of the retransmissions of the stream `ssrc`.
    pub(super) fn repair_of(&self, ssrc: u32) -> Option<u32> {
        let streams = self.0.lock();
        let stream = streams.iter().find(|(media, _)| *media == ssrc);
        stream.and_then(|(_, repair)| *repair)
    }
}
