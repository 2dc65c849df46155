//! The capture thread of a camera, and the watchdog beside it. Drivers hang while they open a
//! device and while they read from it, and a thread that hangs in a driver cannot be stopped, only
//! abandoned.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: stamps frames when the driver delivers them"
)]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::super::VideoFormat;
use super::super::convert::Converter;
use super::super::worker::{StopSignal, Worker, no_thread};
use super::CameraFormat;
use super::errors::{only_broken_frames, timeout};
use crate::error::{DeviceError, MediaErrorCode, MediaEvent, MediaEvents, MediaPart};
use crate::frame::{FramePool, VideoFrame};
use crate::slot::NewestSlot;

/// An open camera. It need not be `Send`: the capture thread both opens and uses it.
pub(super) trait Device {
    /// What the camera delivers.
    fn format(&self) -> CameraFormat;

    /// Blocks until the next frame and passes its raw bytes to `on_frame`.
    fn read(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError>;
}

/// How long a driver may take before the camera counts as failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// For opening the device.
    pub(super) open: Duration,
    /// For each frame.
    pub(super) frame: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(10),
            frame: Duration::from_secs(3),
        }
    }
}

/// A format is given up after this many broken frames in a row: a second of a usual webcam. USB loses
/// single frames.
const MAX_BROKEN: u32 = 30;

/// What the capture thread reports to the watchdog.
enum Progress {
    /// A frame that can be shown.
    Frame,
    /// The device is opened again at another format, which the driver may take its time for.
    Reopening,
    Failed(DeviceError),
}

/// Why the capture thread stops reading from a device.
enum End {
    /// Its owner, or the watchdog, wants no more.
    Stopped,
    /// It delivers nothing but broken frames.
    Broken,
    Failed(DeviceError),
}

/// Opens a device on a thread of its own and captures from it there until the [`Worker`] is
/// dropped. `open` gets the formats in which the device has delivered nothing but broken frames. The
/// format that is returned is the first one.
pub(super) fn start<D: Device>(
    mut open: impl FnMut(&[CameraFormat]) -> Result<D, DeviceError> + Send + 'static,
    timeouts: Timeouts,
    frames: Arc<NewestSlot<VideoFrame>>,
    events: MediaEvents,
) -> Result<(VideoFormat, Worker), DeviceError> {
    let (opened, result) = sync_channel(1);
    let (progress, watched) = sync_channel(1);
    let slot = Arc::clone(&frames);

    let worker = Worker::spawn("camera", move |stop| match open(&[]) {
        Ok(device) => {
            // Fails when the opener has given up waiting: then the device is released at once.
            if opened.send(Ok(device.format())).is_ok() {
                capture_in_turn(device, &mut open, &slot, &progress, stop);
            }
        }
        Err(error) => {
            let _ = opened.send(Err(error));
        }
    })?;

    let format = match result.recv_timeout(timeouts.open) {
        Ok(opened) => opened?,
        Err(_) => {
            // Joining a thread that hangs would hang this one, too.
            worker.abandon();
            return Err(timeout("open"));
        }
    };

    Builder::new()
        .name("camera-watchdog".to_owned())
        .spawn(move || {
            if let Some(error) = watch(&watched, timeouts) {
                tracing::warn!(
                    code = error.code.as_str(),
                    cause = error.cause.as_ref().map(tracing::field::display),
                    "the camera failed: no local video until it is opened again"
                );
                drop(watched);
                frames.close();
                events(MediaEvent::Failed {
                    part: MediaPart::Camera,
                    error,
                });
            }
        })
        .map_err(|error| no_thread(&error))?;

    Ok((
        VideoFormat {
            width: format.width,
            height: format.height,
            fps: format.fps as f32,
        },
        worker,
    ))
}

/// Captures from the device, and in another format once one is broken.
fn capture_in_turn<D: Device>(
    mut device: D,
    open: &mut impl FnMut(&[CameraFormat]) -> Result<D, DeviceError>,
    frames: &NewestSlot<VideoFrame>,
    progress: &SyncSender<Progress>,
    stop: &StopSignal,
) {
    let mut broken = Vec::new();
    loop {
        // Blocks only until the watchdog has read the previous report.
        let failed = |error| {
            let _ = progress.send(Progress::Failed(error));
        };

        let format = device.format();
        match capture(&mut device, frames, progress, stop) {
            End::Stopped => return,
            End::Failed(error) => return failed(error),
            End::Broken => broken.push(format),
        }

        tracing::warn!(
            ?format,
            "the camera delivers only broken frames: trying its next format"
        );
        if progress.send(Progress::Reopening).is_err() {
            return;
        }

        // A device opens once at a time.
        drop(device);
        device = match open(&broken) {
            Ok(device) => device,
            Err(error) if error.code == MediaErrorCode::CamFormat => {
                return failed(only_broken_frames());
            }
            Err(error) => return failed(error),
        };
    }
}

