//! Steps of a clock that was set: the time it shows moves by more, or less, than the time that has passed.

use barograph_lake::time::{MICROS_PER_HOUR, MICROS_PER_SECOND};
use barograph_lake::{Span, Timestamp};

use super::Clock;

/// Smaller steps are those of a clock that is kept right.
const STEP_MIN: Span = Span::seconds(5);

/// A detector of clock steps, which compares the clock with the time that has passed.
#[derive(Debug)]
pub struct ClockSteps {
    /// By how much `now` is ahead of `elapsed`.
    ahead: Span,
}

impl ClockSteps {
    /// A detector that starts from the present state of `clock`.
    pub fn of(clock: &dyn Clock) -> Self {
        Self { ahead: ahead(clock) }
    }

    /// The step since the last observation; `None` if the clock was not set.
    pub fn observe(&mut self, clock: &dyn Clock) -> Option<Span> {
        let ahead = ahead(clock);
        let step = ahead.saturating_sub(self.ahead);
        self.ahead = ahead;
        (step.abs() >= STEP_MIN).then_some(step)
    }

    /// Says in a message that the clock was set, if it was.
    pub(crate) fn report(&mut self, clock: &dyn Clock) {
        let Some(step) = self.observe(clock) else { return };
        let (now, by) = (clock.now(), roughly(step));
        let way = if step > Span::ZERO { "ahead" } else { "back" };
        tracing::warn!(
            "the clock stepped {way} by {by}, to {now} (it was set, or the machine slept): nothing is deleted by age until it has advanced by half an hour, and jobs are due by the current clock"
        );
    }
}

fn ahead(clock: &dyn Clock) -> Span {
    (clock.now() - clock.elapsed()).since(Timestamp::UNIX_EPOCH)
}

/// A length of time for people, without its sign: `10y`, `3d`, `2h`, `5m`, `7s`.
pub fn roughly(length: Span) -> String {
    const DAY: i64 = 24 * MICROS_PER_HOUR;
    const UNITS: [(i64, &str); 4] =
        [(365 * DAY, "y"), (DAY, "d"), (MICROS_PER_HOUR, "h"), (60 * MICROS_PER_SECOND, "m")];
    let length = length.abs().micros();
    let unit = UNITS.into_iter().find(|(unit, _)| length >= *unit);
    let (unit, name) = unit.unwrap_or((MICROS_PER_SECOND, "s"));
    format!("{}{name}", length / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    #[test]
    fn a_clock_that_goes_on_is_not_set_and_one_that_is_set_is_told_once() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH + 1_000 * Span::HOUR);
        let mut steps = ClockSteps::of(&clock);
        clock.set(Timestamp::UNIX_EPOCH + 1_100 * Span::HOUR);
        assert_eq!(steps.observe(&clock), None);
        clock.step(30 * Span::DAY);
        assert_eq!(steps.observe(&clock), Some(30 * Span::DAY));
        assert_eq!(steps.observe(&clock), None);
        clock.step(-1 * Span::HOUR);
        clock.set(clock.now() + 7 * Span::HOUR);
        assert_eq!(steps.observe(&clock), Some(-1 * Span::HOUR));
        clock.step(Span::SECOND);
        assert_eq!(steps.observe(&clock), None);
    }

    #[test]
    fn lengths_are_told_roughly() {
        let told = [86_400 * 3_653, -90_000, 7_300, 61, 5].map(|s| roughly(Span::seconds(s)));
        assert_eq!(told, ["10y", "1d", "2h", "1m", "5s"]);
    }
}
