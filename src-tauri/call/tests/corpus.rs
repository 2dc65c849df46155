//! Replays the kept inputs of the fuzz targets (`fuzz/seeds`), and damaged copies of each.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_call::internals::fuzzing;

/// Damaged copies of each input.
const COPIES: usize = 500;

/// Changes, removes or repeats a few bytes.
fn damage(input: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.random_range(1..6) {
        if bytes.is_empty() {
            break;
        }

        let at = random.random_range(0..bytes.len());
        match random.random_range(0..4) {
            0 => bytes[at] = random.random(),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            2 => {
                bytes.remove(at);
            }
            _ => {
                let end = (at + random.random_range(1..40)).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
        }
    }

    bytes
}

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let files = std::fs::read_dir(folder.join(target)).expect("the inputs are kept");
    let mut random = StdRng::seed_from_u64(0x5eed);
    let mut count = 0;

    for file in files {
        let input = std::fs::read(file.expect("a file").path()).expect("it can be read");
        run(&input);
        for _ in 0..COPIES {
            run(&damage(&input, &mut random));
        }

        count += 1;
    }

    assert!(count >= 3, "{target} has {count} inputs");
}

fn seed(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    std::fs::read(folder.join(name)).expect("it is kept")
}

#[test]
fn rtcp() {
    let (_, rtt) = fuzzing::rtcp(&seed("rtcp/feedback"));
    assert!(rtt.is_some(), "the kept feedback reaches the estimator");
    let (counted, _) = fuzzing::rtcp(&seed("rtcp/requests"));
    assert!(
        counted.nacks_received > 0 && counted.retransmissions_sent > 0 && counted.plis_received > 0,
        "the kept requests are answered: {counted:?}"
    );

    replay("rtcp", |input| {
        fuzzing::rtcp(input);
    });
}

#[test]
fn descriptions() {
    replay("description", fuzzing::description);
}

#[test]
fn channel_messages() {
    replay("partner_state", fuzzing::channel_message);
}
