//! Cameras on Windows, through Media Foundation's source reader in its synchronous mode: it asks the
//! driver for one frame at a time, so that none waits in a queue.

use std::marker::PhantomData;
use std::ptr::null_mut;
use std::slice;

use windows::Win32::Foundation::{E_ACCESSDENIED, RPC_E_CHANGED_MODE};
use windows::Win32::Media::MediaFoundation::{
    IMF2DBuffer, IMFActivate, IMFAttributes, IMFMediaBuffer, IMFMediaSource, IMFMediaType,
    IMFSample, IMFSourceReader, MF_DEVSOURCE_ATTRIBUTE_FRIENDLY_NAME,
    MF_DEVSOURCE_ATTRIBUTE_SOURCE_TYPE, MF_DEVSOURCE_ATTRIBUTE_SOURCE_TYPE_VIDCAP_GUID,
    MF_DEVSOURCE_ATTRIBUTE_SOURCE_TYPE_VIDCAP_SYMBOLIC_LINK, MF_E_HW_MFT_FAILED_START_STREAMING,
    MF_E_VIDEO_RECORDING_DEVICE_INVALIDATED, MF_E_VIDEO_RECORDING_DEVICE_PREEMPTED,
    MF_MT_DEFAULT_STRIDE, MF_MT_FRAME_RATE, MF_MT_FRAME_SIZE, MF_MT_SUBTYPE,
    MF_READWRITE_DISABLE_CONVERTERS, MF_SOURCE_READER_FIRST_VIDEO_STREAM,
    MF_SOURCE_READERF_CURRENTMEDIATYPECHANGED, MF_SOURCE_READERF_ENDOFSTREAM,
    MF_SOURCE_READERF_ERROR, MF_VERSION, MFCreateAttributes, MFCreateSourceReaderFromMediaSource,
    MFEnumDeviceSources, MFSTARTUP_LITE, MFShutdown, MFStartup, MFVideoFormat_ARGB32,
    MFVideoFormat_I420, MFVideoFormat_IYUV, MFVideoFormat_L8, MFVideoFormat_MJPG,
    MFVideoFormat_NV12, MFVideoFormat_RGB24, MFVideoFormat_RGB32, MFVideoFormat_UYVY,
    MFVideoFormat_YUY2,
};
use windows::Win32::System::Com::{
    COINIT_MULTITHREADED, CoInitializeEx, CoTaskMemFree, CoUninitialize,
};
use windows::core::{GUID, HRESULT, Interface, PWSTR};

use super::super::VideoFormat;
use super::super::convert::PixelFormat;
use super::CameraFormat;
use super::capture::Device;
use super::device::{Node, usable};
use super::errors::{denied, gone, in_use, no_format, timeout, unplugged};
use super::format::closest;
use super::rows::Rows;
use crate::error::DeviceError;

/// The formats that can be read. Media Foundation names RGB by the order in a register, which is the
/// other one in memory.
const FORMATS: [(GUID, PixelFormat); 10] = [
    (MFVideoFormat_NV12, PixelFormat::Nv12),
    (MFVideoFormat_I420, PixelFormat::Yu12),
    (MFVideoFormat_IYUV, PixelFormat::Yu12),
    (MFVideoFormat_YUY2, PixelFormat::Yuyv),
    (MFVideoFormat_UYVY, PixelFormat::Uyvy),
    (MFVideoFormat_MJPG, PixelFormat::Mjpeg),
    (MFVideoFormat_RGB24, PixelFormat::Bgr24),
    (MFVideoFormat_RGB32, PixelFormat::Bgra),
    (MFVideoFormat_ARGB32, PixelFormat::Bgra),
    (MFVideoFormat_L8, PixelFormat::Grey),
];

