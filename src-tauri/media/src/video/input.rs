//! One open video source of any kind.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: draws the test pattern in real time and stamps it"
)]

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::schedule::Schedule;
use super::worker::{StopSignal, Worker};
use super::{VideoFormat, VideoSpec, camera, file, test_pattern};
use crate::error::{DeviceError, MediaErrorCode, MediaEvents};
use crate::frame::{FramePool, VideoFrame};
use crate::slot::NewestSlot;

/// An open video source, which puts its frames into a [`NewestSlot`]. Dropping it stops its thread,
/// releases the device and closes the slot.
#[derive(Debug)]
pub struct VideoInput {
    frames: Arc<NewestSlot<VideoFrame>>,
    format: VideoFormat,
    worker: Option<Worker>,
}

/// The widths and heights, in pixels, that encoders and files can handle.
const SIDES: RangeInclusive<u32> = 16..=3840;
/// The rates, in frames per second, that schedules and encoders can handle.
const FPS: RangeInclusive<f32> = 1.0..=240.0;

impl VideoInput {
    /// Opens `spec`, or returns `Ok(None)` for [`VideoSpec::None`]. A camera uses its format
    /// nearest to `wanted`, a file uses its own, and the test pattern uses exactly `wanted`.
    ///
    /// Blocks until the source works or has failed, which takes a camera up to ten seconds. A later
    /// failure goes to `events` and closes the slot.
    ///
    /// # Errors
    /// The `Cam…` and `File…` codes of [`MediaErrorCode`], including
    /// [`CamFormat`](MediaErrorCode::CamFormat) when `wanted` is out of range: sides of 16 to 3840
    /// pixels, 1 to 240 frames per second.
    pub fn open(
        spec: &VideoSpec,
        wanted: VideoFormat,
        events: MediaEvents,
    ) -> Result<Option<Self>, DeviceError> {
        if !SIDES.contains(&wanted.width)
            || !SIDES.contains(&wanted.height)
            || !FPS.contains(&wanted.fps)
        {
            return Err(DeviceError::new(
                MediaErrorCode::CamFormat,
                format!(
                    "Video of {wanted} is not supported. Choose sides of {} to {} pixels and {} to {} fps.",
                    SIDES.start(),
                    SIDES.end(),
                    FPS.start(),
                    FPS.end()
                ),
            ));
        }

        let frames = Arc::new(NewestSlot::new());
        let (format, worker) = match spec {
            VideoSpec::None => return Ok(None),
            VideoSpec::Test => (wanted, start_test_pattern(wanted, Arc::clone(&frames))?),
            VideoSpec::Camera(which) => camera::open(which, wanted, Arc::clone(&frames), events)?,
            VideoSpec::File(path) => file::open(path, Arc::clone(&frames), events)?,
        };

        Ok(Some(Self {
            frames,
            format,
            worker: Some(worker),
        }))
    }

    /// The slot with the newest frame. It is closed when the source fails or is dropped.
    pub fn frames(&self) -> Arc<NewestSlot<VideoFrame>> {
        Arc::clone(&self.frames)
    }

    /// The actual size and rate of the source.
    pub fn format(&self) -> VideoFormat {
        self.format
    }
}

impl Drop for VideoInput {
    fn drop(&mut self) {
        self.worker = None;
        self.frames.close();
    }
}

fn start_test_pattern(
    format: VideoFormat,
    frames: Arc<NewestSlot<VideoFrame>>,
) -> Result<Worker, DeviceError> {
    Worker::spawn("test-pattern", move |stop| {
        draw_frames(format, &frames, stop);
    })
}

fn draw_frames(format: VideoFormat, frames: &NewestSlot<VideoFrame>, stop: &StopSignal) {
    let pool = FramePool::new();
    let mut schedule = Schedule::new(Instant::now(), f64::from(format.fps));
    let mut number = 0_u16;

    loop {
        let (due, _) = schedule.next(Instant::now());
        if !stop.sleep_until(due) {
            return;
        }

        let at = Instant::now();
        let unix_ms = unix_ms_now();
        let drawn = pool.make(format.width, format.height, |image| {
            test_pattern::draw(image, number, unix_ms);
            Ok::<(), Infallible>(())
        });

        let Ok(image) = drawn;
        frames.put(VideoFrame {
            image,
            at,
            rtp_timestamp: 0,
        });

        number = number.wrapping_add(1);
    }
}

/// Unix time in ms modulo 2^32, as the test pattern carries it.
fn unix_ms_now() -> u32 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::error::MediaEvent;

    const WANTED: VideoFormat = VideoFormat {
        width: 320,
        height: 240,
        fps: 60.0,
    };

    fn no_events() -> MediaEvents {
        Arc::new(|event: MediaEvent| panic!("nothing may fail here: {event:?}"))
    }

    #[test]
    fn no_video_opens_nothing() {
        let input = VideoInput::open(&VideoSpec::None, WANTED, no_events()).unwrap();
        assert!(input.is_none(), "there is no source to run");
    }

    #[test]
    fn formats_out_of_range_are_refused() {
        for (width, height, fps) in [
            (0, 240, 30.0),
            (320, 100_000, 30.0),
            (320, 240, 0.0),
            (320, 240, f32::NAN),
        ] {
            let error = VideoInput::open(
                &VideoSpec::Test,
                VideoFormat { width, height, fps },
                no_events(),
            )
            .expect_err("out of range");
            assert_eq!(
                error.code,
                MediaErrorCode::CamFormat,
                "{width}x{height} at {fps}"
            );
        }
    }

    #[test]
    fn the_test_pattern_counts_up_and_reuses_its_buffers() {
        let input = VideoInput::open(&VideoSpec::Test, WANTED, no_events())
            .unwrap()
            .expect("a source");
        let frames = input.frames();
        let (mut last, mut addresses) = (None, HashSet::new());

        for _ in 0..30 {
            let frame = frames
                .take(Duration::from_secs(10))
                .expect("a frame in time");
            addresses.insert(frame.image.data().as_ptr() as usize);
            let code = test_pattern::read(&frame.image).expect("an untouched frame is readable");

            let age = unix_ms_now().wrapping_sub(code.unix_ms);
            assert!(age < 10_000, "the capture time is {age} ms old");
            assert!(
                last < Some(code.frame),
                "{:?} came after {last:?}",
                code.frame
            );

            last = Some(code.frame);
        }

        assert!(
            addresses.len() <= 3,
            "{} buffers for a reader that holds one frame at a time",
            addresses.len()
        );

        drop(input);
        assert!(frames.is_closed(), "readers learn that the source is gone");
    }
}
