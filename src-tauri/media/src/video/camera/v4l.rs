//! V4L2 cameras that nokhwa cannot open: those in formats without a name there (YU12, UYVY, GREY), which
//! virtual cameras, capture cards and infrared cameras have, and those that another program left in one.

use std::io;
use std::time::Duration;

use v4l::buffer::Type;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device as Node, Format, FourCC, Fraction};

use super::super::VideoFormat;
use super::super::convert::PixelFormat;
use super::CameraFormat;
use super::capture::Device;
use super::device::usable;
use super::errors::{no_format, unplugged};
use super::format::closest;
use super::linux::system_error;
use super::rows::Rows;
use crate::error::DeviceError;

/// What the kernel calls the formats that can be read.
const FORMATS: [(&[u8; 4], PixelFormat); 9] = [
    (b"NV12", PixelFormat::Nv12),
    (b"YU12", PixelFormat::Yu12),
    (b"YUYV", PixelFormat::Yuyv),
    (b"UYVY", PixelFormat::Uyvy),
    (b"MJPG", PixelFormat::Mjpeg),
    (b"RGB3", PixelFormat::Rgb24),
    (b"BGR3", PixelFormat::Bgr24),
    (b"XR24", PixelFormat::Bgra),
    (b"GREY", PixelFormat::Grey),
];

/// Buffers that the driver fills in turn.
const BUFFERS: u32 = 4;
/// Longer than the watchdog waits: only so that a thread that was given up ends.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The rate of a camera that names none, such as v4l2loopback.
const USUAL_FPS: u32 = 30;

/// A camera whose stream is running.
pub(super) struct V4lCamera {
    stream: Stream<'static>,
    format: CameraFormat,
    rows: Rows,
}

impl V4lCamera {
    /// Opens `/dev/video` with this number at its format nearest to `wanted`, not at one of the
    /// `broken` ones.
    pub(super) fn open(
        number: u32,
        wanted: VideoFormat,
        broken: &[CameraFormat],
    ) -> Result<Self, DeviceError> {
        let node = node(number)?;
        let mut formats = formats_of(&node).map_err(|error| system_error(&error))?;
        formats.retain(|format| !broken.contains(format));

        // The driver has the last word, and may change what it has listed.
        while let Some(format) = closest(&formats, wanted) {
            let started = start(&node, format).map_err(|error| system_error(&error))?;
            if let Some((stream, rows)) = started {
                return Ok(Self {
                    stream,
                    format,
                    rows,
                });
            }

            formats.retain(|other| *other != format);
        }

        Err(no_format())
    }
}

impl Device for V4lCamera {
    fn format(&self) -> CameraFormat {
        self.format
    }

    fn read(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError> {
        let (bytes, about) = self
            .stream
            .next()
            .map_err(|error| unplugged().caused_by(&error))?;
        // The rest of the buffer is from an older frame.
        let used = bytes.len().min(about.bytesused as usize);
        on_frame(self.rows.pack(&bytes[..used]));
        Ok(())
    }
}

/// The formats of `/dev/video` with this number that can be read.
pub(super) fn formats(number: u32) -> Result<Vec<CameraFormat>, DeviceError> {
    formats_of(&node(number)?).map_err(|error| system_error(&error))
}

fn node(number: u32) -> Result<Node, DeviceError> {
    Node::new(number as usize).map_err(|error| system_error(&error))
}

/// Sets the format and starts the stream; `None` if the driver makes something else of it.
fn start(node: &Node, format: CameraFormat) -> io::Result<Option<(Stream<'static>, Rows)>> {
    let CameraFormat {
        width,
        height,
        fps,
        pixels,
    } = format;
    let Some((name, _)) = FORMATS.iter().find(|(_, known)| *known == pixels) else {
        return Ok(None);
    };

    let set = node.set_format(&Format::new(width, height, FourCC::new(name)))?;
    let is_set = (set.width, set.height, &set.fourcc.repr) == (width, height, name);
    // Some drivers leave the stride out.
    let stride = i32::try_from(set.stride).unwrap_or(-1);
    let Some(rows) = Rows::new(pixels, width, height, stride).filter(|_| is_set) else {
        return Ok(None);
    };

    // Not every driver has a choice of rates.
    if let Err(error) = node.set_params(&Parameters::with_fps(fps)) {
        tracing::debug!(%error, fps, "the camera keeps its own rate");
    }

    let mut stream = Stream::with_buffers(node, Type::VideoCapture, BUFFERS)?;
    stream.set_timeout(READ_TIMEOUT);
    Ok(Some((stream, rows)))
}

fn formats_of(node: &Node) -> io::Result<Vec<CameraFormat>> {
    let mut all = Vec::new();
    for listed in node.enum_formats()? {
        let known = FORMATS
            .iter()
            .find(|(name, _)| listed.fourcc.repr == **name);
        let Some((_, pixels)) = known else {
            continue;
        };

        for (width, height) in sizes(node, listed.fourcc) {
            let rates = rates(node, listed.fourcc, width, height);
            all.extend(rates.into_iter().map(|fps| CameraFormat {
                width,
                height,
                fps,
                pixels: *pixels,
            }));
        }
    }

    Ok(usable(all))
}

/// The sizes of a format. Of a range, those that are usual, and the one that is set: what a virtual
/// camera gets.
fn sizes(node: &Node, fourcc: FourCC) -> Vec<(u32, u32)> {
    const USUAL: [(u32, u32); 5] = [
        (320, 240),
        (640, 360),
        (640, 480),
        (1280, 720),
        (1920, 1080),
    ];

    let set = node.format().ok().map(|set| (set.width, set.height));
    let listed = node.enum_framesizes(fourcc).unwrap_or_default();
    if listed.is_empty() {
        return set.into_iter().collect();
    }

    let mut sizes = Vec::new();
    for size in listed {
        match size.size {
            FrameSizeEnum::Discrete(size) => sizes.push((size.width, size.height)),
            FrameSizeEnum::Stepwise(range) => {
                let fits = |(width, height): &(u32, u32)| {
                    let is_step =
                        |side: u32, min: u32, step: u32| (side - min).is_multiple_of(step.max(1));
                    (range.min_width..=range.max_width).contains(width)
                        && (range.min_height..=range.max_height).contains(height)
                        && is_step(*width, range.min_width, range.step_width)
                        && is_step(*height, range.min_height, range.step_height)
                };
                sizes.extend(USUAL.into_iter().chain(set).filter(fits));
            }
        }
    }

    sizes
}

/// The rates of a format, in whole frames per second.
fn rates(node: &Node, fourcc: FourCC, width: u32, height: u32) -> Vec<u32> {
    let fps = |interval: Fraction| interval.denominator / interval.numerator.max(1);
    let listed = node.enum_frameintervals(fourcc, width, height);
    let rates: Vec<u32> = listed
        .unwrap_or_default()
        .into_iter()
        .map(|listed| match listed.interval {
            FrameIntervalEnum::Discrete(interval) => fps(interval),
            // The shortest interval is the highest rate.
            FrameIntervalEnum::Stepwise(range) => fps(range.min).min(USUAL_FPS),
        })
        .collect();

    if rates.is_empty() {
        vec![USUAL_FPS]
    } else {
        rates
    }
}
