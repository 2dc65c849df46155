//! Running other programs: each command is printed before it runs, and a failure names it.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// A command that will run at the root of the workspace, without standard input.
pub(crate) struct Shell {
    command: Command,
}

impl Shell {
    /// Prepares `program` with `arguments`; nothing runs yet.
    pub(crate) fn new<I, S>(program: impl AsRef<OsStr>, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(workspace::root())
            .stdin(Stdio::null());
        Self { command }
    }

    /// The cargo that runs this program, without the variables that describe our package. Build
    /// scripts (ring's) watch those, and half of the dependencies would be rebuilt whenever `cargo
    /// xtask` and plain `cargo` alternate.
    pub(crate) fn cargo<I, S>(arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut shell = Self::new(
            std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")),
            arguments,
        );

        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                shell.command.env_remove(&name);
            }
        }

        shell
    }

    pub(crate) fn args<I, S>(mut self, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn envs<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.command.envs(variables);
        self
    }

    pub(crate) fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Runs in `folder` instead of the root.
    pub(crate) fn dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// The command without the program's folder, with quotes around arguments that contain spaces.
    pub(crate) fn line(&self) -> String {
        let program = Path::new(self.command.get_program());
        let name = program
            .file_stem()
            .unwrap_or(program.as_os_str())
            .to_string_lossy();
        let mut words = vec![name.into_owned()];
        words.extend(self.command.get_args().map(|argument| {
            let text = argument.to_string_lossy();
            if text.contains(' ') {
                format!("'{text}'")
            } else {
                text.into_owned()
            }
        }));

        words.join(" ")
    }

    /// Prints the command and runs it, showing its output.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn status(mut self) -> Result<ExitStatus> {
        println!("  $ {}", self.line());
        self.command
            .status()
            .with_context(|| format!("cannot start `{}`", self.line()))
    }

    /// Like [`Shell::status`], but a failure is an error.
    pub(crate) fn run(self) -> Result<()> {
        let line = self.line();
        let status = self.status()?;

        if !status.success() {
            bail!("`{line}` failed ({status})");
        }

        Ok(())
    }

    /// Runs it silently and returns its standard output.
    pub(crate) fn output(mut self) -> Result<String> {
        let line = self.line();
        let output = self
            .command
            .output()
            .with_context(|| format!("cannot start `{line}`"))?;

        if !output.status.success() {
            bail!(
                "`{line}` failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }

        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it silently and returns all that it printed, and whether it succeeded.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn transcript(mut self) -> Result<(String, ExitStatus)> {
        let output = self
            .command
            .output()
            .with_context(|| format!("cannot start `{}`", self.line()))?;
        let printed = [output.stdout, output.stderr].concat();

        Ok((
            String::from_utf8_lossy(&printed).into_owned(),
            output.status,
        ))
    }

    /// Runs it silently and returns whether it succeeded.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// The standard library's command, for what this type does not offer.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }
}

/// Finds `program` in the folders of `PATH`; adds `.exe` on Windows.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(&file))
        .find(|path| can_be_started(path))
}

/// Whether there is a file that may be a program. On Windows, `winget` is an app execution alias: a
/// link that cannot be opened as a file (error 1920), only started.
fn can_be_started(path: &Path) -> bool {
    path.is_file()
        || (cfg!(windows)
            && path
                .symlink_metadata()
                .is_ok_and(|metadata| !metadata.is_dir()))
}

/// Prints a heading, in color on a terminal.
pub(crate) fn heading(text: &str) {
    if std::io::stdout().is_terminal() {
        println!("\n\x1b[1;32m==>\x1b[0m \x1b[1m{text}\x1b[0m");
    } else {
        println!("\n==> {text}");
    }
}

/// Prints a heading, does the work, and prints how long it took.
pub(crate) fn step<T>(text: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    heading(text);
    let start = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "done" } else { "failed" };
    println!("  {verdict} in {:.1} s", start.elapsed().as_secs_f64());

    result
}
