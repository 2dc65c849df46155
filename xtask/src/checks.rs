//! The checks of one run: each is carried out, timed and listed in a summary.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::shell::heading;

enum Verdict {
    Passed(Duration),
    Failed(Duration),
    Skipped(String),
}

/// The checks so far, with their results.
#[derive(Default)]
pub(crate) struct Checks {
    verdicts: Vec<(String, Verdict)>,
}

impl Checks {
    /// Runs one check and returns whether it passed. A failure does not stop the next check.
    pub(crate) fn check(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        heading(&format!("Checking {name}"));
        let start = Instant::now();
        let result = work();

        if let Err(error) = &result {
            println!("  failed: {error:#}");
        }

        let passed = result.is_ok();
        let verdict = if passed {
            Verdict::Passed(start.elapsed())
        } else {
            Verdict::Failed(start.elapsed())
        };

        self.verdicts.push((name.to_owned(), verdict));
        passed
    }

    /// Records what could not be checked on this machine.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        self.verdicts
            .push((name.to_owned(), Verdict::Skipped(reason.to_owned())));
    }

    /// Prints the results. The exit code is a failure if any check failed.
    pub(crate) fn summary(&self) -> ExitCode {
        heading("Summary");
        for (name, verdict) in &self.verdicts {
            match verdict {
                Verdict::Passed(time) => {
                    println!("  passed   {name} ({:.0} s)", time.as_secs_f64());
                }
                Verdict::Failed(time) => {
                    println!("  FAILED   {name} ({:.0} s)", time.as_secs_f64());
                }
                Verdict::Skipped(reason) => println!("  skipped  {name}: {reason}"),
            }
        }

        let failed = self
            .verdicts
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
            .count();

        if failed == 0 {
            println!("\nAll checks passed.");
            ExitCode::SUCCESS
        } else {
            println!("\n{failed} of the checks failed; see the output under their headings above.");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_check_fails_the_run() {
        let mut checks = Checks::default();
        checks.check("good", || Ok(()));
        checks.skip("absent", "no camera");

        assert_eq!(
            checks.summary(),
            ExitCode::SUCCESS,
            "a skipped check is not a failure"
        );
        let passed = checks.check("bad", || anyhow::bail!("broken"));
        assert!(!passed, "the caller learns of the failure");
        assert_eq!(checks.summary(), ExitCode::FAILURE, "one failure decides");
    }
}
