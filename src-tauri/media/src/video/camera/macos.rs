//! Cameras on macOS, through AVFoundation. It converts whatever the camera has to NV12, throws late
//! frames away, and keeps the newest one here.

use std::ffi::c_void;
use std::panic::AssertUnwindSafe;
use std::slice;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use block2::RcBlock;
use dispatch2::DispatchQueue;
use objc2::rc::Retained;
use objc2::runtime::{AnyObject, Bool, NSObject, NSObjectProtocol, ProtocolObject};
use objc2::{AnyThread, DefinedClass, define_class, msg_send};
use objc2_av_foundation::{
    AVAuthorizationStatus, AVCaptureConnection, AVCaptureDevice, AVCaptureDeviceFormat,
    AVCaptureDeviceInput, AVCaptureOutput, AVCaptureSession, AVCaptureVideoDataOutput,
    AVCaptureVideoDataOutputSampleBufferDelegate, AVFrameRateRange, AVMediaType, AVMediaTypeVideo,
};
use objc2_core_media::{CMSampleBuffer, CMVideoFormatDescriptionGetDimensions};
use objc2_core_video::{
    CVPixelBuffer, CVPixelBufferGetBaseAddressOfPlane, CVPixelBufferGetBytesPerRowOfPlane,
    CVPixelBufferGetHeightOfPlane, CVPixelBufferGetPlaneCount, CVPixelBufferGetWidthOfPlane,
    CVPixelBufferLockBaseAddress, CVPixelBufferLockFlags, CVPixelBufferUnlockBaseAddress,
    kCVPixelBufferPixelFormatTypeKey, kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange,
    kCVReturnSuccess,
};
use objc2_foundation::{NSArray, NSDictionary, NSError, NSNumber, NSString};
use parking_lot::{Condvar, Mutex};

use super::super::VideoFormat;
use super::super::convert::PixelFormat;
use super::CameraFormat;
use super::capture::Device;
use super::device::{Node, usable};
use super::errors::{denied, gone, in_use, no_format, timeout, unplugged};
use super::format::closest;
use crate::error::DeviceError;

/// How often a camera without frames is asked whether it is still there.
const CHECK: Duration = Duration::from_millis(250);
/// Longer than the watchdog waits: only so that a thread that was given up ends.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// AVError's numbers: the application may not, another session or application has it, it is gone.
const NOT_AUTHORIZED: isize = -11852;
const IN_USE: [isize; 3] = [-11804, -11815, -11817];
const NOT_CONNECTED: isize = -11814;

/// Cameras are listed whether or not this program may use them, and none is opened for it.
pub(super) fn query() -> Result<Vec<Node>, DeviceError> {
    let devices = devices()?;
    let node = |(device, index): (Retained<AVCaptureDevice>, u32)| {
        // SAFETY: properties of a living object.
        let (name, id) = unsafe { (device.localizedName(), device.uniqueID()) };
        Node {
            index,
            name: name.to_string(),
            id: id.to_string(),
        }
    };
    Ok(devices.iter().zip(0..).map(node).collect())
}

/// The formats of `node`. Reads properties only: a call that uses the camera goes on.
pub(super) fn formats(node: &Node) -> Result<Vec<CameraFormat>, DeviceError> {
    let modes = modes(&*device(node)?);
    Ok(usable(modes.iter().map(|mode| mode.format).collect()))
}

/// Asks the user for permission, if nobody has yet, and waits for the answer.
pub(super) fn allow_access() -> Result<(), DeviceError> {
    let video = video()?;
    // SAFETY: the media type is the system's own.
    let status = unsafe { AVCaptureDevice::authorizationStatusForMediaType(video) };
    let allowed = match status {
        AVAuthorizationStatus::Authorized => true,
        AVAuthorizationStatus::NotDetermined => {
            let (sender, answer) = channel();
            let block = RcBlock::new(move |allowed: Bool| {
                let _ = sender.send(allowed.as_bool());
            });
            // SAFETY: the system copies the block, and calls it once on a thread of its own.
            unsafe {
                AVCaptureDevice::requestAccessForMediaType_completionHandler(video, &block);
            }
            answer.recv().unwrap_or(false)
        }
        _ => false,
    };

    if allowed { Ok(()) } else { Err(denied()) }
}

