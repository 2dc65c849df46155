//! Latency, loss and order of received frames, read off the test pattern. Sans-IO: times are
//! arguments.

/// How many values [`Samples`] keeps: 64 KiB. When it is full, it drops every other value and from
/// then on keeps half as many of the new ones.
const MAX_SAMPLES: usize = 16_384;

/// A bounded and evenly spaced sample of a stream of values, for percentiles over calls of any
/// length.
#[derive(Debug, Clone)]
pub struct Samples {
    values: Vec<f32>,
    /// Keeps one value in `stride`.
    stride: u64,
    seen: u64,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            stride: 1,
            seen: 0,
        }
    }
}

impl Samples {
    /// Counts a value, and keeps it if its turn has come.
    pub fn push(&mut self, value: f64) {
        if self.seen.is_multiple_of(self.stride) {
            if self.values.len() == MAX_SAMPLES {
                let mut index = 0;
                self.values.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });

                self.stride *= 2;
            }

            // Seven digits are plenty for a percentile in ms.
            self.values.push(value as f32);
        }

        self.seen += 1;
    }

    /// The value that `fraction` (0 to 1) of all values do not exceed, by nearest rank. `None`
    /// without values.
    pub fn percentile(&self, fraction: f64) -> Option<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f32::total_cmp);
        // Small and positive.
        let rank = (fraction.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;

        sorted.get(rank.saturating_sub(1)).copied().map(f64::from)
    }

    /// The number of values added, kept or not.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

/// A larger difference, in ms, means that the two clocks disagree: it says nothing about latency.
const MAX_LATENCY_MS: i32 = 30_000;

/// Reads latency, loss and order off the test patterns of received frames.
#[derive(Debug, Clone, Default)]
pub struct PatternMeter {
    latency_ms: Samples,
    newest: Option<u16>,
    /// Frames that the partner made and that were not decoded here: lost, or not sent because there
    /// was a newer one.
    pub missing: u64,
    /// Frames decoded after a newer one.
    pub out_of_order: u64,
    /// Frames decoded twice in a row.
    pub repeated: u64,
}

impl PatternMeter {
    /// Takes one decoded frame: `counter` and `made_unix_ms` (Unix time in ms, modulo 2^32) are
    /// read off its test pattern, `decoded_unix_ms` is when it was decoded. Returns the latency in
    /// ms unless the clocks disagree.
    pub fn on_frame(
        &mut self,
        counter: u16,
        made_unix_ms: u32,
        decoded_unix_ms: f64,
    ) -> Option<f64> {
        self.count(counter);
        // Modulo 2^32 is the stamp's own range.
        let decoded = decoded_unix_ms.floor() as u64 as u32;
        // A difference modulo 2^32 is signed by definition.
        let whole = decoded.wrapping_sub(made_unix_ms) as i32;

        if !(0..=MAX_LATENCY_MS).contains(&whole) {
            return None;
        }

        let latency = f64::from(whole) + decoded_unix_ms.fract();
        self.latency_ms.push(latency);
        Some(latency)
    }

    fn count(&mut self, counter: u16) {
        let Some(newest) = self.newest else {
            self.newest = Some(counter);
            return;
        };

        // Serial-number arithmetic (RFC 1982) on 16 bits.
        let step = counter.wrapping_sub(newest) as i16;

        match step {
            0 => self.repeated += 1,
            1.. => {
                self.missing += u64::from(step.unsigned_abs()) - 1;
                self.newest = Some(counter);
            }
            _ => {
                // It was counted as missing when the newer one arrived.
                self.missing = self.missing.saturating_sub(1);
                self.out_of_order += 1;
            }
        }
    }

    /// A percentile of the time from drawing a frame to decoding it, in ms; `fraction` 0.5 is
    /// the median. `None` without a usable pattern.
    pub fn glass_to_glass_ms(&self, fraction: f64) -> Option<f64> {
        self.latency_ms.percentile(fraction)
    }

    /// Whether any frame had the test pattern.
    pub fn has_pattern(&self) -> bool {
        self.newest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut samples = Samples::default();
        assert_eq!(
            samples.percentile(0.5),
            None,
            "there is no percentile of nothing"
        );
        (1..=100)
            .rev()
            .for_each(|value| samples.push(f64::from(value)));

        assert_eq!(
            samples.percentile(0.5),
            Some(50.0),
            "half of 1–100 do not exceed 50"
        );

        assert_eq!(
            samples.percentile(0.95),
            Some(95.0),
            "95 of 100 do not exceed 95"
        );
        assert_eq!(samples.percentile(1.0), Some(100.0), "the largest");
    }

    #[test]
    fn a_long_call_keeps_a_bounded_and_even_sample() {
        let mut samples = Samples::default();
        let count = 200_000;
        (0..count).for_each(|value| samples.push(f64::from(value)));

        assert!(samples.values.len() <= MAX_SAMPLES, "memory is bounded");
        let median = samples.percentile(0.5).unwrap();
        assert!(
            (median - 100_000.0).abs() < 100.0,
            "the sample is even over the call, median {median}"
        );
        assert_eq!(samples.seen(), 200_000, "every value is counted");
    }

    #[test]
    fn latency_is_right_when_the_timestamp_wraps() {
        let mut meter = PatternMeter::default();
        let made = u32::MAX - 9;
        let decoded = 7.0 * 4_294_967_296.0 + 15.5;

        assert_eq!(
            meter.on_frame(0, made, decoded),
            Some(25.5),
            "10 ms before the wrap, 15.5 after it"
        );
    }

    #[test]
    fn clocks_that_disagree_yield_no_latency() {
        let mut meter = PatternMeter::default();
        assert_eq!(
            meter.on_frame(0, 1_000, 900.0),
            None,
            "a frame from the future"
        );

        assert_eq!(
            meter.on_frame(1, 1_000, 61_000.0),
            None,
            "a minute is a wrong clock, not a latency"
        );
        assert_eq!(meter.glass_to_glass_ms(0.5), None, "no figure is invented");
        assert!(meter.has_pattern(), "the order is still measured");
    }

    #[test]
    fn loss_order_and_repeats_are_right_when_the_counter_wraps() {
        let mut meter = PatternMeter::default();
        for counter in [65_533, 65_534, 0, 65_535, 1, 1, 4] {
            meter.on_frame(counter, 0, 10.0);
        }

        assert_eq!(meter.missing, 2, "2 and 3 are missing; 65535 was only late");
        assert_eq!(meter.out_of_order, 1, "65535 came after 0");
        assert_eq!(meter.repeated, 1, "1 was decoded twice");
    }
}
