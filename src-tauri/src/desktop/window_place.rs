//! The size of the window and its place on the screen, kept from one start to the next.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tauri::{LogicalPosition, LogicalSize, WebviewWindow};

use super::files;

/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1_024;
/// The sizes that a window can have, in logical pixels.
const SIZES: std::ops::RangeInclusive<f64> = 100.0..=20_000.0;

/// Where the window is, in logical pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct WindowPlace {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    maximized: bool,
}

impl WindowPlace {
    /// The size of the window's contents.
    pub(super) fn size(self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// Moves a window there that has this size already, if a screen is there.
    pub(super) fn apply(self, window: &WebviewWindow) -> tauri::Result<()> {
        let scale = window.scale_factor()?;
        let corner = LogicalPosition::new(self.x, self.y).to_physical::<f64>(scale);
        let is_on_screen = window
            .monitor_from_point(corner.x, corner.y)
            .is_ok_and(|monitor| monitor.is_some());

        if is_on_screen {
            window.set_position(LogicalPosition::new(self.x, self.y))?;
        }

        if self.maximized {
            window.maximize()?;
        }

        Ok(())
    }

    /// Where the window is now; of a maximized one, `before` is where it would go back to.
    fn of(window: &WebviewWindow, before: Option<Self>) -> tauri::Result<Self> {
        let maximized = window.is_maximized()? || window.is_fullscreen()?;
        if let Some(before) = before.filter(|_| maximized) {
            return Ok(Self {
                maximized: window.is_maximized()?,
                ..before
            });
        }

        let scale = window.scale_factor()?;
        let LogicalSize { width, height } = window.inner_size()?.to_logical::<f64>(scale);
        let LogicalPosition { x, y } = window.outer_position()?.to_logical::<f64>(scale);
        Ok(Self {
            x,
            y,
            width,
            height,
            maximized,
        })
    }
}

/// The file that keeps the place.
#[derive(Debug, Clone)]
pub(super) struct PlaceFile(PathBuf);

impl PlaceFile {
    /// The file in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.join("window.json"))
    }

    /// The place of last time; `None` without a valid file.
    pub(super) fn load(&self) -> Option<WindowPlace> {
        let text = files::read(&self.0, MAX_FILE_BYTES).ok().flatten()?;
        parse(&text)
    }

    /// Keeps where the window is now.
    pub(super) fn save(&self, window: &WebviewWindow) {
        let saved = WindowPlace::of(window, self.load())
            .map_err(std::io::Error::other)
            .and_then(|place| {
                let json = serde_json::to_vec(&place)?;
                files::write_private(&self.0, &json)
            });

        if let Err(error) = saved {
            tracing::info!(%error, "the window will not be where it was");
        }
    }
}

fn parse(text: &[u8]) -> Option<WindowPlace> {
    let place: WindowPlace = serde_json::from_slice(text).ok()?;
    let is_size = |side: f64| SIZES.contains(&side);
    (is_size(place.width) && is_size(place.height)).then_some(place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_is_read_back_and_a_broken_file_is_none() {
        let place = WindowPlace {
            x: -1_400.0,
            y: 20.5,
            width: 900.0,
            height: 700.0,
            maximized: true,
        };
        let json = serde_json::to_vec(&place).unwrap();
        assert_eq!(parse(&json), Some(place));

        for text in [
            "",
            "{}",
            r#"{"x":0,"y":0,"width":0,"height":700,"maximized":false}"#,
            r#"{"x":0,"y":0,"width":900,"height":1e300,"maximized":false}"#,
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