/// A camera whose session is running.
pub(super) struct OpenCamera {
    format: CameraFormat,
    newest: Arc<Newest>,
    device: Retained<AVCaptureDevice>,
    session: Retained<AVCaptureSession>,
    // The output keeps no reference to it.
    _receiver: Retained<Receiver>,
    /// Taken from `newest`, and given back for the next frame.
    frame: Vec<u8>,
}

impl OpenCamera {
    /// Opens `node` at its format nearest to `wanted`, not at one of the `broken` ones.
    pub(super) fn open(
        node: &Node,
        wanted: VideoFormat,
        broken: &[CameraFormat],
    ) -> Result<Self, DeviceError> {
        let device = device(node)?;
        let modes = modes(&device);
        let mut formats = usable(modes.iter().map(|mode| mode.format).collect());
        formats.retain(|format| !broken.contains(format));
        let format = closest(&formats, wanted).ok_or_else(no_format)?;
        let mode = modes.iter().find(|mode| mode.format == format);
        let mode = mode.ok_or_else(no_format)?;

        let newest = Arc::new(Newest::default());
        let receiver = Receiver::new(Arc::clone(&newest), format);
        // A value that AVFoundation does not like is an exception there, which would end the program.
        let started = objc2::exception::catch(AssertUnwindSafe(|| start(&device, mode, &receiver)));
        let session = started.map_err(|exception| {
            tracing::warn!(
                ?exception,
                "the system did not accept the camera's settings"
            );
            no_format()
        })??;

        Ok(Self {
            format,
            newest,
            device,
            session,
            _receiver: receiver,
            frame: Vec::new(),
        })
    }
}

impl Device for OpenCamera {
    fn format(&self) -> CameraFormat {
        self.format
    }

    fn read(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError> {
        for _ in 0..READ_TIMEOUT.as_millis() / CHECK.as_millis() {
            if self.newest.take(&mut self.frame, CHECK) {
                on_frame(&self.frame);
                return Ok(());
            }
            // SAFETY: a property of a living object.
            if !unsafe { self.device.isConnected() } {
                return Err(unplugged());
            }
        }

        Err(timeout("deliver any frames"))
    }
}

impl Drop for OpenCamera {
    fn drop(&mut self) {
        // SAFETY: waits until the session has stopped, and with it the calls of the receiver.
        unsafe { self.session.stopRunning() };
    }
}

/// A format of a camera as AVFoundation has it.
struct Mode {
    format: CameraFormat,
    native: Retained<AVCaptureDeviceFormat>,
    range: Retained<AVFrameRateRange>,
}

fn video() -> Result<&'static AVMediaType, DeviceError> {
    // SAFETY: a constant of the framework, which this program is linked with.
    unsafe { AVMediaTypeVideo }.ok_or_else(no_format)
}

fn devices() -> Result<Retained<NSArray<AVCaptureDevice>>, DeviceError> {
    // Its successor needs names of kinds of cameras, some of which older systems do not have.
    #[expect(deprecated, reason = "lists cameras of every kind on every system")]
    // SAFETY: the media type is the system's own.
    let devices = unsafe { AVCaptureDevice::devicesWithMediaType(video()?) };
    Ok(devices)
}

fn device(node: &Node) -> Result<Retained<AVCaptureDevice>, DeviceError> {
    let id = NSString::from_str(&node.id);
    // SAFETY: any text may be asked for.
    unsafe { AVCaptureDevice::deviceWithUniqueID(&id) }.ok_or_else(gone)
}

