//! Video with real motion, as uncompressed files that Tandem reads.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::part::cache_dir;
use crate::process::tool;

/// The folder with the clips.
pub fn folder() -> PathBuf {
    cache_dir().join("clips")
}

/// Makes a `.y4m` of a clip: its first `frames` frames at `fps`, scaled to `width` x `height`.
///
/// # Errors
/// When ffmpeg fails.
pub fn y4m(
    clip: &str,
    to: &Path,
    (width, height): (u32, u32),
    fps: u32,
    frames: u32,
) -> Result<()> {
    let from = folder().join(clip);
    let filter =
        format!("setpts=N/{fps}/TB,fps={fps},scale={width}:{height}:flags=bicubic,format=yuv420p");
    let frames = frames.to_string();
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    let arguments = [
        "-nostdin",
        "-loglevel",
        "error",
        "-y",
        "-i",
        &from,
        "-vf",
        &filter,
        "-frames:v",
        &frames,
        "-strict",
        "-1",
        &to,
    ];

    tool("ffmpeg", arguments).map(drop)
}
