//! The processing chain on synthetic voices in a synthetic room.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// A speech-like signal for an echo canceller: noise with the spectrum of a voice (two resonances,
/// no low frequencies) in syllables with pauses, so that its power varies. Two seeds give different
/// signals.
struct Voice {
    rng: StdRng,
    previous: f32,
    state: [[f32; 2]; 2],
    syllable: Syllable,
}

/// The current syllable: samples since its start, samples voiced, and samples until the next one
/// starts.
#[derive(Default)]
struct Syllable {
    at: usize,
    voiced: usize,
    all: usize,
}

impl Voice {
    fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            previous: 0.0,
            state: [[0.0; 2]; 2],
            syllable: Syllable::default(),
        }
    }

    fn sample(&mut self) -> f32 {
        let white: f32 = self.rng.random_range(-1.0..1.0);
        // Differencing removes the power at 0 Hz.
        let mut x = (white - self.previous) * 8.0;
        self.previous = white;

        for ((hz, radius), state) in [(500.0f32, 0.985f32), (1_500.0, 0.97)]
            .into_iter()
            .zip(&mut self.state)
        {
            let a1 = 2.0 * radius * (std::f32::consts::TAU * hz / 48_000.0).cos();
            let y = x * (1.0 - radius) + a1 * state[0] - radius * radius * state[1];
            *state = [y, state[0]];
            x = y;
        }

        if self.syllable.at >= self.syllable.all {
            let voiced = self.rng.random_range(7_000..14_000);
            self.syllable = Syllable {
                at: 0,
                voiced,
                all: voiced + self.rng.random_range(500..6_000),
            };
        }

        let through = self.syllable.at as f32 / self.syllable.voiced as f32;
        self.syllable.at += 1;
        let envelope = if through < 1.0 {
            (std::f32::consts::PI * through).sin().powi(2)
        } else {
            0.0
        };

        (x * envelope).clamp(-0.9, 0.9)
    }
}

/// A room: the speaker's signal reaches the microphone 43 ms later, 10 dB lower, with a decaying
/// tail of 60 ms.
struct Room {
    past: Vec<f32>,
    response: Vec<f32>,
    at: usize,
}

impl Room {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(99);
        let delay = 2_064;
        let mut response = vec![0.0; delay + 2_880];
        response[delay] = 0.3;

        for n in 1..2_880 {
            response[delay + n] =
                rng.random_range(-1.0f32..1.0) * 0.02 * (-(n as f32) / 600.0).exp();
        }

        Self {
            past: vec![0.0; response.len()],
            response,
            at: 0,
        }
    }

    fn echo(&mut self, played: f32) -> f32 {
        let length = self.past.len();
        self.past[self.at] = played;

        let mut sum = 0.0;
        // The response is silent before the direct path arrives.
        for n in 2_064..length {
            sum += self.response[n] * self.past[(self.at + length - n) % length];
        }

        self.at = (self.at + 1) % length;
        sum
    }
}

fn power_db(samples: &[f32]) -> f64 {
    10.0 * (samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum::<f64>()
        / samples.len() as f64)
        .max(1e-12)
        .log10()
}

/// Runs `seconds` through a chain. Returns what the microphone picked up of the echo and of the
/// near voice, and the output.
fn run(
    processing: Processing,
    seconds: usize,
    near_from_s: Option<usize>,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (mut far, mut near, mut room) = (Voice::new(1), Voice::new(2), Room::new());
    let mut chain = VoiceProcessor::new(processing);
    let (mut echoes, mut voices, mut sent) = (Vec::new(), Vec::new(), Vec::new());

    for block in 0..seconds * 100 {
        let played: [i16; BLOCK_SAMPLES] =
            std::array::from_fn(|_| (far.sample() * 32_767.0) as i16);
        chain.render(&played);
        let echo = played.map(|sample| room.echo(f32::from(sample) / 32_768.0));
        let speaks = near_from_s.is_some_and(|from| block >= from * 100);
        let voice: [f32; BLOCK_SAMPLES] =
            std::array::from_fn(|_| if speaks { near.sample() } else { 0.0 });
        let mut heard = std::array::from_fn(|n| echo[n] + voice[n]);
        chain.set_delay(Duration::from_millis(43));
        chain.capture(&mut heard);
        echoes.extend(echo);
        voices.extend(voice);
        sent.extend(heard);
    }

    (echoes, voices, sent)
}

const CANCELLER: Processing = Processing {
    echo_cancellation: true,
    ..Processing::OFF
};

#[test]
fn an_echo_is_lowered_by_20_db() {
    for processing in [
        CANCELLER,
        Processing {
            gain_control: false,
            ..Processing::default()
        },
    ] {
        let (echo, _, sent) = run(processing, 8, None);
        let after = 4 * 48_000;
        let erle = power_db(&echo[after..]) - power_db(&sent[after..]);
        println!("echo return loss enhancement {erle:.1} dB with {processing:?}");
        assert!(
            power_db(&echo[after..]) > -45.0,
            "the synthetic room has an echo"
        );
        assert!(
            erle >= 20.0,
            "after 4 s the echo is at least 20 dB lower, not {erle:.1} dB, with {processing:?}"
        );
    }
}

#[test]
fn a_near_voice_survives_double_talk() {
    let (echo, voice, sent) = run(CANCELLER, 12, Some(6));
    let after = 7 * 48_000;
    let loss = power_db(&voice[after..]) - power_db(&sent[after..]);
    println!(
        "near voice {:.1} dB, echo {:.1} dB",
        power_db(&voice[after..]),
        power_db(&echo[after..])
    );
    println!("near-end loss in double talk {loss:.1} dB");

    assert!(
        loss <= 3.0,
        "the near voice loses at most 3 dB in double talk, not {loss:.1} dB"
    );
}

#[test]
fn steady_noise_is_suppressed() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut chain = VoiceProcessor::new(Processing {
        noise_suppression: true,
        ..Processing::OFF
    });

    let (mut noise, mut sent) = (Vec::new(), Vec::new());
    for _ in 0..800 {
        let mut block: [f32; BLOCK_SAMPLES] =
            std::array::from_fn(|_| rng.random_range(-0.02..0.02));
        noise.extend(block);
        chain.capture(&mut block);
        sent.extend(block);
    }

    let after = 4 * 48_000;
    let gain = power_db(&noise[after..]) - power_db(&sent[after..]);
    assert!(
        gain >= 12.0,
        "noise is lowered by at least 12 dB, not {gain:.1} dB"
    );
}

#[test]
fn a_chain_with_everything_off_changes_only_rumble() {
    let mut chain = VoiceProcessor::new(Processing::OFF);
    let mut voice = Voice::new(4);
    let (mut heard, mut sent) = (Vec::new(), Vec::new());

    for _ in 0..300 {
        let mut block: [f32; BLOCK_SAMPLES] = std::array::from_fn(|_| voice.sample());
        heard.extend(block);
        chain.capture(&mut block);
        sent.extend(block);
    }

    let change = (power_db(&heard) - power_db(&sent)).abs();
    assert!(change < 0.5, "a voice keeps its level: {change:.2} dB");
}
