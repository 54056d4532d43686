//! Numbers for people: counts, sizes, lengths of time and rates.

use std::time::Duration;

/// `21600000` as `21,600,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size with three digits: `97.4 MB` (powers of ten).
pub(crate) fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value < 1_000.0 {
            break;
        }
        value /= 1_000.0;
        unit = larger;
    }
    let digits = if unit == "B" || value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$} {unit}")
}

/// A length of time with three digits: `1.24 s`, `380 ms`, `72 µs`.
pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        m if m < 1e3 => (m, "µs"),
        m if m < 1e6 => (m / 1e3, "ms"),
        m => (m / 1e6, "s"),
    };
    let digits = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// The number per second.
pub(crate) fn rate(number: u64, duration: Duration) -> u64 {
    (number as f64 / duration.as_secs_f64().max(1e-9)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(21_600_000), "21,600,000");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(bytes(97_412_000), "97.4 MB");
        assert_eq!(bytes(2_156_000_000), "2.2 GB");
        assert_eq!(duration(Duration::from_micros(72)), "72.0 µs");
        assert_eq!(duration(Duration::from_millis(380)), "380 ms");
        assert_eq!(duration(Duration::from_millis(1_240)), "1.24 s");
        assert_eq!(rate(1_000, Duration::from_millis(500)), 2_000);
    }
}