const STREAM: u32 = MF_SOURCE_READER_FIRST_VIDEO_STREAM.0 as u32;
/// ERROR_FILE_NOT_FOUND, ERROR_SHARING_VIOLATION and ERROR_BUSY as the system wraps them.
const NO_FILE: HRESULT = HRESULT(0x8007_0002_u32 as i32);
const SHARING: HRESULT = HRESULT(0x8007_0020_u32 as i32);
const BUSY: HRESULT = HRESULT(0x8007_00AA_u32 as i32);
/// What a stream may deliver before its first frame: notices without one.
const MAX_NOTICES: u32 = 30;

/// COM and Media Foundation on this thread, which counts who uses them: they end with the last.
struct Platform {
    has_com: bool,
    has_foundation: bool,
    /// What is made in it stays on its thread.
    here: PhantomData<*const ()>,
}

impl Platform {
    fn start() -> Result<Self, DeviceError> {
        // SAFETY: no argument points anywhere; `drop` does the opposite once.
        let com = unsafe { CoInitializeEx(None, COINIT_MULTITHREADED) };
        // The thread may have COM already, in the other mode: that one will do.
        if com.is_err() && com != RPC_E_CHANGED_MODE {
            return Err(system_error(&com.into()));
        }

        let mut platform = Self {
            has_com: com.is_ok(),
            has_foundation: false,
            here: PhantomData,
        };
        // SAFETY: no argument points anywhere.
        unsafe { MFStartup(MF_VERSION, MFSTARTUP_LITE) }.map_err(|error| system_error(&error))?;
        platform.has_foundation = true;
        Ok(platform)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // SAFETY: `start` has called the opposites on this thread, which the value cannot leave.
        unsafe {
            if self.has_foundation {
                let _ = MFShutdown();
            }
            if self.has_com {
                CoUninitialize();
            }
        }
    }
}

/// The system's list, without opening any camera.
pub(super) fn query() -> Result<Vec<Node>, DeviceError> {
    let platform = Platform::start()?;
    let nodes = sources(&platform)?
        .iter()
        .zip(0..)
        .map(|(source, index)| Node {
            index,
            name: text(source, &MF_DEVSOURCE_ATTRIBUTE_FRIENDLY_NAME).unwrap_or_default(),
            id: link(source).unwrap_or_default(),
        })
        .collect();
    Ok(nodes)
}

/// The formats of `node` that can be read. Starts no stream, so that another program's, or a call's,
/// goes on.
pub(super) fn formats(node: &Node) -> Result<Vec<CameraFormat>, DeviceError> {
    let platform = Platform::start()?;
    let source = Source::open(&platform, node)?;
    let reader = source.reader().map_err(|error| system_error(&error))?;
    let native = native_types(&reader).map(|(format, _)| format);
    Ok(usable(native.collect()))
}

/// Desktop programs ask for a camera by opening it.
#[expect(clippy::unnecessary_wraps, reason = "other systems ask the user")]
pub(super) fn allow_access() -> Result<(), DeviceError> {
    Ok(())
}

/// A camera whose stream is running.
pub(super) struct OpenCamera {
    format: CameraFormat,
    rows: Rows,
    /// Opening waits for it, because only a stream that runs tells whether the camera is free.
    first: Option<IMFSample>,
    // In the order in which they end.
    reader: IMFSourceReader,
    _source: Source,
    _platform: Platform,
}

impl OpenCamera {
    /// Opens `node` at its format nearest to `wanted`, not at one of the `broken` ones.
    pub(super) fn open(
        node: &Node,
        wanted: VideoFormat,
        broken: &[CameraFormat],
    ) -> Result<Self, DeviceError> {
        let platform = Platform::start()?;
        let source = Source::open(&platform, node)?;
        let reader = source.reader().map_err(|error| system_error(&error))?;
        let native: Vec<_> = native_types(&reader).collect();
        let mut formats = usable(native.iter().map(|(format, _)| *format).collect());
        formats.retain(|format| !broken.contains(format));

        while let Some(format) = closest(&formats, wanted) {
            let same = native.iter().filter(|(listed, _)| *listed == format);
            for (_, kind) in same {
                let Some(rows) = rows(format, kind) else {
                    continue;
                };
                // SAFETY: the reserved pointer is none, and the type is one of this reader's own.
                if unsafe { reader.SetCurrentMediaType(STREAM, None, kind) }.is_err() {
                    continue;
                }

                let mut camera = Self {
                    format,
                    rows,
                    first: None,
                    reader,
                    _source: source,
                    _platform: platform,
                };
                camera.first = Some(camera.next(system_error)?);
                return Ok(camera);
            }

            formats.retain(|other| *other != format);
        }

        Err(no_format())
    }

