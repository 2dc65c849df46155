//! Calls of minutes, simulated in milliseconds.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start from the current time"
)]

use proptest::prelude::*;

use super::*;

/// A sender and a network that determine when each stream is heard or decoded.
struct Call {
    sync: LipSync,
    start: Instant,
    /// Latency from capture until heard or decoded, ms.
    audio_ms: f64,
    video_ms: f64,
    /// How much the sender's clock runs fast, as a fraction.
    skew: f64,
    ntp: u64,
    audio_rtp: u32,
    video_rtp: u32,
    /// Whether the audio follows the hint, as the jitter buffer does: half of `audio_ms` is the
    /// buffer's own delay, and the hint is its minimum.
    follow_hint: bool,
}

impl Call {
    fn new(audio_ms: f64, video_ms: f64) -> Self {
        Self {
            sync: LipSync::new(),
            start: Instant::now(),
            audio_ms,
            video_ms,
            skew: 0.0,
            ntp: 3_900_000_000 << 32,
            audio_rtp: 1_000,
            video_rtp: 77,
            follow_hint: false,
        }
    }

    fn at(&self, ms: f64) -> Instant {
        self.start + Duration::from_secs_f64(ms / 1_000.0)
    }

    fn rtp(&self, origin: u32, hz: f64, ms: f64) -> u32 {
        origin.wrapping_add((ms * (1.0 + self.skew) / 1_000.0 * hz) as u64 as u32)
    }

    fn report(&mut self, kind: StreamKind, ms: f64) {
        let sender_s = ms * (1.0 + self.skew) / 1_000.0;
        let ntp = self.ntp.wrapping_add((sender_s * 2f64.powi(32)) as u64);
        let rtp = match kind {
            StreamKind::Audio => self.rtp(self.audio_rtp, AUDIO_HZ, ms),
            StreamKind::Video => self.rtp(self.video_rtp, VIDEO_HZ, ms),
        };

        let now = self.at(ms + 20.0);
        self.sync.on_sender_report(kind, ntp, rtp, now);
    }

    /// Runs from `from` to `to` ms and returns, for each frame, how late it is shown after its
    /// audio (ms).
    fn run(&mut self, from: u32, to: u32) -> Vec<f64> {
        let mut offsets = Vec::new();
        for ms in (from..to).step_by(10) {
            let captured = f64::from(ms);
            if ms % 1_000 == 0 {
                self.report(StreamKind::Audio, captured);
                self.report(StreamKind::Video, captured);
            }

            let extra = if self.follow_hint {
                self.sync.audio_extra_delay().as_secs_f64() * 1_000.0
            } else {
                0.0
            };

            let buffer_ms = self.audio_ms / 2.0;
            let heard = captured + buffer_ms + buffer_ms.max(extra);
            self.sync
                .on_audio_playout(self.rtp(self.audio_rtp, AUDIO_HZ, captured), self.at(heard));

            if ms % 30 == 0 {
                let decoded = self.at(captured + self.video_ms);
                let shown = self
                    .sync
                    .video_show_at(self.rtp(self.video_rtp, VIDEO_HZ, captured), decoded);
                assert!(
                    shown >= decoded && shown <= decoded + MAX_VIDEO_DELAY,
                    "the delay is bounded"
                );

                offsets.push(seconds_since(shown, self.at(heard)) * 1_000.0);
            }
        }

        offsets
    }
}

fn assert_in_sync(offsets: &[f64], why: &str) {
    let worst = offsets
        .iter()
        .fold(0.0f64, |worst, offset| worst.max(offset.abs()));
    assert!(worst <= 45.0, "{why}: worst offset {worst:.1} ms");
}

#[test]
fn early_video_waits_for_its_audio() {
    for audio_ms in [60.0, 120.0, 260.0] {
        let mut call = Call::new(audio_ms, 30.0);
        call.run(0, 5_000);
        assert_in_sync(&call.run(5_000, 60_000), "settled within 5 s");
        assert!(
            call.sync.offset().is_some_and(|ms| ms.abs() <= 45),
            "the reported offset agrees: {:?}",
            call.sync.offset()
        );
    }
}

#[test]
fn slightly_late_audio_does_not_delay_video() {
    let mut call = Call::new(50.0, 35.0);
    let offsets = call.run(0, 5_000);
    assert!(
        offsets.iter().all(|offset| (offset + 15.0).abs() < 1.0),
        "every frame is shown at once, 15 ms before its audio"
    );
    assert_eq!(call.sync.offset(), Some(-15), "the reported offset agrees");
}