fn capture<D: Device>(
    device: &mut D,
    frames: &NewestSlot<VideoFrame>,
    progress: &SyncSender<Progress>,
    stop: &StopSignal,
) -> End {
    let format = device.format();
    let (pool, mut converter) = (FramePool::new(), Converter::new());
    let mut broken = 0;

    while !stop.is_stopped() {
        let read = device.read(&mut |bytes| {
            let at = Instant::now();
            let image = pool.make(format.width, format.height, |image| {
                converter.convert(format.pixels, bytes, image)
            });

            match image {
                Ok(image) => {
                    broken = 0;
                    frames.put(VideoFrame {
                        image,
                        at,
                        rtp_timestamp: 0,
                    });
                }
                Err(error) => {
                    broken += 1;
                    tracing::debug!(%error, broken, "skipped a broken frame from the camera");
                }
            }
        });

        if let Err(error) = read {
            return End::Failed(error);
        }

        if broken == MAX_BROKEN {
            return End::Broken;
        }

        // If the watchdog has not read the previous report yet, that one says the same. A broken
        // frame shows nothing, so it is no sign of life.
        if broken == 0
            && let Err(TrySendError::Disconnected(_)) = progress.try_send(Progress::Frame)
        {
            // The watchdog has already reported a failure, so a camera that recovers late must not
            // continue.
            return End::Stopped;
        }
    }

    End::Stopped
}

