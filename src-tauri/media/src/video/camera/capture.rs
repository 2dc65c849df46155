//! The capture thread of a camera and the watchdog beside it: drivers hang in opening and in reading, and a thread
//! inside a driver cannot be stopped, only left behind.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::super::VideoFormat;
use super::super::convert::Converter;
use super::super::input::no_thread;
use super::super::worker::{StopSignal, Worker};
use super::CameraFormat;
use crate::error::{DeviceError, MediaEvent, MediaEvents, MediaPart};
use crate::frame::{FramePool, VideoFrame};
use crate::slot::NewestSlot;

/// An open camera. Not `Send`: it is made and used on the capture thread.
pub(super) trait Device {
    /// What it delivers.
    fn format(&self) -> CameraFormat;

    /// Waits for the next picture and hands its raw bytes to `use_picture`.
    fn read(&mut self, use_picture: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError>;
}

/// How long a driver may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// To open the device.
    pub(super) open: Duration,
    /// For each picture.
    pub(super) picture: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(10),
            picture: Duration::from_secs(3),
        }
    }
}

/// A sign of life of the capture thread.
enum Sign {
    Picture,
    Failed(DeviceError),
}

/// Opens a device on a thread of its own and runs it there.
pub(super) fn start<D: Device>(
    open: impl FnOnce() -> Result<D, DeviceError> + Send + 'static,
    patience: Patience,
    frames: Arc<NewestSlot<VideoFrame>>,
    events: MediaEvents,
) -> Result<(VideoFormat, Worker), DeviceError> {
    let (opened, result) = sync_channel(1);
    let (signs, watched) = sync_channel(1);
    let slot = Arc::clone(&frames);
    let worker = Worker::spawn("camera", move |stop| match open() {
        Ok(device) => {
            // Who waited may have given up.
            if opened.send(Ok(device.format())).is_ok() {
                capture(device, &slot, &signs, stop);
            }
        }
        Err(error) => {
            let _ = opened.send(Err(error));
        }
    })
    .map_err(|error| no_thread(&error))?;

    let format = match result.recv_timeout(patience.open) {
        Ok(opened) => opened?,
        Err(_) => {
            // Joining a thread that hangs would only hang longer.
            worker.leave_behind();
            return Err(timeout("open"));
        }
    };

    Builder::new()
        .name("camera-watchdog".to_owned())
        .spawn(move || {
            if let Some(error) = watch(&watched, patience.picture) {
                tracing::warn!(code = error.code, "the camera failed");
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

/// A driver that does not react.
pub(super) fn timeout(action: &str) -> DeviceError {
    DeviceError::new(
        "CAM_TIMEOUT",
        format!(
            "The camera does not {action}. Unplug it and plug it in again, or choose another one."
        ),
    )
}

fn capture<D: Device>(
    mut device: D,
    frames: &NewestSlot<VideoFrame>,
    signs: &SyncSender<Sign>,
    stop: &StopSignal,
) {
    let format = device.format();
    let (pool, mut converter) = (FramePool::new(), Converter::new());
    let mut broken = 0_u64;

    while !stop.is_stopped() {
        let read = device.read(&mut |bytes| {
            let at = Instant::now();
            let image = pool.make(format.width, format.height, |image| {
                converter.convert(format.pixels, bytes, image)
            });

            match image {
                Ok(image) => frames.put(VideoFrame {
                    image,
                    at,
                    rtp_timestamp: 0,
                }),
                Err(error) => {
                    broken += 1;
                    tracing::debug!(%error, broken, "a picture of the camera is skipped");
                }
            }
        });

        let sign = match read {
            // A sign that the watchdog has not read yet says the same.
            Ok(()) => signs.try_send(Sign::Picture),
            Err(error) => {
                // Blocks at most until the watchdog has read the sign before.
                let _ = signs.send(Sign::Failed(error));
                return;
            }
        };

        if let Err(TrySendError::Disconnected(_)) = sign {
            // The watchdog has given up and told so: a camera that comes back late stays away.
            return;
        }
    }
}

/// Returns when the capture thread is done: with an error if that was not wanted.
fn watch(signs: &Receiver<Sign>, patience: Duration) -> Option<DeviceError> {
    loop {
        match signs.recv_timeout(patience) {
            Ok(Sign::Picture) => {}
            Ok(Sign::Failed(error)) => return Some(error),
            Err(RecvTimeoutError::Timeout) => return Some(timeout("deliver pictures")),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::super::super::convert::PixelFormat;
    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const QUICK: Patience = Patience {
        open: Duration::from_millis(50),
        picture: Duration::from_millis(50),
    };

    /// A camera that does what it is told: each step is a picture, a failure, or (when the steps are dropped) hanging.
    struct Puppet {
        steps: Receiver<Result<Vec<u8>, DeviceError>>,
    }

    impl Device for Puppet {
        fn format(&self) -> CameraFormat {
            CameraFormat {
                width: 16,
                height: 16,
                fps: 25,
                pixels: PixelFormat::Nv12,
            }
        }

        fn read(&mut self, use_picture: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError> {
            use_picture(
                &self
                    .steps
                    .recv()
                    .unwrap_or_else(|_| Err(timeout("go on")))?,
            );
            Ok(())
        }
    }

    struct Rig {
        steps: Sender<Result<Vec<u8>, DeviceError>>,
        frames: Arc<NewestSlot<VideoFrame>>,
        events: Receiver<MediaEvent>,
        worker: Worker,
    }

    fn rig(patience: Patience) -> Rig {
        let (steps, puppet) = channel();
        let (sender, events) = channel();
        let frames = Arc::new(NewestSlot::new());
        let (format, worker) = start(
            move || Ok(Puppet { steps: puppet }),
            patience,
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
            "the camera's own format"
        );

        Rig {
            steps,
            frames,
            events,
            worker,
        }
    }

    fn failure(rig: &Rig) -> &'static str {
        let MediaEvent::Failed { part, error } = rig.events.recv_timeout(SOON).expect("an event");
        assert_eq!(part, MediaPart::Camera, "the camera failed");
        assert!(rig.frames.is_closed(), "readers learn it too");

        error.code
    }

    #[test]
    fn pictures_come_through_and_broken_ones_are_skipped() {
        let rig = rig(Patience::default());
        rig.steps.send(Ok(vec![1; 10])).unwrap();
        rig.steps.send(Ok(vec![7; 384])).unwrap();
        let frame = rig.frames.take(SOON).expect("the whole picture");

        assert!(
            frame.image.data().iter().all(|&byte| byte == 7),
            "it is the second one"
        );

        drop((rig.steps, rig.worker));
    }

    #[test]
    fn an_unplugged_camera_is_reported() {
        let rig = rig(Patience::default());
        rig.steps.send(Ok(vec![7; 384])).unwrap();
        rig.steps
            .send(Err(DeviceError::new("CAM_UNPLUGGED", "gone")))
            .unwrap();

        assert_eq!(failure(&rig), "CAM_UNPLUGGED", "the device's own error");
    }

    #[test]
    fn a_camera_that_stops_delivering_is_given_up_for_good() {
        let rig = rig(QUICK);
        assert_eq!(failure(&rig), "CAM_TIMEOUT", "no picture came in time");
        // It comes back too late: one more picture ends the thread.
        rig.steps.send(Ok(vec![7; 384])).unwrap();
        drop(rig.worker);

        assert!(
            rig.steps.send(Ok(vec![7; 384])).is_err(),
            "the device has been released"
        );
    }

    #[test]
    fn a_hanging_open_is_given_up() {
        let (release, hang) = channel::<()>();
        let open = move || {
            let _ = hang.recv();
            Err::<Puppet, _>(timeout("matter any more"))
        };

        let error = start(open, QUICK, Arc::new(NewestSlot::new()), Arc::new(|_| ()))
            .expect_err("it hangs");
        assert_eq!(error.code, "CAM_TIMEOUT", "{error}");
        drop(release);
    }

    #[test]
    fn an_owner_that_goes_is_no_failure() {
        let rig = rig(Patience::default());
        let steps = rig.steps.clone();
        let feeder = std::thread::spawn(move || {
            while steps.send(Ok(vec![7; 384])).is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });

        rig.frames.take(SOON).expect("it runs");
        drop(rig.worker);
        feeder.join().unwrap();

        assert!(
            rig.events.recv_timeout(SOON).is_err(),
            "the watchdog ends without an event"
        );
    }
}
