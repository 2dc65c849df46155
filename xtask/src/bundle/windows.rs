//! The setup for Windows, packed with NSIS from `src-tauri/windows/setup.nsi`, on Linux or Windows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::make_folder;
use crate::shell::{Shell, step, which};
use crate::{cross, imports, notices, release, setup, version, workspace};

/// The program, and the loader of WebView2. A program for a GNU toolchain needs that as a DLL;
/// Microsoft's linker puts it inside.
const PROGRAMS: [&str; 2] = ["tandem.exe", "WebView2Loader.dll"];

/// The target that `cargo xtask bundle` builds for on Linux.
const TARGET: &str = "x86_64-pc-windows-gnu";

/// Names a command line that signs the file whose path is put after it. Set in the release workflow
/// if there is a certificate.
const SIGN: &str = "TANDEM_SIGN";

/// What to pack, and where to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options<'a> {
    /// The folder of programs that are built already.
    programs: Option<&'a str>,
    /// The folder for the setup.
    out: Option<&'a str>,
    /// The version that the setup has in place of the workspace's.
    version: Option<&'a str>,
}

/// `cargo xtask bundle --target windows [--programs FOLDER] [--out FOLDER] [--version X.Y.Z]`: builds
/// Tandem for Windows, or takes it from a folder, and makes the setup.
///
/// # Errors
/// When something that it needs is missing, a program needs DLLs that not every Windows has, or a
/// step fails.
pub(super) fn setup(arguments: &[&str]) -> Result<PathBuf> {
    let options = options(arguments)?;
    let target = workspace::target_dir()?.join("windows");
    let version = match options.version {
        Some(version) => version.to_owned(),
        None => version::of_workspace()?,
    };
    let makensis = makensis()?;

    let (programs, target_triple) = match options.programs {
        Some(folder) => (PathBuf::from(folder), TARGET),
        None if cfg!(windows) => (
            parent(&release::build("release")?)?,
            "x86_64-pc-windows-msvc",
        ),
        None => (cross::programs::build()?, TARGET),
    };

    let files = target.join(format!("files-{}", std::process::id()));
    let out = options.out.map_or_else(|| target.clone(), PathBuf::from);
    let made = step("Packing the setup", || {
        collect(&programs, &files, target_triple)?;
        make_folder(&out)?;
        let file = out.join(format!("Tandem_{version}_x64-setup.exe"));
        pack(&makensis, &version, &files, &file)?;
        Ok(file)
    });

    let _ = fs::remove_dir_all(&files);
    made
}

fn options<'a>(arguments: &[&'a str]) -> Result<Options<'a>> {
    let mut options = Options::default();
    for pair in arguments.chunks(2) {
        match pair {
            ["--programs", folder] => options.programs = Some(folder),
            ["--out", folder] => options.out = Some(folder),
            ["--version", version] => options.version = Some(version),
            _ => bail!(
                "bundle --target windows takes --programs FOLDER, --out FOLDER and --version X.Y.Z"
            ),
        }
    }

    Ok(options)
}

fn parent(file: &Path) -> Result<PathBuf> {
    let folder = file.parent().context("a program lies in a folder")?;
    Ok(folder.to_owned())
}

/// Puts what will be installed into `files`, signed if there is a certificate.
fn collect(programs: &Path, files: &Path, target_triple: &str) -> Result<()> {
    let _ = fs::remove_dir_all(files);
    make_folder(files)?;
    let mut collected = Vec::new();
    for name in PROGRAMS {
        let (from, to) = (programs.join(name), files.join(name));
        if name == PROGRAMS[0] || from.is_file() {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            collected.push(to);
        }
    }

    // One that a previous build has left beside the program is not installed for nothing.
    if imports::check(&collected[..1]).is_ok() {
        for unused in collected.drain(1..) {
            fs::remove_file(&unused)
                .with_context(|| format!("cannot remove {}", unused.display()))?;
        }
    }
    imports::check(&collected)?;

    for file in &collected {
        sign(file)?;
    }
    notices::write("notices", target_triple, &files.join("licenses.txt"))
}

fn sign(file: &Path) -> Result<()> {
    let Some(command) = signer() else {
        return Ok(());
    };

    let line = format!("{command} \"{}\"", file.display());
    let shell = if cfg!(windows) {
        ("cmd", "/C")
    } else {
        ("sh", "-c")
    };
    Shell::new(shell.0, [shell.1, &line]).run()
}

fn pack(makensis: &Path, version: &str, files: &Path, out: &Path) -> Result<()> {
    // NSIS' own build for Windows makes 32-bit setups only.
    let stub = if cfg!(windows) {
        "x86-unicode"
    } else {
        "amd64-unicode"
    };
    let root = workspace::root();
    let define = |name: &str, value: &str| format!("-D{name}={value}");
    // NSIS writes and signs it here, so that a failure leaves nothing in its place. (Windows treats a
    // file that is called setup.exe in its own ways, and NSIS warns of them.)
    let made = files.join("Tandem-setup.exe");
    let mut defines = vec![
        define("VERSION", version),
        define("NUMBERS", numbers(version)),
        define("FILES", &files.display().to_string()),
        define("ICON", &root.join("icons/icon.ico").display().to_string()),
        define("OUT", &made.display().to_string()),
        define("STUB", stub),
    ];
    if let Some(command) = signer() {
        defines.push(define("SIGN", &command));
    }

    Shell::new(makensis, ["-V2", "-WX", "-INPUTCHARSET", "UTF8"])
        .args(defines)
        .args([root.join("src-tauri/windows/setup.nsi")])
        .run()?;
    fs::copy(&made, out).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(())
}

/// The command line that signs, if there is one.
fn signer() -> Option<String> {
    std::env::var(SIGN).ok().filter(|line| !line.is_empty())
}

/// The numbers of a version, without what marks a pre-release: Windows' version resource has no room
/// for it.
fn numbers(version: &str) -> &str {
    version.split(['-', '+']).next().unwrap_or(version)
}

fn makensis() -> Result<PathBuf> {
    setup::windows_setup();
    let installed = Path::new("C:\\Program Files (x86)\\NSIS\\makensis.exe");
    which("makensis")
        .or_else(|| installed.is_file().then(|| installed.to_owned()))
        .context("makensis is missing: install NSIS (Debian and Ubuntu: nsis)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_may_come_in_any_order_and_nothing_else_may() {
        let read = options(&["--out", "o", "--programs", "p"]).expect("both are known");
        assert_eq!(
            (read.programs, read.out, read.version),
            (Some("p"), Some("o"), None)
        );
        for wrong in [&["--out"][..], &["--bundles", "deb"], &["p"]] {
            assert!(options(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_pre_release_has_the_numbers_of_its_release() {
        for version in ["1.2.3", "1.2.3-rc.1", "1.2.3+build"] {
            assert_eq!(numbers(version), "1.2.3", "{version}");
        }
    }
}
