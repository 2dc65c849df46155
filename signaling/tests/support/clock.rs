//! A wall clock that a test sets, for the servers that it starts.

#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Such a clock; its folder is to be the working folder of the server.
pub(crate) struct Clock {
    folder: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// # Errors
    /// The reason where no C compiler is.
    pub(crate) fn compile(folder: &Path) -> Result<Self, String> {
        let clock = Self {
            folder: folder.to_owned(),
            library: folder.join("clock.so"),
        };

        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock.c");
        match Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", source, "-o"])
            .arg(&clock.library)
            .status()
        {
            Ok(status) => assert!(status.success(), "the clock compiles"),
            Err(error) => return Err(format!("cc cannot be started ({error})")),
        }

        clock.set(0);
        Ok(clock)
    }

    /// What a server's environment needs.
    pub(crate) fn environment(&self) -> (&'static str, &OsStr) {
        ("LD_PRELOAD", self.library.as_os_str())
    }

    /// So many seconds from the true time. In one step: a reader finds the old offset or the new one.
    pub(crate) fn set(&self, seconds: i64) {
        std::fs::write(self.folder.join("new"), seconds.to_string()).expect("a writable folder");
        std::fs::rename(self.folder.join("new"), self.folder.join("clock"))
            .expect("a writable folder");
    }
}
