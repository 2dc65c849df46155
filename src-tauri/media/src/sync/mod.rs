//! Lip sync: matches video frames to audio, from RTCP sender reports (RFC 3550 §6.4.1).
//!
//! Audio and video have RTP clocks with unrelated origins. A sender report names one moment of the
//! sender's wall clock in both NTP time and RTP time. With a report for each stream, both can be
//! placed on the sender's wall clock. Audio is the master: it is played when the jitter buffer says
//! so, and each frame is shown when its audio is heard. Video can only be delayed. If it is the
//! later of the two, the hint [`LipSync::audio_extra_delay`] delays the audio.
//!
//! Viewers notice when audio leads by more than 45 ms or lags by more than 125 ms (ITU-R
//! BT.1359-1). The aim here is ±45 ms.

use std::time::{Duration, Instant};

/// RTP ticks per second of audio (Opus, RFC 7587).
const AUDIO_HZ: f64 = 48_000.0;
/// RTP ticks per second of video (RFC 6184, RFC 7741).
const VIDEO_HZ: f64 = 90_000.0;
/// The longest delay of video.
pub const MAX_VIDEO_DELAY: Duration = Duration::from_millis(250);
/// The longest extra delay of audio, for late video.
pub const MAX_AUDIO_EXTRA: Duration = Duration::from_millis(200);
/// A frame less early than this, in seconds, is shown at once: viewers do not notice, and waiting
/// costs latency.
const TOLERATED_EARLY_S: f64 = 0.020;
/// Audio that leads by less than this, in seconds, is not delayed.
const TOLERATED_LEAD_S: f64 = 0.030;
/// The largest change of the video delay from one frame to the next, in seconds.
const DELAY_STEP_S: f64 = 0.005;
/// Weight of a new observation of the audio's playout offset.
const AUDIO_GAIN: f64 = 0.1;
/// Weight of a new observation of the video's decoding offset.
const VIDEO_GAIN: f64 = 0.05;
/// A playout offset that jumps by more than this, in seconds, is a new state, not noise to smooth
/// out.
const JUMP_S: f64 = 0.2;
/// An offset beyond this, in seconds, is implausible and counts as garbage.
const MAX_PLAUSIBLE_S: f64 = 10.0;
/// A stream without news for this long counts as absent.
const STALE_AFTER: Duration = Duration::from_secs(15);

/// The stream that a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// The audio stream.
    Audio,
    /// The video stream.
    Video,
}

/// One moment in both clocks of a stream.
#[derive(Debug, Clone, Copy)]
struct Report {
    ntp: u64,
    rtp: u32,
    received_at: Instant,
}

impl Report {
    /// Seconds from this report's moment to `rtp`, taken the shorter way round the wrap.
    fn seconds_to(&self, rtp: u32, hz: f64) -> f64 {
        f64::from(rtp.wrapping_sub(self.rtp) as i32) / hz
    }
}

/// Aligns video to audio. Sans-IO: call it from the audio and the video path, under one lock.
#[derive(Debug, Clone)]
pub struct LipSync {
    /// Zero of the local time axis, and the NTP time that is zero on the sender's. Only differences
    /// count.
    epoch: Option<(Instant, u64)>,
    audio: Option<Report>,
    video: Option<Report>,
    /// Local time at which audio is heard minus the sender's wall-clock time of that audio, in
    /// seconds, smoothed; and when it was last observed.
    audio_offset: Option<(f64, Instant)>,
    /// The same offset for frames as they are decoded.
    video_offset: Option<(f64, Instant)>,
    /// Current delay of video, in seconds.
    video_delay: f64,
    /// Current hint for the extra delay of audio, in seconds.
    audio_extra: f64,
}

impl Default for LipSync {
    fn default() -> Self {
        Self::new()
    }
}

impl LipSync {
    /// Starts without reports: frames are shown at once.
    pub fn new() -> Self {
        Self {
            epoch: None,
            audio: None,
            video: None,
            audio_offset: None,
            video_offset: None,
            video_delay: 0.0,
            audio_extra: 0.0,
        }
    }

    /// Takes a sender report for `kind` that arrived at `now`: when the sender's wall clock was at
    /// `ntp` (32.32 fixed point, seconds since 1900 modulo 2^32), the stream's RTP clock was at
    /// `rtp`. A report with NTP time zero (a sender without a clock) or older than the last one is
    /// ignored.
    pub fn on_sender_report(&mut self, kind: StreamKind, ntp: u64, rtp: u32, now: Instant) {
        if ntp == 0 {
            return;
        }

        let (epoch_at, epoch_ntp) = *self.epoch.get_or_insert((now, ntp));
        let slot = match kind {
            StreamKind::Audio => &mut self.audio,
            StreamKind::Video => &mut self.video,
        };

        let report = Report {
            ntp,
            rtp,
            received_at: now,
        };

        if let Some(last) = *slot {
            let advanced = ntp_seconds(ntp, last.ntp);
            let waited = now
                .saturating_duration_since(last.received_at)
                .as_secs_f64();

            if advanced <= 0.0 && advanced > -MAX_PLAUSIBLE_S {
                return;
            }

            if (advanced - waited).abs() > MAX_PLAUSIBLE_S {
                // The sender's clock was set, or this is another sender: earlier observations no
                // longer hold.
                let (audio_extra, video_delay) = (self.audio_extra, self.video_delay);
                *self = Self {
                    epoch: Some((now, ntp)),
                    audio_extra,
                    video_delay,
                    ..Self::new()
                };

                match kind {
                    StreamKind::Audio => self.audio = Some(report),
                    StreamKind::Video => self.video = Some(report),
                }

                return;
            }
        }

        // Both streams share one wall clock, so a report that disagrees this much with the local
        // clock is garbage.
        let drift = ntp_seconds(ntp, epoch_ntp) - seconds_since(now, epoch_at);
        if drift.abs() <= MAX_PLAUSIBLE_S {
            *slot = Some(report);
        }
    }

