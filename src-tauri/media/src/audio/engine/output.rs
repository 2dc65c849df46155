//! The speaker that plays received audio, and how it changes during a call.

use std::time::{Duration, Instant};

use super::super::device::{Closing, Speaker};
use crate::audio::BLOCK_SAMPLES;
use crate::audio::config::AudioSink;
use crate::audio::stats::DeviceCounts;
use crate::error::DeviceError;

/// Added to the delay that a device reports, to cover the fade at the end.
const DRAIN_MARGIN: Duration = Duration::from_millis(20);
/// The longest wait for a device to play what it holds.
const MAX_DRAIN: Duration = Duration::from_millis(300);

/// The speaker, if there is one. On a change the old device first plays what it holds, so that it
/// ends in a fade and not in a click. Audio received during that time, and while the new device
/// opens, is not heard.
#[derive(Debug, Default)]
pub(super) struct Output {
    speaker: Option<Box<Speaker>>,
    /// The sink to change to, and when the old one has played what it held.
    next: Option<(AudioSink, Instant)>,
    closing: Option<Closing>,
}

impl Output {
    /// Starts opening `sink`.
    pub(super) fn open(sink: AudioSink) -> Self {
        let mut output = Self::default();
        output.open_speaker(sink);
        output
    }

    /// Changes to `sink` once the old device has played what it holds.
    pub(super) fn change(&mut self, now: Instant, sink: AudioSink) {
        let remaining = self.speaker.as_ref().and_then(|speaker| speaker.delay());
        let remaining = remaining.map_or(Duration::ZERO, |delay| {
            (delay + DRAIN_MARGIN).min(MAX_DRAIN)
        });
        // While an earlier change is pending, the device gets nothing new, so the earlier time
        // stands.
        let due = self.next.take().map_or(now + remaining, |(_, due)| due);
        self.next = Some((sink, due));
    }

    /// Plays a block and returns when its first sample will be heard. Without a speaker that is
    /// `due`.
    pub(super) fn push(
        &mut self,
        now: Instant,
        due: Instant,
        block: &[i16; BLOCK_SAMPLES],
    ) -> Result<Instant, DeviceError> {
        if let Some((sink, _)) = self.next.take_if(|(_, at)| *at <= now) {
            if let Some(speaker) = self.speaker.take() {
                self.closing = Some(speaker.close());
            }

            self.open_speaker(sink);
        }

        match &mut self.speaker {
            Some(speaker) if self.next.is_none() => speaker.push(now, block),
            _ => Ok(due),
        }
    }

    /// Whether a speaker whose failure was reported works again; `true` once.
    pub(super) fn take_is_back(&mut self) -> bool {
        self.speaker
            .as_mut()
            .is_some_and(|speaker| speaker.take_is_back())
    }

    /// Tries a speaker that does not work again at once.
    pub(super) fn retry(&mut self) {
        if let Some(speaker) = &mut self.speaker {
            speaker.retry();
        }
    }

    /// Whether a speaker is open, opening, or about to be opened.
    pub(super) fn is_audible(&self) -> bool {
        match &self.next {
            Some((sink, _)) => *sink != AudioSink::None,
            None => self.speaker.is_some(),
        }
    }

    /// Delay from the engine to the air, once known.
    pub(super) fn delay(&self) -> Option<Duration> {
        self.speaker.as_ref().and_then(|speaker| speaker.delay())
    }

    pub(super) fn counts(&self) -> Option<DeviceCounts> {
        self.speaker.as_ref().map(|speaker| speaker.counts())
    }

    fn open_speaker(&mut self, sink: AudioSink) {
        let name = match sink {
            AudioSink::None => return,
            AudioSink::Default => None,
            AudioSink::Named(name) => Some(name),
        };

        self.speaker = Some(Box::new(Speaker::open(name, self.closing.take())));
    }
}