/// Every size at the highest rate of each of its ranges.
fn modes(device: &AVCaptureDevice) -> Vec<Mode> {
    let mut modes = Vec::new();
    // SAFETY: properties of living objects; a video device's formats are of video.
    unsafe {
        for native in &device.formats() {
            let size = CMVideoFormatDescriptionGetDimensions(&native.formatDescription());
            let sides = (u32::try_from(size.width), u32::try_from(size.height));
            let (Ok(width), Ok(height)) = sides else {
                continue;
            };

            for range in &native.videoSupportedFrameRateRanges() {
                let format = CameraFormat {
                    width,
                    height,
                    // 29.97 counts as 30.
                    fps: range.maxFrameRate().round() as u32,
                    pixels: PixelFormat::Nv12,
                };
                modes.push(Mode {
                    format,
                    native: native.clone(),
                    range,
                });
            }
        }
    }

    modes
}

/// Starts a session in which `receiver` gets the frames.
fn start(
    device: &AVCaptureDevice,
    mode: &Mode,
    receiver: &Receiver,
) -> Result<Retained<AVCaptureSession>, DeviceError> {
    // SAFETY: every object lives until the end of this function, or is kept by the session. The
    // settings have the types that the keys ask for. The device is locked while it is changed.
    unsafe {
        let input = AVCaptureDeviceInput::deviceInputWithDevice_error(device);
        let input = input.map_err(|error| system_error(&error))?;
        let output = AVCaptureVideoDataOutput::new();
        output.setAlwaysDiscardsLateVideoFrames(true);
        let pixels = NSNumber::new_u32(kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange);
        let key: &NSString = &NSString::from_str(&kCVPixelBufferPixelFormatTypeKey.to_string());
        let settings: Retained<NSDictionary<NSString, AnyObject>> =
            NSDictionary::from_slices(&[key], &[&**pixels]);
        output.setVideoSettings(Some(&settings));
        // One queue after the other: frames come in their order.
        let queue = DispatchQueue::new("Tandem camera", None);
        let delegate = ProtocolObject::from_ref(receiver);
        output.setSampleBufferDelegate_queue(Some(delegate), Some(&queue));

        let session = AVCaptureSession::new();
        session.beginConfiguration();
        let fits = session.canAddInput(&input) && session.canAddOutput(&output);
        if fits {
            session.addInput(&input);
            session.addOutput(&output);
        }
        session.commitConfiguration();
        if !fits {
            return Err(in_use());
        }

        // Held until the session runs: it would set the format that it likes best.
        device
            .lockForConfiguration()
            .map_err(|error| system_error(&error))?;
        device.setActiveFormat(&mode.native);
        // The range's own value: one over a rounded rate may lie outside of it.
        let duration = mode.range.minFrameDuration();
        device.setActiveVideoMinFrameDuration(duration);
        device.setActiveVideoMaxFrameDuration(duration);
        session.startRunning();
        device.unlockForConfiguration();
        Ok(session)
    }
}

fn system_error(error: &NSError) -> DeviceError {
    let code = error.code();
    tracing::debug!(code, "cannot use the camera");
    let mapped = match code {
        NOT_AUTHORIZED => denied(),
        NOT_CONNECTED => gone(),
        code if IN_USE.contains(&code) => in_use(),
        _ => no_format(),
    };
    mapped.caused_by(&std::io::Error::other(
        error.localizedDescription().to_string(),
    ))
}

/// The newest frame, until it is taken.
#[derive(Default)]
struct Newest {
    frame: Mutex<(bool, Vec<u8>)>,
    arrived: Condvar,
}

impl Newest {
    /// Swaps the newest frame into `frame`; `false` if none came within `wait`.
    fn take(&self, frame: &mut Vec<u8>, wait: Duration) -> bool {
        let mut newest = self.frame.lock();
        if !newest.0 {
            self.arrived.wait_for(&mut newest, wait);
        }
        let is_new = std::mem::take(&mut newest.0);
        if is_new {
            std::mem::swap(&mut newest.1, frame);
        }
        is_new
    }