    /// Takes an observation: the audio with `rtp_timestamp` leaves the speaker at `heard_at`. That
    /// may lie in the future: now plus the sink's delay.
    pub fn on_audio_playout(&mut self, rtp_timestamp: u32, heard_at: Instant) {
        let Some(report) = fresh(self.audio, heard_at) else {
            return;
        };

        if let Some(offset) = self.offset_of(report, rtp_timestamp, AUDIO_HZ, heard_at) {
            self.audio_offset = Some((smooth(self.audio_offset, offset, AUDIO_GAIN), heard_at));
        }
    }

    /// When to show the frame with `rtp_timestamp`, decoded at `decoded_at`: at once or up to
    /// [`MAX_VIDEO_DELAY`] later. Without a report for both streams and playing audio, at once.
    pub fn video_show_at(&mut self, rtp_timestamp: u32, decoded_at: Instant) -> Instant {
        let requested = self.requested_video_delay(rtp_timestamp, decoded_at);
        let change = (requested - self.video_delay).clamp(-DELAY_STEP_S, DELAY_STEP_S);
        self.video_delay = (self.video_delay + change).clamp(0.0, MAX_VIDEO_DELAY.as_secs_f64());

        decoded_at + Duration::from_secs_f64(self.video_delay)
    }

    fn requested_video_delay(&mut self, rtp_timestamp: u32, decoded_at: Instant) -> f64 {
        let observed = fresh(self.video, decoded_at)
            .and_then(|report| self.offset_of(report, rtp_timestamp, VIDEO_HZ, decoded_at));
        let Some(offset) = observed else {
            self.audio_extra = 0.0;
            return 0.0;
        };

        let usual = smooth(self.video_offset, offset, VIDEO_GAIN);
        self.video_offset = Some((usual, decoded_at));
        let audio = self
            .audio_offset
            .filter(|&(_, seen)| decoded_at.saturating_duration_since(seen) < STALE_AFTER)
            .map(|(offset, _)| offset);

        let Some(audio) = audio else {
            self.audio_extra = 0.0;
            return 0.0;
        };

        // Positive: the audio of this frame has not been heard yet.
        let early = audio - usual;
        // The audio already carries `audio_extra`, so the remaining lead (or lag) adds to that.
        let lead = -early - TOLERATED_LEAD_S;

        if lead > 0.0 || self.audio_extra > 0.0 {
            let requested = (self.audio_extra + lead).clamp(0.0, MAX_AUDIO_EXTRA.as_secs_f64());
            self.audio_extra += (requested - self.audio_extra) * VIDEO_GAIN;

            if self.audio_extra < 0.001 {
                self.audio_extra = 0.0;
            }
        }

        if early <= TOLERATED_EARLY_S {
            0.0
        } else {
            early.min(MAX_VIDEO_DELAY.as_secs_f64())
        }
    }

    /// How far video now trails audio, in ms; positive if audio is heard first. `None` until audio
    /// has been heard and a frame decoded, with a report for each.
    pub fn offset(&self) -> Option<i64> {
        let (audio, _) = self.audio_offset?;
        let (video, _) = self.video_offset?;
        Some(((video + self.video_delay - audio) * 1_000.0).round() as i64)
    }

    /// The least delay that the jitter buffer should give audio because video comes later, 0 to
    /// [`MAX_AUDIO_EXTRA`]. Pass it to `JitterBuffer::set_minimum_delay`. It rises while audio is
    /// too early and falls while audio is too late, so it settles whether the buffer takes it as a
    /// minimum or adds it to its own delay.
    pub fn audio_extra_delay(&self) -> Duration {
        Duration::from_secs_f64(self.audio_extra)
    }

    /// Local time `at` minus the sender's wall-clock time of `rtp`, each from its epoch, in
    /// seconds. `None` if implausible.
    fn offset_of(&self, report: Report, rtp: u32, hz: f64, at: Instant) -> Option<f64> {
        let (epoch_at, epoch_ntp) = self.epoch?;
        let sent = ntp_seconds(report.ntp, epoch_ntp) + report.seconds_to(rtp, hz);
        let offset = seconds_since(at, epoch_at) - sent;

        (offset.abs() <= 2.0 * MAX_PLAUSIBLE_S).then_some(offset)
    }
}

/// The report, unless it is too old to extrapolate from.
fn fresh(report: Option<Report>, at: Instant) -> Option<Report> {
    report.filter(|report| at.saturating_duration_since(report.received_at) < STALE_AFTER)
}

/// Seconds from `earlier` to `later` in 32.32 NTP time, taken the shorter way round the wrap of
/// 2036.
fn ntp_seconds(later: u64, earlier: u64) -> f64 {
    later.wrapping_sub(earlier) as i64 as f64 / 2f64.powi(32)
}

/// Signed seconds from `earlier` to `later`.
fn seconds_since(later: Instant, earlier: Instant) -> f64 {
    later.saturating_duration_since(earlier).as_secs_f64()
        - earlier.saturating_duration_since(later).as_secs_f64()
}

fn smooth(last: Option<(f64, Instant)>, observed: f64, gain: f64) -> f64 {
    match last {
        Some((last, _)) if (observed - last).abs() <= JUMP_S => last + gain * (observed - last),
        _ => observed,
    }
}

#[cfg(test)]
mod tests;
