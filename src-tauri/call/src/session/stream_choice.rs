//! Which of the streams on one track is decoded, so that a partner who alternates between two costs
//! no decoder for each packet.

use std::time::{Duration, Instant};

use tandem_media::codec::VideoCodec;

/// The shortest time between two switches. A new decoder and assembler take about 1 ms, and a
/// sender needs longer than this for a keyframe over most paths.
const SWITCH_INTERVAL: Duration = Duration::from_millis(300);
/// A stream that is silent for this long gives way to another that has not begun with a keyframe:
/// the keyframe's first packet was lost.
const SILENCE: Duration = Duration::from_millis(500);

/// One stream: its SSRC and codec. Payload types of one codec share a stream.
pub(super) type StreamKey = (u32, VideoCodec);

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It belongs to the current stream.
    Current,
    /// It begins a new one, which is the current one from now on.
    Switch,
    /// It belongs to another one: drop it.
    Drop,
}

/// Chooses among the streams of one track.
#[derive(Debug, Default)]
pub(super) struct StreamChoice {
    current: Option<StreamKey>,
    /// When the current stream was chosen.
    chosen: Option<Instant>,
    /// When its newest packet arrived.
    newest: Option<Instant>,
}

impl StreamChoice {
    /// A packet of `stream` arrived at `now`. `starts_keyframe`: a decoder can start with the frame
    /// that begins in it.
    pub(super) fn on_packet(
        &mut self,
        now: Instant,
        stream: StreamKey,
        starts_keyframe: bool,
    ) -> Choice {
        if self.current == Some(stream) {
            self.newest = Some(now);
            return Choice::Current;
        }

        let since = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        let is_silent = since(self.newest).is_none_or(|silence| silence >= SILENCE);
        let may_switch = since(self.chosen).is_none_or(|time| time >= SWITCH_INTERVAL);
        if !may_switch || !(starts_keyframe || is_silent) {
            return Choice::Drop;
        }

        *self = Self {
            current: Some(stream),
            chosen: Some(now),
            newest: Some(now),
        };
        Choice::Switch
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use proptest::prelude::*;

    use super::*;

    const A: StreamKey = (1, VideoCodec::H264);
    const B: StreamKey = (1, VideoCodec::Vp8);

    #[test]
    fn a_sender_that_changes_its_codec_is_followed_at_its_keyframe() {
        let (mut choice, start) = (StreamChoice::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);

        assert_eq!(
            choice.on_packet(at(0), A, false),
            Choice::Switch,
            "the first stream, whatever it begins with"
        );
        assert_eq!(choice.on_packet(at(400), A, false), Choice::Current);
        assert_eq!(choice.on_packet(at(433), B, false), Choice::Drop);
        assert_eq!(choice.on_packet(at(466), B, true), Choice::Switch);
        assert_eq!(choice.on_packet(at(467), B, false), Choice::Current);
        assert_eq!(
            choice.on_packet(at(500), A, true),
            Choice::Drop,
            "not so soon after the last switch"
        );
    }

    #[test]
    fn a_stream_whose_keyframe_was_lost_is_taken_when_the_other_is_silent() {
        let (mut choice, start) = (StreamChoice::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        choice.on_packet(at(0), A, true);

        assert_eq!(choice.on_packet(at(499), B, false), Choice::Drop);
        assert_eq!(choice.on_packet(at(500), B, false), Choice::Switch);
    }

    proptest! {
        #[test]
        fn alternating_streams_switch_a_few_times_a_second(
            packets in proptest::collection::vec((0_u64..20, 0_u32..5, any::<bool>(), any::<bool>()), 1..2_000),
        ) {
            let (mut choice, start) = (StreamChoice::default(), Instant::now());
            let (mut ms, mut switches, mut current) = (0, 0, None);

            for (wait, ssrc, vp8, keyframe) in packets {
                ms += wait;
                let key = (ssrc, if vp8 { VideoCodec::Vp8 } else { VideoCodec::H264 });
                match choice.on_packet(start + Duration::from_millis(ms), key, keyframe) {
                    Choice::Switch => {
                        switches += 1;
                        current = Some(key);
                    }
                    Choice::Current => prop_assert_eq!(Some(key), current),
                    Choice::Drop => prop_assert_ne!(Some(key), current),
                }
            }

            prop_assert!(switches <= 1 + ms / 300, "{} switches in {} ms", switches, ms);
        }
    }
}
