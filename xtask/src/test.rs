//! `cargo xtask test`: everything that CI checks, ordered so that mistakes show early.

use std::fs;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};

use crate::checks::Checks;
use crate::shell::Shell;
use crate::{cross, lint, page, setup, workspace};

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
    checks.check("the page", page::check);
    // Before cargo builds anything: the desktop program embeds the page.
    checks.check("the page's build", page::build_if_changed);

    if extent == Extent::Everything {
        page::in_browser(&mut checks);
    }

    checks.check("lints", lint::clippy);

    if extent == Extent::Everything {
        cross::check(&mut checks);
    }

    // Together with the tests, so that cargo unifies the same features for both and compiles
    // dependencies once.
    let built = checks.check("build", || {
        Shell::cargo(["build", "--locked", "--workspace"])
            .args(["--bins", "--tests", "--examples"])
            .args(["--all-features"])
            .run()
    });

    // Without the programs the whole-system tests would only repeat the failure.
    let extent = if built { extent } else { Extent::Fast };
    checks.check("tests", || tests(nextest, extent, &skips));
    checks.check("documentation's examples", || {
        Shell::cargo(["test", "--locked", "--workspace", "--doc", "--quiet"])
            .args(["--all-features"])
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

fn tests(nextest: bool, extent: Extent, skips: &SkipLog) -> Result<()> {
    if nextest {
        let profile = if std::env::var_os("CI").is_some() {
            "ci"
        } else {
            "default"
        };

        // How many of these slots a test takes is in .config/nextest.toml.
        let slots = 2 * thread::available_parallelism().map_or(1, NonZero::get);
        let mut shell = Shell::cargo(["nextest", "run", "--locked", "--workspace"])
            .args(["--profile", profile, "--test-threads", &slots.to_string()])
            .args(["--all-features"]);
        if extent == Extent::Fast {
            shell = shell.args(["-E", "not package(tandem-tests)"]);
        }

        return skips.pass_to(shell).run();
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
        "--no-fail-fast",
    ])
    .args(["--all-features"]);
    skips.pass_to(shell).run()?;

    if extent == Extent::Fast {
        return Ok(());
    }

    let shell = Shell::cargo([
        "test",
        "--locked",
        "-p",
        "tandem-tests",
        "--all-targets",
        "--no-fail-fast",
    ])
    .args(["--all-features"])
    .args(["--", "--test-threads=1"]);
    skips.pass_to(shell).run()
}

/// The file in which a test that cannot run on this machine leaves its name and the reason, one
/// line each.
struct SkipLog {
    path: std::path::PathBuf,
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