    /// The next frame; `failed` says what an error of the stream means.
    fn next(
        &self,
        failed: fn(&windows::core::Error) -> DeviceError,
    ) -> Result<IMFSample, DeviceError> {
        for _ in 0..MAX_NOTICES {
            let (mut flags, mut sample) = (0, None);
            // SAFETY: the pointers are to values of the right types that outlive the call.
            unsafe {
                self.reader
                    .ReadSample(STREAM, 0, None, Some(&mut flags), None, Some(&mut sample))
            }
            .map_err(|error| failed(&error))?;

            let is = |flag: i32| flags & flag as u32 != 0;
            if is(MF_SOURCE_READERF_ERROR.0) || is(MF_SOURCE_READERF_ENDOFSTREAM.0) {
                return Err(unplugged());
            }
            // Another program may set the size that all of them get; then it is opened again.
            if is(MF_SOURCE_READERF_CURRENTMEDIATYPECHANGED.0) {
                tracing::debug!("the camera's format was changed");
            }
            if let Some(sample) = sample {
                return Ok(sample);
            }
        }

        Err(timeout("deliver any frames"))
    }
}

impl Device for OpenCamera {
    fn format(&self) -> CameraFormat {
        self.format
    }

    fn read(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError> {
        let sample = match self.first.take() {
            Some(sample) => sample,
            None => self.next(lost)?,
        };
        // SAFETY: the sample is whole, and the buffer is released after this function.
        let buffer = unsafe { sample.ConvertToContiguousBuffer() }.map_err(|error| lost(&error))?;
        show(&buffer, self.format, &mut self.rows, on_frame).map_err(|error| lost(&error))
    }
}

/// A camera that was activated. Its driver is released when this is dropped.
struct Source(IMFMediaSource);

impl Source {
    fn open(platform: &Platform, node: &Node) -> Result<Self, DeviceError> {
        let sources = sources(platform)?;
        let own = sources
            .iter()
            .find(|source| link(source).as_ref() == Some(&node.id));
        // SAFETY: no argument; the result is of the type that a capture device makes.
        let opened = unsafe { own.ok_or_else(gone)?.ActivateObject() };
        opened.map(Self).map_err(|error| system_error(&error))
    }

