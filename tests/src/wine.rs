//! Wine with a prefix of its own: an empty Windows for one test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{Process, tool};

/// Debian's Wine, 64-bit only. Its `wine` looks for the 32-bit one first.
pub const WINE: &str = "/usr/lib/wine/wine64";
/// The process that holds a prefix together.
pub const SERVER: &str = "/usr/lib/wine/wineserver64";

/// The C compiler for Windows.
pub const COMPILER: &str = "x86_64-w64-mingw32-gcc";

/// How long a program for Windows may take, and the first start of Wine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A prefix, whose programs end with it.
pub struct Wine {
    folder: tempfile::TempDir,
    /// The user's name, and the display for windows, if there are any.
    environment: Vec<(OsString, OsString)>,
}

impl Wine {
    /// Makes a prefix whose user is called Jörg.
    ///
    /// # Errors
    /// When Wine does not start.
    pub fn start() -> Result<Self> {
        let wine = Self::empty()?;
        // A prefix has 700 MB, most of it Wine's own files, and takes half a minute. So the first one is kept,
        // and each test gets links to its files.
        let first = folder()?.join("wine-prefix");
        if !first.exists() {
            let new = Self::empty()?;
            let boot = new.run(["wineboot", "--init"])?;
            ensure!(boot.0 == 0, "wineboot fails: {}", boot.1);
            new.wait_until_idle()?;
            // Another test may have been faster.
            let _ = fs::rename(new.prefix(), &first);
        }

        let words = ["-al".as_ref(), first.as_os_str()];
        tool("cp", words.into_iter().chain([wine.prefix().as_os_str()]))?;
        // Wine writes into the files of the registry if they have several names.
        for name in ["system.reg", "user.reg", "userdef.reg"] {
            let own = wine.prefix().join(name);
            fs::remove_file(&own)?;
            fs::copy(first.join(name), &own)?;
        }
        Ok(wine)
    }

    fn empty() -> Result<Self> {
        Ok(Self {
            folder: tempfile::Builder::new()
                .prefix("wine-")
                .tempdir_in(folder()?)?,
            environment: vec![("USER".into(), "jörg".into())],
        })
    }

    fn prefix(&self) -> PathBuf {
        self.folder.path().join("prefix")
    }

    /// Shows windows on a screen from now on.
    pub fn show_on(&mut self, screen: &crate::Screen) {
        self.environment.extend(screen.environment());
    }

    /// The prefix's `C:`.
    pub fn drive(&self) -> PathBuf {
        self.prefix().join("drive_c")
    }

    /// A file of this user, such as `AppData/Roaming`.
    ///
    /// # Errors
    /// When the prefix has no folder of one user.
    pub fn of_user(&self, path: &str) -> Result<PathBuf> {
        let users = fs::read_dir(self.drive().join("users"))?;
        let own = users
            .flatten()
            .find(|entry| entry.file_name() != OsStr::new("Public"))
            .context("Wine has made no user")?;
        Ok(own.path().join(path))
    }

    /// A command that runs a program for Windows, or one that Wine has.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(WINE);
        command.args(words);
        self.prepare(&mut command);
        command
    }

    /// Gives any command the environment in which Wine uses this prefix.
    pub fn prepare(&self, command: &mut Command) {
        command
            .env("WINEPREFIX", self.prefix())
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            // No .NET and no browser engine, which Wine would offer to download, and no menu entries outside the prefix.
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=;winemenubuilder.exe=")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .envs(self.environment.iter().cloned())
            .current_dir(self.folder.path());
    }

    /// Runs a program to its end, and returns its exit code and what it printed.
    ///
    /// # Errors
    /// When it does not start or does not end.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<(i32, String)> {
        let mut process = Process::start(self.command(words))?;
        let code = process.wait(TIMEOUT)?.context("a signal ended it")?;
        Ok((code, process.stdout().trim().to_owned()))
    }

    /// Waits until no program runs in the prefix any more.
    ///
    /// # Errors
    /// When one does not end.
    pub fn wait_until_idle(&self) -> Result<()> {
        let mut command = Command::new(SERVER);
        command.arg("-w");
        self.prepare(&mut command);
        Process::start(command)?.wait(TIMEOUT).map(drop)
    }

    /// A value in the registry, as `reg query` prints it, or `None`. The default value has the name `""`.
    ///
    /// # Errors
    /// When Wine's `reg` does not run.
    pub fn registry(&self, key: &str, name: &str) -> Result<Option<String>> {
        let words = if name.is_empty() {
            vec!["reg", "query", key, "/ve"]
        } else {
            vec!["reg", "query", key, "/v", name]
        };
        let (code, text) = self.run(words)?;
        if code != 0 {
            return Ok(None);
        }

        let value = text.lines().find_map(|line| {
            let (_, value) = line.split_once("REG_")?;
            // An empty value ends after its type.
            let (_type, value) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
            Some(value.trim().to_owned())
        });
        Ok(value)
    }

    /// Whether there is such a key in the registry.
    ///
    /// # Errors
    /// As [`Self::registry`].
    pub fn has_key(&self, key: &str) -> Result<bool> {
        Ok(self.run(["reg", "query", key])?.0 == 0)
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        // Ends what runs in this prefix, and only there.
        let mut command = Command::new(SERVER);
        command.arg("-k");
        self.prepare(&mut command);
        let _ = command.status();
    }
}

/// The target folder's place for files of tests: prefixes must lie on one file system.
fn folder() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    // Tests are at target/debug/deps/NAME-HASH.
    let target = test
        .ancestors()
        .nth(3)
        .context("a test lies in the target folder")?;
    let folder = target.join("tmp");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Compiles a C or C++ file for Windows.
///
/// # Errors
/// When the compiler refuses it.
pub fn compile(compiler: &str, source: &Path, words: &[&str], program: &Path) -> Result<()> {
    let words = words.iter().map(OsStr::new);
    let files = [source.as_os_str(), OsStr::new("-o"), program.as_os_str()];
    tool(compiler, files.into_iter().chain(words)).map(drop)
}
