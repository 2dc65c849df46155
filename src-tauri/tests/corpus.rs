//! Replays the kept inputs of the fuzz targets (`fuzz/seeds`), and damaged copies of each.
#![cfg(feature = "desktop")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test, and the targets themselves"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_call::internals::fuzzing;

#[path = "../../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "a crate of its own for the fuzzer"
)]
mod targets;

/// Damaged copies of the inputs of a target, all together.
const COPIES: usize = 2_000;
/// No target takes longer for all of them. The rest is left out: some inputs are long.
const LIMIT: Duration = Duration::from_secs(10);

fn seeds(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target)
}

fn seed(target: &str, name: &str) -> Vec<u8> {
    std::fs::read(seeds(target).join(name)).expect("it is kept")
}

/// All kept inputs of a target, in the order of their names.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = std::fs::read_dir(seeds(target)).expect("the inputs are kept");
    let mut files: Vec<_> = folder.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).expect("it can be read"))
        .collect()
}

/// Changes, removes, repeats or swaps a few bytes or lines.
fn damage(input: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.random_range(1..6) {
        if bytes.is_empty() {
            break;
        }

        let at = random.random_range(0..bytes.len());
        match random.random_range(0..6) {
            0 => bytes[at] = random.random(),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            2 => bytes[at] = random.random_range(b' '..=b'~'),
            3 => {
                bytes.remove(at);
            }
            4 => {
                let end = (at + random.random_range(1..40)).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
            _ => bytes = with_lines_swapped(&bytes, random),
        }
    }

    bytes
}

fn with_lines_swapped(bytes: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let one = random.random_range(0..lines.len());
    let other = random.random_range(0..lines.len());
    lines.swap(one, other);
    lines.join(&b'\n')
}

#[test]
fn the_kept_inputs_and_damaged_copies_break_nothing() {
    let mut random = StdRng::seed_from_u64(0x5eed);
    for (name, run) in targets::TARGETS {
        let inputs = kept(name);
        assert!(inputs.len() >= 3, "{name} has {} inputs", inputs.len());
        for input in &inputs {
            run(input);
        }

        #[expect(clippy::disallowed_methods, reason = "a limit of the test's own time")]
        let start = Instant::now();
        for copy in 0..COPIES {
            if start.elapsed() > LIMIT {
                println!("{name}: only {copy} damaged copies fit into the time");
                break;
            }

            run(&damage(&inputs[copy % inputs.len()], &mut random));
        }
    }
}

#[test]
fn every_target_is_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the targets are there")
        .map(|file| file.expect("a file").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    files.sort();

    assert_eq!(files, targets::TARGETS.map(|(name, _)| name));
}

#[test]
fn the_kept_rtcp_reaches_the_estimator_and_the_repair() {
    let (_, rtt) = fuzzing::rtcp(&seed("rtcp", "feedback"));
    assert!(rtt.is_some(), "the kept feedback reaches the estimator");
    let (counted, _) = fuzzing::rtcp(&seed("rtcp", "requests"));
    assert!(
        counted.nacks_received > 0 && counted.retransmissions_sent > 0 && counted.plis_received > 0,
        "the kept requests are answered: {counted:?}"
    );
}
