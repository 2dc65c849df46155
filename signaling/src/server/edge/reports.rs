//! Users' reports, in a file for the operator: one JSON object per line. A snapshot that the reporter
//! attached is a file of its own, in a folder beside it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::Mutex;
use serde::Serialize;

use crate::message::{ReportCategory, SessionId, Snapshot, UserId};

/// What one user reports about another.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) report_id: String,
    /// Unix time in milliseconds.
    pub(crate) at_ms: u64,
    pub(crate) session_id: SessionId,
    #[serde(flatten)]
    pub(crate) said: Said,
    pub(crate) reporter: Party,
    pub(crate) reported: Party,
}

/// What the reporter says.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Said {
    pub(crate) category: ReportCategory,
    /// In the user's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// The partner's last frame. It stays at this node: not in the line, and never in the store.
    #[serde(skip)]
    pub(crate) snapshot: Option<Snapshot>,
}

/// A report as a line of the file.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// The name of the snapshot's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
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

    /// Appends a report, after its snapshot. Blocks until the system has taken both.
    ///
    /// # Errors
    /// The system's error. Nothing is recorded then.
    pub(crate) fn append(&self, report: &Report) -> io::Result<()> {
        let snapshot = report.said.snapshot.as_ref();
        let snapshot = snapshot.map(|image| self.keep_snapshot(&report.report_id, image));
        let snapshot = snapshot.transpose()?;
        let line = Line {
            report,
            snapshot: snapshot.clone(),
        };

        let appended = serde_json::to_vec(&line)
            .map_err(io::Error::other)
            .and_then(|mut line| {
                line.push(b'\n');
                // In one write, so that two servers with the same file do not mix their lines.
                self.file.lock().write_all(&line)
            });
        if let (Err(_), Some(name)) = (&appended, snapshot) {
            // The error that is returned says more.
            let _ = fs::remove_file(self.snapshots().join(name));
        }

        appended
    }

    /// The folder of the snapshots: `reports.jsonl.snapshots`.
    fn snapshots(&self) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(".snapshots");
        name.into()
    }

    /// Writes a snapshot, readable by its owner only. Returns the name of its file.
    fn keep_snapshot(&self, report_id: &str, image: &Snapshot) -> io::Result<String> {
        let jpeg = BASE64.decode(image.as_base64()).map_err(io::Error::other)?;
        let (folder, name) = (self.snapshots(), format!("{report_id}.jpg"));
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;

        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let path = folder.join(&name);
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(&jpeg));
        if let Err(error) = written {
            // Half an image is of no use to anyone.
            let _ = fs::remove_file(&path);
            return Err(error);
        }

        Ok(name)
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
            said: Said {
                category: ReportCategory::Spam,
                text: Some("two\nlines".into()),
                snapshot: None,
            },
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
        fs::rename(&path, &moved).unwrap();
        reports.reopen().unwrap();
        reports.append(&report("3")).unwrap();
        let ids = |path: &Path| -> Vec<String> {
            let text = fs::read_to_string(path).unwrap();
            let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
            text.lines()
                .map(|text| line(text)["reportId"].as_str().unwrap().to_owned())
                .collect()
        };

        assert_eq!(
            (ids(&moved), ids(&path)),
            (vec!["1".into(), "2".into()], vec!["3".into()])
        );

        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains(r#""atMs":1234,"sessionId":"s","category":"spam","text":"two\nlines""#),
            "{text}"
        );
    }

    #[test]
    fn a_snapshot_is_a_file_of_its_own_beside_the_reports() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports.jsonl");
        let reports = ReportFile::open(&path).unwrap();
        let jpeg = [0xFF, 0xD8, 0xFF, 0xE0, 1, 2, 3];
        let mut with_snapshot = report("7");
        with_snapshot.said.snapshot = Snapshot::parse(BASE64.encode(jpeg));
        reports.append(&with_snapshot).unwrap();

        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(r#""snapshot":"7.jpg""#), "{text}");
        assert!(!text.contains(&BASE64.encode(jpeg)), "{text}");
        let image = folder.path().join("reports.jsonl.snapshots/7.jpg");
        assert_eq!(fs::read(&image).unwrap(), jpeg);

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(
                (mode(&image), mode(image.parent().unwrap())),
                (0o600, 0o700)
            );
        }

        // What the store would get.
        let stored = serde_json::to_string(&with_snapshot).unwrap();
        assert!(!stored.contains("snapshot"), "{stored}");
    }

    #[test]
    fn a_report_whose_snapshot_cannot_be_written_is_not_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports.jsonl");
        let reports = ReportFile::open(&path).unwrap();
        fs::write(folder.path().join("reports.jsonl.snapshots"), "in the way").unwrap();
        let mut with_snapshot = report("7");
        with_snapshot.said.snapshot = Snapshot::parse(BASE64.encode([0xFF, 0xD8, 0xFF, 0xE0]));

        assert!(reports.append(&with_snapshot).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn the_error_about_a_missing_folder_names_it() {
        let error = ReportFile::open(Path::new("/nowhere/reports.jsonl")).unwrap_err();
        assert!(error.contains("/nowhere/reports.jsonl"), "{error}");
    }
}
