//! Whether the programs compile for Windows and macOS, and whether the codecs link for Windows,
//! checked on Linux.
//!
//! `cargo check` type-checks everything for the other system and runs its build scripts; nothing is
//! linked, except in `codecs`. So the C and C++ files of libraries are not compiled, which would
//! take a quarter of the time: their build scripts get a compiler that answers questions and makes
//! empty objects (`stub.sh`). A standard library for the target comes from rustup where it is
//! installed; otherwise from Debian, whose `rustc-web` packages bring a compiler with the library's
//! source, which cargo then builds itself.
//!
//! Warnings are printed and not denied: Debian's compiler is updated on its own schedule, and the
//! lint run with the pinned toolchain denies them already.

mod codecs;
pub(crate) mod programs;
mod static_runtime;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::checks::Checks;
use crate::shell::{Shell, which};
use crate::{page, setup, vpx, workspace};

/// The version of PyPI's `ziglang`, whose clang knows macOS's headers.
const ZIG: &str = "0.17.1";

/// The compilers for C and C++.
const MINGW: [&str; 2] = ["x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-g++"];

const WINDOWS: &str = "x86_64-pc-windows-gnu";
const MACOS: &str = "aarch64-apple-darwin";

/// Packages and features of one cargo run.
type Build = (&'static str, &'static [&'static str]);

const DESKTOP: Build = (
    "the signaling server and the desktop program",
    &["--package", "tandem-signaling", "--package", "tandem"],
);

/// Compiles most dependencies again, with the features that are left without the window. Once is
/// enough: what is special to the program without a window is the same on both systems.
const HEADLESS: Build = (
    "the headless program",
    &["--package", "tandem", "--no-default-features"],
);

/// Where the standard library of a target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    /// rustup installed it beside the toolchain in use.
    Rustup,
    /// Debian's compiler brings the source.
    Debian,
}

/// `cargo xtask cross`: these checks alone.
///
/// # Errors
/// When the build needs something that cannot be installed without a password.
pub(crate) fn cross() -> Result<ExitCode> {
    setup::build()?;
    setup::cross();

    let mut checks = Checks::default();
    checks.check("the page's build", page::build_if_changed);
    check(&mut checks);
    Ok(checks.summary())
}

/// Checks both systems. What this machine cannot check is skipped with the reason.
pub(crate) fn check(checks: &mut Checks) {
    one(
        checks,
        "Windows",
        WINDOWS,
        windows_compiler,
        &[DESKTOP, HEADLESS],
    );
    one(checks, "macOS", MACOS, macos_compiler, &[DESKTOP]);
    codecs::check(checks);
}

type Variables = Vec<(String, String)>;

fn one(
    checks: &mut Checks,
    system: &str,
    target: &str,
    compiler: fn() -> Result<Variables>,
    builds: &[Build],
) {
    let name = format!("the build for {system}");
    let Some(library) = library(target) else {
        checks.skip(&name, &missing_library(target));
        return;
    };

    match compiler() {
        Ok(variables) => {
            checks.check(&name, || compile(target, library, &variables, builds));
        }
        Err(reason) => checks.skip(&name, &format!("{reason:#}")),
    }
}

fn compile(target: &str, library: Library, variables: &Variables, builds: &[Build]) -> Result<()> {
    for (what, packages) in builds {
        println!("  {what}:");
        cargo(library)
            .args(["check", "--locked", "--quiet", "--target", target])
            .args(*packages)
            .env("CARGO_TARGET_DIR", folder()?)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .run()?;
    }

    Ok(())
}

/// The cargo that goes with `library`. Debian's is a stable compiler: `RUSTC_BOOTSTRAP` lets it
/// build the library.
fn cargo(library: Library) -> Shell {
    match library {
        Library::Rustup => Shell::cargo([] as [&str; 0]),
        Library::Debian => Shell::new(DEBIAN_CARGO, ["-Zbuild-std=std,panic_unwind"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", DEBIAN_RUSTC)
            .without_env("RUSTUP_TOOLCHAIN")
            .without_env("CARGO"),
    }
}

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Whether rustup has the standard library of every target, so that Debian's compiler is not needed.
pub(crate) fn rustup_has_all_targets() -> bool {
    [WINDOWS, MACOS].into_iter().all(rustup_has)
}

fn rustup_has(target: &str) -> bool {
    Shell::new("rustc", ["--print", "target-libdir", "--target", target])
        .output()
        .is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn library(target: &str) -> Option<Library> {
    if rustup_has(target) {
        return Some(Library::Rustup);
    }

    let debian = Path::new(DEBIAN_CARGO).exists()
        && Shell::new(DEBIAN_RUSTC, ["--print", "sysroot"])
            .output()
            .is_ok_and(|sysroot| {
                let library = "lib/rustlib/src/rust/library/Cargo.lock";
                Path::new(sysroot.trim()).join(library).exists()
            });
    debian.then_some(Library::Debian)
}

fn missing_library(target: &str) -> String {
    format!(
        "no standard library for {target}: `rustup target add {target}`, or Debian's rustc-web, \
         cargo-web and rust-web-src"
    )
}

/// A target folder of its own: two compilers in one would rebuild each other's build scripts.
fn folder() -> Result<PathBuf> {
    Ok(workspace::target_dir()?.join("cross"))
}

fn windows_compiler() -> Result<Variables> {
    require_mingw()?;
    stubs(WINDOWS, &scripts_folder("mingw")?, MINGW)
}

fn require_mingw() -> Result<()> {
    if MINGW.into_iter().any(|tool| which(tool).is_none()) {
        bail!("mingw-w64 is not installed");
    }

    Ok(())
}

/// `zig cc` behind a script that translates what cargo's `cc` crate passes to clang.
fn macos_compiler() -> Result<Variables> {
    let zig = zig()?;
    let scripts = scripts_folder("zig")?;
    let tools = ["cc", "c++", "ar"].map(|tool| scripts.join(format!("zig-{tool}")));
    for (script, tool) in tools.iter().zip(["cc", "c++", "ar"]) {
        write_script(script, &zig_script(&zig, tool))?;
    }

    let [c, cpp, ar] = tools.map(|path| path.display().to_string());
    let mut variables = stubs(MACOS, &scripts, [&c, &cpp])?;
    variables.push((format!("AR_{}", MACOS.replace('-', "_")), ar));

    // The macOS SDK's folder. It holds none: headers come from zig, and the frameworks are only
    // named, not read.
    variables.push((String::from("SDKROOT"), scripts.display().to_string()));
    Ok(variables)
}

fn scripts_folder(name: &str) -> Result<PathBuf> {
    let folder = folder()?.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Compilers for C and C++ that do not compile (see `stub.sh`), and a libvpx that is not there.
/// `real`: the compilers behind them.
fn stubs(target: &str, scripts: &Path, real: [&str; 2]) -> Result<Variables> {
    let (source, empty) = (scripts.join("empty.c"), scripts.join("empty.o"));
    fs::write(&source, "").with_context(|| format!("cannot write {}", source.display()))?;
    Shell::new(real[0], ["-c", "-o"])
        .args([&empty, &source])
        .run()?;

    // The build script of libvpx-native-sys asks for a library, and nothing links it.
    let mut variables = vec![
        (String::from("VPX_LIB_DIR"), scripts.display().to_string()),
        (String::from("VPX_VERSION"), vpx::shared_version()?),
    ];

    let target = target.replace('-', "_");
    for (variable, real) in ["CC", "CXX"].into_iter().zip(real) {
        let script = scripts.join(variable.to_lowercase());
        write_script(&script, &stub_script(real, &empty))?;
        variables.push((format!("{variable}_{target}"), script.display().to_string()));
    }

    Ok(variables)
}

fn stub_script(real: &str, empty: &Path) -> String {
    include_str!("stub.sh")
        .replace("@REAL@", real)
        .replace("@EMPTY@", &empty.display().to_string())
}

fn zig_script(zig: &Path, tool: &str) -> String {
    include_str!("zig.sh")
        .replace("@ZIG@", &zig.display().to_string())
        .replace("@TOOL@", tool)
}

#[cfg(unix)]
fn write_script(path: &Path, script: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    fs::write(path, script).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}

#[cfg(not(unix))]
fn write_script(_path: &Path, _script: &str) -> Result<()> {
    bail!("the checks for other systems run on Linux and macOS")
}

/// The zig compiler in the cache folder, installed from PyPI if it is missing.
fn zig() -> Result<PathBuf> {
    let folder = workspace::cache_dir()?.join(format!("zig-{ZIG}"));
    let program = folder.join("ziglang/zig");
    if program.exists() {
        return Ok(program);
    }

    let scratch = folder.with_extension("download");
    let _ = fs::remove_dir_all(&scratch);
    Shell::new(
        "pip3",
        ["install", "--quiet", "--no-deps", "--only-binary=:all:"],
    )
    .args(["--root-user-action=ignore", "--target"])
    .args([&scratch])
    .args([format!("ziglang=={ZIG}")])
    .run()
    .context("cannot install PyPI's ziglang")?;

    let _ = fs::remove_dir_all(&folder);
    fs::rename(&scratch, &folder).context("cannot move zig to its place")?;
    Ok(program)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Runs the script with a "zig" that prints its arguments.
    fn translated(arguments: &[&str]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("cc");
        write_script(&script, &zig_script(Path::new("echo"), "cc")).expect("the script is written");
        Shell::new(&script, arguments)
            .output()
            .expect("the script runs")
    }

    #[test]
    fn the_script_drops_what_zig_does_not_understand() {
        let line = translated(&[
            "--target=arm64-apple-macosx",
            "-arch",
            "arm64",
            "-mmacosx-version-min=11.0",
            "-isysroot",
            "/nowhere",
            "-DNAME=two words",
            "-c",
            "file.c",
        ]);

        assert_eq!(
            line.trim(),
            "cc -target aarch64-macos -fno-sanitize=undefined -DNAME=two words -c file.c",
            "zig has its own names for targets and its own headers"
        );
    }

    #[test]
    fn the_stub_copies_an_empty_object_instead_of_compiling() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (script, empty) = (folder.path().join("cc"), folder.path().join("empty.o"));
        fs::write(&empty, "object").expect("a writable folder");
        write_script(&script, &stub_script("echo", &empty)).expect("the script is written");

        let run = |arguments: &[&str]| Shell::new(&script, arguments).output().expect("it runs");
        let (object, list) = (at("a.o"), at("a.d"));
        let said = run(&["-O2", "-MF", &list, "-o", &object, "-c", "no such file.c"]);
        assert_eq!(said.trim(), "", "the real compiler was not asked");
        assert_eq!(fs::read_to_string(&object).expect("an object"), "object");
        assert!(
            fs::read_to_string(&list)
                .expect("a list")
                .starts_with(&object)
        );

        for arguments in [&["-dumpmachine"][..], &["a.o", "-o", "program"]] {
            assert_eq!(run(arguments).trim(), arguments.join(" "), "passed on");
        }
    }
}
