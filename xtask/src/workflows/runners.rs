//! GitHub's hosted runners that our workflows use, and how long they are there.

/// A day in the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day {
    year: i64,
    month: i64,
    day: i64,
}

impl Day {
    const fn new(year: i64, month: i64, day: i64) -> Self {
        Self { year, month, day }
    }

    /// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
    /// `days_from_civil`, for years after 0).
    pub(super) fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year / 400;
        let year_of_era = year - era * 400;
        let month = (self.month + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }
}

/// A runner's image.
#[derive(Debug)]
pub(super) struct Runner {
    /// Its name in `runs-on`.
    pub(super) label: &'static str,
    /// The day from which it is not to be used: its announced end, or where none is announced, the day
    /// to look again.
    pub(super) until: Day,
    /// Where that is written, and what.
    pub(super) source: &'static str,
}

/// The images that workflows may name. `-latest` is not among them: what it means changes under us.
pub(super) const RUNNERS: &[Runner] = &[
    Runner {
        label: "ubuntu-24.04",
        until: Day::new(2028, 4, 1),
        source: "actions/runner-images keeps the latest two versions (#14254); 26.04 is the latest since \
                 2026-09 (#14747), so 24.04 stays until 28.04 is there",
    },
    Runner {
        label: "ubuntu-24.04-arm",
        until: Day::new(2028, 4, 1),
        source: "as ubuntu-24.04 (actions/runner-images #14254, #14747)",
    },
    Runner {
        label: "macos-26",
        until: Day::new(2027, 9, 1),
        source: "actions/runner-images' README lists it and no end is announced; versions end a year after \
                 the second next one is there (macos-14: #13518)",
    },
    Runner {
        label: "macos-15-intel",
        until: Day::new(2027, 8, 1),
        source: "until August 2027; the last one for Intel (actions/runner-images #13045)",
    },
    Runner {
        label: "windows-2025",
        until: Day::new(2027, 12, 1),
        source: "GitHub's \"Supported runners and hardware resources\" lists it and no end is announced",
    },
];

/// The runners that the text of a workflow names: the values of `runs-on` and of the matrix's `runner`.
pub(super) fn named(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| {
            ["runs-on:", "runner:"].into_iter().filter_map(move |key| {
                let at = line.find(key)?;
                // `runner:` in `not-a-runner:` is another key.
                let before = line[..at].chars().next_back();
                if before.is_some_and(|sign| !sign.is_whitespace() && sign != '{') {
                    return None;
                }
                let value = line[at + key.len()..].split([',', '}', '#']).next()?;
                Some(value.trim().trim_matches(['"', '\'']))
            })
        })
        .filter(|value| !value.is_empty() && !value.starts_with("${"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_everyone_counts_them() {
        for (day, days) in [
            (Day::new(1970, 1, 1), 0),
            (Day::new(2000, 2, 29), 11_016),
            (Day::new(2026, 11, 30), 20_787),
        ] {
            assert_eq!(day.days(), days, "{day:?}");
        }
    }

    #[test]
    fn runners_are_found_in_jobs_and_in_a_matrix() {
        let text = "
            runs-on: ubuntu-24.04
            runs-on: ${{ matrix.runner }}
            - { name: Windows, runner: windows-2025 }
            - { runner: \"macos-26\", name: macOS }
            other-runner: nothing
            # runs-on: ubuntu-18.04
        ";
        let found: Vec<&str> = named(text).collect();
        assert_eq!(found, ["ubuntu-24.04", "windows-2025", "macos-26"]);
    }
}