#[test]
fn late_video_delays_audio() {
    let mut call = Call::new(40.0, 180.0);
    call.follow_hint = true;
    call.run(0, 10_000);

    assert_in_sync(&call.run(10_000, 60_000), "the audio waits");
    let extra = call.sync.audio_extra_delay().as_millis();
    assert!(
        (110..=160).contains(&extra),
        "160 ms would be exact, 45 ms less goes unnoticed: {extra} ms"
    );

    call.video_ms = 40.0;
    call.run(60_000, 75_000);
    assert!(
        call.sync.audio_extra_delay().as_millis() <= 5,
        "the audio is no longer delayed"
    );
}

#[test]
fn the_hint_and_the_delay_are_bounded() {
    let mut call = Call::new(0.0, 3_000.0);
    call.run(0, 20_000);
    assert!(
        call.sync.audio_extra_delay() <= MAX_AUDIO_EXTRA,
        "the extra delay of audio is bounded"
    );

    let mut call = Call::new(3_000.0, 0.0);
    call.run(0, 20_000);
    let decoded = call.at(20_000.0);
    let rtp = call.rtp(call.video_rtp, VIDEO_HZ, 20_000.0);

    assert_eq!(
        call.sync.video_show_at(rtp, decoded),
        decoded + MAX_VIDEO_DELAY,
        "the delay of video is bounded"
    );
}

#[test]
fn nothing_is_delayed_without_reports_for_both_streams() {
    for only in [StreamKind::Audio, StreamKind::Video] {
        let mut call = Call::new(200.0, 20.0);
        call.report(only, 0.0);

        for ms in (0..3_000).step_by(10) {
            let captured = f64::from(ms);
            call.sync.on_audio_playout(
                call.rtp(call.audio_rtp, AUDIO_HZ, captured),
                call.at(captured + 200.0),
            );
            let decoded = call.at(captured + 20.0);
            let rtp = call.rtp(call.video_rtp, VIDEO_HZ, captured);

            assert_eq!(
                call.sync.video_show_at(rtp, decoded),
                decoded,
                "only {only:?} was reported"
            );
        }

        assert_eq!(call.sync.offset(), None, "no offset is reported");
    }
}

#[test]
fn the_delay_changes_smoothly() {
    let mut call = Call::new(40.0, 30.0);
    call.run(0, 10_000);
    call.audio_ms = 190.0;
    let offsets = call.run(10_000, 20_000);
    let steepest = offsets
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .fold(0.0, f64::max);

    assert!(
        steepest <= DELAY_STEP_S * 1_000.0 + 0.1,
        "the delay changes by at most 5 ms per frame: {steepest:.1}"
    );
    assert_in_sync(&offsets[offsets.len() / 2..], "in sync again within 5 s");
}

#[test]
fn clock_wraps_and_skew_do_not_break_sync() {
    let mut call = Call::new(120.0, 30.0);
    call.ntp = u64::MAX - (20 << 32);
    call.audio_rtp = u32::MAX - 48_000 * 30;
    call.video_rtp = u32::MAX - 90_000 * 10;
    call.skew = 200e-6;
    call.run(0, 5_000);

    assert_in_sync(
        &call.run(5_000, 600_000),
        "10 minutes at 200 ppm while NTP, audio and video clocks wrap",
    );
}

#[test]
fn a_sender_that_sets_its_clock_is_followed() {
    let mut call = Call::new(150.0, 30.0);
    call.run(0, 20_000);
    call.ntp = call.ntp.wrapping_add(3_600 << 32);
    call.run(20_000, 25_000);

    assert_in_sync(
        &call.run(25_000, 40_000),
        "the sender's clock was set an hour ahead",
    );
}

proptest! {
    #[test]
    fn garbage_never_panics_and_never_delays_beyond_the_bound(
        events in proptest::collection::vec(
            (0u8..4, any::<u64>(), any::<u32>(), 0u64..100_000),
            1..300,
        ),
    ) {
        let start = Instant::now();
        let mut sync = LipSync::new();

        for (what, ntp, rtp, ms) in events {
            let at = start + Duration::from_millis(ms);
            match what {
                0 => sync.on_sender_report(StreamKind::Audio, ntp, rtp, at),
                1 => sync.on_sender_report(StreamKind::Video, ntp, rtp, at),
                2 => sync.on_audio_playout(rtp, at),
                _ => {
                    let shown = sync.video_show_at(rtp, at);
                    prop_assert!(
                        shown >= at && shown <= at + MAX_VIDEO_DELAY,
                        "the delay is bounded"
                    );
                }
            }

            prop_assert!(sync.audio_extra_delay() <= MAX_AUDIO_EXTRA, "the hint is bounded");
        }
    }
}
