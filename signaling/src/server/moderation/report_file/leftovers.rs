//! Snapshots that no report names: a server that is killed between writing a snapshot and its report, or
//! between deleting a report and its snapshot, leaves one behind.

use std::fs::{self, DirEntry};
use std::io;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{ReportFile, snapshot_name};

/// A younger file stays: the operator, or another program, may be putting back a report with its snapshot.
const MIN_AGE: Duration = Duration::from_secs(60);

impl ReportFile {
    /// Deletes snapshots that no report in the file names. Files with other names than a snapshot has
    /// stay. Returns how many.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn delete_leftovers(&self, now: SystemTime) -> io::Result<usize> {
        // Locked, so that no report is between its snapshot and its line.
        let journal = self.journal.lock();
        let files = match fs::read_dir(self.snapshots()) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };

        let mut deleted = 0;
        for file in files {
            let file = file?;
            let Some(name) = SnapshotName::parse(&file) else {
                continue;
            };

            let entry = journal.entries.get(&name.report_id);
            let is_named = name.is_whole && entry.is_some_and(|entry| entry.has_snapshot);
            if !is_named && is_old_file(&file, now)? {
                fs::remove_file(file.path())?;
                deleted += 1;
            }
        }

        Ok(deleted)
    }
}

/// What the name of a snapshot says.
struct SnapshotName {
    report_id: String,
    /// It is not one that was still being written.
    is_whole: bool,
}

impl SnapshotName {
    /// None if this program gives no file this name.
    fn parse(file: &DirEntry) -> Option<Self> {
        let name = file.file_name();
        let name = name.to_str()?;
        let whole = name.strip_suffix(".new").unwrap_or(name);
        let report_id = Uuid::parse_str(whole.strip_suffix(".jpg")?)
            .ok()?
            .to_string();

        // Only as this program writes it: lower case, with hyphens.
        (snapshot_name(&report_id) == whole).then_some(Self {
            report_id,
            is_whole: whole == name,
        })
    }
}

fn is_old_file(file: &DirEntry, now: SystemTime) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let age = now.duration_since(metadata.modified()?).unwrap_or_default();
    Ok(metadata.is_file() && age >= MIN_AGE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

    use std::collections::BTreeSet;
    use std::fs::OpenOptions;
    use std::path::{Path, PathBuf};

    use super::super::tests::with_snapshot;
    use super::*;

    fn id(number: u128) -> String {
        Uuid::from_u128(number).to_string()
    }

    fn folder_of(path: &Path) -> PathBuf {
        path.with_extension("jsonl.snapshots")
    }

    fn names(path: &Path) -> BTreeSet<String> {
        let files = fs::read_dir(folder_of(path)).unwrap();
        files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn modified(path: &Path) -> SystemTime {
        path.metadata().unwrap().modified().unwrap()
    }

    #[test]
    fn a_snapshot_outlives_neither_a_report_that_was_never_written_nor_a_deleted_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports.jsonl");
        let reports = ReportFile::open(&path).unwrap();
        assert_eq!(
            reports.delete_leftovers(SystemTime::UNIX_EPOCH).unwrap(),
            0,
            "there is no folder yet"
        );

        for number in 1..=2 {
            reports.append(&with_snapshot(&id(number), 1)).unwrap();
        }

        // Killed between the snapshot of the third and its line, while the fourth was being written.
        let length = path.metadata().unwrap().len();
        reports.append(&with_snapshot(&id(3), 1)).unwrap();
        drop(reports);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        let half = folder_of(&path).join(format!("{}.jpg.new", id(4)));
        fs::write(&half, "half").unwrap();

        // Killed between the second's line and its snapshot.
        let second = folder_of(&path).join(snapshot_name(&id(2)));
        let image = fs::read(&second).unwrap();
        let reports = ReportFile::open(&path).unwrap();
        reports.delete(&id(2)).unwrap();
        fs::write(&second, image).unwrap();
        drop(reports);

        let reports = ReportFile::open(&path).unwrap();
        let written = modified(&second).max(modified(&half));
        assert_eq!(
            reports.delete_leftovers(written).unwrap(),
            0,
            "they are too young"
        );
        assert_eq!(reports.delete_leftovers(written + MIN_AGE).unwrap(), 3);
        assert_eq!(names(&path), BTreeSet::from([snapshot_name(&id(1))]));
        assert_eq!(reports.delete_leftovers(written + MIN_AGE).unwrap(), 0);

        // A report that has lost its snapshot, and one that never had one, go on as before.
        reports.append(&with_snapshot(&id(2), 1)).unwrap();
        assert_eq!(reports.delete_leftovers(written).unwrap(), 0);
        assert_eq!(names(&path).len(), 2);
    }

    #[test]
    fn files_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports.jsonl");
        let reports = ReportFile::open(&path).unwrap();
        let snapshots = folder_of(&path);
        fs::create_dir(&snapshots).unwrap();
        let (own, large) = (id(7), id(0xAB).to_uppercase());
        let others = [
            "cat.jpg".to_owned(),
            ".jpg".to_owned(),
            own.clone(),
            format!("{own}.png"),
            format!("{own}.jpg.old"),
            format!("{own}.jpg.new.new"),
            format!("{{{own}}}.jpg"),
            format!("{}.jpg", Uuid::from_u128(7).simple()),
            format!("{large}.jpg"),
        ];
        for name in &others {
            fs::write(snapshots.join(name), "theirs").unwrap();
        }

        // A folder with the name of a snapshot.
        let folder_in_it = format!("{}.jpg", id(8));
        fs::create_dir(snapshots.join(&folder_in_it)).unwrap();

        let later = modified(&snapshots) + MIN_AGE * 2;
        assert_eq!(reports.delete_leftovers(later).unwrap(), 0);
        let expected: BTreeSet<_> = others.into_iter().chain([folder_in_it]).collect();
        assert_eq!(names(&path), expected);
    }
}
