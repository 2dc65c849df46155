//! A wall clock that a test sets, for the servers that it starts.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A clock for servers that are started with [`Clock::environment`] in the clock's folder.
pub(crate) struct Clock {
    folder: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// A clock that is right. It needs a C compiler: `require!(Part::CCompiler)`.
    pub(crate) fn compile(folder: &Path) -> Self {
        let clock = Self {
            folder: folder.to_owned(),
            library: folder.join("clock.so"),
        };

        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/support/clock.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", source, "-o"])
            .arg(&clock.library)
            .status()
            .expect("cc starts");
        assert!(compiled.success(), "the clock compiles");

        clock.set(0);
        clock
    }

    /// What the environment of a server needs.
    pub(crate) fn environment(&self) -> (&'static str, &OsStr) {
        ("LD_PRELOAD", self.library.as_os_str())
    }

    /// Sets the clock to this many seconds ahead of the true time, in one step: a server reads the
    /// old offset or the new one.
    pub(crate) fn set(&self, seconds: i64) {
        let new = self.folder.join("new");
        std::fs::write(&new, seconds.to_string()).expect("a writable folder");
        std::fs::rename(&new, self.folder.join("clock")).expect("a writable folder");
    }
}
