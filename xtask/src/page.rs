//! The page in the window: `ui/`.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell::which;
use crate::test::Checks;
use crate::{npm, workspace};

fn folder() -> PathBuf {
    workspace::root().join("ui")
}

/// Makes `ui/dist`, which the desktop program takes in when it is built.
pub(crate) fn build() -> Result<()> {
    npm::run(&folder(), "build")
}

/// Types, lints, format and unit tests.
pub(crate) fn check() -> Result<()> {
    npm::run(&folder(), "check")?;
    npm::run(&folder(), "test")
}

/// The built page in Chromium: accessibility, keyboard, hostile text, the content security policy.
pub(crate) fn in_browser(checks: &mut Checks) {
    let chosen = std::env::var_os("TANDEM_CHROMIUM").is_some();
    if chosen || which("chromium").is_some() {
        checks.check("the page in a browser", || npm::run(&folder(), "test:browser"));
    } else {
        checks.skip("the page in a browser", "chromium is not installed");
    }
}
