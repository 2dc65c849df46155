//! Users' reports, in a file for the operator: one JSON object per line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;

use crate::message::{ReportCategory, SessionId, UserId};

/// What one user reports about another.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) report_id: String,
    /// Unix time in milliseconds.
    pub(crate) at_ms: u64,
    pub(crate) session_id: SessionId,
    pub(crate) category: ReportCategory,
    /// In the user's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    pub(crate) reporter: Party,
    pub(crate) reported: Party,
}

/// One side of a report.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Party {
    pub(crate) user_id: UserId,
    /// The `sub` of the bearer token, if the server requires one. In the ban file, `user:` takes
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
}

/// Unix time in milliseconds, for [`Report::at_ms`].
pub(crate) fn unix_ms(now: SystemTime) -> u64 {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The file that reports are appended to.
#[derive(Debug)]
pub(crate) struct ReportFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl ReportFile {
    /// Opens the file. A new one is only readable by its owner.
    ///
    /// # Errors
    /// A sentence with the name of the file and the cause.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = open(path)
            .map_err(|error| format!("cannot write reports to {}: {error}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    /// Appends a report. Blocks until the system has taken it.
    ///
    /// # Errors
    /// The system's error. The report is not recorded then.
    pub(crate) fn append(&self, report: &Report) -> io::Result<()> {
        let mut line = serde_json::to_vec(report).map_err(io::Error::other)?;
        line.push(b'\n');
        // In one write, so that two servers with the same file do not mix their lines.
        self.file.lock().write_all(&line)
    }

    /// Opens the file again, after log rotation has moved it away.
    ///
    /// # Errors
    /// The system's error. Reports continue to go to the old file then.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        *self.file.lock() = file;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: &str) -> Report {
        let party = |user: &str| Party {
            user_id: user.into(),
            subject: None,
        };

        Report {
            report_id: id.into(),
            at_ms: unix_ms(SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_234)),
            session_id: "s".into(),
            category: ReportCategory::Spam,
            text: Some("two\nlines".into()),
            reporter: party("a"),
            reported: party("b"),
        }
    }

    #[test]
    fn reports_continue_in_a_new_file_after_the_old_one_was_moved() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (
            folder.path().join("reports.jsonl"),
            folder.path().join("reports.1"),
        );
        let reports = ReportFile::open(&path).unwrap();
        reports.append(&report("1")).unwrap();
        reports.append(&report("2")).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        reports.reopen().unwrap();
        reports.append(&report("3")).unwrap();
        let ids = |path: &Path| -> Vec<String> {
            let text = std::fs::read_to_string(path).unwrap();
            let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
            text.lines()
                .map(|text| line(text)["reportId"].as_str().unwrap().to_owned())
                .collect()
        };

        assert_eq!(
            (ids(&moved), ids(&path)),
            (vec!["1".into(), "2".into()], vec!["3".into()])
        );

        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains(r#""atMs":1234,"sessionId":"s","category":"spam","text":"two\nlines""#),
            "{text}"
        );
    }

    #[test]
    fn the_error_about_a_missing_folder_names_it() {
        let error = ReportFile::open(Path::new("/nowhere/reports.jsonl")).unwrap_err();
        assert!(error.contains("/nowhere/reports.jsonl"), "{error}");
    }
}
