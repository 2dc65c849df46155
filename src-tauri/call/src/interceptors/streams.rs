//! What is remembered about each stream of the partner.

use std::collections::VecDeque;

/// A call has two streams. A partner that renegotiates again and again can begin others, and the
/// library does not say that those before have ended.
const MAX_STREAMS: usize = 16;

/// One `T` for each of the newest streams, by SSRC.
#[derive(Debug)]
pub(super) struct Streams<T>(VecDeque<(u32, T)>);

impl<T> Default for Streams<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Default> Streams<T> {
    /// A stream begins. The oldest is forgotten if there are too many.
    pub(super) fn begin(&mut self, ssrc: u32) {
        if self.get_mut(ssrc).is_some() {
            return;
        }

        if self.0.len() == MAX_STREAMS {
            self.0.pop_front();
        }

        self.0.push_back((ssrc, T::default()));
    }

    /// A stream ends.
    pub(super) fn end(&mut self, ssrc: u32) {
        self.0.retain(|(other, _)| *other != ssrc);
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, ssrc: u32) -> Option<&mut T> {
        let mut streams = self.0.iter_mut();
        streams
            .find(|(other, _)| *other == ssrc)
            .map(|(_, stream)| stream)
    }

    /// What is remembered about a stream that has begun.
    pub(super) fn get(&self, ssrc: u32) -> Option<&T> {
        let mut streams = self.0.iter();
        streams
            .find(|(other, _)| *other == ssrc)
            .map(|(_, stream)| stream)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, stream)| stream)
    }

    /// All of them, with their SSRCs.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.0.iter_mut().map(|(ssrc, stream)| (*ssrc, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_streams_are_remembered() {
        let mut streams = Streams::<u32>::default();
        for ssrc in 0..1_000 {
            streams.begin(ssrc);
            *streams.get_mut(ssrc).expect("it has begun") = ssrc;
        }

        streams.begin(999);
        assert_eq!(streams.get_mut(999), Some(&mut 999), "it began before");
        assert_eq!(streams.get_mut(0), None);
        assert_eq!(streams.iter().count(), MAX_STREAMS);

        streams.end(999);
        assert_eq!(streams.get_mut(999), None);
        assert!(streams.iter_mut().all(|(ssrc, stream)| ssrc == *stream));
    }
}
