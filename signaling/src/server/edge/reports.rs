//! Users' reports, on disk for the operator: one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use crate::message::{ReportCategory, SessionId, UserId};

/// What one user says about another. The text is the user's own.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) report_id: String,
    /// Unix time in ms.
    pub(crate) at_ms: u64,
    pub(crate) session_id: SessionId,
    pub(crate) category: ReportCategory,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// Who reports.
    pub(crate) reporter: Party,
    /// Who is reported.
    pub(crate) reported: Party,
}

/// One side of a report.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Party {
    pub(crate) user_id: UserId,
    /// The `sub` of the token, where the relay wants tokens: what to put behind `user:` in the ban file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
}

/// Unix time in ms, for [`Report::at_ms`].
pub(crate) fn unix_ms(now: SystemTime) -> u64 {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The file of reports.
#[derive(Debug)]
pub(crate) struct ReportFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl ReportFile {
    /// Opens the file, or makes it, readable for its owner only.
    ///
    /// # Errors
    /// A sentence with the file's name.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = open(path)
            .map_err(|error| format!("reports cannot be written to {}: {error}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    /// Appends a report. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// The system's: the report is not recorded then.
    pub(crate) fn append(&self, report: &Report) -> io::Result<()> {
        let mut line = serde_json::to_vec(report).map_err(io::Error::other)?;
        line.push(b'\n');
        // One write, so that two relays with one file do not mix their lines.
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&line)
    }

    /// Opens the file anew: after it was moved away by log rotation.
    ///
    /// # Errors
    /// The system's: reports go on into the old file then.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
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
    fn a_line_for_each_report_also_after_the_file_was_moved() {
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
    fn a_folder_that_is_not_there_is_told() {
        let error = ReportFile::open(Path::new("/nowhere/reports.jsonl")).unwrap_err();
        assert!(error.contains("/nowhere/reports.jsonl"), "{error}");
    }
}
