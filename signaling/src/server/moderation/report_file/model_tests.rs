//! The file of reports against a map: whatever is done, and whenever the server starts again.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;

use proptest::prelude::*;

use super::tests::{report, with_snapshot};
use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Report, again perhaps, with as much text and maybe a snapshot.
    Append {
        id: u8,
        text: usize,
        snapshot: bool,
    },
    Close(u8),
    Delete(u8),
    /// Delete what was reported before this time.
    DeleteOlder(u64),
    /// The server is killed while it writes, and starts again.
    Crash(Vec<u8>),
    Start,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..5_u8;
    let half_a_line = proptest::collection::vec(b' '..b'~', 0..40);
    let step = prop_oneof![
        8 => (id.clone(), 0..600_usize, any::<bool>())
            .prop_map(|(id, text, snapshot)| Step::Append { id, text, snapshot }),
        2 => id.clone().prop_map(Step::Close),
        2 => id.prop_map(Step::Delete),
        1 => (0..60_u64).prop_map(Step::DeleteOlder),
        1 => half_a_line.prop_map(Step::Crash),
        1 => Just(Step::Start),
    ];
    proptest::collection::vec(step, 0..60)
}

/// What must be known of a report.
#[derive(Debug, Clone, PartialEq)]
struct Expected {
    at_ms: u64,
    text: usize,
    closed: bool,
    snapshot: bool,
}

/// What the file knows.
fn known(reports: &ReportFile) -> BTreeMap<String, Expected> {
    let listed = reports.list(true, 100).unwrap();
    listed
        .iter()
        .map(|report| {
            let expected = Expected {
                at_ms: report["atMs"].as_u64().unwrap(),
                text: report["text"].as_str().unwrap().len(),
                closed: report.contains_key("closed"),
                snapshot: report.contains_key("snapshot"),
            };
            (report["reportId"].as_str().unwrap().to_owned(), expected)
        })
        .collect()
}

const CAPS: Caps = Caps {
    bytes: 1_600,
    snapshots: 2,
    per_reporter: 100,
    snapshots_per_reporter: 100,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_file_knows_what_was_recorded_and_nothing_else(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports");
        let mut reports = ReportFile::open_with(&path, CAPS).unwrap();
        let mut model: BTreeMap<String, Expected> = BTreeMap::new();

        for (at_ms, step) in steps.into_iter().enumerate() {
            let at_ms = at_ms as u64;
            match step {
                Step::Append { id, text, snapshot } => {
                    let id = id.to_string();
                    let mut new = if snapshot { with_snapshot(&id, 1) } else { report(&id) };
                    new.at_ms = at_ms;
                    new.said.text = Some("x".repeat(text));

                    let kept = model.values().filter(|report| report.snapshot).count();
                    let had = model.get(&id).is_some_and(|report| report.snapshot);
                    let expected = Expected {
                        at_ms,
                        text,
                        closed: false,
                        snapshot: had || snapshot && kept < CAPS.snapshots,
                    };
                    let is_update = model.contains_key(&id);
                    match reports.append(&new) {
                        Ok(written) => {
                            prop_assert_eq!(written.is_update, is_update);
                            model.insert(id, expected);
                        }
                        Err(error) => prop_assert_eq!(error.kind(), io::ErrorKind::StorageFull),
                    }
                }
                Step::Close(id) => {
                    let id = id.to_string();
                    let found = reports.close(&id, None, at_ms).unwrap();
                    prop_assert_eq!(found, model.contains_key(&id), "however full it is");
                    if let Some(report) = model.get_mut(&id) {
                        report.closed = true;
                    }
                }
                Step::Delete(id) => {
                    let id = id.to_string();
                    prop_assert_eq!(reports.delete(&id).unwrap(), model.remove(&id).is_some());
                }
                Step::DeleteOlder(before) => {
                    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(before);
                    let deleted = reports.delete_older(Duration::ZERO, now).unwrap();
                    let count = model.len();
                    model.retain(|_, report| report.at_ms >= before);
                    prop_assert_eq!(deleted, count - model.len());
                }
                Step::Crash(half_a_line) => {
                    drop(reports);
                    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
                    file.write_all(&half_a_line).unwrap();
                    reports = ReportFile::open_with(&path, CAPS).unwrap();
                }
                Step::Start => {
                    drop(reports);
                    reports = ReportFile::open_with(&path, CAPS).unwrap();
                }
            }

            prop_assert_eq!(&known(&reports), &model);
            let snapshots = fs::read_dir(with_suffix(&path, ".snapshots"));
            let names: Vec<String> = snapshots
                .map(|files| {
                    let names = files.map(|file| file.unwrap().file_name());
                    names.map(|name| name.into_string().unwrap()).collect()
                })
                .unwrap_or_default();
            let expected = model.values().filter(|report| report.snapshot).count();
            prop_assert_eq!(names.len(), expected, "one for each report that has one: {:?}", names);
        }
    }
}
