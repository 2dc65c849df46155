//! Where received sound goes, and how that changes in a call.

use std::time::{Duration, Instant};

use super::super::device::{Closing, Speaker};
use crate::audio::BLOCK;
use crate::audio::config::AudioSink;
use crate::audio::stats::DeviceCounts;
use crate::error::DeviceError;

/// What is in a device when its path is short of sound: a little more than it says, for the fade at the end.
const DRAINING: Duration = Duration::from_millis(20);
/// No device is waited for longer.
const DRAINING_MAX: Duration = Duration::from_millis(300);

/// The speaker, if there is one. A change lets the old device play what it has, so that it ends in a fade and not in a
/// click; sound of that time, and of the new device's opening, is not heard.
#[derive(Debug, Default)]
pub(super) struct Output {
    speaker: Option<Box<Speaker>>,
    /// The sink to change to, and when the old one has played what it had.
    next: Option<(AudioSink, Instant)>,
    closing: Option<Closing>,
}

impl Output {
    /// Begins to open `sink`.
    pub(super) fn open(sink: AudioSink) -> Self {
        let mut output = Self::default();
        output.begin(sink);
        output
    }

    /// Changes to `sink`.
    pub(super) fn change(&mut self, now: Instant, sink: AudioSink) {
        let left = self.speaker.as_ref().and_then(|speaker| speaker.delay());
        let left = left.map_or(Duration::ZERO, |delay| (delay + DRAINING).min(DRAINING_MAX));
        // While an earlier change is waiting, nothing new has gone to the device.
        let due = self.next.take().map_or(now + left, |(_, due)| due);
        self.next = Some((sink, due));
    }

    /// Plays a block and returns when its first sample will be heard; without a speaker that is `due`.
    pub(super) fn push(
        &mut self,
        now: Instant,
        due: Instant,
        block: &[i16; BLOCK],
    ) -> Result<Instant, DeviceError> {
        if let Some((sink, _)) = self.next.take_if(|(_, at)| *at <= now) {
            if let Some(speaker) = self.speaker.take() {
                self.closing = Some(speaker.close());
            }

            self.begin(sink);
        }

        match &mut self.speaker {
            Some(speaker) if self.next.is_none() => match speaker.push(now, block) {
                Ok(at) => Ok(at),
                Err(error) => {
                    self.closing = self.speaker.take().map(|speaker| speaker.close());
                    Err(error)
                }
            },
            _ => Ok(due),
        }
    }

    /// Whether there is a speaker, or one is coming.
    pub(super) fn is_audible(&self) -> bool {
        match &self.next {
            Some((sink, _)) => *sink != AudioSink::None,
            None => self.speaker.is_some(),
        }
    }

    /// From the engine to the air.
    pub(super) fn delay(&self) -> Option<Duration> {
        self.speaker.as_ref().and_then(|speaker| speaker.delay())
    }

    pub(super) fn counts(&self) -> Option<DeviceCounts> {
        self.speaker.as_ref().map(|speaker| speaker.counts())
    }

    fn begin(&mut self, sink: AudioSink) {
        let name = match sink {
            AudioSink::None => return,
            AudioSink::Default => None,
            AudioSink::Named(name) => Some(name),
        };

        self.speaker = Some(Box::new(Speaker::open(name, self.closing.take())));
    }
}
