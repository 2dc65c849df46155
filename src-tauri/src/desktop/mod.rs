//! The window: a thin shell that shows the state of the app and takes commands.
//!
//! [`app`] is the app's life without any I/O, [`state`] what the page shows of it, [`command`] what the page may ask;
//! [`shell`] runs calls, devices and the embedded relay around it, and [`frames`] brings the pictures to the page.

pub mod app;
pub mod command;
pub mod frames;
pub mod instance;
mod launch;
mod page;
mod rate;
pub mod settings;
pub mod shell;
pub mod state;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;

pub use launch::refused_arguments;

use clap::ArgMatches;

use crate::headless::args::CallArgs;
use instance::Claim;
use settings::SettingsFile;
use window::Start;

/// Opens the window and gives the exit code. `matches` tells which of the arguments were typed.
pub fn main(args: &CallArgs, matches: &ArgMatches) -> ExitCode {
    prepare_environment();
    if let Some(why) = no_display() {
        return failed(why);
    }

    match start(args, matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}")),
    }
}

fn start(args: &CallArgs, matches: &ArgMatches) -> anyhow::Result<()> {
    let folder = folder();
    let first = match instance::claim(&folder) {
        Ok(Claim::First(first)) => Some(first),
        Ok(Claim::Second) => return Ok(()),
        Err(error) => {
            // Two windows are better than none.
            tracing::warn!(%error, "cannot tell whether another copy runs");
            None
        }
    };

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    tauri::async_runtime::set(runtime.handle().clone());
    let settings_file = SettingsFile::new(&folder);
    let (settings, settings_problem) = settings_file.load();
    let (launch, media) = launch::read(args, matches);

    window::run(Start {
        settings,
        settings_problem,
        settings_file,
        launch,
        media,
        first,
    })
}

/// Where settings are kept, as each system has it; beside the program if it has no such place.
fn folder() -> PathBuf {
    dirs::config_dir().unwrap_or_default().join("tandem")
}

/// What must be set before GTK starts.
fn prepare_environment() {
    #[cfg(target_os = "linux")]
    if std::env::var_os("WEBKIT_DISABLE_DMABUF_RENDERER").is_none() {
        // With it WebKitGTK draws at half the rate on many machines, and not at all on some (docs/field-notes.md).
        // SAFETY: the program has one thread so far.
        unsafe { std::env::set_var("WEBKIT_DISABLE_DMABUF_RENDERER", "1") };
    }
}

/// GTK ends the process where it finds no screen; this says it in words.
fn no_display() -> Option<&'static str> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let missing = cfg!(target_os = "linux") && !is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY");
    missing.then_some(
        "there is no screen to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set); \
         \"tandem --headless --pair --duration 10s\" holds a call without one",
    )
}

fn failed(why: &str) -> ExitCode {
    use std::io::Write;
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(std::io::stderr(), "error: {why}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values;

    #[test]
    fn the_default_relay_is_an_address_that_the_settings_take() {
        let url = state::DEFAULT_RELAY_URL;
        assert_eq!(
            values::signaling_url(url).as_deref(),
            Ok(url),
            "or a saved file would be refused"
        );
    }
}
