//! The axes: round numbers and round times, so far apart that their labels have room.

use barograph_lake::{Span, Timestamp};

/// Round steps of a number's power of ten.
const STEPS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// Round steps of time, in seconds; longer ones are whole days.
const SPANS: [i64; 19] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800,
];

/// Marks of an axis of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
}

impl Scale {
    /// The scale of all numbers from `low` to `high`, with at most about `marks` marks.
    pub(super) fn new(low: f64, high: f64, marks: usize) -> Self {
        let (low, high) = match high - low {
            // Numbers that are all alike lie in the middle.
            0.0 => (low - low.abs().max(1.0) / 2.0, high + high.abs().max(1.0) / 2.0),
            _ => (low, high),
        };
        let least = (high - low) / marks.max(1) as f64;
        let power = 10_f64.powf(least.log10().floor());
        let step = STEPS.into_iter().find(|step| step * power >= least).unwrap_or(10.0) * power;
        if !step.is_finite() || step <= 0.0 {
            return Self { low, high, step: (high - low).max(f64::MIN_POSITIVE) };
        }
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    /// Where a number lies, from 0 (low) to 1 (high).
    pub(super) fn part(self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The marks, from the lowest on, with their labels.
    pub(super) fn marks(self) -> Vec<(f64, String)> {
        let count = ((self.high - self.low) / self.step).round().clamp(1.0, 100.0) as usize;
        let decimals = (-self.step.log10().floor()).clamp(0.0, 12.0) as usize;
        let label = |value: f64| match value.abs() {
            size if size >= 1e15 => format!("{value:e}"),
            // Adding zero leaves no zero with a sign.
            _ => format!("{:.decimals$}", value + 0.0),
        };
        let value = |at| self.low + self.step * at as f64;
        let near = |value: f64| if value.abs() < self.step * 1e-9 { 0.0 } else { value };
        (0..=count).map(|at| near(value(at))).map(|value| (value, label(value))).collect()
    }
}

/// The marks of an axis of time from `from` to `to`, at most `marks` of them, with their labels in UTC: the time of day, or the
/// day where one begins.
pub(super) fn times(from: Timestamp, to: Timestamp, marks: usize) -> Vec<(Timestamp, String)> {
    let least = to.since(from).micros() / marks.max(1) as i64;
    let round = SPANS.into_iter().map(Span::seconds).find(|span| span.micros() >= least);
    let step = round.unwrap_or_else(|| {
        let days = (least / Span::DAY.micros()).saturating_add(1);
        Span::DAY * days
    });
    let mut at = from.floor_to(step);
    let mut found = Vec::new();
    while at <= to && found.len() <= marks {
        if at >= from {
            found.push((at, label(at, step)));
        }
        at = match at.checked_add(step) {
            Some(next) => next,
            None => break,
        };
    }
    found
}

fn label(at: Timestamp, step: Span) -> String {
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    match () {
        () if at.floor_to(Span::DAY) == at => part(0..10),
        () if step >= Span::MINUTE => part(11..16),
        () => part(11..19),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        Scale::new(low, high, 4).marks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn marks_are_round_and_enclose_all_numbers() {
        assert_eq!(labels(11.2, 20.4), ["10", "15", "20", "25"]);
        assert_eq!(labels(-0.03, 0.05), ["-0.04", "-0.02", "0.00", "0.02", "0.04", "0.06"]);
        assert_eq!(labels(1_000.0, 1_000.0), ["500", "1000", "1500"]);
        assert_eq!(labels(0.0, 0.0), ["-0.5", "0.0", "0.5"]);
        for (low, high) in
            [(0.0, f64::MAX), (f64::MIN, f64::MAX), (0.0, 5e-324), (1e15, 1e15 + 1.0)]
        {
            assert!(labels(low, high).len() < 102, "{low} {high}");
        }
        let scale = Scale::new(10.0, 20.0, 4);
        assert_eq!((scale.part(10.0), scale.part(15.0), scale.part(25.0)), (0.0, 0.5, 1.0));
    }

    #[test]
    fn times_are_round_and_a_day_has_its_date() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let labels = |from, to| -> Vec<_> {
            times(at(from), at(to), 5).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(
            labels("2026-11-21T10:10:00Z", "2026-11-22T09:00:00Z"),
            ["12:00", "18:00", "2026-11-22", "06:00"]
        );
        assert_eq!(
            labels("2026-11-22T10:00:00Z", "2026-11-22T10:00:09Z"),
            ["10:00:00", "10:00:02", "10:00:04", "10:00:06", "10:00:08"]
        );
        assert_eq!(labels("2026-01-01", "2026-12-31").len(), 5);
        assert_eq!(labels("2026-01-01", "2026-01-01"), ["2026-01-01"]);
    }
}
