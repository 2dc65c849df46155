//! Replays the kept inputs of the fuzz target `handshake`, and damaged copies of each.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_trust::fuzzing;

/// Damaged copies of each input.
const COPIES: usize = 300;

/// Changes, removes, repeats or reorders a few characters or lines.
fn damage(input: &str, random: &mut StdRng) -> String {
    let mut lines: Vec<Vec<char>> = input.lines().map(|line| line.chars().collect()).collect();
    for _ in 0..random.random_range(1..6) {
        let (one, other) = (
            random.random_range(0..lines.len()),
            random.random_range(0..lines.len()),
        );
        match random.random_range(0..5) {
            0 => lines.swap(one, other),
            1 => lines.insert(one, lines[other].clone()),
            2 => lines[one].truncate(other * 40),
            _ => {
                let end = lines[one].len();
                if end > 0 {
                    lines[one][random.random_range(0..end)] = random.random_range(' '..='~');
                }
            }
        }
    }

    lines
        .iter()
        .map(|line| line.iter().collect::<String>() + "\n")
        .collect()
}

#[test]
fn the_kept_inputs_and_damaged_copies_break_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/handshake");
    let mut random = StdRng::seed_from_u64(0x5eed);
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read_to_string(file.unwrap().path()).unwrap();
        fuzzing::partner(&input);
        for _ in 0..COPIES {
            fuzzing::partner(&damage(&input, &mut random));
        }

        count += 1;
    }

    assert!(count >= 5, "{count} inputs");
}