/// Returns when the capture thread ends, or hangs: with an error, unless its owner stopped it.
fn watch(progress: &Receiver<Progress>, timeouts: Timeouts) -> Option<DeviceError> {
    let mut timeout_of_next = timeouts.frame;
    loop {
        match progress.recv_timeout(timeout_of_next) {
            Ok(Progress::Frame) => timeout_of_next = timeouts.frame,
            Ok(Progress::Reopening) => timeout_of_next = timeouts.open + timeouts.frame,
            Ok(Progress::Failed(error)) => return Some(error),
            Err(RecvTimeoutError::Timeout) => return Some(timeout("deliver any frames")),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use parking_lot::Mutex;

    use super::super::super::convert::PixelFormat;
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const SHORT: Timeouts = Timeouts {
        open: Duration::from_millis(50),
        frame: Duration::from_millis(50),
    };

    /// What the camera does next, for each time that it is open.
    type Steps = Arc<Mutex<Receiver<Result<Vec<u8>, DeviceError>>>>;

    /// A camera that a test scripts. Each step is a frame or a failure; without a next step it
    /// hangs, and after the last one it fails.
    struct ScriptedCamera {
        steps: Steps,
        pixels: PixelFormat,
    }

    impl Device for ScriptedCamera {
        fn format(&self) -> CameraFormat {
            CameraFormat {
                width: 16,
                height: 16,
                fps: 25,
                pixels: self.pixels,
            }
        }

        fn read(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError> {
            let step = self.steps.lock().recv();
            on_frame(&step.unwrap_or_else(|_| Err(timeout("continue")))?);
            Ok(())
        }
    }

    struct Rig {
        steps: Sender<Result<Vec<u8>, DeviceError>>,
        frames: Arc<NewestSlot<VideoFrame>>,
        events: Receiver<MediaEvent>,
        worker: Worker,
    }

    fn rig(timeouts: Timeouts) -> Rig {
        let (steps, script) = channel();
        let (sender, events) = channel();
        let frames = Arc::new(NewestSlot::new());
        let steps_of_all = Arc::new(Mutex::new(script));
        let open = move |broken: &[CameraFormat]| {
            let pixels = [PixelFormat::Nv12, PixelFormat::Yuyv]
                .into_iter()
                .find(|pixels| broken.iter().all(|format| format.pixels != *pixels))
                .ok_or_else(|| DeviceError::new(MediaErrorCode::CamFormat, "no other format"))?;
            let steps = Arc::clone(&steps_of_all);
            Ok(ScriptedCamera { steps, pixels })
        };
        let (format, worker) = start(
            open,
            timeouts,
            Arc::clone(&frames),
            Arc::new(move |event| sender.send(event).unwrap()),
        )
        .unwrap();

        assert_eq!(
            format,
            VideoFormat {
                width: 16,
                height: 16,
                fps: 25.0
            },
            "the format of the camera"
        );

        Rig {
            steps,
            frames,
            events,
            worker,
        }
    }

    fn failure(rig: &Rig) -> MediaErrorCode {
        let event = rig.events.recv_timeout(TIMEOUT).expect("an event");
        let MediaEvent::Failed { part, error } = event else {
            panic!("a camera cannot recover by itself: {event:?}")
        };
        assert_eq!(part, MediaPart::Camera, "the camera failed");
        assert!(rig.frames.is_closed(), "readers are notified, too");

        error.code
    }

    #[test]
    fn whole_frames_come_through_and_broken_ones_are_skipped() {
        let rig = rig(Timeouts::default());
        rig.steps.send(Ok(vec![1; 10])).unwrap();
        rig.steps.send(Ok(vec![7; 384])).unwrap();

        let frame = rig.frames.take(TIMEOUT).expect("the whole frame");
        assert!(
            frame.image.data().iter().all(|&byte| byte == 7),
            "it is the second one"
        );

        drop((rig.steps, rig.worker));
    }

    #[test]
    fn a_format_that_gives_only_broken_frames_is_left_for_the_next_best() {
        let rig = rig(Timeouts::default());
        for _ in 0..MAX_BROKEN {
            rig.steps.send(Ok(vec![1; 10])).unwrap();
        }

        // 16x16 in YUYV; NV12 takes 384 bytes.
        rig.steps.send(Ok([7, 9].repeat(256))).unwrap();
        let frame = rig.frames.take(TIMEOUT).expect("a frame of the other one");
        assert_eq!(
            frame.image.planes().0,
            [7; 256],
            "what was delivered is YUYV now"
        );
        drop((rig.steps, rig.worker));
    }

    #[test]
    fn a_camera_that_gives_only_broken_frames_is_reported() {
        let rig = rig(Timeouts::default());
        for _ in 0..2 * MAX_BROKEN {
            rig.steps.send(Ok(vec![1; 10])).unwrap();
        }

        assert_eq!(failure(&rig), MediaErrorCode::CamFormat, "in every format");
    }

    #[test]
    fn a_broken_frame_is_no_sign_of_life() {
        let timeouts = Timeouts {
            frame: Duration::from_millis(300),
            ..Timeouts::default()
        };
        let rig = rig(timeouts);
        let steps = rig.steps.clone();
        let feeder = std::thread::spawn(move || {
            // Slower than would be counted as a broken format.
            while steps.send(Ok(vec![1; 10])).is_ok() {
                std::thread::sleep(Duration::from_millis(60));
            }
        });

        assert_eq!(failure(&rig), MediaErrorCode::CamTimeout, "nothing to see");
        drop(rig.worker);
        drop(feeder);
    }

    #[test]
    fn an_unplugged_camera_is_reported() {
        let rig = rig(Timeouts::default());
        rig.steps.send(Ok(vec![7; 384])).unwrap();
        rig.steps
            .send(Err(DeviceError::new(MediaErrorCode::CamUnplugged, "gone")))
            .unwrap();

        assert_eq!(
            failure(&rig),
            MediaErrorCode::CamUnplugged,
            "the device's error is passed on"
        );
    }

    #[test]
    fn a_camera_that_stops_delivering_is_given_up_for_good() {
        let rig = rig(SHORT);
        assert_eq!(
            failure(&rig),
            MediaErrorCode::CamTimeout,
            "no frame came in time"
        );

        // The camera recovers too late: the next frame ends its thread.
        rig.steps.send(Ok(vec![7; 384])).unwrap();
        drop(rig.worker);

        assert!(
            rig.steps.send(Ok(vec![7; 384])).is_err(),
            "the device has been released"
        );
    }

    #[test]
    fn an_open_that_hangs_is_given_up() {
        let (release, hang) = channel::<()>();
        let open = move |_: &[CameraFormat]| {
            let _ = hang.recv();
            Err::<ScriptedCamera, _>(timeout("matter any more"))
        };

        let error = start(open, SHORT, Arc::new(NewestSlot::new()), Arc::new(|_| ()))
            .expect_err("it hangs");
        assert_eq!(error.code, MediaErrorCode::CamTimeout, "{error}");
        drop(release);
    }

    #[test]
    fn dropping_the_owner_is_not_a_failure() {
        let rig = rig(Timeouts::default());
        let steps = rig.steps.clone();
        let feeder = std::thread::spawn(move || {
            while steps.send(Ok(vec![7; 384])).is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });

        rig.frames.take(TIMEOUT).expect("it runs");
        drop(rig.worker);
        feeder.join().unwrap();

        assert!(
            rig.events.recv_timeout(TIMEOUT).is_err(),
            "the watchdog ends without an event"
        );
    }
}
