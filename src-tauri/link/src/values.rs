//! The values of a link's settings: times, shares, rates and sizes, with units.

use std::time::Duration;

/// The longest time that a setting takes. Longer is a typing error.
const MAX_TIME: Duration = Duration::from_secs(24 * 3_600);

pub(crate) const TIME: &str = "give a time with its unit, like 25ms, 1.5s or 2m, up to 24 hours";
pub(crate) const SHARE: &str = "give a percentage from 0% to 100%, like 5% or 0.3%";
pub(crate) const RATE: &str =
    "give bits per second from 1k to 10G, like 500k or 2.5M, or none for no limit";
pub(crate) const SIZE: &str = "give bytes from 1 to 1GB, like 16KB or 64000";
pub(crate) const QUEUE: &str = "give a time or bytes, like 300ms or 64KB";
pub(crate) const BURST: &str = "give the mean number of packets lost in a row, from 1 to 10000";
pub(crate) const SWITCH: &str = "give on or off";
pub(crate) const SEED: &str = "give a whole number";
pub(crate) const GILBERT: &str = "give three percentages: to enter the bad state, to leave it, and \
     the loss in it, like 1%/20%/80%";

/// A number and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    number.is_finite().then_some((number, unit))
}

/// `25ms`, `1.5s`, `2m`.
pub(crate) fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        _ => return None,
    };

    // Times out of range would not fit into a duration.
    (seconds <= MAX_TIME.as_secs_f64())
        // To the microsecond, so that 25ms is exactly that.
        .then(|| Duration::from_micros((seconds * 1e6).round() as u64))
}

/// `5%`, as a fraction of one.
pub(crate) fn share(text: &str) -> Option<f64> {
    let (number, unit) = split(text)?;
    (unit == "%" && number <= 100.0).then_some(number / 100.0)
}

/// `500k`, `2.5M`, in bits per second.
pub(crate) fn rate(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return None,
    };

    let rate = (number * factor).round();
    (1e3..=1e10).contains(&rate).then_some(rate as u64)
}

/// `16KB`, `64000`, in bytes.
pub(crate) fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" | "B" => 1.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };

    let size = (number * factor).round();
    (1.0..=1e9).contains(&size).then_some(size as usize)
}

/// The mean length of a burst, packets.
pub(crate) fn burst(text: &str) -> Option<f64> {
    let (number, unit) = split(text)?;
    (unit.is_empty() && (1.0..=1e4).contains(&number)).then_some(number)
}

/// `on` or `off`.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_their_units() {
        assert_eq!(time("25ms"), Some(Duration::from_millis(25)));
        assert_eq!(time("1.5s"), Some(Duration::from_millis(1_500)));
        assert_eq!(time("2m"), Some(Duration::from_secs(120)));
        assert_eq!(share("5%"), Some(0.05));
        assert_eq!(share("100%"), Some(1.0));
        assert_eq!(rate("2.5M"), Some(2_500_000));
        assert_eq!(rate("64000"), Some(64_000));
        assert_eq!(size("16KB"), Some(16_000));
        assert_eq!(burst("4.5"), Some(4.5));
        assert_eq!(switch("on"), Some(true));
    }

    #[test]
    fn what_has_no_unit_or_is_out_of_range_is_no_value() {
        for text in [
            "25",
            "25 ms",
            "-1s",
            "1e9s",
            "25h",
            "999999999999999999m",
            ".",
            "",
        ] {
            assert_eq!(time(text), None, "{text}");
        }

        for text in ["5", "0.05", "101%", "-5%", "%", "5%%"] {
            assert_eq!(share(text), None, "{text}");
        }

        for text in ["0", "999", "11G", "1m", "1KB"] {
            assert_eq!(rate(text), None, "{text}");
        }

        assert_eq!(size("0"), None);
        assert_eq!(size("2GB"), None);
        assert_eq!(burst("0.5"), None);
        assert_eq!(switch("yes"), None);
    }
}
