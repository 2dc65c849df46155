//! "Can you hear this?": plays a short chime on a speaker.

use super::chime;
use super::config::AudioSink;
use super::sound_player::{SoundDone, SoundPlayer};

/// A chime that is playing. Dropping it stops the chime and releases the speaker before it returns.
#[derive(Debug)]
pub struct SpeakerTest {
    _player: SoundPlayer,
}

impl SpeakerTest {
    /// Plays the chime on `sink` (1.2 s once the device is open), then calls `done`. With
    /// [`AudioSink::None`] it is done at once.
    #[must_use]
    pub fn start(sink: AudioSink, done: SoundDone) -> Self {
        Self {
            _player: SoundPlayer::start(sink, chime::SPEAKER_TEST.once(1.0), done),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::error::MediaErrorCode;

    #[test]
    fn a_missing_speaker_is_reported_with_its_code() {
        let (done, results) = channel();
        let _test = SpeakerTest::start(
            AudioSink::Named("no such speaker".into()),
            Box::new(move |result| done.send(result).expect("the test receives")),
        );

        let error = results
            .recv_timeout(Duration::from_secs(30))
            .expect("the result is reported")
            .expect_err("no speaker has this name");
        assert_eq!(error.code, MediaErrorCode::SpeakerNotFound);
    }

    #[test]
    fn a_dropped_test_reports_nothing() {
        let (done, results) = channel::<()>();
        drop(SpeakerTest::start(
            AudioSink::None,
            Box::new(move |_| {
                // The test may finish before it is dropped.
                let _ = done.send(());
            }),
        ));
        let _ = results.try_recv();

        assert!(results.recv().is_err(), "the thread ends with the test");
    }
}
