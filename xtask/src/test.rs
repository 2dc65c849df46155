//! `cargo xtask test`: everything that CI checks, ordered so that mistakes show early.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};

use crate::checks::Checks;
use crate::shell::Shell;
use crate::{cross, lint, page, release, setup, workflows, workspace};

/// How much to test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Everything,
    /// Without the cross-checks and the whole-system tests (browsers, guests, sound servers, calls
    /// in real time).
    Fast,
}

/// `cargo xtask test [--fast]`.
///
/// # Errors
/// When the build needs something that cannot be installed without a password.
pub(crate) fn test(extent: Extent) -> Result<ExitCode> {
    setup::build()?;
    if extent == Extent::Everything {
        setup::test()?;
    }

    let (nextest, deny) = setup::tools();
    let skips = SkipLog::create()?;

    let mut checks = Checks::default();
    checks.check("format", || Shell::cargo(["fmt", "--all", "--check"]).run());
    lint::licenses(&mut checks, deny);
    checks.check("the fuzz targets' lock file", lint::fuzz_lock);
    checks.check("browser pages", lint::browser_pages);
    workflows::check(&mut checks);
    checks.check("the page", page::check);
    // Before cargo builds anything: the desktop program embeds the page.
    checks.check("the page's build", page::build_if_changed);

    if extent == Extent::Everything {
        page::in_browser(&mut checks);
    }

    checks.check("lints", lint::clippy);

    let mut program = None;
    if extent == Extent::Everything {
        cross::check(&mut checks);
        checks.check("the program as it ships", || {
            program = Some(as_it_ships()?);
            Ok(())
        });
    }

    // Together with the tests, so that cargo unifies the same features for both and compiles
    // dependencies once.
    let built = checks.check("build", || {
        Shell::cargo(["build", "--locked", "--workspace"])
            .args(["--bins", "--tests", "--examples", "--all-features"])
            .run()
    });

    // Without the programs the whole-system tests would only repeat the failure.
    let program = program.filter(|_| built);
    checks.check("tests", || tests(nextest, program.as_deref(), &skips));
    checks.check("documentation's examples", || {
        Shell::cargo(["test", "--locked", "--workspace", "--all-features"])
            .args(["--doc", "--quiet"])
            .run()
    });

    for skip in skips.read() {
        let (name, reason) = skip
            .split_once(": ")
            .unwrap_or((skip.as_str(), "no reason given"));
        checks.skip(name, reason);
    }

    Ok(checks.summary())
}

/// Builds the program with the features of a release, for the whole-system tests: in the build of
/// the tests it also has what only tests and benchmarks use. Keeps a copy, because that build puts
/// its own program in the same place.
fn as_it_ships() -> Result<PathBuf> {
    let program = release::build("debug")?;
    let folder = program.with_file_name("as-it-ships");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let name = program.file_name().context("a program has a name")?;
    let copy = folder.join(name);
    // One that still runs somewhere cannot be written to, but replaced.
    let new = folder.join(format!("new-{}", std::process::id()));
    fs::copy(&program, &new)
        .and_then(|_| fs::rename(&new, &copy))
        .with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}

/// Runs the tests. `program`: what the whole-system tests start; without it they are left out.
fn tests(nextest: bool, program: Option<&Path>, skips: &SkipLog) -> Result<()> {
    let run = |shell: Shell| {
        let program = program.map(|program| ("TANDEM_PROGRAM", program));
        skips.pass_to(shell).envs(program).run()
    };

    if nextest {
        let profile = if std::env::var_os("CI").is_some() {
            "ci"
        } else {
            "default"
        };

        // How many of these slots a test takes is in .config/nextest.toml.
        let slots = 2 * thread::available_parallelism().map_or(1, NonZero::get);
        let mut shell = Shell::cargo(["nextest", "run", "--locked", "--workspace"])
            .args(["--all-features", "--profile", profile])
            .args(["--test-threads", &slots.to_string()]);
        if program.is_none() {
            shell = shell.args(["-E", "not package(tandem-tests)"]);
        }

        return run(shell);
    }

    println!(
        "  cargo-nextest could not be built on this machine: using cargo test, one whole-system test at a time"
    );
    let shell = Shell::cargo([
        "test",
        "--locked",
        "--workspace",
        "--exclude",
        "tandem-tests",
        "--all-targets",
        "--all-features",
        "--no-fail-fast",
    ]);
    run(shell)?;

    if program.is_none() {
        return Ok(());
    }

    let shell = Shell::cargo([
        "test",
        "--locked",
        "-p",
        "tandem-tests",
        "--all-targets",
        "--all-features",
        "--no-fail-fast",
    ])
    .args(["--", "--test-threads=1"]);
    run(shell)
}

/// The file in which a test that cannot run on this machine leaves its name and the reason, one
/// line each.
struct SkipLog {
    path: PathBuf,
}

impl SkipLog {
    fn create() -> Result<Self> {
        let folder = workspace::root().join("out");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("skipped-tests.txt");
        fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()))?;

        Ok(Self { path })
    }

    fn pass_to(&self, shell: Shell) -> Shell {
        shell.env("TANDEM_SKIP_LOG", &self.path)
    }

    fn read(&self) -> Vec<String> {
        fs::read_to_string(&self.path)
            .unwrap_or_default()
            .lines()
            .map(String::from)
            .collect()
    }
}
