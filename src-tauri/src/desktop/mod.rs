//! The window: a thin shell that shows the app's state and sends it commands.
//!
//! [`app`] is the app as a sans-IO state machine, [`state`] what the page shows of it, [`command`]
//! what the page may request. [`shell`] runs calls, devices and the embedded signaling server, and
//! [`frames`] sends video to the page.

pub mod access;
pub mod app;
pub mod command;
mod files;
pub mod frames;
pub mod instance;
mod launch;
mod page;
mod page_process;
pub mod picture;
mod rate;
pub mod recents;
pub mod settings;
pub mod shell;
pub mod state;
mod window;
mod window_place;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use tandem_signaling::client::TrustedRoots;

use crate::headless::args::CallArgs;
use access::{Access, TokenFile};
use instance::Claim;
use picture::PictureFile;
use recents::RecentsFile;
use settings::SettingsFile;
use shell::Files;
use window::WindowSetup;
use window_place::PlaceFile;

/// Opens the window, or brings the open one to the front, and returns the exit code. `matches` says
/// which arguments were typed, `opened` is a link or an invite to show.
pub fn main(args: &CallArgs, matches: &ArgMatches, opened: Option<&str>) -> ExitCode {
    prepare_environment();
    if let Some(why) = no_screen() {
        return fail(why);
    }

    match start(args, matches, opened) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn start(args: &CallArgs, matches: &ArgMatches, opened: Option<&str>) -> anyhow::Result<()> {
    let folder = settings_folder();
    let first_instance = match instance::claim(&folder, opened) {
        Ok(Claim::First(first)) => Some(first),
        Ok(Claim::Second) => return Ok(()),
        Err(error) => {
            // Two windows are better than none.
            tracing::warn!(%error, "cannot find out whether another instance runs: opening a window anyway");
            None
        }
    };

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    tauri::async_runtime::set(runtime.handle().clone());
    let files = Files {
        settings: SettingsFile::new(&folder).with_system_files(system_settings()),
        recents: RecentsFile::new(&folder),
        token: TokenFile::new(&folder),
        picture: PictureFile::new(&folder),
    };
    let (settings, settings_problem) = files.settings.load();
    let recents = files.recents.load();
    let picture = files.picture.load();
    let launch = launch::read(args, matches).map_err(anyhow::Error::msg)?;
    // Nobody uses the one in the settings while the command line replaces it.
    let ca_file = settings.ca_file.as_deref();
    let ca_file = ca_file.filter(|_| launch.ca_file.is_none());
    let (roots, access_problem) = match ca_file.map(access::read_certificates) {
        Some(Ok(roots)) => (roots, None),
        Some(Err(problem)) => (TrustedRoots::default(), Some(problem)),
        None => (TrustedRoots::default(), None),
    };
    let access = Access {
        token: files.token.load(),
        roots,
    };

    window::run(WindowSetup {
        settings,
        settings_problem,
        access,
        access_problem,
        recents,
        picture,
        files,
        place: PlaceFile::new(&folder),
        launch,
        opened: opened.map(str::to_owned),
        first_instance,
    })
}

/// The settings folder: `tandem` in the place that the system has for configuration, else in the
/// working directory.
fn settings_folder() -> PathBuf {
    dirs::config_dir().unwrap_or_default().join("tandem")
}

/// Where the machine's administrator can leave settings for all users.
fn system_settings() -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = if cfg!(target_os = "macos") {
        vec![PathBuf::from("/Library/Application Support")]
    } else if cfg!(windows) {
        std::env::var_os("ProgramData")
            .map(PathBuf::from)
            .into_iter()
            .collect()
    } else {
        // The order of preference, as the XDG Base Directory Specification has it.
        let folders = std::env::var_os("XDG_CONFIG_DIRS").filter(|folders| !folders.is_empty());
        let folders = folders.unwrap_or_else(|| "/etc/xdg".into());
        std::env::split_paths(&folders)
            .filter(|folder| folder.is_absolute())
            .collect()
    };

    folders
        .into_iter()
        .map(|folder| folder.join("tandem/settings.json"))
        .collect()
}

/// Sets what GTK reads at its start.
fn prepare_environment() {
    #[cfg(target_os = "linux")]
    if std::env::var_os("WEBKIT_DISABLE_DMABUF_RENDERER").is_none() {
        // The DMABUF renderer of WebKitGTK draws at half the rate on many machines and not at all
        // on some (docs/field-notes.md).
        // SAFETY: no other thread exists yet.
        unsafe { std::env::set_var("WEBKIT_DISABLE_DMABUF_RENDERER", "1") };
    }
}

/// Why no window can be opened. Without this check GTK would end the process with an error that
/// helps no user.
fn no_screen() -> Option<&'static str> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let missing = cfg!(target_os = "linux") && !is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY");
    missing.then_some(
        "there is no screen to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set). \
         Run \"tandem --headless --pair --duration 10s\" to make a call without a window",
    )
}

fn fail(why: &str) -> ExitCode {
    use std::io::Write;
    // If stderr is gone, there is nowhere to report that.
    let _ = writeln!(std::io::stderr(), "error: {why}");
    ExitCode::FAILURE
}
