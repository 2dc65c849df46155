//! The sounds of a call that has not begun: the ring, what the caller hears meanwhile, and the
//! chime when a search finds someone.

use super::chime::{self, Blocks, Melody};
use super::config::AudioSink;
use super::sound_player::{SoundDone, SoundPlayer};

/// Which sound to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingSound {
    /// Somebody calls: two soft chimes every 3 s.
    Incoming,
    /// It rings at the other end: a quieter held tone, one second in four.
    Ringback,
    /// A search found someone: one chime of 1.4 s.
    Found,
}

/// How often to play it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// One period of the sound.
    Once,
    /// Until the [`RingTone`] is stopped.
    UntilStopped,
}

/// What to play, where and how loud.
#[derive(Debug, Clone, PartialEq)]
pub struct RingOptions {
    /// The sound.
    pub sound: RingSound,
    /// The speaker, chosen as for a call.
    pub sink: AudioSink,
    /// From 0 (silent: no device is opened) to 1. The amplitude is its square, because that is how
    /// loud it seems: 0.5 sounds about half as loud as 1. Values outside are clamped.
    pub volume: f32,
    /// How often.
    pub repeat: Repeat,
}

/// A ring tone that is playing. Dropping it stops the sound and releases the speaker before it
/// returns, so that a call can open the speaker right after.
///
/// The sound fades in 3 ms, and is silent as soon as the device has played what it holds: 40 to
/// 60 ms with PulseAudio. Then the device closes. Dropping takes 0.1 to 0.15 s in all;
/// [`RingTone::stop`] does not wait.
///
/// ```
/// use tandem_media::audio::{AudioSink, Repeat, RingOptions, RingSound, RingTone};
///
/// let ring = RingTone::start(
///     RingOptions {
///         sound: RingSound::Incoming,
///         sink: AudioSink::None,
///         volume: 0.7,
///         repeat: Repeat::UntilStopped,
///     },
///     Box::new(|result| {
///         if let Err(error) = result {
///             eprintln!("the call does not ring: {error}");
///         }
///     }),
/// );
///
/// // The user answers.
/// ring.stop();
/// ```
#[derive(Debug)]
pub struct RingTone {
    player: SoundPlayer,
}

impl RingTone {
    /// Opens the speaker and starts playing. `done` is called when the sound is over, or when the
    /// speaker fails (now or later, with a `SPEAKER_…` code), but not after the ring was stopped.
    /// With [`AudioSink::None`] or a volume of 0 it is done at once.
    #[must_use]
    pub fn start(options: RingOptions, done: SoundDone) -> Self {
        let gain = gain(options.volume);
        let sink = if gain > 0.0 {
            options.sink
        } else {
            AudioSink::None
        };

        Self {
            player: SoundPlayer::start(sink, blocks(options.sound, options.repeat, gain), done),
        }
    }

    /// Starts fading the sound out and returns at once. The speaker is released a moment later.
    pub fn stop(&self) {
        self.player.stop();
    }
}

/// The amplitude for a volume.
fn gain(volume: f32) -> f32 {
    // A NaN, which no clamp removes, is silent.
    if volume > 0.0 {
        volume.min(1.0).powi(2)
    } else {
        0.0
    }
}

fn blocks(sound: RingSound, repeat: Repeat, gain: f32) -> Blocks {
    let melody: &'static Melody = match sound {
        RingSound::Incoming => &chime::INCOMING,
        RingSound::Ringback => &chime::RINGBACK,
        RingSound::Found => &chime::FOUND,
    };

    match repeat {
        Repeat::Once => melody.once(gain),
        Repeat::UntilStopped => melody.repeated(gain),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;
    use crate::error::{DeviceError, MediaErrorCode};

    fn start(sink: AudioSink, volume: f32) -> (RingTone, Receiver<Result<(), DeviceError>>) {
        let (done, results) = channel();
        let ring = RingTone::start(
            RingOptions {
                sound: RingSound::Incoming,
                sink,
                volume,
                repeat: Repeat::UntilStopped,
            },
            Box::new(move |result| done.send(result).expect("the test receives")),
        );

        (ring, results)
    }

    #[test]
    fn the_volume_is_clamped_and_half_of_it_is_12_db_less() {
        for (volume, expected) in [
            (-1.0, 0.0),
            (0.0, 0.0),
            (0.5, 0.25),
            (1.0, 1.0),
            (7.0, 1.0),
            (f32::INFINITY, 1.0),
            (f32::NAN, 0.0),
        ] {
            assert_eq!(gain(volume), expected, "the gain for a volume of {volume}");
        }
    }

    #[test]
    fn a_missing_speaker_is_reported_with_its_code() {
        let (_ring, results) = start(AudioSink::Named("no such speaker".into()), 1.0);
        let error = results
            .recv_timeout(Duration::from_secs(30))
            .expect("the failure is reported")
            .expect_err("no speaker has this name");
        assert_eq!(error.code, MediaErrorCode::SpeakerNotFound);
    }

    #[test]
    fn a_silent_ring_opens_no_speaker() {
        let (_ring, results) = start(AudioSink::Named("no such speaker".into()), 0.0);
        let result = results
            .recv_timeout(Duration::from_secs(30))
            .expect("it is done at once");
        assert_eq!(result, Ok(()), "nothing failed, because nothing was opened");
    }

    #[test]
    fn only_a_repeated_ring_goes_on() {
        let length = |sound, repeat| blocks(sound, repeat, 1.0).take(1_000).count() as f64 / 100.0;
        assert_eq!(length(RingSound::Found, Repeat::Once), 1.5, "seconds");
        assert_eq!(length(RingSound::Incoming, Repeat::Once), 3.0, "seconds");
        assert_eq!(length(RingSound::Ringback, Repeat::Once), 4.0, "seconds");
        assert_eq!(
            length(RingSound::Incoming, Repeat::UntilStopped),
            10.0,
            "as many seconds as are taken"
        );
    }
}