    /// Writes the next frame over one that nobody took.
    fn put(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut newest = self.frame.lock();
        newest.1.clear();
        write(&mut newest.1);
        newest.0 = true;
        self.arrived.notify_one();
    }
}

struct Destination {
    newest: Arc<Newest>,
    format: CameraFormat,
}

define_class!(
    // SAFETY: NSObject has no requirements, and the class has no `Drop`.
    #[unsafe(super(NSObject))]
    #[name = "TandemCameraReceiver"]
    #[ivars = Destination]
    struct Receiver;

    // SAFETY: it has no requirements.
    unsafe impl NSObjectProtocol for Receiver {}

    // SAFETY: the method has the signature of the protocol.
    unsafe impl AVCaptureVideoDataOutputSampleBufferDelegate for Receiver {
        #[unsafe(method(captureOutput:didOutputSampleBuffer:fromConnection:))]
        fn on_frame(
            &self,
            _output: &AVCaptureOutput,
            sample: &CMSampleBuffer,
            _connection: &AVCaptureConnection,
        ) {
            let Destination { newest, format } = self.ivars();
            // SAFETY: the sample lives during this call.
            let Some(image) = (unsafe { sample.image_buffer() }) else {
                return;
            };
            // One of another size stays empty, and counts as broken.
            newest.put(|frame| copy(&image, *format, frame));
        }
    }
);

impl Receiver {
    fn new(newest: Arc<Newest>, format: CameraFormat) -> Retained<Self> {
        let this = Self::alloc().set_ivars(Destination { newest, format });
        // SAFETY: NSObject's `init` takes nothing and returns the object.
        unsafe { msg_send![super(this), init] }
    }
}

/// Appends the planes of an NV12 image to `frame`, without the padding of their rows.
fn copy(image: &CVPixelBuffer, format: CameraFormat, frame: &mut Vec<u8>) {
    // SAFETY: unlocked below.
    let locked = unsafe { CVPixelBufferLockBaseAddress(image, CVPixelBufferLockFlags::ReadOnly) };
    if locked != kCVReturnSuccess {
        return;
    }

    let (width, height) = (format.width as usize, format.height as usize);
    // Pixels across, rows, bytes per pixel.
    let planes = [
        (width, height, 1),
        (width.div_ceil(2), height.div_ceil(2), 2),
    ];
    let is = |(at, plane): (usize, &(usize, usize, usize))| {
        let size = (
            CVPixelBufferGetWidthOfPlane(image, at),
            CVPixelBufferGetHeightOfPlane(image, at),
        );
        size == (plane.0, plane.1)
    };
    if CVPixelBufferGetPlaneCount(image) == planes.len() && planes.iter().enumerate().all(is) {
        for (at, (across, rows, bytes)) in planes.into_iter().enumerate() {
            let stride = CVPixelBufferGetBytesPerRowOfPlane(image, at);
            let start: *const c_void = CVPixelBufferGetBaseAddressOfPlane(image, at);
            if start.is_null() || stride < across * bytes {
                break;
            }
            for row in 0..rows {
                // SAFETY: while the image is locked, the plane has `rows` rows of `stride` bytes.
                let row = unsafe {
                    slice::from_raw_parts(start.cast::<u8>().add(row * stride), across * bytes)
                };
                frame.extend_from_slice(row);
            }
        }
    }

    // SAFETY: locked above with the same flags; nothing points into it any more.
    let _ = unsafe { CVPixelBufferUnlockBaseAddress(image, CVPixelBufferLockFlags::ReadOnly) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_frame_is_taken_once() {
        let newest = Newest::default();
        let mut frame = Vec::new();
        assert!(!newest.take(&mut frame, Duration::ZERO), "none has come");
        newest.put(|frame| frame.push(1));
        newest.put(|frame| frame.push(2));
        assert!(newest.take(&mut frame, Duration::ZERO));
        assert_eq!(frame, [2], "the older one is gone");
        assert!(!newest.take(&mut frame, Duration::ZERO), "only once");
    }
}