    fn reader(&self) -> windows::core::Result<IMFSourceReader> {
        let options = attributes(1)?;
        // SAFETY: the key is a constant, and both objects live.
        unsafe {
            // Tandem converts on its own: no decoder of the system gets in between.
            options.SetUINT32(&MF_READWRITE_DISABLE_CONVERTERS, 1)?;
            MFCreateSourceReaderFromMediaSource(&self.0, &options)
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // SAFETY: it was not shut down before, and its reader only counts references.
        let _ = unsafe { self.0.Shutdown() };
    }
}

fn attributes(count: u32) -> windows::core::Result<IMFAttributes> {
    let mut made = None;
    // SAFETY: the pointer is to a value of the right type that outlives the call.
    unsafe { MFCreateAttributes(&mut made, count) }?;
    made.ok_or_else(windows::core::Error::empty)
}

/// All cameras, none of them opened.
fn sources(_platform: &Platform) -> Result<Vec<IMFActivate>, DeviceError> {
    let listed = || -> windows::core::Result<Vec<IMFActivate>> {
        let wanted = attributes(1)?;
        let (mut first, mut count) = (null_mut(), 0);
        // SAFETY: the keys are constants, and the pointers are to values that outlive the calls. The
        // system made an array of `count` elements, which are moved out of it once before it is freed.
        unsafe {
            wanted.SetGUID(
                &MF_DEVSOURCE_ATTRIBUTE_SOURCE_TYPE,
                &MF_DEVSOURCE_ATTRIBUTE_SOURCE_TYPE_VIDCAP_GUID,
            )?;
            MFEnumDeviceSources(&wanted, &mut first, &mut count)?;
            if first.is_null() {
                return Ok(Vec::new());
            }
            let found = slice::from_raw_parts_mut(first, count as usize);
            let found = found.iter_mut().filter_map(Option::take).collect();
            CoTaskMemFree(Some(first.cast()));
            Ok(found)
        }
    };

    listed().map_err(|error| system_error(&error))
}

/// What the system calls the camera, for as long as it stays in its socket.
fn link(source: &IMFActivate) -> Option<String> {
    text(
        source,
        &MF_DEVSOURCE_ATTRIBUTE_SOURCE_TYPE_VIDCAP_SYMBOLIC_LINK,
    )
}

fn text(source: &IMFActivate, key: &GUID) -> Option<String> {
    let (mut text, mut length) = (PWSTR::null(), 0);
    // SAFETY: the pointers are to values that outlive the call. The text ends with a zero, is copied,
    // and freed once.
    unsafe {
        source
            .GetAllocatedString(key, &mut text, &mut length)
            .ok()?;
        let copy = String::from_utf16_lossy(text.as_wide());
        CoTaskMemFree(Some(text.0.cast()));
        Some(copy)
    }
}

/// The types that the camera delivers by itself and Tandem reads.
fn native_types(reader: &IMFSourceReader) -> impl Iterator<Item = (CameraFormat, IMFMediaType)> {
    // SAFETY: any number is allowed: behind the last type comes an error.
    let types = (0..).map_while(|at| unsafe { reader.GetNativeMediaType(STREAM, at) }.ok());
    types.filter_map(|kind| Some((format(&kind)?, kind)))
}

fn format(kind: &IMFMediaType) -> Option<CameraFormat> {
    // SAFETY: the keys are constants.
    let (subtype, size, rate) = unsafe {
        (
            kind.GetGUID(&MF_MT_SUBTYPE).ok()?,
            kind.GetUINT64(&MF_MT_FRAME_SIZE).ok()?,
            kind.GetUINT64(&MF_MT_FRAME_RATE).ok()?,
        )
    };
    let (_, pixels) = FORMATS.into_iter().find(|(known, _)| *known == subtype)?;
    let (width, height) = halves(size);
    let (frames, seconds) = halves(rate);
    Some(CameraFormat {
        width,
        height,
        // 29.97 counts as 30.
        fps: (f64::from(frames) / f64::from(seconds.max(1))).round() as u32,
        pixels,
    })
}

/// The two numbers that Media Foundation keeps in one.
fn halves(pair: u64) -> (u32, u32) {
    ((pair >> 32) as u32, pair as u32)
}

/// How rows lie in a buffer that does not tell by itself.
fn rows(format: CameraFormat, kind: &IMFMediaType) -> Option<Rows> {
    let CameraFormat {
        width,
        height,
        pixels,
        ..
    } = format;
    // SAFETY: the key is a constant.
    let named = unsafe { kind.GetUINT32(&MF_MT_DEFAULT_STRIDE) };
    let stride = match (named, pixels) {
        // A negative one is stored as it is.
        (Ok(stride), _) => stride.cast_signed(),
        // Rows of bitmaps begin at multiples of four bytes, and the lowest one comes first.
        (Err(_), PixelFormat::Bgr24) => -(3 * width).next_multiple_of(4).cast_signed(),
        (Err(_), PixelFormat::Bgra) => -(4 * width).cast_signed(),
        (Err(_), _) => 0,
    };
    Rows::new(pixels, width, height, stride)
}

/// Passes what is in the buffer to `on_frame`. `rows`: how they lie in one that does not tell.
fn show(
    buffer: &IMFMediaBuffer,
    format: CameraFormat,
    rows: &mut Rows,
    on_frame: &mut dyn FnMut(&[u8]),
) -> windows::core::Result<()> {
    let image = buffer.cast::<IMF2DBuffer>();
    if let (Ok(image), Some(_)) = (image, rows.size()) {
        return show_image(&image, format, on_frame);
    }

    let (mut bytes, mut length) = (null_mut(), 0);
    // SAFETY: the pointers are to values that outlive the call. Until `Unlock`, `length` bytes may be
    // read there, and nobody writes to them.
    unsafe {
        buffer.Lock(&mut bytes, None, Some(&mut length))?;
        if !bytes.is_null() {
            on_frame(rows.pack(slice::from_raw_parts(bytes, length as usize)));
        }
        buffer.Unlock()
    }
}

/// The same for a buffer that knows its rows.
fn show_image(
    image: &IMF2DBuffer,
    format: CameraFormat,
    on_frame: &mut dyn FnMut(&[u8]),
) -> windows::core::Result<()> {
    let CameraFormat {
        width,
        height,
        pixels,
        ..
    } = format;
    let (mut top, mut pitch) = (null_mut(), 0);
    // SAFETY: the pointers are to values that outlive the call. Until `Unlock2D`, the rows of all
    // planes may be read, which begin with the first one if the pitch is positive, and otherwise
    // with the last one, `height - 1` rows below the first.
    unsafe {
        image.Lock2D(&mut top, &mut pitch)?;
        let rows = Rows::new(pixels, width, height, pitch);
        let size = rows.as_ref().and_then(Rows::size);
        match (rows, size) {
            (Some(mut rows), Some(size)) if !top.is_null() && pitch != 0 => {
                let below = if pitch < 0 { height as isize - 1 } else { 0 };
                let start = top.offset(below * pitch as isize);
                on_frame(rows.pack(slice::from_raw_parts(start, size)));
            }
            // Counts as a broken frame.
            _ => on_frame(&[]),
        }
        image.Unlock2D()
    }
}

/// Why a camera cannot be opened, by the number of the error: its words are in the user's language.
fn system_error(error: &windows::core::Error) -> DeviceError {
    tracing::debug!(%error, "cannot use the camera");
    let mapped = match error.code() {
        E_ACCESSDENIED => denied(),
        MF_E_HW_MFT_FAILED_START_STREAMING
        | MF_E_VIDEO_RECORDING_DEVICE_PREEMPTED
        | SHARING
        | BUSY => in_use(),
        MF_E_VIDEO_RECORDING_DEVICE_INVALIDATED | NO_FILE => gone(),
        _ => no_format(),
    };
    mapped.caused_by(error)
}

/// Why a camera that was read cannot be read any more.
fn lost(error: &windows::core::Error) -> DeviceError {
    let mapped = match error.code() {
        E_ACCESSDENIED => denied(),
        MF_E_VIDEO_RECORDING_DEVICE_PREEMPTED => in_use(),
        _ => unplugged(),
    };
    mapped.caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::MediaErrorCode;

    #[test]
    fn errors_get_their_codes_by_number() {
        for (number, opening, reading) in [
            (
                E_ACCESSDENIED,
                MediaErrorCode::CamDenied,
                MediaErrorCode::CamDenied,
            ),
            (
                MF_E_HW_MFT_FAILED_START_STREAMING,
                MediaErrorCode::CamInUse,
                MediaErrorCode::CamUnplugged,
            ),
            (
                MF_E_VIDEO_RECORDING_DEVICE_INVALIDATED,
                MediaErrorCode::CamNotFound,
                MediaErrorCode::CamUnplugged,
            ),
        ] {
            let error = windows::core::Error::from(number);
            assert_eq!(system_error(&error).code, opening, "{error}");
            assert_eq!(lost(&error).code, reading, "{error}");
        }
    }

    #[test]
    fn a_machine_with_or_without_cameras_can_be_asked_twice_at_once() {
        let asked = std::thread::spawn(query).join().expect("no panic");
        let here = query();
        assert_eq!(
            here.map(|list| list.len()).ok(),
            asked.map(|list| list.len()).ok()
        );
    }
}
